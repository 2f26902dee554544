"""Where a setting belongs that a training does not have: to the plan, to an option, to another name."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import fields

from vmseg_auto.planning.network import NetworkSpec
from vmseg_auto.planning.plan import Plan

_IN_PLAN = {field.name for kind in (Plan, NetworkSpec) for field in fields(kind)} | {
    "batch", "batchsize", "patch_size", "patchsize", "spacing", "target_spacing", "voxel_size", "voxel_spacing",
    "normalisation", "normalization_schemes", "architecture", "stages", "channels", "memory",
}  # fmt: skip
_OPTIONS = {
    "fold": "the folds are arguments of `vmseg_train`, as in `vmseg_train 0 1`",
    "folds": "the folds are arguments of `vmseg_train`, as in `vmseg_train 0 1`",
    "hours": "it is the option --hours of `vmseg_train`",
    "device": "it is the option --device of `vmseg_train`",
    "gpu": "it is the option --device of `vmseg_train`",
    "jobs": "it is the option --jobs of `vmseg_train`",
    "workers": "it is the option --jobs of `vmseg_train`",
    "num_workers": "it is the option --jobs of `vmseg_train`",
    "logger": "it is the option --logger of `vmseg_train`",
    "init": "it is the option --init of `vmseg_train`",
    "pretrained_weights": "it is the option --init of `vmseg_train`",
    "dataset": "it is the option -d of `vmseg_train`",
    "workspace": "it is the option -w of `vmseg_train`",
    "num_folds": "the split has as many folds as WORKSPACE/splits.json, which may be edited before the first training",
    "n_folds": "the split has as many folds as WORKSPACE/splits.json, which may be edited before the first training",
    "threshold": "no training needs it; `vmseg_select` chooses it on validation cases",
    "postprocessing": "no training needs it; `vmseg_select` chooses it on validation cases",
    "tta": "no training needs it; it is the option --no-tta of `vmseg_predict`",
    "loss": "a loss is part of a trainer (docs/extending/loss.md); "
    "tversky_alpha, focal_gamma and boundary_label_smoothing set the one that is there",
}
_CALLED_HERE = {
    "num_epochs": "epochs",
    "max_epochs": "epochs",
    "n_epochs": "epochs",
    "num_iterations_per_epoch": "iterations_per_epoch",
    "iterations": "iterations_per_epoch",
    "steps_per_epoch": "iterations_per_epoch",
    "num_val_iterations_per_epoch": "validation_share",
    "learning_rate": "lr",
    "initial_lr": "lr",
    "oversample_foreground_percent": "foreground_oversampling",
    "enable_deep_supervision": "deep_supervision",
    "scheduler": "schedule",
    "grad_clip": "gradient_clip",
    "ema": "ema_decay",
    "augmentation": "augment",
    "step_size": "tile_step_size",
    "random_seed": "seed",
}
"""What other tools call a field, nnU-Net before all."""


def remedy_of(name: str, value: str, known: Collection[str]) -> str:
    """Return what to do about a setting `name=value` that is none of the known ones.

    >>> remedy_of("learning_rate", "0.1", ("lr", "epochs"))
    'Did you mean lr=0.1? Write --set field=value with one of: lr, epochs.'
    """
    called = name.strip().lower().replace("-", "_")
    if called in _IN_PLAN and called not in known:
        return (
            "It is part of the plan, and the same for all trainings with it. `vmseg_plan_and_preprocess` decides it: "
            "with --memory GB larger or smaller patches and batches, with --planner another network or rules of your "
            "own (module:Class). Or change it in WORKSPACE/plans/PLANNER/plan.json, and run "
            "`vmseg_plan_and_preprocess` again."
        )
    if called in _OPTIONS:
        return f"{_OPTIONS[called][0].upper()}{_OPTIONS[called][1:]}."
    near = [_CALLED_HERE[called]] if called in _CALLED_HERE else difflib.get_close_matches(called, known, n=1)
    meant = f"Did you mean {near[0]}={value.strip()}? " if near else ""
    return f"{meant}Write --set field=value with one of: {', '.join(known)}."
