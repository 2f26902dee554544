"""Cases that a reader goes through, of whatever kind: how the page sees them, and what holds for each decision."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.mask_files import mask_sha256
from vmseg_auto.data.reviews import SAVES, Decision, Review, review_of
from vmseg_auto.evaluation.metrics.overlap import mean_dice
from vmseg_auto.review.drafts import ChangedMeanwhileError
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.labels import IGNORE_LABEL, classes_of
from vmseg_auto.workflows.patients import Visits

TO_DO = "to do"
DECISIONS: tuple[Decision, ...] = get_args(Decision)


@dataclass(frozen=True)
class Entry:
    """A case as the queue shows it.

    Args:
        case: its id.
        state: the reader's decision on the mask as it stands; "to do" where there is none, "" where it can't be opened.
        hint: what tells how much a check is worth, in words.
        volumes_ml: label -> mL of the mask as it stands; None where they are not known.
        reader, when: of the decision.
        problem: why it can't be opened.
    """

    case: str
    state: str
    hint: str = ""
    volumes_ml: dict[str, float] | None = None
    reader: str = ""
    when: str = ""
    problem: str = ""

    @classmethod
    def of(cls, case: str, review: Review | None, hint: str, volumes_ml: dict[str, float] | None) -> Entry:
        """Describe a case that can be opened, with the decision on its mask."""
        if review is None:
            return cls(case, TO_DO, hint, volumes_ml)
        return cls(case, review.decision, hint, volumes_ml, review.reader, review.when)


@dataclass(frozen=True)
class Overlay:
    """A map that can be laid over the scan.

    Args:
        name: as the page shows it.
        read: gives its values, uint8 [Z, Y, X] on the scan's grid, 255 for the highest that there can be.
    """

    name: str
    read: Callable[[], NDArray[np.uint8]]


@dataclass(frozen=True)
class Opened:
    """A case as it stands, with all that the page draws.

    Args:
        case: its id.
        labels: name -> value; what nobody has annotated has the label `ignore` and the value IGNORE.
        image: first channel of the scan [Z, Y, X].
        geometry: of all.
        mask: label values that stand [Z, Y, X].
        reference: label values that the reader's work is measured against; None where they are no longer there.
        reference_name: what these are, in words that go on "the mask is".
        predicted: label values that a model has predicted; None where they are not there.
        reviews: all decisions on this case, in the order of time.
        notes: sentences that the reader should know.
        decisions: which can be made.
        overlays: maps of this case.
        may_be_added: whether it can be put into the dataset that was named.
        start: index along Z of the slice to be shown first; the middle of the mask unless given.
    """

    case: str
    labels: dict[str, int]
    image: NDArray[np.float32]
    geometry: Geometry
    mask: NDArray[np.uint8]
    reference: NDArray[np.uint8] | None
    reference_name: str
    predicted: NDArray[np.uint8] | None
    reviews: tuple[Review, ...]
    notes: tuple[str, ...] = ()
    decisions: tuple[Decision, ...] = DECISIONS
    overlays: tuple[Overlay, ...] = ()
    may_be_added: bool = False
    start: int | None = None

    @property
    def version(self) -> int:
        """How many decisions there are."""
        return len(self.reviews)

    @cached_property
    def base(self) -> str:
        """Hash of the label values that stand."""
        return mask_sha256(self.mask)

    @property
    def review(self) -> Review | None:
        """The decision on the mask that stands."""
        return review_of(self.reviews, self.base)


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


class Cases(ABC):
    """A queue of cases of one kind, and what a decision on one of them does.

    Args:
        folder: drafts go there.
    """

    reader = ""
    """Who alone can decide; anybody where it is empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    @abstractmethod
    def entries(self) -> list[Entry]:
        """The cases in the order of the queue; those that can't be opened stand last."""

    @abstractmethod
    def case(self, key: int) -> str:
        """Return the id of a case by its place in the queue; raises InputError where there is none."""

    @abstractmethod
    def open(self, key: int) -> Opened:
        """Open a case as it stands now.

        Raises:
            InputError: its mask, record or scan is gone, damaged or another.
        """

    @abstractmethod
    def save(self, key: int, given: Given, drawn: NDArray[np.uint8]) -> bool:
        """Write a decision, and the mask where it is one of those that save it, whole or not at all.

        Args:
            drawn: the label values [Z, Y, X] that the reader sees.

        Returns:
            Whether the case can now be put into the dataset that was named.

        Raises:
            ChangedMeanwhileError: somebody else has saved the case since the reader opened it.
            InputError: the mask does not go with the decision, or holds what is no label; another command writes here.
            VmsegError: a file can't be written.
        """

    def add(self, key: int, visits: Visits | None) -> str:
        """Put a case with its mask into the dataset that was named, and return in words what was done.

        Args:
            visits: whether a scan that looks like a visit of a patient of the dataset is one ("join") or not ("apart").

        Raises:
            InputError: no dataset was named, or the case can't go into it.
        """
        problem, remedy = "no dataset was named", "Start vmseg_review with -i and --add-to DATASET."
        raise InputError(problem, case=self.case(key), remedy=remedy)

    def conclusion(self) -> str:
        """Return in words what has to be done after these decisions; empty where that is nothing."""
        return ""


