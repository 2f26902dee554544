"""Images keep their voxels and their grid, and bad files are refused in words."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from raw_dataset import GRID, VOLUMES, tiny_image, tiny_mask

from vmseg_auto.data.images.images import from_sitk, read_image, read_mask, write_image, write_mask
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry


@pytest.mark.parametrize("ending", VOLUMES)
def test_an_image_keeps_voxels_and_grid(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"case.1{ending}"
    write_image(path, tiny_image(), GRID)
    image, geometry = read_image(path)
    np.testing.assert_array_equal(image, tiny_image())
    assert not geometry.differences(GRID)
    assert image.dtype == np.float32
    assert image.flags.writeable
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
def test_every_plain_pixel_type_is_read(tmp_path: Path, ending: str, kind: str) -> None:
    array = np.arange(60).reshape(3, 4, 5).astype(kind)
    path = tmp_path / f"case{ending}"
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    np.testing.assert_array_equal(read_image(path)[0], array)
    np.testing.assert_array_equal(read_mask(path)[0], array)


def nifti(path: Path, slope: float = 1, intercept: float = 0, big_endian: bool = False) -> Path:
    """An int16 NIfTI-1 file of 2 x 3 x 4 voxels 0 ... 23, made by hand."""
    order = ">" if big_endian else "<"
    header = bytearray(352)
    struct.pack_into(order + "i", header, 0, 348)
    struct.pack_into(order + "8h", header, 40, 3, 4, 3, 2, 1, 1, 1, 1)
    struct.pack_into(order + "hh", header, 70, 4, 16)
    struct.pack_into(order + "8f", header, 76, 1, 0.5, 0.75, 2, 1, 1, 1, 1)
    struct.pack_into(order + "3f", header, 108, 352, slope, intercept)
    struct.pack_into(order + "2h", header, 252, 1, 0)
    header[344:348] = b"n+1\0"
    path.write_bytes(bytes(header) + np.arange(24, dtype=order + "i2").tobytes())
    return path


@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (0, 0), (0.5, -3), (1, 10)])
@pytest.mark.parametrize("big_endian", [False, True])
def test_nifti_voxels_are_those_that_itk_reads(
    tmp_path: Path, slope: float, intercept: float, big_endian: bool
) -> None:
    path = nifti(tmp_path / "case.nii", slope, intercept, big_endian)
    image, geometry = read_image(path)
    np.testing.assert_array_equal(image, sitk.GetArrayFromImage(sitk.ReadImage(str(path), sitk.sitkFloat32)))
    assert geometry.shape == (2, 3, 4)
    assert geometry.spacing_mm == (2, 0.75, 0.5)


def test_a_file_need_not_be_packed_though_its_name_says_so(tmp_path: Path) -> None:
    path = tmp_path / "case.nii.gz"
    path.write_bytes(nifti(tmp_path / "plain.nii").read_bytes())
    np.testing.assert_array_equal(read_image(path)[0].ravel(), np.arange(24))


def refused(path: Path, words: str) -> None:
    for read in (read_image, read_mask):
        with pytest.raises(InputError, match=words) as caught:
            read(path, "case_7")
        assert caught.value.case == "case_7"
        assert caught.value.file == path
        assert caught.value.remedy


@pytest.mark.parametrize("ending", VOLUMES)
@pytest.mark.parametrize("share", [0.6, 0.97])
def test_a_file_cut_short_is_refused(tmp_path: Path, ending: str, share: float) -> None:
    path = tmp_path / f"case{ending}"
    write_image(path, tiny_image(), GRID)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    refused(path, "damaged or cut short")


def test_a_flipped_bit_in_a_packed_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "case.nii.gz"
    write_image(path, tiny_image(), GRID)
    data = bytearray(path.read_bytes())
    data[-6] ^= 1
    path.write_bytes(data)
    refused(path, "damaged or cut short")


@pytest.mark.parametrize("ending", VOLUMES)
@pytest.mark.parametrize("data", [b"", b"hello, this is no image at all"])
def test_a_file_that_is_no_image_is_refused(tmp_path: Path, ending: str, data: bytes) -> None:
    path = tmp_path / f"case{ending}"
    path.write_bytes(data)
    refused(path, "no image that can be read")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "case.nii.gz", "does not exist")


@pytest.mark.parametrize(("shape", "words"), [((8, 9), r"2-D \(9 x 8\)"), ((2, 3, 4, 5), r"4-D \(5 x 4 x 3 x 2\)")])
def test_flat_and_four_dimensional_files_are_refused(tmp_path: Path, shape: tuple[int, ...], words: str) -> None:
    path = tmp_path / "case.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(np.ones(shape, dtype=np.float32), isVector=False), str(path))
    refused(path, words)


@pytest.mark.parametrize(("pixel", "name"), [(sitk.sitkVectorUInt8, "vector of"), (sitk.sitkComplexFloat32, "complex")])
@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
def test_colour_and_complex_files_are_refused(tmp_path: Path, pixel: int, name: str, ending: str) -> None:
    path = tmp_path / f"case{ending}"
    sitk.WriteImage(sitk.Image([4, 4, 4], pixel), str(path))
    refused(path, f"more than one number.*{name}")


def test_a_sheared_nifti_is_refused(tmp_path: Path) -> None:
    path = nifti(tmp_path / "case.nii")
    data = bytearray(path.read_bytes())
    struct.pack_into("<2h", data, 252, 0, 1)
    struct.pack_into("<12f", data, 280, 0.5, 0.2, 0, 0, 0, 0.75, 0, 0, 0, 0, 2, 0)
    path.write_bytes(data)
    refused(path, "sheared")


@pytest.mark.parametrize("ending", [".mha", ".nrrd"])
def test_a_sheared_image_of_another_format_is_refused(tmp_path: Path, ending: str) -> None:
    image = sitk.GetImageFromArray(tiny_mask())
    image.SetDirection((1, 0.3, 0, 0, 1, 0, 0, 0, 1))
    sitk.WriteImage(image, str(tmp_path / f"case{ending}"))
    refused(tmp_path / f"case{ending}", "sheared")


@pytest.mark.parametrize("ending", VOLUMES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2e12, -2e12])
def test_voxels_that_are_no_numbers_are_refused(tmp_path: Path, ending: str, value: float) -> None:
    image = tiny_image()
    image[3, 4, 5:7] = value
    path = tmp_path / f"case{ending}"
    write_image(path, image, GRID)
    refused(path, r"2 voxels are NaN, infinite or beyond 1e\+12")


@pytest.mark.parametrize("voxels", [np.full((3, 4, 5), 1e300), np.full((3, 4, 5), 2**62)])
def test_numbers_too_large_for_float32_are_refused(tmp_path: Path, voxels: np.ndarray) -> None:
    path = tmp_path / "case.mha"
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(path))
    refused(path, r"60 voxels are NaN, infinite or beyond 1e\+12|mask holds (1e\+300|4\.61)")


@pytest.mark.parametrize(("value", "shown"), [(0.5, "0.5"), (-1, "-1"), (256, "256"), (-0.001, "-0.001")])
def test_odd_mask_values_are_refused(tmp_path: Path, value: float, shown: str) -> None:
    mask = tiny_mask().astype(np.float32)
    mask[0, 0, 0] = value
    path = tmp_path / "case.nii.gz"
    write_image(path, mask, GRID)
    with pytest.raises(InputError, match=f"holds {shown}, but labels are whole numbers from 0 to 255"):
        read_mask(path)


def test_integers_beyond_a_byte_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "case.nii.gz"
    values = np.arange(-3, 297, dtype=np.int16).reshape(3, 10, 10)
    values[(values > 1) & (values < 256)] = 1
    sitk.WriteImage(sitk.GetImageFromArray(values), str(path))
    with pytest.raises(InputError, match=r"holds -3, -2, -1, 256, 257, \.\.\., but"):
        read_mask(path)


def test_an_unknown_ending_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be written with this ending"):
        write_mask(tmp_path / "case.bmp", tiny_mask(), GRID)
    with pytest.raises(ValueError, match="for a grid of"):
        write_mask(tmp_path / "case.nii", tiny_mask(), Geometry((1, 2, 3), (1, 1, 1)))
    assert not list(tmp_path.iterdir())


def test_a_simpleitk_image_brings_its_grid(tmp_path: Path) -> None:
    write_image(tmp_path / "case.mha", tiny_image(), GRID)
    array, geometry = from_sitk(sitk.ReadImage(str(tmp_path / "case.mha")))
    np.testing.assert_array_equal(array, tiny_image())
    assert geometry == GRID
    with pytest.raises(InputError, match="2-D"):
        from_sitk(sitk.Image([4, 4], sitk.sitkUInt8))
    with pytest.raises(InputError, match="NaN"):
        from_sitk(sitk.GetImageFromArray(np.full((2, 2, 2), np.nan)))


def test_itks_warnings_stay_as_the_caller_has_them(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = nifti(tmp_path / "case.nii")
    data = bytearray(path.read_bytes())
    struct.pack_into("<2h", data, 252, 1, 1)
    struct.pack_into("<12f", data, 280, 0, 0.75, 0, 0, 0.5, 0, 0, 0, 0, 0, 2, 0)
    path.write_bytes(data)
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    read_image(path)
    assert sitk.ProcessObject.GetGlobalWarningDisplay() == before
    assert capfd.readouterr().err == ""


SFORM = ("h24x12f", 254)
"""Code and matrix."""


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        (("f", 108), float("inf"), "first voxel stands at byte inf"),
        (("f", 108), float("nan"), "first voxel stands at byte nan"),
        (("f", 108), -20.0, "first voxel stands at byte -20"),
        (("f", 108), 1e9, "first voxel stands at byte 1e"),
        (("3h", 42), (32767, 32767, 32767), "and up to 536,870,912 can be used"),
        (("3h", 42), (1000, 1000, 100), "can't hold 100,000,000 voxels"),
        (("f", 80), 1e30, "voxel size"),
        (("f", 268), 1e30, "first voxel lies at"),
        (
            SFORM,
            (1, 1, 0, 0, 0, 0, 1, 0, 0, 2.0**31, 0, 2, float("inf")),
            r"sform\) holds .* 0, 2, inf",
        ),  # ITK: for ever
        (SFORM, (1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, float("nan"), 0), r"sform\) holds 1, .* nan, 0\."),
    ],
)
def test_extreme_nifti_headers_are_refused(tmp_path: Path, field: tuple[str, int], value: object, words: str) -> None:
    data = bytearray(nifti(tmp_path / "case.nii").read_bytes())
    form, at = field
    struct.pack_into(f"<{form}", data, at, *(value if isinstance(value, tuple) else (value,)))
    for name in ("case.nii", "case.nii.gz"):
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
        refused(tmp_path / name, words)


def test_an_image_without_voxels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "case.mha"
    write_image(path, tiny_image(), GRID)
    head, _, voxels = path.read_bytes().partition(b"ElementDataFile")
    lines = [b"DimSize = 5 0 4" if line.startswith(b"DimSize") else line for line in head.split(b"\n")]
    path.write_bytes(b"\n".join(lines) + b"ElementDataFile" + voxels)
    refused(path, "the header says 5 x 0 x 4 voxels")


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "case.nii.gz"
    path.write_bytes(gzip.compress(nifti(tmp_path / "case.nii").read_bytes() + bytes(50_000_000), 1))
    refused(path, "far more bytes than its header says")


def test_a_file_packed_in_pieces_is_read(tmp_path: Path) -> None:
    path, data = tmp_path / "case.nii.gz", nifti(tmp_path / "case.nii").read_bytes()
    path.write_bytes(gzip.compress(data[:360]) + gzip.compress(data[360:]) + bytes(10))
    np.testing.assert_array_equal(read_image(path)[0].ravel(), np.arange(24))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"NDims = 3", b"NDims = 255", "'255' dimensions"),
        (b"NDims = 3", b"NDims = 9223372036854775807", "dimensions"),
        (b"NDims = 3", b"NDims = -32768", "dimensions"),
        (b"ElementDataFile = LOCAL", b"ElementDataFile = /etc/passwd", r"lie in another file \(/etc/passwd\)"),
        (b"ElementDataFile = LOCAL", b"ElementDataFile = LIST", "lie in another file"),
        (b"ElementDataFile = LOCAL", b"x", "its header has no end"),
        (b"ObjectType = Image", b"Comment = " + b"A" * 100_000, "its header has no end"),
        (b"ElementSpacing = 0.", b"ElementSpacing = 9999999.", "voxel size"),
        (b"TransformMatrix = 1", b"TransformMatrix = 1e300", "sheared"),
        (b"DimSize = 10 9 6", b"DimSize = 100000 100000 6", "can be used"),
        (b"DimSize = 10 9 6", b"DimSize = 1000 1000 6", "can't hold 6,000,000 voxels"),
    ],
)
def test_metaimage_headers_that_itk_does_not_survive_are_refused(
    tmp_path: Path, old: bytes, new: bytes, words: str
) -> None:
    path = tmp_path / "case.mha"
    write_image(path, tiny_image(), GRID)
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    refused(path, words)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"dimension: 3", b"dimension: 99", "'99' dimensions"),
        (b"encoding: gzip", b"encoding: raw\ndata file: /etc/passwd", r"lie in another file \(/etc/passwd\)"),
        (b"encoding: gzip", b"encoding: raw\ndatafile: LIST", "lie in another file"),
        (b"encoding: gzip", b"content: " + b"A" * 10_000, "its header has no end"),
        (b"sizes: 10 9 6", b"sizes: 100000 100000 6", "can be used"),
    ],
)
def test_nrrd_headers_that_lead_elsewhere_are_refused(tmp_path: Path, old: bytes, new: bytes, words: str) -> None:
    path = tmp_path / "case.nrrd"
    write_image(path, tiny_image(), GRID)
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    refused(path, words)


def test_another_format_under_a_known_ending_is_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "case.nrrd", tiny_image(), GRID)
    for ending in (".mha", ".nii", ".nii.gz"):
        (tmp_path / f"case{ending}").write_bytes((tmp_path / "case.nrrd").read_bytes())
        refused(tmp_path / f"case{ending}", "no image that can be read|has no end")


def scan_with_forms(path: Path, codes: tuple[int, int], pixdim: tuple[float, float, float] = (0.5, 0.75, 2)) -> Path:
    """A scan whose sform turns it by 90 degrees and moves it, where the qform does not."""
    data = bytearray(nifti(path).read_bytes())
    struct.pack_into("<3f", data, 80, *pixdim)
    struct.pack_into("<2h", data, 252, *codes)
    struct.pack_into("<12f", data, 280, 0, -0.75, 0, 30, 0.5, 0, 0, -10, 0, 0, 2, 5)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("codes", [(1, 2), (1, 0), (0, 2), (0, 0)])
def test_a_mask_carries_the_scans_own_forms(tmp_path: Path, codes: tuple[int, int]) -> None:
    scan = scan_with_forms(tmp_path / "scan.nii", codes)
    image, geometry = read_image(scan)
    write_mask(tmp_path / "mask.nii", np.zeros(image.shape, np.uint8), geometry)
    assert (tmp_path / "mask.nii").read_bytes()[252:328] == scan.read_bytes()[252:328]
    assert bool(geometry.doubts) == (codes in ((1, 2), (0, 0)))


@pytest.mark.parametrize(
    ("pixdim", "codes", "words"),
    [
        ((1, 1, 1), (0, 1), "two voxel sizes"),
        ((0.5, 0.75, 0), (0, 1), "two"),
        ((0.5, 0.75, 0), (1, 0), "no voxel size"),
    ],
)
def test_a_header_without_one_voxel_size_is_refused(
    tmp_path: Path, pixdim: tuple[float, float, float], codes: tuple[int, int], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        read_image(scan_with_forms(tmp_path / "scan.nii", codes, pixdim))


def test_a_voxel_size_is_taken_from_the_user_where_the_file_tells_none(tmp_path: Path) -> None:
    head = b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n\n"
    (tmp_path / "a.nrrd").write_bytes(head + bytes(8))
    with pytest.raises(InputError, match="no voxel size"):
        read_image(tmp_path / "a.nrrd")
    assert read_image(tmp_path / "a.nrrd", spacing_mm=(3, 1.5, 1))[1].spacing_mm == (3, 1.5, 1)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("a.mha", b"NDims = 3\nElementDataFile : OTHER\nElementDataFile = LOCAL\n"),
        ("a.nrrd", b"NRRD0004\ndimension: 3\nencoding: raw\ncontent: x\rdata file: OTHER\n\n"),
    ],
)
def test_a_header_may_not_name_another_file_in_any_spelling(tmp_path: Path, name: str, head: bytes) -> None:
    (tmp_path / name).write_bytes(head + bytes(100))
    with pytest.raises(InputError, match="holds what no such header does"):
        read_image(tmp_path / name)
