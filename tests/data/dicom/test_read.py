from __future__ import annotations

import itertools
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import SimpleITK as sitk
from dicom import Change, compressed, dataset, grid_of, multi_frame, numbers, save, series
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from vmseg_auto.data.dicom import elements as dicom_elements
from vmseg_auto.data.dicom.read import read_series
from vmseg_auto.data.dicom.series import Choice
from vmseg_auto.data.dicom.series_files import find_series
from vmseg_auto.data.images.images import read_image
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry

VOLUMES = (
    "t2_series", "vendors/anatomical/001", "vendors/anatomical/001_implicit", "vendors/compressed_j2k/001",
    "vendors/compressed_jpegls/001", "vendors/compressed_rle/001", "vendors/ge/anatomical/001",
    "vendors/ge/anatomical/001_implicit", "vendors/siemens/anatomical/001", "vendors/siemens/anatomical/001_implicit",
    "vendors/philips_enhanced/anatomical/001", "vendors/philips_enhanced/anatomical/001_implicit",
)  # fmt: skip
NO_VOLUMES = {
    "vendors/failing/gantrytilting/001": r"the gantry was tilted: the slices lean by 14 degrees",
    "vendors/failing/sliceincrement/001": r"1 slice is missing: the gap between \S+0009\S+ and \S+0010\S+ is 10 mm",
    "vendors/failing/sliceincrement/002": r"1 slice is missing: the gap between \S+0003.dcm and \S+0005.dcm is 1.499",
    "vendors/failing/slicecount/001": r"it has only 2 slices, and a volume needs at least 3",
    "vendors/failing/sliceorientation/001": r"do not lie in one orientation \(2 sagittal, 2 axial\)",
    "vendors/failing/notavolume/001": r"its 4 slices lie at 1 position only: doubled slices",
    "vendors/ge/anatomical/001_single_slice": r"it has only 1 slice, and a volume needs at least 3",
    "pdt2_dual_echo": r"several echoes \(echo 1: 11 ms, 35 slices; echo 2: 92 ms, 35 slices\)",
}  # fmt: skip


def read(folder: Path, choice: Choice | None = None) -> tuple[NDArray[np.float32], Geometry]:
    (one,) = find_series(folder, choice)
    return read_series(one, "anna")


