"""A DICOM Segmentation lies on its series voxel for voxel, and says what it holds and what made it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from dicom_made import by_highdicom, by_pydicom, write_series
from numpy.typing import NDArray
from pydicom.uid import generate_uid
from scipy.spatial.transform import Rotation
from small_files import small_files

from vmseg_auto.data.dicom.results import Algorithm
from vmseg_auto.data.dicom.segmentation import write_dicom_seg
from vmseg_auto.data.dicom.series import Series
from vmseg_auto.data.dicom.series_files import find_series
from vmseg_auto.data.dicom.stack import stack
from vmseg_auto.utils.atomic import leftovers
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.geometry import Geometry

SHAPE = (5, 12, 10)
LABELS = {"background": 0, "venous_malformation": 1, "airway": 2}
ALGORITHM = Algorithm("vmseg_auto", "1.2.3", "0123456789abcdef")
SUPINE = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
FLIPPED = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
SAGITTAL = (0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
OBLIQUE = tuple(Rotation.from_euler("xyz", (20, -35, 50), degrees=True).as_matrix().ravel().tolist())


def a_series(folder: Path, direction: Any = SUPINE, **texts: Any) -> Series:
    geometry = Geometry(SHAPE, (4.0, 0.8, 0.7), (-31.5, 12.25, 7.0), direction)
    image = np.random.default_rng(1).integers(1, 4000, SHAPE, dtype=np.uint16)
    (series,) = find_series(write_series(folder / "series", image, geometry, **texts))
    return series


def a_mask() -> NDArray[np.uint8]:
    """Both labels in some slices, one in others, none in the first."""
    mask = np.random.default_rng(2).integers(0, 3, SHAPE, dtype=np.uint8)
    mask[0] = 0
    mask[3][mask[3] == 2] = 0
    return mask


def written(folder: Path, series: Series, mask: NDArray[np.uint8], labels: dict[str, int] = LABELS) -> Path:
    path = folder / "seg.dcm"
    write_dicom_seg(path, mask, stack(series), labels, series, ALGORITHM)
    return path


@pytest.mark.parametrize("direction", [SUPINE, FLIPPED, SAGITTAL, OBLIQUE])
def test_it_reads_back_voxel_for_voxel(tmp_path: Path, direction: Any) -> None:
    series, mask = a_series(tmp_path, direction), a_mask()
    path = written(tmp_path, series, mask)
    np.testing.assert_array_equal(by_pydicom(path, stack(series)), mask)
    np.testing.assert_array_equal(by_highdicom(path, stack(series)), mask)


def test_made_again_of_the_same_it_is_the_same_object(tmp_path: Path) -> None:
    series, mask = a_series(tmp_path), a_mask()

    def uids(mask: NDArray[np.uint8], algorithm: Algorithm = ALGORITHM) -> tuple[str, str]:
        write_dicom_seg(tmp_path / "seg.dcm", mask, stack(series), LABELS, series, algorithm)
        data = pydicom.dcmread(tmp_path / "seg.dcm")
        return data.SOPInstanceUID, data.SeriesInstanceUID

    first = uids(mask)
    assert uids(mask.copy()) == first
    others = [uids((mask > 0).astype(np.uint8)), uids(mask, replace(ALGORITHM, corrected=True))]
    others.append(uids(mask, replace(ALGORITHM, model="fedcba9876543210")))
    assert len({uid for pair in (first, *others) for uid in pair}) == 8


def test_it_refers_to_the_images_that_it_lies_on(tmp_path: Path) -> None:
    series = a_series(tmp_path, OBLIQUE)
    data = pydicom.dcmread(written(tmp_path, series, a_mask()))
    sources = [pydicom.dcmread(file) for file in series.files]
    assert data.FrameOfReferenceUID == sources[0].FrameOfReferenceUID
    assert data.StudyInstanceUID == sources[0].StudyInstanceUID
    assert data.SeriesInstanceUID != sources[0].SeriesInstanceUID
    assert (data.PatientID, str(data.PatientName), data.StudyDate) == ("17", "Doe^Jo", "20200102")
    position = {source.SOPInstanceUID: source.ImagePositionPatient for source in sources}
    for groups in data.PerFrameFunctionalGroupsSequence:
        referred = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        np.testing.assert_allclose(groups.PlanePositionSequence[0].ImagePositionPatient, position[referred], atol=1e-6)


@pytest.mark.parametrize("direction", [SUPINE, FLIPPED, OBLIQUE])
@pytest.mark.parametrize("step_mm", [3.337, 4.0016])
def test_each_frame_refers_to_the_image_it_lies_on_where_positions_are_rounded(
    tmp_path: Path, direction: Any, step_mm: float
) -> None:
    geometry = Geometry(SHAPE, (step_mm, 0.8, 0.7), (-31.514, 12.258, 7.0), direction)
    folder = write_series(tmp_path / "series", np.ones(SHAPE, np.uint16), geometry)
    for file in folder.iterdir():
        data = pydicom.dcmread(file)
        data.ImagePositionPatient = [round(float(value), 2) for value in data.ImagePositionPatient]
        data.ImageOrientationPatient = [round(float(value), 5) for value in data.ImageOrientationPatient]
        data.save_as(file)
    (series,) = find_series(folder)
    mask = np.ones(SHAPE, np.uint8)
    frames = pydicom.dcmread(written(tmp_path, series, mask)).PerFrameFunctionalGroupsSequence
    referred = [
        frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        for frame in frames
        if frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber == 1
    ]
    wanted = [pydicom.dcmread(file).SOPInstanceUID for file in series.files]
    assert sorted(referred) == sorted(wanted)
    position = {pydicom.dcmread(f).SOPInstanceUID: pydicom.dcmread(f).ImagePositionPatient for f in series.files}
    for frame, uid in zip(frames, referred, strict=False):
        np.testing.assert_allclose(frame.PlanePositionSequence[0].ImagePositionPatient, position[uid], atol=0.03)


@pytest.mark.parametrize("stated", [["", "ISO 2022 IR 87"], ["", "ISO 2022 IR 149"], ""])
def test_an_empty_character_set_is_the_default_one(tmp_path: Path, stated: Any) -> None:
    series = a_series(tmp_path, SpecificCharacterSet=stated)
    path = written(tmp_path, series, a_mask())
    np.testing.assert_array_equal(by_pydicom(path, stack(series)), a_mask())
    kept = pydicom.dcmread(path).get("SpecificCharacterSet")
    assert not stated or list(kept) == ["ISO 2022 IR 6", stated[1]]


def test_segments_are_named_and_coded_and_the_algorithm_recorded(tmp_path: Path) -> None:
    data = hd.seg.segread(written(tmp_path, a_series(tmp_path), a_mask()))
    lesion, airway = (data.get_segment_description(number) for number in (1, 2))
    assert (lesion.segment_label, airway.segment_label) == ("venous_malformation", "airway")
    category, kind = lesion.segmented_property_category, lesion.segmented_property_type
    assert (category.value, category.scheme_designator) == ("49755003", "SCT")
    assert (kind.value, kind.scheme_designator, kind.meaning) == ("783806000", "SCT", "Vascular malformation")
    assert lesion.primary_anatomic_structures[0].value == "29092000"
    assert airway.segmented_property_type.value == "85756007"
    assert lesion.SegmentAlgorithmType == "AUTOMATIC"
    (algorithm,) = lesion.SegmentationAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("vmseg_auto", "1.2.3")
    assert "0123456789abcdef" in algorithm.AlgorithmParameters
    assert data.SoftwareVersions == "1.2.3"


def test_an_empty_mask_keeps_every_slice(tmp_path: Path) -> None:
    series = a_series(tmp_path)
    path = written(tmp_path, series, np.zeros(SHAPE, dtype=np.uint8), {"background": 0, "lesion": 1})
    assert pydicom.dcmread(path).NumberOfFrames == SHAPE[0]
    assert not by_pydicom(path, stack(series)).any()


def test_what_anonymisers_remove_may_be_missing(tmp_path: Path) -> None:
    gone = (
        "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime",
        "SliceThickness",
    )  # fmt: skip
    series = a_series(tmp_path, **dict.fromkeys(gone))
    np.testing.assert_array_equal(by_pydicom(written(tmp_path, series, a_mask()), stack(series)), a_mask())


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "FrameOfReferenceUID"])
def test_a_series_without_what_it_must_refer_to_is_refused(tmp_path: Path, keyword: str) -> None:
    series = a_series(tmp_path, **{keyword: None})
    with pytest.raises(InputError, match=f"lacks the {keyword}.*--format nifti"):
        written(tmp_path, series, a_mask())
    assert not (tmp_path / "seg.dcm").exists()


@pytest.mark.parametrize(
    "texts",
    [
        {"PatientSex": "unknown", "PatientBirthDate": "yesterday", "StudyDate": "20209999"},
        {"PatientName": "A^B^C^D^E^F^G=H=I=J=K", "PatientID": "x" * 500, "AccessionNumber": "a\\b\\c"},
        {"PatientAge": "very old", "StudyDescription": "<b>\x1b[31m" * 40},
    ],
)
def test_odd_headers_are_taken_over_or_refused_without_repeating_them(
    tmp_path: Path, texts: dict[str, str], capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    with pydicom.config.disable_value_validation():
        series = a_series(tmp_path, **texts)
    try:
        path = written(tmp_path, series, a_mask())
    except InputError as error:
        said = str(error)
        assert "--format nifti" in said
    else:
        said = ""
        np.testing.assert_array_equal(by_highdicom(path, stack(series)), a_mask())
    said += "".join(capfd.readouterr()) + "".join(str(one.message) for one in recwarn)
    assert not any(text in said for text in texts.values())


def test_a_multi_frame_series(tmp_path: Path, shared_data: Path) -> None:
    (source,) = (shared_data / "dicom/vendors/philips_enhanced/anatomical/001").iterdir()
    data = pydicom.dcmread(source)
    data.FrameOfReferenceUID = generate_uid()  # which the anonymised file lacks
    data.save_as(tmp_path / "enhanced.dcm")
    (series,) = find_series(tmp_path / "enhanced.dcm")
    geometry = stack(series)
    mask = np.random.default_rng(0).integers(0, 2, geometry.shape, dtype=np.uint8)
    path = written(tmp_path, series, mask, {"background": 0, "lesion": 1})
    np.testing.assert_array_equal(by_pydicom(path, geometry), mask)
    np.testing.assert_array_equal(by_highdicom(path, geometry), mask)


def test_on_a_full_disk_there_is_no_half_of_one(tmp_path: Path) -> None:
    series, path = a_series(tmp_path), tmp_path / "seg.dcm"
    with small_files(1000), pytest.raises(VmsegError, match=r"seg\.dcm: it can't be written"):
        written(tmp_path, series, a_mask())
    assert not path.exists()
    assert not leftovers(tmp_path)
