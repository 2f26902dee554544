"""A start folder with an export of made-up patients, and a dataset that looks as if more had been done."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from small_cohort import GRID, ball

from vmseg_auto.data.images.images import write_image, write_mask

SECONDS = 120.0
PATIENTS = ("Ahorn_Anna", "Birke_Ben", "Ceder_Clara", "Distel_David")


def export(root: Path) -> Path:
    """Scans of four patients in export, their masks in masks, and a new scan in new_scans."""
    for number, name in enumerate(PATIENTS):
        _scan(root / "export" / name / "T2.nii.gz", number)
        write_mask(root / "masks" / f"{name}.nii.gz", ball(number), GRID)
    _scan(root / "new_scans" / "Erle_Eva.nii.gz", 9)
    return root


def wait_until(happens: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not happens():
        assert time.monotonic() < end, "it never happens"
        time.sleep(0.05)


def _scan(path: Path, number: int) -> None:
    noise = np.random.default_rng(100 + number).normal(100, 5, GRID.shape)
    write_image(path, (noise + 60 * ball(number)).astype(np.float32), GRID)
