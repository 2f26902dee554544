"""Clicks change a mask around them, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clicking import INFO
from clicking import clicked_fold as checkpoint
from tiny import PLAN, tiny_case

from vmseg_auto.inference.clicks import BACKGROUND, FOREGROUND, LEAVE, ClickedScan
from vmseg_auto.inference.predictor import Predictor
from vmseg_auto.models.final_checkpoint import load_final, save_final
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.preprocessing.click_channels import MOST_CLICKS, Click
from vmseg_auto.preprocessing.transform import box_slices
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry

SHAPE = (20, 40, 60)
GRID = Geometry(SHAPE, (1.0, 1.0, 1.0))


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor([checkpoint(0)], INFO, device="cpu")


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    case = tiny_case("a", 1, SHAPE)
    return np.asarray(case.image) + 5


def test_the_network_has_two_channels_more(predictor: Predictor) -> None:
    first = next(iter(checkpoint(0).weights.values()))
    assert first.shape[1] == 3
    assert predictor.clicks
    assert TrainingConfig().input_channels(PLAN, 1, 2) == 1


def test_a_prediction_without_clicks_is_that_of_empty_channels(image: np.ndarray) -> None:
    """The same weights without the columns that clicks have."""
    weights = dict(checkpoint(0).weights)
    name = next(iter(weights))
    plain = replace(checkpoint(0, False), weights={**weights, name: weights[name][:, :1]})
    ours, theirs = (
        Predictor([one], INFO, device="cpu", precision="float32").predict(image, GRID, probabilities=True)
        for one in (checkpoint(0), plain)
    )
    assert ours.probabilities is not None
    assert theirs.probabilities is not None
    assert np.allclose(ours.probabilities, theirs.probabilities, atol=1e-5)


@pytest.mark.parametrize("foreground", [True, False])
def test_a_click_changes_the_mask_around_it_alone(predictor: Predictor, image: np.ndarray, foreground: bool) -> None:
    place = (10, 20, 40)
    answer = ClickedScan(predictor, image, GRID).answer([Click(place, foreground)])
    assert all(high - low <= size + 1 for (low, high), size in zip(answer.box, PLAN.patch, strict=True))
    assert all(low <= at < high for at, (low, high) in zip(place, answer.box, strict=True))
    before = np.full(SHAPE, 0 if foreground else 1, np.uint8)
    after = answer.applied(before)
    outside = np.ones(SHAPE, bool)
    outside[box_slices(answer.box)] = False
    assert np.array_equal(after[outside], before[outside])
    assert after[place] == int(foreground)
    assert set(np.unique(answer.change)) <= {LEAVE, BACKGROUND, FOREGROUND}


def test_what_a_click_says_reaches_the_network(predictor: Predictor, image: np.ndarray) -> None:
    """A kind of click, and a click before it in the same window, are other hints."""
    scan, place = ClickedScan(predictor, image, GRID), (10, 20, 40)
    one = scan.answer([Click(place, True)])
    two = scan.answer([Click(place, True), Click((10, 22, 37), False), Click(place, True)])
    assert one.box == two.box
    assert not np.array_equal(one.change, two.change)
    far = scan.answer([Click((2, 3, 4), False), Click(place, True)])
    assert np.array_equal(one.change, far.change)  # beyond the reach of a Gaussian


def test_each_clicked_voxel_is_what_was_said_of_it_last(predictor: Predictor, image: np.ndarray) -> None:
    scan, here, beside = ClickedScan(predictor, image, GRID), (10, 20, 40), (10, 20, 41)
    for foreground in (True, False):
        answer = scan.answer([Click(here, not foreground), Click(here, foreground), Click(beside, not foreground)])
        mask = answer.applied(np.full(SHAPE, int(not foreground), np.uint8))
        assert (mask[here], mask[beside]) == (foreground, not foreground)


def test_clicks_near_one_another_share_a_window_and_answers_tell_of_clicks_alone(
    predictor: Predictor, image: np.ndarray
) -> None:
    scan, first = ClickedScan(predictor, image, GRID), Click((10, 20, 40), True)
    near, far = (10, 21, 41), (2, 3, 4)
    box = scan.answer([first]).box
    clicks = [first, Click(near, False)]
    answer = scan.answer(clicks)
    assert answer.box == box
    assert scan.answer([first, Click(far, True)]).box != box
    assert np.array_equal(scan.answer(clicks).change, answer.change)
    assert np.array_equal(ClickedScan(predictor, image, GRID).answer(clicks).change, answer.change)


@pytest.mark.parametrize("place", [(0, 0, 0), (19, 39, 59), (0, 39, 30)])
def test_at_the_scans_edges_too(predictor: Predictor, image: np.ndarray, place: tuple[int, int, int]) -> None:
    answer = ClickedScan(predictor, image, GRID).answer([Click(place, True)])
    assert answer.applied(np.zeros(SHAPE, np.uint8))[place] == 1


def test_a_scan_smaller_than_the_patch(predictor: Predictor) -> None:
    small = np.random.default_rng(0).normal(5, 1, (5, 9, 30)).astype(np.float32)
    answer = ClickedScan(predictor, small, Geometry((5, 9, 30), (1.0, 1.0, 1.0))).answer([Click((4, 8, 1), True)])
    assert answer.applied(np.zeros((5, 9, 30), np.uint8))[4, 8, 1] == 1


def test_on_a_grid_of_other_axes_and_voxels() -> None:
    plan = replace(PLAN, axes=(2, 0, 1), spacing_mm=(3.0, 0.8, 1.2))
    predictor = Predictor([replace(checkpoint(0), plan=plan)], replace(INFO, plan=plan), device="cpu")
    scan = np.random.default_rng(0).normal(5, 1, (30, 24, 16)).astype(np.float32)
    answer = ClickedScan(predictor, scan, Geometry(scan.shape, (1.0, 1.5, 2.0))).answer([Click((3, 20, 12), True)])
    assert answer.applied(np.zeros(scan.shape, np.uint8))[3, 20, 12] == 1


HERE = Click((0, 0, 0), True)


@pytest.mark.parametrize(
    "clicks", [[], [Click((0, 0, 60), True)], [Click((-1, 0, 0), True)], [HERE] * (MOST_CLICKS + 1)]
)
def test_impossible_clicks_are_refused(predictor: Predictor, image: np.ndarray, clicks: list[Click]) -> None:
    with pytest.raises(InputError, match=r"click"):
        ClickedScan(predictor, image, GRID).answer(clicks)


def test_a_click_into_the_air_is_refused(predictor: Predictor, image: np.ndarray) -> None:
    padded = image.copy()
    padded[..., 30:] = 0
    with pytest.raises(InputError, match="nothing but air"):
        ClickedScan(predictor, padded, GRID).answer([Click((5, 5, 50), True)])


def test_a_model_without_clicks_is_refused(image: np.ndarray) -> None:
    plain = Predictor([checkpoint(0, False)], INFO, device="cpu")
    with pytest.raises(InputError, match="this model knows no clicks"):
        ClickedScan(plain, image, GRID)


def test_folds_of_which_some_know_clicks_do_not_predict_together() -> None:
    with pytest.raises(InputError, match="some folds were trained with clicks and some without"):
        Predictor([checkpoint(0), checkpoint(1, False)], INFO, device="cpu")


def test_a_checkpoint_keeps_that_it_knows_clicks(tmp_path: Path) -> None:
    file = tmp_path / "final.safetensors"
    save_final(file, checkpoint(0))
    assert load_final(file).config.clicks


@pytest.mark.parametrize(
    ("plan", "classes", "why"),
    [
        (replace(PLAN, patch=(1, 16, 16)), 2, "a 2-D network sees no other"),
        (replace(PLAN, first_stage="lowres"), 2, "a cascade's first stage"),
        (PLAN, 3, "which of several labels"),
        (replace(PLAN, regions=((1,),)), 1, "which of several labels"),
    ],
)
def test_where_clicks_do_not_fit_they_are_refused(plan: object, classes: int, why: str) -> None:
    with pytest.raises(InputError, match=why):
        TrainingConfig(clicks=True).require_clicks_fit(plan, classes)  # type: ignore[arg-type]
    TrainingConfig().require_clicks_fit(plan, classes)  # type: ignore[arg-type]
