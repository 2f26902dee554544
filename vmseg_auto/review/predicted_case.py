"""A predicted case as it lies in its folder: the record, the files of its mask, and what was predicted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.images.images import read_image
from vmseg_auto.data.images.registry import USUAL
from vmseg_auto.data.images.segmentations import read_labels
from vmseg_auto.data.mask_files import PREDICTED, MaskFile, Standing, mask_sha256
from vmseg_auto.data.reviews import Decision
from vmseg_auto.report.predictions import Predicted, read_prediction_record, read_standing
from vmseg_auto.review.cases import Opened, Overlay
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.text import listed
from vmseg_auto.workflows.add_case import ReviewedCase
from vmseg_auto.workflows.prediction_record import PredictionRecord
from vmseg_auto.workflows.prediction_writer import PredictionWriter

PREDICTION = "the prediction"
ADDED: tuple[Decision, ...] = ("accepted", "corrected")
"""Decisions after which a case can be put into a dataset."""
_MAPS_AGAIN = "Predict again with --save-uncertainty or --save-probabilities to make them anew."


@dataclass(frozen=True)
class PredictedCase:
    """A predicted case that is open.

    Args:
        record: as it is stored.
        there: the files of the mask.
        one: the mask that stands, with its scan.
        opened: as the page sees it.
    """

    record: PredictionRecord
    there: Standing
    one: Predicted
    opened: Opened

    def reviewed(self, source: Path) -> ReviewedCase:
        """Return it with the decision on its mask, to be put into a dataset.

        Args:
            source: the file or folder in which its scan lies.

        Raises:
            InputError: nobody has accepted or corrected this mask.
        """
        review, record = self.opened.review, self.record
        if review is None or review.decision not in ADDED:
            problem, remedy = "nobody has accepted or corrected this mask", "Decide on it first."
            raise InputError(problem, case=record.case, remedy=remedy)
        return ReviewedCase(
            scan=self.one.scan,
            mask=self.one.mask,
            labels=record.labels,
            channels=record.source.channels,
            source=source,
            choice=record.source.choice,
            spacing_mm=record.judgement.spacing_given_mm,
            model=record.model_hash,
            review=review,
        )

    @classmethod
    def read(cls, folder: Path, known: Predicted) -> PredictedCase:
        """Read a case as it stands now.

        Args:
            folder: of the predictions.
            known: the case as it stood when the queue was made.

        Raises:
            InputError: its mask, record or scan is gone, damaged or another.
        """
        case = known.record.case
        record = read_prediction_record(folder, case)
        standing, path = read_standing(folder, record)
        one = Predicted(standing.record, known.rows, path, known.scan, standing.review)
        image, mask, geometry = one.read()
        predicted = _predicted(folder, record, mask, standing.there.sound)
        opened = Opened(
            case=case,
            labels=record.labels,
            image=image,
            geometry=geometry,
            mask=mask,
            reference=predicted,
            reference_name=PREDICTION,
            predicted=predicted,
            reviews=record.reviews,
            notes=(*_notes(record, geometry, predicted is None), *_strange_maps(folder, one)),
            overlays=tuple(_overlays(folder, one, geometry)),
        )
        return cls(record, standing.there, one, opened)


def predicted_file(folder: Path, case: str) -> Path:
    """Return where a mask is kept as it was predicted, once a reader has saved another in its place."""
    return folder / PREDICTED / f"{case}{USUAL}"


def _notes(record: PredictionRecord, geometry: Geometry, gone: bool) -> Iterator[str]:
    if unlike := record.judgement.unlike:
        yield f"The scan is unlike those that the model knows: {'; '.join(unlike)}."
    if geometry.spacing_given:
        yield "The voxel size was given by hand."
    if gone:
        yield "The prediction is no longer there: the mask was changed by another program."


def _maps(folder: Path, one: Predicted) -> dict[str, tuple[Path, MaskFile | None]]:
    """Return the maps that lie beside a mask: name -> file, and what the record tells of it, if anything."""
    writer = PredictionWriter(folder, one.record.labels, one.record.source)
    paths = {"uncertainty": writer.uncertainty(one.scan)}
    paths |= {f"probability of {label}": writer.probability(one.scan, label) for label in one.labels}
    known = {told.file: told for told in one.record.maps}
    return {name: (path, known.get(writer.within(path))) for name, path in paths.items() if path.is_file()}


def _strange_maps(folder: Path, one: Predicted) -> Iterator[str]:
    if strange := [path.name for path, told in _maps(folder, one).values() if told is None]:
        yield f"Not shown, as they are not of this prediction: {listed(strange)}. {_MAPS_AGAIN}"


def _overlays(folder: Path, one: Predicted, geometry: Geometry) -> Iterator[Overlay]:
    """Yield the maps of a prediction."""
    for name, (path, told) in _maps(folder, one).items():
        if told is not None:
            yield Overlay(name, partial(_map, path, told, one.record.case, geometry))


def _map(path: Path, told: MaskFile, case: str, geometry: Geometry) -> NDArray[np.uint8]:
    """Read a map of numbers from 0 to 1, in steps of 1/255.

    Args:
        told: what the record tells of it.

    Raises:
        InputError: it can't be read, was changed since it was written, or lies on another grid.
    """
    if MaskFile.of(path).sha256 != told.sha256:
        raise InputError("the map was changed since it was written", case=case, file=path, remedy=_MAPS_AGAIN)
    values, grid = read_image(path, case)
    if differences := grid.differences(geometry):
        problem = f"the map does not lie on the scan's grid: {'; '.join(differences)}"
        raise InputError(problem, case=case, file=path, remedy="Predict the scan again.")
    return np.round(255 * values.clip(0, 1)).astype(np.uint8)


def _predicted(
    folder: Path, record: PredictionRecord, mask: NDArray[np.uint8], sound: Sequence[Path]
) -> NDArray[np.uint8] | None:
    """Return the label values that were predicted: those that stand, or of a file that still holds them, or the ones
    kept when others were saved.
    """
    if mask_sha256(mask) == record.mask_sha256:
        return mask
    for path in (*sound, predicted_file(folder, record.case)):
        with suppress(InputError):  # a DICOM file, or none
            kept, grid = read_labels(path, record.labels, record.grid, record.case)
            if mask_sha256(kept) == record.mask_sha256 and not grid.differences(record.grid):
                return kept
    return None
