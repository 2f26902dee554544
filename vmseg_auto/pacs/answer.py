"""The prediction of a received series, in a process of its own.

So a scan that crashes a decoder or takes all memory ends that process, and never the node; the node stays small, as it
loads neither torch nor a model; and its network threads are never kept waiting.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from vmseg_auto.utils.console import Silent
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.workers import safe_path, serve

if TYPE_CHECKING:
    from vmseg_auto.inference.predictor import Backend

T = TypeVar("T")
_TICK_S = 0.2


@dataclass(frozen=True)
class Model:
    """What a model is, as far as the node must know.

    Args:
        path: a model's folder or zip.
        digest: a hash of all that decides a mask but the scan.
        channel: what its scans are called.
    """

    path: str
    digest: str
    channel: str


@dataclass(frozen=True)
class Options:
    """How received series are predicted: as `vmseg_predict` has it."""

    formats: tuple[str, ...]
    series: tuple[str, ...] = ()
    echo: int | None = None
    device: str = "auto"
    backend: Backend = "torch"
    jobs: int | None = None


def model_facts(path: str, device: str, backend: Backend) -> Model:
    """Load a model, and return what it is.

    Raises:
        InputError: it can't be used, or takes several channels.
    """
    from vmseg_auto.inference.predictor import Predictor
    from vmseg_auto.workflows.ensemble import ModelEnsemble, models_of

    with models_of(path, None, None, Silent()) as (runs, rule):
        ensemble = ModelEnsemble([Predictor.load(run.folder, device=device, backend=backend) for run in runs], rule)
        if len(ensemble.channels) > 1:
            problem = f"the model takes {len(ensemble.channels)} channels, and a series is one"
            raise InputError(problem, file=path, remedy="Give the node a model of one channel.")
        return Model(path, ensemble.digest(), ensemble.channels[0])


def write_answer(scan: Path, output: Path, model: Model, options: Options) -> list[str]:
    """Predict a series, and write its results; returns what was noticed, in words.

    Args:
        scan: folder of its images.
        output: folder of the results, as `vmseg_predict` writes it.

    Raises:
        InputError: the scan can't be predicted, or is none that is wanted.
        VmsegError: the results can't be written.
    """
    from vmseg_auto.data.dicom.series import Choice
    from vmseg_auto.data.dicom.series_files import find_series
    from vmseg_auto.data.dicom.weighting import times, unlike
    from vmseg_auto.workflows.predict import predict

    if not options.series:
        for one, kind, wanted in unlike(find_series(scan, Choice(echo=options.echo)), model.channel):
            told = f" ({shown})" if (shown := times(one)) else ""
            raise InputError(f"it looks {kind}-weighted{told}, and the model wants {wanted}", case=one.name)
    notes = _Notes()
    predict(
        scan,
        output,
        model=model.path,
        mask_formats=options.formats,
        series=options.series,
        echo=options.echo,
        device=options.device,
        backend=options.backend,
        jobs=options.jobs,
        console=notes,
    )
    return notes.warned


@dataclass
class _Notes(Silent):
    """A console that keeps warnings."""

    warned: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        self.warned.append(text)


class EndedError(VmsegError):
    """A process ended without an answer: the system has ended it, it crashed, or met an error that nobody expected."""


def in_process(stopped: Callable[[], bool], work: Callable[..., T], *arguments: Any) -> T | None:
    """Run a function in a process of its own, and return what it returns; None where it was stopped.

    Args:
        stopped: asked again and again; the process is ended as soon as it says so.
        work: a function that a process finds by name.

    Raises:
        VmsegError, InputError: the function did.
        EndedError: the process ended without a word, or the function raised another exception.
    """
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    with safe_path():
        process = context.Process(target=_run, args=(theirs, work, arguments))
        process.start()
    theirs.close()
    try:
        while not ours.poll(_TICK_S):
            if stopped():
                return None
        try:
            done: _Done[T] = ours.recv()
        except EOFError:
            process.join()
            raise EndedError(f"the process that predicts ended with code {process.exitcode}") from None
    finally:
        process.kill()
        process.join()
        ours.close()
    if done.error is not None:
        raise done.error
    return done.value


@dataclass(frozen=True)
class _Done(Generic[T]):
    value: T | None = None
    error: VmsegError | None = None


def _run(theirs: Connection, work: Callable[..., T], arguments: tuple[Any, ...]) -> None:
    serve()
    try:
        done: _Done[T] = _Done(work(*arguments))
    except VmsegError as error:
        done = _Done(error=error)
    except Exception as error:  # its words may repeat what a header says
        at = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(at.filename).name}:{at.lineno}"
        done = _Done(error=EndedError(f"an unexpected {type(error).__name__} in {where} ended the prediction"))
    theirs.send(done)
