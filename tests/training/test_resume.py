"""A training that is interrupted anywhere ends, on the CPU, with the same bits as one that is not."""

from __future__ import annotations

import itertools
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import PLAN, prepare, tiny_case
from torch import nn
from training import CASES, CPU, Diary, assert_same, make_parts

from vmseg_auto.contracts import Parts
from vmseg_auto.models.checkpoints import Checkpoint, TrainingState, load_newest, save_checkpoint
from vmseg_auto.planning.training_config import Recipe
from vmseg_auto.training.fold_data import FoldSetup
from vmseg_auto.training.loop import Hooks, train_fold
from vmseg_auto.utils.signals import Stopped

PLAIN = Recipe(epochs=3, steps=3, validation_share=0.4, amp=False, device_augmentation="on", gap_share=1.0)
"""Samples are read in threads, which start at once."""
RECIPES = {
    "plain": PLAIN,
    "averaging": replace(PLAIN, averaging=0.9, optimizer="adamw", schedule="onecycle"),
    "stop_on_gap": replace(PLAIN, averaging=0.9, stop_on_gap=True, checkpoint_every=2),
}
EVENTS = 3 * (3 + 2)
"""Calls of hooks in a training: three steps, the epoch's end and a save, three times; one save less by twos."""
DROPPING = "with a layer that draws random numbers"


class Interrupted:
    """Hooks that keep states on disk, and raise at the call of a certain number: before or after what it does."""

    def __init__(self, folder: Path, recipe: Recipe, stop_at: int, error: type[BaseException], done: bool) -> None:
        self.latest, self.previous = folder / "latest.pt", folder / "previous.pt"
        self.recipe, self.stop_at, self.error, self.done = recipe, stop_at, error, done
        self.calls = itertools.count(1)

    @property
    def hooks(self) -> Hooks:
        return Hooks(
            lambda epoch, step: self._passed(),
            lambda record: self._passed(),
            self._save,
            lambda epoch, trouble: pytest.fail(trouble),
            self._asked,
        )

    def _asked(self) -> int:
        return signal.SIGTERM if self.error is Stopped and next(self.calls) >= self.stop_at else 0

    def _save(self, state: TrainingState) -> None:
        if self.done:
            self._write(state)
        self._passed()
        if not self.done:
            self._write(state)

    def _write(self, state: TrainingState) -> None:
        checkpoint = Checkpoint(
            **vars(state), plan=PLAN, recipe=self.recipe, labels={}, channels=(), trainer="default", fold=0
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
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("prepared"), [tiny_case(name, i) for i, name in enumerate("abc")])


def parts_of(recipe: Recipe, dropping: bool = False) -> Parts:
    parts = make_parts(recipe)
    if dropping:
        parts.network.bottom = nn.Dropout(0.5)
        parts.network.register_forward_pre_hook(lambda network, inputs: (network.bottom(inputs[0]),))
    return parts


def finished(
    prepared: Path, recipe: Recipe, hooks: Hooks, state: TrainingState | None, dropping: bool
) -> TrainingState:
    return train_fold(FoldSetup(parts_of(recipe, dropping), PLAN, prepared, CASES, 0, CPU), hooks, state)


@pytest.mark.parametrize("name", [*RECIPES, DROPPING])
def test_an_interruption_at_any_point_changes_no_bit(prepared: Path, tmp_path: Path, name: str) -> None:
    recipe, dropping = RECIPES.get(name, PLAIN), name == DROPPING
    undisturbed = finished(prepared, recipe, Diary().hooks, None, dropping)
    moments = range(1, EVENTS + 1 - (recipe.checkpoint_every > 1))
    for stop_at in moments:
        folder = tmp_path / str(stop_at)
        folder.mkdir()
        done = bool(stop_at % 2)  # before or after a save: each comes up, as does each error
        error = KeyboardInterrupt if stop_at % 3 else RuntimeError
        broken_off = Interrupted(folder, recipe, stop_at, error, done)
        with pytest.raises(error, match="stopped here"):
            finished(prepared, recipe, broken_off.hooks, None, dropping)
        again = finished(prepared, recipe, Diary().hooks, broken_off.state(), dropping)
        assert_same(again, undisturbed, "exp_avg" if recipe.optimizer == "adamw" else "momentum_buffer")
        assert again.epoch == undisturbed.epoch


@pytest.mark.parametrize("name", [*RECIPES, DROPPING])
def test_asked_to_stop_it_saves_within_the_epoch(prepared: Path, tmp_path: Path, name: str) -> None:
    """After each step of the training, and it goes on with the next one."""
    recipe, dropping = RECIPES.get(name, PLAIN), name == DROPPING
    undisturbed = finished(prepared, recipe, Diary().hooks, None, dropping)
    for steps in range(1, recipe.epochs * recipe.steps + 1):
        folder = tmp_path / str(steps)
        folder.mkdir()
        asked = Interrupted(folder, recipe, steps, Stopped, done=True)
        with pytest.raises(Stopped, match="SIGTERM"):
            finished(prepared, recipe, asked.hooks, None, dropping)
        state = asked.state()
        assert state
        assert state.epoch * recipe.steps + len(state.under_way) == steps
        diary = Diary()
        again = finished(prepared, recipe, diary.hooks, state, dropping)
        assert_same(again, undisturbed, "exp_avg" if recipe.optimizer == "adamw" else "momentum_buffer")
        assert len([event for event in diary.events if event[0] == "step"]) == recipe.epochs * recipe.steps - steps
