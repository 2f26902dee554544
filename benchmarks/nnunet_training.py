"""nnU-Net's planning and preprocessing of a cohort for its trainings, and whether its plan is ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.tools import Bench, SetupError, run_once
from vmseg_auto.planning.plan import Plan
from vmseg_auto.utils.atomic import read_json, read_stored

CONFIGURATION = "3d_fullres"
CASCADE = "3d_cascade_fullres"
"""It is trained on the cases of 3d_fullres."""


def plan_and_preprocess(
    bench: Bench,
    home: Path,
    dataset: str,
    cohort: Path,
    plans: str,
    memory_gb: float,
    planner: str = "ExperimentPlanner",
    configurations: Sequence[str] = (CONFIGURATION,),
) -> None:
    """Let nnU-Net plan a cohort for a memory and prepare it, under `home`.

    Args:
        dataset: nnU-Net's name for it, such as "Dataset054_VMSemi".
        plans: name of the plan.
        planner: nnU-Net's class of it.
        configurations: to be trained.

    Raises:
        SetupError: nnU-Net ends with an error.
    """
    raw_link(home, dataset, cohort)
    (home / "results").mkdir(exist_ok=True)
    which = ("-d", str(int(dataset[len("Dataset") :].partition("_")[0])))
    sized = ("-gpu_memory_target", f"{memory_gb:g}", "-overwrite_plans_name", plans)
    few = ("-np", "2")
    run_once(bench.theirs("extract_fingerprint", *which, *few, home=home))
    run_once(bench.theirs("plan_experiment", *which, "-pl", planner, *sized, home=home))
    for configuration in configurations:
        name = CONFIGURATION if configuration == CASCADE else configuration
        run_once(bench.theirs("preprocess", *which, "-plans_name", plans, "-c", name, *few, home=home))


def raw_link(home: Path, name: str, cohort: Path) -> None:
    """Let nnU-Net find a cohort under its own name for it."""
    link = home / "raw" / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(cohort.resolve(), target_is_directory=True)


def require_same_plan(ours: Path, theirs: Path) -> None:
    """Make sure that our plan.json and nnU-Net's plans.json are the same plan.

    Raises:
        SetupError: they differ, and where.
    """
    plan, given = read_stored(Plan, ours), read_json(theirs)
    other = given["configurations"][CONFIGURATION]
    wanted = {name: other[name] for name in ("patch_size", "batch_size", "spacing", "architecture")}
    found = {
        "patch_size": list(plan.patch),
        "batch_size": plan.batch_size,
        "spacing": list(plan.spacing_mm),
        "architecture": architecture_of(plan),
    }
    wanted["axes"], found["axes"] = given["transpose_forward"], list(plan.axes)
    differing = [name for name in wanted if wanted[name] != found[name]]
    if differing:
        told = "; ".join(f"{name}: {wanted[name]} in nnU-Net's, {found[name]} in ours" for name in differing)
        raise SetupError(f"{ours} and {theirs} are not the same plan: {told}")


def architecture_of(plan: Plan) -> dict[str, Any]:
    """The part of nnU-Net's plans.json that describes a plan's plain U-Net."""
    net = plan.network
    assert net.builder == "plain_unet"
    return {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": len(net.features),
            "features_per_stage": list(net.features),
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": [list(kernel) for kernel in net.kernels],
            "strides": [list(stride) for stride in net.strides],
            "n_conv_per_stage": list(net.blocks),
            "n_conv_per_stage_decoder": list(net.decoder_blocks),
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
