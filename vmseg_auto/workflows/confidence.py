"""What the validation cases tell of confidence: the Dice to expect, and masks that may be wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.runs import Run
from vmseg_auto.evaluation.calibration import calibrate, calibrate_without
from vmseg_auto.evaluation.confidence import Calibration, Confidence, Expectation, VolumeConfidence
from vmseg_auto.evaluation.confidence_figures import confidence_figures
from vmseg_auto.evaluation.confidence_record import ConfidenceFigures
from vmseg_auto.evaluation.evaluate import Evaluation, read_pair
from vmseg_auto.evaluation.expected_quality import EXPECTED_COLUMNS, expected_columns
from vmseg_auto.evaluation.label_check import contradiction
from vmseg_auto.evaluation.reliability import Reliability
from vmseg_auto.figures.plots import write_charts
from vmseg_auto.figures.validation_charts import expected_dice_chart
from vmseg_auto.utils.atomic import write_sealed
from vmseg_auto.utils.tables import write_csv

CONFIDENCE_COLUMNS = (
    "rank", "case", "patient", "uncertainty", "scatter", *EXPECTED_COLUMNS, "traffic_light", "dice",
    "brier", "calibration_error",
)  # fmt: skip
LABEL_CHECK_COLUMNS = (
    "rank", "case", "patient", "dice", "expected_dice", "slice", "outlined_ml", "predicted_ml", "what",
)  # fmt: skip


@dataclass(frozen=True)
class ValidationConfidence:
    """Every validation case with what was to be expected of it.

    Args:
        cases, patients, confidence: of each validation case.
        dice: the mean over labels that it has.
        reliability: of the voxels' probabilities.
        without: what the other patients' cases alone tell; None where they are too few.
        calibration: from all cases; None where they are too few.
    """

    cases: Sequence[str]
    patients: Sequence[str]
    confidence: Sequence[Confidence]
    dice: NDArray[np.float64]
    reliability: Sequence[Reliability]
    without: Sequence[Calibration | None]
    calibration: Calibration | None

    @property
    def expected(self) -> list[Expectation | None]:
        """Of each case, told without its patient."""
        return [one.expect(case) if one else None for one, case in zip(self.without, self.confidence, strict=True)]

    @property
    def figures(self) -> ConfidenceFigures:
        """What the certainty is worth, in figures."""
        voxels = np.array([(one.brier, one.calibration_error) for one in self.reliability])
        by = "the Dice to expect, estimated from the other patients' cases"
        certain = by if None not in self.without else "uncertainty"
        return confidence_figures(self._certainty(), self.dice, voxels, self.patients, certain)

    @property
    def reasons(self) -> list[str]:
        """In words, what it comes to."""
        told = [(e, float(d)) for e, d in zip(self.expected, self.dice, strict=True) if e]
        figures = [one.text() for one in self.figures.figures]
        if not told:
            there = len(set(self.patients))
            few = f"it takes {VolumeConfidence.FEWEST_PATIENTS} other patients, and here are {there} in all"
            return [f"no Dice to expect is given: {few}", *figures]
        inside = sum(expected.low <= dice <= expected.high for expected, dice in told)
        error = np.mean([abs(expected.dice - dice) for expected, dice in told])
        worst = set(np.argsort(self.dice, kind="stable")[: len(self.cases) // 5].tolist())
        least = self._least_certain()[: 3 * len(self.cases) // 10]
        return [
            f"estimated from the other patients' cases, the Dice of {len(told)} validation cases is {error:.3f} off on "
            f"average; {inside} lie in their interval of four in five",
            f"{len(worst & set(least))} of the {len(worst)} cases with the lowest Dice are among the "
            f"{len(least)} least certain ones",
            *figures,
        ]

    def save(self, run: Run, files: Mapping[str, tuple[Path, Path]], labels: Mapping[str, int]) -> None:
        """Write confidence.csv and confidence.json, their picture where anything can be told, and label_check.csv.

        Args:
            files: case -> its predicted and its reference mask.
            labels: label name -> value, as masks may hold them.
        """
        write_csv(run.confidence, CONFIDENCE_COLUMNS, [self._row(i, n) for n, i in enumerate(self._least_certain(), 1)])
        write_sealed(run.confidence_figures, self.figures.to_json())
        if told := [(e.dice, e.low, e.high, d) for e, d in zip(self.expected, self.dice, strict=True) if e]:
            write_charts([expected_dice_chart(np.array(told).T)], run.confidence_picture)
        suspects = np.argsort([-self._shortfall(i) for i in range(len(self.cases))], kind="stable")
        rows = [
            self._row(i, n) | _differences(self.cases[i], *files[self.cases[i]], labels)
            for n, i in enumerate(suspects.tolist(), 1)
        ]
        write_csv(run.label_check, LABEL_CHECK_COLUMNS, rows)

    def _least_certain(self) -> list[int]:
        """Return the indices of the cases, the least certain first."""
        order: list[int] = np.argsort(self._certainty(), kind="stable").tolist()
        return order

    def _certainty(self) -> NDArray[np.float64]:
        """Return how certain each case is: by the Dice to expect, estimated without its patient, or else by the
        uncertainty alone.
        """
        lines = [one.line(case) for one, case in zip(self.without, self.confidence, strict=True) if one]
        known = len(lines) == len(self.confidence)
        return np.array(lines if known else [-case.uncertainty for case in self.confidence])

    def _shortfall(self, index: int) -> float:
        """Return how far the Dice lies under the expected one: a doubtful prediction contradicts no mask."""
        expected = self.expected[index]
        return (expected.dice if expected else 1.0) - float(self.dice[index])

    def _row(self, index: int, rank: int) -> dict[str, Any]:
        return {
            "rank": rank,
            "case": self.cases[index],
            "patient": self.patients[index],
            "uncertainty": self.confidence[index].uncertainty,
            "scatter": self.confidence[index].scatter,
            **expected_columns(self.expected[index]),
            "traffic_light": told.light(self.confidence[index]) if (told := self.without[index]) else None,
            "dice": float(self.dice[index]),
            "brier": self.reliability[index].brier,
            "calibration_error": self.reliability[index].calibration_error,
        }


def judge(
    confidence: Mapping[str, Confidence], scores: Evaluation, reliability: Mapping[str, Reliability]
) -> ValidationConfidence:
    """Compare the confidence of validation cases with their scores.

    Args:
        confidence: of every scored case.
        scores: of them all.
        reliability: of every scored case.
    """
    table = scores.table.groupby(["case", "patient"])["dice"].mean().reset_index()
    cases, patients = [str(case) for case in table["case"]], [str(patient) for patient in table["patient"]]
    known, dice = [confidence[case] for case in cases], table["dice"].to_numpy(float)
    return ValidationConfidence(
        cases,
        patients,
        known,
        dice,
        [reliability[case] for case in cases],
        calibrate_without(known, dice, patients),
        calibrate(known, dice, patients),
    )


def _differences(case: str, predicted: Path, reference: Path, labels: Mapping[str, int]) -> dict[str, Any]:
    found = contradiction(*read_pair(case, predicted, reference, labels), labels)
    return {
        "slice": found.slice,
        "outlined_ml": found.outlined_ml,
        "predicted_ml": found.predicted_ml,
        "what": found.words,
    }
