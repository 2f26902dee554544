"""The start folder as it stands: what lies below it, the dataset that is worked on, and the jobs that were started."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vmseg_auto.data.workspace import USUAL, Workspace
from vmseg_auto.start.folders import Found, Kind, find_folders
from vmseg_auto.start.jobs import Job
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.workflows.paths import read_splits


@dataclass(frozen=True)
class Place:
    """The start folder as it stands.

    Args:
        root: the folder.
        dataset: the dataset that is worked on, as seen from it; empty where there is none.
        folders: what lies below.
        jobs: that were started, the latest last.
        unlisted: how many folders and zips more there are than are listed.
    """

    root: Path
    dataset: str
    folders: tuple[Found, ...]
    jobs: tuple[Job, ...] = ()
    unlisted: int = 0

    @classmethod
    def of(cls, root: Path, dataset: str | None, jobs: Sequence[Job] = ()) -> Place:
        """Look at a start folder.

        Args:
            dataset: the one that is worked on; the first there is, unless given.

        Raises:
            InputError: there is no such dataset.
        """
        folders, unlisted = find_folders(root)
        known = [one.path for one in folders if one.kind == "dataset"]
        if dataset and dataset not in known:
            raise InputError("this dataset is not there any more", remedy="Choose another, or load the page again.")
        return cls(root, dataset or (known[0] if known else ""), tuple(folders), tuple(jobs), unlisted)

    def paths(self, *kinds: Kind) -> list[str]:
        """List what lies below and is of these kinds."""
        return [one.path for one in self.folders if one.kind in kinds]

    def options(self, *kinds: Kind) -> tuple[tuple[str, str], ...]:
        """Return what of these kinds lies below, as a choice."""
        return tuple((one.path, one.words) for one in self.folders if one.kind in kinds)

    @property
    def space(self) -> Workspace:
        return Workspace(self.root / self.dataset / USUAL)

    @cached_property
    def folds(self) -> int:
        """How many folds the split has; 0 before there is one, and where it can't be read."""
        with suppress(VmsegError):
            return len(read_splits(self.space).folds)
        return 0

    @cached_property
    def is_planned(self) -> bool:
        return bool(self.dataset and self.folds and self.space.plans())
