"""NIfTI files of one piece: header, voxels (read in one pass that also checks length and gzip checksum), writing."""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry, NiftiForms

DAMAGED = "Copy the file again from where it came from."
_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
"""NIfTI's data type codes in numpy's words."""
_FIELDS = {
    348: {
        "magic": ("4s", 344), "datatype": ("h", 70), "pixdim": ("8f", 76), "start": ("f", 108), "slope": ("f", 112),
        "intercept": ("f", 116), "units": ("b", 123), "codes": ("2h", 252), "qform": ("6f", 256), "sform": ("12f", 280),
    },
    540: {
        "magic": ("4s", 4), "datatype": ("h", 12), "pixdim": ("8d", 104), "start": ("q", 168), "slope": ("d", 176),
        "intercept": ("d", 184), "units": ("i", 500), "codes": ("2i", 344), "qform": ("6d", 352), "sform": ("12d", 400),
    },
}  # fmt: skip
"""Bytes of a NIfTI-1 and of a NIfTI-2 header -> format and place of each field."""
HEADER_BYTES = 540
_SINGLE_FILE = {348: b"n+1\0", 540: b"n+2\0"}
_MOST_BEFORE = 2**24
"""Bytes of extensions before the first voxel; as many are let pass behind the last."""
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
_COMPRESSION = 6


@dataclass(frozen=True)
class NiftiHeader:
    """What a NIfTI header tells, in its own units and axes.

    Args:
        order: "<" or ">", of its bytes.
        size: bytes of the header.
        in_one_file: whether the voxels lie in the same file.
        datatype, start, slope, intercept: of the voxels.
        pixdim: handedness, then the voxel size along (X, Y, Z).
        units: code of the unit of length.
        codes, qform, sform: as in NiftiForms.
    """

    order: str
    size: int
    in_one_file: bool
    datatype: int
    start: float
    slope: float
    intercept: float
    pixdim: tuple[float, ...]
    units: int
    codes: tuple[int, int]
    qform: tuple[float, ...]
    sform: tuple[float, ...]

    @property
    def forms(self) -> NiftiForms:
        return NiftiForms(self.codes, self.pixdim[0], self.qform, self.sform, self.units & 7)


def parse_header(header: bytes) -> NiftiHeader | None:
    """The header at the start of a NIfTI-1 or NIfTI-2 file, unpacked; None where there is none."""
    for order in "<>":
        size = struct.unpack_from(f"{order}i", header)[0] if len(header) >= 4 else 0
        if size not in _FIELDS or len(header) < size:
            continue
        found = {name: struct.unpack_from(order + form, header, at) for name, (form, at) in _FIELDS[size].items()}
        single = {name: found[name][0] for name in ("datatype", "start", "slope", "intercept", "units")}
        start = single.pop("start") or size + 4  # some programs leave it 0
        return NiftiHeader(
            order,
            size,
            found["magic"][0] == _SINGLE_FILE[size],
            pixdim=found["pixdim"][:4],
            codes=found["codes"],
            qform=found["qform"],
            sform=found["sform"],
            start=start,
            **single,
        )
    return None


def nifti_voxels(path: Path, geometry: Geometry, case: str | None) -> NDArray[Any]:
    """Voxels [Z, Y, X] of a NIfTI-1 or NIfTI-2 file whose header ITK has read; float64 where the file scales them.

    Raises:
        InputError: the file is damaged or cut short, or of a type that can't be read.
    """
    packed = file_bytes(path, case)
    header = parse_header(unpacked(packed, path, case, HEADER_BYTES, whole=False))
    if header is None:  # it was whole a moment ago
        raise InputError("the file is damaged or cut short", case=case, file=path, remedy=DAMAGED)
    if header.datatype not in _TYPES:
        problem = f"the NIfTI data type {header.datatype} can't be read"
        raise InputError(problem, case=case, file=path, remedy="Save it as float32 or int16.")
    if not header.size < header.start <= _MOST_BEFORE:
        raise InputError(f"its first voxel stands at byte {header.start:g}", case=case, file=path, remedy=DAMAGED)
    kind = np.dtype(header.order + _TYPES[header.datatype])
    count = int(np.prod(geometry.shape))
    end = int(header.start) + count * kind.itemsize
    data = unpacked(packed, path, case, end + _MOST_BEFORE)
    if len(data) < end:
        problem = f"the file is damaged or cut short ({end - len(data)} bytes are missing)"
        raise InputError(problem, case=case, file=path, remedy=DAMAGED)
    voxels: NDArray[Any] = np.frombuffer(data, kind, count, int(header.start)).reshape(geometry.shape)
    slope, intercept = header.slope, header.intercept
    if slope != 0 and np.isfinite([slope, intercept]).all() and (slope, intercept) != (1, 0):
        with np.errstate(over="ignore", invalid="ignore"):
            return voxels * float(slope) + float(intercept)
    return voxels


