"""Previews show lesions with their outlines, and no more of a head than lies around them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import phantom_face
import pytest
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.image import imread
from numpy.typing import NDArray

from vmseg_auto.figures.crops import Volume, around_lesions
from vmseg_auto.figures.overlays import Compared, draw_followup, draw_outlines, draw_overlay, lesions_of, show
from vmseg_auto.figures.slices import MARGIN_MM, Picture
from vmseg_auto.utils.geometry import Geometry

GRID = Geometry((6, 60, 60), (3.0, 1.0, 1.0))
LABELS = {"background": 0, "vm": 1, "_odd $label^": 2}
VERMILLION, SKY_BLUE = np.array([0xD5, 0x5E, 0x00]) / 255, np.array([0x56, 0xB4, 0xE9]) / 255


def mask_of(*boxes: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """Squares: label, first slice, first row and column, size; two slices each."""
    mask = np.zeros(GRID.shape, dtype=np.uint8)
    for label, z, at, size in boxes:
        mask[z : z + 2, at : at + size, at : at + size] = label
    return mask


def share_of(colour: NDArray[np.float64], picture: NDArray[np.float32]) -> float:
    return float((np.abs(picture - colour).max(axis=-1) < 0.02).mean())


def test_lesions_come_by_size_under_their_names_in_the_table() -> None:
    mask = mask_of((1, 0, 2, 3), (1, 3, 10, 9), (2, 0, 30, 5), (1, 3, 40, 2))
    lesions, more = lesions_of(mask, GRID, LABELS)
    assert [(one.label, one.number) for one in lesions] == [("vm", 1), ("_odd $label^", 1), ("vm", 2)]
    assert [one.volume_ml for one in lesions] == pytest.approx([0.486, 0.15, 0.054])
    assert more == 1
    assert lesions_of(0 * mask, GRID, LABELS) == ([], 0)


def test_each_label_has_its_colour(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(100, 10, GRID.shape).astype(np.float32)
    draw_overlay(image, mask_of((1, 0, 10, 9), (2, 3, 12, 5)), GRID, LABELS, tmp_path / "overlay.png", "a")
    assert [path.name for path in tmp_path.iterdir()] == ["overlay.png"]
    picture = imread(tmp_path / "overlay.png")[..., :3]
    for colour in (VERMILLION, SKY_BLUE):
        assert share_of(colour, picture) > 0.0005


def test_no_picture_is_turned_round_by_a_matplotlibrc(tmp_path: Path) -> None:
    """Nor by one that lies in the current folder: the letters at its borders would be wrong."""
    image = np.random.default_rng(0).normal(100, 10, GRID.shape).astype(np.float32)
    drawn = []
    for origin in ("upper", "lower"):
        with rc_context({"image.origin": origin}):
            draw_overlay(image, mask_of((1, 0, 10, 9)), GRID, LABELS, tmp_path / f"{origin}.png", "a")
        drawn.append(imread(tmp_path / f"{origin}.png"))
    assert np.array_equal(*drawn)


def test_only_what_lies_around_a_lesion_is_shown(tmp_path: Path) -> None:
    mask = mask_of((1, 2, 25, 5))
    reach = int(MARGIN_MM)
    image = np.full(GRID.shape, 1000, dtype=np.float32)
    image[:, 25 - reach : 30 + reach, 25 - reach : 30 + reach] = 0
    draw_overlay(image, mask, GRID, LABELS, tmp_path / "overlay.png", "a")
    picture = imread(tmp_path / "overlay.png")[..., :3]
    assert share_of(np.ones(3), picture) < 0.02  # letters and bars


def test_no_picture_depends_on_an_eye_that_lies_beyond_the_margin(tmp_path: Path) -> None:
    """A head whose eyes are known: pictures of a lesion in the cheek are the same whatever the eyes look like."""
    signal, mask, eyes = phantom_face.head()
    assert eyes.sum() > 200
    seen = []
    for level in (0.0, 50.0):
        image = np.where(eyes, np.float32(level), signal)
        place = (mask > 0, mask > 0)
        draw_overlay(image, mask, phantom_face.GRID, {"vm": 1}, tmp_path / "overlay.png", "a")
        draw_followup(Compared(image, image, place, (("vm", place[0]),)), phantom_face.GRID, tmp_path / "f.png", "a")
        part = around_lesions(Volume(image, mask, phantom_face.GRID), mask > 0)
        seen.append(((tmp_path / "overlay.png").read_bytes(), (tmp_path / "f.png").read_bytes(), part.image.tobytes()))
    assert seen[0] == seen[1]
    far = around_lesions(Volume(eyes.astype(np.uint8), mask, phantom_face.GRID), mask > 0, margin_mm=30.0)
    assert far.image.any()  # a wider margin would show one


def test_the_case_stands_in_its_picture(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(100, 10, GRID.shape).astype(np.float32)
    for name in ("anna", "bert", "a$_^\n{"):
        draw_overlay(image, mask_of((1, 0, 10, 9)), GRID, LABELS, tmp_path / f"{len(name)}{name[0]}.png", name)
    first, second = (imread(tmp_path / f"4{letter}.png")[..., :3] for letter in "ab")
    assert first.shape == second.shape
    assert (first != second).any()


def test_bars_are_10_mm_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of a picture's pixels, of which the bar's length is made, fits what the picture shows."""
    shown: list[tuple[tuple[int, ...], float]] = []

    def watched(panel: Axes, picture: Picture, title: str, sides: Sequence[str], pixel_mm: float) -> None:
        before = len(panel.lines)
        show(panel, picture, title, sides, pixel_mm)
        (bar,) = panel.lines[before:]
        assert np.ptp(bar.get_xdata()) * pixel_mm == pytest.approx(10)
        shown.append((picture.shape, pixel_mm))

    monkeypatch.setattr("vmseg_auto.figures.overlays.show", watched)
    grid = Geometry((6, 80, 160), (3.0, 1.6, 0.8))
    mask = np.zeros(grid.shape, dtype=np.uint8)
    mask[2:4, 30:50, 60:70] = 1  # 32 mm by 8 mm
    image = np.random.default_rng(0).normal(100, 10, grid.shape).astype(np.float32)
    draw_overlay(image, mask, grid, LABELS, tmp_path / "overlay.png", "a")
    compared = Compared(image, image, (mask > 0, mask > 0), (("vm", mask > 0),))
    draw_followup(compared, grid, tmp_path / "followup.png", "a")
    assert len(shown) == 2 + 4
    for (rows, columns, _), pixel_mm in shown:
        assert rows * pixel_mm == pytest.approx(32 + 2 * MARGIN_MM, abs=2 * 1.6)
        assert columns * pixel_mm == pytest.approx(8 + 2 * MARGIN_MM, abs=2 * 1.6)


def test_a_scan_without_a_lesion_is_not_shown(tmp_path: Path) -> None:
    image = np.full(GRID.shape, 1000, dtype=np.float32)
    image[:, ::2] = 0
    draw_overlay(image, mask_of(), GRID, LABELS, tmp_path / "overlay.png", "a")
    picture = imread(tmp_path / "overlay.png")[..., :3]
    assert 0 < share_of(np.ones(3), picture) < 0.02
    assert share_of(np.zeros(3), picture) > 0.95


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
