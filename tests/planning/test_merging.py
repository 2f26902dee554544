"""The fingerprints of several hospitals give that of all their patients."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from cohorts import cohort

from vmseg_auto.planning.fingerprint import ChannelStats, Fingerprint
from vmseg_auto.planning.merging import merge_fingerprints
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.histogram import ACCURACY, Histogram
from vmseg_planners.default import DefaultPlanner

RANDOM = np.random.default_rng(0)
VALUES = RANDOM.normal(100, 30, 9_000)
SPACINGS = [(float(z), 0.5, 0.5) for z in RANDOM.uniform(2, 6, 9)]
SHAPES = [(int(z), 200, 180) for z in RANDOM.integers(20, 60, 9)]


def measured(values: np.ndarray) -> ChannelStats:
    low, median, high = np.percentile(values, (0.5, 50, 99.5))
    return ChannelStats(
        values.mean(), median, values.std(), values.min(), values.max(), low, high, Histogram.of(values)
    )


def part(start: int, stop: int, channels: tuple[str, ...] = ("T2",)) -> Fingerprint:
    """Some of nine patients, with a thousand intensities of each."""
    made = cohort(SPACINGS[start:stop], SHAPES[start:stop], channels)
    stats = measured(VALUES[1000 * start : 1000 * stop])
    return replace(made, channel_stats=(stats,) * len(channels), dataset_hash=f"hash of {start} to {stop}")


def merge(*parts: Fingerprint) -> Fingerprint:
    return merge_fingerprints({f"{n}.json": part for n, part in enumerate(parts)})


def test_parts_give_the_whole() -> None:
    whole, merged = part(0, 9), merge(part(0, 2).shared(), part(2, 7).shared(), part(7, 9))
    assert merged.cases == whole.shared().cases
    assert merged.scans == whole.scans
    assert merged.median_relative_size == whole.median_relative_size
    (ours,), (exact,) = merged.channel_stats, whole.channel_stats
    assert ours.histogram == exact.histogram
    assert (ours.min, ours.max) == (exact.min, exact.max)
    assert (ours.mean, ours.std) == pytest.approx((exact.mean, exact.std), rel=1e-12)
    for name in ("median", "percentile_00_5", "percentile_99_5"):
        assert getattr(ours, name) == pytest.approx(getattr(exact, name), rel=ACCURACY)
    assert Fingerprint.from_json(merged.to_json()) == merged


def test_parts_give_the_plan_of_the_whole() -> None:
    planner = DefaultPlanner()
    plan = planner(merge(part(0, 4), part(4, 9)), 8.0)
    assert plan.content_hash == planner(part(0, 9), 8.0).content_hash
    assert plan.content_hash != planner(part(0, 4), 8.0).content_hash


@pytest.mark.parametrize("channels", [("T2",), ("CT",)])
def test_every_site_gets_the_same_whatever_the_order(channels: tuple[str, ...]) -> None:
    a, b, c = (part(start, start + 3, channels) for start in (0, 3, 6))
    assert merge(a, b, c) == merge(c.shared(), a.shared(), b)
    assert merge(merge(a, b), c).cases == merge(a, b, c).cases
    assert merge(merge(a, b), c).parts == merge(a, b, c).parts
    assert DefaultPlanner()(merge(a, b, c), 8.0) == DefaultPlanner()(merge(b, c, a), 8.0)


def test_what_is_shared_names_nobody() -> None:
    whole = replace(part(0, 9), dataset="ward 7")
    text = json.dumps(whole.shared().to_json())
    assert not any(secret in text for secret in ("ward 7", "case_000", *(c.content for c in whole.cases.values())))
    turned = replace(whole, cases=dict(reversed(whole.cases.items())))
    assert whole.shared() == turned.shared()


def test_what_can_not_be_merged_is_named() -> None:
    first = part(0, 3)
    with pytest.raises(InputError, match=r"1\.json: its channels are \('T1',\), but those of 0\.json are \('T2',\)"):
        merge(first, part(3, 6, ("T1",)))
    with pytest.raises(InputError, match=r"1\.json: its labels are"):
        merge(first, replace(part(3, 6), labels={"background": 0, "lesion": 2}))
    with pytest.raises(InputError, match=r"1\.json: it holds the cohort that 0\.json holds\. Name it once"):
        merge(first, first.shared())
    with pytest.raises(InputError, match=r"1\.json: it holds the cohort that 0\.json holds"):
        merge(first, merge(first, part(3, 6)))
    old = replace(part(3, 6), channel_stats=(replace(part(3, 6).channel_stats[0], histogram=None),))
    with pytest.raises(InputError, match=r"1\.json: its intensities can't be added up"):
        merge(first, old)
