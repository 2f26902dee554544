"""What a channel is worth: Dice of validation cases as they were scanned, and without each further channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.dataset import Dataset
from vmseg_auto.data.runs import Run
from vmseg_auto.evaluation.evaluate import read_pair
from vmseg_auto.evaluation.metrics.overlap import mean_dice
from vmseg_auto.utils.console import columns
from vmseg_auto.utils.statistics import summarise
from vmseg_auto.utils.tables import write_csv
from vmseg_auto.utils.text import interval
from vmseg_auto.workflows.validation_cases import ValidationCases

COLUMNS = ("case", "patient", "missing", "scanned_so", "dice")
NONE = "none"


@dataclass(frozen=True)
class MissingRow:
    """A case, predicted without some channels.

    Args:
        case, patient: its id, and whose it is.
        missing: names of the channels that were missing; "none" where none was.
        scanned_so: whether the case lacks them, and they were not taken away.
        dice: mean over the labels.
    """

    case: str
    patient: str
    missing: str
    scanned_so: bool
    dice: float


@dataclass(frozen=True)
class DiceByMissing:
    """The rows of missing_channels.csv; none of a model that no channel was dropped in."""

    rows: tuple[MissingRow, ...]

    def save(self, run: Run) -> None:
        """Write missing_channels.csv, or remove an earlier one where there is nothing to tell."""
        if not self.rows:
            run.missing_channels.unlink(missing_ok=True)
            return
        told = [{**vars(row), "scanned_so": "yes" if row.scanned_so else "no"} for row in self.rows]
        write_csv(run.missing_channels, COLUMNS, told)

    def text(self) -> str:
        """Return a table for the screen, a row for each set of missing channels; empty where nothing is to be told."""
        if not self.rows:
            return ""
        table = [("missing", "Dice", "95 % interval", "cases", "scanned so")]
        for missing in dict.fromkeys(row.missing for row in sorted(self.rows, key=lambda row: row.missing != NONE)):
            own = [row for row in self.rows if row.missing == missing]
            found = summarise(np.array([row.dice for row in own]), [row.patient for row in own], (0.0, 1.0))
            bounds = interval(found.low_95, found.high_95, 3)
            table.append((missing, f"{found.mean:.3f}", bounds, f"{len(own)}", f"{sum(row.scanned_so for row in own)}"))
        return f"Dice by missing channel:\n{columns(table)}"


def without_channel(image: NDArray[np.float32], channel: int) -> NDArray[np.float32]:
    """Return a preprocessed image [C, Z, Y, X] as if this channel were missing."""
    emptied = np.array(image)
    emptied[channel] = 0
    return emptied


def dice_by_missing(folds: Sequence[ValidationCases], dataset: Dataset) -> DiceByMissing:
    """Score the masks of validation cases that were predicted without a channel, beside those as they were scanned.

    Raises:
        InputError: a mask is missing or damaged.
    """
    rows = []
    for fold in folds:
        for case, (predicted, reference) in fold.files.items():
            lacking = fold.content[case].missing
            masks = {lacking: predicted, **{(*lacking, channel): path for channel, path in fold.without(case).items()}}
            for channels, path in masks.items():
                names = ", ".join(dataset.channels[channel] for channel in sorted(channels)) or NONE
                mask, wanted, _ = read_pair(case, path, reference, dataset.mask_labels)
                dice = mean_dice(mask, wanted, dataset.labels)
                rows.append(MissingRow(case, dataset.patients[case], names, channels == lacking, dice))
    return DiceByMissing(tuple(rows) if any(row.missing != NONE for row in rows) else ())
