"""Pictures are written whole, and show what they should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from vmseg_auto.core.errors import VmsegError
from vmseg_auto.core.trust import Calibration
from vmseg_auto.ops.plots import draw_curve, draw_outlines, draw_trust


def history(epochs: int) -> list[dict[str, float]]:
    nan = float("nan")
    return [
        {"epoch": e, "train_loss": 1 / e, "val_loss": nan if e == 2 else 1.2 / e, "val_dice": 1 - 1 / e, "lr": 0.01}
        for e in range(1, epochs + 1)
    ]


@pytest.mark.parametrize("rows", [history(30), history(1), [], [{"epoch": 1.0, "train_loss": 0.5}]])
def test_curve(rows: list[dict[str, float]], tmp_path: Path) -> None:
    draw_curve(rows, tmp_path / "curve.png")
    assert [path.name for path in tmp_path.iterdir()] == ["curve.png"]
    height, width, _ = imread(tmp_path / "curve.png").shape
    assert (width, height) == (1100, 418)


@pytest.mark.parametrize("count", [1, 5])
def test_outlines(count: int, tmp_path: Path) -> None:
    image = np.linspace(0, 1, 5 * 20 * 30, dtype=np.float32).reshape(5, 20, 30)
    reference, prediction = np.zeros((5, 20, 30), dtype=np.uint8), np.zeros((5, 20, 30), dtype=np.uint8)
    reference[3, 5:15, 5:15] = 1
    prediction[3, 6:15, 6:15] = 1
    spacing = (5.0, 1.0, 0.7)
    cases = [
        ("both", image, spacing, reference, prediction),
        ("no reference", image, spacing, None, prediction),
        ("empty", image, spacing, 0 * reference, 0 * prediction),
        ("flat", 0 * image, spacing, None, None),
        ("reference", image, spacing, reference, None),
    ]
    draw_outlines(cases[:count], tmp_path / "outlines.png")
    assert [path.name for path in tmp_path.iterdir()] == ["outlines.png"]
    picture = imread(tmp_path / "outlines.png")[..., :3]
    sky_blue, vermillion = np.array([0x56, 0xB4, 0xE9]) / 255, np.array([0xD5, 0x5E, 0x00]) / 255
    for colour in (sky_blue, vermillion):
        assert (np.abs(picture - colour).max(axis=-1) < 0.02).sum() > 100


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VmsegError, match="can't be written"):
        draw_curve(history(3), tmp_path / "file" / "curve.png")


@pytest.mark.parametrize("count", [3, 53])
def test_trust(count: int, tmp_path: Path) -> None:
    calibration = Calibration(0.9, -0.8, -0.1, 0.2, 0.1, look_first=0.5, mirrored=True, cases=count, patients=count)
    expected = np.linspace(0.1, 0.7, count)
    draw_trust(expected, expected**2, calibration, tmp_path / "trust.png")
    assert imread(tmp_path / "trust.png").shape[:2] == (484, 704)
