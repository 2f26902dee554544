"""Charts are written whole, and show what they should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from numpy.typing import NDArray

from vmseg_auto.figures.charts import Axis, Band, Chart, Dot, Line
from vmseg_auto.figures.plots import write_charts
from vmseg_auto.figures.slices import BLUE, VERMILLION
from vmseg_auto.utils.errors import VmsegError

UNIT = Axis("x", 0.0, 1.0)


def drawn(path: Path, *charts: Chart) -> NDArray[np.float32]:
    write_charts(charts, path)
    picture: NDArray[np.float32] = imread(path)[..., :3]
    return picture


def coloured(picture: NDArray[np.float32], colour: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of a colour."""
    rows, columns = np.nonzero(np.abs(picture - to_rgb(colour)).max(axis=-1) < 0.02)
    return rows, columns


def test_charts_stand_beside_one_another(tmp_path: Path) -> None:
    empty, full = Chart("t", "w", UNIT, UNIT), Chart("t", "w", UNIT, UNIT, dots=(Dot(0.5, 0.5, "odd"),))
    picture = drawn(tmp_path / "both.png", empty, full)
    assert [path.name for path in tmp_path.iterdir()] == ["both.png"]
    assert picture.shape[:2] == (462, 1408)
    _, columns = coloured(picture, VERMILLION)
    assert columns.size > 20
    assert columns.min() > 704


def test_a_line_goes_from_corner_to_corner_as_its_axes_say(tmp_path: Path) -> None:
    line = Line(((0.01, 0.0), (1.0, 50.0), (100.0, 100.0)), "first")
    chart = Chart("t", "w", Axis("mL", 0.01, 100.0, "log"), Axis("Dice", 0.0, 100.0), lines=(line,))
    rows, columns = coloured(drawn(tmp_path / "line.png", chart), BLUE)
    straight = np.polyfit(columns, rows, 1)
    assert np.abs(np.polyval(straight, columns) - rows).max() < 5
    assert np.ptp(columns) > 400


def test_bands_and_what_is_missing(tmp_path: Path) -> None:
    band = Band(((0.0, 0.0, 1.0), (0.5, 0.0, 1.0), (0.7, np.nan, 1.0)), "gap")
    chart = Chart("t", "w", UNIT, UNIT, bands=(band,), lines=(Line(((0.0, np.nan),), "first"),))
    picture = drawn(tmp_path / "band.png", chart)
    grey = (picture < 0.9).all(axis=-1) & (picture > 0.5).all(axis=-1)
    assert 0.2 < grey.mean() < 0.5
    assert coloured(picture, BLUE)[0].size == 0


def test_the_legend_shows_what_its_texts_stand_for(tmp_path: Path) -> None:
    told = Chart("t", "w", UNIT, UNIT, legend={"line limit": "limit", "dot odd": "odd", "band gap": "gap"})
    rows, _ = coloured(drawn(tmp_path / "told.png", told), VERMILLION)
    assert rows.size > 20
    assert rows.min() > 380
    assert coloured(drawn(tmp_path / "bare.png", Chart("t", "w", UNIT, UNIT)), VERMILLION)[0].size == 0


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VmsegError, match="can't be written"):
        write_charts([Chart("t", "w", UNIT, UNIT)], tmp_path / "file" / "curve.png")
