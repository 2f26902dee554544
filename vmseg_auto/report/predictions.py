"""Predictions as they lie in a folder, with the scans that they were made from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.cases import content_hash, read_case
from vmseg_auto.data.dataset import Case
from vmseg_auto.data.failures import read_failures
from vmseg_auto.data.mask_files import DICOM
from vmseg_auto.data.naming import image_files, missing_in_words, note_unpaired, stem
from vmseg_auto.data.reviews import Review
from vmseg_auto.data.scans import find_scans
from vmseg_auto.evaluation.expected_quality import CALIBRATED_COLUMNS, CASE_COLUMNS
from vmseg_auto.utils.atomic import read_json
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.labels import Labels, without_background
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.workflows.prediction_record import FILTER_COLUMNS, SIZE_COLUMNS, InPlace, InputSource, PredictionRecord
from vmseg_auto.workflows.run_tables import Row, read_volumes

NOT_KEPT = "scan was fetched from a PACS and not kept"
KEEP = "Predict again with --keep-scans FOLDER: the masks stay as they are."
_AGAIN = "Name a folder that `vmseg_predict` has written, or predict again."


@dataclass(frozen=True)
class Predicted:
    """One predicted scan.

    Args:
        record: what its mask was made from; of a corrected one measured as it is.
        rows: its rows of volumes.csv.
        mask: file of the mask.
        found: files of the scan; None where it was fetched and not kept.
        review: the decision of a reader on the mask as it stands; None where there is none.
    """

    record: PredictionRecord
    rows: tuple[Row, ...]
    mask: Path
    found: Case | None
    review: Review | None

    @property
    def scan(self) -> Case:
        """Files of the scan. Raises InputError where it was fetched and not kept."""
        if self.found is None:
            raise InputError(f"the {NOT_KEPT}", case=self.record.case, remedy=KEEP)
        return self.found

    @property
    def labels(self) -> Labels:
        """Label name -> value, without the background."""
        return without_background(self.record.labels)

    def read(self) -> tuple[NDArray[np.float32], NDArray[np.uint8], Geometry]:
        """Read the first channel [Z, Y, X], the mask [Z, Y, X] and their grid.

        Raises:
            InputError: the scan is not the one that the mask was made from or was not kept, or a file is damaged.
        """
        case = self.scan.id
        if content_hash(self.scan) != self.record.scan_hash:
            problem = "this is not the scan that the mask was made from, or it has changed since"
            remedy = "Name the folder of the right scans with --images, or predict again."
            raise InputError(problem, case=case, file=self.scan.file, remedy=remedy)
        image, _, geometry = read_case(self.scan, spacing_mm=self.record.judgement.spacing_given_mm)
        mask, grid = self.record.read(self.mask)
        if differences := grid.differences(geometry):
            problem = f"the mask does not lie on the scan's grid: {'; '.join(differences)}"
            raise InputError(problem, case=case, file=self.mask, remedy=_AGAIN)
        return image[0], mask, geometry


def read_predictions(folder: Path, images: Path | None, left: Inventory) -> tuple[list[Predicted], list[VmsegError]]:
    """Read what `vmseg_predict` has written in a folder.

    Args:
        folder: holds masks, records and volumes.csv.
        images: where the scans lie; where they lay when they were predicted, unless given.
        left: what of the folder, and of `images`, is not used is noted here.

    Returns:
        A value for each case of volumes.csv whose mask, record and scan are as they should be, or whose scan was not
        kept; and what is wrong with the others, and with the scans that `vmseg_predict` made no mask of.

    Raises:
        InputError: the folder holds no predictions, or a damaged table.
    """
    failed = {error.case: error for error in read_failures(folder)}
    table = folder / "volumes.csv"
    if failed and not table.is_file():
        return [], list(failed.values())
    if not table.is_file():
        raise InputError("the folder holds no volumes.csv", file=folder, remedy=_AGAIN)
    rows: dict[str, list[Row]] = {}
    for row in read_volumes(table):
        rows.setdefault(row["case"], []).append(row)
    if not rows:
        raise InputError("the table tells of no scan", file=table, remedy=_AGAIN)
    masks = {stem(path): path for path in image_files(folder, left=left, masks=True)}
    strange = {case: path for case, path in masks.items() if case not in rows and case not in failed}
    note_unpaired("mask", strange, rows, "of which volumes.csv does not tell", left)
    scans = _Scans(folder, images, left)
    found: list[Predicted] = []
    for case, own in rows.items():
        try:
            found.append(_predicted(case, own, table, scans))
        except VmsegError as error:
            failed.setdefault(case, error)
    scans.note_others({*rows, *filter(None, failed)})
    return found, list(failed.values())


class _Scans:
    """Where predicted scans are looked for: mostly one folder for all.

    Args:
        folder: of the masks.
        images: where the scans lie, if it is not where they lay when they were predicted.
        left: what of `images` is not used is noted here.
    """

    def __init__(self, folder: Path, images: Path | None, left: Inventory) -> None:
        self._folder, self._images, self._left = folder, images, left
        self._known: dict[tuple[Path, InputSource], dict[str, Case]] = {}
        self._unusable: list[VmsegError] = []

    def find(self, record: PredictionRecord) -> Case | None:
        """Find the scan that a prediction was made from; None where it was fetched and not kept.

        Raises:
            InputError: it is no longer there.
        """
        source = record.source
        if self._images is None and not source.kept:
            return None
        place = self._images if self._images is not None else self._folder / source.inputs
        if (place, source) not in self._known:
            left = self._left if self._images is not None else None
            found = find_scans(place, source.channels, source.choice, None, left, source.optional, self._unusable)
            self._known[place, source] = {scan.id: scan for scan in found}
        scan = self._known[place, source].get(record.case)
        if unusable := [error for error in self._unusable if scan is None and error.case == record.case]:
            raise unusable[0]
        if scan is None:
            likely = missing_in_words([record.case], self._known[place, source]).removeprefix(record.case)
            remedy = "Name the folder that holds it with --images."
            raise InputError(f"the scan is no longer there{likely}", case=record.case, file=place, remedy=remedy)
        return scan

    def note_others(self, predicted: Collection[str]) -> None:
        """Note the scans of `images` that no prediction was made from."""
        there = {case for scans in self._known.values() for case in scans} if self._images is not None else set()
        for case in sorted(there - set(predicted)):
            self._left.add("scan", case, "without a prediction in this folder")


def read_standing(folder: Path, record: PredictionRecord) -> tuple[InPlace, Path]:
    """Return a prediction's mask as it stands, measured anew if it was corrected, and the image file that holds it.

    Args:
        record: as it lies in the folder.

    Raises:
        InputError: the mask is missing or damaged.
    """
    case, there = record.case, record.standing(folder)
    if there.state in ("damaged", "missing"):
        others = [stem(path) for path in image_files(folder, masks=True)]
        likely = missing_in_words([case], others).removeprefix(case)
        raise InputError(f"the mask is {there.state}{likely}", case=case, file=there.mask, remedy=_AGAIN)
    mask = next((path for path in (there.mask, *there.sound) if path.suffix != DICOM), there.mask)
    return InPlace.of(record, there), mask


def _predicted(case: str, rows: list[Row], table: Path, scans: _Scans) -> Predicted:
    """Read one prediction. Raises InputError where mask, record or scan is missing, damaged or another."""
    standing, mask = read_standing(table.parent, read_prediction_record(table.parent, case))
    record = standing.record
    if standing.corrected:
        rows = _rows(standing.record)
    else:
        _check_rows(rows, record, table)
    return Predicted(standing.record, tuple(rows), mask, scans.find(record), standing.review)


def read_prediction_record(folder: Path, case: str) -> PredictionRecord:
    """Read the record of a prediction; raises InputError where it is missing, damaged, or speaks of another case."""
    path = folder / f"{case}.json"
    data = read_json(path, remedy=_AGAIN)
    try:
        record = PredictionRecord.from_json(data, path.name)
    except InputError as error:
        problem = f"this version of vmseg_predict did not write it ({error.problem})"
        raise InputError(problem, case=case, file=path, remedy=_AGAIN) from None
    if record.case != case:
        raise InputError(f"it speaks of {record.case}", case=case, file=path, remedy=_AGAIN)
    return record


def _rows(record: PredictionRecord) -> list[Row]:
    """Return the rows of a corrected mask, as `read_volumes` would give them."""
    columns = (*SIZE_COLUMNS, *FILTER_COLUMNS, *CALIBRATED_COLUMNS, *CASE_COLUMNS)
    nothing = dict.fromkeys(columns, float("nan")) | {"traffic_light": None}
    known = ({name: value for name, value in row.items() if value is not None} for row in record.rows(None))
    return [nothing | row | {"component": str(row["component"])} for row in known]


def _check_rows(rows: Sequence[Row], record: PredictionRecord, table: Path) -> None:
    """Raise InputError where the table speaks of other lesions than the record."""
    told = [(row["label"], row["component"]) for row in rows]
    known = [(str(row.get("label")), str(row.get("component"))) for row in record.volumes]
    if sorted(told) != sorted(known):
        problem = f"its rows are not the lesions that {record.case}.json beside it tells of"
        raise InputError(problem, case=record.case, file=table, remedy=_AGAIN)
