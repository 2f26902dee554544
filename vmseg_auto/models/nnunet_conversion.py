"""Plan, description and weights of a trained model of nnU-Net v2 to a model of ours.

Whatever would make a mask other than nnU-Net's own is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmseg_auto.data.dataset_json import Description
from vmseg_auto.models.checkpoints import Checkpoint
from vmseg_auto.models.model import ModelInfo
from vmseg_auto.models.nnunet import USE_NNUNET, Architecture, Configuration, Plans, TrainedFold
from vmseg_auto.networks.nnunet_weights import from_nnunet
from vmseg_auto.planning.network import Int3, NetworkSpec, network_family, network_names
from vmseg_auto.planning.plan import Normalization, Plan
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.utils.errors import DatasetError, InputError
from vmseg_auto.utils.geometry import Shape
from vmseg_auto.utils.json_codec import decode
from vmseg_auto.utils.labels import (
    Labels,
    count_outputs,
    foreground_labels,
    mask_values,
    output_regions,
    values_of,
    values_without,
)
from vmseg_auto.utils.postprocessing import PostProcessing

_READERS = ("SimpleITKIO", "NibabelIO", "Tiff3DIO")
"""The classes that leave a scan's axes as they lie in its file, as we do."""
_RESAMPLING = {"is_seg": False, "order_z": 0, "force_separate_z": None, "separate_z_anisotropy_threshold": 3}


@dataclass(frozen=True)
class _Numbers:
    """The arch_kwargs that say how large the network is."""

    n_stages: int
    features_per_stage: tuple[int, ...]
    kernel_sizes: tuple[Int3, ...]
    strides: tuple[Int3, ...]
    blocks: tuple[int, ...]
    n_conv_per_stage_decoder: tuple[int, ...]


def convert_plan(plans: Plans, name: str, configuration: Configuration, description: Description, path: Path) -> Plan:
    """Return the plan that preprocesses scans and builds the network as nnU-Net does.

    Args:
        plans: what holds for all configurations.
        name: the configuration's name.
        configuration: its fields.
        description: what dataset.json says.
        path: of plans.json, for messages.

    Raises:
        InputError: something that this program does not do in the same way.
    """
    _refuse_other_ways(plans, name, configuration, path)
    slices = len(configuration.patch_size) == 2
    lead = [1] if slices else []
    spacing = [max(configuration.spacing, default=0.0)] * slices  # of slices it counts for nothing
    spec = _network(configuration.architecture, slices, path)
    plan = Plan(
        planner=plans.plans_name,
        trainer="default",
        axes=plans.transpose_forward,
        spacing_mm=decode(tuple[float, float, float], [*spacing, *configuration.spacing], f"{path}: spacing"),
        median_shape=_whole(
            (*lead, *configuration.median_image_size_in_voxels), f"{path}: median_image_size_in_voxels"
        ),
        patch=decode(tuple[int, int, int], [*lead, *configuration.patch_size], f"{path}: patch_size"),
        batch_size=configuration.batch_size,
        normalization=_normalization(plans, configuration, len(description.channels), path),
        network=spec,
        first_stage=configuration.previous_stage or "",
        regions=output_regions(description.classes),
        memory_gb=0.0,
        fingerprint_hash="",
        reasons=(f"imported from nnU-Net v2: {plans.dataset_name}, {plans.plans_name}, {name}",),
    ).sealed()
    try:
        plan.check()
    except DatasetError as error:
        raise DatasetError(f"{path}: {name} can't be imported", error.errors, remedy=USE_NNUNET) from None
    return plan


def convert_postprocessing(steps: Sequence[tuple[int, ...]], labels: Labels, path: Path) -> PostProcessing:
    """Return the post-processing that nnU-Net found, as ours.

    Args:
        steps: values of masks; of the voxels with some of them only the largest component is kept, a step at a time.
        labels: the model's.
        path: of postprocessing.json, for messages.

    Raises:
        InputError: a step is neither about all labels together nor about one of them, or in an order that ours has not.
    """
    of_label = {frozenset(values_of(labels, name)): name for name in foreground_labels(labels)}
    every = frozenset(mask_values(labels) - {0})
    wanted = [frozenset(step) for step in steps]
    together = bool(wanted) and wanted[0] == every and every not in of_label
    own = wanted[together:]
    if odd := [step for step in own if step not in of_label]:
        problem = f"it keeps the largest component of the values {', '.join(map(str, sorted(odd[0])))}"
        raise InputError(problem, file=path, remedy="Possible are all labels together, before anything else, and one.")
    for name in (of_label[step] for step in own):
        if any(values_without(labels, name).values()):
            problem = f"it makes background of components of the region {name}, which here stay in the region around it"
            raise InputError(problem, file=path, remedy="Leave post-processing out, or do it with nnU-Net.")
    reason = "imported from nnU-Net, which found it in its own cross-validation"
    return PostProcessing(tuple(of_label[step] for step in own), (reason,), together)


