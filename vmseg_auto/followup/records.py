"""The same patient at two times: what has become of the lesions, as stored and in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from vmseg_auto.followup.response import UNCHANGED, Change, Detectable, Response, Volume
from vmseg_auto.followup.rigid import RigidTransform
from vmseg_auto.utils.json_codec import Stored

Fate = Literal["same", "split", "merged", "regrouped", "new", "gone", "out of view"]
SPECK_ML = 0.05
"""Lesions that were never larger are counted, but not told one by one."""
_FATES: dict[Fate, str] = {
    "same": "the same",
    "split": "split",
    "merged": "merged",
    "regrouped": "split and merged",
    "new": "new",
    "gone": "gone",
    "out of view": "outside the other scan",
}
_RESPONSES: dict[Response, str] = {
    "worse": "worse",
    "unchanged": "unchanged",
    "minor": "minor response",
    "intermediate": "intermediate response",
    "major": "major response",
}
COLUMNS = (
    "case", "label", "component", "fate", "component_after", "before_ml", "before_low_ml", "before_high_ml", "after_ml",
    "after_low_ml", "after_high_ml", "change_percent", "change_low_percent", "change_high_percent", "beyond_error",
    "detectable_decrease_percent", "detectable_decrease_ml", "detectable_increase_percent", "detectable_increase_ml",
    "response", "grid_percent", "sound", "before_mm", "after_mm",
)  # fmt: skip
"""Of followup.csv."""


@dataclass(frozen=True)
class Alignment:
    """How the second scan was brought onto the first.

    Args:
        transform: of the patient, from the first scan's world to the second's; None where none was found.
        degrees: turned.
        shift_mm: moved, in the middle of the first scan.
        overlap: share of one scan's field of view that the other has seen, the larger of both.
        local_ncc: 0 to 1, of the scans once together (followup/rigid.py).
        problems: in words, why it can't be relied on; empty where it can.
        mirrored: the local_ncc that is reached when the second scan's left and right are exchanged.
    """

    transform: RigidTransform | None
    degrees: float
    shift_mm: float
    overlap: float
    local_ncc: float
    problems: tuple[str, ...] = ()
    mirrored: float = 0.0

    LEAST_OVERLAP: ClassVar[float] = 0.25
    LEAST_NCC: ClassVar[float] = 0.4
    MOST_DEGREES: ClassVar[float] = 45.0
    BETTER: ClassVar[float] = 0.02
    FAR_BETTER: ClassVar[float] = 0.1

    @classmethod
    def judged(
        cls,
        transform: RigidTransform | None,
        shift_mm: float,
        overlap: float,
        local_ncc: float,
        mirrored: float = 0.0,
        least_ncc: float = LEAST_NCC,
    ) -> Alignment:
        """Judge how two scans were aligned, and list what speaks against relying on it.

        Args:
            least_ncc: the local NCC from which they are alike: less for two sequences than for one.
        """
        problems = []
        if mirrored >= least_ncc and cls._far_better(mirrored, local_ncc):
            problems.append(
                f"the second scan fits far better mirrored (local NCC {mirrored:.2f} against {local_ncc:.2f}): its "
                "left and right may have been exchanged, as by a conversion that lost a flip"
            )
        if transform is None:
            problems.append("no transform was found that lays one over the other")
            return cls(None, 0.0, 0.0, 0.0, 0.0, tuple(problems), mirrored)
        if overlap < cls.LEAST_OVERLAP:
            problems.append(f"they share only {overlap:.0%} of their field of view")
        if transform.degrees > cls.MOST_DEGREES:
            problems.append(f"one would have to be turned by {transform.degrees:.0f} degrees")
        if local_ncc < least_ncc:
            another = "sequence" if least_ncc == cls.LEAST_NCC else "part of the body"
            problems.append(
                f"laid over each other they are not alike (local NCC {local_ncc:.2f}, at least {least_ncc:g} is "
                f"needed): another patient, another {another} or a damaged scan"
            )
        return cls(transform, transform.degrees, shift_mm, overlap, local_ncc, tuple(problems), mirrored)

    @classmethod
    def _far_better(cls, mirrored: float, local_ncc: float) -> bool:
        """Return whether the mirrored scan fits far better. Outlines are alike on both sides: of scans that fit well,
        what is left unlike decides.
        """
        halved = 2 * (1 - mirrored) < 1 - local_ncc
        return mirrored > local_ncc + (cls.BETTER if halved else cls.FAR_BETTER)

    def text(self) -> str:
        """Describe the alignment."""
        if self.problems:
            return f"The scans could not be aligned, so lesions are not matched: {'; '.join(self.problems)}."
        return f"The scans are aligned: the patient lay {self.shift_mm:.1f} mm and {self.degrees:.1f} degrees apart."


@dataclass(frozen=True)
class LesionChange:
    """Lesions of one scan and what they are in the other.

    Args:
        label: of the lesions.
        fate: what has become of them.
        before, after: their numbers in each scan's mask, 1 being a label's largest.
        before_ml, after_ml: their volume, together.
        percent: change; None for what is new or was not seen.
        before_mm, after_mm: the longest axial diameter of each.
        before_each_ml: the volume of each before.
    """

    label: str
    fate: Fate
    before: tuple[int, ...]
    after: tuple[int, ...]
    before_ml: float
    after_ml: float
    percent: float | None
    before_mm: tuple[float, ...] = ()
    after_mm: tuple[float, ...] = ()
    before_each_ml: tuple[float, ...] = ()


@dataclass(frozen=True)
class FollowUp:
    """A patient at two times.

    Args:
        case: what the pair is called.
        before, after: names of the scans.
        changes: label -> change of its volume.
        alignment: of the scans.
        lesions: one by one; none where the scans are not aligned.
        notes: what limits the comparison, in words.
        doubts: in words, why nothing can be said of the change; no response is called then.
    """

    case: str
    before: str
    after: str
    changes: dict[str, Change]
    alignment: Alignment
    lesions: tuple[LesionChange, ...] = ()
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether nothing speaks against comparing the scans."""
        return not self.doubts

    def warning(self) -> str:
        """Describe what speaks against comparing the scans; empty where nothing does."""
        return f"{self.case}: the two times can't be compared soundly, so no response is called: {_list(self.doubts)}"

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of followup.csv: each label's total, then its lesions."""
        for label, change in self.changes.items():
            yield {
                "case": self.case,
                "label": label,
                "component": "all",
                "component_after": "all",
                **_volume_columns("before", change.before),
                **_volume_columns("after", change.after),
                "change_percent": change.percent,
                "change_low_percent": change.low_percent,
                "change_high_percent": change.high_percent,
                "beyond_error": None if change.beyond_error is None else "yes" if change.beyond_error else "no",
                **_detectable_columns(change),
                "response": change.response,
                "grid_percent": change.grid_percent,
                "sound": "yes" if self.sound else "no",
            }
            for lesion in self.lesions:
                if lesion.label == label:
                    yield {
                        "case": self.case,
                        "label": label,
                        "component": _joined(lesion.before),
                        "fate": lesion.fate,
                        "component_after": _joined(lesion.after),
                        "before_ml": lesion.before_ml,
                        "after_ml": lesion.after_ml,
                        "change_percent": lesion.percent,
                        "before_mm": sum(lesion.before_mm),
                        "after_mm": sum(lesion.after_mm),
                    }

    def text(self) -> str:
        """Describe the comparison for the screen."""
        lines = [f"{self.case}: {self.before} -> {self.after}"]
        for label, change in self.changes.items():
            lines += [f"  {label}: {_in_ml(change.before)} -> {_in_ml(change.after)}", f"    {detectable(change)}"]
            lines += [f"    {self._verdict(label)}", *(f"    {told}" for told in self._lesion_lines(label))]
        apart = [doubt for doubt in self.doubts if doubt not in self.alignment.problems]
        closing = [self.alignment.text(), *self.notes, *(f"Not sound: {doubt}." for doubt in apart)]
        return "\n".join([*lines, *(f"  {told}" for told in closing)])

    def headlines(self) -> list[str]:
        """List for each label the volumes, which changes could be detected, and what this one means."""
        return [
            line
            for label, change in self.changes.items()
            for line in (
                f"{label}: {_in_ml(change.before)} -> {_in_ml(change.after)}; {self._verdict(label)}",
                f"({detectable(change)})",
            )
        ]

    def _verdict(self, label: str) -> str:
        change = self.changes[label]
        return verdict(change) if self.sound else f"{_size(change)}: no response is called"

    def _lesion_lines(self, label: str) -> Iterator[str]:
        mine = [lesion for lesion in self.lesions if lesion.label == label]
        specks = [lesion for lesion in mine if max(lesion.before_ml, lesion.after_ml) <= SPECK_ML]
        for lesion in mine:
            if lesion not in specks:
                yield _lesion_text(lesion)
        if specks:
            yield f"and {len(specks)} of {SPECK_ML:g} mL or less (followup.csv)"


