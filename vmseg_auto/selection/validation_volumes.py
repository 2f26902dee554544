"""The volumes of validation cases: as they were outlined and as they were measured, and how far these lie apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.runs import Run
from vmseg_auto.evaluation.calibration import volume_confidence, volume_confidence_without
from vmseg_auto.evaluation.confidence import Confidence, VolumeConfidence
from vmseg_auto.evaluation.expected_quality import CALIBRATED_COLUMNS, INTERVAL_COLUMNS, volume_columns
from vmseg_auto.figures.plots import write_charts
from vmseg_auto.figures.validation_charts import volume_chart
from vmseg_auto.utils.tables import write_csv
from vmseg_auto.utils.text import listed

VALIDATION_COLUMNS = ("case", "patient", "label", "reference_ml", "volume_ml", *CALIBRATED_COLUMNS)


@dataclass(frozen=True)
class ValidationVolumes:
    """What one model, or several together, measured in cases of patients that their networks had not seen.

    Args:
        labels: names.
        cases: id and patient of each case.
        reference_ml, measured_ml: [cases, labels].
        confidence: of each case.
        partly_annotated: cases that are left out, as their masks tell no volume.
    """

    labels: tuple[str, ...]
    cases: tuple[tuple[str, str], ...]
    reference_ml: NDArray[np.float64]
    measured_ml: NDArray[np.float64]
    confidence: tuple[Confidence, ...]
    partly_annotated: tuple[str, ...] = ()

    @property
    def trusted(self) -> dict[str, VolumeConfidence]:
        """Label -> how far its volumes can be trusted, told by all cases."""
        found = zip(self.labels, self.measured_ml.T, self.reference_ml.T, strict=True)
        return {
            label: volume_confidence(measured, reference, self.confidence, self._patients)
            for label, measured, reference in found
        }

    @cached_property
    def rows(self) -> Sequence[dict[str, Any]]:
        """VALIDATION_COLUMNS; the intervals are estimated from the other patients' cases, where these are enough."""
        return [row for index in range(len(self.labels)) for row in self._rows(index)]

    @property
    def reasons(self) -> list[str]:
        """In words, what it comes to."""
        partly = self.partly_annotated
        left_out = [f"left out, as their masks are annotated in part: {listed(list(partly))}"] if partly else []
        return [*left_out, *(words for label, told in self.trusted.items() for words in self._reasons(label, told))]

    @property
    def _patients(self) -> list[str]:
        return [patient for _, patient in self.cases]

    def _reasons(self, label: str, confidence: VolumeConfidence) -> Iterator[str]:
        told = [row for row in self.rows if row["label"] == label and INTERVAL_COLUMNS[0] in row]
        if told:
            patients = len({row["patient"] for row in told})
            yield (
                f"{label}: {sum(is_covered(row) for row in told)} of {len(told)} true volumes, of {patients} patients, "
                "lie in the interval estimated from the other patients' cases; nine in ten are to be expected there"
            )
        if confidence.found is None:
            yield f"{label}: no interval of a volume is given: {confidence.why_no_interval(found=True)}"
        yield f"{label}: {confidence.nothing.text()}"

    def save(self, run: Run) -> None:
        """Write volumes.csv, and its picture where any interval is known."""
        write_csv(run.volumes, VALIDATION_COLUMNS, self.rows)
        if told := [row for row in self.rows if INTERVAL_COLUMNS[0] in row]:
            columns = ("reference_ml", "volume_ml", *INTERVAL_COLUMNS)
            chart = volume_chart(np.array([[row[column] for row in told] for column in columns]))
            write_charts([chart], run.volumes_picture)

    def _rows(self, index: int) -> Iterator[dict[str, Any]]:
        measured, reference = self.measured_ml[:, index], self.reference_ml[:, index]
        others = volume_confidence_without(measured, reference, self.confidence, self._patients)
        cases = zip(self.cases, self.confidence, measured, reference, others, strict=True)
        for (case, patient), confidence, volume, wanted, told in cases:
            yield {
                "case": case,
                "patient": patient,
                "label": self.labels[index],
                "reference_ml": float(wanted),
                "volume_ml": float(volume),
                **volume_columns(told, float(volume), confidence),
            }


def is_covered(row: Mapping[str, Any]) -> bool:
    """Return whether the true volume of a row of volumes.csv lies in its interval."""
    low, high = (float(row[column]) for column in INTERVAL_COLUMNS)
    return low <= float(row["reference_ml"]) <= high
