"""How much disk a command will take, found out before it begins."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from vmseg_auto.core.dataset import Case
from vmseg_auto.core.errors import InputError
from vmseg_auto.core.fingerprint import CaseSummary, Fingerprint
from vmseg_auto.core.fold_record import FoldRecord
from vmseg_auto.core.plan import Plan
from vmseg_auto.core.recipe import Recipe
from vmseg_auto.core.runs import FoldFolder
from vmseg_auto.io.prepared import PreparedFolder
from vmseg_auto.io.scans import scan_grid
from vmseg_auto.io.space import require_space
from vmseg_auto.io.spill import Spill
from vmseg_auto.ops.network import build_network
from vmseg_auto.pipeline.job import Job

_PACKED = 1 / 20
"""What compression leaves of a byte of a mask or of eight-bit probabilities: most voxels are background."""


def require_preparing_space(fingerprint: Fingerprint, plan: Plan, folder: PreparedFolder, spill: Spill) -> None:
    """Raises VmsegError where the cases to be prepared won't fit; what is spilled goes as they come."""
    cases = [case for name, case in fingerprint.cases.items() if not folder.holds(name, case.content)]
    needed = sum(prepared_bytes(case, plan, len(fingerprint.channels)) for case in cases)
    require_space(folder.folder, needed, f"preparing {len(cases)} cases", coming=spill.size)


def require_training_space(job: Job, trainings: Sequence[tuple[FoldFolder, FoldRecord]]) -> None:
    """Raises VmsegError where checkpoints and predictions of validation cases won't fit.

    States of an unfinished training that stand there already are part of what it takes.
    """
    weights = network_bytes(job.plan, len(job.fingerprint.channels), len(job.fingerprint.labels))
    recipe = max((record.recipe for _, record in trainings), key=checkpoint_copies, default=job.recipe)
    cases = [job.fingerprint.cases[name] for _, record in trainings for name in record.val]
    # While one is written, the one before it and the one before that still stand.
    checkpoints = weights * (3 * checkpoint_copies(recipe) + len(trainings))
    validation = sum(validation_bytes(case, len(job.fingerprint.labels)) for case in cases)
    begun = [path for folder, _ in trainings for path in (folder.latest, folder.previous) if path.is_file()]
    standing = sum(path.stat().st_size for path in begun)
    require_space(job.run.folder, checkpoints + validation, f"training {len(trainings)} folds", coming=standing)


def require_prediction_space(cases: Sequence[Case], output: Path, maps: int) -> None:
    """Raises VmsegError where the masks won't fit, and so many maps of four bytes a voxel beside each; of scans that
    can't be read it is told later.
    """
    needed = 0.0
    for voxels, path in _sizes(cases):
        needed += voxels * (1 if path.name.endswith(".nii") else _PACKED)
        needed += voxels * 4 * maps
    require_space(output, needed, f"predicting {len(cases)} scans")


def prepared_bytes(case: CaseSummary, plan: Plan, channels: int) -> float:
    """Of a prepared case: float32 a channel and a byte for the label, on the plan's grid."""
    voxels = math.prod(case.cropped_shape)
    spacing = [case.spacing_mm[axis] for axis in plan.axes]
    scaled = voxels * math.prod(have / want for have, want in zip(spacing, plan.spacing_mm, strict=True))
    return scaled * (4 * channels + 1)


def network_bytes(plan: Plan, channels: int, classes: int) -> int:
    """Of the weights of a plan's network."""
    network = build_network(plan.network, channels, classes)
    return sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())


def checkpoint_copies(recipe: Recipe) -> int:
    """How many times the weights' size the state of an unfinished training has: an optimizer keeps two at most."""
    return 3 + bool(recipe.averaging) + recipe.stop_on_gap


def validation_bytes(case: CaseSummary, classes: int) -> float:
    """Of what is kept of a held-out case: mask, masks by less effort, probabilities."""
    return math.prod(case.shape) * (classes + 1) * _PACKED


def _sizes(cases: Iterable[Case]) -> Iterable[tuple[int, Path]]:
    for case in cases:
        try:
            yield math.prod(scan_grid(case.images[0]).shape), case.file
        except InputError:
            continue
