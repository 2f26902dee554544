"""Trained models of nnU-Net v2 on disk, read as plain values under nnU-Net's own field names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import torch

from vmseg_auto.data.dataset_json import Description, read_description
from vmseg_auto.data.runs import FoldName, Run
from vmseg_auto.models.safe_archive import finite_tensors, load_archive
from vmseg_auto.models.safe_pickle import Anything
from vmseg_auto.planning.network import Int3
from vmseg_auto.utils.atomic import read_json
from vmseg_auto.utils.errors import DatasetError, InputError
from vmseg_auto.utils.json_codec import decode

T = TypeVar("T")
USE_NNUNET = "Segment with nnUNetv2_predict instead; this program can't do the same with such a model."
RESTORE = "Copy the file again from where the model was trained."
_KEEP_LARGEST = "remove_all_but_largest_component_from_segmentation"
CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")
"""The first of them that a fold holds is taken."""


@dataclass(frozen=True)
class Plans:
    """What plans.json says for all configurations.

    Args:
        image_reader_writer: the class that reads scans.
        transpose_forward: order in which the scan's (Z, Y, X) axes are taken.
        foreground_intensity_properties_per_channel: channel number -> the cohort's mean, std, percentiles.
        configurations: configuration name -> its fields.
    """

    dataset_name: str
    plans_name: str
    image_reader_writer: str
    transpose_forward: Int3
    configurations: dict[str, dict[str, Any]]
    label_manager: str = "LabelManager"
    foreground_intensity_properties_per_channel: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Architecture:
    """The network: a class and what it is built with."""

    network_class_name: str
    arch_kwargs: dict[str, Any]


@dataclass(frozen=True)
class Configuration:
    """One configuration of plans.json; sizes in voxels and spacing in mm, in the transposed order."""

    preprocessor_name: str
    batch_size: int
    patch_size: tuple[int, ...]
    median_image_size_in_voxels: tuple[float, ...]
    spacing: tuple[float, ...]
    normalization_schemes: tuple[str, ...]
    use_mask_for_norm: tuple[bool, ...]
    resampling_fn_data: str
    resampling_fn_data_kwargs: dict[str, Any]
    resampling_fn_probabilities: str
    resampling_fn_probabilities_kwargs: dict[str, Any]
    architecture: Architecture
    batch_dice: bool = False
    previous_stage: str | None = None


@dataclass(frozen=True)
class FoldFile:
    """One fold's checkpoint on disk."""

    fold: FoldName
    file: Path


@dataclass(frozen=True)
class TrainedFold:
    """One fold's checkpoint.

    Args:
        configuration: name of the configuration that it was trained with.
        trainer: name of the trainer's class.
        mirror_axes: axes, in the transposed order, that prediction mirrors.
        epochs: epochs done.
        weights: the network's state dict.
    """

    source: FoldFile
    configuration: str
    trainer: str
    mirror_axes: tuple[int, ...]
    epochs: int
    weights: dict[str, torch.Tensor]


@dataclass(frozen=True)
class _About:
    configuration: str
    trainer_name: str
    inference_allowed_mirroring_axes: tuple[int, ...] | None = None
    current_epoch: int = 0


@dataclass(frozen=True)
class _PostProcessing:
    postprocessing_fns: tuple[str, ...]
    postprocessing_kwargs: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class _Parent:
    inherits_from: str | None = None


def read_plans(folder: Path) -> Plans:
    """Read plans.json of a model folder.

    Raises:
        InputError: the folder is no model of nnU-Net v2, or a field is missing or of the wrong type.
    """
    path = folder / "plans.json"
    if not path.is_file():
        raise InputError(
            "this is no model folder of nnU-Net v2: it has no plans.json",
            file=folder,
            remedy="Give the unpacked folder named TRAINER__PLANS__CONFIGURATION, "
            "such as nnUNetTrainer__nnUNetPlans__3d_fullres.",
        )
    data = _object(read_json(path, RESTORE), path, "an object")
    old = "foreground_intensity_properties_by_modality"  # its name before nnU-Net 2.0 was done
    return _pick(Plans, {"foreground_intensity_properties_per_channel": data.get(old, {}), **data}, str(path))


def read_configuration(plans: Plans, name: str, path: Path) -> Configuration:
    """Read one configuration, with what it inherits from others.

    Args:
        path: of plans.json, for messages.

    Raises:
        InputError: there is no such configuration, it inherits from itself, or a field is missing or of the wrong type.
    """
    found: dict[str, Any] = {}
    seen: list[str] = []
    parent: str | None = name
    while parent is not None:
        if parent not in plans.configurations or parent in seen:
            chain = ", which inherits from ".join([*seen, parent])
            problem = "goes round in a circle" if parent in seen else "is not in the plans"
            raise InputError(f"the configuration {chain} {problem}", file=path, remedy=RESTORE)
        seen.append(parent)
        found = {**plans.configurations[parent], **found}
        parent = _pick(_Parent, plans.configurations[parent], f"{path}: {parent}").inherits_from
    where = f"{path}: {name}"
    if "architecture" not in found:
        found["architecture"] = _old_architecture(found, path)
    architecture = _pick(Architecture, _object(found["architecture"], path, "architecture"), f"{where}: architecture")
    return _pick(Configuration, {**found, "architecture": vars(architecture)}, where)


