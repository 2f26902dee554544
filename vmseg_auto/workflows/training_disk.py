"""How much disk a training will take, found out before it begins."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vmseg_auto.data.runs import FoldFolder
from vmseg_auto.models.fold_record import FoldRecord
from vmseg_auto.networks.unet import build_network
from vmseg_auto.planning.fingerprint import CaseSummary
from vmseg_auto.planning.plan import Plan
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.utils.disk import require_space
from vmseg_auto.utils.labels import count_outputs
from vmseg_auto.workflows.disk import PACKED
from vmseg_auto.workflows.job import Job


def require_training_space(job: Job, trainings: Sequence[tuple[FoldFolder, FoldRecord]]) -> None:
    """Raise VmsegError where checkpoints and predictions of validation cases won't fit.

    States of an unfinished training that stand there already are part of what it takes.
    """
    weights = network_bytes(job.plan, len(job.fingerprint.channels), count_outputs(job.fingerprint.labels))
    config = max((record.config for _, record in trainings), key=checkpoint_copies, default=job.config)
    cases = [job.fingerprint.cases[name] for _, record in trainings for name in record.val]
    # While one is written, the one before it and the one before that still stand.
    checkpoints = weights * (3 * checkpoint_copies(config) + len(trainings))
    validation = sum(validation_bytes(case, len(job.fingerprint.labels)) for case in cases)
    begun = [path for folder, _ in trainings for path in (folder.latest, folder.previous) if path.is_file()]
    standing = sum(path.stat().st_size for path in begun)
    require_space(job.run.folder, checkpoints + validation, f"training {len(trainings)} folds", coming=standing)


def network_bytes(plan: Plan, channels: int, classes: int) -> int:
    """Return the bytes of the weights of a plan's network."""
    network = build_network(plan.network, channels, classes)
    return sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())


def checkpoint_copies(config: TrainingConfig) -> int:
    """Return how many times the weights' size the state of an unfinished training has (an optimizer: two at most)."""
    return 3 + bool(config.ema_decay) + config.early_stopping


def validation_bytes(case: CaseSummary, classes: int) -> float:
    """Return the bytes of what is kept of a validation case: mask, masks by less budget, probabilities."""
    return math.prod(case.shape) * (classes + 1) * PACKED
