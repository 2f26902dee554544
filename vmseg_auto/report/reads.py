"""How readers agree who have drawn masks apart from each other, some of them blind, others from a prediction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.images.segmentations import read_labels
from vmseg_auto.data.mask_files import mask_sha256
from vmseg_auto.data.reads import Read, Reads
from vmseg_auto.evaluation.metrics.overlap import mean_dice
from vmseg_auto.report.render import NONE, Table
from vmseg_auto.report.words import shown
from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.workflows.prediction_record import PredictionRecord

_COLUMNS = ("What is compared", "Cases", "Dice (median)", "Minutes (median)")
_ONE = {True: "blind, with the prediction", False: "prediction shown, with it"}
_TWO = {2: "two readers, both blind", 1: "two readers, one of them blind", 0: "two readers, neither blind"}


def reads_table(folder: Path, records: Mapping[str, PredictionRecord]) -> Table:
    """Return the agreement of readers' masks with the prediction and with each other, by who has read blind.

    A reader who begins with a prediction may draw much the same. Then masks that were read with it agree better with
    it, and with each other, than blind ones.

    Args:
        folder: of the predictions.
        records: case -> its record.

    Raises:
        InputError: a reader's record is damaged.
    """
    read = [(one, each) for each in Reads.below(folder) for one in each.all() if one.saved and one.case in records]
    masks: dict[tuple[str, str], NDArray[np.uint8]] = {}
    for one, place in read:
        if (mask := _mask(one, place, records[one.case])) is not None:
            masks[one.reader, one.case] = mask
    known = [one for one, _ in read if (one.reader, one.case) in masks]
    rows = [*_with_prediction(known), *_with_each_other(known, masks, records)]
    if lost := len(read) - len(known):
        rows.append(("changed since it was read, or damaged, and left out", str(lost), NONE, NONE))
    return Table("Masks that readers have drawn apart from each other", _COLUMNS, tuple(rows))


def _mask(read: Read, place: Reads, record: PredictionRecord) -> NDArray[np.uint8] | None:
    """Return a reader's mask; None where it is not the one that was saved."""
    assert read.saved is not None
    try:
        mask, grid = read_labels(place.mask(read.case), record.labels, record.grid, read.case)
    except VmsegError:
        return None
    as_saved = mask_sha256(mask) == read.saved.mask_sha256 and not grid.differences(record.grid)
    return mask if as_saved else None


def _with_prediction(reads: list[Read]) -> Iterator[tuple[str, ...]]:
    for blind, title in _ONE.items():
        reviews = [one.saved for one in reads if one.blind == blind and one.saved]
        if reviews:
            dice = [review.dice for review in reviews if review.dice is not None]
            minutes = shown(median(review.minutes for review in reviews), 1)
            yield title, str(len(reviews)), shown(median(dice)) if dice else NONE, minutes


def _with_each_other(
    reads: list[Read], masks: Mapping[tuple[str, str], NDArray[np.uint8]], records: Mapping[str, PredictionRecord]
) -> Iterator[tuple[str, ...]]:
    dice: dict[int, list[float]] = {number: [] for number in _TWO}
    for one, other in combinations(reads, 2):
        if one.case == other.case:
            pair = masks[one.reader, one.case], masks[other.reader, other.case]
            dice[one.blind + other.blind].append(mean_dice(*pair, records[one.case].labels))
    for number, title in _TWO.items():
        if found := dice[number]:
            yield title, str(len(found)), shown(median(found)), NONE
