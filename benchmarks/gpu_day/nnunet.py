"""nnU-Net 2.8.1's own trainer and predictor on our preprocessed cases and under our plan.

What it imports for other work than this and is not installed (readers of images, other stores of arrays, plots) is
stood in for by empty modules.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import pickle
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from benchmarks.gpu_day.cohorts import Cohort
from benchmarks.nnunet_training import CONFIGURATION, architecture_of
from vmseg_auto.data.preprocessed import PreprocessedCase
from vmseg_auto.networks.nnunet_weights import from_nnunet, nnunet_name
from vmseg_auto.utils.atomic import write_json

NOT_NEEDED = frozenset(("SimpleITK", "blosc2", "cc3d", "nibabel", "seaborn", "tifffile"))
DATASET = "Dataset001_Carried"
PROCESSES = 14
"""Of its augmentation, where there are as many cores and two more."""


class _Empty(type):
    """A class whose every attribute is another such class."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Empty(name, (), {})


class _EmptyModule(ModuleType):
    __path__: list[str] = []  # noqa: RUF012 (modules have it so)

    def __getattr__(self, name: str) -> Any:
        return getattr(_Empty("module", (), {}), name)


class _StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds what nobody else has found, of NOT_NEEDED alone."""

    def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(name, self) if name.partition(".")[0] in NOT_NEEDED else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _EmptyModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing in it."""


def trainer_of(cohort: Cohort, home: Path, device: torch.device, *, compiled: bool, epochs: int = 1000) -> Any:
    """An initialised nnUNetTrainer for a cohort, whose cases are written out in nnU-Net's form.

    Args:
        home: folder for its files.
        compiled: whether by torch.compile, which is nnU-Net's default on a GPU.
        epochs: over which its learning rate falls.
    """
    _prepare(home, compiled)
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    _write_cases(cohort, home / "preprocessed" / DATASET)
    trainer = nnUNetTrainer({**plans_of(cohort), "continue_training": False}, CONFIGURATION, 0, _about(cohort), device)
    trainer.num_epochs = epochs
    trainer.initialize()
    trainer.set_deep_supervision_enabled(True)
    trainer.network.train()
    return trainer


def batch_of(trainer: Any, image: torch.Tensor, label: torch.Tensor) -> dict[str, Any]:
    """A batch as nnU-Net's loader gives it, with labels for every level, of ours."""
    from batchgeneratorsv2.transforms.utils.deep_supervision_downsampling import DownsampleSegForDSTransform

    levels = DownsampleSegForDSTransform(trainer._get_deep_supervision_scales())
    cut = [levels(segmentation=one[None].to(torch.int16).cpu())["segmentation"] for one in label]
    targets = [torch.stack(level).to(image.device) for level in zip(*cut, strict=True)]
    return {"data": image, "target": targets}


@contextmanager
def augmented_batches(trainer: Any) -> Iterator[Any]:
    """nnU-Net's own batches: its sampling and its augmentation, in processes of its own, which end afterwards."""
    os.environ["nnUNet_n_proc_DA"] = str(min(PROCESSES, max(0, len(os.sched_getaffinity(0)) - 2)))  # noqa: SIM112 (its own name)
    loaders = trainer.get_dataloaders()
    try:
        yield loaders[0]
    finally:
        for loader in loaders:
            if hasattr(loader, "_finish"):
                loader._finish()


def weights_of(trainer: Any, cohort: Cohort) -> dict[str, torch.Tensor]:
    """What its network has learnt, for ours."""
    network = getattr(trainer.network, "_orig_mod", trainer.network)
    return from_nnunet(network.state_dict(), cohort.plan.network, cohort.channels, cohort.classes)


