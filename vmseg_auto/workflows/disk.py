"""How much disk preprocessing and predicting will take, found out before they begin."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from vmseg_auto.data.dataset import Case
from vmseg_auto.data.decode_cache import DecodeCache
from vmseg_auto.data.images.registry import packs
from vmseg_auto.data.preprocessed import PreprocessedFolder
from vmseg_auto.data.scans import scan_grid
from vmseg_auto.planning.fingerprint import CaseSummary, Fingerprint
from vmseg_auto.planning.plan import Plan
from vmseg_auto.utils.disk import require_space
from vmseg_auto.utils.errors import InputError

PACKED = 1 / 20
"""What compression leaves of a byte of a mask or of eight-bit probabilities: most voxels are background."""

PICTURES = 50 * 10**6
"""Bytes of a scan's DICOM Secondary Capture, at most."""


def require_preprocessing_space(
    fingerprint: Fingerprint, plan: Plan, folder: PreprocessedFolder, decode_cache: DecodeCache
) -> None:
    """Raise VmsegError where the cases to be preprocessed won't fit; what is cached goes as they come."""
    cases = [case for name, case in fingerprint.cases.items() if not folder.holds(name, case.content)]
    needed = sum(preprocessed_bytes(case, plan, len(fingerprint.channels)) for case in cases)
    require_space(folder.folder, needed, f"preprocessing {len(cases)} cases", coming=decode_cache.size)


def require_prediction_space(
    cases: Sequence[Case], output: Path, masks: int, maps: int, pictures: bool = False
) -> None:
    """Raise VmsegError where so many masks of each scan won't fit, and so many maps of four bytes a voxel and pictures
    beside them; of scans that can't be read it is told later.
    """
    needed = 0.0
    for voxels, path in _sizes(cases):
        needed += masks * voxels * (PACKED if packs(path.name) else 1)
        needed += voxels * 4 * maps + pictures * PICTURES
    require_space(output, needed, f"predicting {len(cases)} scans")


def preprocessed_bytes(case: CaseSummary, plan: Plan, channels: int) -> float:
    """Return the bytes of a preprocessed case: float32 a channel and a byte for the label, on the plan's grid."""
    voxels = math.prod(case.cropped_shape)
    z, y, x = (case.spacing_mm[axis] for axis in plan.axes)
    scaled = voxels * z * y * x / math.prod(plan.target_spacing((z, y, x)))
    return scaled * (4 * channels + 1)


def _sizes(cases: Iterable[Case]) -> Iterable[tuple[int, Path]]:
    for case in cases:
        try:
            yield math.prod(scan_grid(case.images[0]).shape), case.file
        except InputError:
            continue
