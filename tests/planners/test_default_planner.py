"""The default planner against nnU-Net 2.8.1's plans, and its rules on cohorts drawn at random."""

from __future__ import annotations

import json
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmseg_auto.core.errors import InputError
from vmseg_auto.core.fingerprint import CaseSummary, ChannelStats, Fingerprint
from vmseg_auto.core.geometry import Shape, Spacing
from vmseg_auto.core.plan import Plan
from vmseg_auto.ops.memory import conv_outputs
from vmseg_planners.default import REFERENCE, DefaultPlanner
from vmseg_planners.topology import axes_order, memory_budget, pool, start_patch, target_spacing

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden_plans.json").read_text(encoding="utf-8"))
STATS = ChannelStats(mean=50.0, median=48.0, std=20.0, min=-10.0, max=200.0, percentile_00_5=1.0, percentile_99_5=120.0)


def cohort(
    spacings: list[Spacing], shapes: list[Shape], channels: tuple[str, ...] = ("T2",), relative_size: float = 1.0
) -> Fingerprint:
    cases = {
        f"case_{i:03d}": CaseSummary(shape, shape, spacing, {1: 10}, f"{i:016x}")
        for i, (spacing, shape) in enumerate(zip(spacings, shapes, strict=True))
    }
    return Fingerprint(
        "test", channels, {"background": 0, "lesion": 1}, cases, (STATS,) * len(channels), relative_size, "f" * 16
    )


def cost(plan: Plan) -> int:
    return conv_outputs(plan.network, plan.patch, classes=2)


@pytest.mark.parametrize("name", GOLDEN)
def test_nnunet_plans_the_same(name: str) -> None:
    golden = GOLDEN[name]
    expected = golden["plans"]["default"]
    plan = DefaultPlanner()(cohort(golden["spacings"], golden["shapes"]), golden["memory_gb"])
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


def test_thick_slices_anywhere_come_first() -> None:
    upright = DefaultPlanner()(cohort([(5.0, 0.7, 0.7)] * 20, [(24, 320, 310)] * 20), 8)
    sagittal = DefaultPlanner()(cohort([(0.7, 0.7, 5.0)] * 20, [(320, 310, 24)] * 20), 8)
    assert sagittal.axes == (2, 0, 1)
    assert replace(upright, axes=(2, 0, 1), reasons=()).sealed() == replace(sagittal, reasons=())
    assert any("x axis" in reason for reason in sagittal.reasons)


def test_finer_slices_decide_where_slices_are_thick() -> None:
    spacings: list[Spacing] = [(6.0, 1.0, 1.0)] * 8 + [(3.0, 1.0, 1.0)] * 3
    spacing, finer = target_spacing(spacings, [(20, 200, 200)] * 11)
    assert finer
    assert spacing == (3.0, 1.0, 1.0)
    # but never finer than the other axes, and still the coarsest
    spacing, finer = target_spacing([(6.0, 1.0, 1.0)] * 8 + [(0.5, 1.0, 1.0)] * 3, [(20, 200, 200)] * 11)
    assert finer
    assert spacing == (1.00001, 1.0, 1.0)
    # many slices: the median stays
    assert target_spacing(spacings, [(90, 200, 200)] * 11) == ((6.0, 1.0, 1.0), False)


def test_equal_spacing_keeps_the_order_of_axes() -> None:
    assert axes_order((1.0, 1.0, 1.0)) == (0, 1, 2)
    assert axes_order((1.0, 2.0, 2.0)) == (1, 0, 2)


def test_start_patch_is_a_clipped_cube_in_mm() -> None:
    assert start_patch((1.0, 1.0, 1.0), (300, 300, 300)) == (256, 256, 256)
    assert start_patch((1.0, 1.0, 1.0), (99.5, 300, 300)) == (99.5, 256, 256)


def test_pooling_stops_for_one_short_axis() -> None:
    assert pool((1.0, 1.0, 1.0), (11, 4, 4)).stages == 1
    lone = pool((1.0, 1.0, 1.0), (12, 4, 4))
    assert (lone.patch, lone.strides) == ((12, 4, 4), ((1, 1, 1), (2, 1, 1)))


def test_half_a_voxel_in_the_median_is_rounded_up() -> None:
    assert pool((1.0, 1.0, 1.0), (23.5, 16, 16)).patch == (24, 16, 16)


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


def test_reasons_name_the_numbers() -> None:
    plan = DefaultPlanner()(cohort([(3.0, 1.39, 1.39)] * 53, [(24, 95, 96)] * 53), 0.25)
    text = "\n".join(plan.reasons)
    assert "spacing 3 x 1.39 x 1.39 mm" in text
    assert f"patch {'x'.join(map(str, plan.patch))}: median shape 24x95x96; 0.25 GB allow 17.5 million" in text
    assert f"{len(plan.network.features)} stages" in text
    assert f"batch {plan.batch_size}:" in text


def test_the_budget_named_in_the_error_is_enough() -> None:
    fingerprint = cohort([(3.0, 1.4, 1.4)] * 20, [(24, 96, 96)] * 20)
    with pytest.raises(InputError, match="too small for any patch") as caught:
        DefaultPlanner()(fingerprint, 0.0001)
    assert caught.value.remedy is not None
    least = float(caught.value.remedy.split()[3])
    DefaultPlanner()(fingerprint, least).check()


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


@settings(max_examples=60, deadline=None)
@given(cohorts(), st.floats(0.1, 80.0))
def test_any_cohort_gets_a_plan_that_works(fingerprint: Fingerprint, memory_gb: float) -> None:
    try:
        plan = DefaultPlanner()(fingerprint, memory_gb)
    except InputError as error:
        assert error.remedy  # noqa: PT017
        return
    plan.check()
    assert plan == DefaultPlanner()(fingerprint, memory_gb)
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    assert plan.spacing_mm[0] == max(plan.spacing_mm)
    assert cost(plan) <= memory_budget(REFERENCE, memory_gb)
    assert plan.batch_size >= 2
    dataset = prod(plan.median_shape) * len(fingerprint.cases)
    assert plan.batch_size == 2 or plan.batch_size * prod(plan.patch) <= 0.06 * dataset + prod(plan.patch)