def placed(geometry: Geometry) -> NDArray[np.float64]:
    """From voxel (X, Y, Z) to mm, and a last row of 0 0 0 1."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(geometry.direction).reshape(3, 3) * geometry.spacing_mm[::-1]
    matrix[:3, 3] = geometry.origin_mm
    return matrix


def on_grid(image: NDArray[np.float32], geometry: Geometry, of: Geometry) -> NDArray[np.float32]:
    """The image with its axes flipped and permuted until it lies on the grid `of`."""
    steps = np.linalg.inv(placed(geometry)) @ placed(of)
    assert steps == pytest.approx(np.round(steps), abs=1e-3), "the voxels lie elsewhere"
    index = np.indices(of.shape[::-1]).reshape(3, -1)
    x, y, z = np.round(steps[:3, :3] @ index + steps[:3, 3:]).astype(int)
    assert min(x.min(), y.min(), z.min()) >= 0
    return image[z, y, x].reshape(of.shape[::-1]).transpose(2, 1, 0)


@pytest.mark.parametrize("folder", [name for name in VOLUMES if name != "t2_series"])
def test_vendors_series_are_what_their_ground_truth_says(shared_data: Path, folder: str) -> None:
    image, geometry = read(shared_data / "dicom" / folder)
    for ending in ("ground_truth", "ground_truth_reoriented"):
        truth, grid = read_image(shared_data / "dicom" / f"{folder}_{ending}.nii.gz")
        np.testing.assert_allclose(on_grid(image, geometry, grid), truth, rtol=1e-6)


@pytest.mark.parametrize("folder", NO_VOLUMES)
def test_what_is_no_volume_is_refused_with_its_own_reason(shared_data: Path, folder: str) -> None:
    with pytest.raises(InputError, match=NO_VOLUMES[folder]):
        read(shared_data / "dicom" / folder)


def test_real_series_lies_where_itk_puts_it(shared_data: Path) -> None:
    notes: list[str] = []
    (found,) = find_series(shared_data / "dicom" / "t2_series")
    image, geometry = read_series(found, "anna", notes)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(shared_data / "dicom" / "t2_series"))
    itk = sitk.ReadImage(names)
    assert np.array_equal(image, sitk.GetArrayFromImage(itk))
    assert geometry.spacing_mm == pytest.approx(itk.GetSpacing()[::-1], rel=1e-6)
    assert geometry.origin_mm == pytest.approx(itk.GetOrigin())
    assert geometry.direction == pytest.approx(itk.GetDirection(), abs=1e-6)
    assert notes == ["case anna: SliceThickness says 5 mm, but the slices lie 6.5 mm apart, which counts"]


def test_one_echo_of_two_is_a_volume(shared_data: Path) -> None:
    images = [read(shared_data / "dicom" / "pdt2_dual_echo", Choice(echo=number))[0] for number in (1, 2)]
    assert images[0].shape == images[1].shape == (35, 64, 64)
    assert not np.array_equal(*images)
    with pytest.raises(InputError, match=r"there is no echo 3: it has 2, from 11.0 to 92.0 ms"):
        read(shared_data / "dicom" / "pdt2_dual_echo", Choice(echo=3))


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5])
def test_slices_are_sorted_by_position(tmp_path: Path, order: tuple[int, ...]) -> None:
    image = numbers((4, 6, 7))
    save(tmp_path, [series(image)[number] for number in order])
    voxels, geometry = read(tmp_path)
    assert np.array_equal(voxels, image)
    assert geometry.differences(grid_of(image.shape)) == []


@pytest.mark.parametrize(
    ("bits", "signed", "syntax"),
    [
        (12, False, None), (16, False, None), (12, True, None), (16, True, None), (8, False, None), (8, True, None),
        (7, False, None), (32, True, None), (16, True, ImplicitVRLittleEndian), (16, True, ExplicitVRBigEndian),
    ],
)  # fmt: skip
def test_numbers_are_read_as_they_were_stored(tmp_path: Path, bits: int, signed: bool, syntax: UID | None) -> None:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    image = np.random.default_rng(0).integers(low, high, (3, 5, 5), endpoint=True)
    image[0, 0, :2] = low, high
    save(tmp_path, series(image, bits=bits, signed=signed, **({"syntax": syntax} if syntax else {})))
    assert np.array_equal(read(tmp_path)[0], image.astype(np.float32))


def test_bits_beyond_the_stored_ones_count_by_their_sign_alone(tmp_path: Path) -> None:
    image = numbers((3, 5, 5), top=2047) - 1024
    bare = series(image & 0xFFF, signed=True)  # without sign extension
    save(tmp_path / "a", bare)
    assert np.array_equal(read(tmp_path / "a")[0], image)
    save(tmp_path / "b", series(numbers((3, 5, 5)) + 4096, bits=16, change=lambda _, data: _set_bits(data, 12)))
    with pytest.raises(InputError, match=r"IM1.dcm: its pixels take more than the 12 bits"):
        read(tmp_path / "b")


def _set_bits(data: Dataset, bits: int) -> None:
    data.BitsStored, data.HighBit = bits, bits - 1


def test_each_slice_is_rescaled_as_its_own_header_says(tmp_path: Path) -> None:
    image = numbers((3, 5, 5))

    def rescale(number: int, data: Dataset) -> None:
        data.RescaleSlope, data.RescaleIntercept = number + 0.5, -10

    save(tmp_path, series(image, change=rescale))
    expected = image * np.array([0.5, 1.5, 2.5])[:, None, None] - 10
    assert np.array_equal(read(tmp_path)[0], expected.astype(np.float32))


def test_frames_of_one_file_are_sorted_by_position(tmp_path: Path) -> None:
    image = numbers((4, 6, 7))
    save(tmp_path, [multi_frame(image, order=(2, 0, 3, 1), slope=2.5)])
    voxels, geometry = read(tmp_path)
    assert np.array_equal(voxels, (image * 2.5).astype(np.float32))
    assert geometry.differences(grid_of(image.shape)) == []


def test_rle_is_decoded(tmp_path: Path) -> None:
    image = numbers((3, 40, 50)) // 200  # runs and noise
    made = series(image)
    for data in made:
        data.compress(RLELossless, generate_instance_uid=False)
    save(tmp_path, made)
    assert np.array_equal(read(tmp_path)[0], image)


@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000"])
@pytest.mark.parametrize("signed", [False, True])
def test_lossless_jpeg_and_jpeg_2000_are_decoded(tmp_path: Path, compressor: str, signed: bool) -> None:
    image = numbers((3, 40, 50)) - 2000 * signed
    made = compressed(image, tmp_path / "itk", compressor, signed)
    save(tmp_path / "scan", made)
    assert np.array_equal(read(tmp_path / "scan")[0], image)


@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000", "RLE"])
def test_compressed_pixels_cut_short_are_refused(tmp_path: Path, compressor: str) -> None:
    image = numbers((3, 40, 50))
    made = compressed(image, tmp_path / "itk", compressor) if compressor != "RLE" else series(image)
    if compressor == "RLE":
        for data in made:
            data.compress(RLELossless, generate_instance_uid=False)
    from pydicom.encaps import encapsulate, generate_frames

    whole = next(generate_frames(made[1].PixelData, number_of_frames=1))
    made[1].PixelData = encapsulate([whole[: len(whole) * 3 // 4]])
    save(tmp_path / "scan", made)
    with pytest.raises(InputError, match=r"case anna.*IM2.dcm: its .* (cut short|damaged)"):
        read(tmp_path / "scan")


def change(name: str, value: Any, at: int = 1) -> Change:
    """Set an element of one slice; None takes it away."""

    def changed(number: int, data: Dataset) -> None:
        if number == at and value is None:
            delattr(data, name)
        elif number == at:
            setattr(data, name, value)

    return changed


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (change("ImagePositionPatient", None), "IM2.dcm lies among its files .* but is a picture without a pos"),
        (change("ImagePositionPatient", ["1", "2"]), "IM2.dcm is damaged"),
        (change("ImagePositionPatient", ["1e30", "0", "0"]), "IM2.dcm is damaged"),
        (change("ImageOrientationPatient", None), "IM2.dcm is damaged"),
        (change("ImageOrientationPatient", ["1", "0", "0", "0", "1", "0"]), "orientation .4 coronal, 1 axial"),
        (change("PixelSpacing", None), "IM2.dcm is damaged"),
        (change("PixelSpacing", ["1.5", "-0.5"]), "IM2.dcm is damaged"),
        (change("PixelSpacing", ["1.5", "0.6"]), "differ in pixel size"),
        (change("RescaleSlope", "2"), "stored in different ways"),
        (change("RescaleSlope", "0"), "IM2.dcm is damaged"),
        (change("RescaleIntercept", "5"), "IM2.dcm is damaged"),
        (change("ModalityLUTSequence", []), "IM2.dcm: its numbers must be looked up"),
        (change("Rows", 7), "differ in size"),
        (change("Rows", 0), "IM2.dcm lies among its files .* but is a file without pixels"),
        (change("SamplesPerPixel", 3), "IM2.dcm is in this series, but a picture"),
        (change("PhotometricInterpretation", "MONOCHROME1"), "IM2.dcm: it is no greyscale image in which high numbers"),
        (change("BitsStored", 13), "IM2.dcm: the header contradicts itself"),
        (change("BitsAllocated", 64), "IM2.dcm: its pixels take 64 bits"),
        (change("PixelRepresentation", 1), "stored in different ways"),
        (change("FrameOfReferenceUID", UID("1.9")), "different examinations"),
        (change("PatientID", "Q"), "different examinations"),
        (change("SOPClassUID", UID("1.2.840.10008.5.1.4.1.1.2")), "different examinations"),
        (change("ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"]), "IM2.dcm is in this series, but a localizer"),
        (change("SOPClassUID", UID("1.2.840.10008.5.1.4.1.1.88.11")), "IM2.dcm is in this series, but a report"),
        (change("EchoTime", 12), r"several echoes .echo 1: 12 ms, 1 slices; echo 2: 90 ms, 4 slices"),
        (change("PixelData", b"\0" * 20), r"IM2.dcm: it holds 20 bytes of pixels instead of 84"),
        (change("PixelData", None), r"IM2.dcm: it holds no pixels"),
        (change("NumberOfFrames", 2), r"IM2.dcm lies among its files .* but is a picture without a position"),
    ],
)  # fmt: skip
def test_a_slice_that_does_not_fit_is_refused(tmp_path: Path, spoil: Change, words: str) -> None:
    save(tmp_path, series(numbers(), change=spoil))
    with pytest.raises(InputError, match=words) as caught:
        read(tmp_path)
    assert caught.value.remedy


def test_rescaled_beyond_all_numbers_is_refused(tmp_path: Path) -> None:
    def rescale(_: int, data: Dataset) -> None:
        data.RescaleSlope, data.RescaleIntercept = "1e300", "0"

    save(tmp_path, series(numbers(), change=rescale))
    with pytest.raises(InputError, match=r"IM1.dcm: its rescaled pixels are beyond all numbers"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda data: data.PerFrameFunctionalGroupsSequence.pop(), "IM1.dcm is damaged"),
        (lambda data: setattr(data, "PixelData", data.PixelData[:-2]), "IM1.dcm: it holds"),
        (lambda data: data.PerFrameFunctionalGroupsSequence[1].pop("PlanePositionSequence"), "IM1.dcm is damaged"),
    ],
)
def test_spoilt_multi_frame_files_are_refused(tmp_path: Path, spoil: Callable[[Dataset], object], words: str) -> None:
    data = multi_frame(numbers())
    spoil(data)
    save(tmp_path, [data])
    with pytest.raises(InputError, match=words):
        read(tmp_path)


def test_unknown_and_deflated_syntaxes_are_refused(tmp_path: Path) -> None:
    made = series(numbers())
    for data in made:
        data.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.201")  # HTJ2K
        data["PixelData"].VR = "OB"
        data.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
        data["PixelData"].is_undefined_length = True
    save(tmp_path / "a", made)
    with pytest.raises(InputError, match=r"IM1.dcm: its pixels are compressed in a way that can't be read"):
        read(tmp_path / "a")


def test_deflated_files_are_read(tmp_path: Path) -> None:
    """In a folder and in a zip, with a preamble and without."""
    image = numbers()
    paths = save(tmp_path / "anna", series(image, syntax=DeflatedExplicitVRLittleEndian))
    save(tmp_path / "plain", series(image))
    assert np.array_equal(read(tmp_path / "anna")[0], image)
    assert read(tmp_path / "anna")[1] == read(tmp_path / "plain")[1]
    with ZipFile(tmp_path / "anna.zip", "w") as archive:
        for path in paths:
            archive.write(path, path.name)
    assert np.array_equal(read(tmp_path / "anna.zip")[0], image)
    for path in paths:
        path.write_bytes(path.read_bytes()[132:])
    assert np.array_equal(read(tmp_path / "anna")[0], image)


def test_deflated_files_that_are_damaged_or_cut_short_are_refused(tmp_path: Path) -> None:
    paths = save(tmp_path / "anna", series(numbers((5, 40, 50)), syntax=DeflatedExplicitVRLittleEndian))
    whole = paths[2].read_bytes()
    for content in (whole[:-400], whole[:-400] + bytes(400), whole[:600]):
        paths[2].write_bytes(content)
        with pytest.raises(InputError, match=r"IM3.dcm.*(damaged|cut short)"):
            find_and_read(tmp_path / "anna")


def test_a_deflated_file_is_not_inflated_beyond_any_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor further than its header, where no more is looked for."""
    monkeypatch.setattr(dicom_elements, "MAX_INFLATED_BYTES", 1 << 26)
    _, path, _ = save(tmp_path / "anna", series(numbers((3, 6, 7)), syntax=DeflatedExplicitVRLittleEndian))
    whole = path.read_bytes()
    begin = 144 + int.from_bytes(whole[140:144], "little")  # behind the meta information, whose length stands in it
    plain = zlib.decompress(whole[begin:], -zlib.MAX_WBITS)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    header = plain[: plain.index(b"\xe0\x7f\x10\0")] + b"\xe0\x7f\x10\0OW\0\0" + (1 << 28).to_bytes(4, "little")
    packed = [packer.compress(part) for part in [header, *[bytes(1 << 20)] * 256]] + [packer.flush()]
    path.write_bytes(whole[:begin] + b"".join(packed))
    tracemalloc.start()
    (found,) = find_series(tmp_path / "anna")
    assert tracemalloc.get_traced_memory()[1] < 1 << 26
    with pytest.raises(InputError, match=r"IM2.dcm: the file inflates to more than any DICOM image takes"):
        read_series(found)
    assert tracemalloc.get_traced_memory()[1] < 1 << 28
    tracemalloc.stop()