@dataclass(frozen=True)
class FollowUps(Stored):
    """followup.json."""

    pairs: tuple[FollowUp, ...]
    schema: int = 5


def verdict(change: Change) -> str:
    """Describe a change and what it means."""
    told = _size(change)
    if change.response is None:
        return f"{told}: the slices' other thickness alone explains it, so no response is called"
    if change.beyond_error is None:
        return f"{told}: {_RESPONSES[change.response]} (the measurement error is not known; --error gives it)"
    if not change.beyond_error and (change.percent is None or abs(change.percent) > UNCHANGED):
        return f"{told}: not beyond the measurement error, so unchanged"
    best, worst = change.possible or (change.response, change.response)
    doubt = "" if best == worst else f"; by the interval {best} to {worst}"
    return f"{told}: {_RESPONSES[change.response]}{doubt}"


def detectable(change: Change) -> str:
    """Describe which changes of this volume could be detected at all, or why that is not known."""
    found = change.detectable
    if found is None:
        why = "nothing was found before" if change.before.ml == 0 else "the measurement error is not known"
        return f"which changes could be seen is not known: {why}"
    ends = [
        f"no {name}, however large"
        if percent is None
        else f"{name} from {abs(percent):.0f} % ({abs(percent) * change.before.ml / 100:.2f} mL) on"
        for name, percent in (("decreases", found.decrease_percent), ("increases", found.increase_percent))
    ]
    return f"seen in four cases of five at this error: {', '.join(ends)}; smaller ones less often"


