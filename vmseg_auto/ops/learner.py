"""A network that learns: one optimiser step, on any device."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from vmseg_auto.ops.devices import autocast, reduced_precision

Loss = Callable[[list[torch.Tensor], torch.Tensor], torch.Tensor]
Tensors = dict[str, torch.Tensor]
T = TypeVar("T")
R = TypeVar("R")


class Learner:
    """Network, loss, optimizer and precision on one device, and the running mean of the weights.

    Args:
        network: gives a list of logits while training.
        loss: of these logits [B, K, ...] and the labels [B, Z, Y, X].
        optimizer: over the network's parameters.
        device: where the network is.
        amp: mixed precision where the hardware has it.
        gradient_clip: largest norm of the gradient.
        averaging: decay of the running mean of the weights; 0 for none.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Loss,
        optimizer: torch.optim.Optimizer,
        device: torch.device,
        *,
        amp: bool,
        gradient_clip: float,
        averaging: float = 0.0,
    ) -> None:
        self.network, self.loss, self.optimizer, self.device = network, loss, optimizer, device
        self.gradient_clip = gradient_clip
        self.dtype = reduced_precision(device) if amp else None
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)
        self.mean = _RunningMean(network, averaging) if averaging else None
        self.threads = _SampleThreads() if _samples_stand_alone(network) and device.type == "cpu" else None

    @property
    def evaluated(self) -> nn.Module:
        """The network that is judged, kept and predicted with: the running mean where there is one."""
        return self.mean.network if self.mean else self.network

    def step(self, image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Learn from a batch [B, C, Z, Y, X] and its labels [B, Z, Y, X]; gives the loss, without waiting for it."""
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        if self.threads and len(image) > 1 and torch.get_num_threads() > 1:
            loss = self._apart(image, label, self.threads)
        else:
            loss = self.loss(self.forward(self.network, image), label)
            torch.autograd.backward(self.scaler.scale(loss))
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.network.parameters(), self.gradient_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.mean:
            self.mean.add(self.network)
        return loss.detach()

    def forward(self, network: nn.Module, image: torch.Tensor) -> Any:
        """What the network says of a batch, in this device's precision."""
        with autocast(self.device, self.dtype):
            return network(image)

    def state(self) -> tuple[Tensors, Tensors, dict[str, Any]]:
        """Copies on the CPU of the weights to predict with, the weights to learn on from, and the optimizer's state.

        Without a running mean both are the same weights, and the second is empty.
        """
        live = self.network.state_dict() if self.mean else {}
        return _copied(self.evaluated.state_dict()), _copied(live), _copied(self.optimizer.state_dict())

    def restore(self, weights: Tensors, live: Tensors, optimizer: dict[str, Any], steps: int) -> None:
        """Stand where `state` was taken, after so many steps."""
        self.evaluated.load_state_dict(weights)
        if self.mean:
            self.network.load_state_dict(live)
            self.mean.steps = steps
        self.optimizer.load_state_dict(_copied(optimizer))

    def _apart(self, image: torch.Tensor, label: torch.Tensor, threads: _SampleThreads) -> torch.Tensor:
        """The same loss and gradients, each sample's layers on CPU threads of their own.

        The loss sees the whole batch, so that it may couple samples.
        """
        weights = [p for p in self.network.parameters() if p.requires_grad]
        outputs = threads.map(
            lambda one: self.forward(self.network, one), [image[i : i + 1] for i in range(len(image))]
        )
        joined = [torch.cat(level).detach().requires_grad_() for level in zip(*outputs, strict=True)]
        loss = self.loss(joined, label)
        slopes = torch.autograd.grad(loss, joined, allow_unused=True)

        def backward(number: int) -> tuple[torch.Tensor | None, ...]:
            used = [(o, s[number : number + 1]) for o, s in zip(outputs[number], slopes, strict=True) if s is not None]
            return torch.autograd.grad([o for o, _ in used], weights, [s for _, s in used], allow_unused=True)

        for weight, parts in zip(weights, zip(*threads.map(backward, range(len(image))), strict=True), strict=True):
            found = [part for part in parts if part is not None]
            # In the samples' order, so that the sum is the same in every run.
            weight.grad = sum(found[1:], found[0]) if found else None
        return loss


class _RunningMean:
    """A network whose weights follow those of another (exponential moving average).

    Its memory grows with the steps, up to the decay, so that the first weights are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network, self.decay, self.steps = copy.deepcopy(network), decay, 0
        self.network.requires_grad_(False)

    def add(self, network: nn.Module) -> None:
        self.steps += 1
        decay = min(self.decay, self.steps / (10 + self.steps))
        blend = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        blend(list(self.network.parameters()), [p.detach() for p in network.parameters()], self.steps)
        for mean, buffer in zip(self.network.buffers(), network.buffers(), strict=True):
            mean.copy_(buffer)


class _SampleThreads:
    """CPU threads that share the processor's cores, and with them the samples of a batch.

    Layers of one sample on half the cores are faster than layers of a batch on all: nobody waits at every layer's end.
    """

    def __init__(self) -> None:
        self.pool: ThreadPoolExecutor | None = None
        self.size = 0

    def map(self, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
        todo = list(items)
        if self.size != len(todo):
            self._start(len(todo))
        assert self.pool is not None
        return list(self.pool.map(work, todo))

    def _start(self, size: int) -> None:
        total = torch.get_num_threads()
        meeting = Barrier(size)
        share = max(1, total // size)
        self.pool, self.size = ThreadPoolExecutor(size, initializer=torch.set_num_threads, initargs=(share,)), size
        list(self.pool.map(lambda _: meeting.wait(), range(size)))
        torch.set_num_threads(total)  # what a thread sets is every later thread's default


def _samples_stand_alone(network: nn.Module) -> bool:
    """Whether no layer mixes the samples of a batch, or draws random numbers whose order would depend on threads."""
    mixing = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
    return not any(isinstance(module, mixing) for module in network.modules())


def _copied(value: Any) -> Any:
    """State dicts hold the live tensors, which the next step would change: the same on the CPU, for good."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value
