"""Every knob of a training. A knob is a field here, never a subclass of a trainer."""

from __future__ import annotations

import json
import typing
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from vmseg_auto.planning.plan import Plan
from vmseg_auto.planning.unknown_setting import remedy_of
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.json_codec import Stored, parse_setting


@dataclass(frozen=True)
class TrainingConfig(Stored):
    """Training settings; the defaults are nnU-Net v2's.

    Args:
        epochs: number of epochs.
        iterations_per_epoch: optimiser steps an epoch.
        validation_share: validation patches' batches an epoch, as a share of `iterations_per_epoch`.
        optimizer: "sgd" (Nesterov) or "adamw".
        lr: learning rate at the start.
        schedule: "poly" (by epoch) or "onecycle" (warm-up and cosine, by epoch).
        momentum: of SGD.
        weight_decay: L2 penalty.
        poly_power: exponent of the polynomial decay of the learning rate.
        gradient_clip: largest norm of the gradient.
        foreground_oversampling: share of a batch centred on a foreground voxel (at least one sample).
        by_lesion: whether it is a voxel of a random lesion, so that small ones come as often as large ones, rather than
            any foreground voxel.
        copy_paste: share of patches that get a lesion of another training case.
        channel_dropout: how often each channel of a training sample is set to 0, but never all of them, so that scans
            that lack one can be predicted.
        deep_supervision: whether the coarser decoder levels learn too.
        batch_dice: whether soft Dice sums over the batch before it divides, rather than a sample at a time.
        tversky_alpha: of false positives in Dice's denominator, false negatives get the rest up to 1; less
            than one half would rather find too much (Tversky).
        focal_gamma: exponent of the focal loss in place of cross-entropy; 0 is cross-entropy.
        boundary_label_smoothing: how unsure the truth is at a lesion's margin: share of a voxel's neighbours in it.
        ema_decay: decay, step by step, of a running mean of the weights, which is what predicts and is kept; 0 is none.
        augment: whether training patches are augmented.
        strong_augmentation: whether more often and further than nnU-Net does, with bias fields.
        device_augmentation: whether whole batches are augmented on the training's device, in place of samples in
            worker processes: "auto" (on CUDA only), "on" or "off". The distribution is the same, the draws are not.
        hold_cases: whether the training cases are held in a GPU's memory: "auto" (where they are at most a quarter of
            what the training leaves of it) or "off". It changes no result.
        clicks: whether the network is given a reader's clicks too, as two more channels with clicks that are drawn
            from the true mask (`vmseg_review -m`); of one label, and by no 2-D network or cascade.
        mirror_axes: patch axes (0 is the plan's first) that are mirrored in training and prediction.
        left_right_only: whether of these only the axis between the patient's left and right is mirrored, across which
            a head is symmetric, where the plan knows it.
        tile_step_size: distance of prediction windows as a share of the patch.
        checkpoint_every: epochs between two saved states.
        monitor_cases: training and validation cases, so many of each, that are predicted whole every few epochs; 0 for
            none.
        monitor_share: most of the training's work that these predictions may take.
        early_stopping: whether training ends, with its best weights, when the gap between training and validation Dice
            widens while validation stands still.
        amp: whether mixed precision is used where the hardware has it.
        compile: whether network and loss are compiled by torch.compile, which takes a minute and makes steps faster:
            "auto" (on CUDA, where a compiler is there and `deterministic` is not set), "on" or "off".
        deterministic: whether CUDA computes the same bits in every run, which takes longer; a CPU does so anyway.
        seed: of everything random.
    """

    epochs: int = 1000
    iterations_per_epoch: int = 250
    validation_share: float = 0.2
    optimizer: typing.Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.01
    schedule: typing.Literal["poly", "onecycle"] = "poly"
    momentum: float = 0.99
    weight_decay: float = 3e-5
    poly_power: float = 0.9
    gradient_clip: float = 12.0
    foreground_oversampling: float = 1 / 3
    by_lesion: bool = False
    copy_paste: float = 0.0
    channel_dropout: float = 0.0
    deep_supervision: bool = True
    batch_dice: bool = False
    tversky_alpha: float = 0.5
    focal_gamma: float = 0.0
    boundary_label_smoothing: float = 0.0
    ema_decay: float = 0.0
    augment: bool = True
    strong_augmentation: bool = False
    device_augmentation: typing.Literal["auto", "on", "off"] = "auto"
    hold_cases: typing.Literal["auto", "off"] = "auto"
    clicks: bool = False
    mirror_axes: tuple[int, ...] = (0, 1, 2)
    left_right_only: bool = False
    tile_step_size: float = 0.5
    checkpoint_every: int = 1
    monitor_cases: int = 4
    monitor_share: float = 0.05
    early_stopping: bool = False
    amp: bool = True
    compile: typing.Literal["auto", "on", "off"] = "auto"
    deterministic: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, high in _BOUNDS:
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"the setting {name} is {value}", remedy=f"It must lie between {low:g} and {high:g}.")
        axes = set(self.mirror_axes)
        if not axes <= {0, 1, 2} or len(axes) < len(self.mirror_axes):
            raise InputError(
                f"the setting mirror_axes is {self.mirror_axes}", remedy="It may name axes 0, 1 and 2, each once."
            )

    def mirrored(self, plan: Plan) -> tuple[int, ...]:
        """Return the patch axes that are mirrored under a plan: never the first where a patch is a slice."""
        axes = {1, 2} if plan.by_slice else {0, 1, 2}
        if self.left_right_only and plan.left_right is not None:
            axes &= {plan.left_right}
        return tuple(axis for axis in self.mirror_axes if axis in axes)

    def input_channels(self, plan: Plan, channels: int, classes: int) -> int:
        """Count a network's input channels: an image's, a cascade's masks, and two of clicks.

        Args:
            channels: of the image.
            classes: labels, background included.
        """
        return channels + plan.mask_channels(classes) + (2 if self.clicks else 0)

    def require_clicks_fit(self, plan: Plan, classes: int) -> None:
        """Raise InputError where a network can't be trained with clicks as the config wants.

        Args:
            classes: labels, background included.
        """
        why = (
            "a click lies in one slice, and a 2-D network sees no other"
            if plan.by_slice
            else "a cascade's first stage would not see them"
            if plan.first_stage
            else "a click does not tell which of several labels is meant"
            if plan.regions or classes != 2
            else ""
        )
        if self.clicks and why:
            raise InputError(f"clicks=true can't be used here: {why}", remedy="Leave --set clicks=true out.")

    @property
    def epoch_work(self) -> float:
        """An epoch's work in optimiser steps, at most, with its validation patches and the monitor's checks."""
        return self.iterations_per_epoch * (
            1 + 0.3 * self.validation_share + (self.monitor_share if self.monitor_cases else 0)
        )

    def with_settings(self, settings: Sequence[str]) -> TrainingConfig:
        """Return this config with `field=value` settings applied, such as ["epochs=100", "lr=0.02"].

        Raises:
            InputError: an unknown field or a value that it can't take.

        Example:
            >>> TrainingConfig().with_settings(["epochs=100", "lr=0.02"]).epochs
            100
        """
        hints = typing.get_type_hints(TrainingConfig)
        changes: dict[str, Any] = {}
        for setting in settings:
            name, sign, value = setting.partition("=")
            if not sign or name not in hints:
                known = [f.name for f in fields(TrainingConfig)]
                problem = f"there is no setting {name!r}" if sign else f"the setting {setting!r} has no '='"
                remedy = remedy_of(name if sign else "", value, known)
                raise InputError(problem, remedy=remedy)
            changes[name] = parse_setting(hints[name], value, f"the setting {name}")
        return replace(self, **changes)

    def settings(self, base: TrainingConfig) -> tuple[str, ...]:
        """Return the `field=value` settings that make this config of `base`.

        Example:
            >>> TrainingConfig(epochs=20, mirror_axes=(0,)).settings(TrainingConfig())
            ('epochs=20', 'mirror_axes=[0]')
        """
        changed = [f.name for f in fields(self) if getattr(self, f.name) != getattr(base, f.name)]
        values = {name: getattr(self, name) for name in changed}
        texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
        return tuple(f"{name}={text}" for name, text in texts.items())

    def differences(self, other: TrainingConfig) -> list[str]:
        """Describe the fields in which `other` differs; where cases are held is no difference, as it changes no result.

        >>> TrainingConfig(epochs=100).differences(TrainingConfig(epochs=50))
        ['epochs: 100 against 50']
        """
        return [
            f"{f.name}: {getattr(self, f.name)} against {getattr(other, f.name)}"
            for f in fields(self)
            if f.name != "hold_cases" and getattr(self, f.name) != getattr(other, f.name)
        ]


_BOUNDS: tuple[tuple[str, float, float], ...] = (
    ("epochs", 1, 1_000_000),
    ("iterations_per_epoch", 1, 1_000_000),
    ("validation_share", 0, 10),
    ("lr", 1e-12, 100),
    ("momentum", 0, 0.99999),
    ("weight_decay", 0, 10),
    ("poly_power", 0, 10),
    ("gradient_clip", 1e-6, 1e9),
    ("foreground_oversampling", 0, 1),
    ("copy_paste", 0, 1),
    ("channel_dropout", 0, 1),
    ("tversky_alpha", 0, 1),
    ("focal_gamma", 0, 10),
    ("boundary_label_smoothing", 0, 1),
    ("ema_decay", 0, 0.99999),
    ("tile_step_size", 0.05, 1),
    ("checkpoint_every", 1, 1_000_000),
    ("monitor_cases", 0, 1000),
    ("monitor_share", 0, 1),
    ("seed", 0, 2**31 - 1),
)
