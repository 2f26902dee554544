"""Masks as DICOM objects are read on the grid of their scan: those that others drew, and those written here."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dicom import grid_of, numbers
from dicom_made import write_series
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from vmseg_auto.data.dicom.contours import filled, slice_contours
from vmseg_auto.data.dicom.mask_objects import read_mask_object
from vmseg_auto.data.dicom.results import Algorithm
from vmseg_auto.data.dicom.segmentation import write_dicom_seg
from vmseg_auto.data.dicom.series import Series
from vmseg_auto.data.dicom.series_files import find_series
from vmseg_auto.data.dicom.sop_class import holds_mask
from vmseg_auto.data.dicom.stack import stack
from vmseg_auto.data.dicom.structure_set import write_rtstruct
from vmseg_auto.data.images.images import read_mask
from vmseg_auto.data.images.segmentations import read_labels
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry

SHAPE = (6, 12, 10)
LABELS = {"background": 0, "lesion": 1, "vein": 2}
ALGORITHM = Algorithm("x", "1", "m")
COLOURS = {"lesion": "#ff0000", "vein": "#0000ff"}


def drawn() -> NDArray[np.uint8]:
    """Two labels; one has a hole, and one slice between others has nothing."""
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[1, 2:9, 1:8] = 1
    mask[1, 4:6, 3:5] = 0
    mask[3, 2:5, 2:9] = 1
    mask[4, 7:11, 0:3] = 2
    return mask


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Series:
    folder = tmp_path_factory.mktemp("scan")
    (found,) = find_series(write_series(folder, numbers(SHAPE).astype(np.uint16), grid_of(SHAPE)))
    return found


Write = Callable[[Path, NDArray[np.uint8], Series], None]


def as_seg(path: Path, mask: NDArray[np.uint8], scan: Series) -> None:
    pytest.importorskip("highdicom", reason="the extra dicom is not installed")
    write_dicom_seg(path, mask, stack(scan), LABELS, scan, ALGORITHM)


def as_rtstruct(path: Path, mask: NDArray[np.uint8], scan: Series) -> None:
    write_rtstruct(path, mask, stack(scan), LABELS, COLOURS, scan, ALGORITHM)


@pytest.mark.parametrize("patient", ["STS_008", "STS_025", "STS_042"])
def test_a_real_outline_gives_the_mask_that_others_made_of_it(patient: str, shared_data: Path) -> None:
    folder = shared_data / "dicom" / "rtstruct" / patient
    (scan,) = find_series(folder / "image")
    outline = read_mask_object(folder / "RS.dcm")
    wanted, grid = read_mask(folder / "mask_ibsi.nii.gz")
    assert holds_mask(folder / "RS.dcm")
    assert not holds_mask(scan.files[0])
    assert outline.names == ("GTV_Mass_MR_T1",)
    assert outline.is_of(scan)
    assert grid.differences(stack(scan)) == []
    assert np.array_equal(outline.on(stack(scan)).layers[0], wanted > 0)


@pytest.mark.parametrize("write", [as_seg, as_rtstruct])
def test_what_is_written_is_read_voxel_for_voxel(write: Write, scan: Series, tmp_path: Path) -> None:
    write(path := tmp_path / "a.dcm", drawn(), scan)
    assert holds_mask(path)
    found, grid = read_labels(path, LABELS, stack(scan))
    assert np.array_equal(found, drawn())
    assert grid == stack(scan)
    for labels in ({"background": 0, "tumour": 1, "vessel": 2}, {"background": 0, "tumour": 1}):
        with pytest.raises(InputError, match=r"no segment \(lesion, vein\) has the name of a label"):
            read_labels(path, labels, stack(scan))  # its numbers are no label values


def test_one_segment_is_the_one_label_whatever_it_is_called(scan: Series, tmp_path: Path) -> None:
    mask = (drawn() == 1).astype(np.uint8)
    path, notes = tmp_path / "a.dcm", list[str]()
    write_rtstruct(path, mask, stack(scan), {"GTV": 1}, {"GTV": "#ff0000"}, scan, ALGORITHM)
    found, _ = read_labels(path, {"background": 0, "lesion": 1, "ignore": 2}, stack(scan), notes=notes)
    assert np.array_equal(found, mask)
    assert notes == ["the segment GTV is read as lesion"]
    with pytest.raises(InputError, match="no segment"):
        read_labels(path, LABELS, stack(scan))


@pytest.mark.parametrize("write", [as_seg, as_rtstruct])
def test_a_mask_lies_on_its_scan_whichever_way_that_is_turned(write: Write, scan: Series, tmp_path: Path) -> None:
    """A converter may have turned the axes of the scan: each voxel keeps its place in the patient."""
    write(path := tmp_path / "a.dcm", drawn(), scan)
    grid = stack(scan)
    cosines = np.array(grid.direction).reshape(3, 3)
    size = np.array(grid.shape[::-1]) - 1
    origin = np.array(grid.origin_mm) + cosines @ (np.array(grid.spacing_mm[::-1]) * size)
    shape, spacing = grid.shape[::-1], grid.spacing_mm[::-1]
    turned = Geometry(shape, spacing, tuple(origin), tuple((-cosines[:, ::-1]).ravel()))  # type: ignore[arg-type]
    found, _ = read_labels(path, LABELS, turned)
    assert np.array_equal(found, np.flip(drawn()).transpose(2, 1, 0))


@pytest.mark.parametrize("write", [as_seg, as_rtstruct])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"origin_mm": (1e3, 0.0, 0.0)}, "shifted by parts of a voxel|reach out of this scan|lie in no plane"),
        ({"spacing_mm": (7.0, 1.0, 1.0)}, "its voxels are|lie in no plane|reach out"),
    ],
)
def test_another_grid_is_refused(
    write: Write, change: dict[str, tuple[float, ...]], message: str, scan: Series, tmp_path: Path
) -> None:
    write(path := tmp_path / "a.dcm", drawn(), scan)
    with pytest.raises(InputError, match=message):
        read_labels(path, LABELS, replace(stack(scan), **change))  # type: ignore[arg-type]


def test_it_is_of_its_own_series_alone(scan: Series, tmp_path: Path) -> None:
    as_rtstruct(path := tmp_path / "a.dcm", drawn(), scan)
    (other,) = find_series(write_series(tmp_path / "other", numbers(SHAPE).astype(np.uint16), grid_of(SHAPE)))
    assert read_mask_object(path).is_of(scan)
    assert not read_mask_object(path).is_of(other)


def test_a_scan_in_a_zip_is_known_too(scan: Series, tmp_path: Path) -> None:
    as_rtstruct(path := tmp_path / "a.dcm", drawn(), scan)
    with zipfile.ZipFile(tmp_path / "scan.zip", "w") as packed:
        for file in scan.files:
            packed.write(file, file.name)
    (zipped,) = find_series(tmp_path / "scan.zip")
    assert read_mask_object(path).is_of(zipped)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_a_pipe_is_no_mask(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.dcm")
    assert not holds_mask(tmp_path / "a.dcm")


def changed(path: Path, change: Callable[[Dataset], object]) -> Path:
    data = dcmread(path)
    change(data)
    data.save_as(path)
    return path


def as_points(data: Dataset) -> None:
    data.ROIContourSequence[0].ContourSequence[0].ContourGeometricType = "POINT"


def as_crossing(data: Dataset) -> None:
    one, other = data.ROIContourSequence[0].ContourSequence[:2]
    corners = np.reshape(one.ContourData, (-1, 3)).astype(float)
    other.ContourData = [f"{number:.4f}" for number in (corners + (corners[2] - corners[0]) / 2).ravel()]
    other.NumberOfContourPoints = len(corners)


def as_nothing(data: Dataset) -> None:
    del data.StructureSetROISequence


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (as_points, "region lesion holds point, and no closed contour"),
        (as_crossing, "contours of region lesion cross in slice 4, and nobody can know what is meant"),
        (as_nothing, "the file is damaged, or lacks what tells where its mask lies"),
    ],
)
def test_contours_that_can_not_be_read_are_refused(
    change: Callable[[Dataset], object], message: str, scan: Series, tmp_path: Path
) -> None:
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[3, 4:8, 3:7], mask[3, 10:, 8:] = 1, 1
    as_rtstruct(path := tmp_path / "a.dcm", mask, scan)
    with pytest.raises(InputError, match=message):
        read_mask_object(changed(path, change)).on(stack(scan))


def test_fractional_segments_and_cut_files_are_refused(scan: Series, tmp_path: Path) -> None:
    as_seg(path := tmp_path / "a.dcm", drawn(), scan)
    whole = path.read_bytes()
    changed(path, lambda data: setattr(data, "SegmentationType", "FRACTIONAL"))
    with pytest.raises(InputError, match="stored as fractional, and only binary ones can be read"):
        read_mask_object(path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged"):
        read_mask_object(path).on(stack(scan))
    with pytest.raises(InputError, match="does not tell the voxels of its scan"):
        read_labels(path, LABELS)


@given(arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_contours_filled_are_the_slice_again(mask: NDArray[np.bool_]) -> None:
    whole = np.zeros_like(mask)
    for contour in slice_contours(mask):
        whole ^= filled(contour, (mask.shape[0], mask.shape[1]))
    assert np.array_equal(whole, mask)
