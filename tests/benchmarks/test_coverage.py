"""The benchmark of stated levels: quick, seeded checks of each, which intervals that are too narrow fail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import coverage
from benchmarks.coverage import LEVELS, Task, report, simulate
from benchmarks.coverage_levels import DESIGNS, ONE, SEVERAL, dice, owners, true_dice
from vmseg_auto.evaluation import learning_curve
from vmseg_auto.evaluation.learning_curve_record import Interval

COHORTS = 200
SLACK = 7.0
"""Points: 3 that a level may be missed by, and 2.5 standard deviations of 200 cohorts."""
TITLES = {level.title: number for number, level in enumerate(LEVELS)}


@pytest.mark.parametrize(
    ("title", "variant", "patients"),
    [
        ("Mean of a score", f"none missed, {ONE}", 10),
        ("Mean of a score", f"none missed, {SEVERAL}", 10),
        ("Difference of means", "rarely large", 5),
        ("Volumes: limits of agreement", f"additive errors, {ONE}", 5),
        ("Volumes: limits of agreement", f"relative errors, {SEVERAL}", 5),
        ("Volumes: limits of agreement", f"growing errors, {ONE}", 10),
        ("Volumes: measurement error of a reader", f"relative errors, {ONE}", 20),
        ("Volumes: interval of a measured volume", f"relative errors, {ONE}", 5),
        ("Volumes: interval of a measured volume", f"additive errors, {SEVERAL}", 10),
        ("Follow-up: interval of a change", f"relative errors, {ONE}", 10),
        ("Dice to expect of a scan", SEVERAL, 20),
        ("Nothing found: probability of a lesion", f"six in ten, {SEVERAL}", 10),
        ("Volumes: ICC and Lin's CCC", f"relative errors, {SEVERAL}", 10),
        ("Learning curve", "two folds, sizes 10, 20, 40", 10),
        ("Learning curve", "one fold, sizes 5, 10, 20, 40", 20),
    ],
)
def test_what_is_stated_holds(title: str, variant: str, patients: int) -> None:
    for quantity, share in simulate(Task(TITLES[title], variant, patients, COHORTS)).items():
        if quantity == "either limit" or (quantity.endswith(" third") and patients < 10):
            continue  # from 20 patients on, and from 10
        assert share is not None, quantity
        assert share >= LEVELS[TITLES[title]].stated - SLACK, quantity


def test_a_gain_by_chance_is_as_frequent_as_told() -> None:
    (share,) = simulate(
        Task(TITLES["Choice of a model: chance of a gain where there is none"], "gains of 0 on average", 20, 1000)
    ).values()
    assert share == pytest.approx(100 / 6, abs=3)


def test_resampled_means_fail_this_check() -> None:
    """The percentile bootstrap, which intervals came from before."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(COHORTS):
        names = owners(rng, ONE, 5)
        values = dice(rng, names, 0.0)
        means = values[rng.integers(0, 5, (500, 5))].mean(axis=1)
        low, high = np.percentile(means, [2.5, 97.5])
        held += bool(low <= true_dice(0.0) <= high)
    assert 100 * held / COHORTS < 95 - SLACK


def test_curves_without_the_luck_of_training_fail_this_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def narrow(values: np.typing.NDArray[np.float64]) -> Interval:
        best = float(values[0])
        return Interval(best, best + 0.5 * float(values.min() - best), best + 0.5 * float(values.max() - best))

    monkeypatch.setattr(learning_curve, "_interval", narrow)
    found = simulate(Task(TITLES["Learning curve"], "five folds, sizes 10, 20, 40", 53, COHORTS))
    share = found["forecast, 53 patients"]
    assert share is not None
    assert share < 95 - SLACK


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.title)
def test_two_patients_are_told_nothing_but_a_choice_and_what_was_missed(level: object) -> None:
    number = LEVELS.index(level)  # type: ignore[arg-type]
    for variant in LEVELS[number].variants:
        for quantity, share in simulate(Task(number, variant, 2, 20)).items():
            assert share is None or quantity in ("counts as a gain", "probability of a lesion")


def test_the_same_seed_gives_the_same_figures() -> None:
    task = Task(TITLES["Mean of a score"], f"none missed, {ONE}", 5, 50)
    assert simulate(task) == simulate(task)


def test_the_page_marks_what_is_missed() -> None:
    number = TITLES["Learning curve"]
    done = {
        Task(number, variant, patients, 10): {"plateau": share}
        for variant in DESIGNS
        for patients, share in zip(coverage.PATIENTS, (None, 91.9, 92.1, 97.9, 98.1), strict=True)
    }
    page = report(done, 10)
    assert "| plateau | two folds, sizes 10, 20, 40 | - | **91.9** | 92.1 | 97.9 | *98.1* |" in page


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    out = tmp_path / "coverage.md"
    assert coverage.main(["--cohorts", "4", "--only", "Difference of means", "--jobs", "1", "--out", str(out)]) == 0
    assert "## Difference of means: 95 %" in out.read_text()


def test_a_part_is_shown_and_leaves_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    before = coverage.OUT.read_text()
    assert coverage.main(["--cohorts", "4", "--only", "Difference of means", "--jobs", "1"]) == 0
    assert "## Difference of means: 95 %" in capsys.readouterr().out
    assert coverage.OUT.read_text() == before


def test_no_cohort_is_a_wrong_number() -> None:
    with pytest.raises(SystemExit):
        coverage.main(["--cohorts", "0"])
