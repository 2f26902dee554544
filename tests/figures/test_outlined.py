"""A slice for a page."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
from PIL import Image

from vmseg_auto.figures.outlined import outline_path, outlined_slice


def corners(path: str) -> list[list[tuple[float, float]]]:
    lines = [line for line in path.split("M") if line]
    assert all(line.endswith("Z") for line in lines)
    return [[(float(x), float(y)) for x, y in (pair.split() for pair in line.rstrip("Z").split("L"))] for line in lines]


def test_the_outline_lies_around_the_voxels_in_mm() -> None:
    mask = np.zeros((6, 8), dtype=bool)
    mask[2:4, 3:7] = True
    (line,) = corners(outline_path(mask, (2.0, 0.5)))
    across, down = zip(*line, strict=True)
    assert (min(across), max(across)) == (1.5, 3.5)
    assert (min(down), max(down)) == (4.0, 8.0)


def test_a_lesion_at_the_edge_and_one_with_a_hole_are_closed() -> None:
    mask = np.zeros((7, 7), dtype=bool)
    mask[:, 0] = True
    assert len(corners(outline_path(mask, (1.0, 1.0)))) == 1
    mask[1:6, 2:7] = True
    mask[3, 4] = False
    assert len(corners(outline_path(mask, (1.0, 1.0)))) == 3
    assert outline_path(np.zeros((4, 4), dtype=bool), (1.0, 1.0)) == ""


def test_the_picture_is_grey_small_and_to_scale() -> None:
    grey = np.tile(np.arange(0, 240, 4, dtype=np.uint8), (40, 1))
    mask = np.zeros(grey.shape, dtype=bool)
    mask[10:20, 10:20] = True
    made = outlined_slice(grey, {"prediction": mask, "reference": ~mask & mask}, (1.5, 0.5), ("R", "L"), "words")
    assert (made.width, made.height) == (30.0, 60.0)
    assert list(made.outlines) == ["prediction"]
    assert re.fullmatch(r"[MLZ0-9. ]+", made.outlines["prediction"])
    kind, _, data = made.source.partition(",")
    assert kind == "data:image/jpeg;base64"
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert (picture.mode, picture.size) == ("L", (60, 40))
    assert np.abs(np.asarray(picture).astype(int) - grey).mean() < 2
