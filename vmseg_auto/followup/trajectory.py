"""One patient at more than two times: volumes against the baseline, and the target lesions' sum of diameters.

Each later time is compared with the first one, the baseline (followup/compare.py), so that no error adds up from time
to time. Target lesions are chosen at baseline and kept, as RECIST 1.1 has it (Eisenhauer et al., European Journal of
Cancer 2009, 45:228): the largest lesions, whose longest axial diameters are added up at each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from vmseg_auto.followup.records import SPECK_ML, FollowUp, LesionChange
from vmseg_auto.followup.response import Change, Volume
from vmseg_auto.utils.json_codec import Stored
from vmseg_auto.utils.text import counted

Recist = Literal["CR", "PR", "SD", "PD"]
"""Complete response, partial response, stable disease, progressive disease."""
MOST_TARGETS, LEAST_MM = 5, 10.0
"""How many lesions are targets at most, and how long each is at least. RECIST 1.1 takes two an organ at most; masks
tell no organs."""
PARTIAL, PROGRESSIVE, PROGRESSIVE_MM = 30.0, 20.0, 5.0
"""Per cent below the baseline's sum, per cent above the smallest sum so far, and how many mm that is at least."""
COLUMNS = (
    "case", "label", "time", "scan", "component", "fate", "volume_ml", "volume_low_ml", "volume_high_ml",
    "change_percent", "change_low_percent", "change_high_percent", "response", "axial_diameter_mm", "targets", "sum_mm",
    "sum_change_percent", "smallest_sum_mm", "sum_above_smallest_percent", "recist", "new_lesions", "sound",
)  # fmt: skip
"""Of CASE_trajectory.csv."""


@dataclass(frozen=True)
class TargetSize:
    """A target lesion at one time.

    Args:
        number: of the lesion in the baseline's mask, where 1 is the largest.
        fate: what has become of it since the baseline; "baseline" there.
        mm: longest axial diameter; of a split lesion its parts' together, of merged ones that of all, told at the first
            of them and 0 at the others; None where the scan has not seen it.
        ml: its volume, told likewise; None where the scan has not seen it.
    """

    number: int
    fate: str
    mm: float | None
    ml: float | None


@dataclass(frozen=True)
class TimePoint:
    """A label at one time.

    Args:
        time: 0 for the baseline.
        scan: its name.
        volume: of the label.
        change: from the baseline; None at the baseline.
        targets: target lesions; none where the scans could not be aligned.
        sum_mm: of the targets' diameters; None where one of them was not seen.
        smallest_mm: the smallest sum of earlier times; None at the baseline.
        recist: by the sum alone; None where it is not known, or nothing can be called.
        new_lesions: of more than SPECK_ML, which the baseline does not have; None where the scans could not be aligned.
        sound: whether nothing speaks against comparing it with the baseline.
    """

    time: int
    scan: str
    volume: Volume
    change: Change | None
    targets: tuple[TargetSize, ...]
    sum_mm: float | None
    smallest_mm: float | None = None
    recist: Recist | None = None
    new_lesions: int | None = None
    sound: bool = True


@dataclass(frozen=True)
class Trajectory:
    """A patient at several times.

    Args:
        case: what the patient's baseline scan is called.
        labels: label -> its times, the baseline first.
    """

    case: str
    labels: dict[str, tuple[TimePoint, ...]]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of CASE_trajectory.csv: each label's total at each time, then its target lesions."""
        for label, points in self.labels.items():
            first = points[0].sum_mm
            for point in points:
                shared = {"case": self.case, "label": label, "time": point.time, "scan": point.scan}
                change = point.change
                yield {
                    **shared,
                    "component": "all",
                    "volume_ml": point.volume.ml,
                    "volume_low_ml": point.volume.low_ml,
                    "volume_high_ml": point.volume.high_ml,
                    "change_percent": change and change.percent,
                    "change_low_percent": change and change.low_percent,
                    "change_high_percent": change and change.high_percent,
                    "response": change and change.response,
                    "targets": len(points[0].targets),
                    "sum_mm": point.sum_mm,
                    "sum_change_percent": None if change is None else _percent(point.sum_mm, first),
                    "smallest_sum_mm": point.smallest_mm,
                    "sum_above_smallest_percent": _percent(point.sum_mm, point.smallest_mm),
                    "recist": point.recist,
                    "new_lesions": point.new_lesions,
                    "sound": "yes" if point.sound else "no",
                }
                for target in point.targets:
                    yield {
                        **shared,
                        "component": target.number,
                        "fate": target.fate,
                        "volume_ml": target.ml,
                        "axial_diameter_mm": target.mm,
                    }

    def text(self) -> str:
        """Describe the trajectory for the screen: a line for each label and time."""
        lines = [f"{self.case}: {len(next(iter(self.labels.values())))} times"]
        for label, points in self.labels.items():
            kept = counted(len(points[0].targets), "target lesion") + f" of {LEAST_MM:g} mm or more"
            lines.append(f"  {label}, {kept}" if points[0].targets else f"  {label}")
            lines += [f"    {_line(point, points[0])}" for point in points]
        if any(point.new_lesions for points in self.labels.values() for point in points):
            lines.append(
                "  A new lesion that is beyond doubt is progression by RECIST 1.1, whatever the sum: look at it."
            )
        return "\n".join(lines)