def convert_model(plan: Plan, description: Description, fold: TrainedFold, dataset: str) -> ModelInfo:
    """Return the model's own account, without post-processing: nnUNetv2_predict does none either."""
    return ModelInfo(
        trainer=fold.trainer,
        dataset=dataset,
        channels=description.channels,
        labels=description.classes,
        plan=plan,
    )


def convert_fold(info: ModelInfo, fold: TrainedFold, batch_dice: bool = False) -> Checkpoint:
    """Return one fold's checkpoint.

    Raises:
        InputError: weights that do not fit the plan, or mirrored axes that a scan has not.
    """
    path = fold.source.file
    axes = {0: 1, 1: 2} if info.plan.by_slice else {0: 0, 1: 1, 2: 2}  # a slice's own, and those of a patch
    if not set(fold.mirror_axes) <= set(axes):
        raise InputError(
            f"inference_allowed_mirroring_axes is {fold.mirror_axes}",
            file=path,
            remedy=f"It may name axes {', '.join(map(str, axes))}. {USE_NNUNET}",
        )
    mirrored = tuple(sorted({axes[axis] for axis in fold.mirror_axes}))
    channels = len(info.channels) + info.plan.mask_channels(len(info.labels))
    try:
        weights = from_nnunet(fold.weights, info.plan.network, channels, count_outputs(info.labels))
    except InputError as error:
        remedy = (
            f"Copy the file again; if the trainer {fold.trainer} builds a network of its own, use nnUNetv2_predict."
        )
        raise InputError(error.problem, file=path, remedy=remedy) from None
    epochs = max(1, fold.epochs)
    return Checkpoint(
        plan=info.plan,
        config=TrainingConfig(epochs=epochs, mirror_axes=mirrored, batch_dice=batch_dice),
        labels=info.labels,
        channels=info.channels,
        trainer=info.trainer,
        fold=fold.source.fold,
        epoch=epochs,
        weights=weights,
        history=(),
    )


def _refuse_other_ways(plans: Plans, name: str, configuration: Configuration, path: Path) -> None:
    if len(configuration.patch_size) not in (2, 3):
        problem = f"the configuration {name} is {len(configuration.patch_size)}-D"
        raise InputError(problem, file=path, remedy=USE_NNUNET)
    if len(configuration.patch_size) == 3 and configuration.patch_size[0] == 1:
        problem = f"the configuration {name} has 3-D patches of one slice, which are taken for a 2-D network's here"
        raise InputError(problem, file=path, remedy=USE_NNUNET)
    _require("image_reader_writer", plans.image_reader_writer, _READERS, path)
    _require("label_manager", plans.label_manager, ("LabelManager",), path)
    _require("preprocessor_name", configuration.preprocessor_name, ("DefaultPreprocessor",), path)
    for of, order in (("data", 3), ("probabilities", 1)):
        function = getattr(configuration, f"resampling_fn_{of}")
        _require(f"resampling_fn_{of}", function, ("resample_data_or_seg_to_shape",), path)
        # the function's own defaults, where the plans leave something out
        given = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": False} | getattr(
            configuration, f"resampling_fn_{of}_kwargs"
        )
        for key, value in given.items():
            wanted = {**_RESAMPLING, "order": order}
            if key not in wanted:
                raise InputError(f"resampling_fn_{of}_kwargs has {key}={value!r}", file=path, remedy=USE_NNUNET)
            _require(f"resampling_fn_{of}_kwargs: {key}", value, (wanted[key],), path)


def _network(architecture: Architecture, slices: bool, path: Path) -> NetworkSpec:
    name = architecture.network_class_name
    known = _counterparts()
    _require("network_class_name", name, known, path)
    builder, blocks = known[name]
    given = dict(architecture.arch_kwargs)
    stages = decode(int, given.get("n_stages"), f"{path}: n_stages")
    if not 2 <= stages <= 10:
        raise InputError(f"n_stages is {stages}", file=path, remedy="2 to 10 are possible.")
    axes = {"features_per_stage": 0, "kernel_sizes": 2 + (not slices), "strides": 2 + (not slices), blocks: 0}
    spread = {key: _spread(given.pop(key, None), stages, by_axis) for key, by_axis in axes.items()}
    decoder = _spread(given.pop("n_conv_per_stage_decoder", None), stages - 1, 0)
    spread |= {"n_stages": given.pop("n_stages"), "n_conv_per_stage_decoder": decoder, "blocks": spread.pop(blocks)}
    numbers = decode(_Numbers, spread, f"{path}: arch_kwargs")
    _refuse_other_layers(given, numbers.features_per_stage[:1], 2 if slices else 3, path)
    return NetworkSpec(
        builder=builder,
        features=numbers.features_per_stage,
        strides=numbers.strides,
        kernels=numbers.kernel_sizes,
        blocks=numbers.blocks,
        decoder_blocks=numbers.n_conv_per_stage_decoder[::-1],  # nnU-Net counts the decoder from the coarsest
    )


