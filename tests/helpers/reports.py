"""Predictions in a folder, written as vmseg_predict writes them, but of masks of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.cases import content_hash, read_case
from vmseg_auto.data.dicom.series import Choice
from vmseg_auto.data.images.images import write_image
from vmseg_auto.data.scans import find_scans
from vmseg_auto.evaluation.confidence import (
    Calibration,
    Confidence,
    NothingFound,
    Spread,
    VolumeConfidence,
    VolumeError,
)
from vmseg_auto.inference.predictor import Prediction
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.workflows.mask_formats import MaskFormat, made_by
from vmseg_auto.workflows.prediction_record import InputSource
from vmseg_auto.workflows.prediction_writer import PredictionWriter

GRID = Geometry((10, 40, 48), (3.0, 1.0, 1.0))
LABELS = {"background": 0, "venous_malformation": 1}
_EVEN = Spread(1.0, 0.0, 0.0)
CALIBRATION = Calibration(
    0.9, -0.5, -0.2, 0.1, 0.1, _EVEN, 0.3, mirrored=True, cases=53, patients=12,
    volumes={
        "venous_malformation": VolumeConfidence(
            VolumeError(0.0, 0.3, _EVEN, True), 51, 12, NothingFound(2, 2, 1, 0.5, 0.09, 0.91, 3.5)
        )
    },
)  # fmt: skip
Boxes = Sequence[tuple[slice, slice, slice]]
TWO = (np.s_[2:7, 10:20, 8:20], np.s_[6:8, 28:32, 36:40])
"""Two lesions, of 5 x 10 x 12 and 2 x 4 x 4 voxels."""


def scan(folder: Path, name: str, boxes: Boxes = TWO, grid: Geometry = GRID) -> NDArray[np.uint8]:
    """Write a scan that is bright in these boxes, in a head that fills most of it; gives their mask."""
    mask = np.zeros(grid.shape, dtype=np.uint8)
    for box in boxes:
        mask[box] = 1
    image = np.random.default_rng(len(name)).normal(100, 8, grid.shape) + 150 * mask
    write_image(folder / f"{name}.nii.gz", image.astype(np.float32), grid)
    return mask


def deliver(
    scans: Path,
    output: Path,
    masks: Mapping[str, NDArray[np.uint8]],
    labels: Mapping[str, int] = LABELS,
    formats: tuple[MaskFormat, ...] = ("nifti",),
    kept: bool = True,
) -> Path:
    """Write what vmseg_predict would, had it found these masks in the scans; `kept` unless it had fetched them."""
    cases = find_scans(scans, ("T2",))
    algorithm = made_by("0123456789abcdef", cases) if any(each.startswith("dicom") for each in formats) else None
    origin = InputSource.of(scans if kept else None, output, ("T2",), Choice())
    delivery = PredictionWriter(output, labels, origin, formats=formats, algorithm=algorithm)
    records = []
    for case in cases:
        image, _, geometry = read_case(case)
        prediction = Prediction(masks[case.id], geometry, Confidence(0.2, 0.1, mirrored=True, fold_agreement=0.8), None)
        records.append(delivery.write(case, f"0123456789abcdef-{content_hash(case)}", image, prediction, ()))
    delivery.write_table(records, CALIBRATION)
    return output
