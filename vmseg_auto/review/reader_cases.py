"""Cases as one reader reads them for a comparison of readers: some blind, others from the mask that was predicted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.images.images import write_mask
from vmseg_auto.data.images.segmentations import read_labels
from vmseg_auto.data.reads import Read, Reads
from vmseg_auto.data.reviews import SAVES, Decision
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
from vmseg_auto.utils.console import Silent
from vmseg_auto.utils.errors import InputError
from vmseg_auto.workflows.locking import output_lock

_BEGINS = "You read this case blind: nothing of a model or another reader is shown until you have saved your mask."
_FINAL = "You have read this case blind. All is shown now, and your mask is not changed any more."
_BLIND: tuple[Decision, ...] = ("corrected", "no lesion", "unsure")
_SEEN: tuple[Decision, ...] = ("accepted", "corrected", "no lesion", "unsure")


class ReaderCases(Cases):
    """The cases of another queue, as one reader reads them apart from all others.

    Masks and decisions go into the reader's own folder (readers/NAME), and those that count stay as they are. A case
    that is read blind begins with an empty mask, and shows nothing that a model or another reader has said; once the
    reader has saved a mask, all is shown, and the mask is not changed any more. Other cases begin with the mask as it
    was predicted. The order is random, as the queue's would tell what the model makes of a case.

    Args:
        cases: the other queue.
        reader: who reads.
        share: of the cases that are read blind, above 0 and up to 1.

    Raises:
        InputError: the reader began with another share.
    """

    def __init__(self, cases: Cases, reader: str, share: float) -> None:
        self._inner, self._reads = cases, Reads.of(cases.folder, reader)
        super().__init__(self._reads.folder)
        self.reader = reader
        self._hidden = self._reads.begin(reader, share)
        names = {key: entry.case for key, entry in enumerate(cases.entries) if not entry.problem}
        self._keys = sorted(names, key=lambda key: self._hidden.place(f"order/{names[key]}"))

    @property
    def entries(self) -> list[Entry]:
        inner = self._inner.entries
        readable = [self._entry(inner[key].case) for key in self._keys]
        return [*readable, *(entry for entry in inner if entry.problem)]

    def case(self, key: int) -> str:
        return self._inner.case(self._at(key))

    def open(self, key: int) -> Opened:
        return self._as_read(self._inner.open(self._at(key)))

    def save(self, key: int, given: Given, drawn: NDArray[np.uint8]) -> bool:
        if given.reader != self.reader:
            problem, remedy = f"these are the masks of {self.reader}", "Start vmseg_review with your own --reader."
            raise InputError(problem, case=self.case(key), remedy=remedy)
        with output_lock(self.folder, "vmseg_review", Silent()):
            inner = self._inner.open(self._at(key))
            shown, read = self._as_read(inner), self._reads.read(inner.case)
            earlier = read.reviews if read else ()
            require_unchanged(shown, given)
            mask = decided_mask(shown, given, drawn)
            review = reviewed(replace(shown, reference=inner.reference), given, mask)
            if given.decision in SAVES:
                write_mask(self._reads.mask(inner.case), mask, inner.geometry)
            self._reads.write(Read(inner.case, self.reader, self._is_blind(inner.case), (*earlier, review)))
        return False

    def conclusion(self) -> str:
        done = sum(entry.state in SAVES for entry in self.entries)
        return f"{self.reader} has read {done} of {len(self._keys)} cases; the masks lie in {self.folder}."

    def _as_read(self, inner: Opened) -> Opened:
        """Return a case as the reader may see it."""
        read = self._reads.read(inner.case)
        reviews = read.reviews if read else ()
        blind = self._is_blind(inner.case)
        if read and read.saved:
            mask, _ = read_labels(self._reads.mask(inner.case), inner.labels, inner.geometry, inner.case)
            decisions: tuple[Decision, ...] = () if blind else _SEEN
            notes = (_FINAL,) if blind else ()
            shown = replace(inner, mask=mask, notes=(*notes, *inner.notes))
        elif blind:
            decisions = _BLIND
            shown = _hidden(inner)
            reviews = tuple(replace(one, voxels_changed=None, dice=None) for one in reviews)  # they tell of the others
        elif inner.reference is None:
            problem = "the mask is no longer there as it was predicted, so that no reader can begin with it"
            raise InputError(problem, case=inner.case, remedy="Predict the scan again, or leave the case out.")
        else:
            decisions = _SEEN
            shown = replace(inner, mask=inner.reference)
        return replace(shown, reviews=reviews, decisions=decisions, may_be_added=False)

    def _is_blind(self, case: str) -> bool:
        return self._hidden.hides(case)

    def _entry(self, case: str) -> Entry:
        try:
            read = self._reads.read(case)
        except InputError as error:
            return Entry(case, "", problem=str(error))
        if read is None:
            return Entry(case, TO_DO)
        hint = "" if read.saved is None else "read blind" if read.blind else "read with the prediction"
        return Entry.of(case, read.reviews[-1], hint, read.saved.volumes_ml if read.saved else None)

    def _at(self, key: int) -> int:
        require_place(key, len(self._keys))
        return self._keys[key]


def _hidden(opened: Opened) -> Opened:
    """Return a case without all that a model or another reader has said of it."""
    empty = np.zeros_like(opened.mask)
    return replace(opened, mask=empty, reference=None, predicted=None, notes=(_BEGINS,), overlays=(), start=None)
