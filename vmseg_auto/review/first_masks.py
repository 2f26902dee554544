"""Scans that nobody has annotated as cases to be reviewed: a reader draws the first mask of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.cases import read_case, read_dataset
from vmseg_auto.data.dataset import Case
from vmseg_auto.data.dataset_reviews import DatasetReviews, MaskHistory
from vmseg_auto.data.dicom.series import Choice
from vmseg_auto.data.images.images import write_mask
from vmseg_auto.data.images.registry import USUAL
from vmseg_auto.data.images.segmentations import read_labels
from vmseg_auto.data.made_dataset import beside
from vmseg_auto.data.mask_files import mask_sha256
from vmseg_auto.data.mask_folders import find_masks
from vmseg_auto.data.reviews import SAVES, Decision, Review, review_of
from vmseg_auto.data.scans import find_scans
from vmseg_auto.review.cases import (
    TO_DO,
    Cases,
    Entry,
    Given,
    Opened,
    decided_mask,
    require_place,
    require_unchanged,
    reviewed,
)
from vmseg_auto.review.next_scans import order_scans
from vmseg_auto.review.predicted_cases import AddTo
from vmseg_auto.utils.console import Console, Silent, quoted
from vmseg_auto.utils.errors import DatasetError, InputError, VmsegError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.labels import refuse_regions
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.utils.text import counted
from vmseg_auto.workflows.add_case import ReviewedCase, add_case, next_steps
from vmseg_auto.workflows.locking import output_lock
from vmseg_auto.workflows.patients import Visits

_DECISIONS: tuple[Decision, ...] = ("corrected", "no lesion", "unsure")
_NOTE = "Nobody has outlined anything here yet: draw the mask, then save it as corrected."
_LABELS = {"background": 0, "lesion": 1}
"""Of masks that go into no dataset yet: as `vmseg_make_dataset` calls them."""


class FirstMasks(Cases):
    """All scans of a folder, those first that a model would learn most from; those that are done stand last.

    Masks go into FOLDER_masks, beside the folder, and decisions and drafts into FOLDER_reviews; a mask that another is
    saved in place of is kept there too. Scans that are in the dataset already, to train or to test on, are left out.

    Args:
        folder: of the scans.
        left: what of it is not used is noted here.
        add_to: the dataset that drawn cases can be put into; its scans count as seen.
        console: where progress goes.

    Raises:
        InputError: the folder holds no scan, or none that is not in the dataset; the dataset's labels are regions.
        DatasetError: the dataset can't be used, or none of the scans; all that is wrong is listed.
    """

    def __init__(self, folder: Path, left: Inventory, add_to: AddTo | None = None, console: Console | None = None):
        self._reviews, self._masks = DatasetReviews.beside(folder), beside(folder, "_masks")
        super().__init__(self._reviews.folder)
        self._scans, self._add_to, self._added = folder, add_to, set[int]()
        data = read_dataset(add_to.dataset) if add_to else None
        self._labels = data.labels if data else _LABELS
        refuse_regions(self._labels, "a review of masks")
        self._channels, optional = (data.channels, data.optional) if data else (("T2",), ())
        unusable: list[VmsegError] = []
        scans = find_scans(folder, self._channels, left=left, optional=optional, failed=unusable)
        found = {case.id: case for case in scans}
        seen = {case: self._first_entry(case) for case in found}
        done = {case for case, entry in seen.items() if entry.state in SAVES}
        annotated = (*data.cases, *data.test_cases) if data else ()
        ordered = order_scans(list(found.values()), annotated, done, {}, console or Silent())
        for case, known in ordered.there.items():
            left.add("scan", case, f"in the dataset already, as {known}", meant=True)
        for case, path in find_masks(self._masks, []).items():
            if case not in found:
                left.add("mask", path.name, "called after none of the scans", folder=self._masks)
        left.require_nothing()
        self._failed: Sequence[VmsegError] = (*unusable, *ordered.failed)
        self._cases = [found[case] for case in ordered.cases]
        if not self._cases and not self._failed:
            raise InputError("all scans of this folder are in the dataset already", file=folder)
        if not self._cases:
            raise DatasetError(f"{folder}: no scan can be used", self._failed)
        self._entries = {key: seen[case.id] for key, case in enumerate(self._cases)}

    @property
    def entries(self) -> list[Entry]:
        return [*self._entries.values(), *(Entry(one.case or "", "", problem=str(one)) for one in self._failed)]

    def case(self, key: int) -> str:
        return self._at(key).id

    def open(self, key: int) -> Opened:
        case = self._at(key)
        image, _, geometry = read_case(case)
        reviews = self._reviews.read(case.id).reviews
        mask = self._drawn(case.id, geometry)
        opened = Opened(
            case=case.id,
            labels=self._labels,
            image=image[0],
            geometry=geometry,
            mask=np.zeros(geometry.shape, np.uint8) if mask is None else mask,
            reference=None,
            reference_name="",
            predicted=None,
            reviews=reviews,
            notes=() if mask is not None else (_NOTE,),
            decisions=_DECISIONS,
        )
        review = opened.review
        self._entries[key] = _entry(case.id, review)
        return replace(opened, may_be_added=self._may_be_added(key, review))

    def save(self, key: int, given: Given, drawn: NDArray[np.uint8]) -> bool:
        with output_lock(self._masks, "vmseg_review", Silent()):
            opened = self.open(key)
            require_unchanged(opened, given)
            mask = decided_mask(opened, given, drawn)
            review = reviewed(opened, given, mask)
            history = self._reviews.read(opened.case)
            if given.decision in SAVES:
                history = self._write(history, opened, mask, review)
            self._reviews.write(replace(history, reviews=(*history.reviews, review)))
            self._entries[key] = _entry(opened.case, review)
        return self._may_be_added(key, review)

    def add(self, key: int, visits: Visits | None) -> str:
        if self._add_to is None:
            return super().add(key, visits)
        case, opened = self._at(key), self.open(key)
        if opened.review is None or opened.review.decision != "corrected":
            raise InputError("nobody has outlined this scan", case=case.id, remedy="Draw its mask, and save it first.")
        given = ReviewedCase(
            scan=case,
            mask=self._mask(case.id),
            labels=self._labels,
            channels=self._channels,
            source=self._scans,
            choice=Choice(),
            spacing_mm=None,
            model="",
            review=opened.review,
        )
        told = add_case(self._add_to.dataset, given, key=self._add_to.key, visits=visits)
        self._added.add(key)
        return told

    def conclusion(self) -> str:
        if self._added:
            assert self._add_to is not None
            dataset = self._add_to.dataset
            return f"{counted(len(self._added), 'case')} put into {dataset}: {next_steps(dataset)}"
        drawn = sum(entry.state in SAVES for entry in self._entries.values())
        make = f"vmseg_make_dataset -i {quoted(self._scans)} -m {quoted(self._masks)} -o DATASET"
        told = f"{counted(drawn, 'mask')} in {self._masks}."
        return told if self._add_to or not drawn else f"{told} When there are enough, `{make}` makes a dataset of them."

    def _write(self, history: MaskHistory, opened: Opened, mask: NDArray[np.uint8], review: Review) -> MaskHistory:
        """Write a mask, and keep the one that it replaces; return what is known of the case's mask then."""
        there = self._file(opened.case)
        if there is not None and review.mask_sha256 == opened.base:
            return history
        if there is not None:
            history = self._reviews.keep(history, there, opened.base)
        write_mask(self._mask(opened.case), mask, opened.geometry)
        return history

    def _file(self, case: str) -> Path | None:
        """Return the file of the mask that was drawn, here or elsewhere; None where there is none.

        Raises:
            InputError: there are several, or it is of a format that no mask is written in here.
        """
        errors: list[VmsegError] = []
        there = find_masks(self._masks, errors).get(case)
        if own := next((error for error in errors if error.case == case), None):
            raise own
        if there is not None and there != self._mask(case):
            remedy = f"Save it as {self._mask(case).name} to go on with it here, or move it away to draw another."
            raise InputError("its mask is drawn already, in another format", case=case, file=there, remedy=remedy)
        return there

    def _drawn(self, case: str, geometry: Geometry) -> NDArray[np.uint8] | None:
        """Return the mask that was drawn; None where there is none.

        Raises:
            InputError: it is damaged, or lies on another grid; and as `_file`.
        """
        path = self._file(case)
        if path is None:
            return None
        mask, grid = read_labels(path, self._labels, geometry, case)
        if differences := grid.differences(geometry):
            problem = f"its mask does not lie on the scan's grid: {'; '.join(differences)}"
            raise InputError(problem, case=case, file=path, remedy="Move it away, and draw another.")
        return mask

    def _first_entry(self, case: str) -> Entry:
        """Describe a case; its mask is read only where somebody has decided on it."""
        try:
            reviews = self._reviews.read(case).reviews
            if not reviews or not self._mask(case).is_file():
                return _entry(case, None)
            mask, _ = read_labels(self._mask(case), self._labels, None, case)
        except VmsegError:  # opening it tells what is wrong
            return _entry(case, None)
        return _entry(case, review_of(reviews, mask_sha256(mask)))

    def _may_be_added(self, key: int, review: Review | None) -> bool:
        drawn = review is not None and review.decision == "corrected"
        return drawn and self._add_to is not None and key not in self._added

    def _mask(self, case: str) -> Path:
        return self._masks / f"{case}{USUAL}"

    def _at(self, key: int) -> Case:
        require_place(key, len(self._cases))
        return self._cases[key]


def _entry(case: str, review: Review | None) -> Entry:
    return Entry(case, TO_DO) if review is None else Entry.of(case, review, "", review.volumes_ml)
