"""A volume as a NIfTI-1 file in memory."""

from __future__ import annotations

import gzip
import struct

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.utils.geometry import Geometry

_UNSIGNED_8_BITS, _MM, _SCANNER = 2, 2, 1


def nifti_gz(voxels: NDArray[np.uint8], geometry: Geometry) -> bytes:
    """Return the bytes of a .nii.gz file; the same voxels give the same bytes.

    Args:
        voxels: uint8 (Z, Y, X).
        geometry: of the same shape. NIfTI's world points to the right and the front where ITK's does to the left and
            the back.
    """
    z, y, x = voxels.shape
    dz, dy, dx = geometry.spacing_mm
    affine = geometry.affine[:3]
    affine[:2] *= -1
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, x, y, z, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, _UNSIGNED_8_BITS, 8)
    struct.pack_into("<8f", header, 76, 1, dx, dy, dz, 0, 0, 0, 0)
    struct.pack_into("<3f", header, 108, 352, 1, 0)
    header[123] = _MM
    struct.pack_into("<2h", header, 252, 0, _SCANNER)
    struct.pack_into("<12f", header, 280, *affine.ravel())
    header[344:348] = b"n+1\0"
    return gzip.compress(bytes(header) + np.ascontiguousarray(voxels, dtype=np.uint8).tobytes(), mtime=0)
