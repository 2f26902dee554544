"""Spacing, patch, strides and budgets, by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.utils.geometry import Spacing
from vmseg_planners.default import PLAIN
from vmseg_planners.residual import RESIDUAL
from vmseg_planners.topology import APART, Budget, axes_order, pool, start_patch, target_spacing


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


def test_slices_that_are_apart_are_never_joined() -> None:
    slices = pool((APART, 1.0, 1.0), (1, 16, 20))
    assert slices.patch == (1, 16, 20)
    assert slices.strides == ((1, 1, 1), (1, 2, 2), (1, 2, 2))
    assert slices.kernels == ((1, 3, 3),) * 3


def test_half_a_voxel_in_the_median_is_rounded_up() -> None:
    assert pool((1.0, 1.0, 1.0), (23.5, 16, 16)).patch == (24, 16, 16)


@pytest.mark.parametrize(
    ("memory_gb", "plain", "residual"),
    [
        (1, 70e6, 85e6),
        (8, 560e6, 680e6),
        (12, 840e6, 1.035e9),  # residual: a quarter of the way from 680 million to 2.1 billion
        (24, 1.68e9, 2.1e9),
        (32, 2.24e9, 2.85e9),
        (40, 2.8e9, 3.6e9),
        (80, 5.6e9, 7.2e9),
    ],
)
def test_budgets(memory_gb: float, plain: float, residual: float) -> None:
    assert PLAIN.budget.held_by(memory_gb) == plain
    assert RESIDUAL.budget.held_by(memory_gb) == residual


@given(st.sampled_from([PLAIN.budget, RESIDUAL.budget]), st.floats(0.01, 500), st.floats(0.01, 500))
def test_more_memory_holds_more_and_the_way_back_agrees(budget: Budget, one: float, other: float) -> None:
    assert budget.needed_for(budget.held_by(one)) == pytest.approx(one, rel=1e-9)
    if one < other:
        assert budget.held_by(one) < budget.held_by(other)
