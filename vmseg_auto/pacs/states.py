"""What is known of a received series: where it stands on its way from the first image to the answer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from vmseg_auto.utils.json_codec import Stored

Phase = Literal["receiving", "queued", "predicting", "sending", "answered", "refused"]
"""Images may still come; complete, and to be predicted; being predicted right now; results are there, and to be sent;
all has been sent; no answer is possible as things are. A further image makes it `receiving` again."""


@dataclass(frozen=True)
class SeriesState(Stored):
    """Of one series. Nothing here tells who the patient is.

    Args:
        series: its pseudonym.
        study: a hash of its study.
        phase: where it stands.
        images: files received, when it was last complete.
        content: hash of these files.
        link: whether the last association that brought images of it is open, was released as usual, or broke off.
        answer: hash of what the results in place were made from; empty where there are none.
        sent: PEER/FILE of results that were taken since the series was last complete.
        answers: how often all results have been sent.
        crashes: how often its prediction ended without an answer.
        reason: why it is refused, or what it waits for.
        mixed: whether its study holds images of two patients; none of that study is taken until it is purged.
        changed: when the phase was last changed, in UTC.
    """

    series: str
    study: str
    phase: Phase = "receiving"
    images: int = 0
    content: str = ""
    link: Literal["open", "released", "broken"] = "open"
    answer: str = ""
    sent: tuple[str, ...] = ()
    answers: int = 0
    crashes: int = 0
    reason: str = ""
    mixed: bool = False
    changed: str = ""
    schema: int = 3

    OLDER = "Move the queue's folder away: the node makes a new one, and series can be sent again."

    def moved(self, phase: Phase, reason: str = "") -> SeriesState:
        """Return the same in another phase, as from now."""
        return replace(self, phase=phase, reason=reason, changed=datetime.now(UTC).isoformat(timespec="seconds"))

    def is_still(self, before: SeriesState) -> bool:
        """Return whether the series stands where it stood, with the same images."""
        return (self.phase, self.content) == (before.phase, before.content)


def pseudonym(study: str, series: str) -> str:
    """Return what a series is called in files and logs, made from its UIDs, which it doesn't tell.

    >>> pseudonym("1.2.3", "1.2.3.4")
    'series_80b719b7a9c2'
    """
    return f"series_{study_hash(f'{study}/{series}')}"


def study_hash(study: str) -> str:
    """Return 12 hex digits of SHA-256."""
    return hashlib.sha256(study.encode()).hexdigest()[:12]
