"""The trainers of the package are configs for the same parts."""

from __future__ import annotations

import pytest
import torch
from tiny import PLAN, tiny_plan

from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.registry import load_trainer, names
from vmseg_auto.training.augmentation.channel_dropout import ChannelDropout
from vmseg_auto.training.augmentation.copy_paste import CopyPaste
from vmseg_auto.training.augmentation.cpu import NNUNET, STRONG, NoAugmentation, PatchAugmentation
from vmseg_auto.training.losses import DeepSupervision, DiceCrossEntropy
from vmseg_auto.training.sampling import PatchSampler
from vmseg_auto.utils.errors import InputError
from vmseg_trainers.default import DefaultTrainer, make_loss
from vmseg_trainers.paper import PaperTrainer

CPU = torch.device("cpu")
LOSS = ("batch_dice", "tversky_alpha", "focus", "boundary_label_smoothing")


@pytest.mark.parametrize("name", names("vmseg_auto.trainers"))
def test_every_trainer_builds_its_parts(name: str) -> None:
    trainer = load_trainer(name)
    assert trainer.name == name
    parts = trainer(PLAN, trainer.config, CPU, 1, 2)
    assert parts.config == trainer.config
    outputs = parts.network.train()(torch.zeros(1, 1, *PLAN.patch))
    assert torch.isfinite(parts.loss(outputs, torch.zeros(1, *PLAN.patch, dtype=torch.int64)))


@pytest.mark.parametrize(
    ("settings", "changed"),
    [
        (["by_lesion=true"], {"by_lesion"}),
        (["copy_paste=0.5"], {"copy_paste"}),
        (["channel_dropout=0.3"], {"augment"}),
        (["strong_augmentation=true"], {"augment"}),
        (["augment=false"], {"augment", "read_shape"}),
        (["batch_dice=true"], {"batch_dice"}),
        (["tversky_alpha=0.3"], {"tversky_alpha"}),
        (["focal_gamma=2"], {"focus"}),
        (["boundary_label_smoothing=0.2"], {"boundary_label_smoothing"}),
        (["deep_supervision=false"], {"finest_only"}),
    ],
)
def test_a_setting_changes_its_part_and_no_other(settings: list[str], changed: set[str]) -> None:
    def features(config: TrainingConfig) -> dict[str, object]:
        parts = DefaultTrainer()(PLAN, config, CPU, 1, 2)
        sampler = parts.sampler.sampler if isinstance(parts.sampler, CopyPaste) else parts.sampler
        assert isinstance(sampler, PatchSampler)
        assert isinstance(parts.loss, DeepSupervision)
        assert isinstance(parts.loss.loss, DiceCrossEntropy)
        return {
            "by_lesion": sampler.by_lesion,
            "read_shape": sampler.read_shape,
            "copy_paste": parts.sampler.share if isinstance(parts.sampler, CopyPaste) else 0.0,
            "augment": parts.augment,
            "finest_only": parts.loss.finest_only,
            **{
                n: getattr(parts.loss.loss, n)
                for n in ("batch_dice", "tversky_alpha", "focus", "boundary_label_smoothing")
            },
        }

    plain, other = features(TrainingConfig()), features(TrainingConfig().with_settings(settings))
    assert {name for name, value in plain.items() if other[name] != value} == changed


def test_slices_are_trained_with_dice_over_the_batch_and_mirrored_in_their_plane() -> None:
    slices = tiny_plan(patch=(1, 16, 16), strides=((1, 1, 1), (1, 2, 2)), kernels=((1, 3, 3),) * 2)
    parts = DefaultTrainer()(slices, TrainingConfig(), CPU, 1, 2)
    assert isinstance(parts.loss, DeepSupervision)
    assert isinstance(parts.loss.loss, DiceCrossEntropy)
    assert parts.loss.loss.batch_dice
    assert parts.augment == PatchAugmentation((1, 16, 16), (1, 2), NNUNET)


def test_a_cascade_changes_masks_in_workers_and_pastes_no_lesions() -> None:
    cascade = tiny_plan(first_stage="lowres")
    parts = DefaultTrainer()(cascade, TrainingConfig(), CPU, 3, 3)
    assert parts.augment == PatchAugmentation(PLAN.patch, (0, 1, 2), NNUNET, masks=2)
    assert parts.device_augment is None
    with pytest.raises(InputError, match="copy_paste can't be used in a cascade"):
        DefaultTrainer()(cascade, TrainingConfig(copy_paste=0.5), CPU, 3, 3)
    with_dropout = DefaultTrainer()(cascade, TrainingConfig(channel_dropout=0.5), CPU, 4, 3)
    assert with_dropout.augment == ChannelDropout(parts.augment, 0.5, channels=2)


def test_channels_are_dropped_on_the_device_as_in_workers_and_no_lesions_pasted_then() -> None:
    parts = DefaultTrainer()(PLAN, TrainingConfig(channel_dropout=0.5), CPU, 2, 2)
    assert parts.device_augment is not None
    assert parts.device_augment.stands_for == parts.augment
    with pytest.raises(InputError, match="copy_paste can't be used with channel_dropout"):
        DefaultTrainer()(PLAN, TrainingConfig(channel_dropout=0.5, copy_paste=0.5), CPU, 2, 2)


def test_strong_augmentation_is_stronger_everywhere() -> None:
    assert DefaultTrainer()(PLAN, TrainingConfig(), CPU, 1, 2).augment == PatchAugmentation(
        PLAN.patch, (0, 1, 2), NNUNET
    )
    assert STRONG.rotation > NNUNET.rotation
    for name in ("zoom", "noise_std", "blur_sigma", "bias", "brightness", "contrast", "resolution", "gamma"):
        strong, plain = getattr(STRONG, name), getattr(NNUNET, name)
        assert strong.sample >= plain.sample
        assert strong.low <= plain.low
        assert strong.high >= plain.high
        assert strong != plain


def test_the_paper_trains_without_augmentation_mirroring_or_deep_supervision() -> None:
    parts = PaperTrainer()(PLAN, PaperTrainer.config, CPU, 1, 2)
    assert parts.augment == NoAugmentation()
    assert parts.device_augment is None
    assert parts.config.mirror_axes == ()
    levels = [torch.zeros(1, 2, *PLAN.patch), torch.full((1, 2, 4, 8, 8), torch.nan)]
    assert torch.isfinite(parts.loss(levels, torch.zeros(1, *PLAN.patch, dtype=torch.int64)))
    assert make_loss(TrainingConfig(), PLAN)(levels[:1], torch.zeros(1, *PLAN.patch, dtype=torch.int64)).isfinite()
