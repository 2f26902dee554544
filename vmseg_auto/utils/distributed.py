"""The processes that share a command's work, as torchrun starts them. One alone is a world of one, by the same code.

The first (rank 0) speaks, locks and writes. What all must agree on is decided by it and told to the others, or is added
up over all; so each of them calls the same methods here in the same order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import Any, TypeVar
from uuid import uuid4

import torch
import torch.distributed as dist
from torch import nn

from vmseg_auto.utils.console import Console, Silent
from vmseg_auto.utils.device_memory import memory_ran_out
from vmseg_auto.utils.errors import VmsegError

T = TypeVar("T")
R = TypeVar("R")
PATIENCE = timedelta(days=7)
"""How long ranks wait for one another: the first may wait for another command. torchrun notices one that has ended."""
MOMENT_S = 0.05
"""Between two polls of the other processes."""


@dataclass(frozen=True)
class Ranks:
    """This process among those that work together.

    Args:
        rank: its number; 0 is the first.
        world: how many they are.
    """

    rank: int = 0
    world: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the first."""
        return self.rank == 0

    def console(self, console: Console) -> Console:
        """Return the console on rank 0; the others are silent."""
        return console if self.is_main else Silent()

    def on_main(self, work: Callable[[], T]) -> T:
        """Run `work` on rank 0 alone, and return its result on every rank; the others wait.

        Raises:
            VmsegError: what it raises, on every rank; the first tells the user.
        """
        if self.world == 1:
            return work()
        told: list[Any] = [_outcome(work) if self.is_main else None]
        with _in_company():
            dist.broadcast_object_list(told)
        result, error = told[0]
        if error is not None:
            error.told = not self.is_main
            raise error
        return result  # type: ignore[no-any-return]

    @contextmanager
    def enter_on_main(self, held: AbstractContextManager[object]) -> Iterator[None]:
        """Return a context that rank 0 enters for all, and leaves when all are done."""
        with ExitStack() as stack:

            def enter() -> None:
                stack.enter_context(held)

            self.on_main(enter)
            yield
            self.all_gather(None)

    def all_gather(self, value: T) -> list[T]:
        """Return what each rank gives, in their order."""
        if self.world == 1:
            return [value]
        found: list[Any] = [None] * self.world
        with _in_company():
            dist.all_gather_object(found, value)
        return found

    def part(self, items: Sequence[T]) -> Sequence[T]:
        """Return the items that are this rank's to work on."""
        return items[self.rank :: self.world]

    def gather_in_order(self, part: Iterable[T]) -> list[T]:
        """Return what the ranks have made of their parts, in the order of the items."""
        parts = self.all_gather(list(part))
        return [parts[number % self.world][number // self.world] for number in range(sum(map(len, parts)))]

    def each(self, work: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[T, R]]:
        """Yield each item with what one of the ranks has made of it, in order; all ranks get them, round by round."""
        for start in range(0, len(items), self.world):
            some = items[start : start + self.world]
            yield from zip(some, self.gather_in_order(map(work, self.part(some))), strict=True)

    def all_max(self, number: int) -> int:
        """Return the largest of the ranks' numbers; no GPU is waited for."""
        if self.world == 1:
            return number
        largest = torch.tensor(number)
        with _in_company():
            dist.all_reduce(largest, dist.ReduceOp.MAX)
        return int(largest)

    def add(self, tensor: torch.Tensor) -> torch.Tensor:
        """Sum a tensor over the ranks, in place, and return it."""
        if self.world > 1:
            with _in_company():
                dist.all_reduce(tensor)
        return tensor

    def add_gradients(self, weights: Iterable[nn.Parameter]) -> None:
        """Put the sum over the ranks in the place of each gradient; the same weights have one on every rank."""
        if self.world == 1:
            return
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        total = self.add(torch.cat([gradient.flatten() for gradient in gradients]))
        parts = torch.split(total, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def agree(self, network: nn.Module) -> None:
        """Give every rank the first one's weights."""
        if self.world > 1:
            with _in_company():
                for tensor in network.state_dict().values():
                    dist.broadcast(tensor, 0)


ALONE = Ranks()


@dataclass(frozen=True)
class LocalBatch:
    """A rank's samples of each batch, as many as the others' or one more or less.

    Args:
        ranks: the processes that share batches.
        size: samples in a whole batch; of no account in a world of one.
    """

    ranks: Ranks = ALONE
    size: int = 0

    @property
    def own(self) -> range:
        """The numbers of this rank's samples; there may be none."""
        rank, world = self.ranks.rank, self.ranks.world
        return range(rank * self.size // world, (rank + 1) * self.size // world)

    @property
    def seen(self) -> range:
        """The numbers of the samples that it computes: who has none follows the first, and counts nothing."""
        return self.own or range(1)

    def join(self, seen: torch.Tensor) -> torch.Tensor:
        """Return the tensor [size, ...] of the whole batch, from each rank's samples."""
        if self.ranks.world == 1:
            return seen
        whole = seen.new_zeros(self.size, *seen.shape[1:])
        whole[self.own.start : self.own.stop] = seen[: len(self.own)]
        return self.ranks.add(whole)

    def cut(self, slopes: torch.Tensor) -> torch.Tensor:
        """Return the part of the whole batch's gradients that belongs to this rank's samples."""
        if self.ranks.world == 1:
            return slopes
        return slopes[self.own.start : self.own.stop] if self.own else torch.zeros_like(slopes[:1])


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the processes that torchrun has started with this one; a process that it has not started is alone.

    Of the GPUs of its machine, each takes the one of its number there. They talk by NCCL between GPUs, else by gloo.
    """
    if not dist.is_available() or not dist.is_torchelastic_launched():
        yield ALONE
        return
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if dist.get_node_local_rank() < gpus:
        torch.cuda.set_device(dist.get_node_local_rank())
    # The first optimizer imports these functions otherwise, and they keep, as a default, the group that there is by
    # then: one that outlives its end below can abort Python's end.
    import_module("torch.distributed.nn.functional")
    # Not above: a PyTorch that was built without it lacks these.
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    backend = "cpu:gloo,cuda:nccl" if gpus and dist.is_nccl_available() else "gloo"
    store, rank, world = next(rendezvous("env://", timeout=PATIENCE))
    store = PrefixStore(_attempt(store, rank, world), store)
    with _in_company():
        dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=PATIENCE)
    try:
        yield Ranks(rank, world)
    finally:
        dist.destroy_process_group()


def local_rank() -> int:
    """Return this process's number among those of its machine; 0 where it is alone."""
    return dist.get_node_local_rank() if dist.is_available() and dist.is_initialized() else 0


def _attempt(store: Any, rank: int, world: int) -> str:
    """Return a name that these processes alone know: torchrun keeps the store, and the keys of those that it starts
    again.

    Everyone leaves a name of its own; the first welcomes those that it finds, until everyone has answered it.
    """
    own = uuid4().hex
    store.set(f"name/{rank}", own)
    while True:
        if rank == 0:
            store.set("welcome", " ".join(store.get(f"name/{other}").decode() for other in range(world)))
        welcome = store.get("welcome").decode().split()
        if welcome[rank] == own:
            store.set(f"answer/{rank}", welcome[0])
            if rank or all(store.get(f"answer/{other}").decode() == own for other in range(world)):
                return str(welcome[0])
        time.sleep(MOMENT_S)


def _outcome(work: Callable[[], T]) -> tuple[T | None, VmsegError | None]:
    try:
        return work(), None
    except VmsegError as error:
        return None, error


@contextmanager
def _in_company() -> Iterator[None]:
    """Raise VmsegError within where another rank has ended.

    Raises:
        RuntimeError: this rank's device has too little memory to speak with the others.
    """
    try:
        yield
    except RuntimeError as error:
        if memory_ran_out(error):
            raise
        raise VmsegError(
            "another process of this command has ended, or can't be reached",
            remedy="Its own message says why. The same command goes on from what is saved; `torchrun --max-restarts 3` "
            "starts it again by itself.",
        ) from error
