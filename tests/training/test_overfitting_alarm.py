"""The overfitting monitor's alarm is given for trainings that overfit, and ends them where that is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import prepare, tiny_case, tiny_plan
from training import Diary, assert_same, trained

from vmseg_auto.data.dataset import Fold
from vmseg_auto.data.preprocessed import PreprocessedCase
from vmseg_auto.models.checkpoints import TrainingState
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.training.overfitting import best_check, overfitting_alarm, overfitting_checks

pytestmark = pytest.mark.usefixtures("one_thread")

NARROW = tiny_plan(patch=(8, 16, 16), features=(8, 16))
TRUE = Fold(train=("t0", "t1"), val=("t2", "t3"))
UNRELATED = Fold(train=("u0", "u1"), val=("u2", "u3"))
LEARNING = TrainingConfig(
    epochs=12, iterations_per_epoch=14, validation_share=0.0, optimizer="adamw", schedule="onecycle", augment=False,
    foreground_oversampling=0.0, amp=False, monitor_share=1.0,
)  # fmt: skip


def unrelated(case: PreprocessedCase, seed: int) -> PreprocessedCase:
    """The image says nothing of the lesion: it can be learned by heart, and that is of no use elsewhere."""
    noise = np.random.default_rng(seed).normal(size=case.image.shape).astype(np.float32)
    return replace(case, id=case.id.replace("t", "u"), image=noise)


@pytest.fixture(scope="module")
def learnable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cases = [tiny_case(f"t{i}", i, NARROW.patch) for i in range(4)]
    return prepare(tmp_path_factory.mktemp("learnable"), cases + [unrelated(c, i) for i, c in enumerate(cases)])


@pytest.fixture(scope="module")
def by_heart(learnable: Path) -> tuple[TrainingState, Diary]:
    return trained(learnable, LEARNING, UNRELATED, plan=NARROW)


def test_the_alarm_is_given_for_a_training_that_overfits_and_for_no_other(
    learnable: Path, by_heart: tuple[TrainingState, Diary]
) -> None:
    checks = overfitting_checks(by_heart[0].history)
    assert checks[-1].train > 0.9
    assert checks[-1].val < 0.3
    alarm = overfitting_alarm(checks, LEARNING.epochs)
    assert alarm is not None
    assert alarm.check.epoch < LEARNING.epochs
    healthy = overfitting_checks(trained(learnable, LEARNING, TRUE, plan=NARROW)[0].history)
    assert healthy[-1].val > 0.9
    assert overfitting_alarm(healthy, LEARNING.epochs) is None


def test_stopping_on_the_gap_gives_the_best_weights_also_after_a_pause(
    learnable: Path, by_heart: tuple[TrainingState, Diary]
) -> None:
    whole, diary = by_heart
    checks = overfitting_checks(whole.history)
    alarm = overfitting_alarm(checks, LEARNING.epochs)
    assert alarm is not None
    best = best_check([check for check in checks if check.epoch <= alarm.check.epoch])
    config = replace(LEARNING, early_stopping=True)
    stopped, stopping = trained(learnable, config, UNRELATED, plan=NARROW)
    assert stopping.records[-1].epoch == len(stopped.history) == alarm.check.epoch
    assert stopped.epoch == best.epoch < alarm.check.epoch
    for name, tensor in stopped.weights.items():
        assert torch.equal(tensor, diary.states[best.epoch - 1].weights[name]), name
    for pause in (best.epoch + 1, alarm.check.epoch):
        again, going_on = trained(learnable, config, UNRELATED, plan=NARROW, state=stopping.states[pause - 1])
        assert len(going_on.records) == alarm.check.epoch - pause
        assert_same(again, stopped, "exp_avg")
        assert again.epoch == stopped.epoch


def test_without_overfitting_nothing_is_stopped(learnable: Path) -> None:
    config = replace(LEARNING, early_stopping=True)
    end, diary = trained(learnable, config, TRUE, plan=NARROW)
    assert end.epoch == config.epochs
    assert_same(end, diary.states[-1], "exp_avg")
