"""NIfTI files of one piece: header, voxels (read in one pass that also checks length and gzip checksum), writing.

ITK fills what is missing at the end of a NIfTI file with whatever lies in memory, without a word. It therefore reads
the header alone (its view of origin and direction is the one that counts).
"""

from __future__ import annotations

import gzip
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vmseg_auto.data.images.format import EXPORT_AGAIN, FURTHEST_MM, NO_SIDES, Header
from vmseg_auto.data.images.itk import HeaderNotes, ItkFormat
from vmseg_auto.data.images.packed import DAMAGED, damaged, file_bytes, unpacked
from vmseg_auto.data.images.text_header import (
    SAME_SIZE,
    SELF_CONTAINED,
    are_sizes,
    in_words,
    require_one_size,
    unfit,
)
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry, NiftiForms

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
    """Return the header at the start of a NIfTI-1 or NIfTI-2 file, unpacked; None where there is none."""
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


class Nifti(ItkFormat):
    """Keeps voxel size, origin and direction in single precision; a mask states them as its scan does (Geometry.forms:
    qform, sform and their codes).
    """

    name = "NIfTI"
    endings = (".nii.gz", ".nii")
    uncompressed = (".nii",)
    reader = "NiftiImageIO"

    def check(self, head: bytes, size: int) -> HeaderNotes:
        header = parse_header(unpacked(head, HEADER_BYTES, whole=False))
        if header is None:
            return HeaderNotes(spacing=True)  # ITK says that it is none
        if not header.in_one_file:
            raise unfit("its voxels lie in another file (a header of two files, or of ANALYZE)", SELF_CONTAINED)
        for name, code, numbers in zip(("qform", "sform"), header.codes, (header.qform[:3], header.sform), strict=True):
            if code > 0 and not all(abs(number) <= FURTHEST_MM for number in numbers):
                raise unfit(f"the matrix of its voxels' places ({name}) holds {in_words(numbers)}", EXPORT_AGAIN)
        if header.units & 7 not in (0, 2):
            unit = {1: "m", 3: "micrometres"}.get(header.units & 7, f"unknown (code {header.units & 7})")
            raise unfit(f"its unit of length is {unit}, not mm")
        if header.codes[0] > 0 and sum(part * part for part in header.qform[:3]) > 1 + SAME_SIZE:
            raise unfit(f"its qform holds no rotation ({in_words(header.qform[:3])})")
        stated = header.pixdim[1:4]
        told = are_sizes(stated)
        qform, sform = form_matrices(header)
        if sform is not None:
            require_one_size(stated, np.linalg.norm(sform[:, :3], axis=0).tolist(), ("pixdim", "sform"))
        doubts = []
        if qform is None and sform is None:
            doubts.append(f"{NO_SIDES} (qform and sform have code 0), nor does the mask")
        if told and qform is not None and sform is not None and _apart(qform, sform, min(stated)):
            doubts.append("qform and sform place the scan differently; the mask holds both as the scan does")
        return HeaderNotes(told, header.forms, tuple(doubts))

    def read_header(self, path: Path) -> Header:
        ending = next(ending for ending in self.endings if path.name.lower().endswith(ending))
        if (own := path.name[-len(ending) :]) not in (ending, ending.upper()):  # ITK reads no such file
            problem = f"its name ends with {own}, which can't be read"
            raise InputError(problem, remedy=f"Rename it, so that it ends with {ending}.")
        return super().read_header(path)

    def read_voxels(self, path: Path, header: Header) -> NDArray[Any]:
        packed = file_bytes(path)
        stated = parse_header(unpacked(packed, HEADER_BYTES, whole=False))
        if stated is None:  # it was whole a moment ago
            raise damaged()
        if stated.datatype not in _TYPES:
            problem = f"the NIfTI data type {stated.datatype} can't be read"
            raise InputError(problem, remedy="Save it as float32 or int16.")
        if not stated.size < stated.start <= _MOST_BEFORE:
            raise InputError(f"its first voxel stands at byte {stated.start:g}", remedy=DAMAGED)
        kind = np.dtype(stated.order + _TYPES[stated.datatype])
        count = int(np.prod(header.shape))
        end = int(stated.start) + count * kind.itemsize
        data = unpacked(packed, end + _MOST_BEFORE)
        if len(data) < end:
            raise damaged(f"{end - len(data)} bytes are missing")
        voxels: NDArray[Any] = np.frombuffer(data, kind, count, int(stated.start)).reshape(header.shape)
        slope, intercept = stated.slope, stated.intercept
        if slope != 0 and np.isfinite([slope, intercept]).all() and (slope, intercept) != (1, 0):
            with np.errstate(over="ignore", invalid="ignore"):
                return voxels * float(slope) + float(intercept)
        return voxels

    def write(self, path: Path, voxels: NDArray[Any], geometry: Geometry) -> None:
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
    """Return what qform and sform make of voxel (i, j, k): matrices [3, 4] to world (x, y, z) in NIfTI's axes.

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
    """Return both forms as the grid has it, as in a scanner's own coordinates."""
    axes = _LPS_TO_RAS @ np.reshape(geometry.direction, (3, 3))
    mirrored = -1.0 if np.linalg.det(axes) < 0 else 1.0
    b, c, d, a = Rotation.from_matrix(axes * [1, 1, mirrored]).as_quat()
    sign = -1.0 if a < 0 else 1.0
    matrix = _LPS_TO_RAS @ geometry.affine[:3]
    return NiftiForms((1, 1), mirrored, (sign * b, sign * c, sign * d, *matrix[:, 3]), tuple(matrix.ravel()), 2)


def _apart(one: NDArray[np.float64], other: NDArray[np.float64], edge: float) -> bool:
    return not np.allclose(one, other, rtol=0, atol=0.1 * edge)
