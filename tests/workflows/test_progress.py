"""A user hears of a training what it is worth, and is warned once."""

from __future__ import annotations

import csv
import itertools
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from consoles import Heard

from vmseg_auto.data.runs import FoldFolder
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.training.loop import EpochRecord
from vmseg_auto.utils.console import SilentProgress
from vmseg_auto.workflows.progress import FoldProgress

NAN = float("nan")


@dataclass
class Notes(SilentProgress):
    """A progress bar that keeps its notes."""

    notes: list[str] = field(default_factory=list)
    steps: int = 0

    def advance(self, steps: int = 1) -> None:
        self.steps += steps

    def note(self, *texts: str) -> None:
        self.notes.append(", ".join(texts))


def record(epoch: int, train: float, val: float) -> EpochRecord:
    return EpochRecord(epoch, 0.5, 0.6, 0.7, 0.01, 1.0, train, val)


def overfitting(epochs: int) -> list[EpochRecord]:
    """Looks every second epoch; validation stands at 0.6 from the start."""
    return [
        record(epoch, 0.6 + 0.4 * epoch / epochs, 0.6) if epoch % 2 == 0 else record(epoch, NAN, NAN)
        for epoch in range(1, epochs + 1)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> FoldFolder:
    return FoldFolder(tmp_path / "fold_3")


def test_the_bar_shows_the_last_look(folder: FoldFolder) -> None:
    notes = Notes()
    fold_progress = FoldProgress(folder, TrainingConfig(epochs=9), Heard(), notes)
    for row in (record(1, NAN, NAN), record(2, 0.9, 0.65), record(3, NAN, NAN)):
        fold_progress.epoch_ended(row)
    assert notes.notes == [
        "Dice of patches 0.700, epoch 1/9, loss 0.500",
        "validation Dice 0.650, train Dice 0.900, epoch 2/9, loss 0.500, gap 0.250",
        "validation Dice 0.650, train Dice 0.900, epoch 3/9, loss 0.500, gap 0.250",
    ]


def test_without_validation_cases_no_dice_is_shown(folder: FoldFolder) -> None:
    notes = Notes()
    FoldProgress(folder, TrainingConfig(epochs=9), Heard(), notes).epoch_ended(
        replace(record(1, NAN, NAN), val_dice=NAN)
    )
    assert notes.notes == ["epoch 1/9, loss 0.500"]


def test_history_holds_dice_and_gap(folder: FoldFolder) -> None:
    fold_progress = FoldProgress(folder, TrainingConfig(epochs=9), Heard(), Notes())
    fold_progress.epoch_ended(record(1, NAN, NAN))
    fold_progress.epoch_ended(record(2, 0.9, 0.65))
    with folder.history.open(newline="") as file:
        rows = [(row["gap_train_dice"], row["gap_val_dice"], row["gap"]) for row in csv.DictReader(file)]
    assert rows == [("", "", ""), ("0.9", "0.65", "0.25")]


def test_a_warning_in_plain_words_comes_once(folder: FoldFolder) -> None:
    heard = Heard()
    fold_progress = FoldProgress(folder, TrainingConfig(epochs=40), heard, Notes())
    for row in overfitting(40):
        fold_progress.epoch_ended(row)
    (warning,) = heard.warned
    assert warning.startswith("Fold 3 learns its training cases by heart: Dice 0.")
    assert "0.60 on validation cases, which have not improved since epoch 6." in warning
    assert "--set early_stopping=true --fresh" in warning


def test_the_warning_is_not_repeated_when_training_goes_on(folder: FoldFolder) -> None:
    rows, heard = overfitting(40), Heard()
    fold_progress = FoldProgress(folder, TrainingConfig(epochs=40), heard, Notes(), [row.to_row() for row in rows[:30]])
    for row in rows[30:]:
        fold_progress.epoch_ended(row)
    assert heard.warned == []


def test_a_training_that_stops_says_so(folder: FoldFolder) -> None:
    heard = Heard()
    fold_progress = FoldProgress(folder, TrainingConfig(epochs=40, early_stopping=True), heard, Notes())
    for row in overfitting(40):
        fold_progress.epoch_ended(row)
    (warning,) = heard.warned
    assert (
        "It ends here, in epoch 14 of 40, with the weights of epoch 2, the best on validation cases (0.60)." in warning
    )


def test_without_overfitting_no_word(folder: FoldFolder) -> None:
    heard = Heard()
    fold_progress = FoldProgress(folder, TrainingConfig(epochs=40), heard, Notes())
    for epoch in range(1, 41):
        fold_progress.epoch_ended(record(epoch, 0.5 + epoch / 100, 0.45 + epoch / 100))
    assert heard.warned == []


def skipped(epoch: int, steps: int) -> EpochRecord:
    return replace(record(epoch, NAN, NAN), skipped_steps=steps, suspects=("anna", "bert") if steps else ())


def test_the_forecast_holds_the_prediction_of_validation_cases(
    folder: FoldFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of 2 s: 9 x 100 of them, and validation cases that are as much work as 300."""
    clock = itertools.count(step=2.0)
    monkeypatch.setattr("vmseg_auto.workflows.progress.time.monotonic", lambda: next(clock))
    config = TrainingConfig(epochs=9, iterations_per_epoch=100, validation_share=0, monitor_cases=0)
    heard = Heard()
    fold_progress = FoldProgress(folder, config, heard, Notes(), validation_work=300)
    for step in range(1, 20):
        fold_progress.step_ended(0, step)
    assert heard.said == [
        "Fold 3 will take about 40 min here (9 epochs of 100 steps; 10 min of it for predicting its validation cases)."
    ]


def test_skipped_steps_are_told_once_and_counted_on(folder: FoldFolder) -> None:
    heard, config = Heard(), TrainingConfig(epochs=9)
    fold_progress = FoldProgress(folder, config, heard, Notes())
    for row in (skipped(1, 0), skipped(2, 3), skipped(3, 1)):
        fold_progress.epoch_ended(row)
    (warning,) = heard.warned
    assert warning.startswith(
        "Fold 3, epoch 2: 3 of 250 steps gave a NaN or infinite loss or gradient and were skipped."
    )
    assert "They learnt from anna, bert." in warning
    with folder.history.open(newline="") as file:
        assert [row["skipped_steps"] for row in csv.DictReader(file)] == ["0", "3", "1"]
    again = Heard()
    FoldProgress(folder, config, again, Notes(), fold_progress.history).epoch_ended(skipped(4, 2))
    assert again.warned == []


@pytest.mark.parametrize(("epoch", "place"), [(1, "the state after epoch 1"), (0, "its start")])
def test_the_way_back_is_told_and_taken(folder: FoldFolder, epoch: int, place: str) -> None:
    heard, notes = Heard(), Notes()
    fold_progress = FoldProgress(folder, TrainingConfig(epochs=9, iterations_per_epoch=5), heard, notes)
    fold_progress.epoch_ended(record(1, NAN, NAN))
    fold_progress.epoch_ended(record(2, NAN, NAN))
    fold_progress.gone_back(epoch, "5 of 5 steps of epoch 3 were wrong")
    assert heard.warned == [
        f"Fold 3 goes back to {place}, and on with a tenth of the learning rate: 5 of 5 steps of epoch 3 were wrong."
    ]
    assert notes.steps == -5 * (3 - epoch)
    fold_progress.epoch_ended(record(epoch + 1, NAN, NAN))
    with folder.history.open(newline="") as file:
        assert [int(row["epoch"]) for row in csv.DictReader(file)] == [*range(1, epoch + 2)]
