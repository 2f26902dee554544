"""What readers have decided of a mask: the entries that `vmseg_review` adds to its record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Decision = Literal["accepted", "corrected", "no lesion", "rejected", "unsure"]
SAVES = ("accepted", "corrected", "no lesion")
"""Decisions by which a mask is saved; the others leave the mask that stands."""


@dataclass(frozen=True)
class Review:
    """A reader's decision.

    Args:
        decision: accepted (the mask is right as it stands), corrected (the reader has changed it), no lesion (there is
            nothing to outline), rejected (the mask must not be used), unsure (somebody else has to decide).
        reader: who decided.
        when: local time with its distance from UTC, ISO 8601.
        minutes: that the reader was at work on the case.
        comment: of the reader.
        mask_sha256: of the label values that the decision is on. It says nothing of any other mask.
        voxels_changed: between prediction and mask; None where the prediction is no longer there.
        dice: of mask and prediction, the mean over labels; None where the prediction is no longer there.
        volumes_ml: label -> mL of the mask.
    """

    decision: Decision
    reader: str
    when: str
    minutes: float
    comment: str
    mask_sha256: str
    voxels_changed: int | None
    dice: float | None
    volumes_ml: dict[str, float]


def review_of(reviews: Sequence[Review], mask_sha256: str) -> Review | None:
    """Return the decision on a mask: the latest one, if it is on these label values.

    Args:
        reviews: of one case, in the order of time.
        mask_sha256: of the mask as it stands.
    """
    return reviews[-1] if reviews and reviews[-1].mask_sha256 == mask_sha256 else None
