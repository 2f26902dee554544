"""Models of nnU-Net v2 become ours number by number, or are refused by name."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from nnunet_model import DATA, SPECS, edit, nnunet_model, state_dict

from vmseg_auto.data.dataset_json import Description
from vmseg_auto.models.nnunet import (
    FoldFile,
    TrainedFold,
    read_configuration,
    read_plans,
)
from vmseg_auto.models.nnunet_conversion import convert_fold, convert_model, convert_plan
from vmseg_auto.planning.plan import Normalization, Plan
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.labels import Labels

HERE = ("configurations", "3d_fullres")
NETWORK = (*HERE, "architecture")
LAYERS = (*NETWORK, "arch_kwargs")
DESCRIPTION = Description("x", ("T2", "T1"), Labels({"background": 0, "core": 1, "rim": 2}), ".nii.gz", {})
FOLD = TrainedFold(FoldFile(0, Path("fold_0/checkpoint_final.pth")), "3d_fullres", "nnUNetTrainer", (0, 2), 10, {})


def convert(folder: Path, channels: int = 2, name: str = "3d_fullres") -> Plan:
    plans = read_plans(folder)
    path = folder / "plans.json"
    description = replace(DESCRIPTION, channels=("T2",) * channels)
    return convert_plan(plans, name, read_configuration(plans, name, path), description, path)


def test_every_number_of_a_plain_model_arrives(tmp_path: Path) -> None:
    plan = convert(nnunet_model(tmp_path, "plain", folds=()))
    assert plan.network == SPECS["plain"]
    assert plan.axes == (1, 0, 2)
    assert (plan.spacing_mm, plan.patch, plan.batch_size) == ((3.0, 1.0, 1.2), (4, 16, 12), 2)
    assert plan.median_shape == (8, 22, 20)
    assert plan.normalization == (
        Normalization("ct", mean=101.5, std=9.5, lower=71.5, upper=128.5),
        Normalization("zscore_in_mask"),
    )
    assert plan.reasons == ("imported from nnU-Net v2: Dataset001_PlainConvUNet, nnUNetPlans, 3d_fullres",)
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_every_number_of_a_residual_model_arrives(tmp_path: Path) -> None:
    plan = convert(nnunet_model(tmp_path, "residual", folds=()))
    assert plan.network == SPECS["residual"]
    assert plan.axes == (0, 1, 2)
    assert plan.normalization == (Normalization("zscore"), Normalization("none"))


def test_every_number_of_a_model_of_slices_arrives(tmp_path: Path) -> None:
    plan = convert(nnunet_model(tmp_path, "slices", folds=()), name="2d")
    assert plan.network == SPECS["slices"]
    assert plan.by_slice
    assert plan.target_spacing((2.6, 9.0, 9.0)) == (2.6, 1.0, 1.2)
    assert (plan.patch, plan.median_shape) == ((1, 16, 12), (1, 22, 20))
    info = convert_model(plan, DESCRIPTION, FOLD, "x")
    fold = replace(FOLD, mirror_axes=(0, 1), weights=state_dict("slices"))
    assert convert_fold(info, fold).config.mirror_axes == (1, 2)
    with pytest.raises(InputError, match=r"mirroring_axes is \(0, 2\)\. It may name axes 0, 1\."):
        convert_fold(info, replace(fold, mirror_axes=(0, 2)))


def test_one_number_stands_for_all_stages_and_axes(tmp_path: Path) -> None:
    folder = nnunet_model(tmp_path, "plain", folds=())
    for name, value in {
        "kernel_sizes": 3,
        "strides": [1, 2, 2],
        "features_per_stage": 7,
        "n_conv_per_stage": 2,
    }.items():
        edit(folder / "plans.json", (*LAYERS, name), value)
    network = convert(folder).network
    assert network.kernels == ((3, 3, 3),) * 3
    assert network.strides == ((1, 1, 1), (2, 2, 2), (2, 2, 2))
    assert (network.features, network.blocks) == ((7, 7, 7), (2, 2, 2))


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        (
            (*HERE, "patch_size"),
            [16],
            "the configuration 3d_fullres is 1-D",
        ),
        ((*HERE, "patch_size"), [1, 16, 12], "has 3-D patches of one slice"),
        (("image_reader_writer",), "NibabelIOWithReorient", "image_reader_writer is 'NibabelIOWithReorient'"),
        (("label_manager",), "MyManager", "label_manager is 'MyManager'"),
        ((*HERE, "preprocessor_name"), "MyPreprocessor", "preprocessor_name is 'MyPreprocessor'"),
        (
            (*HERE, "resampling_fn_data"),
            "resample_torch_fornnunet",
            "resampling_fn_data is 'resample_torch_fornnunet'",
        ),
        (
            (*HERE, "resampling_fn_probabilities"),
            "no_resampling_hack",
            "resampling_fn_probabilities is 'no_resampl",
        ),
        (
            (*HERE, "resampling_fn_data_kwargs", "order"),
            1,
            "resampling_fn_data_kwargs: order is 1.*Possible is 3",
        ),
        ((*HERE, "resampling_fn_data_kwargs", "order_z"), 1, "resampling_fn_data_kwargs: order_z is 1"),
        ((*HERE, "resampling_fn_data_kwargs", "force_separate_z"), ..., "kwargs: force_separate_z is False"),
        ((*HERE, "resampling_fn_data_kwargs", "mode"), "torch", "resampling_fn_data_kwargs has mode='torch'"),
        ((*HERE, "resampling_fn_probabilities_kwargs", "order"), 3, "probabilities_kwargs: order is 3"),
        ((*HERE, "resampling_fn_probabilities_kwargs", "order"), ..., "probabilities_kwargs: order is 3"),
        (
            (*HERE, "normalization_schemes"),
            ["RGBTo01Normalization"] * 2,
            "channel 0 is 'RGBTo01Normalization'",
        ),
        ((*HERE, "normalization_schemes"), ["ZScoreNormalization"], "2 channels, but 1 normalization_schemes"),
        (("foreground_intensity_properties_per_channel", "0", "std"), ..., "intensities of channel 0: std must be"),
        (("foreground_intensity_properties_per_channel", "0", "std"), 0, "std must be above 0"),
        ((*NETWORK, "network_class_name"), "a.MyNet", "network_class_name is 'a.MyNet'"),
        ((*LAYERS, "conv_op"), "torch.nn.modules.conv.Conv2d", "conv_op is 'torch.nn.modules.conv.Conv2d'"),
        ((*LAYERS, "conv_bias"), False, "conv_bias is False"),
        ((*LAYERS, "conv_bias"), ..., "conv_bias is False"),
        ((*LAYERS, "norm_op"), "torch.nn.BatchNorm3d", "norm_op is 'torch.nn.BatchNorm3d'"),
        ((*LAYERS, "norm_op_kwargs", "eps"), 1e-3, "norm_op_kwargs: eps is 0.001"),
        ((*LAYERS, "norm_op_kwargs"), {}, "norm_op_kwargs: affine is False"),
        ((*LAYERS, "norm_op_kwargs", "groups"), 2, "norm_op_kwargs has groups=2"),
        ((*LAYERS, "nonlin"), "torch.nn.ReLU", "nonlin is 'torch.nn.ReLU'"),
        ((*LAYERS, "nonlin_kwargs", "negative_slope"), 0.2, "nonlin_kwargs: negative_slope is 0.2"),
        ((*LAYERS, "dropout_op"), "torch.nn.Dropout3d", "dropout_op is 'torch.nn.Dropout3d'"),
        ((*LAYERS, "nonlin_first"), True, "nonlin_first is True"),
        ((*LAYERS, "stem_channels"), 7, "stem_channels is 7"),
        ((*LAYERS, "block"), "a.BottleneckD", "block is 'a.BottleneckD'"),
        ((*LAYERS, "squeeze_excitation"), True, "arch_kwargs has squeeze_excitation=True"),
        ((*LAYERS, "n_stages"), 10**9, r"n_stages is 1000000000\. 2 to 10 are possible"),
        ((*LAYERS, "n_stages"), ..., "n_stages must be a whole number"),
        ((*LAYERS, "n_conv_per_stage"), ..., "blocks must be a list"),
        ((*LAYERS, "features_per_stage"), [3, 4, 10**6], "features must be 1 to 4096"),
        ((*LAYERS, "features_per_stage"), [3, 4], "strides has 3 entries, but 2 features want 2"),
        ((*LAYERS, "kernel_sizes"), [3, 3, 2], "kernels must be odd numbers"),
        ((*LAYERS, "strides"), [[1, 1, 1], [3, 2, 2], 2], "strides must be 1, 2 or 4"),
        ((*HERE, "patch_size"), [4096, 16, 12], "larger than 2048 voxels"),
        ((*HERE, "spacing"), [0, 1, 1], r"spacing \(0\.0, 1\.0, 1\.0\) mm must be above 0"),
        (("transpose_forward",), [0, 0, 1], r"axes \(0, 0, 1\) is no order of 0, 1, 2"),
    ],
)
def test_other_ways_are_refused_by_name(tmp_path: Path, where: tuple[str, ...], value: Any, words: str) -> None:
    folder = nnunet_model(tmp_path, "plain", folds=())
    edit(folder / "plans.json", where, value)
    with pytest.raises(InputError, match=rf"(?s){words}") as caught:
        convert(folder)
    assert caught.value.exit_code == 2
    assert "plans.json" in str(caught.value)


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_settings_without_effect_are_passed_over(tmp_path: Path, kind: str) -> None:
    folder = nnunet_model(tmp_path, kind, folds=())
    for name, value in {"deep_supervision": True, "dropout_op_kwargs": {"p": 0.5}, "stem_channels": 3}.items():
        edit(folder / "plans.json", (*LAYERS, name), value)
    edit(folder / "plans.json", (*LAYERS, "nonlin_kwargs", "negative_slope"), 0.01)
    edit(folder / "plans.json", (*HERE, "resampling_fn_data_kwargs", "separate_z_anisotropy_threshold"), 3)
    assert convert(folder).network == SPECS[kind]


def test_a_fold_keeps_its_weights_mirroring_and_epochs() -> None:
    plan = convert(DATA / "plain")
    info = convert_model(plan, DESCRIPTION, FOLD, "Dataset001")
    fold = convert_fold(info, replace(FOLD, weights=state_dict("plain"), mirror_axes=(2, 0)), batch_dice=True)
    assert (info.trainer, info.dataset, info.channels, info.postprocessing) == (
        "nnUNetTrainer", "Dataset001", ("T2", "T1"), None,
    )  # fmt: skip
    assert (fold.config.mirror_axes, fold.config.epochs, fold.config.batch_dice) == ((0, 2), 10, True)
    assert (fold.plan, fold.labels, fold.fold, fold.epoch) == (plan, DESCRIPTION.labels, 0, 10)
    assert fold.optimizer == {}


def test_misfits_name_the_file_and_the_trainer() -> None:
    info = convert_model(convert(DATA / "plain"), DESCRIPTION, FOLD, "Dataset001")
    with pytest.raises(InputError, match=r"checkpoint_final\.pth: the weights do not fit.*the trainer nnUNetTrainer"):
        convert_fold(info, FOLD)
    with pytest.raises(InputError, match=r"mirroring_axes is \(0, 3\)"):
        convert_fold(info, replace(FOLD, mirror_axes=(0, 3)))


def test_the_golden_plans_are_left_as_they_are() -> None:
    plans = read_plans(DATA / "plain")
    before = copy.deepcopy(plans)
    convert_plan(plans, "3d_fullres", read_configuration(plans, "3d_fullres", DATA), DESCRIPTION, DATA)
    assert plans == before
