"""Pictures are written whole, and show what they should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from vmseg_auto.evaluation.learning_curve import fit_curves
from vmseg_auto.evaluation.learning_curve_record import LearningCurve
from vmseg_auto.figures.plots import draw_confidence, draw_curve, draw_learning_curve, draw_outlines, draw_volumes
from vmseg_auto.utils.errors import VmsegError


def history(epochs: int) -> list[dict[str, float]]:
    nan = float("nan")
    return [
        {"epoch": e, "train_loss": 1 / e, "val_loss": nan if e == 2 else 1.2 / e, "val_dice": 1 - 1 / e, "lr": 0.01}
        for e in range(1, epochs + 1)
    ]


def with_checks(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    """Every third epoch is looked at, the first too."""
    return [{**row, "gap_train_dice": 0.95, "gap_val_dice": 0.6} if row["epoch"] % 3 == 1 else row for row in rows]


@pytest.mark.parametrize(
    "rows",
    [
        history(30),
        history(1),
        [],
        [{"epoch": 1.0, "train_loss": 0.5}],
        with_checks(history(30)),
        with_checks(history(1)),
    ],
)
def test_curve(rows: list[dict[str, float]], tmp_path: Path) -> None:
    draw_curve(rows, tmp_path / "curve.png")
    assert [path.name for path in tmp_path.iterdir()] == ["curve.png"]
    height, width, _ = imread(tmp_path / "curve.png").shape
    assert (width, height) == (1100, 418)


def test_the_gap_is_shaded(tmp_path: Path) -> None:
    draw_curve(history(30), tmp_path / "without.png")
    draw_curve(with_checks(history(30)), tmp_path / "with.png")
    without, shaded = (imread(tmp_path / name)[..., :3] for name in ("without.png", "with.png"))
    grey = (without == 1).all(axis=-1) & (shaded < 0.95).all(axis=-1) & (np.ptp(shaded, axis=-1) < 0.01)
    assert grey[:, :550].sum() == 0
    assert grey[:, 550:].sum() > 0.15 * grey[:, 550:].size


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


@pytest.mark.parametrize("target", [None, 0.8])
def test_learning_curve(target: float | None, tmp_path: Path) -> None:
    sizes = (10, 20, 40)
    curves = fit_curves(sizes, [np.array([[0.4, 0.5, 0.6], [0.5, 0.6, 0.65], [0.3, 0.45, 0.5]])])
    b, c = curves.shape()
    curve = LearningCurve(
        model="default/quick",
        folds=(0,),
        cohort=53,
        tested=3,
        measured=curves.measured,
        plateau=curves.plateau(),
        b=b,
        c=c,
        forecasts=(curves.forecast(53),),
        without_interval=curves.reason,
        wanted=curves.wanted(target, 53) if target else None,
    )
    patients = np.linspace(10, 106, 50)
    draw_learning_curve(curve, patients, curves.band(patients), tmp_path / "learning_curve.png")
    picture = imread(tmp_path / "learning_curve.png")[..., :3]
    vermillion = np.array([0xD5, 0x5E, 0x00]) / 255
    assert ((np.abs(picture - vermillion).max(axis=-1) < 0.02).sum() > 300) == (target is not None)


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VmsegError, match="can't be written"):
        draw_curve(history(3), tmp_path / "file" / "curve.png")


@pytest.mark.parametrize("count", [3, 53])
def test_confidence(count: int, tmp_path: Path) -> None:
    expected = np.linspace(0.1, 0.7, count)
    draw_confidence(np.array([expected, expected - 0.1, expected + 0.2, expected**2]), tmp_path / "confidence.png")
    assert imread(tmp_path / "confidence.png").shape[:2] == (484, 704)


def test_volumes_outside_their_interval_are_marked(tmp_path: Path) -> None:
    vermillion = np.array([0xD5, 0x5E, 0x00]) / 255
    for high, marked in ((40.0, False), (20.0, True)):
        table = np.array([[0.0, 5.0, 30.0], [1.0, 6.0, 20.0], [0.0, 1.0, 5.0], [3.0, 12.0, high]])
        draw_volumes(table, tmp_path / "volumes.png")
        picture = imread(tmp_path / "volumes.png")[:400, :, :3]  # above the legend
        assert picture.shape[1] == 990
        assert ((np.abs(picture - vermillion).max(axis=-1) < 0.02).sum() > 20) == marked
