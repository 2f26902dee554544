"""Pairs with a known change: the volume is what was asked for, and the patient moves no further than said."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.followup_pairs import SHIFT_MM, TURN_DEGREES, make_pair, resized
from vmseg_auto.demo.phantom.phantom import make_phantom
from vmseg_auto.followup.rigid import RigidTransform, placed, resample

SCAN = make_phantom(0, 0)
MIDDLE = (np.array(SCAN.geometry.shape)[None] - 1) / 2


@pytest.mark.parametrize("percent", [-60, -15, 0, 20])
def test_the_change_is_exact_and_the_movement_small(percent: int) -> None:
    pair = make_pair(SCAN.image, SCAN.mask, SCAN.geometry, percent, np.random.default_rng(percent + 100))
    assert pair is not None
    assert pair.mask.sum() == round(SCAN.mask.sum() * (1 + percent / 100))
    assert pair.transform.degrees <= TURN_DEGREES + 1e-6
    ends = [placed(MIDDLE, SCAN.geometry, how) for how in (RigidTransform(), pair.transform)]
    assert np.linalg.norm(ends[1] - ends[0]) <= SHIFT_MM + 1e-6
    back = resample(pair.image, pair.geometry, SCAN.geometry, pair.transform, np.nan)
    seen = np.isfinite(back)
    assert np.corrcoef(back[seen], SCAN.image[seen])[0, 1] > 0.9


def test_a_lesion_shrinks_to_its_core_and_grows_around_itself() -> None:
    mask = SCAN.mask > 0
    core, grown = (resized(mask, SCAN.geometry, int(share * mask.sum())) for share in (0.5, 1.3))
    assert (core <= mask).all()
    assert (mask & grown).sum() > 0.95 * mask.sum()


def test_the_same_draws_give_the_same_pair() -> None:
    first, second = (make_pair(SCAN.image, SCAN.mask, SCAN.geometry, -30, np.random.default_rng(3)) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.transform == second.transform
    assert np.array_equal(first.image, second.image)
