"""A reader's decision, written: the record, the mask in each of its formats, the table and the preview."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.dicom.series import Series
from vmseg_auto.data.images.images import write_mask
from vmseg_auto.data.mask_files import MaskFile, SavedMask, mask_sha256
from vmseg_auto.data.reviews import SAVES, Decision, Review
from vmseg_auto.evaluation.expected_quality import CALIBRATED_COLUMNS, CASE_COLUMNS
from vmseg_auto.evaluation.metrics.overlap import mean_dice
from vmseg_auto.report.predictions import Predicted
from vmseg_auto.review.cases import Opened, predicted_file
from vmseg_auto.review.drafts import ChangedMeanwhileError
from vmseg_auto.utils.atomic import put_in_place, scratch_folder, write_sealed
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.tables import read_csv, write_csv
from vmseg_auto.workflows.mask_formats import FinishedMask, format_of_mask, made_by
from vmseg_auto.workflows.prediction_record import VOLUME_COLUMNS, InPlace, PredictionRecord, volume_rows
from vmseg_auto.workflows.prediction_writer import PredictionWriter

_COLUMNS = (*VOLUME_COLUMNS, *CALIBRATED_COLUMNS, *CASE_COLUMNS)
_TEXTS = {"case", "label", "component", "goyal_size", "no_interval", "traffic_light", "unlike", "remark"}
Row = dict[str, Any]


@dataclass(frozen=True)
class Given:
    """What a reader sends.

    Args:
        decision: of the case.
        reader: who decides.
        comment: free text.
        minutes: at work on the case.
        version: number of decisions that the reader has seen.
        base: hash of the mask that the reader began with.
    """

    decision: Decision
    reader: str
    comment: str
    minutes: float
    version: int
    base: str


def save_decision(folder: Path, opened: Opened, given: Given, drawn: NDArray[np.uint8]) -> PredictionRecord:
    """Write a decision, and the mask where it is one of those that save it; the caller holds the folder's lock.

    The record is written before the files of the mask get their names, and tells of the former ones too: wherever this
    is cut short, each file that lies there is known as what it is, and a decision holds only for the mask that it was
    made on.

    Args:
        folder: of the masks.
        opened: the case as it stands.
        given: what the reader sends.
        drawn: the label values [Z, Y, X] that the reader sees.

    Returns:
        The record as it is stored.

    Raises:
        ChangedMeanwhileError: somebody else has saved the case since the reader opened it.
        InputError: the mask does not go with the decision, or holds what is no label.
        VmsegError: a file can't be written.
    """
    require_unchanged(opened, given)
    mask = _decided(opened, given, drawn)
    own = mask_sha256(mask)
    review = _review(opened, given, mask, own)
    record = replace(opened.record, reviews=(*opened.record.reviews, review))
    writer = PredictionWriter(folder, record.labels, record.source)
    predicted = own == record.mask_sha256
    if predicted:  # first: of a mask that is the predicted one the table must tell the predicted lesions
        write_rows(folder, {record.case: _rows_of_prediction(folder, record, opened)})
    if own == opened.base:
        write_sealed(writer.record_file(opened.one.scan), record.to_json())
    else:
        record = _put_mask(folder, opened, record, mask, own)
    if not predicted:
        write_rows(folder, {record.case: _rows_as_it_stands(folder, record)})
    preview = writer.preview(opened.one.scan)
    if preview.is_file():
        from vmseg_auto.figures.overlays import draw_overlay  # loads matplotlib

        draw_overlay(opened.image, mask, opened.geometry, record.labels, preview, record.case)
    return record


def require_unchanged(opened: Opened, given: Given) -> None:
    """Raise ChangedMeanwhileError where the case is not as the reader saw it when he opened it."""
    if given.version != opened.version and opened.record.reviews:
        last = opened.record.reviews[-1]
        problem = f"{last.reader} has saved this case meanwhile ({last.decision}, {last.when})"
    elif (given.version, given.base) != (opened.version, opened.base):
        problem = "the mask of this case was changed meanwhile"
    else:
        return
    remedy = "Nothing was overwritten. Load the case again to see how it stands."
    raise ChangedMeanwhileError(problem, case=opened.record.case, remedy=remedy)


def _decided(opened: Opened, given: Given, drawn: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the mask that the decision leaves.

    Raises:
        InputError: it does not go with the decision, or holds what is no label.
    """
    case, record = opened.record.case, opened.record
    if unknown := sorted(set(np.unique(drawn).tolist()) - {0, *record.labels.values()}):
        problem = f"the mask that was sent holds {unknown[0]}, which is no label"
        raise InputError(problem, case=case, remedy="Load the case again.")
    if given.decision == "no lesion":
        return np.zeros_like(opened.mask)
    if given.decision not in SAVES:
        return opened.mask
    own = mask_sha256(drawn)
    if given.decision == "accepted" and own not in (opened.base, record.mask_sha256):
        problem = "the mask was changed, so that it can't be accepted as it is"
        raise InputError(problem, case=case, remedy="Save it as corrected, or go back to the prediction.")
    if given.decision == "corrected" and own == record.mask_sha256:
        problem = "the mask is as it was predicted, so that nothing is corrected"
        raise InputError(problem, case=case, remedy="Save it as accepted.")
    return drawn