@dataclass(frozen=True)
class Trajectories(Stored):
    """trajectories.json."""

    patients: tuple[Trajectory, ...]
    schema: int = 1


def trajectory(pairs: Sequence[tuple[int, FollowUp]]) -> Trajectory:
    """Put a patient's comparisons with the baseline together.

    Args:
        pairs: the number of each later time, ascending, and its comparison with the baseline.
    """
    _, first = pairs[0]
    labels = {}
    for label, change in first.changes.items():
        sizes = _baseline_sizes([one for _, one in pairs], label)
        targets = sorted(sizes, key=lambda number: -sizes[number][0])[:MOST_TARGETS]
        baseline = tuple(TargetSize(number, "baseline", *sizes[number]) for number in sorted(targets))
        total = sum(size.mm or 0.0 for size in baseline) if baseline else None
        points = [TimePoint(0, first.before, change.before, None, baseline, total)]
        for time, pair in pairs:
            points.append(_later(time, pair, label, sorted(targets), points))
        labels[label] = tuple(points)
    return Trajectory(first.before, labels)


def recist(sum_mm: float, baseline_mm: float, smallest_mm: float) -> Recist:
    """Classify a sum of diameters by RECIST 1.1, by the target lesions alone.

    Args:
        baseline_mm: the sum at baseline.
        smallest_mm: the smallest sum before this one, the baseline's among them.

    Example:
        >>> recist(69.0, 100.0, 100.0), recist(84.0, 100.0, 69.0), recist(71.0, 100.0, 100.0), recist(0.0, 100.0, 69.0)
        ('PR', 'PD', 'SD', 'CR')
    """
    above = sum_mm - smallest_mm
    if above >= PROGRESSIVE_MM and above >= smallest_mm * PROGRESSIVE / 100:
        return "PD"
    if sum_mm == 0:
        return "CR"
    return "PR" if sum_mm <= baseline_mm * (1 - PARTIAL / 100) else "SD"


def _baseline_sizes(pairs: Sequence[FollowUp], label: str) -> dict[int, tuple[float, float]]:
    """Return the baseline's lesions that can be targets: number -> mm and mL of a comparison that tells them."""
    for pair in pairs:
        mine = [lesion for lesion in pair.lesions if lesion.label == label]
        found = {
            number: (mm, ml)
            for lesion in mine
            for number, mm, ml in zip(lesion.before, lesion.before_mm, lesion.before_each_ml, strict=True)
            if mm >= LEAST_MM
        }
        if mine:
            return found
    return {}


def _later(time: int, pair: FollowUp, label: str, targets: Sequence[int], earlier: Sequence[TimePoint]) -> TimePoint:
    change, first = pair.changes[label], earlier[0]
    mine = [lesion for lesion in pair.lesions if lesion.label == label]
    sizes = tuple(_target_size(number, targets, mine) for number in targets) if mine or not targets else ()
    known = [size.mm for size in sizes]
    total = sum(mm for mm in known if mm is not None) if known and None not in known else None
    smallest = min((point.sum_mm for point in earlier if point.sum_mm is not None), default=None)
    called = pair.sound and total is not None and smallest is not None and first.sum_mm is not None
    new = sum(lesion.fate == "new" and lesion.after_ml > SPECK_ML for lesion in mine) if _is_matched(pair) else None
    return TimePoint(
        time,
        pair.after,
        change.after,
        change,
        sizes,
        total,
        smallest,
        recist(total or 0.0, first.sum_mm or 0.0, smallest or 0.0) if called else None,
        new,
        pair.sound,
    )


def _is_matched(pair: FollowUp) -> bool:
    return pair.alignment.transform is not None and not pair.alignment.problems


def _target_size(number: int, targets: Sequence[int], lesions: Sequence[LesionChange]) -> TargetSize:
    """Return what has become of a target; of several that have merged the first is told the size of all."""
    group = next(lesion for lesion in lesions if number in lesion.before)
    if group.fate == "out of view":
        return TargetSize(number, group.fate, None, None)
    is_first = number == min(one for one in group.before if one in targets)
    return TargetSize(number, group.fate, sum(group.after_mm) if is_first else 0.0, group.after_ml if is_first else 0.0)


def _percent(value: float | None, of: float | None) -> float | None:
    return 100 * (value / of - 1) if value is not None and of else None


def _line(point: TimePoint, first: TimePoint) -> str:
    low, high = point.volume.low_ml, point.volume.high_ml
    ends = "" if low is None or high is None else f" ({low:.2f} to {high:.2f})"
    told = [f"time {point.time}, {point.scan}: {point.volume.ml:.2f} mL{ends}"]
    if point.change is not None:
        change = point.change
        size = "there was nothing at baseline" if change.percent is None else f"{change.percent:+.0f} %"
        none = "no response is called" if point.sound else "not compared soundly, so no response is called"
        told.append(f"{size}, {change.response or none}")
    if point.sum_mm is not None:
        against = _percent(point.sum_mm, first.sum_mm)
        more = f" ({against:+.0f} %)" if point.change is not None and against is not None else ""
        told.append(f"sum of diameters {point.sum_mm:.0f} mm{more}" + (f", {point.recist}" if point.recist else ""))
    elif first.targets:
        told.append("sum of diameters not known: a target lesion was not seen, or the scans could not be aligned")
    if point.new_lesions:
        told.append(f"{point.new_lesions} new")
    return "; ".join(told)
