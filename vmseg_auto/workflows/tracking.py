"""Loggers of the user's choice follow a training. history.csv is written in any case."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from vmseg_auto.contracts import Logger, Tracking
from vmseg_auto.data.runs import FoldFolder
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.training.loop import EpochRecord
from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.workflows.job import Job


@contextmanager
def tracking(job: Job, fold: FoldFolder, config: TrainingConfig) -> Iterator[Callable[[EpochRecord], None]]:
    """Yield a function that passes a fold's epochs on to the job's loggers; one that fails later on is warned of once,
    and left out.

    Raises:
        VmsegError: a logger can't begin.
    """
    title = f"{job.run.name}/{fold.folder.name}"
    open_: dict[str, Tracking] = {}

    def attempt(name: str, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # a server that is down is no reason to stop a training
            open_.pop(name, None)
            job.console.warn(f"the logger {name} failed and gets no more of {title} ({error}); history.csv goes on")

    def log_epoch(record: EpochRecord) -> None:
        values = {name: value for name, value in record.to_row().items() if name != "epoch" and math.isfinite(value)}
        for name, track in list(open_.items()):
            attempt(name, partial(track.log, record.epoch, values))

    try:
        for logger in job.loggers:
            open_[logger.name] = _begin(logger, job.space.tracking(logger.name), title, _settings(job, fold, config))
        yield log_epoch
    finally:
        for name, track in list(open_.items()):
            attempt(name, track.close)


def _settings(job: Job, fold: FoldFolder, config: TrainingConfig) -> dict[str, Any]:
    plan = {"planner": job.plan.planner, "patch": str(job.plan.patch), "batch_size": job.plan.batch_size}
    settings = {
        name: value if isinstance(value, (int, float)) else str(value) for name, value in config.to_json().items()
    }
    return {"trainer": job.trainer.name, "fold": str(fold.name), **plan, **settings}


def _begin(logger: Logger, folder: Path, title: str, settings: Mapping[str, Any]) -> Tracking:
    try:
        return logger(folder, title, settings)
    except Exception as error:
        raise VmsegError(
            f"the logger {logger.name} can't begin ({error})",
            file=folder,
            remedy="Set it up as its own documentation says, or train without it.",
        ) from error
