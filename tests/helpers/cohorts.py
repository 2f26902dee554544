"""Cohorts in numbers, as planners see them."""

from __future__ import annotations

from collections.abc import Sequence

from vmseg_auto.planning.fingerprint import CaseSummary, ChannelStats, Fingerprint
from vmseg_auto.utils.geometry import Shape, Spacing

STATS = ChannelStats(mean=50.0, median=48.0, std=20.0, min=-10.0, max=200.0, percentile_00_5=1.0, percentile_99_5=120.0)


def cohort(
    spacings: Sequence[Spacing],
    shapes: Sequence[Shape],
    channels: tuple[str, ...] = ("T2",),
    relative_size: float = 1.0,
) -> Fingerprint:
    """A case for each spacing and shape."""
    cases = {
        f"case_{i:03d}": CaseSummary(shape, shape, spacing, {1: 10}, f"{i:016x}")
        for i, (spacing, shape) in enumerate(zip(spacings, shapes, strict=True))
    }
    return Fingerprint(
        "test", channels, {"background": 0, "lesion": 1}, cases, (STATS,) * len(channels), relative_size, "f" * 16
    )
