"""Model folders of nnU-Net v2 are read as they are, and nothing in them runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from nnunet_model import checkpoint, edit, nnunet_model, save, state_dict
from trap import Trap

from vmseg_auto.models.nnunet import (
    Configuration,
    FoldFile,
    find_folds,
    read_configuration,
    read_fold,
    read_labels,
    read_plans,
)
from vmseg_auto.utils.errors import InputError

HERE = ("configurations", "3d_fullres")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return nnunet_model(tmp_path / "nnUNetTrainer__nnUNetPlans__3d_fullres")


def configuration(folder: Path, name: str = "3d_fullres") -> Configuration:
    return read_configuration(read_plans(folder), name, folder / "plans.json")


def test_plans(folder: Path) -> None:
    plans = read_plans(folder)
    assert (plans.dataset_name, plans.plans_name) == ("Dataset001_PlainConvUNet", "nnUNetPlans")
    assert plans.transpose_forward == (1, 0, 2)
    assert plans.foreground_intensity_properties_per_channel["1"]["percentile_99_5"] == 128.5


def test_configuration(folder: Path) -> None:
    found = configuration(folder)
    assert (found.patch_size, found.spacing, found.batch_size) == ((4, 16, 12), (3.0, 1.0, 1.2), 2)
    assert found.normalization_schemes == ("CTNormalization", "ZScoreNormalization")
    assert found.use_mask_for_norm == (False, True)
    assert found.previous_stage is None
    assert found.architecture.arch_kwargs["n_conv_per_stage"] == [2, 1, 2]


def test_a_configuration_inherits(folder: Path) -> None:
    path = folder / "plans.json"
    edit(path, ("configurations", "larger"), {"inherits_from": "3d_fullres", "batch_size": 5})
    edit(path, ("configurations", "largest"), {"inherits_from": "larger", "patch_size": [8, 16, 12]})
    found = configuration(folder, "largest")
    assert (found.batch_size, found.patch_size, found.spacing) == (5, (8, 16, 12), (3.0, 1.0, 1.2))


@pytest.mark.parametrize(
    ("parent", "words"),
    [
        ("largest", "configuration largest, which inherits from largest goes round in a circle"),
        ("gone", "configuration largest, which inherits from gone is not in the plans"),
        (["3d_fullres"], "inherits_from must be a text"),
    ],
)
def test_impossible_inheritance(folder: Path, parent: Any, words: str) -> None:
    edit(folder / "plans.json", ("configurations", "largest"), {"inherits_from": parent})
    with pytest.raises(InputError, match=words):
        configuration(folder, "largest")


def test_the_older_description_of_a_network_means_the_same(folder: Path) -> None:
    path = folder / "plans.json"
    new = configuration(folder)
    edit(path, (*HERE, "architecture"), ...)
    kwargs = new.architecture.arch_kwargs
    for key, value in {
        "UNet_class_name": "PlainConvUNet", "UNet_base_num_features": 3, "unet_max_num_features": 10,
        "n_conv_per_stage_encoder": [2, 1, 2], "n_conv_per_stage_decoder": [1, 2],
        "conv_kernel_sizes": kwargs["kernel_sizes"], "pool_op_kernel_sizes": kwargs["strides"],
        "num_pool_per_axis": [1, 2, 2],
    }.items():  # fmt: skip
        edit(path, (*HERE, key), value)
    old = configuration(folder).architecture
    assert old.network_class_name == new.architecture.network_class_name
    assert old.arch_kwargs["features_per_stage"] == [3, 6, 10]
    for name in ("n_stages", "n_conv_per_stage", "kernel_sizes", "strides", "norm_op", "norm_op_kwargs", "nonlin"):
        assert old.arch_kwargs[name] == kwargs[name], name
    edit(path, (*HERE, "UNet_class_name"), ...)
    with pytest.raises(InputError, match=r"plans\.json: the plans lack the network's UNet_class_name"):
        configuration(folder)


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        (("transpose_forward",), [0, 1], r"transpose_forward must be a list of 3 values"),
        (("configurations",), ..., r"plans\.json lacks the field configurations"),
        ((*HERE, "spacing"), ["1", 1, 1], r"3d_fullres: spacing\[0\] must be a number"),
        ((*HERE, "architecture"), [], "architecture is missing"),
        ((*HERE, "architecture", "arch_kwargs"), None, "arch_kwargs must be an object"),
        ((*HERE, "use_mask_for_norm"), 1, "use_mask_for_norm must be a list"),
    ],
)
def test_fields_of_the_wrong_kind_are_named(folder: Path, where: tuple[str, ...], value: Any, words: str) -> None:
    edit(folder / "plans.json", where, value)
    with pytest.raises(InputError, match=words):
        configuration(folder)


def test_another_folder_is_refused_with_the_right_one_named(folder: Path) -> None:
    with pytest.raises(InputError, match=r"no plans\.json.*TRAINER__PLANS__CONFIGURATION"):
        read_plans(folder.parent)
    (folder / "plans.json").write_text("{")
    with pytest.raises(InputError, match="no valid JSON"):
        read_plans(folder)
    (folder / "plans.json").write_text("[]")
    with pytest.raises(InputError, match="an object is missing"):
        read_plans(folder)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"background": 0, "whole": [1, 2], "core": 1}, "hold several values need regions_class_order"),
        ({"background": 0, "lesion": 2}, "label values must be 0, 1, 2 and so on without gaps, not 0, 2"),
    ],
)
def test_labels_that_we_do_not_have(folder: Path, labels: dict[str, Any], words: str) -> None:
    edit(folder / "dataset.json", ("labels",), labels)
    with pytest.raises(InputError, match=rf"(?s)Segment with nnUNetv2_predict.*{words}"):
        read_labels(folder)


def test_a_model_trained_with_ignored_voxels_has_no_output_for_them(folder: Path) -> None:
    edit(folder / "dataset.json", ("labels",), {"background": 0, "core": 1, "rim": 2, "ignore": 3})
    assert read_labels(folder).classes == {"background": 0, "core": 1, "rim": 2}


def test_channels_and_labels(folder: Path) -> None:
    found = read_labels(folder)
    assert (found.channels, found.labels) == (("T2", "T1"), {"background": 0, "core": 1, "rim": 2})


def test_folds_are_found_and_the_final_checkpoint_comes_before_the_best(folder: Path) -> None:
    save(folder, {}, fold=0, name="checkpoint_best.pth")
    save(folder, {}, fold=3, name="checkpoint_best.pth")
    save(folder, {}, fold="all")
    assert [(f.fold, f.file.name) for f in find_folds(folder)] == [
        (0, "checkpoint_final.pth"),
        (3, "checkpoint_best.pth"),
        ("all", "checkpoint_final.pth"),
    ]
    assert [f.fold for f in find_folds(folder, ["all", 0])] == ["all", 0]


def test_a_missing_fold_is_named(folder: Path) -> None:
    (folder / "fold_2").mkdir()
    with pytest.raises(InputError, match=r"fold 2 has no checkpoint_final\.pth or checkpoint_best\.pth.*--folds"):
        find_folds(folder)
    assert [f.fold for f in find_folds(folder, [0])] == [0]
    with pytest.raises(InputError, match="fold 4 has no"):
        find_folds(folder, [0, 4])
    with pytest.raises(InputError, match="the model has no fold"):
        find_folds(folder.parent)


def test_a_checkpoint(folder: Path) -> None:
    found = read_fold(find_folds(folder)[0])
    assert (found.configuration, found.trainer, found.epochs) == ("3d_fullres", "nnUNetTrainer", 10)
    assert found.mirror_axes == (0, 2)
    assert found.weights.keys() == state_dict("plain").keys()


@pytest.mark.parametrize("axes", [None, ()])
def test_a_training_without_mirroring(folder: Path, axes: Any) -> None:
    path = save(folder, checkpoint("plain", inference_allowed_mirroring_axes=axes))
    assert read_fold(FoldFile(0, path)).mirror_axes == ()


@pytest.mark.parametrize("place", ["network_weights", "init_args", "logging", "another"])
def test_code_in_a_checkpoint_never_runs(folder: Path, tmp_path: Path, place: str) -> None:
    path = save(folder, {**checkpoint("plain"), place: Trap(tmp_path / "sprung")})
    with pytest.raises(InputError, match=r"mkdir, and objects other than tensors, numbers and texts are never loaded"):
        read_fold(FoldFile(0, path))
    assert not (tmp_path / "sprung").exists()
    torch.load(path, weights_only=False)
    assert (tmp_path / "sprung").exists(), "the trap itself works"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1], "the checkpoint of nnU-Net v2 is missing"),
        ({"state_dict": {}}, "init_args is missing"),
        ({"init_args": {}, "trainer_name": "t"}, "configuration must be a text"),
        ({"init_args": {"configuration": "2d"}}, "lacks the field trainer_name"),
        ({"init_args": {"configuration": "2d"}, "trainer_name": "t"}, "network_weights is missing"),
        (checkpoint("plain", network_weights={"a": 1}), "network_weights: a is no tensor"),
        (checkpoint("plain", inference_allowed_mirroring_axes="012"), "mirroring_axes must be a list"),
        (checkpoint("plain", current_epoch="ten"), "current_epoch must be a whole number"),
    ],
)
def test_what_is_no_checkpoint_of_nnunet(tmp_path: Path, content: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_fold(FoldFile(0, save(tmp_path, content)))


@pytest.mark.parametrize("share", [0.0, 0.4, 0.99])
def test_a_truncated_checkpoint(folder: Path, share: float) -> None:
    source = find_folds(folder)[0]
    data = source.file.read_bytes()
    source.file.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match=r"damaged or from elsewhere\. Copy the file again"):
        read_fold(source)


def test_fields_that_we_do_not_need_are_passed_over(folder: Path) -> None:
    data = json.loads((folder / "plans.json").read_text())
    assert {"original_median_shape_after_transp", "experiment_planner_used"} <= data.keys()
    edit(folder / "plans.json", ("something_new",), {"a": 1})
    read_plans(folder)