def read_labels(folder: Path) -> Description:
    """Read channels and labels of dataset.json.

    Raises:
        DatasetError: they are missing, or can't be.
    """
    try:
        return read_description(folder / "dataset.json")
    except DatasetError as error:
        raise DatasetError("the model's dataset.json can't be used", error.errors, remedy=USE_NNUNET) from None


def read_postprocessing(path: Path) -> list[tuple[int, ...]]:
    """Read postprocessing.json, as nnUNetv2_find_best_configuration and nnUNetv2_determine_postprocessing write it.

    Returns:
        For each step the values of masks; of the voxels with some of them only the largest component is kept.

    Raises:
        InputError: it is no such file, or does something else.
    """
    data = _object(read_json(path, RESTORE), path, "an object")
    about = _pick(_PostProcessing, data, str(path))
    if odd := sorted({*about.postprocessing_fns} - {_KEEP_LARGEST}):
        raise InputError(f"it does {', '.join(odd)}, which can't be imported", file=path, remedy=USE_NNUNET)
    steps = []
    for one in about.postprocessing_kwargs:
        given = one.get("labels_or_regions")
        nested = given if isinstance(given, list) else [given]
        values = [value for item in nested for value in (item if isinstance(item, list) else [item])]
        if set(one) - {"labels_or_regions", "background_label"} or one.get("background_label", 0) != 0:
            raise InputError(f"it has the arguments {one!r}, which can't be imported", file=path, remedy=USE_NNUNET)
        steps.append(decode(tuple[int, ...], values, f"{path}: labels_or_regions"))
    return steps


def find_folds(folder: Path, wanted: Sequence[FoldName] | None = None) -> list[FoldFile]:
    """Find the checkpoint of every fold_N that stands in a model folder, or of those wanted.

    Raises:
        InputError: there is no fold, or one without a checkpoint.
    """
    run = Run(folder)
    folds = run.folds() if wanted is None else [run.fold(name) for name in wanted]
    if not folds:
        raise InputError(
            "the model has no fold: no folder fold_0, fold_1, ... or fold_all", file=folder, remedy=RESTORE
        )
    found = []
    for fold in folds:
        files = [fold.folder / name for name in CHECKPOINTS if (fold.folder / name).is_file()]
        if not files:
            raise InputError(
                f"fold {fold.name} has no {' or '.join(CHECKPOINTS)}",
                file=fold.folder,
                remedy="Train it to its end, copy the file there, or name the folds to take with --folds.",
            )
        found.append(FoldFile(fold.name, files[0]))
    return found


def read_fold(source: FoldFile) -> TrainedFold:
    """Read one fold's checkpoint; no code in it can run.

    Raises:
        InputError: the file is missing, damaged, holds objects other than numbers, or is no checkpoint of nnU-Net v2.
    """
    path = source.file
    data = load_archive(path, missing=RESTORE, remedy=RESTORE, stand_ins=STAND_INS)
    data = _object(data, path, "the checkpoint of nnU-Net v2")
    init = _object(data.get("init_args"), path, "init_args")
    about = _pick(_About, {**data, "configuration": init.get("configuration")}, str(path))
    return TrainedFold(
        source=source,
        configuration=about.configuration,
        trainer=about.trainer_name,
        mirror_axes=about.inference_allowed_mirroring_axes or (),
        epochs=about.current_epoch,
        weights=finite_tensors(data.get("network_weights"), "network_weights", path, RESTORE),
    )


def _old_architecture(found: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the network of plans from before nnU-Net 2.4 as later ones describe it."""
    wanted = (
        "UNet_class_name", "UNet_base_num_features", "unet_max_num_features", "n_conv_per_stage_encoder",
        "n_conv_per_stage_decoder", "conv_kernel_sizes", "pool_op_kernel_sizes",
    )  # fmt: skip
    if missing := [name for name in wanted if name not in found]:
        raise InputError(f"the plans lack the network's {', '.join(missing)}", file=path, remedy=RESTORE)
    name, base, most, encoder, decoder, kernels, strides = (found[key] for key in wanted)
    stages = len(decode(tuple[int, ...], encoder, f"{path}: n_conv_per_stage_encoder"))
    widths = decode(tuple[int, int], [base, most], f"{path}: UNet_base_num_features, unet_max_num_features")
    return {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{name}",
        "arch_kwargs": {
            "n_stages": stages,
            "features_per_stage": [min(widths[0] * 2**stage, widths[1]) for stage in range(stages)],
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": kernels,
            "strides": strides,
            "n_blocks_per_stage" if name == "ResidualEncoderUNet" else "n_conv_per_stage": encoder,
            "n_conv_per_stage_decoder": decoder,
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "nonlin": "torch.nn.LeakyReLU",
        },
    }


def _pick(kind: type[T], data: dict[str, Any], where: str) -> T:
    """Decode the fields that `kind` has, and pass over nnU-Net's others."""
    names = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    return decode(kind, {name: value for name, value in data.items() if name in names}, where)


def _object(data: Any, path: Path, what: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise InputError(f"{what} is missing", file=path, remedy=RESTORE)
    return data


def _scalar(*arguments: Any) -> None:
    """Stand in for numpy's scalars, which are in nnU-Net's training log only."""


STAND_INS: tuple[tuple[Callable[..., Any], str], ...] = (
    (Anything, "numpy.dtype"),
    (_scalar, "numpy.core.multiarray.scalar"),  # written with numpy 1
    (_scalar, "numpy._core.multiarray.scalar"),
)
"""For the numbers of numpy in a checkpoint."""