def _counterparts() -> dict[str, tuple[str, str]]:
    """Return the path of a class of nnU-Net's networks -> name of ours, and the argument that counts encoder blocks."""
    families = {name: network_family(name).nnunet for name in network_names()}
    return {path: (name, theirs.blocks) for name, theirs in families.items() if theirs for path in theirs.classes}


def _refuse_other_layers(given: dict[str, Any], stem: tuple[int, ...], dimensions: int, path: Path) -> None:
    """Refuse every setting of the network under which ours would differ; what is left out has its own default."""
    settings: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "conv_op": (None, (f"torch.nn.modules.conv.Conv{dimensions}d", f"torch.nn.Conv{dimensions}d")),
        "conv_bias": (False, (True,)),
        "norm_op": (
            None,
            (f"torch.nn.modules.instancenorm.InstanceNorm{dimensions}d", f"torch.nn.InstanceNorm{dimensions}d"),
        ),
        "nonlin": (None, ("torch.nn.LeakyReLU", "torch.nn.modules.activation.LeakyReLU")),
        "dropout_op": (None, (None,)),
        "nonlin_first": (False, (False,)),
        "block": ("BasicBlockD", ("BasicBlockD", "dynamic_network_architectures.building_blocks.residual.BasicBlockD")),
        "bottleneck_channels": (None, (None,)),
        "stem_channels": (None, (None, *stem)),
    }
    inner = {
        "norm_op_kwargs": {
            "eps": (1e-5, (1e-5,)),
            "affine": (False, (True,)),
            "track_running_stats": (False, (False,)),
        },
        "nonlin_kwargs": {"negative_slope": (0.01, (0.01,))},
    }
    without_effect = {"dropout_op_kwargs", "deep_supervision", "inplace", "momentum"}
    for key, (default, allowed) in settings.items():
        _require(key, given.get(key, default), allowed, path)
    for group, members in inner.items():
        kwargs = decode(dict[str, Any], given.get(group) or {}, f"{path}: {group}")
        for key, (default, allowed) in members.items():
            _require(f"{group}: {key}", kwargs.get(key, default), allowed, path)
        _refuse_unknown(group, kwargs, {*members, *without_effect}, path)
    _refuse_unknown("arch_kwargs", given, {*settings, *inner, *without_effect}, path)


def _refuse_unknown(group: str, given: dict[str, Any], known: set[str], path: Path) -> None:
    if unknown := sorted(set(given) - known):
        problem = f"{group} has {', '.join(f'{key}={given[key]!r}' for key in unknown)}, which can't be imported"
        raise InputError(problem, file=path, remedy=USE_NNUNET)


def _normalization(plans: Plans, configuration: Configuration, channels: int, path: Path) -> tuple[Normalization, ...]:
    schemes, masked = configuration.normalization_schemes, configuration.use_mask_for_norm
    if not len(schemes) == len(masked) == channels:
        raise InputError(
            f"there are {channels} channels, but {len(schemes)} normalization_schemes "
            f"and {len(masked)} use_mask_for_norm",
            file=path,
            remedy="Give plans.json and dataset.json of the same model.",
        )
    result = []
    for channel, (scheme, inside) in enumerate(zip(schemes, masked, strict=True)):
        where = f"normalization_schemes: channel {channel}"
        _require(where, scheme, ("ZScoreNormalization", "CTNormalization", "NoNormalization"), path)
        if scheme == "CTNormalization":
            numbers = plans.foreground_intensity_properties_per_channel.get(str(channel), {})
            names = ("mean", "std", "percentile_00_5", "percentile_99_5")
            values = [decode(float, numbers.get(n), f"{path}: intensities of channel {channel}: {n}") for n in names]
            result.append(Normalization("ct", *values))
        elif scheme == "NoNormalization":
            result.append(Normalization("none"))
        else:
            result.append(Normalization("zscore_in_mask" if inside else "zscore"))
    return tuple(result)


def _require(name: str, value: Any, allowed: Iterable[Any], path: Path) -> None:
    choices = list(allowed)
    if value not in choices:
        possible = " or ".join(str(choice) for choice in choices)
        problem = f"{name} is {value!r}, which can't be imported"
        raise InputError(problem, file=path, remedy=f"Possible is {possible}. {USE_NNUNET}")


def _spread(value: Any, times: int, axes: int) -> Any:
    """Repeat what nnU-Net takes as one number for all stages, and as one for all axes; of two axes make three.

    Example:
        >>> _spread(2, 3, axes=0), _spread([1, [1, 2, 2]], 2, axes=3), _spread([3, [3, 5]], 2, axes=2)
        ([2, 2, 2], [[1, 1, 1], [1, 2, 2]], [[1, 3, 3], [1, 3, 5]])
    """
    values = [value] * times if isinstance(value, int) else value
    if not axes or not isinstance(values, list):
        return values
    each = [[one] * axes if isinstance(one, int) else one for one in values]
    return [[1, *one] if axes == 2 and isinstance(one, list) else one for one in each]


def _whole(values: tuple[float, ...], where: str) -> Shape:
    return decode(tuple[int, int, int], [max(1, round(value)) for value in values], where)
