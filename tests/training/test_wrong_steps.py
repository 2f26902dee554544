"""Steps that go wrong are skipped; where they are many, the training goes back once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import PLAN, prepare, tiny_case
from training import CASES, CPU, Diary, assert_same, make_parts, trained

from vmseg_auto.contracts import Parts
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.training.fold_data import FoldSetup
from vmseg_auto.training.loader import Batch
from vmseg_auto.training.loop import sent, train_fold
from vmseg_auto.utils.errors import VmsegError

CONFIG = TrainingConfig(
    epochs=3, iterations_per_epoch=4, validation_share=0.5, amp=False, device_augmentation="on", monitor_cases=0
)
"""Samples are read in threads, which start at once."""


@pytest.fixture(scope="module")
def preprocessed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("preprocessed"), [tiny_case(name, i) for i, name in enumerate("abc")])


@dataclass
class WrongAt:
    """A loss that is NaN in the steps of these numbers, counted from the start of the process."""

    loss: Callable[[list[torch.Tensor], torch.Tensor], torch.Tensor]
    steps: Sequence[int]
    taken: int = 0

    def __call__(self, logits: list[torch.Tensor], label: torch.Tensor) -> torch.Tensor:
        loss = self.loss(logits, label)
        if not loss.requires_grad:
            return loss
        self.taken += 1
        return loss * math.nan if self.taken in self.steps else loss


@dataclass
class WrongAbove:
    """A loss that is NaN while the learning rate is above a limit, as where training diverges."""

    parts: Parts
    limit: float

    def __call__(self, logits: list[torch.Tensor], label: torch.Tensor) -> torch.Tensor:
        loss = self.parts.loss(logits, label)
        return loss * math.nan if self.parts.optimizer.param_groups[0]["lr"] > self.limit else loss


def rates(*rates: float) -> Callable[[float], float]:
    """A schedule by epoch."""
    return lambda progress: rates[round(progress * len(rates))]


def with_rates(*those: float) -> Callable[[Parts], Parts]:
    return lambda parts: replace(parts, schedule=rates(*those))


def test_a_single_step_that_goes_wrong_is_skipped_and_counted(preprocessed: Path) -> None:
    end, diary = trained(preprocessed, CONFIG, change=lambda parts: replace(parts, loss=WrongAt(parts.loss, steps=[6])))
    assert [record.skipped_steps for record in diary.records] == [0, 1, 0]
    assert [row["skipped_steps"] for row in end.history] == [0, 1, 0]
    assert all(math.isfinite(record.train_loss) for record in diary.records)
    assert set(diary.records[1].suspects) <= {"a", "b"}
    assert diary.records[1].suspects
    assert diary.records[0].suspects == ()
    assert "suspects" not in end.history[1]
    assert end.lr_factor == 1


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_many_lead_back_to_the_last_state_with_a_tenth_of_the_rate(preprocessed: Path, ema_decay: float) -> None:
    """Bit for bit as if the lower rates had been there from the start."""
    config = replace(CONFIG, ema_decay=ema_decay)

    def diverges(parts: Parts) -> Parts:
        return replace(parts, schedule=rates(0.01, 0.05, 0.05), loss=WrongAbove(parts, limit=0.02))

    end, diary = trained(preprocessed, config, change=diverges)
    assert [event[:2] for event in diary.events if event[0] != "step"] == [
        ("epoch", 1), ("save", 1), ("back", 1), ("epoch", 2), ("save", 2), ("epoch", 3), ("save", 3),
    ]  # fmt: skip
    ((_, _, words),) = [event for event in diary.events if event[0] == "back"]
    assert str(words).startswith("4 of 4 steps of epoch 2 gave a NaN or infinite loss or gradient; they learnt from ")
    assert [record.lr for record in diary.records] == pytest.approx([0.01, 0.005, 0.005])
    assert [state.lr_factor for state in diary.states] == [1.0, 0.1, 0.1]
    calm, _ = trained(preprocessed, config, change=with_rates(0.01, 0.05 * 0.1, 0.05 * 0.1))
    assert_same(end, calm)
    for state in diary.states[:2]:
        again, _ = trained(preprocessed, config, state=state, change=diverges)
        assert_same(again, end)
        assert again.lr_factor == end.lr_factor


def test_before_the_first_state_it_goes_back_to_the_start(preprocessed: Path) -> None:
    def diverges(parts: Parts) -> Parts:
        return replace(parts, schedule=rates(0.05, 0.01, 0.01), loss=WrongAbove(parts, limit=0.02))

    end, diary = trained(preprocessed, CONFIG, change=diverges)
    assert [event[1] for event in diary.events if event[0] == "back"] == [0]
    calm, _ = trained(preprocessed, CONFIG, change=with_rates(0.05 * 0.1, 0.01 * 0.1, 0.01 * 0.1))
    assert_same(end, calm)


def test_states_in_between_are_not_needed(preprocessed: Path) -> None:
    """Two epochs are lost where every second one is saved."""
    config = replace(CONFIG, epochs=4, checkpoint_every=2)

    def diverges(parts: Parts) -> Parts:
        return replace(parts, schedule=rates(0.01, 0.01, 0.01, 0.05), loss=WrongAbove(parts, limit=0.02))

    end, diary = trained(preprocessed, config, change=diverges)
    kept = [event[:2] for event in diary.events if event[0] in ("back", "save")]
    assert kept == [("save", 2), ("back", 2), ("save", 4)]
    assert [row["epoch"] for row in end.history] == [1, 2, 3, 4]


def test_the_second_time_it_ends(preprocessed: Path) -> None:
    diary = Diary()
    parts = make_parts(CONFIG)
    wrong = replace(parts, schedule=rates(0.01, 0.01, 0.3), loss=WrongAbove(parts, limit=0.02))
    with pytest.raises(VmsegError, match=r"fails also with 0\.1 times the learning rate: 4 of 4 steps of epoch 3"):
        train_fold(FoldSetup(wrong, PLAN, preprocessed, CASES, 0, CPU), diary)
    assert [state.epoch for state in diary.states] == [1, 2]


def test_weights_that_become_infinite_are_never_kept(preprocessed: Path) -> None:
    """Loss and gradient of the last step were finite, and where it led was not."""
    diary, config = Diary(), replace(CONFIG, iterations_per_epoch=1)
    parts = make_parts(config)
    steep = replace(parts, schedule=rates(0.01, 3e38, 0.01), loss=lambda logits, label: 1e6 * parts.loss(logits, label))
    with pytest.raises(VmsegError, match=r"fails also with 0\.1 times the learning rate"):
        train_fold(FoldSetup(steep, PLAN, preprocessed, CASES, 0, CPU), diary)
    ((_, epoch, words),) = [event for event in diary.events if event[0] == "back"]
    assert epoch == 1
    assert str(words).startswith("weights became NaN or infinite in epoch 2; the last step learnt from ")
    assert all(tensor.isfinite().all() for state in diary.states for tensor in state.weights.values())


def test_a_network_too_large_for_memory_ends_with_a_smaller_plan(preprocessed: Path) -> None:
    def no_room(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    parts = make_parts(CONFIG)
    parts.network.register_forward_pre_hook(no_room)
    with pytest.raises(VmsegError, match="--planner default --memory 4`, then this command with --fresh"):
        train_fold(FoldSetup(parts, PLAN, preprocessed, CASES, 0, CPU), Diary())


def test_a_loss_that_grows_beyond_reason_ends_the_training_in_words(preprocessed: Path) -> None:
    """Every loss was finite, and nothing was learnt any more."""
    diary = Diary()
    parts = make_parts(CONFIG)

    def grows(logits: Sequence[torch.Tensor], label: torch.Tensor) -> torch.Tensor:
        return parts.loss(logits, label) * (1e6 if parts.optimizer.param_groups[0]["lr"] < 0.005 else 1)

    grown = replace(parts, schedule=rates(0.01, 0.001, 0.001), loss=grows)
    with pytest.raises(VmsegError, match=r"fails also with 0\.1 times the learning rate: the loss grew to .*e\+0\d"):
        train_fold(FoldSetup(grown, PLAN, preprocessed, CASES, 0, CPU), diary)
    assert [state.epoch for state in diary.states] == [1]


@pytest.mark.parametrize(
    "name", ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"))]
)
def test_batches_arrive_whole_and_in_order(name: str) -> None:
    device = torch.device(name)
    rng = np.random.default_rng(0)
    batches = [
        Batch(
            rng.random((2, 1, 8, 9, 10), dtype=np.float32),
            rng.integers(0, 9, (2, 8, 9, 10), np.uint8),
            (i, i + 1),
            ("a",),
        )
        for i in range(20)
    ]
    arrived = list(sent(iter(batches), device))
    assert len(arrived) == 20
    for batch, (image, label, sent_batch) in zip(batches, arrived, strict=True):
        assert image.device.type == label.device.type == name
        assert np.array_equal(image.cpu().numpy(), batch.image)
        assert np.array_equal(label.cpu().numpy(), batch.label)
        assert label.dtype == torch.uint8
        assert sent_batch is batch
