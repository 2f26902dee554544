"""What the held-out cases tell of trust: the Dice to expect, and masks that may be wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.core.trust import Calibration, Expectation, Trust
from vmseg_auto.core.workspace import Run
from vmseg_auto.io.tables import write_csv
from vmseg_auto.ops.calibration import calibrate, expect_held_out
from vmseg_auto.ops.label_check import contradiction
from vmseg_auto.ops.plots import draw_trust
from vmseg_auto.pipeline.expected import EXPECTED_COLUMNS, expected_columns
from vmseg_auto.stages.evaluate import Evaluation, read_pair

TRUST_COLUMNS = ("rank", "case", "patient", "uncertainty", *EXPECTED_COLUMNS, "dice")
LABEL_CHECK_COLUMNS = (
    "rank", "case", "patient", "dice", "expected_dice", "slice", "outlined_ml", "predicted_ml", "what",
)  # fmt: skip


@dataclass(frozen=True)
class HeldOutTrust:
    """Every held-out case with what was to be expected of it, in the order of `cases`.

    Args:
        cases, patients, trust: who, and what the looks said.
        dice: the mean over labels that it has.
        expected: told by the other patients' cases alone; None where they are too few.
        calibration: from all cases; None where they are too few.
    """

    cases: Sequence[str]
    patients: Sequence[str]
    trust: Sequence[Trust]
    dice: NDArray[np.float64]
    expected: Sequence[Expectation | None]
    calibration: Calibration | None

    @property
    def reasons(self) -> list[str]:
        """In words, what it comes to."""
        if self.calibration is None:
            return ["too few patients to tell what Dice is to be expected of a new scan"]
        inside = sum(e.low <= d <= e.high for e, d in zip(self.expected, self.dice, strict=True) if e)
        told = sum(e is not None for e in self.expected)
        worst = set(np.argsort(self.dice, kind="stable")[: len(self.cases) // 5].tolist())
        least = self._least_certain()[: 3 * len(self.cases) // 10]
        found = len(worst & set(least))
        return [
            f"{inside} of {told} held-out cases lie in the interval told by the other patients' cases",
            f"{found} of the {len(worst)} cases with the lowest Dice are among the {len(least)} least certain ones",
        ]

    def save(self, run: Run, files: Mapping[str, tuple[Path, Path]], labels: Mapping[str, int]) -> None:
        """Write trust.csv, its picture where there is a calibration, and label_check.csv.

        Args:
            files: case -> its predicted and its reference mask.
            labels: label name -> value.
        """
        write_csv(run.trust, TRUST_COLUMNS, [self._row(i, n) for n, i in enumerate(self._least_certain(), 1)])
        if self.calibration:
            uncertainty = np.array([case.uncertainty for case in self.trust])
            draw_trust(uncertainty, self.dice, self.calibration, run.trust_picture)
        suspects = np.argsort([self._shortfall(i) for i in range(len(self.cases))], kind="stable")[::-1]
        rows = [
            self._row(i, n) | _differences(self.cases[i], *files[self.cases[i]], labels)
            for n, i in enumerate(suspects.tolist(), 1)
        ]
        write_csv(run.label_check, LABEL_CHECK_COLUMNS, rows)

    def _least_certain(self) -> list[int]:
        order: list[int] = np.argsort([-case.uncertainty for case in self.trust], kind="stable").tolist()
        return order

    def _shortfall(self, index: int) -> float:
        """How far the Dice lies under the expected one: a doubtful prediction contradicts no mask."""
        expected = self.expected[index]
        return (expected.dice if expected else 1.0) - float(self.dice[index])

    def _row(self, index: int, rank: int) -> dict[str, Any]:
        return {
            "rank": rank,
            "case": self.cases[index],
            "patient": self.patients[index],
            "uncertainty": self.trust[index].uncertainty,
            **expected_columns(self.expected[index]),
            "dice": float(self.dice[index]),
        }


def judge(trust: Mapping[str, Trust], scores: Evaluation) -> HeldOutTrust:
    """Set the uncertainty of held-out cases beside their scores.

    Args:
        trust: of every scored case.
        scores: of them all.
    """
    table = scores.table.groupby(["case", "patient"])["dice"].mean().reset_index()
    cases, patients = [str(case) for case in table["case"]], [str(patient) for patient in table["patient"]]
    said, dice = [trust[case] for case in cases], table["dice"].to_numpy(float)
    return HeldOutTrust(
        cases, patients, said, dice, expect_held_out(said, dice, patients), calibrate(said, dice, patients)
    )


def _differences(case: str, predicted: Path, reference: Path, labels: Mapping[str, int]) -> dict[str, Any]:
    found = contradiction(*read_pair(case, predicted, reference, labels))
    return {
        "slice": found.slice,
        "outlined_ml": found.outlined_ml,
        "predicted_ml": found.predicted_ml,
        "what": found.words,
    }
