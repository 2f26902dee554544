"""The planners against nnU-Net 2.8.1's plans, and their rules on cohorts drawn at random."""

from __future__ import annotations

import json
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cohorts import cohort
from hypothesis import given, settings
from hypothesis import strategies as st

from vmseg_auto.contracts import Planner
from vmseg_auto.planning.fingerprint import Fingerprint
from vmseg_auto.planning.memory import conv_outputs
from vmseg_auto.planning.network import Int3
from vmseg_auto.planning.plan import Plan
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Shape
from vmseg_planners.cascade import CascadePlanner
from vmseg_planners.default import PLAIN, DefaultPlanner
from vmseg_planners.lowres import PLAIN_LOWRES, LowresPlanner
from vmseg_planners.mednext import BASE, SMALL, MedNeXtBasePlanner, MedNeXtSmallPlanner
from vmseg_planners.planning import Architecture
from vmseg_planners.residual import RESIDUAL, ResidualPlanner
from vmseg_planners.two_d import PLAIN_2D, TwoDPlanner

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden_plans.json").read_text(encoding="utf-8"))
IN_SPACE: dict[str, tuple[Planner, Architecture]] = {
    "default": (DefaultPlanner(), PLAIN),
    "residual": (ResidualPlanner(), RESIDUAL),
    "mednext_s": (MedNeXtSmallPlanner(), SMALL),
    "mednext_b": (MedNeXtBasePlanner(), BASE),
}
"""Planners of 3-D networks at full resolution."""
PLANNERS = {**IN_SPACE, "2d": (TwoDPlanner(), PLAIN_2D)}
ALL = {**PLANNERS, "lowres": (LowresPlanner(), PLAIN_LOWRES)}
each_planner = pytest.mark.parametrize("planner", [planner for planner, _ in PLANNERS.values()], ids=list(PLANNERS))


def cost(plan: Plan) -> int:
    return conv_outputs(plan.network, plan.patch, classes=2)


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("planner", [DefaultPlanner(), ResidualPlanner()], ids=["default", "residual"])
def test_nnunet_plans_the_same(planner: Planner, name: str) -> None:
    golden = GOLDEN[name]
    expected = golden["plans"][planner.name]
    plan = planner(cohort(golden["spacings"], golden["shapes"]), golden["memory_gb"])
    assert plan.spacing_mm == pytest.approx(expected["spacing"], rel=1e-12)
    assert list(plan.median_shape) == expected["median_shape"]
    assert list(plan.patch) == expected["patch"]
    assert plan.batch_size == expected["batch"]
    assert list(plan.network.features) == expected["features"]
    assert [list(stride) for stride in plan.network.strides] == expected["strides"]
    assert [list(kernel) for kernel in plan.network.kernels] == expected["kernels"]
    assert list(plan.axes) == expected["transpose_forward"]
    plan.check()
    assert not plan.edited


@pytest.mark.parametrize("name", GOLDEN)
def test_nnunet_plans_the_same_for_slices(name: str) -> None:
    golden = GOLDEN[name]
    expected, in_space = golden["plans"]["2d"], golden["plans"]["default"]
    plan = TwoDPlanner()(cohort(golden["spacings"], golden["shapes"]), golden["memory_gb"])
    assert plan.by_slice
    assert list(plan.axes) == in_space["transpose_forward"]
    assert plan.target_spacing((7.0, 1.0, 1.0)) == pytest.approx((7.0, *expected["spacing"]), rel=1e-12)
    assert list(plan.median_shape) == in_space["median_shape"]
    assert list(plan.patch) == [1, *expected["patch"]]
    assert plan.batch_size == expected["batch"]
    assert list(plan.network.features) == expected["features"]
    assert [list(stride) for stride in plan.network.strides] == [[1, *stride] for stride in expected["strides"]]
    assert [list(kernel) for kernel in plan.network.kernels] == [[1, *kernel] for kernel in expected["kernels"]]
    plan.check()


