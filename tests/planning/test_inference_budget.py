"""The cheapest budget is chosen among those that change nothing that counts."""

from __future__ import annotations

import pytest

from vmseg_auto.planning.inference_budget import (
    CANDIDATES,
    EXHAUSTIVE,
    FEWER_PASSES,
    GATES,
    TOLERANCE,
    InferenceBudget,
    Trials,
    choose_budget,
)
from vmseg_auto.utils.errors import InputError


def trials(changes: dict[InferenceBudget, float], cases: int = 4) -> Trials:
    """Every case at a Dice of 0.6, changed by each budget."""
    dice = tuple(0.6 + changes.get(budget, 0.0) for budget in CANDIDATES)
    return Trials(CANDIDATES, {f"case_{number}": dice for number in range(cases)})


def test_where_nothing_changes_the_cheapest_are_chosen() -> None:
    inference_budget = choose_budget([trials({})])
    assert inference_budget is not None
    assert inference_budget.budget == InferenceBudget(passes=1, gate=0.5)
    assert inference_budget.cases == 4
    assert inference_budget.dice_change == pytest.approx(0)
    assert inference_budget.budget.text() == "1 pass over each window"


@pytest.mark.parametrize("sign", [1, -1])
def test_a_change_beyond_the_tolerance_is_refused_in_either_direction(sign: int) -> None:
    changes = {FEWER_PASSES[0]: sign * 2 * TOLERANCE, GATES[0]: sign * 2 * TOLERANCE, GATES[1]: 0.9 * TOLERANCE}
    inference_budget = choose_budget([trials(changes)])
    assert inference_budget is not None
    assert inference_budget.budget == InferenceBudget(passes=2, gate=0.3)
    assert inference_budget.budget.text().startswith("2 passes over each window, but 1 where no voxel is likelier")
    assert inference_budget.dice_change == pytest.approx(0.9 * TOLERANCE)


@pytest.mark.parametrize("sign", [1, -1])
def test_both_savings_together_stay_within_the_tolerance(sign: int) -> None:
    changes = {FEWER_PASSES[0]: 0.8 * TOLERANCE, GATES[0]: sign * 0.3 * TOLERANCE, GATES[1]: sign * 0.1 * TOLERANCE}
    inference_budget = choose_budget([trials(changes)])
    assert inference_budget is not None
    assert inference_budget.budget == InferenceBudget(passes=1, gate=GATES[1].gate), (
        "what one gains does not pay for the other"
    )
    assert inference_budget.dice_change == pytest.approx((0.8 + sign * 0.1) * TOLERANCE)


def test_where_everything_changes_all_is_kept() -> None:
    inference_budget = choose_budget([trials({budget: -0.01 for budget in CANDIDATES if budget != EXHAUSTIVE})])
    assert inference_budget is not None
    assert inference_budget.budget == EXHAUSTIVE
    assert inference_budget.budget.text() == "all folds and mirrorings over each window"


def test_all_folds_count_by_their_cases() -> None:
    folds = [trials({GATES[0]: 3 * TOLERANCE}, cases=1), trials({}, cases=9)]
    inference_budget = choose_budget(folds)
    assert inference_budget is not None
    assert inference_budget.budget.gate == GATES[0].gate
    assert inference_budget.worst_change == pytest.approx(0)
    assert inference_budget.dice_change == pytest.approx(0.3 * TOLERANCE)


def test_without_trials_there_is_no_choice() -> None:
    assert choose_budget([]) is None
    assert choose_budget([trials({}), Trials((), {})]) is None
    assert choose_budget([Trials((EXHAUSTIVE,), {"case": (0.5,)})]) is None


def test_stored_and_read_back() -> None:
    held = trials({GATES[0]: 0.01})
    assert Trials.from_json(held.to_json()) == held
    with pytest.raises(InputError, match="passes"):
        Trials.from_json({"budgets": [{"passes": "few", "gate": 0.5}], "dice": {}})