def require_place(key: int, cases: int) -> None:
    """Raise InputError where a queue has no case of that number."""
    if not 0 <= key < cases:
        raise InputError("there is no such case in the queue", remedy="Load the page again.")


def require_unchanged(opened: Opened, given: Given) -> None:
    """Raise ChangedMeanwhileError where the case is not as the reader saw it when he opened it."""
    if given.version != opened.version and opened.reviews:
        last = opened.reviews[-1]
        problem = f"{last.reader} has saved this case meanwhile ({last.decision}, {last.when})"
    elif (given.version, given.base) != (opened.version, opened.base):
        problem = "the mask of this case was changed meanwhile"
    else:
        return
    remedy = "Nothing was overwritten. Load the case again to see how it stands."
    raise ChangedMeanwhileError(problem, case=opened.case, remedy=remedy)


def decided_mask(opened: Opened, given: Given, drawn: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the mask that a decision leaves [Z, Y, X]. What the reader has left as not annotated stays so: without a
    lesion elsewhere, nobody has looked there.

    Raises:
        InputError: it does not go with the decision, or holds what is no label.
    """
    if given.decision not in opened.decisions:
        problem = f"this case can't be saved as {given.decision}"
        raise InputError(problem, case=opened.case, remedy="Choose one of the decisions that the page offers.")
    if unknown := sorted(set(np.unique(drawn).tolist()) - {0, *opened.labels.values()}):
        problem = f"the mask that was sent holds {unknown[0]}, which is no label"
        raise InputError(problem, case=opened.case, remedy="Load the case again.")
    if given.decision == "no lesion":
        return np.where(drawn == opened.labels.get(IGNORE_LABEL, 0), drawn, np.uint8(0))
    if given.decision not in SAVES:
        return opened.mask
    if given.decision == "corrected" and not drawn.any() and "no lesion" in opened.decisions:
        raise InputError("the mask is empty", case=opened.case, remedy="Save it as no lesion, or draw one.")
    as_reference = opened.reference is not None and np.array_equal(drawn, opened.reference)
    if given.decision == "accepted" and not (as_reference or np.array_equal(drawn, opened.mask)):
        problem = "the mask was changed, so that it can't be accepted as it is"
        raise InputError(problem, case=opened.case, remedy=f"Save it as corrected, or go back to {_before(opened)}.")
    if given.decision == "corrected" and as_reference:
        problem = f"the mask is {opened.reference_name}, so that nothing is corrected"
        raise InputError(problem, case=opened.case, remedy="Save it as accepted.")
    return drawn


def reviewed(opened: Opened, given: Given, mask: NDArray[np.uint8]) -> Review:
    """Return the entry of a record that tells of a decision.

    Args:
        mask: that the decision leaves.
    """
    labels = {name: value for name, value in classes_of(opened.labels).items() if value}
    before = opened.reference
    return Review(
        given.decision,
        given.reader,
        datetime.now().astimezone().isoformat(timespec="seconds"),
        round(given.minutes, 2),
        given.comment,
        mask_sha256(mask),
        None if before is None else int(np.count_nonzero(mask != before)),
        None if before is None else mean_dice(mask, before, labels),
        {name: int(np.count_nonzero(mask == v)) * opened.geometry.voxel_ml for name, v in labels.items()},
    )


def _before(opened: Opened) -> str:
    return "the mask as it was opened" if opened.reference is None else opened.reference_name
