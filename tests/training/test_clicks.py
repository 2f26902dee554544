"""A fold is trained with clicks, and validated and watched without any."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from tiny import PLAN, prepare, tiny_case
from training import CPU, trained

from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_trainers.default import DefaultTrainer


@pytest.mark.slow
def test_a_fold_learns_with_clicks(tmp_path: Path) -> None:
    folder = prepare(tmp_path, [tiny_case(name, seed) for seed, name in enumerate("abc")])
    config = TrainingConfig(
        epochs=1, iterations_per_epoch=2, validation_share=1, monitor_cases=1, monitor_share=1, clicks=True
    )
    state, diary = trained(folder, config, change=lambda parts: DefaultTrainer()(PLAN, parts.config, CPU, 3, 2))
    record = diary.records[-1]
    assert all(map(math.isfinite, (record.train_loss, record.val_loss, record.gap_train_dice, record.gap_val_dice)))
    assert next(iter(state.weights.values())).shape[1] == 3
