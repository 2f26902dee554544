"""The volumes of held-out cases: as they were outlined and as they were measured, and how far these lie apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.core.runs import Run
from vmseg_auto.core.trust import VolumeError
from vmseg_auto.io.tables import write_csv
from vmseg_auto.ops.calibration import volume_error, volume_errors_without
from vmseg_auto.ops.plots import draw_volumes
from vmseg_auto.pipeline.expected import INTERVAL_COLUMNS

HELD_OUT_COLUMNS = ("case", "patient", "label", "reference_ml", "volume_ml", *INTERVAL_COLUMNS)


@dataclass(frozen=True)
class HeldOutVolumes:
    """What one model, or several together, measured in cases of patients that their networks had not seen.

    Args:
        labels: names.
        cases: id and patient of each case.
        reference_ml, measured_ml: [cases, labels].
    """

    labels: tuple[str, ...]
    cases: tuple[tuple[str, str], ...]
    reference_ml: NDArray[np.float64]
    measured_ml: NDArray[np.float64]

    @property
    def errors(self) -> dict[str, VolumeError]:
        """Label -> how far volumes are off, told by all cases; none of those labels for which they are too few."""
        patients = [patient for _, patient in self.cases]
        found = zip(self.labels, self.measured_ml.T, self.reference_ml.T, strict=True)
        told = {label: volume_error(measured, reference, patients) for label, measured, reference in found}
        return {label: error for label, error in told.items() if error}

    @cached_property
    def rows(self) -> Sequence[dict[str, Any]]:
        """HELD_OUT_COLUMNS; the intervals are told by the other patients' cases, where these are enough."""
        return [row for index in range(len(self.labels)) for row in self._rows(index)]

    @property
    def reasons(self) -> list[str]:
        """In words, what it comes to."""
        said = []
        for label in self.labels:
            told = [row for row in self.rows if row["label"] == label and INTERVAL_COLUMNS[0] in row]
            if told:
                inside = sum(is_covered(row) for row in told)
                said.append(
                    f"{label}: {inside} of {len(told)} true volumes lie in the interval of nine in ten that the other "
                    "patients' cases told"
                )
            else:
                said.append(f"{label}: too few cases to tell how far volumes are off")
        return said

    def save(self, run: Run) -> None:
        """Write volumes.csv, and its picture where any interval is known."""
        write_csv(run.volumes, HELD_OUT_COLUMNS, self.rows)
        if told := [row for row in self.rows if INTERVAL_COLUMNS[0] in row]:
            columns = ("reference_ml", "volume_ml", *INTERVAL_COLUMNS)
            draw_volumes(np.array([[row[column] for row in told] for column in columns]), run.volumes_picture)

    def _rows(self, index: int) -> Iterator[dict[str, Any]]:
        measured, reference = self.measured_ml[:, index], self.reference_ml[:, index]
        told = volume_errors_without(measured, reference, [patient for _, patient in self.cases])
        for (case, patient), volume, wanted, error in zip(self.cases, measured, reference, told, strict=True):
            interval = error.interval(float(volume)) if error else ()
            yield {
                "case": case,
                "patient": patient,
                "label": self.labels[index],
                "reference_ml": float(wanted),
                "volume_ml": float(volume),
                **dict(zip(INTERVAL_COLUMNS, interval, strict=False)),
            }


def is_covered(row: Mapping[str, Any]) -> bool:
    """Whether the true volume of a row of volumes.csv lies in its interval."""
    low, high = (float(row[column]) for column in INTERVAL_COLUMNS)
    return low <= float(row["reference_ml"]) <= high
