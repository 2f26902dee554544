"""A patient's trajectory as charts: volumes with their intervals, and sums of diameters with RECIST's thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vmseg_auto.figures.charts import Axis, Chart, Line, axis_of
from vmseg_auto.followup.trajectory import PARTIAL, PROGRESSIVE, PROGRESSIVE_MM, TimePoint, Trajectory

_KINDS = ("first", "second", "third")
"""More labels than these are not drawn; the table has them."""
_HALF = 0.3
"""Of the width of a threshold that holds for one time."""


def charts_of(trajectory: Trajectory) -> list[Chart]:
    """Return the chart of volumes, and one of the sum of diameters for each label with target lesions."""
    drawn = dict(zip(_KINDS, trajectory.labels.items(), strict=False))
    sums = [_sums(label, points) for label, points in drawn.values() if points[0].sum_mm is not None]
    return [_volumes(trajectory.case, drawn), *sums]


def _times(count: int) -> Axis:
    return Axis("time (0 is the baseline)", -0.3, count - 0.7, whole=True)


def _volumes(case: str, drawn: Mapping[str, tuple[str, tuple[TimePoint, ...]]]) -> Chart:
    lines: list[Line] = []
    ends = [0.0]
    for kind, (_, points) in drawn.items():
        for point in points:
            low, high = point.volume.low_ml, point.volume.high_ml
            ends.append(point.volume.ml)
            if low is not None and high is not None:
                lines.append(Line(((point.time, low), (point.time, high)), "bar"))
                ends.append(high)
        lines.append(Line(tuple((point.time, point.volume.ml) for point in points), kind))
    legend = {f"line {kind}": label for kind, (label, _) in drawn.items()}
    if any(line.kind == "bar" for line in lines):
        legend["line bar"] = "holds nine true volumes in ten"
    count = max(point.time for _, points in drawn.values() for point in points) + 1
    words = f"Volumes of {case} at {count} times, with their intervals where these are known."
    return Chart("Volumes", words, _times(count), axis_of("volume (mL)", ends), lines=tuple(lines), legend=legend)


def _sums(label: str, points: Sequence[TimePoint]) -> Chart:
    known = [(float(point.time), point.sum_mm) for point in points if point.sum_mm is not None]
    first = known[0][1]
    partial = Line(tuple((float(point.time), first * (1 - PARTIAL / 100)) for point in points), "third")
    above = [(point.time, point.smallest_mm) for point in points if point.smallest_mm is not None]
    highest = [(time, mm + max(mm * PROGRESSIVE / 100, PROGRESSIVE_MM)) for time, mm in above]
    limits = [Line(((time - _HALF, mm), (time + _HALF, mm)), "limit") for time, mm in highest]
    values = [0.0, *(mm for line in (partial, *limits) for _, mm in line.points), *(mm for _, mm in known)]
    return Chart(
        f"Sum of diameters: {label}",
        f"The sum of the target lesions' longest axial diameters at {len(points)} times.",
        _times(points[-1].time + 1),
        axis_of("sum (mm)", values),
        lines=(partial, *limits, Line(tuple(known), "first")),
        legend={
            "line first": "target lesions",
            "line third": f"{PARTIAL:g} % below baseline (PR)",
            "line limit": f"{PROGRESSIVE:g} % and {PROGRESSIVE_MM:g} mm above the smallest so far (PD)",
        },
    )
