"""Lesions found against false ones, at every threshold of the validation probabilities: froc.csv.

The free-response operating characteristic (FROC; Bunch et al., Proc SPIE 1977, 127:124): the share of the outlined
lesions that the model touches, over its lesions per scan that touch nothing outlined. At each threshold the model's
lesions are the components of the mask that this threshold makes; at 0.5 it is the mask that metrics.csv scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.runs import Run
from vmseg_auto.evaluation.lesion_matching import Lesions
from vmseg_auto.evaluation.metrics.lesions import overlapping_lesions
from vmseg_auto.inference.thresholds import STEPS, from_bytes, mask_from
from vmseg_auto.utils.components import mask_box
from vmseg_auto.utils.label_masks import mask_of, without_ignored
from vmseg_auto.utils.labels import foreground_labels, regions_of
from vmseg_auto.utils.statistics import Summary, no_interval, summarise
from vmseg_auto.utils.tables import write_csv

FROC_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
FROC_COLUMNS = (
    "label", "threshold", "lesions", "found", "sensitivity", "sensitivity_low", "sensitivity_high", "lesion_patients",
    "no_sensitivity_interval", "false_positives", "scans", "false_positives_per_scan", "false_positives_per_scan_low",
    "false_positives_per_scan_high", "patients", "no_false_positives_interval",
)  # fmt: skip
LESIONS, FOUND, FALSE = 0, 1, 2
"""Of the last axis of counts."""

Counts = NDArray[np.int64]


def count_lesions(foreground: NDArray[np.uint8], reference: NDArray[np.uint8], labels: Mapping[str, int]) -> Counts:
    """Count the lesions of a case, those found and false ones, at every threshold.

    Args:
        foreground: probabilities [labels, Z, Y, X] in steps of 1/255.
        reference: label values [Z, Y, X]; voxels of IGNORE count for neither.
        labels: name -> value; the background is left out.

    Returns:
        [labels, FROC_THRESHOLDS, 3]: LESIONS, FOUND and FALSE.
    """
    foreground, reference = without_ignored(foreground, reference)
    names = foreground_labels(labels)
    wanted = [mask_of(reference, labels, name) for name in names]
    likely = foreground.sum(axis=0, dtype=np.uint16) > min(FROC_THRESHOLDS) * STEPS
    box = mask_box(reduce(np.logical_or, wanted, likely)) or ((0, 1), (0, 1), (0, 1))
    inside = tuple(slice(start, stop) for start, stop in box)
    probabilities = from_bytes(foreground[(slice(None), *inside)], bool(regions_of(labels)))
    counts = np.empty((len(names), len(FROC_THRESHOLDS), 3), dtype=np.int64)
    for number, threshold in enumerate(FROC_THRESHOLDS):
        predicted = mask_from(probabilities, labels, threshold)
        for label, (name, mask) in enumerate(zip(names, wanted, strict=True)):
            found = overlapping_lesions(Lesions.of(mask_of(predicted, labels, name), mask[inside]), 1.0)
            counts[label, number] = [
                found[name] for name in ("reference_lesions", "lesions_found", "false_positive_lesions")
            ]
    return counts


@dataclass(frozen=True)
class Froc:
    """Counts of all validation cases.

    Args:
        labels: names.
        patients: of each case.
        counts: [cases, labels, FROC_THRESHOLDS, 3].
    """

    labels: tuple[str, ...]
    patients: tuple[str, ...]
    counts: Counts

    @classmethod
    def of(cls, labels: Mapping[str, int], counts: Mapping[str, Counts], patients: Mapping[str, str]) -> Froc:
        """Put the counts of cases together.

        Args:
            labels: name -> value; the background's is 0.
            counts: of each case, by `count_lesions`.
            patients: case -> patient; a case that is not named is its own patient.
        """
        owners = tuple(patients.get(case, case) for case in counts)
        return cls(tuple(foreground_labels(labels)), owners, np.stack(list(counts.values())))

    def save(self, run: Run) -> None:
        """Write froc.csv: a row a label and threshold."""
        write_csv(run.froc, FROC_COLUMNS, list(self.rows()))

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of froc.csv."""
        for number, label in enumerate(self.labels):
            for place, threshold in enumerate(FROC_THRESHOLDS):
                yield {"label": label, "threshold": threshold} | self._row(self.counts[:, number, place])

    def _row(self, counts: Counts) -> dict[str, Any]:
        """Return one row. Sensitivity is a mean over lesions, false positives one over scans; intervals are over
        patients.
        """
        lesions, found = counts[:, LESIONS], counts[:, FOUND]
        touched = np.concatenate([np.repeat([1.0, 0.0], [n, all_ - n]) for all_, n in zip(lesions, found, strict=True)])
        sensitivity = summarise(touched, np.repeat(self.patients, lesions).tolist(), (0.0, 1.0))
        false = summarise(counts[:, FALSE].astype(float), self.patients, (0.0, np.inf))
        return {
            "lesions": int(lesions.sum()),
            "found": int(found.sum()),
            "sensitivity": sensitivity.mean,
            "sensitivity_low": sensitivity.low_95,
            "sensitivity_high": sensitivity.high_95,
            "lesion_patients": sensitivity.patients,
            "no_sensitivity_interval": _why(sensitivity),
            "false_positives": int(counts[:, FALSE].sum()),
            "scans": len(counts),
            "false_positives_per_scan": false.mean,
            "false_positives_per_scan_low": false.low_95,
            "false_positives_per_scan_high": false.high_95,
            "patients": false.patients,
            "no_false_positives_interval": _why(false),
        }


def _why(one: Summary) -> str:
    """Describe why a mean has no interval; empty where it has one."""
    return "" if np.isfinite(one.low_95) else no_interval(one.patients)
