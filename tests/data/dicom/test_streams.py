from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicom import PLAIN, numbers
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydicom import dcmread
from pydicom.encaps import generate_frames
from pydicom.pixels.encoders import RLELosslessEncoder

from vmseg_auto.data.dicom.decoder import decode
from vmseg_auto.data.dicom.pixels import lone_image, stored_numbers
from vmseg_auto.data.dicom.series import PixelFormat
from vmseg_auto.data.dicom.streams import check_j2k, check_jpeg, rle_decoded

SHAPE = (40, 50)


@given(arrays(np.uint16, (5, 9), elements=st.sampled_from([0, 1, 2, 256, 65535])))
def test_rle_is_what_pydicom_encodes(image: np.ndarray) -> None:
    stream = RLELosslessEncoder.encode(
        image, rows=5, columns=9, samples_per_pixel=1, photometric_interpretation="MONOCHROME2",
        bits_allocated=16, bits_stored=16, pixel_representation=0, number_of_frames=1,
    )  # fmt: skip
    assert np.array_equal(rle_decoded(stream, (5, 9), 2).view("<u2").reshape(5, 9), image)


@given(cut=st.integers(0, 99), at=st.integers(0, 99), value=st.integers(0, 255))
def test_damaged_rle_is_refused_or_gives_as_many_numbers(cut: int, at: int, value: int) -> None:
    stream = bytearray(_header(64, 80) + bytes([255, 7] * 8) + bytes([15, *range(16)]) + b"\x80")
    for changed in (stream[:cut], stream[:at] + bytes([value]) + stream[at + 1 :]):
        with suppress(ValueError):
            assert rle_decoded(bytes(changed), (4, 4), 2).shape == (32,)


def test_rle_longer_than_its_image_is_refused_before_it_is_decoded() -> None:
    bomb = _header(64, 66) + bytes([255, 7]) + bytes([129, 0]) * 1000
    with pytest.raises(ValueError, match="RLE stream is damaged"):
        rle_decoded(bomb, (4, 4), 2)


def _header(*starts: int) -> bytes:
    return struct.pack("<16I", len(starts), *starts, *[0] * (15 - len(starts)))


@pytest.fixture(scope="module", params=["JPEG", "JPEG2000"])
def stream(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    """A kind of compression, and an image of SHAPE as GDCM compresses it."""
    return request.param, compressed(request.param, tmp_path_factory.mktemp("itk"))


def compressed(kind: str, folder: Path) -> bytes:
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetFileName(str(folder / "image.dcm"))
    writer.SetUseCompression(True)
    writer.SetCompressor(kind)
    writer.Execute(sitk.GetImageFromArray(numbers((1, *SHAPE)).astype(np.uint16)))
    return next(generate_frames(dcmread(folder / "image.dcm").PixelData, number_of_frames=1))


def checked(kind: str) -> Callable[[bytes, tuple[int, int]], None]:
    return check_jpeg if kind == "JPEG" else check_j2k


def test_sound_streams_pass(stream: tuple[str, bytes]) -> None:
    kind, data = stream
    checked(kind)(data, SHAPE)
    checked(kind)(data + b"\0", SHAPE)  # padded to an even length


def test_streams_of_another_size_are_refused(stream: tuple[str, bytes]) -> None:
    kind, data = stream
    with pytest.raises(ValueError, match=r"image is 50 x 40 pixels, but the header tells of 40 x 50"):
        checked(kind)(data, SHAPE[::-1])


def test_streams_cut_anywhere_are_refused(stream: tuple[str, bytes]) -> None:
    kind, data = stream
    for length in [*range(200), *range(200, len(data) - 2, 37), len(data) - 3]:
        with pytest.raises(ValueError, match=r"cut short|damaged"):
            checked(kind)(data[:length], SHAPE)


def test_streams_of_colour_and_of_many_tiles_are_refused(stream: tuple[str, bytes]) -> None:
    kind, data = stream
    changed = bytearray(data)
    if kind == "JPEG":
        changed[data.index(b"\xff\xc3") + 9] = 3
    else:
        changed[24:32] = struct.pack(">II", 1, 1)
    with pytest.raises(ValueError, match=r"greyscale|damaged"):
        checked(kind)(bytes(changed), SHAPE)


def test_what_crashes_the_decoder_ends_its_process_alone(tmp_path: Path) -> None:
    data = compressed("JPEG", tmp_path)
    crashes = bytearray(data)
    crashes[data.index(b"\xff\xc3") + 4] = 159  # bits a pixel
    with pytest.raises(ValueError, match="damaged, or no greyscale"):
        check_jpeg(bytes(crashes), SHAPE)
    pixels = PixelFormat(16, 16, False, False, "1.2.840.10008.1.2.4.70")
    for number, image in enumerate((data, bytes(crashes), data)):
        (tmp_path / f"{number}.dcm").write_bytes(lone_image(image, SHAPE, pixels))
    decode(tmp_path, 3)
    assert np.array_equal(np.load(tmp_path / "0.npy")[0], numbers((1, *SHAPE))[0])
    assert not (tmp_path / "1.npy").exists()
    done = subprocess.run(
        [sys.executable, "-m", "vmseg_auto.data.dicom.decoder", str(tmp_path), "2"], capture_output=True
    )
    assert done.returncode not in (0, 1)


def test_images_before_a_damaged_one_are_decoded(stream: tuple[str, bytes]) -> None:
    kind, data = stream
    syntax = {"JPEG": "1.2.840.10008.1.2.4.70", "JPEG2000": "1.2.840.10008.1.2.4.90"}[kind]
    pixels = PixelFormat(16, 16, False, PLAIN.rescaled, syntax)
    coming = stored_numbers([data, data, data[:-50]], SHAPE, pixels)
    assert np.array_equal(next(coming), numbers((1, *SHAPE))[0])
    assert np.array_equal(next(coming), numbers((1, *SHAPE))[0])
    with pytest.raises(ValueError, match=r"cut short|damaged"):
        next(coming)
