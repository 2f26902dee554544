"""Training batches made by worker processes or threads. Nothing here or in what it runs imports torch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, NamedTuple, Self, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.preprocessed import PreprocessedCase, PreprocessedFolder
from vmseg_auto.training.sampling import PatchSampler
from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.utils.open_files import allow_open_files
from vmseg_auto.utils.workers import GUARD, Workers, may_have_workers

Patch = tuple[NDArray[np.float32], NDArray[np.uint8]]
Made = TypeVar("Made")
Empty = Callable[[tuple[int, ...], np.dtype[Any]], NDArray[Any]]
"""(shape, dtype) -> an array of any content."""


class Batch(NamedTuple):
    """A training step's samples.

    Args:
        image: [B, C, Z, Y, X].
        label: [B, Z, Y, X].
        seeds: of each sample's augmentation.
        cases: ids of the cases that the sampler took, each once; donors of pasted lesions are among them.
    """

    image: NDArray[np.float32]
    label: NDArray[np.uint8]
    seeds: tuple[int, ...]
    cases: tuple[str, ...]


class Boxes(NamedTuple):
    """Where the samples of a training step lie in their cases: a batch for a device that holds these.

    Args:
        places: of each sample its case's id, and where its box begins (Z, Y, X); it may lie outside.
        seeds, cases: as of a batch.
    """

    places: tuple[tuple[str, tuple[int, ...]], ...]
    seeds: tuple[int, ...]
    cases: tuple[str, ...]


@dataclass(frozen=True)
class BatchSource:
    """Everything that decides a batch; each sample is a pure function of (stream, index).

    Args:
        folder: where the preprocessed cases lie.
        cases: ids of the cases to draw from.
        sampler: (cases, foreground, rng) -> patch.
        augment: (patch, seed) -> patch.
        foreground: for each sample of a batch, whether it is centred on foreground.
        stream: numbers that set this source apart, such as (seed, fold).
        samples: which of a batch's samples are made here; all unless given.
    """

    folder: Path
    cases: tuple[str, ...]
    sampler: Callable[[Sequence[PreprocessedCase], bool, np.random.Generator], Patch]
    augment: Callable[[Patch, int], Patch]
    foreground: tuple[bool, ...]
    stream: tuple[int, ...]
    samples: range | None = None

    def open(self) -> list[PreprocessedCase]:
        """Open the cases, memory-mapped.

        Raises:
            VmsegError: the system allows too few open files.
            InputError: a case is not preprocessed, or damaged.
        """
        allow_open_files(2 * len(self.cases))  # image and label
        folder = PreprocessedFolder(self.folder)
        return [folder.load(case) for case in self.cases]

    def batch(self, cases: Sequence[PreprocessedCase], number: int, empty: Empty = np.empty) -> Batch:
        """Make the batch of that number, counted from the start of the training, in arrays of `empty`'s."""
        noted = _Noted(cases)
        samples = [self._sample(noted, number, index) for index in self._indices]
        patches, seeds = zip(*samples, strict=True)
        images, labels = zip(*patches, strict=True)
        image, label = (
            np.stack(parts, out=empty((len(parts), *parts[0].shape), parts[0].dtype)) for parts in (images, labels)
        )
        return Batch(image, label, seeds, tuple(noted.taken))

    def boxes(self, cases: Sequence[PreprocessedCase], number: int) -> Boxes:
        """Draw the same samples, of a `PatchSampler` and without its augmentation, and read none of them."""
        noted, sampler = _Noted(cases), self.sampler
        assert isinstance(sampler, PatchSampler)
        places, seeds = [], []
        for index in self._indices:
            rng = self._rng(number, index)
            case, start = sampler.place(noted, self.foreground[index], rng)
            places.append((case.id, tuple(start.tolist())))
            seeds.append(_seed(rng))
        return Boxes(tuple(places), tuple(seeds), tuple(noted.taken))

    @property
    def _indices(self) -> range:
        return range(len(self.foreground)) if self.samples is None else self.samples

    def _rng(self, number: int, index: int) -> np.random.Generator:
        return np.random.default_rng([*self.stream, number, index])

    def _sample(self, cases: Sequence[PreprocessedCase], number: int, index: int) -> tuple[Patch, int]:
        rng = self._rng(number, index)
        patch = self.sampler(cases, self.foreground[index], rng)
        seed = _seed(rng)
        return self.augment(patch, seed), seed


