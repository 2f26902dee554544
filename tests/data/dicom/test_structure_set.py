"""An RT Structure Set gives back the mask voxel for voxel, and lies in the frame of reference of its series."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_made import by_contours, complaints, require_whole_wherever_cut, write_series
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from pydicom.uid import generate_uid
from scipy.spatial.transform import Rotation
from small_files import small_files

from vmseg_auto.data.dicom.results import Algorithm
from vmseg_auto.data.dicom.series import Series
from vmseg_auto.data.dicom.series_files import find_series
from vmseg_auto.data.dicom.stack import stack
from vmseg_auto.data.dicom.structure_set import write_rtstruct
from vmseg_auto.utils.atomic import leftovers
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.geometry import Direction, Geometry

SHAPE = (4, 9, 8)
LABELS = {"background": 0, "venous_malformation": 1, "airway": 2}
COLOURS = {"venous_malformation": "#D55E00", "airway": "#56B4E9"}
ALGORITHM = Algorithm("vmseg_auto", "1.2.3", "0123456789abcdef")
SUPINE = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
FLIPPED = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
SAGITTAL = (0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def turned(*angles: float) -> Direction:
    direction: Direction = tuple(Rotation.from_euler("xyz", angles, degrees=True).as_matrix().ravel().tolist())
    return direction


OBLIQUE = turned(20, -35, 50)


def a_series(folder: Path, direction: Any = SUPINE, **texts: Any) -> Series:
    geometry = Geometry(SHAPE, (4.0, 0.8, 0.7), (-31.5, 12.25, 7.0), direction)
    (series,) = find_series(write_series(folder / "series", np.full(SHAPE, 7, np.uint16), geometry, **texts))
    return series


def lesions() -> NDArray[np.uint8]:
    """A ring with an island in it, parts that touch in a corner, a voxel by itself, and another label beside them."""
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[1, 1:8, 1:7] = 1
    mask[1, 2:7, 2:6] = 0
    mask[1, 4, 3] = 1
    mask[2, 0, 0] = mask[2, 1, 1] = mask[2, 8, 7] = 1
    mask[2, 3:5, 3:5] = 2
    return mask


def written(folder: Path, series: Series, mask: NDArray[np.uint8]) -> Path:
    path = folder / "lesions.rtstruct.dcm"
    write_rtstruct(path, mask, stack(series), LABELS, COLOURS, series, ALGORITHM)
    return path


@pytest.mark.parametrize("direction", [SUPINE, FLIPPED, SAGITTAL, OBLIQUE])
def test_it_reads_back_voxel_for_voxel(tmp_path: Path, direction: Any) -> None:
    series = a_series(tmp_path, direction)
    path = written(tmp_path, series, lesions())
    np.testing.assert_array_equal(by_contours(path, stack(series)), lesions())
    assert complaints(path) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20)
@given(
    mask=arrays(np.uint8, SHAPE, elements=st.integers(0, 2)),
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    spacing=st.tuples(st.floats(0.5, 8), st.floats(0.3, 2), st.floats(0.3, 2)),
    origin=st.tuples(*[st.floats(-900, 900)] * 3),
)
def test_of_any_mask_on_any_grid(
    tmp_path_factory: pytest.TempPathFactory, mask: Any, angles: Any, spacing: Any, origin: Any
) -> None:
    folder = tmp_path_factory.mktemp("any")
    write_series(folder / "series", np.ones(SHAPE, np.uint16), Geometry(SHAPE, spacing, origin, turned(*angles)))
    (series,) = find_series(folder / "series")
    np.testing.assert_array_equal(by_contours(written(folder, series, mask), stack(series)), mask)


def test_it_refers_to_the_images_that_it_lies_on(tmp_path: Path) -> None:
    series = a_series(tmp_path, OBLIQUE)
    data = pydicom.dcmread(written(tmp_path, series, lesions()))
    sources = [pydicom.dcmread(file) for file in series.files]
    assert (data.PatientID, str(data.PatientName), data.StudyDate) == ("17", "Doe^Jo", "20200102")
    assert data.StudyInstanceUID == sources[0].StudyInstanceUID
    assert data.SeriesInstanceUID != sources[0].SeriesInstanceUID
    assert data.SeriesDescription == "vmseg_auto contours, for research, not for diagnosis"
    (frame,) = data.ReferencedFrameOfReferenceSequence
    assert data.FrameOfReferenceUID == frame.FrameOfReferenceUID == sources[0].FrameOfReferenceUID
    (referred,) = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence
    assert referred.SeriesInstanceUID == sources[0].SeriesInstanceUID
    position = {source.SOPInstanceUID: np.array(source.ImagePositionPatient, float) for source in sources}
    assert {item.ReferencedSOPInstanceUID for item in referred.ContourImageSequence} == set(position)
    normal = np.reshape(OBLIQUE, (3, 3))[:, 2]
    for contour in data.ROIContourSequence[0].ContourSequence:
        (image,) = contour.ContourImageSequence
        off = np.array(contour.ContourData[:3], float) - position[image.ReferencedSOPInstanceUID]
        assert abs(off @ normal) < 1e-3


def test_regions_are_named_coded_and_coloured(tmp_path: Path) -> None:
    data = pydicom.dcmread(written(tmp_path, a_series(tmp_path), lesions()))
    assert [region.ROIName for region in data.StructureSetROISequence] == ["venous_malformation", "airway"]
    assert {region.ROIGenerationAlgorithm for region in data.StructureSetROISequence} == {"AUTOMATIC"}
    assert list(data.ROIContourSequence[0].ROIDisplayColor) == [0xD5, 0x5E, 0x00]
    (code,) = data.RTROIObservationsSequence[0].RTROIIdentificationCodeSequence
    assert (code.CodeValue, code.CodeMeaning) == ("783806000", "Vascular malformation")
    assert data.ApprovalStatus == "UNAPPROVED"
    assert "0123456789abcdef" in data.StructureSetDescription
    assert "for research, not for diagnosis" in data.StructureSetDescription


def test_of_an_empty_mask_there_are_regions_without_contours(tmp_path: Path) -> None:
    path = written(tmp_path, a_series(tmp_path), np.zeros(SHAPE, dtype=np.uint8))
    assert not any("ContourSequence" in region for region in pydicom.dcmread(path).ROIContourSequence)
    assert complaints(path) == []


def test_long_contours_are_written_whole(tmp_path: Path) -> None:
    """Of a chequered slice with all in one contour there are more numbers than 65,535 bytes hold."""
    shape = (3, 80, 80)
    folder = write_series(tmp_path / "series", np.ones(shape, np.uint16), Geometry(shape, (3.0, 0.7, 0.7)))
    (series,) = find_series(folder)
    mask = np.ones(shape, np.uint8)
    mask[:, 1:-1:2, 1:-1:2] = 0
    path = written(tmp_path, series, mask)
    data = pydicom.dcmread(path)
    assert path.stat().st_size > 65535
    assert max(one.NumberOfContourPoints for one in data.ROIContourSequence[0].ContourSequence) > 6000
    np.testing.assert_array_equal(by_contours(path, stack(series))[1], mask[1])


@pytest.mark.parametrize("stated", [["", "ISO 2022 IR 87"], ["", "ISO 2022 IR 149"], "", "ISO_IR 100"])
def test_names_stand_in_the_character_set_of_the_series(tmp_path: Path, stated: Any) -> None:
    name = {"ISO 2022 IR 87": "Yamada^Tarou=山田^太郎", "ISO 2022 IR 149": "Hong^Gildong=洪^吉洞"}.get(
        stated[-1] if stated else "", "Müller^Käthe" if stated else "Doe^Jo"
    )
    series = a_series(tmp_path, SpecificCharacterSet=stated, PatientName=name)
    path = written(tmp_path, series, lesions())
    assert str(pydicom.dcmread(path).PatientName) == name
    assert complaints(path) == []


def test_what_anonymisers_remove_may_be_missing(tmp_path: Path) -> None:
    gone = (
        "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime",
        "SliceThickness",
    )  # fmt: skip
    path = written(tmp_path, series := a_series(tmp_path, **dict.fromkeys(gone)), lesions())
    np.testing.assert_array_equal(by_contours(path, stack(series)), lesions())
    assert complaints(path) == []


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "FrameOfReferenceUID"])
def test_a_series_without_what_it_must_refer_to_is_refused(tmp_path: Path, keyword: str) -> None:
    series = a_series(tmp_path, **{keyword: None})
    with pytest.raises(InputError, match=f"lacks the {keyword}, to which a DICOM RTSTRUCT must refer.*--format nifti"):
        written(tmp_path, series, lesions())
    assert not list(tmp_path.glob("*.dcm"))


def test_a_multi_frame_series(tmp_path: Path, shared_data: Path) -> None:
    (source,) = (shared_data / "dicom/vendors/philips_enhanced/anatomical/001").iterdir()
    data = pydicom.dcmread(source)
    data.FrameOfReferenceUID = generate_uid()  # which the anonymised file lacks
    data.PatientAge = "040Y"  # its own is none
    data.save_as(tmp_path / "enhanced.dcm")
    (series,) = find_series(tmp_path / "enhanced.dcm")
    geometry = stack(series)
    mask = np.zeros(geometry.shape, dtype=np.uint8)
    mask[3:5, 20:40, 30:35] = 1
    path = written(tmp_path, series, mask)
    np.testing.assert_array_equal(by_contours(path, geometry), mask)
    contours = pydicom.dcmread(path).ROIContourSequence[0].ContourSequence
    frames = [contour.ContourImageSequence[0].ReferencedFrameNumber for contour in contours]
    assert frames == [series.slices[place].frame + 1 for place in (3, 4)]
    assert complaints(path) == []


def test_one_that_is_cut_short_anywhere_is_not_whole(tmp_path: Path) -> None:
    path = written(tmp_path, a_series(tmp_path), lesions())
    require_whole_wherever_cut(path)


def test_dcmtk_reads_it(tmp_path: Path) -> None:
    if shutil.which("dcmdump") is None:
        pytest.skip("dcmdump (dcmtk) is not installed")
    path = written(tmp_path, a_series(tmp_path), lesions())
    said = subprocess.run(["dcmdump", str(path)], capture_output=True, text=True, check=True)
    assert said.stderr == ""
    assert said.stdout.count("CLOSED_PLANAR") == len(pydicom.dcmread(path).ROIContourSequence[0].ContourSequence) + 1


def test_on_a_full_disk_there_is_no_half_of_one(tmp_path: Path) -> None:
    series = a_series(tmp_path)
    with small_files(1000), pytest.raises(VmsegError, match=r"rtstruct\.dcm: it can't be written"):
        written(tmp_path, series, lesions())
    assert not list(tmp_path.glob("*.dcm"))
    assert not leftovers(tmp_path)
