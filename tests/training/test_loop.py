"""The training loop learns, goes on where it stopped, and stops where it must."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import PLAN, IsKilled, prepare, tiny_case
from training import CASES, CPU, Diary, assert_same, make_parts, timeless, trained

from vmseg_auto.contracts import DeviceAugment, Parts
from vmseg_auto.data.dataset import Fold
from vmseg_auto.data.preprocessed import PreprocessedFolder
from vmseg_auto.models.checkpoints import TrainingState
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.training.augmentation.cpu import NoAugmentation, PatchAugmentation, read_shape
from vmseg_auto.training.fold_data import FoldSetup
from vmseg_auto.training.loop import seconds_per_step, train_fold
from vmseg_auto.training.overfitting import overfitting_checks
from vmseg_auto.utils.errors import VmsegError

SHORT = TrainingConfig(epochs=3, iterations_per_epoch=3, validation_share=0.5, amp=False)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def preprocessed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cases a, b, c; `broken` holds NaN."""
    broken = tiny_case("broken", 4)
    broken.image[0, 3:9] = np.nan
    return prepare(
        tmp_path_factory.mktemp("preprocessed"), [*(tiny_case(name, i) for i, name in enumerate("abc")), broken]
    )


@pytest.fixture(scope="module")
def uninterrupted(preprocessed: Path) -> tuple[TrainingState, Diary]:
    return trained(preprocessed, SHORT)


def test_hooks_are_called_in_order(uninterrupted: tuple[TrainingState, Diary]) -> None:
    _, diary = uninterrupted
    assert diary.events == [
        event
        for epoch in range(3)
        for event in [
            *(("step", epoch, step) for step in (1, 2, 3)),
            ("epoch", epoch + 1),
            ("save", epoch + 1),
        ]
    ]


def test_history_holds_a_row_an_epoch(uninterrupted: tuple[TrainingState, Diary]) -> None:
    end, diary = uninterrupted
    assert end.epoch == 3
    assert [timeless(row) for row in end.history] == [timeless(record.to_row()) for record in diary.records]
    for number, record in enumerate(diary.records):
        assert record.lr == pytest.approx(0.01 * (1 - number / 3) ** 0.9)
        assert math.isfinite(record.train_loss)
        assert math.isfinite(record.val_loss)
        assert 0 <= record.val_dice <= 1
        assert record.seconds > 0


def test_what_was_saved_stays_as_it_was(uninterrupted: tuple[TrainingState, Diary]) -> None:
    """A state that shared memory with the running training would change under the saver's hands."""
    end, diary = uninterrupted
    assert_same(diary.states[-1], end)
    first, last = diary.states[0], diary.states[-1]
    assert any(not torch.equal(first.weights[name], last.weights[name]) for name in first.weights)
    with pytest.raises(AssertionError):
        assert_same(replace(first, weights=last.weights, history=last.history), last)


def test_going_on_after_an_epoch_gives_the_same_bits(
    preprocessed: Path, uninterrupted: tuple[TrainingState, Diary]
) -> None:
    end, diary = uninterrupted
    saved = diary.states[0]
    before = deepcopy(saved)
    again, later = trained(preprocessed, SHORT, state=saved)
    assert later.events[0] == ("step", 1, 1)
    assert_same(again, end)
    assert_same(saved, before)


def test_the_number_of_workers_changes_no_bit(preprocessed: Path, uninterrupted: tuple[TrainingState, Diary]) -> None:
    again, _ = trained(preprocessed, SHORT, workers=2)
    assert_same(again, uninterrupted[0])


def test_on_the_device_batches_are_augmented_whole(
    preprocessed: Path, uninterrupted: tuple[TrainingState, Diary]
) -> None:
    """The CPU takes the way that CUDA takes by itself; going on, and the number of workers, change no bit."""
    config = replace(SHORT, device_augmentation="on")
    whole, diary = trained(preprocessed, config)
    assert_same(trained(preprocessed, config, workers=2)[0], whole)
    assert_same(trained(preprocessed, config, state=diary.states[0], workers=3)[0], whole)
    assert whole.history[0]["train_loss"] != uninterrupted[0].history[0]["train_loss"]
    for row, other in zip(whole.history, uninterrupted[0].history, strict=True):
        assert row["train_loss"] == pytest.approx(float(other["train_loss"]), abs=0.3)