@pytest.mark.parametrize("name", GOLDEN)
def test_nnunet_plans_the_same_low_resolution_or_none(name: str) -> None:
    golden = GOLDEN[name]
    expected, fingerprint = golden["plans"]["lowres"], cohort(golden["spacings"], golden["shapes"])
    assert (expected is not None) == golden["plans"]["default"]["lowres_offered"]
    if expected is None:
        with pytest.raises(InputError, match=r"needs no low resolution: .* % of a median scan"):
            LowresPlanner()(fingerprint, golden["memory_gb"])
        return
    plan = LowresPlanner()(fingerprint, golden["memory_gb"])
    assert plan.spacing_mm == pytest.approx(expected["spacing"], rel=1e-12)
    assert list(plan.patch) == expected["patch"]
    assert plan.batch_size == expected["batch"]
    assert list(plan.network.features) == expected["features"]
    assert [list(stride) for stride in plan.network.strides] == expected["strides"]
    assert [list(kernel) for kernel in plan.network.kernels] == expected["kernels"]
    plan.check()


@pytest.mark.parametrize("name", GOLDEN)
def test_a_cascade_is_planned_wherever_a_low_resolution_is(name: str) -> None:
    golden = GOLDEN[name]
    expected, fingerprint = golden["plans"]["cascade"], cohort(golden["spacings"], golden["shapes"])
    assert (expected is None) == (golden["plans"]["lowres"] is None)
    if expected is None:
        with pytest.raises(InputError, match="needs no low resolution"):
            CascadePlanner()(fingerprint, golden["memory_gb"])
        return
    plan = CascadePlanner()(fingerprint, golden["memory_gb"])
    assert expected == {"previous_stage": f"3d_{plan.first_stage}"}
    assert plan.mask_channels(3) == 2
    default = DefaultPlanner()(fingerprint, golden["memory_gb"])
    assert replace(plan, planner="default", first_stage="", reasons=default.reasons).sealed() == default
    assert plan.voxels_hash == default.voxels_hash
    plan.check()


@pytest.mark.parametrize(
    ("name", "memory_gb", "patch", "batch"),
    [
        ("thick_head", 24, (24, 320, 320), 4),
        ("neck_t2", 24, (40, 320, 320), 2),
        ("mixed_scanners", 24, (48, 320, 320), 2),
        ("iso_brain", 24, (160, 192, 160), 3),
        ("thick_head", 40, (24, 320, 320), 7),
        ("neck_t2", 40, (56, 384, 384), 2),
        ("mixed_scanners", 40, (64, 384, 384), 2),
        ("iso_brain", 40, (160, 192, 160), 6),
    ],
)
def test_large_residual_plans_are_those_of_nnunets_presets(
    name: str, memory_gb: float, patch: Shape, batch: int
) -> None:
    """As nnU-Net 2.8.1 plans ResEnc L (24 GB) and XL (40 GB)."""
    golden = GOLDEN[name]
    plan = ResidualPlanner()(cohort(golden["spacings"], golden["shapes"]), memory_gb)
    assert tuple(plan.patch) == patch
    assert plan.batch_size == batch


def test_thick_slices_anywhere_come_first() -> None:
    upright = DefaultPlanner()(cohort([(5.0, 0.7, 0.7)] * 20, [(24, 320, 310)] * 20), 8)
    sagittal = DefaultPlanner()(cohort([(0.7, 0.7, 5.0)] * 20, [(320, 310, 24)] * 20), 8)
    assert sagittal.axes == (2, 0, 1)
    turned = replace(upright, axes=(2, 0, 1), left_right=0, patient_axes=(0, 2, 1), reasons=())
    assert turned.sealed() == replace(sagittal, reasons=())
    assert any("x axis" in reason for reason in sagittal.reasons)


def test_conv_outputs_by_hand() -> None:
    plan = DefaultPlanner()(cohort([(1.0, 1.0, 1.0)] * 5, [(8, 8, 8)] * 5), 8)
    assert plan.network.features == (32, 64)
    # 2 convs at 8^3 x 32, 2 at 4^3 x 64; decoder: 2 convs and the transposed one at 8^3 x 32; 2 classes at 8^3
    assert cost(plan) == 512 * 32 * 2 + 64 * 64 * 2 + 512 * 32 * 3 + 512 * 2


