"""What a cascade's second stage is trained on: its cases with the masks that the first stage gave them out of fold."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from vmseg_auto.data.dataset import Dataset, Splits
from vmseg_auto.data.images.images import read_mask
from vmseg_auto.data.preprocessed import PreprocessedFolder
from vmseg_auto.data.runs import Run
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.planning.plan import Plan
from vmseg_auto.preprocessing.mask_channels import with_masks
from vmseg_auto.utils.json_codec import digest


def first_stage_run(space: Workspace, plan: Plan, trainer: str) -> Run:
    """Return the run of the first stage: that of the same trainer."""
    return space.run(plan.first_stage, trainer)


def first_stage_hash(space: Workspace, plan: Plan, trainer: str, splits: Splits, dataset: Dataset) -> str:
    """Return a hash of the first stage's masks of all cases; empty where there is none, or not all of them."""
    if not plan.first_stage:
        return ""
    masks = dict(_masks(first_stage_run(space, plan, trainer), splits, dataset))
    if not all(path.is_file() for path in masks.values()):
        return ""
    return digest({case: zlib.crc32(path.read_bytes()) for case, path in masks.items()})


def with_first_stage(
    space: Workspace,
    plan: Plan,
    trainer: str,
    splits: Splits,
    dataset: Dataset,
    own: PreprocessedFolder,
    progress: Callable[[], object] = lambda: None,
) -> PreprocessedFolder:
    """Return the folder of preprocessed cases with the first stage's masks as channels; what is due of it is made.

    Each case has the mask of the fold that has left it out, so that the second stage learns from masks as good as those
    of new scans.

    Args:
        plan, trainer: of the second stage.
        splits, dataset: of the workspace; the first stage is wholly validated on them.
        own: the cases without these channels.
        progress: called after each case.

    Raises:
        InputError: a mask or a preprocessed case can't be read.
    """
    run = first_stage_run(space, plan, trainer)
    folder = PreprocessedFolder(space.preprocessed(f"{plan.voxels_hash}_{plan.first_stage}_{trainer}"))
    for case, path in _masks(run, splits, dataset):
        base = own.load(case)
        content = digest([base.content, zlib.crc32(path.read_bytes())])
        if folder.holds(case, content):
            folder.verify(case)
        else:
            mask, _ = read_mask(path)
            image = with_masks(base.image, mask, base.geometry, base.crop_box, plan, len(dataset.labels))
            folder.save(replace(base, image=image, content=content))
        progress()
    return folder


def _masks(run: Run, splits: Splits, dataset: Dataset) -> Iterator[tuple[str, Path]]:
    """Yield each case and the mask that the fold which leaves it out has given it."""
    for number, fold in enumerate(splits.folds):
        yield from ((case, run.fold(number).mask(case, dataset.file_ending)) for case in fold.val)
