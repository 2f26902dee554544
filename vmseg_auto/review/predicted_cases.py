"""Predictions in a folder as cases to be reviewed: their order, and a decision on one of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.cases import read_dataset
from vmseg_auto.data.dataset import Case
from vmseg_auto.data.reviews import Review
from vmseg_auto.report.predictions import KEEP, NOT_KEPT, Predicted, read_predictions
from vmseg_auto.review.cases import Cases, Entry, Given, Opened, require_place
from vmseg_auto.review.next_scans import order_scans
from vmseg_auto.review.predicted_case import ADDED, PredictedCase
from vmseg_auto.review.save import bring_up_to_date, save_decision
from vmseg_auto.utils.console import Console, Silent
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.labels import refuse_regions
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.utils.text import counted, listed
from vmseg_auto.workflows.add_case import add_case, next_steps
from vmseg_auto.workflows.locking import output_lock
from vmseg_auto.workflows.patients import Visits


@dataclass(frozen=True)
class AddTo:
    """The dataset that cases are put into.

    Args:
        dataset: its folder.
        key: to its pseudonyms; DATASET_key.csv beside it unless given.
    """

    dataset: Path
    key: Path | None = None


class PredictedCases(Cases):
    """All cases of a folder of predictions, those first whose check is worth most.

    A check is worth most where the Dice to expect is lowest. Without a calibration one minus the uncertainty stands for
    it, which is itself a Dice: that of a network's masks in opposite mirrorings. Scans unlike those that the model
    knows come first, as nothing is to be expected of them. By learning, those come first instead that a model would
    learn most from, and those that are in the dataset already stand last.

    Args:
        folder: that `vmseg_predict` has written.
        images: where the scans lie; where they lay when they were predicted, unless given.
        left: what of both is not used is noted here.
        add_to: the dataset that accepted and corrected cases can be put into.
        by_learning: whether the order is that of learning.
        console: where progress goes.

    Raises:
        InputError: the folder holds no predictions, or there is no such dataset.
        DatasetError: the dataset can't be used.
    """

    def __init__(
        self,
        folder: Path,
        images: Path | None,
        left: Inventory,
        add_to: AddTo | None = None,
        by_learning: bool = False,
        console: Console | None = None,
    ) -> None:
        super().__init__(folder)
        data = read_dataset(add_to.dataset) if add_to is not None else None
        self._images, self._add_to, self._added = images, add_to, set[int]()
        found, failed = read_predictions(folder, images, left)
        for one in found:
            refuse_regions(one.record.labels, "a review of masks")
        self._found = sorted((one for one in found if one.found is not None), key=_worth)
        unseen = [
            InputError(f"the {NOT_KEPT}", case=one.record.case, remedy=KEEP) for one in found if one.found is None
        ]
        if by_learning:
            self._found = _by_learning(
                self._found, (*data.cases, *data.test_cases) if data else (), console or Silent()
            )
        self._failed: Sequence[VmsegError] = [*failed, *unseen]
        self._entries: dict[int, Entry] = {key: _entry(one) for key, one in enumerate(self._found)}
        left.require_nothing()

    @property
    def entries(self) -> list[Entry]:
        unusable = [Entry(error.case or "", "", problem=str(error)) for error in self._failed]
        return [*self._entries.values(), *unusable]

    def measure_again(self, console: Console) -> None:
        """Write rows of volumes.csv anew where a mask was changed since it was written, and say so.

        Raises:
            InputError: another command writes to the folder.
        """
        with output_lock(self.folder, "vmseg_review", console):
            if changed := bring_up_to_date(self.folder, self._found):
                console.say(f"Changed since volumes.csv was written, and measured again: {listed(changed)}.")

    def case(self, key: int) -> str:
        return self._at(key).record.case

    def open(self, key: int) -> Opened:
        opened = self.read(key).opened
        return replace(opened, may_be_added=self._may_be_added(key, opened.review))

    def save(self, key: int, given: Given, drawn: NDArray[np.uint8]) -> bool:
        with output_lock(self.folder, "vmseg_review", Silent()):
            case = self.read(key)
            record = save_decision(self.folder, case, given, drawn)
        review = record.reviews[-1]
        judgement = replace(record.judgement, corrected=review.mask_sha256 != record.mask_sha256)
        hint = _hint(replace(case.one, record=replace(record, judgement=judgement)))
        self._entries[key] = Entry.of(record.case, review, hint, review.volumes_ml)
        return self._may_be_added(key, review)

    def add(self, key: int, visits: Visits | None) -> str:
        if self._add_to is None:
            return super().add(key, visits)
        case = self.read(key)
        inputs = self._images if self._images is not None else self.folder / case.record.source.inputs
        reviewed = case.reviewed(inputs)
        told = add_case(self._add_to.dataset, reviewed, key=self._add_to.key, visits=visits)
        self._added.add(key)
        return told

    def conclusion(self) -> str:
        if self._add_to is None or not self._added:
            return ""
        dataset = self._add_to.dataset
        return f"{counted(len(self._added), 'case')} put into {dataset}: {next_steps(dataset)}"

    def read(self, key: int) -> PredictedCase:
        """Read a case as it stands now, and renew its entry; raises as `open`."""
        case = PredictedCase.read(self.folder, self._at(key))
        self._entries[key] = _entry(case.one)
        return case

    def _may_be_added(self, key: int, review: Review | None) -> bool:
        decided = review is not None and review.decision in ADDED
        return decided and self._add_to is not None and key not in self._added

    def _at(self, key: int) -> Predicted:
        require_place(key, len(self._found))
        return self._found[key]


def _entry(one: Predicted) -> Entry:
    volumes = {row["label"]: row["volume_ml"] for row in one.record.volumes if row["component"] == "all"}
    return Entry.of(one.record.case, one.review, _hint(one), volumes)


def _hint(one: Predicted) -> str:
    """Return the Dice to expect with its traffic light; the uncertainty where that is not known."""
    told = next((row for row in one.rows if row["component"] == "all"), {})
    expected = None if one.record.judgement.corrected else _known(told.get("expected_dice"))
    if expected is None:
        return f"uncertainty {one.record.judgement.confidence.uncertainty:.2f}"
    light = told.get("traffic_light")
    return f"expected Dice {expected:.2f}" + (f", {light}" if light else "")


def _worth(one: Predicted) -> tuple[bool, float, str]:
    """Return what orders the queue: the smallest first."""
    judgement = one.record.judgement
    expected = _known(next((row["expected_dice"] for row in one.rows if row["component"] == "all"), None))
    agreement = 1 - judgement.confidence.uncertainty
    return not judgement.unlike, expected if expected is not None else agreement, one.record.case


def _by_learning(found: Sequence[Predicted], annotated: Sequence[Case], console: Console) -> list[Predicted]:
    """Order predictions by what a model would learn from their scans; those that somebody has decided on stand last."""
    by_case = {one.record.case: one for one in found}
    done = {case for case, one in by_case.items() if one.review is not None}
    doubts = {case: one.record.judgement.confidence.uncertainty for case, one in by_case.items()}
    ordered = order_scans([one.scan for one in found], annotated, done, doubts, console).cases
    return [*(by_case[case] for case in ordered), *(one for case, one in by_case.items() if case not in ordered)]


def _known(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