class _Noted(Sequence[PreprocessedCase]):
    """The cases as a sampler is given them, and the ids of those that it took by their number.

    So it is known of any sampler what its patches came from, and none has to report it.
    """

    def __init__(self, cases: Sequence[PreprocessedCase]) -> None:
        self._cases = cases
        self.taken: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._cases)

    def __iter__(self) -> Iterator[PreprocessedCase]:
        return iter(self._cases)  # who looks at all of them takes none

    @overload
    def __getitem__(self, index: int) -> PreprocessedCase: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[PreprocessedCase]: ...

    def __getitem__(self, index: int | slice) -> PreprocessedCase | Sequence[PreprocessedCase]:
        found = self._cases[index]
        self.taken.update(dict.fromkeys(case.id for case in (found if isinstance(found, Sequence) else [found])))
        return found


class Loader(Generic[Made]):
    """Has batches made ahead of time by workers, in order, whatever their number.

    Use it as a context manager: the workers end with it, and by themselves if this process dies.

    Args:
        pool: the workers.
        make: makes the batch of a number, in a worker.
        workers: how many they are.
    """

    def __init__(self, pool: Executor, make: Callable[[int], Made], workers: int) -> None:
        self._pool, self._make, self._ahead = pool, make, batches_ahead(workers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def batches(self, start: int, stop: int) -> Generator[Made, None, None]:
        """Yield batches number `start` to `stop` - 1.

        Raises:
            VmsegError: a worker was ended from outside; errors inside a worker come through as they are.
        """
        pending: deque[Future[Made]] = deque()
        coming, begun = iter(range(start, stop)), False
        try:
            for number in coming:
                pending.append(self._pool.submit(self._make, number))
                if len(pending) >= self._ahead:
                    batch, begun = pending.popleft().result(), True
                    yield batch
            while pending:
                batch, begun = pending.popleft().result(), True
                yield batch
        except BrokenProcessPool as error:
            raise _lost(begun) from error
        finally:
            for future in pending:  # of a training that goes back, or has ended
                future.cancel()


class BatchLoader(Loader[Batch]):
    """Makes batches.

    Args:
        source: what to make.
        workers: number of processes.
        threads: workers are threads of this process. They suit a source that only reads: a process takes longer to
            hand over a large patch than to read it, and much of that time is this process's own.
        empty: makes the arrays that threads fill: where a device reads them from.
    """

    def __init__(self, source: BatchSource, workers: int, threads: bool = False, empty: Empty = np.empty) -> None:
        if threads or not may_have_workers():
            make = partial(source.batch, source.open(), empty=empty)
            super().__init__(ThreadPoolExecutor(workers), make, workers)
        else:
            super().__init__(Workers(workers, _start, (source,)), _make, workers)


class BoxLoader(Loader[Boxes]):
    """Draws the boxes of batches, in threads.

    Args:
        source: what to draw.
        workers: number of threads.
    """

    def __init__(self, source: BatchSource, workers: int) -> None:
        super().__init__(ThreadPoolExecutor(workers), partial(source.boxes, source.open()), workers)


def batches_ahead(workers: int) -> int:
    """Return how many batches are made before the first is taken: so many steps hardly wait for data.

    >>> batches_ahead(1)
    3
    """
    return 2 * workers + 1


def _seed(rng: np.random.Generator) -> int:
    """Draw the seed of a sample's augmentation."""
    return int(rng.integers(2**31))


def _lost(begun: bool) -> VmsegError:
    """Return the error of a worker that is gone, after its first batch or before."""
    again = "Close other programs or use --jobs 1, then run the same command again: it goes on."
    if begun:
        problem = "a process that prepares training patches was ended from outside, most likely for want of memory"
        return VmsegError(problem, remedy=again)
    return VmsegError(
        "no process that prepares training patches could be started: it ran a script of your own anew whose calls do "
        f"not stand below {GUARD}, or was ended from outside for want of memory",
        remedy=f"Put the script's calls below {GUARD}. Without such a script: {again[0].lower()}{again[1:]}",
    )


_worker: dict[str, Any] = {}


def _start(source: BatchSource) -> None:
    _worker["source"] = source


def _make(number: int) -> Batch:
    source: BatchSource = _worker["source"]
    if "cases" not in _worker:  # not in _start: what an initializer raises is lost to the parent
        _worker["cases"] = source.open()
    return source.batch(_worker["cases"], number)
