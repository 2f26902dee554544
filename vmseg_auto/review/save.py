"""A reader's decision on a predicted mask, written: record, mask in each of its formats, table and preview."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.dicom.series import Series
from vmseg_auto.data.images.images import write_mask
from vmseg_auto.data.mask_files import MaskFile, SavedMask, mask_sha256
from vmseg_auto.evaluation.expected_quality import CALIBRATED_COLUMNS, CASE_COLUMNS
from vmseg_auto.report.predictions import Predicted
from vmseg_auto.review.cases import Given, decided_mask, require_unchanged, reviewed
from vmseg_auto.review.predicted_case import PredictedCase, predicted_file
from vmseg_auto.utils.atomic import put_in_place, scratch_folder, write_sealed
from vmseg_auto.utils.tables import read_csv, write_csv
from vmseg_auto.workflows.mask_formats import FinishedMask, format_of_mask, made_by
from vmseg_auto.workflows.prediction_record import VOLUME_COLUMNS, InPlace, PredictionRecord, volume_rows
from vmseg_auto.workflows.prediction_writer import PredictionWriter

_COLUMNS = (*VOLUME_COLUMNS, *CALIBRATED_COLUMNS, *CASE_COLUMNS)
_TEXTS = {"case", "label", "component", "goyal_size", "no_interval", "traffic_light", "unlike", "remark"}
Row = dict[str, Any]


def save_decision(folder: Path, case: PredictedCase, given: Given, drawn: NDArray[np.uint8]) -> PredictionRecord:
    """Write a decision, and the mask where it is one of those that save it; the caller holds the folder's lock.

    The record is written before the files of the mask get their names, and tells of the former ones too: wherever this
    is cut short, each file that lies there is known as what it is. The decision enters it when all of them are there,
    and holds only for the mask that it was made on.

    Args:
        folder: of the masks.
        case: as it stands.
        given: what the reader sends.
        drawn: the label values [Z, Y, X] that the reader sees.

    Returns:
        The record as it is stored.

    Raises:
        ChangedMeanwhileError: somebody else has saved the case since the reader opened it.
        InputError: the mask does not go with the decision, or holds what is no label.
        VmsegError: a file can't be written.
    """
    opened = case.opened
    require_unchanged(opened, given)
    mask = decided_mask(opened, given, drawn)
    review = reviewed(opened, given, mask)
    reviews = (*case.record.reviews, review)
    record = replace(case.record, reviews=reviews)
    writer = PredictionWriter(folder, record.labels, record.source)
    predicted = review.mask_sha256 == record.mask_sha256
    if predicted:  # first: of a mask that is the predicted one the table must tell the predicted lesions
        write_rows(folder, {record.case: _rows_of_prediction(folder, record, case)})
    place = writer.record_file(case.one.scan)
    if review.mask_sha256 != opened.base:
        record = replace(_put_mask(folder, case, mask, place), reviews=reviews)
    write_sealed(place, record.to_json())
    if not predicted:
        write_rows(folder, {record.case: _rows_as_it_stands(folder, record)})
    preview = writer.preview(case.one.scan)
    if preview.is_file():
        from vmseg_auto.figures.overlays import draw_overlay  # loads matplotlib

        draw_overlay(opened.image, mask, opened.geometry, record.labels, preview, record.case)
    return record


def _put_mask(folder: Path, case: PredictedCase, mask: NDArray[np.uint8], place: Path) -> PredictionRecord:
    """Write the mask, in every format in which it lies there, and before it a record that knows old files and new.

    Args:
        place: of the record.

    Returns:
        The record that knows the new files alone.
    """
    opened, there, record, own = case.opened, case.there, case.record, mask_sha256(mask)
    if opened.predicted is not None:
        write_mask(predicted_file(folder, record.case), opened.predicted, opened.geometry)
    if there.state == "as written":
        record = replace(record, predicted_rows=tuple(_rows_of(folder, record.case)))
    lying = dict.fromkeys([there.mask, *there.counting, *there.behind])
    formats = {path: format_of_mask(path) for path in lying}
    # A report of measurements tells of the segments of the SEG: where that is gone, so is what it tells of.
    paths = [path for path in lying if formats[path] != "dicom-sr" or "dicom-seg" in formats.values()]
    with scratch_folder(folder) as scratch:
        made = [scratch / path.name for path in paths]
        finished = _finished(case, mask, own)
        for path in made:
            finished.write(path, format_of_mask(path))
        files = tuple(MaskFile.of(path) for path in made)
        if own == record.mask_sha256:  # the prediction again
            others = tuple(one for one in record.masks if one.file not in {new.file for new in files})
            final = replace(record, masks=(*files, *others), saved=(), predicted_rows=())
            pending = replace(record, masks=(*files, *record.masks))
        else:
            final = replace(record, saved=(SavedMask(files, own),))
            pending = replace(record, saved=(*final.saved, *record.saved))
        write_sealed(place, pending.to_json())
        for path in made:
            put_in_place(path, folder / path.name)
    return final


def _finished(case: PredictedCase, mask: NDArray[np.uint8], own: str) -> FinishedMask:
    """Return the mask with what its files tell; intervals are not told in pictures, as they were for the prediction."""
    scan, record, opened = case.one.scan, case.record, case.opened
    algorithm = None
    if isinstance(scan.images[0], Series):
        algorithm = replace(made_by(record.model_hash, [scan]), corrected=own != record.mask_sha256)
    rows = tuple(volume_rows(record.case, None, mask, opened.geometry, record.labels))
    return FinishedMask(scan, mask, opened.geometry, record.labels, algorithm, opened.image, rows)


def bring_up_to_date(folder: Path, predicted: Sequence[Predicted]) -> list[str]:
    """Write rows of volumes.csv anew where a mask was changed since then; the caller holds the lock of the folder.

    Returns:
        Their cases.
    """
    changed: dict[str, Sequence[Row]] = {}
    for one in predicted:
        record = one.record
        if record.judgement.corrected:
            rows = list(record.rows(None))
            if _told(rows) != _told(_rows_of(folder, record.case)):
                changed[record.case] = rows
    if changed:
        write_rows(folder, changed)
    return sorted(changed)


def write_rows(folder: Path, rows: Mapping[str, Sequence[Row]]) -> None:
    """Write volumes.csv with these rows, case -> its own; the rows of other cases stay.

    Raises:
        InputError: the table is damaged.
        VmsegError: it can't be written.
    """
    table: list[Row] = []
    waiting = dict(rows)
    for row in map(_values, read_csv(folder / "volumes.csv")):
        if row["case"] not in rows:
            table.append(row)
        else:
            table += waiting.pop(row["case"], ())
    table += (row for own in waiting.values() for row in own)
    write_csv(folder / "volumes.csv", _COLUMNS, table)


def _told(rows: Sequence[Row]) -> list[tuple[str, str, str, str]]:
    """Return what tells the rows of one mask from those of another."""
    return [(row["label"], str(row["component"]), str(row["voxels"]), row.get("remark") or "") for row in rows]


def _rows_as_it_stands(folder: Path, record: PredictionRecord) -> list[Row]:
    return list(InPlace.of(record, record.standing(folder)).record.rows(None))


def _rows_of_prediction(folder: Path, record: PredictionRecord, case: PredictedCase) -> list[Row]:
    """Return the rows that the prediction had, with what is decided of it now."""
    remark = record.judged(record.mask_sha256).remark
    again = case.record.predicted_rows or tuple(record.rows(None))
    before = again if case.there.state == "edited" else _rows_of(folder, record.case)
    return [{**row, "remark": remark} if row["component"] == "all" else row for row in before]


def _rows_of(folder: Path, case: str) -> list[Row]:
    return [_values(row) for row in read_csv(folder / "volumes.csv") if row.get("case") == case]


def _values(row: Mapping[str, str]) -> Row:
    """Return a row of the table with its numbers as numbers: a text that begins with a sign is written otherwise."""
    return {name: cell if name in _TEXTS or not cell else _number(cell) for name, cell in row.items()}


def _number(cell: str) -> int | float:
    return int(cell) if cell.isdecimal() else float(cell)
