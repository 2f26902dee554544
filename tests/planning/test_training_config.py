"""Settings are read as people write them, within bounds, and told apart in words."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import PLAN, tiny_plan

from vmseg_auto.planning import unknown_setting
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.utils.errors import InputError


def test_the_defaults_are_nnunets() -> None:
    config = TrainingConfig()
    assert (config.epochs, config.iterations_per_epoch, config.lr, config.momentum) == (1000, 250, 0.01, 0.99)
    assert (config.weight_decay, config.poly_power, config.gradient_clip) == (3e-5, 0.9, 12.0)


def test_settings_replace_fields() -> None:
    config = TrainingConfig().with_settings(
        ["epochs=100", "lr=2e-3", "optimizer=adamw", "mirror_axes=[1, 2]", "augment=false", "epochs=7"]
    )
    assert config == replace(TrainingConfig(), epochs=7, lr=0.002, optimizer="adamw", mirror_axes=(1, 2), augment=False)
    assert TrainingConfig().with_settings([]) == TrainingConfig()


@given(
    st.builds(
        TrainingConfig,
        epochs=st.integers(1, 99),
        lr=st.floats(1e-9, 10),
        compile=st.sampled_from(["on", "off"]),
        mirror_axes=st.lists(st.integers(0, 2), unique=True).map(tuple),
        augment=st.booleans(),
    )
)
def test_settings_in_words_make_the_same_config(config: TrainingConfig) -> None:
    base = TrainingConfig(epochs=20, optimizer="adamw")
    assert base.with_settings(config.settings(base)) == config
    assert config.settings(config) == ()


def test_mirroring_across_the_mid_plane_alone() -> None:
    one, known = TrainingConfig(left_right_only=True), tiny_plan(left_right=2)
    assert TrainingConfig().mirrored(known) == one.mirrored(PLAN) == (0, 1, 2)
    assert one.mirrored(known) == (2,)
    assert replace(one, mirror_axes=(0, 1)).mirrored(known) == ()


def test_a_slice_is_mirrored_in_its_plane() -> None:
    slices = tiny_plan(patch=(1, 16, 16))
    assert TrainingConfig().mirrored(slices) == (1, 2)
    assert TrainingConfig(left_right_only=True).mirrored(replace(slices, left_right=0)) == ()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("epoch=3", "there is no setting 'epoch'"),
        ("epochs", "the setting 'epochs' has no '='"),
        ("=3", "there is no setting ''"),
    ],
)
def test_an_unknown_setting_lists_the_known_ones(setting: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        TrainingConfig().with_settings([setting])
    assert words in str(caught.value)
    for field in fields(TrainingConfig):
        assert field.name in str(caught.value)


def test_a_setting_with_a_slip_of_the_pen_is_guessed() -> None:
    with pytest.raises(InputError, match=r"no setting 'epoch'\. Did you mean epochs=5\?"):
        TrainingConfig().with_settings(["epoch=5"])
    with pytest.raises(InputError, match=r"no setting 'epochs '\. Did you mean epochs=5\?"):
        TrainingConfig().with_settings(["epochs = 5"])
    with pytest.raises(InputError, match=r"no setting 'quokka'\. Write"):
        TrainingConfig().with_settings(["quokka=5"])


@pytest.mark.parametrize("name", ["batch_size", "Batch-Size", "patch", "patch_size", "spacing", "features", "memory"])
def test_a_setting_of_the_plan_is_said_to_belong_there(name: str) -> None:
    with pytest.raises(InputError, match=r"It is part of the plan.*`vmseg_plan_and_preprocess`.*--memory") as caught:
        TrainingConfig().with_settings([f"{name}=5"])
    assert "Did you mean" not in str(caught.value)


def test_what_belongs_elsewhere_or_is_called_otherwise_is_said_to_be() -> None:
    for setting, words in (
        ("folds=3", "The folds are arguments of `vmseg_train`"),
        ("num_workers=3", "It is the option --jobs of `vmseg_train`."),
        ("threshold=0.3", "`vmseg_select` chooses it"),
        ("learning_rate=0.1", r"Did you mean lr=0.1\?"),
        ("num_epochs=7", r"Did you mean epochs=7\?"),
    ):
        with pytest.raises(InputError, match=words):
            TrainingConfig().with_settings([setting])


def test_no_setting_of_a_training_is_taken_for_one_of_elsewhere() -> None:
    names = {field.name for field in fields(TrainingConfig)}
    assert not names & {*unknown_setting._OPTIONS, *unknown_setting._CALLED_HERE}
    assert set(unknown_setting._CALLED_HERE.values()) <= names


@pytest.mark.parametrize(
    "setting",
    [
        "epochs=0", "epochs=1.5", "epochs=many", "epochs=", "iterations_per_epoch=-1", "lr=0", "lr=NaN", "lr=Infinity",
        "momentum=1", "foreground_oversampling=1.1", "validation_share=-0.1", "checkpoint_every=0", "seed=-1",
        "optimizer=adam", "schedule=cosine", "augment=1", "amp=maybe", "mirror_axes=[3]", "mirror_axes=[0, 0]",
        "monitor_cases=-1", "monitor_share=1.5", "early_stopping=1",
        "device_augmentation=cuda", "mirror_axes=0", "gradient_clip=0",
    ],
)  # fmt: skip
def test_an_impossible_value_names_its_setting(setting: str) -> None:
    with pytest.raises(InputError, match=f"the setting {setting.partition('=')[0]}"):
        TrainingConfig().with_settings([setting])


def test_bounds_hold_in_python_too() -> None:
    with pytest.raises(InputError, match="the setting lr is nan"):
        TrainingConfig(lr=float("nan"))


def test_differences_in_words() -> None:
    assert TrainingConfig().differences(TrainingConfig()) == []
    assert TrainingConfig().differences(TrainingConfig(epochs=5, seed=3)) == [
        "epochs: 1000 against 5",
        "seed: 0 against 3",
    ]


def test_json_round_trip() -> None:
    config = TrainingConfig(epochs=3, mirror_axes=(2,), optimizer="adamw", foreground_oversampling=0.5)
    assert TrainingConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_a_broken_file_is_refused() -> None:
    with pytest.raises(InputError, match=r"fold\.json: lr must be a number"):
        TrainingConfig.from_json({"lr": "fast"}, "fold.json")
    with pytest.raises(InputError, match=r"fold\.json has an unknown field: learning_rate"):
        TrainingConfig.from_json({"learning_rate": 0.1}, "fold.json")
    with pytest.raises(InputError, match="the setting epochs is 0"):
        TrainingConfig.from_json({"epochs": 0}, "fold.json")


def test_an_epochs_work_counts_validation_and_the_monitor() -> None:
    config = TrainingConfig(iterations_per_epoch=100, validation_share=0.5, monitor_share=0.1)
    assert config.epoch_work == pytest.approx(100 + 15 + 10)
    assert replace(config, monitor_cases=0).epoch_work == pytest.approx(100 + 15)
