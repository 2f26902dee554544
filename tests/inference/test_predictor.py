"""A predictor says of its folds what they are worth, or that they are worth nothing."""

from __future__ import annotations

import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from consoles import Heard
from tiny import PLAN, tiny_case

from vmseg_auto.inference import sliding_window as sweep
from vmseg_auto.inference.predictor import Predictor
from vmseg_auto.models.checkpoints import Checkpoint
from vmseg_auto.models.model import ModelInfo
from vmseg_auto.networks.unet import build_network
from vmseg_auto.planning.inference_budget import EXHAUSTIVE, InferenceBudget
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.geometry import Geometry

LABELS = {"background": 0, "lesion": 1}
INFO = ModelInfo("default", "x", ("T2",), LABELS, PLAN)


def fold(number: int) -> Checkpoint:
    torch.manual_seed(number)
    weights = build_network(PLAN.network, 1, 2).state_dict()
    return Checkpoint(
        1,
        weights,
        (),
        plan=PLAN,
        config=TrainingConfig(mirror_axes=(1,)),
        labels=LABELS,
        channels=("T2",),
        trainer="default",
        fold=number,
    )


def with_one_weight(checkpoint: Checkpoint, value: float) -> Checkpoint:
    weights = {name: tensor.clone() for name, tensor in checkpoint.weights.items()}
    next(iter(weights.values())).flatten()[0] = value
    return replace(checkpoint, weights=weights)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_fold_that_gives_no_numbers_is_named(value: float) -> None:
    """A single weight spoils every logit, and the mask would have been empty."""
    case = tiny_case("a", 1)
    sound, spoilt = fold(0), with_one_weight(fold(3), value)
    assert Predictor([sound, fold(3)], INFO, device="cpu").predict(case.image, case.geometry).mask.shape == (12, 20, 24)
    predictor = Predictor([sound, spoilt], INFO, device="cpu")
    with pytest.raises(VmsegError, match=r"no mask can be made of them: fold 3 \(default/default\)\. Train that fold"):
        predictor.predict(case.image, case.geometry)


def test_where_memory_runs_out_it_is_told_and_the_mask_is_the_same() -> None:
    """The first window finds no room where the network was; then the CPU goes on."""
    case, heard, failed = tiny_case("a", 1), Heard(), list[int]()
    expected = Predictor([fold(0)], INFO, device="cpu", precision="float32").predict(case.image, case.geometry)
    predictor = Predictor([fold(0)], INFO, device="cpu", precision="float32", console=heard)

    def no_room_at_first(*_: object) -> None:
        if not failed:
            failed.append(1)
            raise torch.OutOfMemoryError("CUDA out of memory")

    predictor.ensemble.networks[0].register_forward_pre_hook(no_room_at_first)
    found = predictor.predict(case.image, case.geometry)
    assert np.array_equal(found.mask, expected.mask)
    assert found.confidence == expected.confidence
    assert len(heard.warned) == 1


def test_of_a_large_scan_budgets_are_computed_in_turn_with_the_same_results(monkeypatch: pytest.MonkeyPatch) -> None:
    case = tiny_case("a", 1)
    predictor = Predictor([fold(0), fold(1)], INFO, device="cpu", precision="float32")
    scan = predictor.preprocess(case.image, case.geometry)
    preprocessed, box = scan.image, scan.crop_box
    budgets = (EXHAUSTIVE, InferenceBudget(passes=2), InferenceBudget(gate=0.5), InferenceBudget(gate=0.1))
    prediction, others = predictor.compare(preprocessed, case.geometry, box, budgets)
    monkeypatch.setattr(sweep, "SUMMED_BYTES", 1)
    one_by_one, turned = predictor.compare(preprocessed, case.geometry, box, budgets)
    assert (one_by_one.confidence, len(turned)) == (prediction.confidence, 3)
    assert np.array_equal(one_by_one.mask, prediction.mask)
    assert np.array_equal(one_by_one.probabilities, prediction.probabilities)
    assert all(map(np.array_equal, turned, others))


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (Path("scan.nii.gz"), "given as PosixPath|given as WindowsPath"),
        (torch.zeros(4, 4, 4), "given as Tensor"),
        (types.SimpleNamespace(dataobj=np.zeros((4, 4, 4)), affine=np.eye(4)), "given as SimpleNamespace"),
        (np.zeros((4, 4)), "the array has 2 axes"),
        (np.full((4, 4, 4), "x"), "holds <U1"),
        (np.ones((2, 4, 4, 4)), "the scan has 2 channels"),
    ],
    ids=["path", "tensor", "nibabel", "2-D", "text", "channels"],
)
def test_what_is_no_scan_is_named(image: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Predictor([fold(0)], INFO, device="cpu").predict(image, Geometry((4, 4, 4), (1.0, 1.0, 1.0)))


@pytest.mark.parametrize("spacing", [(0.0, 1.0, 1.0), (1.0, -1.0, 1.0), (1.0, float("nan"), 1.0), (1.0, 1.0)])
def test_an_impossible_voxel_size_is_named(spacing: Any) -> None:
    with pytest.raises(InputError, match="mm large"):
        Predictor([fold(0)], INFO, device="cpu").predict(np.ones((4, 4, 4)), Geometry((4, 4, 4), spacing))
