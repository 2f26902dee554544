"""Arrays come back as they are, and a header is believed only as far as its file goes."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from vmseg_auto.utils.arrays import UNREADABLE, map_array, read_arrays, write_arrays


@given(
    arrays(st.sampled_from([np.float32, np.uint8, np.int64]), array_shapes(max_dims=4, max_side=5)),
    st.booleans(),
    st.booleans(),
)
def test_arrays_come_back(
    tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, by_column: bool, compressed: bool
) -> None:
    folder = tmp_path_factory.mktemp("arrays")
    array = np.asfortranarray(array) if by_column else array
    np.save(folder / "a.npy", array)
    write_arrays(folder / "a.npz", {"one": array, "two": array[:0]}, compressed=compressed)
    mapped, found = map_array(folder / "a.npy"), read_arrays(folder / "a.npz", most=array.nbytes)
    np.testing.assert_array_equal(mapped, array)
    np.testing.assert_array_equal(found["one"], array)
    assert mapped.dtype == found["one"].dtype == array.dtype
    assert found["two"].shape == array[:0].shape
    assert not mapped.flags.writeable
    with np.load(folder / "a.npz") as others:
        np.testing.assert_array_equal(others["one"], array)


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        (b"(4, 6)", b"(4L,6)", "invalid decimal literal"),
        (b"(4, 6)", b"(4 L6)", "invalid syntax"),
        (b"(4, 6)", b"(4, 7)", r"float32 \(4, 7\)"),
        (b"(4, 6)", b"(-4,6)", "says that it holds"),
        (b"'<f4'", b"'|O'  ", "says that it holds object"),
        (b"'<f4'", b"'<x4'", "descr"),
        (b"NUMPY\x01", b"NUMPY\x03", "its format is"),
    ],
)
def test_a_header_that_can_not_be_is_refused(tmp_path: Path, before: bytes, after: bytes, problem: str) -> None:
    np.save(tmp_path / "a.npy", np.ones((4, 6), np.float32))
    content = (tmp_path / "a.npy").read_bytes()
    assert content.count(before) == 1
    changed = content.replace(before, after)
    (tmp_path / "a.npy").write_bytes(changed)
    with ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", changed)
    for read in (lambda: map_array(tmp_path / "a.npy"), lambda: read_arrays(tmp_path / "a.npz", most=1000)):
        with pytest.raises(UNREADABLE, match=problem):
            read()
