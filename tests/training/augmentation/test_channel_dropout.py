"""Channels set to 0 at random: how often, never all, and what is missing stays so whatever the augmentation adds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vmseg_auto.contracts import Patch
from vmseg_auto.training.augmentation.channel_dropout import BatchChannelDropout, ChannelDropout, drawn
from vmseg_auto.training.augmentation.cpu import STRONG, NoAugmentation, PatchAugmentation, read_shape
from vmseg_auto.training.augmentation.device import BatchAugmentation

PATCH = (8, 16, 16)
READ = read_shape(PATCH)


def patch(*there: bool) -> Patch:
    rng = np.random.default_rng(0)
    image = np.stack([rng.normal(size=READ) * one for one in there]).astype(np.float32)
    return image, np.zeros(READ, np.uint8)


def left(image: NDArray[np.float32] | torch.Tensor) -> tuple[bool, ...]:
    return tuple(bool((channel != 0).any()) for channel in image)


def test_each_channel_is_dropped_as_often_as_asked_but_never_all() -> None:
    draws = [drawn(seed, 3, 0.3)[0] for seed in range(4000)]
    assert max(map(len, draws)) == 2
    kept_all = 0.3**3 / 3  # of draws of all three, one at random is kept
    for channel in range(3):
        assert np.mean([channel in dropped for dropped in draws]) == pytest.approx(0.3 - kept_all, abs=0.025)


def test_a_sample_is_a_function_of_its_seed_and_keeps_what_it_was_given() -> None:
    dropout = ChannelDropout(NoAugmentation(), 0.5, 2)
    given = patch(True, True)
    before = given[0].copy()
    results = [dropout(given, seed)[0] for seed in range(40)]
    assert {left(image) for image in results} == {(True, True), (True, False), (False, True)}
    np.testing.assert_array_equal(given[0], before)
    np.testing.assert_array_equal(dropout(given, 5)[0], results[5])
    kept = next(image for image in results if left(image) == (True, False))
    np.testing.assert_array_equal(kept[0], before[0])


@pytest.mark.parametrize("on_device", [False, True])
def test_a_missing_channel_stays_empty_and_the_only_other_is_never_dropped(on_device: bool) -> None:
    augment = PatchAugmentation(PATCH, (), STRONG)  # its noise alone would fill the empty channel
    seen = set()
    for seed in range(25):
        if on_device:
            image, label = (torch.from_numpy(array)[None] for array in patch(True, False))
            (made,), _ = BatchChannelDropout(BatchAugmentation(augment), 0.9, 2)(image, label, [seed])
        else:
            made = torch.from_numpy(ChannelDropout(augment, 0.9, 2)(patch(True, False), seed)[0])
        seen.add(left(made))
    assert seen == {(True, False)}


def test_a_batch_is_dropped_as_its_samples_are() -> None:
    augment = PatchAugmentation(PATCH, (1, 2), STRONG)
    batch = BatchChannelDropout(BatchAugmentation(augment), 0.4, 2)
    assert batch.stands_for == ChannelDropout(augment, 0.4, 2)
    image, label = patch(True, True)
    seeds = list(range(12))
    images = torch.from_numpy(np.stack([image] * 12))
    made, labels = batch(images, torch.from_numpy(np.stack([label] * 12)), seeds)
    assert made.shape == (12, 2, *PATCH)
    assert labels.shape == (12, *PATCH)
    assert [left(sample) for sample in made] == [left(batch.stands_for((image, label), seed)[0]) for seed in seeds]
    alone, _ = batch(images[3:4], labels[:1].new_zeros((1, *READ)), seeds[3:4])
    assert torch.equal(alone[0], made[3])


def test_masks_of_a_first_stage_are_no_channels_that_can_be_missing() -> None:
    image, label = patch(True, True, False)
    dropout = ChannelDropout(NoAugmentation(), 1.0, 2)
    assert {sum(left(dropout((image, label), seed)[0][:2])) for seed in range(9)} == {1}
    image[2] = 1
    assert all(left(dropout((image, label), seed)[0])[2] for seed in range(9))
