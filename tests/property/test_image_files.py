"""Whatever is written can be read again."""

from __future__ import annotations

import tempfile
from pathlib import Path

import hypothesis.extra.numpy as nps
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from raw_dataset import VOLUMES

from vmseg_auto.data.cases import content_hash
from vmseg_auto.data.dataset import Case
from vmseg_auto.data.images.images import read_mask, write_mask
from vmseg_auto.utils.geometry import Geometry

MM = st.floats(0.25, 8, width=32)


@st.composite
def rotations(draw: st.DrawFn) -> tuple[float, ...]:
    """Direction cosines of any rotation, with or without a reflection."""
    parts = st.floats(-1, 1, width=32)
    q = np.array(draw(st.tuples(parts, parts, parts, parts).filter(lambda v: np.linalg.norm(v) > 0.1)))
    w, x, y, z = q / np.linalg.norm(q)
    matrix = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    matrix[:, 2] *= draw(st.sampled_from([1, -1]))
    return tuple(float(v) for v in matrix.ravel())


@settings(max_examples=60)
@given(
    mask=nps.arrays(np.uint8, st.tuples(*[st.integers(1, 6)] * 3)),
    spacing=st.tuples(MM, MM, MM),
    origin=st.tuples(*[st.floats(-300, 300, width=32)] * 3),
    direction=rotations(),
    ending=st.sampled_from(VOLUMES),
)
def test_masks_keep_voxels_and_grid_in_every_format(
    mask: NDArray[np.uint8],
    spacing: tuple[float, float, float],
    origin: tuple[float, float, float],
    direction: tuple[float, float, float, float, float, float, float, float, float],
    ending: str,
) -> None:
    z, y, x = mask.shape
    geometry = Geometry((z, y, x), spacing, origin, direction)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"mask{ending}"
        write_mask(path, mask, geometry)
        read, found = read_mask(path)
    np.testing.assert_array_equal(read, mask)
    assert not geometry.differences(found)


@settings(max_examples=30)
@given(data=st.binary(min_size=1, max_size=200), place=st.integers(0), change=st.integers(1, 255))
def test_the_content_hash_changes_with_any_byte(data: bytes, place: int, change: int) -> None:
    other = bytearray(data)
    other[place % len(data)] ^= change
    with tempfile.TemporaryDirectory() as folder:
        image, mask = Path(folder) / "image", Path(folder) / "mask"
        case = Case("case", "patient", (image,), mask)
        hashes = []
        for in_image, in_mask in ((data, data), (other, data), (data, other), (data, data)):
            image.write_bytes(in_image)
            mask.write_bytes(in_mask)
            hashes.append(content_hash(case))
    assert len(set(hashes[:3])) == 3
    assert hashes[3] == hashes[0]
    assert all(len(found) == 16 for found in hashes)
