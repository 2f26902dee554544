"""Cases held on the device give the very batches that readers would have given."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import PLAN, prepare, tiny_case
from training import CASES, CPU, Diary, assert_same, make_parts

from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.training.fold_data import FoldSetup
from vmseg_auto.training.held_cases import gib_of, in_words
from vmseg_auto.training.loader import Boxes
from vmseg_auto.training.loop import sent, train_fold
from vmseg_auto.training.sampling import PatchSampler

CONFIG = TrainingConfig(epochs=2, iterations_per_epoch=3, amp=False, device_augmentation="on", monitor_cases=0)


@pytest.fixture(scope="module")
def preprocessed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The second case is smaller than a patch with its margin, the third annotated in part."""
    shapes = [(12, 20, 24), (6, 14, 40), (12, 20, 24)]
    cases = [tiny_case(name, seed, shape) for seed, (name, shape) in enumerate(zip("abc", shapes, strict=True))]
    cases[0] = replace(cases[0], annotated=np.argwhere(np.ones((2, 20, 24))).astype(np.int32))
    return prepare(tmp_path_factory.mktemp("preprocessed"), cases)


def setup_of(preprocessed: Path, room_gib: float | None, config: TrainingConfig = CONFIG) -> FoldSetup:
    return FoldSetup(make_parts(config), PLAN, preprocessed, CASES, 0, CPU, room_gib)


@pytest.mark.parametrize("settings", [[], ["by_lesion=true"], ["augment=false"]])
def test_what_is_cut_is_what_is_read(preprocessed: Path, settings: list[str]) -> None:
    config = CONFIG.with_settings(settings)
    ways = [setup_of(preprocessed, room, config) for room in (None, 1.0)]
    held = ways[1].held_cases()
    assert ways[0].held_cases() is None
    with ways[0].training_loader(1, range(2)) as reading, ways[1].training_loader(2, range(2)) as drawing:
        there = list(sent(reading.batches(3, 40), CPU))
        here = list(sent(drawing.batches(3, 40), CPU, held))
    for (image, label, batch), (own_image, own_label, boxes) in zip(there, here, strict=True):
        assert isinstance(boxes, Boxes)
        assert (batch.seeds, batch.cases) == (boxes.seeds, boxes.cases)
        assert torch.equal(image, own_image)
        assert torch.equal(label, own_label)
        assert label.dtype == own_label.dtype
    assert any((image == 0).any() for image, *_ in there), "boxes reach over the border"


def test_a_training_comes_to_the_same_bits(preprocessed: Path) -> None:
    config = replace(CONFIG, iterations_per_epoch=2, validation_share=0.0)
    read, held = (train_fold(setup_of(preprocessed, room, config), Diary()) for room in (None, 1.0))
    assert_same(read, held)


def test_a_part_of_a_batch_is_cut_alone(preprocessed: Path) -> None:
    setup = setup_of(preprocessed, 1.0)
    held = setup.held_cases()
    assert held is not None
    with setup.training_loader(1, range(2)) as loader, setup.training_loader(1, range(1, 2)) as second:
        whole, part = next(loader.batches(0, 1)), next(second.batches(0, 1))
    assert isinstance(whole, Boxes)
    assert isinstance(part, Boxes)
    assert torch.equal(held.cut(whole)[0][1:], held.cut(part)[0])


class Brighter(PatchSampler):
    """Changes what it reads."""


def test_only_what_fits_and_is_read_as_it_is_is_held(preprocessed: Path) -> None:
    size = gib_of(setup_of(preprocessed, None).training_source().open())
    assert size == (12 * 20 * 24 + 6 * 14 * 40) * 5 / 2**30
    assert setup_of(preprocessed, size).held_cases() is not None
    assert setup_of(preprocessed, 0.9 * size).held_cases() is None
    for config in (
        replace(CONFIG, device_augmentation="off"),  # workers augment
        replace(CONFIG, copy_paste=0.5),
    ):
        setup = setup_of(preprocessed, math.inf, config)
        assert (setup.held_cases(), setup.cases_in_words()) == (None, "")
    parts = make_parts(CONFIG)
    assert isinstance(parts.sampler, PatchSampler)
    own = replace(parts, sampler=Brighter(PLAN.patch, parts.sampler.read_shape))
    assert FoldSetup(own, PLAN, preprocessed, CASES, 0, CPU, 1.0).held_cases() is None


def test_it_is_said(preprocessed: Path) -> None:
    assert in_words(2.6, 8.0) == "The training cases (2.6 GiB) are held in the card's memory."
    assert "take 31 GiB, and of the card's memory 3.8 GiB are there for them" in in_words(31, 3.75)
    assert setup_of(preprocessed, None).cases_in_words() == ""
    assert "are held in" in setup_of(preprocessed, 1.0).cases_in_words()
    assert "patches are read" in setup_of(preprocessed, 0.0).cases_in_words()
