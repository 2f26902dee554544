"""Voxels that a header calls padding stand for no measurement: they are air, never tissue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom import Change, multi_frame, numbers, save, series
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from vmseg_auto.data.cases import read_case
from vmseg_auto.data.dicom.read import read_series
from vmseg_auto.data.dicom.series_files import find_series
from vmseg_auto.data.scans import find_scans
from vmseg_auto.utils.errors import InputError

SHAPE = (4, 5, 6)


def padding(value: int, limit: int | None = None, kind: str = "US", **texts: Any) -> Change:
    """Changes a header so that it tells of padding."""

    def change(_: int, data: Dataset) -> None:
        data.add_new("PixelPaddingValue", kind, value)
        if limit is not None:
            data.add_new("PixelPaddingRangeLimit", kind, limit)
        for keyword, text in texts.items():
            setattr(data, keyword, text)

    return change


def read(folder: Path, notes: list[str] | None = None) -> NDArray[np.float32]:
    (one,) = find_series(folder)
    return read_series(one, "anna", notes)[0]


def tissue(stored: NDArray[np.int64]) -> NDArray[np.bool_]:
    """All voxels but a corner of 8."""
    inside = np.ones(stored.shape, dtype=bool)
    inside[:2, :2, :2] = False
    return inside


def test_padding_brighter_than_tissue_is_air(tmp_path: Path) -> None:
    image = numbers(SHAPE, top=900) + 100
    inside = tissue(image)
    image[~inside] = 4095
    save(tmp_path, series(image, change=padding(4095)))
    notes: list[str] = []
    found = read(tmp_path, notes)
    assert np.array_equal(found[inside], image[inside])
    assert not found[~inside].any()
    assert notes == ["case anna: 8 of its 120 voxels are padding by the header, and count as air"]


@pytest.mark.parametrize("kind", ["SS", "US"])
def test_signed_padding_is_read_by_its_bits(tmp_path: Path, kind: str) -> None:
    """Some files tell -2000 as 63536, the same bits."""
    image = numbers(SHAPE, top=900) - 1000
    inside = tissue(image)
    image[~inside] = -2000
    save(tmp_path, series(image, bits=16, signed=True, change=padding(-2000 if kind == "SS" else 63536, kind=kind)))
    found = read(tmp_path)
    assert np.array_equal(found[inside], image[inside])
    assert set(found[~inside]) == {float(image[inside].min())}, "below 0 the lowest of the others is air"


def test_padding_is_told_in_stored_numbers_and_each_slice_has_its_own_scale(tmp_path: Path) -> None:
    image = numbers(SHAPE, top=900) + 100
    inside = tissue(image)
    image[~inside] = 3000

    def change(number: int, data: Dataset) -> None:
        padding(3000, RescaleSlope=number + 1, RescaleIntercept=-50)(number, data)

    save(tmp_path, series(image, change=change))
    found = read(tmp_path)
    slopes = np.arange(1, 5)[:, None, None]
    assert np.array_equal(found[inside], (image * slopes - 50)[inside])
    assert not found[~inside].any()


@pytest.mark.parametrize(("value", "limit"), [(3000, 3010), (3010, 3000)])
def test_a_range_is_padding_with_both_its_ends(tmp_path: Path, value: int, limit: int) -> None:
    image = numbers(SHAPE, top=900) + 100
    image[0, 0, :4] = 2999, 3000, 3010, 3011
    save(tmp_path, series(image, change=padding(value, limit)))
    assert read(tmp_path)[0, 0, :4].tolist() == [2999, 0, 0, 3011]


def test_a_limit_alone_and_no_padding_change_nothing(tmp_path: Path) -> None:
    image = numbers(SHAPE)

    def change(_: int, data: Dataset) -> None:
        data.add_new("PixelPaddingRangeLimit", "US", 4095)

    save(tmp_path / "limit", series(image, change=change))
    save(tmp_path / "zero", series(image, change=padding(0)))
    for name in ("limit", "zero"):
        notes: list[str] = []
        assert np.array_equal(read(tmp_path / name, notes), image)
        assert notes == []


def test_padding_of_many_frames_and_of_implicit_headers(tmp_path: Path) -> None:
    image = numbers(SHAPE, top=900) + 100
    image[~tissue(image)] = 4000
    frames = multi_frame(image)
    padding(4000)(0, frames)
    save(tmp_path / "frames", [frames])
    save(tmp_path / "implicit", series(image, syntax=ImplicitVRLittleEndian, change=padding(4000)))
    for name in ("frames", "implicit"):
        assert read(tmp_path / name).max() < 4000


def test_a_scan_of_nothing_but_padding_is_refused(tmp_path: Path) -> None:
    save(tmp_path, series(numbers(SHAPE), change=padding(0, 4095)))
    (case,) = find_scans(tmp_path, ("T2",))
    with pytest.raises(InputError, match="the image is empty: every voxel is 0"):
        read_case(case)


@given(
    signed=st.booleans(),
    ends=st.tuples(st.integers(-2048, 2047), st.integers(-2048, 2047)),
    seed=st.integers(0, 2**16),
)
def test_what_lies_outside_of_the_range_stays(
    signed: bool, ends: tuple[int, int], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("scan")
    shift = -2048 if signed else 0
    image = numbers(SHAPE, seed) + shift
    value, limit = (end + 2048 + shift for end in ends)
    save(folder, series(image, signed=signed, change=padding(value, limit, "SS" if signed else "US")))
    found = read(folder)
    low, high = sorted((value, limit))
    padded = (image >= low) & (image <= high)
    assert np.array_equal(found[~padded], image[~padded])
    assert set(found[padded]) <= {min(0.0, float(image[~padded].min())) if not padded.all() else 0.0}
