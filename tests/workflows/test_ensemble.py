"""Models that predict together, and the threshold that a model predicts with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny import tiny_plan

from vmseg_auto.evaluation.confidence import Calibration, NothingFound, Spread, VolumeConfidence
from vmseg_auto.inference.predictor import Prediction, Predictor
from vmseg_auto.models.checkpoints import Checkpoint
from vmseg_auto.models.model import ModelInfo
from vmseg_auto.models.selection_record import Candidate, Estimate
from vmseg_auto.networks.unet import build_network
from vmseg_auto.planning.plan import Plan
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.utils.components import keep_largest
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.postprocessing import PostProcessing
from vmseg_auto.workflows.ensemble import ModelEnsemble

GRID = Geometry((10, 18, 17), (2.0, 1.0, 1.0))
SCAN = np.random.default_rng(0).normal(100, 20, GRID.shape).astype(np.float32)[None]
LABELS = {"background": 0, "lesion": 3, "vein": 7}
NOTHING = Estimate(0.0, None, None, 12)

EVEN = Spread(1.0, 0.0, 0.0)


def predicted(ensemble: ModelEnsemble, probabilities: bool = False) -> Prediction:
    return ensemble.restore(ensemble.compute(ensemble.preprocess(SCAN, GRID)), SCAN, probabilities)


def predictor(seed: int, plan: Plan | None = None, **changes: object) -> Predictor:
    """A model of random weights."""
    plan = plan or tiny_plan()
    torch.manual_seed(seed)
    weights = build_network(plan.network, 1, 3).state_dict()
    config = TrainingConfig(mirror_axes=())
    info = replace(ModelInfo("t", "d", ("T2",), LABELS, plan), **changes)  # type: ignore[arg-type]
    fold = Checkpoint(1, weights, (), plan=plan, config=config, labels=LABELS, channels=("T2",), trainer="t", fold=0)
    return Predictor([fold], info, device="cpu", precision="float32")


def rule(threshold: float = 0.5, keep: tuple[str, ...] = ()) -> Candidate:
    return Candidate(("p/a", "p/b"), threshold, PostProcessing(keep), NOTHING, NOTHING, ())


def argmax(soft: NDArray[np.float32], threshold: float) -> NDArray[np.uint8]:
    """The mask, by the rule in words: the argmax label, where it exceeds the threshold beside the background."""
    best = soft[1:].max(axis=0)
    label = np.where(soft[1] >= soft[2], 3, 7)
    return np.where(best / (best + soft[0]) > threshold, label, 0).astype(np.uint8)


@pytest.mark.parametrize("threshold", [0.3, 0.45, 0.5, 0.6])
def test_a_model_predicts_with_its_threshold(threshold: float) -> None:
    prediction = predictor(1, threshold=threshold).predict(SCAN, GRID, probabilities=True)
    assert prediction.probabilities is not None
    expected = argmax(prediction.probabilities, threshold)
    assert (prediction.mask != expected).mean() < 0.001  # rounding on the way through softmax
    plain = predictor(1).predict(SCAN, GRID).mask
    assert np.sign((prediction.mask > 0).sum() - (plain > 0).sum()) == np.sign(0.5 - threshold)


@pytest.mark.parametrize("threshold", [0.4, 0.5])
def test_an_ensemble_averages_probabilities_on_the_scans_grid(threshold: float) -> None:
    """Its members' plans differ in spacing and patch."""
    members = [predictor(1), predictor(2, tiny_plan(spacing_mm=(2.0, 1.5, 1.2), patch=(8, 8, 8)))]
    prediction = predicted(ModelEnsemble(members, rule(threshold)), probabilities=True)
    each = [member.predict(SCAN, GRID, probabilities=True).probabilities for member in members]
    assert each[0] is not None
    assert each[1] is not None
    mean = (each[0] + each[1]) / 2
    assert prediction.probabilities is not None
    assert np.array_equal(prediction.probabilities, mean)
    assert np.array_equal(prediction.mask, argmax(mean, threshold))
    assert not np.array_equal(prediction.mask, argmax(each[0], threshold))


def test_an_ensemble_is_trusted_as_far_as_its_first_member() -> None:
    calibration = Calibration(0.9, -0.1, -0.1, 0.1, 0.1, EVEN, look_first=0.5, mirrored=False, cases=9, patients=9)
    first, second = predictor(1, calibration=calibration), predictor(2)
    said = [member.predict(SCAN, GRID).confidence for member in (first, second)]
    assert said[0] != said[1]
    for members, confidence, known in (([first, second], said[0], calibration), ([second, first], said[1], None)):
        ensemble = ModelEnsemble(members, rule())
        assert (predicted(ensemble).confidence, ensemble.calibration) == (confidence, known)


def test_an_ensembles_volumes_are_off_as_measured_of_it_not_of_its_first_member() -> None:
    alone, together = (VolumeConfidence(None, 30, patients, NothingFound(0, 0, 0)) for patients in (3, 4))
    calibration = Calibration(
        0.9, -0.1, -0.1, 0.1, 0.1, EVEN, look_first=0.5, mirrored=False, cases=9, patients=9, volumes={"lesion": alone}
    )
    first, second = predictor(1, calibration=calibration), predictor(2)
    told = replace(rule(), volumes={"lesion": together})
    for members, expected in (([first, second], together), ([first], alone)):
        known = ModelEnsemble(members, told).calibration
        assert known is not None
        assert known.volumes == {"lesion": expected}


def test_an_ensemble_is_cleaned_by_the_rule_not_by_its_members() -> None:
    members = [predictor(1, postprocessing=PostProcessing(("vein",))), predictor(2)]
    ragged = predicted(ModelEnsemble(members, rule(0.7))).mask
    assert not np.array_equal(ragged, keep_largest(ragged, ["vein"], {"vein": 7}))
    cleaned = predicted(ModelEnsemble(members, rule(0.7, keep=("lesion",))))
    assert np.array_equal(cleaned.mask, keep_largest(ragged, ["lesion"], {"lesion": 3}))
    assert not np.array_equal(cleaned.mask, ragged)
    assert cleaned.probabilities is None


def test_one_member_predicts_as_its_model_says() -> None:
    alone = predictor(1, threshold=0.4)
    ensemble = ModelEnsemble([alone], rule(0.6))
    assert np.array_equal(predicted(ensemble).mask, alone.predict(SCAN, GRID).mask)
    assert ensemble.digest() == alone.digest()


def test_the_digest_covers_members_threshold_and_post_processing() -> None:
    one, two = predictor(1), predictor(2)
    digests = [
        ModelEnsemble([one, two], rule()).digest(),
        ModelEnsemble([one, predictor(3)], rule()).digest(),
        ModelEnsemble([one, two], rule(0.4)).digest(),
        ModelEnsemble([one, two], rule(keep=("lesion",))).digest(),
        one.digest(),
        predictor(1, threshold=0.4).digest(),
    ]
    assert len(set(digests)) == len(digests)
    assert ModelEnsemble([predictor(1), predictor(2)], rule()).digest() == digests[0]


def test_members_of_other_labels_are_refused() -> None:
    with pytest.raises(InputError, match="different channels or labels"):
        ModelEnsemble([predictor(1), predictor(2, labels={"background": 0, "lesion": 3, "node": 7})], rule())
