"""A training that is interrupted anywhere ends, on the CPU, with the same bits as one that is not."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import PLAN, prepare, tiny_case
from torch import nn
from training import CASES, CPU, Diary, assert_same, make_parts

from vmseg_auto.contracts import Parts
from vmseg_auto.models.checkpoints import Checkpoint, TrainingState, load_newest, save_checkpoint
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.training.fold_data import FoldSetup
from vmseg_auto.training.loop import EpochRecord, Hooks, train_fold
from vmseg_auto.utils.signals import Stopped

PLAIN = TrainingConfig(
    epochs=3, iterations_per_epoch=3, validation_share=0.4, amp=False, device_augmentation="on", monitor_share=1.0
)
"""Samples are read in threads, which start at once."""
RECIPES = {
    "plain": PLAIN,
    "ema_decay": replace(PLAIN, ema_decay=0.9, optimizer="adamw", schedule="onecycle"),
    "early_stopping": replace(PLAIN, ema_decay=0.9, early_stopping=True, checkpoint_every=2),
}
EVENTS = 3 * (3 + 2)
"""Calls of hooks in a training: three steps, the epoch's end and a save, three times; one save less by twos."""
ADVISED_DROPOUT = "with a layer that draws random numbers"


class Interrupted(Hooks):
    """Hooks that keep states on disk, and raise at the call of a certain number: before or after what it does."""

    def __init__(
        self, folder: Path, config: TrainingConfig, stop_at: int, error: type[BaseException], done: bool
    ) -> None:
        self.latest, self.previous = folder / "latest.pt", folder / "previous.pt"
        self.config, self.stop_at, self.error, self.done = config, stop_at, error, done
        self.calls = itertools.count(1)

    def step_ended(self, epoch: int, step: int) -> None:
        self._passed()

    def epoch_ended(self, record: EpochRecord) -> None:
        self._passed()

    def gone_back(self, epoch: int, trouble: str) -> None:
        pytest.fail(trouble)

    def stop(self) -> int:
        return signal.SIGTERM if self.error is Stopped and next(self.calls) >= self.stop_at else 0

    def save(self, state: TrainingState) -> None:
        if self.done:
            self._write(state)
        self._passed()
        if not self.done:
            self._write(state)

    def _write(self, state: TrainingState) -> None:
        checkpoint = Checkpoint(
            **vars(state), plan=PLAN, config=self.config, labels={}, channels=(), trainer="default", fold=0
        )
        save_checkpoint(self.latest, checkpoint, keep=self.previous)

    def _passed(self) -> None:
        if self.error is not Stopped and next(self.calls) == self.stop_at:
            raise self.error("stopped here")

    def state(self) -> TrainingState | None:
        found, damaged = load_newest([self.latest, self.previous])
        assert not damaged
        return found


@pytest.fixture(scope="module")
def preprocessed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("preprocessed"), [tiny_case(name, i) for i, name in enumerate("abc")])


def parts_of(config: TrainingConfig, dropping: bool = False) -> Parts:
    parts = make_parts(config)
    if dropping:
        parts.network.bottom = nn.Dropout(0.5)
        parts.network.register_forward_pre_hook(lambda network, inputs: (network.bottom(inputs[0]),))
    return parts


def finished(
    preprocessed: Path,
    config: TrainingConfig,
    hooks: Hooks,
    state: TrainingState | None,
    dropping: bool,
    stop: Callable[[], int] = lambda: 0,
) -> TrainingState:
    setup = FoldSetup(parts_of(config, dropping), PLAN, preprocessed, CASES, 0, CPU)
    return train_fold(setup, hooks, state, stop=stop)


@pytest.mark.parametrize("name", [*RECIPES, ADVISED_DROPOUT])
def test_an_interruption_at_any_point_changes_no_bit(preprocessed: Path, tmp_path: Path, name: str) -> None:
    config, dropping = RECIPES.get(name, PLAIN), name == ADVISED_DROPOUT
    undisturbed = finished(preprocessed, config, Diary(), None, dropping)
    moments = range(1, EVENTS + 1 - (config.checkpoint_every > 1))
    for stop_at in moments:
        folder = tmp_path / str(stop_at)
        folder.mkdir()
        done = bool(stop_at % 2)  # before or after a save: each comes up, as does each error
        error = KeyboardInterrupt if stop_at % 3 else RuntimeError
        broken_off = Interrupted(folder, config, stop_at, error, done)
        with pytest.raises(error, match="stopped here"):
            finished(preprocessed, config, broken_off, None, dropping)
        again = finished(preprocessed, config, Diary(), broken_off.state(), dropping)
        assert_same(again, undisturbed, "exp_avg" if config.optimizer == "adamw" else "momentum_buffer")
        assert again.epoch == undisturbed.epoch


@pytest.mark.parametrize("name", [*RECIPES, ADVISED_DROPOUT])
def test_asked_to_stop_it_saves_within_the_epoch(preprocessed: Path, tmp_path: Path, name: str) -> None:
    """After each step of the training, and it goes on with the next one."""
    config, dropping = RECIPES.get(name, PLAIN), name == ADVISED_DROPOUT
    undisturbed = finished(preprocessed, config, Diary(), None, dropping)
    for steps in range(1, config.epochs * config.iterations_per_epoch + 1):
        folder = tmp_path / str(steps)
        folder.mkdir()
        asked = Interrupted(folder, config, steps, Stopped, done=True)
        with pytest.raises(Stopped, match="SIGTERM"):
            finished(preprocessed, config, asked, None, dropping, asked.stop)
        state = asked.state()
        assert state
        assert state.epoch * config.iterations_per_epoch + len(state.under_way) == steps
        diary = Diary()
        again = finished(preprocessed, config, diary, state, dropping)
        assert_same(again, undisturbed, "exp_avg" if config.optimizer == "adamw" else "momentum_buffer")
        assert (
            len([event for event in diary.events if event[0] == "step"])
            == config.epochs * config.iterations_per_epoch - steps
        )
