"""What the MedNeXt planners plan for cohorts whose plans are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from cohorts import cohort

from vmseg_auto.contracts import Planner
from vmseg_auto.networks.unet import build_network
from vmseg_auto.planning.plan import Plan
from vmseg_auto.utils.geometry import Shape
from vmseg_planners.default import DefaultPlanner
from vmseg_planners.mednext import MedNeXtBasePlanner, MedNeXtSmallPlanner

COHORTS: dict[str, Any] = json.loads((Path(__file__).parent / "golden_plans.json").read_text(encoding="utf-8"))
S, B = MedNeXtSmallPlanner(), MedNeXtBasePlanner()


def plan_of(planner: Planner, name: str) -> Plan:
    about = COHORTS[name]
    return planner(cohort(about["spacings"], about["shapes"]), about["memory_gb"])


@pytest.mark.parametrize(
    ("planner", "name", "patch", "features"),
    [
        (S, "iso_small", (40, 56, 40), (32, 64, 128, 256)),
        (S, "iso_brain", (80, 96, 64), (32, 64, 128, 256, 512)),
        (S, "thick_head", (12, 176, 176), (32, 64, 128, 256, 512)),
        (S, "neck_t2", (20, 144, 144), (32, 64, 128, 256, 512)),
        (B, "neck_t2", (20, 144, 128), (32, 64, 128, 256, 512)),
        (S, "mixed_scanners", (24, 144, 128), (32, 64, 128, 256, 512)),
        (B, "mixed_scanners", (20, 144, 128), (32, 64, 128, 256, 512)),
        (S, "thick_head_24gb", (16, 256, 256), (32, 64, 128, 256, 512)),
        (S, "cpu_1gb", (16, 64, 56), (32, 64, 128, 256)),
        (B, "cpu_1gb", (16, 56, 56), (32, 64, 128, 256)),
    ],
)
def test_golden_plans(planner: Planner, name: str, patch: Shape, features: tuple[int, ...]) -> None:
    plan = plan_of(planner, name)
    assert plan.patch == patch
    assert plan.batch_size == 2
    assert plan.network.features == features
    assert plan.network.blocks == (2,) * len(features)
    assert plan.network.decoder_blocks == (2,) * (len(features) - 1)
    plan.check()


@pytest.mark.parametrize("name", COHORTS)
def test_spacing_axes_and_normalisation_are_those_of_the_default_plan(name: str) -> None:
    assert plan_of(S, name).voxels_hash == plan_of(DefaultPlanner(), name).voxels_hash


def test_it_has_no_more_stages_than_in_the_paper() -> None:
    large = cohort([(0.5, 0.5, 0.5)] * 20, [(400, 400, 400)] * 20)
    assert len(DefaultPlanner()(large, 8).network.features) == 6
    assert len(S(large, 8).network.features) == 5


def test_the_reasons_tell_its_expansion() -> None:
    (reason,) = [text for text in plan_of(B, "cpu_1gb").reasons if text.startswith("network")]
    assert "MedNeXt: 2, 2, 2, 2 MedNeXt blocks" in reason
    assert reason.endswith("expansion 2, 3, 4")


@pytest.mark.parametrize("planner", [S, B], ids=["S", "B"])
def test_training_it_keeps_as_many_bytes_as_the_plain_network_of_the_same_budget(planner: Planner) -> None:
    """Those kept for the backward pass, of one patch; plans fill their budget, but for the patch's coarse steps."""
    cube = cohort([(1.0, 1.0, 1.0)] * 20, [(64, 64, 64)] * 20)
    plain, mednext = (bytes_kept(made(cube, 0.5)) for made in (DefaultPlanner(), planner))
    assert mednext == pytest.approx(plain, rel=0.2)


def bytes_kept(plan: Plan) -> int:
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.device("meta"), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network = build_network(plan.network, 1, 2).train()
        weights = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
        network(torch.empty(1, 1, *plan.patch))
    return sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in weights)