def find_and_read(folder: Path) -> None:
    for one in find_series(folder):
        read_series(one)


def test_a_file_that_changed_since_it_was_found_is_refused(tmp_path: Path) -> None:
    image = numbers()
    save(tmp_path, series(image))
    (found,) = find_series(tmp_path)
    read_series(found)
    save(tmp_path, series(image, geometry=replace(grid_of(image.shape), origin_mm=(0.0, 0.0, 0.0))))
    with pytest.raises(InputError, match=r"IM1.dcm: the file has changed since it was looked at"):
        read_series(found)
    (tmp_path / "IM1.dcm").unlink()
    with pytest.raises(InputError, match=r"case anna.*IM1.dcm: the file is damaged or can't be read"):
        read_series(found, "anna")


def test_files_without_a_preamble_are_read(tmp_path: Path) -> None:
    image = numbers()
    for path in save(tmp_path, series(image, syntax=ImplicitVRLittleEndian)):
        content = path.read_bytes()
        at = content.index(b"\x08\x00\x16\x00")  # the SOP class comes first
        path.write_bytes(content[at:])
    assert np.array_equal(read(tmp_path)[0], image)


def test_helper_makes_what_it_says() -> None:
    assert dataset(numbers()[0]).PixelData == numbers()[0].astype("<u2").tobytes()