def test_with_device_augmentation_workers_only_read(preprocessed: Path) -> None:
    parts = make_parts(replace(SHORT, device_augmentation="on"))
    source = FoldSetup(parts, PLAN, preprocessed, CASES, 0, CPU).training_source()
    batch = source.batch(source.open(), 0)
    assert source.augment == NoAugmentation()
    assert batch.image.shape == (2, 1, *read_shape(PLAN.patch))
    in_workers = FoldSetup(make_parts(SHORT), PLAN, preprocessed, CASES, 0, CPU).training_source()
    assert in_workers.batch(in_workers.open(), 0).seeds == batch.seeds


def device_augment(parts: Parts, device: str) -> DeviceAugment | None:
    return FoldSetup(parts, PLAN, Path(), CASES, 0, torch.device(device)).device_augment


def test_cuda_augments_by_itself_others_only_when_asked() -> None:
    parts = {choice: make_parts(replace(SHORT, device_augmentation=choice)) for choice in ("auto", "on", "off")}
    devices = ("cuda", "cpu", "mps")
    chosen = {choice: [bool(device_augment(parts[choice], device)) for device in devices] for choice in parts}
    assert chosen == {"auto": [True, False, False], "on": [True] * 3, "off": [False] * 3}
    assert device_augment(make_parts(replace(SHORT, augment=False)), "cuda") is None


def test_an_augmentation_of_ones_own_is_not_passed_over() -> None:
    """A trainer that replaces `augment` and forgets `device_augment` still gets what it asked for."""
    parts = replace(make_parts(SHORT), augment=PatchAugmentation(PLAN.patch, (1,)))
    assert device_augment(parts, "cuda") is None


def test_another_seed_or_fold_draws_other_patches(preprocessed: Path) -> None:
    def first_batch(config: TrainingConfig, fold: int | str) -> bytes:
        source = FoldSetup(make_parts(config), PLAN, preprocessed, CASES, fold, CPU).training_source()
        return source.batch(source.open(), 0)[0].tobytes()

    ways: list[tuple[TrainingConfig, int | str]] = [(SHORT, 0), (SHORT, 1), (SHORT, "all"), (replace(SHORT, seed=1), 0)]
    batches = [first_batch(*way) for way in ways]
    assert len(set(batches)) == 4
    assert first_batch(SHORT, 0) == batches[0]


def test_only_training_cases_are_drawn_from(preprocessed: Path) -> None:
    source = FoldSetup(make_parts(SHORT), PLAN, preprocessed, Fold(("a",), ("broken",)), 0, CPU).training_source()
    assert source.cases == ("a",)
    assert source.foreground == (False, True)


def test_the_loss_falls(preprocessed: Path) -> None:
    config = replace(SHORT, epochs=4, iterations_per_epoch=12, lr=0.01, optimizer="adamw", augment=False)
    _, diary = trained(preprocessed, config)
    assert diary.records[-1].train_loss < diary.records[0].train_loss - 0.4
    assert diary.records[-1].val_loss < diary.records[0].val_loss
    assert diary.records[-1].val_dice > 0.8


def test_mixed_precision_learns_the_same_thing(preprocessed: Path, uninterrupted: tuple[TrainingState, Diary]) -> None:
    """In 16 bits where this processor has them; in float32 it is the same training."""
    exact, _ = uninterrupted
    mixed, _ = trained(preprocessed, replace(SHORT, amp=True))
    assert all(tensor.dtype == torch.float32 for tensor in mixed.weights.values())
    for a, b in zip(exact.history, mixed.history, strict=True):
        assert b["train_loss"] == pytest.approx(a["train_loss"], abs=0.05)


def test_the_running_mean_is_what_is_kept_and_goes_on(preprocessed: Path) -> None:
    config = replace(SHORT, ema_decay=0.9)
    end, diary = trained(preprocessed, config)
    plain, _ = trained(preprocessed, SHORT)
    assert all(torch.equal(tensor, plain.weights[name]) for name, tensor in end.live.items()), "it only looks on"
    assert any(not torch.equal(tensor, end.live[name]) for name, tensor in end.weights.items())
    again, _ = trained(preprocessed, config, state=diary.states[0])
    assert_same(again, end)
    assert all(torch.equal(tensor, again.live[name]) for name, tensor in end.live.items())
    assert not plain.live


def test_every_ingredient_trains(preprocessed: Path) -> None:
    """All of a small cohort's settings together, in worker processes and as batches on the device."""
    config = replace(
        SHORT, epochs=1, ema_decay=0.9, copy_paste=1.0, by_lesion=True, strong_augmentation=True, batch_dice=True,
        tversky_alpha=0.4, focal_gamma=1.0, boundary_label_smoothing=0.2,
    )  # fmt: skip
    losses = [
        trained(preprocessed, replace(config, device_augmentation=way))[1].records[0].train_loss
        for way in ("on", "off")
    ]
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[0] != losses[1]