@pytest.mark.parametrize(
    ("channel", "relative_size", "scheme"),
    [
        ("CT", 1.0, "ct"),
        ("ct", 0.5, "ct"),
        ("noNorm", 1.0, "none"),
        ("T2", 0.75, "zscore"),
        ("T2", 0.74, "zscore_in_mask"),
    ],
)
def test_normalization(channel: str, relative_size: float, scheme: str) -> None:
    plan = DefaultPlanner()(cohort([(1.0, 1.0, 1.0)] * 5, [(32, 32, 32)] * 5, (channel,), relative_size), 8)
    (normalization,) = plan.normalization
    assert normalization.scheme == scheme
    if scheme == "ct":
        assert (normalization.mean, normalization.std) == (50.0, 20.0)
        assert (normalization.lower, normalization.upper) == (1.0, 120.0)


def test_the_reasons_of_slices_tell_of_slices() -> None:
    text = "\n".join(TwoDPlanner()(cohort([(5.0, 0.7, 0.7)] * 53, [(24, 320, 320)] * 53), 8).reasons)
    assert "spacing 0.7 x 0.7 mm in the slices" in text
    assert "patch 1x320x320: median slice 320x320; 8 GB allow 510 million" in text
    assert "it holds a whole median slice" in text
    assert "kernels are 1x3x3 in all stages, so slices never mix" in text


def test_the_reasons_of_a_low_resolution_name_both_spacings() -> None:
    reason = LowresPlanner()(cohort([(2.0, 0.5, 0.5)] * 53, [(75, 511, 511)] * 53), 8).reasons[0]
    assert reason.startswith("spacing 2 x 0.779 x 0.779 mm: made coarser, from 2 x 0.5 x 0.5 mm")


def test_reasons_name_the_numbers() -> None:
    plan = DefaultPlanner()(cohort([(3.0, 1.39, 1.39)] * 53, [(24, 95, 96)] * 53), 0.25)
    text = "\n".join(plan.reasons)
    assert "spacing 3 x 1.39 x 1.39 mm" in text
    assert f"patch {'x'.join(map(str, plan.patch))}: median shape 24x95x96; 0.25 GB allow 17.5 million" in text
    assert f"{len(plan.network.features)} stages" in text
    assert f"batch {plan.batch_size}:" in text


@each_planner
def test_the_budget_named_in_the_error_is_enough(planner: Planner) -> None:
    fingerprint = cohort([(3.0, 1.4, 1.4)] * 20, [(24, 96, 96)] * 20)
    with pytest.raises(InputError, match="too small for any patch") as caught:
        planner(fingerprint, 0.0001)
    assert caught.value.remedy is not None
    least = float(caught.value.remedy.split()[3])
    planner(fingerprint, least).check()


@pytest.mark.parametrize("memory_gb", [0.0, -1.0, float("nan"), float("inf")])
def test_senseless_budget_is_refused(memory_gb: float) -> None:
    with pytest.raises(InputError, match="memory budget"):
        DefaultPlanner()(cohort([(1.0, 1.0, 1.0)] * 5, [(32, 32, 32)] * 5), memory_gb)


def test_tiny_scans_are_refused() -> None:
    with pytest.raises(InputError, match="too small for this method"):
        DefaultPlanner()(cohort([(1.0, 1.0, 1.0)] * 5, [(7, 7, 7)] * 5), 8)


@st.composite
def cohorts(draw: st.DrawFn) -> Fingerprint:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(1, 60))
    base = np.array([draw(st.floats(0.3, 7.0)) for _ in range(3)])
    size = np.array([draw(st.integers(8, 600)) for _ in range(3)])
    spread = draw(st.sampled_from([1.0, 1.05, 1.5]))
    spacings = base * spread ** rng.uniform(-1, 1, (count, 3))
    shapes = np.maximum(8, size * spread ** rng.uniform(-1, 1, (count, 3))).astype(int)
    return cohort(spacings.tolist(), shapes.tolist())


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(list(ALL)), cohorts(), st.floats(0.1, 80.0))
def test_any_cohort_gets_a_plan_that_works(name: str, fingerprint: Fingerprint, memory_gb: float) -> None:
    planner, architecture = ALL[name]
    try:
        plan = planner(fingerprint, memory_gb)
    except InputError as error:
        assert error.remedy  # noqa: PT017
        return
    plan.check()
    assert plan == planner(fingerprint, memory_gb)
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    assert plan.spacing_mm[0] == max(plan.spacing_mm)
    held = architecture.budget.held_by(memory_gb)
    assert cost(plan) <= held
    assert 2 <= plan.batch_size <= max(2, round(2 * held / cost(plan)))
    dataset, share = prod(plan.median_shape) * len(fingerprint.cases), architecture.dataset_share
    assert plan.batch_size == 2 or plan.batch_size * prod(plan.patch) <= 1.2 * share * dataset + prod(plan.patch)


