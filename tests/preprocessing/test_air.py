"""Air lies at the lower end of a scan's range."""

from __future__ import annotations

import numpy as np
import pytest

from vmseg_auto.preprocessing.air import NO_TISSUE, SURELY_AIR, air_level


@pytest.mark.parametrize("filled", [0.0, -1024.0, 7.0])
def test_it_follows_what_a_scanner_fills_air_with(filled: float) -> None:
    """Half of the voxels are air, half tissue; a bright spot and a dark one of few voxels don't count."""
    scan = np.float32([filled] * 500 + [filled + 100] * 498 + [filled - 5000, filled + 5000])
    assert air_level(scan, SURELY_AIR) == pytest.approx(filled + 10)
    assert air_level(scan, NO_TISSUE) == pytest.approx(filled + 15)


def test_each_channel_has_its_own() -> None:
    channels = np.float32([[0] * 50 + [10] * 50, [0] * 50 + [1000] * 50])
    assert air_level(channels, SURELY_AIR).tolist() == pytest.approx([1, 100])