def write_nifti(path: Path, voxels: NDArray[Any], geometry: Geometry) -> None:
    """Write a NIfTI-1 file that states its grid as the scan's file does, where that was one (Geometry.forms).

    Args:
        path: ends with .nii or .nii.gz.
        voxels: uint8 or float32 [Z, Y, X].
        geometry: the grid, of the same shape.

    Raises:
        OSError: it can't be written.
    """
    forms = geometry.forms
    if forms is None or forms.placement != geometry.placement:
        forms = _plain_forms(geometry)
    code = next(code for code, name in _TYPES.items() if np.dtype(name) == voxels.dtype)
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *voxels.shape[::-1], 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, code, voxels.dtype.itemsize * 8)
    struct.pack_into("<8f", header, 76, forms.handedness, *geometry.spacing_mm[::-1], 0, 0, 0, 0)
    struct.pack_into("<3f", header, 108, 352, 1, 0)
    struct.pack_into("<b", header, 123, forms.units)
    struct.pack_into("<2h", header, 252, *forms.codes)
    struct.pack_into("<6f", header, 256, *forms.qform)
    struct.pack_into("<12f", header, 280, *forms.sform)
    header[344:348] = _SINGLE_FILE[348]
    with path.open("wb") as file:
        if not path.name.lower().endswith(".gz"):
            file.write(header)
            file.write(np.ascontiguousarray(voxels, voxels.dtype.newbyteorder("<")).data)
            return
        with gzip.GzipFile("", "wb", _COMPRESSION, file, mtime=0) as packed:  # same voxels, same bytes
            packed.write(header)
            packed.write(np.ascontiguousarray(voxels, voxels.dtype.newbyteorder("<")).data)


def form_matrices(header: NiftiHeader) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """What qform and sform make of voxel (i, j, k): matrices [3, 4] to world (x, y, z) in NIfTI's axes.

    None for a form of code 0 (NIfTI-1 standard, methods 2 and 3).
    """
    qform = sform = None
    if header.codes[0] > 0:
        b, c, d, *place = header.qform
        a = np.sqrt(max(0.0, 1 - b * b - c * c - d * d))
        mirrored = -1.0 if header.pixdim[0] < 0 else 1.0
        rotation = Rotation.from_quat([b, c, d, a]).as_matrix()
        with np.errstate(invalid="ignore", over="ignore"):  # a voxel size that is no number is told by the caller
            axes = rotation * np.array([*header.pixdim[1:3], mirrored * header.pixdim[3]])
        qform = np.column_stack([axes, place])
    if header.codes[1] > 0:
        sform = np.reshape(header.sform, (3, 4))
    return qform, sform


def _plain_forms(geometry: Geometry) -> NiftiForms:
    """Both forms as the grid has it, as in a scanner's own coordinates."""
    axes = _LPS_TO_RAS @ np.reshape(geometry.direction, (3, 3))
    place = _LPS_TO_RAS @ geometry.origin_mm
    mirrored = -1.0 if np.linalg.det(axes) < 0 else 1.0
    b, c, d, a = Rotation.from_matrix(axes * [1, 1, mirrored]).as_quat()
    sign = -1.0 if a < 0 else 1.0
    matrix = np.column_stack([axes * geometry.spacing_mm[::-1], place])
    return NiftiForms((1, 1), mirrored, (sign * b, sign * c, sign * d, *place), tuple(matrix.ravel()), 2)


def file_bytes(path: Path, case: str | None) -> bytes:
    """A file's bytes.

    Raises:
        InputError: they can't be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(error, case, path) from error


def unreadable(error: OSError, case: str | None, path: Path) -> InputError:
    """What is told of a file that the system does not give."""
    problem = f"the file can't be read ({error.strerror or error})"
    return InputError(problem, case=case, file=path, remedy="Check the name, the disk and the file's rights.")


def unpacked(packed: bytes, path: Path, case: str | None, most: int, whole: bool = True) -> bytes:
    """Bytes, gunzipped where they are packed.

    Args:
        path, case: for messages.
        most: bytes to give; where there are more, the file is refused, or cut if it need not be `whole`.
        whole: also check length and checksum.

    Raises:
        InputError: it is damaged, cut short or larger.
    """
    if packed[:2] != b"\x1f\x8b":
        found = packed if not whole else packed[: most + 1]
    else:
        try:
            found = _gunzipped(packed, most + 1, whole)
        except (EOFError, zlib.error) as error:
            problem = f"the file is damaged or cut short ({error})"
            raise InputError(problem, case=case, file=path, remedy=DAMAGED) from error
    if whole and len(found) > most:
        raise InputError("it holds far more bytes than its header says", case=case, file=path, remedy=DAMAGED)
    return found


def _gunzipped(packed: bytes, most: int, whole: bool) -> bytes:
    """At most so many bytes: a small file may unpack to more than any memory holds."""
    parts: list[bytes] = []
    while packed and most > 0:
        stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        parts.append(stream.decompress(packed, most))
        most -= len(parts[-1])
        if whole and most > 0 and not stream.eof:
            raise EOFError("the end is missing")
        packed = stream.unused_data.lstrip(b"\0")  # files may be packed in several pieces, and padded
    return parts[0] if len(parts) == 1 else b"".join(parts)