def test_a_residual_encoder_grows_deeper_stage_by_stage() -> None:
    plan = ResidualPlanner()(cohort([(5.0, 0.7, 0.7)] * 53, [(24, 320, 320)] * 53), 8)
    assert plan.network.builder == "residual_unet"
    assert plan.network.blocks == (1, 3, 4, 6, 6, 6, 6)
    assert plan.network.decoder_blocks == (1,) * 6
    text = "\n".join(plan.reasons)
    assert "residual-encoder U-Net: 1, 3, 4, 6, 6, 6, 6 blocks of two convolutions" in text
    assert "8 GB allow 680 million" in text


def test_planners_share_preprocessed_cases() -> None:
    fingerprint = cohort([(5.0, 0.7, 0.7)] * 53, [(24, 320, 320)] * 53)
    plans = [planner(fingerprint, 8) for planner, _ in IN_SPACE.values()]
    assert len({plan.voxels_hash for plan in plans}) == 1
    assert len({plan.content_hash for plan in plans}) == len(IN_SPACE)


def test_a_residual_batch_may_hold_more_of_a_small_cohort() -> None:
    """nnU-Net's ResEnc presets lift the 5 %; no batch holds more voxels than the cohort has."""
    few = cohort([(1.0, 1.0, 1.0)] * 7, [(32, 32, 32)] * 7)
    assert DefaultPlanner()(few, 8).batch_size == 2
    assert ResidualPlanner()(few, 8).batch_size == 7


AXIAL, CORONAL, SAGITTAL = (2, 1, 0), (1, 2, 0), (0, 2, 1)


@pytest.mark.parametrize(
    ("others", "left_right", "patient_axes"),
    [
        ([], 2, (1, 2, 0)),
        ([SAGITTAL] * 2, 2, (1, 2, 0)),
        ([SAGITTAL] * 3, None, None),
        ([CORONAL] * 3, 2, None),
        ([SAGITTAL, CORONAL, CORONAL], 2, None),
    ],
)
@each_planner
def test_left_and_right_and_the_order_of_axes_are_known_where_nine_in_ten_agree(
    planner: Planner, others: list[Int3], left_right: int | None, patient_axes: Int3 | None
) -> None:
    """Of scans whose y axis comes first in the plan."""
    grown = cohort([(0.8, 4.0, 0.8)] * 20, [(192, 24, 192)] * 20)
    stored = [AXIAL] * (20 - len(others)) + others
    cases = {
        name: replace(case, patient_axes=axes) for (name, case), axes in zip(grown.cases.items(), stored, strict=True)
    }
    plan = planner(replace(grown, cases=cases), 8)
    assert plan.axes == (1, 0, 2)
    assert (plan.left_right, plan.patient_axes) == (left_right, patient_axes)
    (reason,) = [text for text in plan.reasons if text.startswith("orientation")]
    assert ("as stored" in reason) == (left_right is None)
    assert ("at the same place" in reason) == (patient_axes is not None)


@each_planner
def test_a_scan_that_is_stored_otherwise_plans_as_if_it_were_not(planner: Planner) -> None:
    usual = cohort([(4.0, 0.7, 0.7)] * 20, [(24, 320, 300)] * 20)
    restored = {
        name: case.along(SAGITTAL) if name in ("case_003", "case_011") else case for name, case in usual.cases.items()
    }
    assert restored["case_003"].shape == (300, 24, 320)
    assert planner(replace(usual, cases=restored), 8) == planner(usual, 8)