def test_states_are_saved_as_often_as_asked_and_at_the_end(preprocessed: Path) -> None:
    config = replace(SHORT, epochs=5, iterations_per_epoch=1, checkpoint_every=2, validation_share=0, augment=False)
    _, diary = trained(preprocessed, config)
    assert [event[1] for event in diary.events if event[0] == "save"] == [2, 4, 5]


def test_without_validation_cases_there_is_no_validation(preprocessed: Path) -> None:
    end, diary = trained(
        preprocessed, replace(SHORT, epochs=1, augment=False), cases=Fold(("a", "b", "c"), ()), fold="all"
    )
    assert math.isnan(diary.records[0].val_loss)
    assert math.isnan(diary.records[0].val_dice)
    assert math.isfinite(float(end.history[0]["train_loss"]))


def test_a_case_that_gives_no_finite_loss_ends_the_training_and_is_named(preprocessed: Path) -> None:
    """After going back once, with a tenth of the learning rate; a spoilt state must not replace a good one."""
    diary = Diary()
    parts = make_parts(replace(SHORT, augment=False))
    words = r"3 of 3 steps of epoch 1 gave a NaN .* learnt from broken\. Look at .*--set lr=0\.0001 --fresh"
    with pytest.raises(VmsegError, match=words):
        train_fold(FoldSetup(parts, PLAN, preprocessed, Fold(("broken",), ("c",)), 0, CPU), diary)
    assert not diary.states
    assert [event[:2] for event in diary.events if event[0] != "step"] == [("back", 0)]


def test_a_killed_worker_stops_the_training_with_a_remedy(preprocessed: Path) -> None:
    with pytest.raises(VmsegError, match=r"ended from outside.*the same command again"):
        trained(preprocessed, SHORT, change=lambda parts: replace(parts, sampler=IsKilled()))


def test_a_finished_state_is_given_back(preprocessed: Path, uninterrupted: tuple[TrainingState, Diary]) -> None:
    end, _ = uninterrupted
    again, diary = trained(preprocessed, SHORT, state=end)
    assert diary.events == []
    assert_same(again, end)


def test_the_time_of_a_step_is_measured(preprocessed: Path) -> None:
    seconds = seconds_per_step(FoldSetup(make_parts(SHORT), PLAN, preprocessed, CASES, 0, CPU), workers=1)
    assert 0 < seconds < 60


def test_the_work_of_predicting_validation_cases_is_counted_in_windows(preprocessed: Path) -> None:
    """A forward pass is a third of a training sample's work; four mirrorings; no case, no work."""
    config = replace(SHORT, mirror_axes=(0, 1), tile_step_size=1.0)
    setup = FoldSetup(make_parts(config), PLAN, preprocessed, CASES, 0, CPU)
    shapes = [PreprocessedFolder(preprocessed).load(case).image.shape[1:] for case in CASES.val]
    windows = sum(math.prod(math.ceil(n / p) for n, p in zip(shape, PLAN.patch, strict=True)) for shape in shapes)
    assert setup.validation_work == pytest.approx(4 * windows / (3 * PLAN.batch_size))
    assert replace(setup, cases=Fold(CASES.train, ())).validation_work == 0


def looked_at(end: TrainingState) -> list[int]:
    return [look.epoch for look in overfitting_checks(end.history)]


def test_training_with_and_without_looks_gives_the_same_bits(
    preprocessed: Path, uninterrupted: tuple[TrainingState, Diary]
) -> None:
    """The default checks once in so short a training."""
    often, _ = trained(preprocessed, replace(SHORT, monitor_share=1.0))
    never, _ = trained(preprocessed, replace(SHORT, monitor_cases=0))
    assert [looked_at(state) for state in (often, uninterrupted[0], never)] == [[1, 2, 3], [3], []]
    for state in (often, never):
        for name, tensor in state.weights.items():
            assert torch.equal(tensor, uninterrupted[0].weights[name]), name
        for row, other in zip(state.history, uninterrupted[0].history, strict=True):
            assert (row["train_loss"], row["val_loss"]) == (other["train_loss"], other["val_loss"])


def test_looks_go_into_the_history_with_their_gap(preprocessed: Path) -> None:
    end, _ = trained(preprocessed, replace(SHORT, monitor_share=1.0))
    for row in end.history:
        assert 0 <= row["gap_train_dice"] <= 1
        assert row["gap"] == row["gap_train_dice"] - row["gap_val_dice"]
