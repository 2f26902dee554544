"""Predictions in a folder as cases to be reviewed: their order, and each of them opened."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.images.registry import USUAL
from vmseg_auto.data.images.segmentations import read_labels
from vmseg_auto.data.mask_files import PREDICTED, Standing, mask_sha256
from vmseg_auto.data.reviews import Review, review_of
from vmseg_auto.report.measures import Light
from vmseg_auto.report.predictions import Predicted, read_predictions, read_standing
from vmseg_auto.utils.atomic import read_stored
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.workflows.prediction_record import PredictionRecord

TO_DO = "to do"


@dataclass(frozen=True)
class Entry:
    """A case as the queue shows it.

    Args:
        case: its id.
        state: the reader's decision on the mask as it stands; "to do" where there is none, "" where it can't be opened.
        expected_dice: of the prediction; None where that is not known.
        uncertainty: of the prediction, 0 to 1; None where the case can't be opened.
        traffic_light: of the prediction.
        volumes_ml: label -> mL of the mask as it stands.
        reader, when: of the decision.
        problem: why it can't be opened.
    """

    case: str
    state: str
    expected_dice: float | None = None
    uncertainty: float | None = None
    traffic_light: Light | None = None
    volumes_ml: dict[str, float] | None = None
    reader: str = ""
    when: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Opened:
    """A case as it stands, with all that the page draws.

    Args:
        record: as it is stored.
        there: the files of the mask.
        one: the mask that stands, with its scan.
        image: first channel of the scan [Z, Y, X].
        mask: label values that stand [Z, Y, X].
        predicted: label values that were predicted; None where they are no longer there.
        geometry: of all.
    """

    record: PredictionRecord
    there: Standing
    one: Predicted
    image: NDArray[np.float32]
    mask: NDArray[np.uint8]
    predicted: NDArray[np.uint8] | None
    geometry: Geometry

    @property
    def version(self) -> int:
        """How many decisions there are."""
        return len(self.record.reviews)

    @property
    def base(self) -> str:
        """Hash of the label values that stand."""
        return mask_sha256(self.mask)

    @property
    def review(self) -> Review | None:
        """The decision on the mask that stands."""
        return review_of(self.record.reviews, self.base)


class PredictedCases:
    """All cases of a folder of predictions, those first whose check is worth most.

    A check is worth most where the Dice to expect is lowest. Without a calibration one minus the uncertainty stands for
    it, which is itself a Dice: that of a network's masks in opposite mirrorings. Scans unlike those that the model
    knows come first, as nothing is to be expected of them.

    Args:
        folder: that `vmseg_predict` has written.
        images: where the scans lie; where they lay when they were predicted, unless given.
        left: what of both is not used is noted here.

    Raises:
        InputError: the folder holds no predictions.
    """

    def __init__(self, folder: Path, images: Path | None, left: Inventory) -> None:
        self.folder = folder
        found, failed = read_predictions(folder, images, left)
        self._found = sorted(found, key=_worth)
        self._failed: Sequence[VmsegError] = failed
        self._entries: dict[int, Entry] = {key: self._entry(one) for key, one in enumerate(self._found)}
        left.require_nothing()

    @property
    def entries(self) -> list[Entry]:
        """The cases in the order of the queue; those that can't be opened stand last."""
        unusable = [Entry(error.case or "", "", problem=str(error)) for error in self._failed]
        return [*self._entries.values(), *unusable]

    @property
    def usable(self) -> list[Predicted]:
        """The cases that could be read when the queue was made."""
        return list(self._found)

    def case(self, key: int) -> str:
        """Return the id of a case; raises InputError where the queue has none of that number."""
        return self._at(key).record.case

    def open(self, key: int) -> Opened:
        """Open a case as it stands now.

        Raises:
            InputError: its mask, record or scan is gone, damaged or another.
        """
        known = self._at(key)
        case = known.record.case
        record = read_stored(PredictionRecord, self.folder / f"{case}.json", remedy="Predict its scan again.")
        standing, path = read_standing(self.folder, case)
        one = Predicted(standing.record, known.rows, path, known.scan)
        image, mask, geometry = one.read()
        predicted = self._predicted(record, mask, standing.there.sound)
        self._entries[key] = self._entry(one)
        return Opened(record, standing.there, one, image, mask, predicted, geometry)

    def _at(self, key: int) -> Predicted:
        if not 0 <= key < len(self._found):
            raise InputError("there is no such case in the queue", remedy="Load the page again.")
        return self._found[key]

    def _predicted(
        self, record: PredictionRecord, mask: NDArray[np.uint8], sound: Sequence[Path]
    ) -> NDArray[np.uint8] | None:
        """Return the label values that were predicted: those that stand, or of a file that still holds them, or the
        ones kept when others were saved.
        """
        if mask_sha256(mask) == record.mask_sha256:
            return mask
        for path in (*sound, predicted_file(self.folder, record.case)):
            with suppress(InputError):  # a DICOM file, or none
                kept, grid = read_labels(path, record.labels, record.grid, record.case)
                if mask_sha256(kept) == record.mask_sha256 and not grid.differences(record.grid):
                    return kept
        return None

    def _entry(self, one: Predicted) -> Entry:
        record = one.record
        judgement, review = record.judgement, one.review
        told = next((row for row in one.rows if row["component"] == "all"), {})
        return Entry(
            record.case,
            review.decision if review else TO_DO,
            None if judgement.corrected else _known(told.get("expected_dice")),
            judgement.confidence.uncertainty,
            None if judgement.corrected else told.get("traffic_light") or None,
            {row["label"]: row["volume_ml"] for row in record.volumes if row["component"] == "all"},
            review.reader if review else "",
            review.when if review else "",
        )


def predicted_file(folder: Path, case: str) -> Path:
    """Return where a mask is kept as it was predicted, once a reader has saved another in its place."""
    return folder / PREDICTED / f"{case}{USUAL}"


def _worth(one: Predicted) -> tuple[bool, float, str]:
    """Return what orders the queue: the smallest first."""
    judgement = one.record.judgement
    expected = _known(next((row["expected_dice"] for row in one.rows if row["component"] == "all"), None))
    agreement = 1 - judgement.confidence.uncertainty
    return not judgement.unlike, expected if expected is not None else agreement, one.record.case


def _known(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