def _review(opened: Opened, given: Given, mask: NDArray[np.uint8], own: str) -> Review:
    labels = {name: value for name, value in opened.record.labels.items() if value}
    before = opened.predicted
    return Review(
        given.decision,
        given.reader,
        datetime.now().astimezone().isoformat(timespec="seconds"),
        round(given.minutes, 2),
        given.comment,
        own,
        None if before is None else int(np.count_nonzero(mask != before)),
        None if before is None else mean_dice(mask, before, labels),
        {name: int(np.count_nonzero(mask == v)) * opened.geometry.voxel_ml for name, v in labels.items()},
    )


def _put_mask(
    folder: Path, opened: Opened, record: PredictionRecord, mask: NDArray[np.uint8], own: str
) -> PredictionRecord:
    """Write the record and the mask, in every format in which it lies there; returns the record."""
    scan, there = opened.one.scan, opened.there
    kept = predicted_file(folder, record.case)
    if opened.predicted is not None:
        write_mask(kept, opened.predicted, opened.geometry)
    if there.state == "as written":
        record = replace(record, predicted_rows=tuple(_rows_of(folder, record.case)))
    lying = dict.fromkeys([there.mask, *there.counting, *there.behind])
    formats = {path: format_of_mask(path) for path in lying}
    # A report of measurements tells of the segments of the SEG: where that is gone, so is what it tells of.
    paths = [path for path in lying if formats[path] != "dicom-sr" or "dicom-seg" in formats.values()]
    with scratch_folder(folder) as scratch:
        made = [scratch / path.name for path in paths]
        finished = _finished(opened, record, mask, own)
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
        place = PredictionWriter(folder, record.labels, record.source).record_file(scan)
        write_sealed(place, pending.to_json())
        for path in made:
            put_in_place(path, folder / path.name)
    write_sealed(place, final.to_json())
    return final


def _finished(opened: Opened, record: PredictionRecord, mask: NDArray[np.uint8], own: str) -> FinishedMask:
    """Return the mask with what its files tell; intervals are not told in pictures, as they were for the prediction."""
    scan = opened.one.scan
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


def _rows_of_prediction(folder: Path, record: PredictionRecord, opened: Opened) -> list[Row]:
    """Return the rows that the prediction had, with what is decided of it now."""
    remark = record.judged(record.mask_sha256).remark
    again = opened.record.predicted_rows or tuple(record.rows(None))
    before = again if opened.there.state == "edited" else _rows_of(folder, record.case)
    return [{**row, "remark": remark} if row["component"] == "all" else row for row in before]


def _rows_of(folder: Path, case: str) -> list[Row]:
    return [_values(row) for row in read_csv(folder / "volumes.csv") if row.get("case") == case]


def _values(row: Mapping[str, str]) -> Row:
    """Return a row of the table with its numbers as numbers: a text that begins with a sign is written otherwise."""
    return {name: cell if name in _TEXTS or not cell else _number(cell) for name, cell in row.items()}


def _number(cell: str) -> int | float:
    return int(cell) if cell.isdecimal() else float(cell)
