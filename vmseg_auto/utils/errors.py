"""The errors a user can meet. Each names the case, the file, what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vmseg_auto.utils.console import shown


class VmsegError(Exception):
    """Something went wrong that a user can act on.

    Args:
        problem: what is wrong, in one sentence without a full stop.
        case: the id of the case concerned.
        file: the file or folder concerned.
        remedy: what to do about it.
    """

    exit_code = 1
    errors: tuple[VmsegError, ...] = ()
    """What it tells of, where that is several."""
    told = False
    """Whether another process of the same command tells the user."""

    def __init__(
        self, problem: str, *, case: str | None = None, file: str | Path | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(problem)
        self.problem, self.case, self.file, self.remedy = problem, case, file, remedy

    def __str__(self) -> str:
        case = [f"case {shown(self.case, lines=False)}"] * (self.case is not None)
        where = ", ".join(case + [shown(self.file, lines=False)] * (self.file is not None))
        text = f"{where}: {self.problem}" if where else self.problem
        if self.remedy:  # a list keeps its lines
            text = f"{text.rstrip()}\n{self.remedy}" if "\n" in text else f"{text.removesuffix('.')}. {self.remedy}"
        return "\n".join([text, *(f"  - {error}" for error in self.errors)])


class InputError(VmsegError):
    """Bad input or use: files, settings or an order of commands that can't work."""

    exit_code = 2


class NoMaskError(InputError):
    """A file holds intensities where labels are wanted."""


class DamagedError(InputError):
    """A file does not hold what was written to it."""


class DatasetError(InputError):
    """Several bad cases, reported at once. `errors` holds one VmsegError for each."""

    def __init__(self, problem: str, errors: Sequence[VmsegError], *, remedy: str | None = None) -> None:
        super().__init__(problem, remedy=remedy)
        self.errors = tuple(errors)
        self.args = (problem, self.errors)  # what unpickling calls, on the way out of a worker process


class SomeCasesFailedError(VmsegError):
    """The work is done, but some cases failed.

    Args:
        errors: one for each case that failed.
        done: what was written of the others, where that is for the caller to go on with.
    """

    exit_code = 3

    def __init__(self, problem: str, errors: Sequence[VmsegError], done: Sequence[Path] = ()) -> None:
        super().__init__(problem)
        self.errors, self.done = tuple(errors), tuple(done)
        self.args = (problem, self.errors)


class AttentionNeededError(SomeCasesFailedError):
    """The check is done, and some things want attention; `errors` holds one VmsegError for each."""
