"""Validation cases in pictures: the best, the middling and the worst, and masks that may be wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.dataset import Case, Dataset, Splits
from vmseg_auto.data.pseudonyms import Names
from vmseg_auto.data.runs import Run
from vmseg_auto.data.scans import read_scan
from vmseg_auto.evaluation.evaluate import read_pair
from vmseg_auto.figures.crops import Volume, around_lesions, cut, grey_levels, turned
from vmseg_auto.figures.outlined import OutlinedSlice, outlined_slice
from vmseg_auto.figures.overlays import lesions_of
from vmseg_auto.figures.slices import View, grey_window
from vmseg_auto.report.render import Table
from vmseg_auto.report.words import require_named, shown
from vmseg_auto.report.words import volume as ml_words
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.label_masks import without_ignored
from vmseg_auto.utils.labels import IGNORE
from vmseg_auto.workflows.run_tables import Row, read_label_check

EACH = 3
"""Pictures of each kind."""
SUSPECTS = 6
"""Pictures of masks that may be wrong; the table lists twice as many."""
_LESIONS = 6
_REFERENCE, _PREDICTION = 1, 2
"""Bits of a volume's mask."""


@dataclass(frozen=True)
class Shown:
    """A picture with what is written under it."""

    title: str
    note: str
    picture: OutlinedSlice


@dataclass(frozen=True)
class Gallery:
    """Pictures of one kind."""

    title: str
    shown: tuple[Shown, ...]


@dataclass(frozen=True)
class Suspects:
    """Masks that may be wrong."""

    table: Table
    shown: tuple[Shown, ...]


@dataclass(frozen=True)
class Album:
    """Draws validation cases of a run.

    Args:
        run: cross-validated.
        splits: tells which fold held a case out.
        dataset: where scans and masks lie.
        names: what cases are called.
        whole: whether whole slices may be shown, and not the surroundings of lesions alone.
    """

    run: Run
    splits: Splits
    dataset: Dataset
    names: Names
    whole: bool

    def drawable(self, dice: Mapping[str, float]) -> dict[str, float]:
        """Return the cases whose scan and both masks are still there."""
        there = {case.id for case in self.dataset.cases}
        validation = {case for fold in self.splits.folds for case in fold.val}
        known = {case: value for case, value in dice.items() if case in there & validation}
        return {case: value for case, value in known.items() if all(path.is_file() for path in self._files(case))}

    def galleries(self, dice: Mapping[str, float]) -> tuple[Gallery, ...]:
        """Return the best, middling and worst cases; `dice`: case -> Dice."""
        order = sorted(dice, key=lambda case: dice[case])
        each = min(EACH, len(order) // 3) or min(1, len(order))
        middle = (len(order) - each) // 2
        kinds = (
            ("Best", order[::-1][:each]),
            ("Median", order[middle : middle + each]),
            ("Worst", order[:each]),
        )
        return tuple(
            Gallery(title, tuple(self._draw(case, f"Dice {shown(dice[case])}") for case in cases))
            for title, cases in kinds
        )

    def suspects(self) -> Suspects | None:
        """Return what label_check.csv lists, the first in pictures; None without the file."""
        if not self.run.label_check.is_file():
            return None
        told = read_label_check(self.run)
        require_named(told, self.names, self.run.label_check)
        rows = [
            row for row in told if row["slice"] and row["dice"] < _expected(row) and self.drawable({row["case"]: 0.0})
        ]
        table = Table(
            "Outlines that the model contradicts most",
            ("Scan", "Dice", "Expected", "Slice", "Outlined only (mL)", "Predicted only (mL)", "What to look for"),
            tuple(self._cells(row) for row in rows[: 2 * SUSPECTS]),
        )
        pictures = [self._draw(row["case"], row["what"], row["slice"]) for row in rows[:SUSPECTS]]
        return Suspects(table, tuple(pictures))

    def _cells(self, row: Row) -> tuple[str, ...]:
        volumes = (ml_words(row[name]) for name in ("outlined_ml", "predicted_ml"))
        dice = (shown(row[name]) for name in ("dice", "expected_dice"))
        return self.names.cases[row["case"]], *dice, str(row["slice"]), *volumes, row["what"]

    def _draw(self, case: str, note: str, number: int | None = None) -> Shown:
        """Draw a slice of a case: that of this number, where slices lie along the file's Z, else the fullest."""
        reference, prediction = self._files(case)
        predicted, wanted, geometry = read_pair(case, prediction, reference, self.dataset.mask_labels)
        partly = " in what is annotated" if (wanted == IGNORE).any() else ""
        predicted, wanted = without_ignored(predicted, wanted)
        image, _ = read_scan(self._case(case).images[0], case)
        marks = ((wanted != 0) * _REFERENCE + (predicted != 0) * _PREDICTION).astype(np.uint8)
        view = View.of(geometry)
        volume = turned(Volume(grey_levels(image, grey_window(image)), marks, geometry), view)
        if number is not None and view.order[0] == 0:
            index = self._index(view, case, number)
        else:
            index = _fullest(view(wanted if wanted.any() else predicted))
        _, rows, columns = volume.image.shape
        one = cut(volume, ((index, index + 1), (0, rows), (0, columns)))
        lesions, _ = lesions_of((one.mask != 0).astype(np.uint8), one.geometry, {"any": 1}, _LESIONS)
        if lesions and not self.whole:
            one = around_lesions(one, np.logical_or.reduce([lesion.mask for lesion in lesions]))
        ml = [np.count_nonzero(mask) * geometry.voxel_ml for mask in (wanted, predicted)]
        volumes = f"outlined {ml_words(ml[0])} mL, predicted {ml_words(ml[1])} mL{partly}"
        told = f"{volumes}; {view.plane} slice {view.number(index)}"
        masks = {"reference": one.mask[0] & _REFERENCE != 0, "prediction": one.mask[0] & _PREDICTION != 0}
        name = self.names.cases[case]
        drawn = outlined_slice(one.image[0], masks, one.geometry.spacing_mm[1:], view.sides, f"{name}: {told}")
        return Shown(name, f"{note}; {told}", drawn)

    def _index(self, view: View, case: str, number: int) -> int:
        """Return the place in a view of the slice with this number.

        Raises:
            InputError: label_check.csv names a slice that the scan has not.
        """
        for index in range(view.count):
            if view.number(index) == number:
                return index
        problem = f"it names slice {number}, but the scan has {view.count}"
        remedy = "Restore the table, or make it anew by the command that wrote it."
        raise InputError(problem, case=self.names.cases[case], file=self.run.label_check, remedy=remedy)

    def _files(self, case: str) -> tuple[Path, Path]:
        """Return a case's reference and its validation prediction."""
        fold = next(number for number, fold in enumerate(self.splits.folds) if case in fold.val)
        label = self._case(case).label
        assert label is not None, "training cases have masks"
        return label, self.run.fold(fold).mask(case, self.dataset.file_ending)

    def _case(self, case: str) -> Case:
        return next(one for one in self.dataset.cases if one.id == case)


def _expected(row: Row) -> float:
    expected: float = row["expected_dice"]
    return expected if isfinite(expected) else 1.0


def _fullest(mask: NDArray[np.uint8]) -> int:
    return int(np.argmax(np.count_nonzero(mask, axis=(1, 2))))
