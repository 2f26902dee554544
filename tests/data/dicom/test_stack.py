from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from dicom import OBLIQUE, slices
from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.data.dicom.series import Series, Slice
from vmseg_auto.data.dicom.stack import disagreements, in_slice_order, stack
from vmseg_auto.utils.errors import InputError


def one_series(parts: Sequence[Slice]) -> Series:
    return Series("scan", Path("scan"), in_slice_order(parts))


def moved(one: Slice, along: Sequence[float]) -> Slice:
    return replace(one, position_mm=tuple(np.add(one.position_mm, along)))  # type: ignore[arg-type]


def test_grid_is_that_of_the_positions() -> None:
    geometry = stack(one_series(slices(thickness_mm=2.0)))
    assert geometry.shape == (5, 6, 7)
    assert geometry.spacing_mm == pytest.approx((3.0, 1.5, 0.5))
    assert geometry.origin_mm == (10.0, -20.0, 30.0)
    row, column, normal = np.array(geometry.direction).reshape(3, 3).T
    assert row == pytest.approx((0.8, 0.6, 0))
    assert column == pytest.approx((0, 0, -1))
    assert normal == pytest.approx(np.cross(row, column))


@given(
    angles=st.tuples(*[st.floats(-np.pi, np.pi)] * 3),
    flips=st.tuples(st.booleans(), st.booleans()),
    step=st.floats(0.5, 8),
    count=st.integers(3, 12),
    order=st.randoms(use_true_random=False),
)
def test_order_of_files_and_names_does_not_matter(
    angles: tuple[float, float, float], flips: tuple[bool, bool], step: float, count: int, order: Random
) -> None:
    row, column, _ = rotation(angles).T * np.array([[-1 if flips[0] else 1], [-1 if flips[1] else 1], [1]])
    parts = slices(count, step, (*row, *column))
    shuffled = [replace(one, file=Path(f"{number}.dcm")) for number, one in enumerate(order.sample(parts, count))]
    geometry = stack(one_series(shuffled))
    axes = np.array(geometry.direction).reshape(3, 3)
    assert np.linalg.det(axes) == pytest.approx(1)
    assert geometry.spacing_mm[0] == pytest.approx(step, rel=1e-6)
    for number, one in enumerate(one_series(shuffled).slices):
        assert np.array(geometry.origin_mm) + number * geometry.spacing_mm[0] * axes[:, 2] == pytest.approx(
            one.position_mm, abs=1e-5
        )


def rotation(angles: tuple[float, float, float]) -> np.ndarray:
    a, b, c = angles
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    turned: np.ndarray = about_z @ about_y @ about_x
    return turned


NORMAL = np.cross(OBLIQUE[:3], OBLIQUE[3:])
ROW = np.array(OBLIQUE[:3])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda parts: parts[:2], "only 2 slices"),
        (lambda parts: parts[:1], "only 1 slice,"),
        (lambda parts: [*parts[:2], *parts[3:]], "1 slice is missing: the gap between b.dcm and d.dcm is 6 mm, but 3"),
        (lambda parts: [parts[0], *parts[3:]], r"2 slices are missing: the gap between a.dcm and d.dcm"),
        (lambda parts: [*parts, replace(parts[2], file=Path("z.dcm"))], "6 slices lie at 5 pos.* c.dcm and z.dcm"),
        (lambda parts: [moved(one, -n * 3 * NORMAL) for n, one in enumerate(parts)], "5 slices lie at 1 position only"),
        (lambda parts: [*parts[:2], moved(parts[2], 0.4 * NORMAL), *parts[3:]], r"uneven: from 2.6 to 3.4 mm"),
        (lambda parts: [moved(parts[0], -0.9 * NORMAL), *parts[1:]], r"uneven: from 3 to 3.9 mm \(between a.dcm and b"),
        (lambda parts: [moved(one, 0.5 * n * ROW) for n, one in enumerate(parts)], "gantry was tilted.* by 9.46 deg"),
        (lambda parts: [*parts[:3], moved(parts[3], ROW), parts[4]], "shifted against each other, such as d.dcm"),
        (lambda parts: [moved(one, 9 * n * ROW - 3 * n * NORMAL) for n, one in enumerate(parts)], "beside each other"),
        (lambda parts: [*parts[:4], replace(parts[4], along_row=(0.0, 1.0, 0.0))], r"orientation \(4 coronal, 1 sag"),
        (lambda parts: [*parts[:4], replace(parts[4], along_row=(0.81, 0.586, 0.0))], "about coronal, at different"),
        (lambda parts: [replace(one, along_column=(0.0, 0.6, -0.8)) for one in parts], "not at right angles"),
        (lambda parts: [replace(one, along_row=(0.4, 0.3, 0.0)) for one in parts], "not at right angles"),
        (lambda parts: [*parts[:4], replace(parts[4], shape=(7, 6))], r"differ in size \(7 x 6, 6 x 7 pixels\)"),
        (lambda parts: [*parts[:4], replace(parts[4], spacing_mm=(1.5, 0.6))], "differ in pixel size"),
        (lambda parts: [*parts[:4], replace(parts[4], examination="y")], "different examinations"),
        (lambda parts: [*parts[:4], replace(parts[4], pixels=replace(parts[4].pixels, signed=True))], "different ways"),
    ],
)  # fmt: skip
def test_what_is_no_volume_is_refused(spoil: Callable[[list[Slice]], list[Slice]], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        stack(one_series(spoil(slices())), "anna")
    assert caught.value.case == "anna"
    assert caught.value.file == Path("scan")
    assert caught.value.remedy


def test_several_echoes_are_told_with_their_times() -> None:
    parts = [*slices(echo_ms=90.0), *(replace(one, file=Path("2", one.file)) for one in slices(echo_ms=12.0))]
    with pytest.raises(InputError, match=r"\(echo 1: 12 ms, 5 slices; echo 2: 90 ms, 5 slices\).*--echo"):
        stack(one_series(parts))
    parts += [replace(one, file=Path("3", one.file)) for one in slices(echo_ms=200.0)]
    with pytest.raises(InputError, match=r"echo 1: 12 ms.*echo 3: 200 ms, 5 slices\)"):
        stack(one_series(parts))
    with pytest.raises(InputError, match=r"echo 2: no echo time, 1 slices"):
        stack(one_series([*slices(echo_ms=90.0)[:4], slices()[4]]))


def test_what_the_files_told_already_comes_first() -> None:
    with pytest.raises(InputError, match=r"x.dcm is damaged. Copy the series"):
        stack(Series("scan", Path("scan"), (), refusal="x.dcm is damaged"))


def test_small_roundings_of_positions_are_no_gaps() -> None:
    rounded = [moved(one, np.round(one.position_mm, 2) - one.position_mm) for one in slices(8, 3.337)]
    assert stack(one_series(rounded)).spacing_mm[0] == pytest.approx(3.337, rel=1e-3)


def test_distance_in_the_header_counts_for_nothing_but_is_told() -> None:
    def told(**changes: float | None) -> list[str]:
        series = one_series(slices(**changes))
        return disagreements(series, stack(series))

    assert told(thickness_mm=3.0, apart_mm=3.0) == []
    assert told() == []
    assert told(thickness_mm=2.0) == ["SliceThickness says 2 mm, but the slices lie 3 mm apart, which counts"]
    assert told(thickness_mm=2.0, apart_mm=3.5)[0].startswith("SliceThickness says 2 mm, SpacingBetweenSlices says 3.5")
