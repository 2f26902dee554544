"""A network that learns: one optimiser step, on any device, alone or together with other processes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from vmseg_auto.training.compiled import Mode
from vmseg_auto.utils.device_memory import memory_ran_out
from vmseg_auto.utils.devices import autocast, float32_products, lay_out, reduced_precision
from vmseg_auto.utils.distributed import LocalBatch
from vmseg_auto.utils.errors import InputError

Loss = Callable[[list[torch.Tensor], torch.Tensor], torch.Tensor]
Tensors = dict[str, torch.Tensor]


class Step(NamedTuple):
    """What a step came to, on the device: float32 and bool scalars.

    Args:
        loss: of the batch.
        good: whether loss and gradient were finite; otherwise the weights are as before.
    """

    loss: torch.Tensor
    good: torch.Tensor


@dataclass(frozen=True)
class LearnerState:
    """Copies on the CPU of what it takes to go on.

    Args:
        weights: to predict with.
        live: to learn on from, where they are others.
        optimizer: its state.
        scaler: the state of the gradients' scale; empty but in float16.
    """

    weights: Tensors
    live: Tensors
    optimizer: dict[str, Any]
    scaler: dict[str, Any]


class Learner:
    """Network, loss, optimizer and precision on one device, and the running mean of the weights.

    Args:
        network: returns a list of logits while training.
        loss: of these logits [B, K, ...] and the labels [B, Z, Y, X].
        optimizer: over the network's parameters.
        device: where the network is.
        amp: mixed precision where the hardware has it.
        gradient_clip: largest norm of the gradient.
        ema_decay: decay of the running mean of the weights; 0 for none.
        share: this process's part of each batch; all of it unless given.
        compiled: how torch.compile takes network and loss of a step; not at all unless given.
        notify: called with a sentence where that has failed, and steps go on without.

    Raises:
        InputError: batches are shared, and layers of the network mix their samples or draw random numbers.
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
        ema_decay: float = 0.0,
        share: LocalBatch | None = None,
        compiled: Mode | None = None,
        notify: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.network = lay_out(network, device, trains=True)
        self.loss, self.optimizer, self.device = loss, optimizer, device
        self.gradient_clip = gradient_clip
        self.dtype = reduced_precision(device) if amp else None
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)
        self.mean = _RunningMean(network, ema_decay) if ema_decay else None
        self.share = share or LocalBatch()
        self.notify = notify
        self._compile(compiled)
        if self.share.ranks.world > 1 and not _samples_stand_alone(network):
            raise InputError(
                "layers of this network mix the samples of a batch or draw random numbers (batch normalisation, "
                "dropout), so that what it learns would depend on the number of processes",
                remedy="Train it without torchrun.",
            )

    @property
    def evaluated(self) -> nn.Module:
        """The network that is judged, kept and predicted with: the running mean where there is one."""
        return self.mean.network if self.mean else self.network

    def step(self, image: torch.Tensor, label: torch.Tensor) -> Step:
        """Learn from a batch [B, C, Z, Y, X] and its labels [B, Z, Y, X], unless loss or gradient are not finite.

        Where batches are shared, from this process's samples (`LocalBatch.seen`), while the others do from theirs.
        CUDA is not waited for. The running mean is updated after every step, also where they stay the same.
        """
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        with float32_products(self.device, self.dtype):
            loss = self._compiled_or_not(image, label)
        self.share.ranks.add_gradients(self.network.parameters())
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.gradient_clip)
        good = norm.isfinite() & loss.detach().isfinite()
        self._move(good)
        self.scaler.update()  # lowers the scale where unscale_ found a gradient that is not finite
        if self.mean:
            self.mean.add(self.network)
        return Step(loss.detach(), good)

    def _compile(self, mode: Mode | None) -> None:
        """Let steps compute with compiled network and loss, which share the weights; None for the plain ones."""
        self.compiled = mode
        # A CUDA graph is run as kernels first, then recorded, then replayed.
        self._to_prove = 3 if mode == "reduce-overhead" else 1
        # For these very sizes, also where another plan was trained before. The loss never as a CUDA graph: the next
        # replay would overwrite what is read at the epoch's end.
        self._fast = None
        if mode:
            self._fast = torch.compile(self.network, mode=mode, dynamic=False), torch.compile(self.loss, dynamic=False)

    def _compiled_or_not(self, image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Return the loss, as `_differentiate`; without the compiler for good where it fails, in the first steps."""
        try:
            loss = self._differentiate(image, label)
        except Exception as error:  # compilers fail with errors of any kind
            short = isinstance(error, RuntimeError) and memory_ran_out(error)
            if not self._to_prove or self.compiled is None or short:
                raise
            why = f"{type(error).__name__}: {error}".splitlines()[0]
        else:
            self._to_prove = max(0, self._to_prove - 1)
            return loss
        self.notify(f"Network and loss can't be compiled here ({why}); the training goes on without, and takes longer.")
        self._compile(None)
        self.optimizer.zero_grad(set_to_none=True)
        return self._differentiate(image, label)

    def _differentiate(self, image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Return the whole batch's loss, once its gradients are computed by way of the samples here.

        The loss is that of the whole batch, wherever its samples are computed, so that it may couple them.
        """
        if self.compiled == "reduce-overhead":
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]  # the last step is over
        network, judge = self._fast or (self.network, self.loss)
        outputs = self.forward(network, image)
        joined = [self.share.join(level.detach()).requires_grad_() for level in outputs]
        loss = judge(joined, self.share.join(label))
        slopes = torch.autograd.grad(self.scaler.scale(loss), joined, allow_unused=True)
        used = [number for number, slope in enumerate(slopes) if slope is not None]
        torch.autograd.backward([outputs[n] for n in used], [self.share.cut(slopes[n]) for n in used])
        return loss

    def _move(self, good: torch.Tensor) -> None:
        """Let the optimizer step if the step is good."""
        optimizer: Any = self.optimizer
        # A fused optimizer looks at the flag on the device, as GradScaler has it do. Its first step also makes its
        # state, which it must not leave unset.
        if getattr(optimizer, "_step_supports_amp_scaling", False) and optimizer.state:
            optimizer.grad_scale, optimizer.found_inf = None, (~good).float()
            try:
                optimizer.step()
            finally:
                del optimizer.grad_scale, optimizer.found_inf
        elif bool(good):
            optimizer.step()

    @torch.inference_mode()
    def is_finite(self) -> bool:
        """Return whether all weights are finite. It waits for the device."""
        return bool(torch.stack([weight.isfinite().all() for weight in self.network.parameters()]).all())

    def forward(self, network: Callable[[torch.Tensor], Any], image: torch.Tensor) -> Any:
        """Return the network's output of a batch, in this device's precision."""
        with float32_products(self.device, self.dtype), autocast(self.device, self.dtype):
            return network(image)

    def state(self) -> LearnerState:
        """Return copies of weights, optimizer and scale, to go on from."""
        return LearnerState(
            weights=_copied(self.evaluated.state_dict()),
            live=_copied(self.network.state_dict()) if self.mean else {},
            optimizer=_copied(self.optimizer.state_dict()),
            scaler=self.scaler.state_dict(),
        )

    def restore(self, state: LearnerState, steps: int) -> None:
        """Go back to where `state` was taken, after so many steps."""
        self.evaluated.load_state_dict(state.weights)
        if self.mean:
            self.network.load_state_dict(state.live)
            self.mean.steps = steps
        optimizer = _copied(state.optimizer)
        for group, own in zip(optimizer["param_groups"], self.optimizer.param_groups, strict=False):
            # How it computes is this device's business, not that of the one where the state was taken.
            group.update({way: own[way] for way in ("fused", "foreach", "capturable") if way in own})
        self.optimizer.load_state_dict(optimizer)
        if state.scaler:
            self.scaler.load_state_dict(state.scaler)


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


def _samples_stand_alone(network: nn.Module) -> bool:
    """Return whether no layer mixes the samples of a batch, or draws random numbers, which differ between processes."""
    mixing = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
    return not any(isinstance(module, mixing) for module in network.modules())


def _copied(value: Any) -> Any:
    """Copy a state dict to the CPU: it holds the live tensors, which the next step would change."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value