def _size(change: Change) -> str:
    """Describe a change with its interval, where that is known."""
    size = "there was nothing before" if change.percent is None else f"{change.percent:+.0f} %"
    if change.beyond_error is None:
        return size
    low = "-100" if change.low_percent is None else f"{change.low_percent:+.0f}"
    high = "open" if change.high_percent is None else f"{change.high_percent:+.0f} %"
    return f"{size} (90 % interval {low} to {high})"


def _list(words: tuple[str, ...]) -> str:
    return "; ".join(words) + "."


def _lesion_text(lesion: LesionChange) -> str:
    fate = _FATES[lesion.fate]
    if not lesion.after:
        return f"lesion {_joined(lesion.before)} ({lesion.before_ml:.2f} mL): {fate}"
    if not lesion.before:
        return f"lesion {_joined(lesion.after)} of the second scan ({lesion.after_ml:.2f} mL): {fate}"
    into = f" (lesion {_joined(lesion.after)} of the second scan)" if lesion.before != lesion.after else ""
    change = "" if lesion.percent is None else f", {lesion.percent:+.0f} %"
    volumes = f"{lesion.before_ml:.2f} -> {lesion.after_ml:.2f} mL{change}"
    return f"lesion {_joined(lesion.before)}, {fate}{into}: {volumes}"


def _in_ml(volume: Volume) -> str:
    if volume.low_ml is None or volume.high_ml is None:
        return f"{volume.ml:.2f} mL"
    return f"{volume.ml:.2f} mL ({volume.low_ml:.2f} to {volume.high_ml:.2f})"


def _detectable_columns(change: Change) -> dict[str, float | None]:
    found = change.detectable or Detectable(None, None)
    ends = {"decrease": found.decrease_percent, "increase": found.increase_percent}
    return {
        f"detectable_{name}_{unit}": None if percent is None else percent * factor
        for name, percent in ends.items()
        for unit, factor in (("percent", 1.0), ("ml", change.before.ml / 100))
    }


def _joined(numbers: tuple[int, ...]) -> str:
    return "+".join(map(str, numbers))


def _volume_columns(when: str, volume: Volume) -> dict[str, float | None]:
    return {f"{when}_ml": volume.ml, f"{when}_low_ml": volume.low_ml, f"{when}_high_ml": volume.high_ml}
