"""The cheapest effort is chosen among those that change nothing that counts."""

from __future__ import annotations

import pytest

from vmseg_auto.planning.inference_budget import (
    CANDIDATES,
    EXHAUSTIVE,
    FEWER_LOOKS,
    GATES,
    TOLERANCE,
    Effort,
    Trials,
    choose_economy,
)
from vmseg_auto.utils.errors import InputError


def trials(changes: dict[Effort, float], cases: int = 4) -> Trials:
    """Every case at a Dice of 0.6, changed by each effort."""
    dice = tuple(0.6 + changes.get(effort, 0.0) for effort in CANDIDATES)
    return Trials(CANDIDATES, {f"case_{number}": dice for number in range(cases)})


def test_where_nothing_changes_the_cheapest_are_chosen() -> None:
    economy = choose_economy([trials({})])
    assert economy is not None
    assert economy.effort == Effort(looks=1, gate=0.5)
    assert economy.cases == 4
    assert economy.dice_change == pytest.approx(0)
    assert economy.effort.text() == "1 look at each part of a scan"


@pytest.mark.parametrize("sign", [1, -1])
def test_a_change_beyond_the_tolerance_is_refused_in_either_direction(sign: int) -> None:
    changes = {FEWER_LOOKS[0]: sign * 2 * TOLERANCE, GATES[0]: sign * 2 * TOLERANCE, GATES[1]: 0.9 * TOLERANCE}
    economy = choose_economy([trials(changes)])
    assert economy is not None
    assert economy.effort == Effort(looks=2, gate=0.3)
    assert economy.effort.text().startswith("2 looks at each part of a scan, but one look where nothing is likelier")
    assert economy.dice_change == pytest.approx(0.9 * TOLERANCE)


@pytest.mark.parametrize("sign", [1, -1])
def test_both_savings_together_stay_within_the_tolerance(sign: int) -> None:
    changes = {FEWER_LOOKS[0]: 0.8 * TOLERANCE, GATES[0]: sign * 0.3 * TOLERANCE, GATES[1]: sign * 0.1 * TOLERANCE}
    economy = choose_economy([trials(changes)])
    assert economy is not None
    assert economy.effort == Effort(looks=1, gate=GATES[1].gate), "what one gains does not pay for the other"
    assert economy.dice_change == pytest.approx((0.8 + sign * 0.1) * TOLERANCE)


def test_where_everything_changes_all_is_kept() -> None:
    economy = choose_economy([trials({effort: -0.01 for effort in CANDIDATES if effort != EXHAUSTIVE})])
    assert economy is not None
    assert economy.effort == EXHAUSTIVE
    assert economy.effort.text() == "all folds and mirrorings at each part of a scan"


def test_all_folds_count_by_their_cases() -> None:
    folds = [trials({GATES[0]: 3 * TOLERANCE}, cases=1), trials({}, cases=9)]
    economy = choose_economy(folds)
    assert economy is not None
    assert economy.effort.gate == GATES[0].gate
    assert economy.worst_change == pytest.approx(0)
    assert economy.dice_change == pytest.approx(0.3 * TOLERANCE)


def test_without_trials_there_is_no_choice() -> None:
    assert choose_economy([]) is None
    assert choose_economy([trials({}), Trials((), {})]) is None
    assert choose_economy([Trials((EXHAUSTIVE,), {"case": (0.5,)})]) is None


def test_stored_and_read_back() -> None:
    held = trials({GATES[0]: 0.01})
    assert Trials.from_json(held.to_json()) == held
    with pytest.raises(InputError, match="looks"):
        Trials.from_json({"efforts": [{"looks": "few", "gate": 0.5}], "dice": {}})
