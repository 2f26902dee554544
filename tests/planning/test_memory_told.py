"""What docs/method.md tells of the memory of trainings is what users are told; tests/card holds that to operators."""

from __future__ import annotations

from pathlib import Path

import pytest
from cohorts import cohort

from vmseg_auto.planning.memory import card_gib, tensors_gib
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.registry import load_planner
from vmseg_auto.workflows.summary import DEFAULT_TRAINER, memory_needed
from vmseg_trainers.default import DefaultTrainer

PAGE = Path(__file__).parents[2] / "docs" / "method.md"
THICK = cohort([(4.0, 0.6, 0.6)] * 50, [(30, 320, 320)] * 50)


@pytest.mark.parametrize(
    ("planner", "memory_gb"),
    [
        ("default", 1), ("default", 8), ("default", 24), ("2d", 8), ("residual", 8), ("residual", 24), ("mednext_s", 8),
        ("mednext_b", 8),
    ],
)  # fmt: skip
def test_the_page_s_table(planner: str, memory_gb: int) -> None:
    plan, config = load_planner(planner)(THICK, memory_gb), DEFAULT_TRAINER
    told = f"| {card_gib(plan, 2, config):.1f} GiB | {tensors_gib(plan, 2, config):.1f} GiB |"
    assert f"| {planner} | {memory_gb:g} GB {told}" in PAGE.read_text(encoding="utf-8")


def test_it_is_what_the_default_trainer_takes() -> None:
    plan = load_planner("default")(THICK, 8)
    assert card_gib(plan, 2, DEFAULT_TRAINER) == card_gib(plan, 2, DefaultTrainer.config)
    assert f"about {card_gib(plan, 2, DefaultTrainer.config):.2g} GiB" in memory_needed(plan, 2)


def test_moments_and_a_running_mean_take_memory_too() -> None:
    plan = load_planner("default")(THICK, 8)
    plain, adamw, mean = (
        tensors_gib(plan, 2, TrainingConfig().with_settings(settings))
        for settings in ([], ["optimizer=adamw"], ["ema_decay=0.9"])
    )
    assert adamw == pytest.approx(mean)
    weights = 4 * sum(layer.weights for layer in plan.network.layers(2)) / 2**30
    assert mean - plain == pytest.approx(weights)
