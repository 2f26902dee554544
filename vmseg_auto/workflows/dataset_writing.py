"""Write the members of a dataset that is being made, or grows: images, masks, registrations, description and key."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.cases import over_cases, read_case
from vmseg_auto.data.dataset import Case
from vmseg_auto.data.dataset_json import OPTIONAL
from vmseg_auto.data.dataset_key import KeyRow, write_dataset_key
from vmseg_auto.data.images.images import write_image, write_mask
from vmseg_auto.data.images.registry import USUAL
from vmseg_auto.data.made_dataset import REGISTRATION, MadeDataset
from vmseg_auto.utils.atomic import new_folder, scratch_folder, sync_folder, write_json
from vmseg_auto.utils.console import Console
from vmseg_auto.utils.errors import DatasetError, VmsegError
from vmseg_auto.utils.folders import is_empty
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.labels import IGNORE_LABEL
from vmseg_auto.workflows.add_patients import Member, Wishes
from vmseg_auto.workflows.further_channels import Fit, draw_fits, fitted
from vmseg_auto.workflows.pairs import IGNORED, drawn_mask


@dataclass(frozen=True)
class Writing:
    """How members are written, and beside what rows of the key.

    Args:
        wishes: what is wanted of the dataset.
        rows: of the key, of those who are in the dataset, or were.
        key: where it lies.
        strict: whether one case that can't be used stops all.
        jobs: threads.
        console: where progress goes.
    """

    wishes: Wishes
    rows: Sequence[KeyRow]
    key: Path
    strict: bool
    jobs: int
    console: Console

    def new(self, target: Path, members: Sequence[Member]) -> tuple[list[Member], list[VmsegError]]:
        """Write dataset and key, whole or not at all; gives who is written, and what is wrong with others."""
        if is_empty(target):
            target.rmdir()
        again = self.key.is_file()
        try:
            with new_folder(target) as folder:
                written, failed = self._cases(members, folder)
                write_json(folder / "dataset.json", _description(written, self.wishes))
                # Before the folder gets its name: a dataset without its key could never be traced back.
                self._write_key(written)
        except BaseException:
            if not again:
                self.key.unlink(missing_ok=True)
            raise
        return written, failed

    def into(self, there: MadeDataset, members: Sequence[Member]) -> tuple[list[Member], list[VmsegError]]:
        """Write into a dataset that is there; gives who is written, and what is wrong with others.

        The key comes first, then dataset.json, then masks before images: wherever a killed command has stopped, no
        case stands there unnoticed without patient or mask, and --add goes on.
        """
        with scratch_folder(there.folder) as scratch:
            written, failed = self._cases(members, scratch)
            self._write_key(written)
            rows = {member.row.case: member.row for member in written}
            there.describe(rows, _ignored(written), optional_channels(written, self.wishes))
            for row in rows.values():
                image, mask = there.files(row)
                for path in (mask, *there.further_files(row), image):
                    if (made := scratch / path.relative_to(there.folder)).is_file():
                        path.parent.mkdir(exist_ok=True)
                        os.replace(made, path)
                        sync_folder(path.parent)
        return written, failed

    def _write_key(self, written: Sequence[Member]) -> None:
        rows = {row.case: row for row in (*self.rows, *(member.row for member in written))}
        write_dataset_key(self.key, rows.values())

    def _cases(self, members: Sequence[Member], folder: Path) -> tuple[list[Member], list[VmsegError]]:
        """Write images and masks.

        Raises:
            DatasetError: none can be used, or not all with `strict`.
        """
        by_scan = {member.pair.scan.case.id: member for member in members}

        def write_case(scan: Case) -> list[str]:
            member, notes = by_scan[scan.id], list[str]()
            part = "Ts" if member.test else "Tr"
            image, _, geometry = read_case(scan, notes=notes)
            mask = drawn_mask(member.pair, self.wishes.segments, self.wishes.outlined)
            fits = self._fits(member, image[0], geometry, notes)
            for number, channel in {0: image[0], **{number: fit.image for number, fit in fits.items()}}.items():
                write_image(folder / f"images{part}" / f"{member.row.case}_{number:04d}{USUAL}", channel, geometry)
            if fits:
                told = folder / REGISTRATION / f"{member.row.case}.png"
                draw_fits(image[0], geometry, list(fits.values()), told, member.row.case)
                write_json(told.with_suffix(".json"), [fit.figures for fit in fits.values()])
            write_mask(folder / f"labels{part}" / f"{member.row.case}{USUAL}", mask, geometry)
            return notes

        with self.console.progress("Writing cases", len(members)) as progress:
            cases = [member.pair.scan.case for member in members]
            noted, failed = over_cases(write_case, cases, self.jobs, progress.advance)
        for note in (note for notes in noted.values() for note in notes):
            self.console.warn(note)
        if failed and (self.strict or not noted):
            problem = f"{len(members) - len(noted)} of {len(members)} cases can't be used; nothing is written"
            raise DatasetError(problem, failed)
        return [by_scan[case] for case in noted], failed

    def _fits(self, member: Member, first: NDArray[np.float32], grid: Geometry, notes: list[str]) -> dict[int, Fit]:
        """Return channel number -> its scan on the first channel's grid, for those that there are."""
        further = zip(self.wishes.further, member.pair.further, strict=True)
        return {
            number: fitted(first, grid, scan, name, member.row.case, notes)
            for number, (name, scan) in enumerate(further, 1)
            if scan is not None
        }


def _description(members: Sequence[Member], wishes: Wishes) -> dict[str, Any]:
    return {
        "channel_names": {str(n): name for n, name in enumerate((wishes.channel, *wishes.further))},
        **({OPTIONAL: optional} if (optional := optional_channels(members, wishes)) else {}),
        "labels": {"background": 0, wishes.label: 1, **_ignored(members)},
        "numTraining": sum(not member.test for member in members),
        "file_ending": USUAL,
        "patients": {member.row.case: member.row.patient for member in members},
    }


def optional_channels(members: Sequence[Member], wishes: Wishes) -> list[str]:
    """Return the channels that some cases lack."""
    return [name for n, name in enumerate(wishes.further) if any(one.pair.further[n] is None for one in members)]


def _ignored(members: Sequence[Member]) -> dict[str, int]:
    """Return the label of voxels that nobody has looked at, where there are any."""
    return {IGNORE_LABEL: IGNORED} if any(member.pair.partly for member in members) else {}
