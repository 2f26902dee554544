"""Held-out cases in pictures: the best, the middling and the worst, and masks that may be wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vmseg_auto.core.dataset import Case, Dataset, Splits
from vmseg_auto.core.pseudonyms import Names
from vmseg_auto.core.workspace import Run
from vmseg_auto.io.images import read_image
from vmseg_auto.io.tables import read_csv
from vmseg_auto.ops.pictures import Picture, picture
from vmseg_auto.ops.views import Volume, around_lesions, cut, grey_levels, grey_window, largest_lesions, turned
from vmseg_auto.pipeline.report.words import shown, value_of, volume
from vmseg_auto.stages.evaluate import read_pair
from vmseg_auto.stages.report import Table

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
    picture: Picture


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
    """Draws held-out cases of a run.

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
        """Those of the cases whose scan and both masks are still there."""
        there = {case.id for case in self.dataset.cases}
        held_out = {case for fold in self.splits.folds for case in fold.val}
        known = {case: value for case, value in dice.items() if case in there & held_out}
        return {case: value for case, value in known.items() if all(path.is_file() for path in self._files(case))}

    def galleries(self, dice: Mapping[str, float]) -> tuple[Gallery, ...]:
        """The best, middling and worst cases; `dice`: case -> Dice."""
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
        """What label_check.csv lists, the first in pictures; None without the file."""
        if not self.run.label_check.is_file():
            return None
        rows = [
            row
            for row in read_csv(self.run.label_check)
            if row["slice"] and value_of(row["dice"]) < _expected(row) and self.drawable({row["case"]: 0.0})
        ]
        table = Table(
            "Outlines that the model contradicts most",
            ("Scan", "Dice", "Expected", "Slice", "Outlined only (mL)", "Predicted only (mL)", "What to look for"),
            tuple(self._cells(row) for row in rows[: 2 * SUSPECTS]),
        )
        pictures = [self._draw(row["case"], row["what"], int(row["slice"]) - 1) for row in rows[:SUSPECTS]]
        return Suspects(table, tuple(pictures))

    def _cells(self, row: Mapping[str, str]) -> tuple[str, ...]:
        volumes = (volume(value_of(row[name])) for name in ("outlined_ml", "predicted_ml"))
        dice = (shown(value_of(row[name])) for name in ("dice", "expected_dice"))
        return self.names.cases[row["case"]], *dice, row["slice"], *volumes, row["what"]

    def _draw(self, case: str, note: str, index: int | None = None) -> Shown:
        """A slice of a case: the one given, else the one with most of the outline."""
        reference, prediction = self._files(case)
        predicted, wanted, geometry = read_pair(case, prediction, reference, self.dataset.labels)
        image, _ = read_image(self._case(case).images[0], case)
        marks = (wanted != 0) * _REFERENCE + (predicted != 0) * _PREDICTION
        if index is None:
            index = _fullest(wanted if wanted.any() else predicted)
        window = grey_window(image)
        one = cut(
            Volume(image, marks.astype(np.uint8), geometry),
            ((index, index + 1), (0, image.shape[1]), (0, image.shape[2])),
        )
        one, edges = turned(one)
        lesions = largest_lesions((one.mask != 0).astype(np.uint8), _LESIONS)
        if lesions and not self.whole:
            one = around_lesions(one, np.logical_or.reduce(lesions))
        ml = [np.count_nonzero(mask) * geometry.voxel_ml for mask in (wanted, predicted)]
        words = f"Slice {index + 1} of {self.names.cases[case]}: outlined {volume(ml[0])} mL, predicted {volume(ml[1])} mL."
        masks = {"reference": one.mask[0] & _REFERENCE != 0, "prediction": one.mask[0] & _PREDICTION != 0}
        drawn = picture(
            grey_levels(one.image[0], window), masks, one.geometry.spacing_mm, edges, words, one.first_slice
        )
        size = f"outlined {volume(ml[0])} mL, predicted {volume(ml[1])} mL"
        return Shown(self.names.cases[case], f"{note}; {size}; slice {index + 1}", drawn)

    def _files(self, case: str) -> tuple[Path, Path]:
        """A case's reference and its held-out prediction."""
        fold = next(number for number, fold in enumerate(self.splits.folds) if case in fold.val)
        label = self._case(case).label
        assert label is not None, "training cases have masks"
        return label, self.run.fold(fold).mask(case, self.dataset.file_ending)

    def _case(self, case: str) -> Case:
        return next(one for one in self.dataset.cases if one.id == case)


def _expected(row: Mapping[str, str]) -> float:
    expected = value_of(row["expected_dice"])
    return expected if expected == expected else 1.0


def _fullest(mask: np.ndarray) -> int:
    return int(np.argmax(np.count_nonzero(mask, axis=(1, 2))))