def predictor_of(
    cohort: Cohort, networks: Sequence[torch.nn.Module], axes: tuple[int, ...], device: torch.device, home: Path
) -> Any:
    """nnU-Net's predictor, ready with the weights of our networks, for `predict_logits_from_preprocessed_data`."""
    _prepare(home, compiled=False)
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plans = PlansManager(plans_of(cohort))
    configuration = plans.get_configuration(CONFIGURATION)
    theirs = nnUNetTrainer.build_network_architecture(plans, configuration, cohort.channels, cohort.classes, False)
    theirs = theirs.to(device).eval()
    folds = [_their_weights(theirs, network, cohort) for network in networks]
    predictor = nnUNetPredictor(device=device, allow_tqdm=False)
    predictor.manual_initialization(theirs, plans, configuration, folds, _about(cohort), "nnUNetTrainer", axes)
    return predictor


def plans_of(cohort: Cohort) -> dict[str, Any]:
    """nnU-Net's plans.json of the cohort's plan: what its trainer and predictor read of it."""
    plan = cohort.plan
    return {
        "dataset_name": DATASET,
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "label_manager": "LabelManager",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {
            CONFIGURATION: {
                "data_identifier": CONFIGURATION,
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": plan.batch_size,
                "patch_size": list(plan.patch),
                "spacing": list(plan.spacing_mm),
                "normalization_schemes": ["ZScoreNormalization"] * cohort.channels,
                "use_mask_for_norm": [False] * cohort.channels,
                "batch_dice": False,
                "architecture": architecture_of(plan),
            }
        },
    }


def _about(cohort: Cohort) -> dict[str, Any]:
    """nnU-Net's dataset.json."""
    channels = {str(number): name for number, name in enumerate(cohort.fingerprint.channels)}
    labels = {name: number for number, name in enumerate(sorted(cohort.fingerprint.labels, key=_value(cohort)))}
    return {"channel_names": channels, "labels": labels, "file_ending": ".nii.gz"}


def _value(cohort: Cohort) -> Any:
    return cohort.fingerprint.labels.__getitem__


def _prepare(home: Path, compiled: bool) -> None:
    """What nnU-Net reads of its environment, and stand-ins for what it need not import."""
    for name in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{name}"] = str(home / name)
    os.environ["nnUNet_compile"] = "true" if compiled else "false"  # noqa: SIM112
    if not any(isinstance(finder, _StandIns) for finder in sys.meta_path):
        sys.meta_path.append(_StandIns())


def _write_cases(cohort: Cohort, folder: Path) -> None:
    """The cohort's cases and its split in the form of nnUNetDatasetNumpy, unless they are there."""
    splits, cases = folder / "splits_final.json", folder / CONFIGURATION
    if splits.is_file():
        return
    cases.mkdir(parents=True, exist_ok=True)
    for case in {case.id: case for case in (*cohort.training(), *cohort.validation())}.values():
        _write_case(case, cases)
    write_json(splits, [asdict(cohort.cases)])


def _write_case(case: PreprocessedCase, folder: Path) -> None:
    assert case.label is not None
    places = {
        index: np.concatenate([np.zeros((len(found), 1), found.dtype), found], axis=1)
        for index, found in case.foreground.items()
    }
    # Not as .npy, which nnU-Net maps: its augmentation writes into what it reads.
    np.savez(folder / f"{case.id}.npz", data=case.image, seg=case.label[None].astype(np.int16))
    (folder / f"{case.id}.pkl").write_bytes(pickle.dumps({"class_locations": places}))


def _their_weights(theirs: torch.nn.Module, ours: torch.nn.Module, cohort: Cohort) -> Mapping[str, torch.Tensor]:
    """A state dict of nnU-Net's network with our weights: it holds each tensor under several names."""
    spec = cohort.plan.network
    named = {nnunet_name(name, spec): tensor for name, tensor in ours.state_dict().items()}
    unknown = theirs.load_state_dict(named, strict=False).unexpected_keys
    assert not unknown, unknown
    return {name: tensor.detach().clone() for name, tensor in theirs.state_dict().items()}
