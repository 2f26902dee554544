"""How much disk preparing and predicting will take, found out before they begin."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from vmseg_auto.data.dataset import Case
from vmseg_auto.data.decode_cache import Spill
from vmseg_auto.data.preprocessed import PreparedFolder
from vmseg_auto.data.scans import scan_grid
from vmseg_auto.planning.fingerprint import CaseSummary, Fingerprint
from vmseg_auto.planning.plan import Plan
from vmseg_auto.utils.disk import require_space
from vmseg_auto.utils.errors import InputError

PACKED = 1 / 20
"""What compression leaves of a byte of a mask or of eight-bit probabilities: most voxels are background."""


def require_preparing_space(fingerprint: Fingerprint, plan: Plan, folder: PreparedFolder, spill: Spill) -> None:
    """Raises VmsegError where the cases to be prepared won't fit; what is spilled goes as they come."""
    cases = [case for name, case in fingerprint.cases.items() if not folder.holds(name, case.content)]
    needed = sum(prepared_bytes(case, plan, len(fingerprint.channels)) for case in cases)
    require_space(folder.folder, needed, f"preparing {len(cases)} cases", coming=spill.size)


def require_prediction_space(cases: Sequence[Case], output: Path, masks: int, maps: int) -> None:
    """Raises VmsegError where so many masks of each scan won't fit, and so many maps of four bytes a voxel beside them;
    of scans that can't be read it is told later.
    """
    needed = 0.0
    for voxels, path in _sizes(cases):
        needed += masks * voxels * (1 if path.name.lower().endswith(".nii") else PACKED)
        needed += voxels * 4 * maps
    require_space(output, needed, f"predicting {len(cases)} scans")


def prepared_bytes(case: CaseSummary, plan: Plan, channels: int) -> float:
    """Of a prepared case: float32 a channel and a byte for the label, on the plan's grid."""
    voxels = math.prod(case.cropped_shape)
    spacing = [case.spacing_mm[axis] for axis in plan.axes]
    scaled = voxels * math.prod(have / want for have, want in zip(spacing, plan.spacing_mm, strict=True))
    return scaled * (4 * channels + 1)


def _sizes(cases: Iterable[Case]) -> Iterable[tuple[int, Path]]:
    for case in cases:
        try:
            yield math.prod(scan_grid(case.images[0]).shape), case.file
        except InputError:
            continue
