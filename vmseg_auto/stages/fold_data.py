"""What the batches of a fold are made from."""

from __future__ import annotations

from pathlib import Path

import torch

from vmseg_auto.contracts import DeviceAugment, Parts
from vmseg_auto.core.dataset import Fold
from vmseg_auto.core.plan import Plan
from vmseg_auto.io.batches import Batch, BatchLoader, BatchSource
from vmseg_auto.io.prepared import PreparedFolder
from vmseg_auto.ops.augment import NoAugmentation
from vmseg_auto.ops.gap import GapMonitor
from vmseg_auto.ops.ranks import Ranks
from vmseg_auto.ops.sampling import PatchSampler, forced_foreground

ALL_STREAM = 1000
"""Number of the fold `all` in random streams."""


def device_augmentation(parts: Parts, device: torch.device) -> DeviceAugment | None:
    """What augments whole batches on the device; None where workers augment samples."""
    stand_in, choice = parts.device_augment, parts.recipe.device_augmentation
    wanted = choice == "on" or (choice == "auto" and device.type == "cuda")
    # A trainer that replaced only `augment` must not lose it.
    return stand_in if wanted and stand_in is not None and stand_in.stands_for == parts.augment else None


def training_source(
    parts: Parts,
    plan: Plan,
    prepared: Path,
    cases: Fold,
    fold: int | str,
    device: torch.device,
    samples: range | None = None,
) -> BatchSource:
    """What a fold's training batches (or these samples of them) are made of; raw patches where the device augments."""
    share, size = parts.recipe.foreground_share, plan.batch_size
    return BatchSource(
        folder=prepared,
        cases=cases.train,
        sampler=parts.sampler,
        augment=NoAugmentation() if device_augmentation(parts, device) else parts.augment,
        foreground=tuple(forced_foreground(i, size, share) for i in range(size)),
        stream=stream(parts, fold),
        samples=samples,
    )


def training_loader(
    parts: Parts,
    plan: Plan,
    prepared: Path,
    cases: Fold,
    fold: int | str,
    device: torch.device,
    workers: int,
    samples: range,
) -> BatchLoader:
    """Makes them, in processes, or in threads where they only read."""
    source = training_source(parts, plan, prepared, cases, fold, device, samples)
    return BatchLoader(source, workers, threads=device_augmentation(parts, device) is not None)


def validation_batches(
    parts: Parts, plan: Plan, prepared: Path, cases: Fold, fold: int | str, ranks: Ranks
) -> list[Batch]:
    """The same un-augmented patches after every epoch, so that the curve compares like with like; a rank's part."""
    count = round(parts.recipe.validation_share * parts.recipe.steps) if cases.val else 0
    share, size = max(parts.recipe.foreground_share, 1 / 3), plan.batch_size
    source = BatchSource(
        folder=prepared,
        cases=cases.val,
        sampler=PatchSampler(plan.patch, plan.patch),
        augment=NoAugmentation(),
        foreground=tuple(forced_foreground(i, size, share) for i in range(size)),
        stream=(*stream(parts, fold), 1),
    )
    opened = source.open() if count else []
    return [source.batch(opened, number) for number in ranks.part(range(count))]


def gap_monitor(parts: Parts, plan: Plan, prepared: Path, cases: Fold) -> GapMonitor:
    """Looks at whole cases of either side."""
    folder = PreparedFolder(prepared)
    train, val = ([folder.load(case) for case in side] for side in (cases.train, cases.val))
    return GapMonitor(parts.recipe, plan, train, val)


def stream(parts: Parts, fold: int | str) -> tuple[int, int]:
    """The numbers that set a fold's random draws apart."""
    return parts.recipe.seed, ALL_STREAM if fold == "all" else int(fold)
