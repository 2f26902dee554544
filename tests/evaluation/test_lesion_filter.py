"""A lesion filter judges each label's components by itself, and takes down what it leaves out."""

from __future__ import annotations

import numpy as np
import pytest

from vmseg_auto.evaluation.component_classifier import ComponentClassifier
from vmseg_auto.evaluation.component_features import FEATURES
from vmseg_auto.evaluation.lesion_filter import LesionFilter, apply_lesion_filter, with_least
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry

GRID = Geometry((4, 12, 16), (3.0, 1.0, 1.0))
LABELS = {"background": 0, "lesion": 3, "vein": 7}


def by_size(middle_ml: float) -> ComponentClassifier:
    """Half as likely as not a lesion at this volume, and the more likely the larger."""
    weights = [0.0] * len(FEATURES)
    weights[FEATURES.index("log_volume")] = 3.0
    centre = [0.0] * len(FEATURES)
    centre[FEATURES.index("log_volume")] = float(np.log(middle_ml))
    return ComponentClassifier(FEATURES, tuple(centre), tuple(weights), 0.0, 100, 50, 10)


def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lesions of 24 and 2 voxels and veins of 12 and 2, their probabilities [K, Z, Y, X], and a scan [C, Z, Y, X]."""
    mask = np.zeros(GRID.shape, dtype=np.uint8)
    mask[1:3, 1:4, 1:5], mask[3, 10, 1:3] = 3, 3
    mask[1, 6:9, 10:14], mask[3, 10, 10:12] = 7, 7
    foreground = [np.where(mask == value, 0.8, 0.05) for value in (3, 7)]
    soft = np.stack([1 - sum(foreground), *foreground]).astype(np.float32)
    return mask, soft, np.random.default_rng(0).normal(100, 10, (1, *GRID.shape)).astype(np.float32)


def test_improbable_components_go_and_are_named() -> None:
    mask, soft, image = scene()
    before = mask.copy()
    found = LesionFilter({"lesion": by_size(0.01), "vein": by_size(0.01)}, {"lesion": 0.5, "vein": 0.0}, ())
    judged = found.apply(mask, soft, image, GRID, LABELS)
    assert np.array_equal(mask, before)
    assert np.count_nonzero(judged.mask == 3) == 24
    assert np.array_equal(judged.mask == 7, mask == 7)
    assert [len(judged.p_lesion[label]) for label in ("lesion", "vein")] == [1, 2]
    assert judged.p_lesion["vein"][0] > 0.5 > judged.p_lesion["vein"][1]
    (gone,) = judged.left_out
    assert (gone.label, gone.volume_ml) == ("lesion", pytest.approx(0.006))
    assert gone.p_lesion < 0.5
    assert mask[gone.voxel] == 3
    assert judged.mask[gone.voxel] == 0


def test_a_label_without_a_classifier_is_left_as_it_is() -> None:
    mask, soft, image = scene()
    judged = LesionFilter({"vein": by_size(1.0)}, {"vein": 0.99}, ()).apply(mask, soft, image, GRID, LABELS)
    assert np.array_equal(judged.mask, np.where(mask == 7, 0, mask))
    assert judged.p_lesion == {"vein": ()}
    assert len(judged.left_out) == 2


def test_without_a_filter_nothing_is_known() -> None:
    mask, soft, image = scene()
    judged = apply_lesion_filter(None, mask, soft, image, GRID, LABELS)
    assert np.array_equal(judged.mask, mask)
    assert (judged.p_lesion, judged.left_out) == ({}, ())


def test_a_user_says_below_what_is_left_out() -> None:
    found = LesionFilter({"lesion": by_size(0.01)}, {"lesion": 0.1}, ("why",))
    assert with_least(found, None) is found
    assert with_least(found, 0.1) is found  # as it was chosen
    asked = with_least(found, 0.4)
    assert asked is not None
    assert (asked.least, asked.asked_for) == ({"lesion": 0.4}, 0.4)
    with pytest.raises(InputError, match=r"the least probability of a lesion is 1\.5"):
        with_least(found, 1.5)
    with pytest.raises(InputError, match="no lesion filter, so no component has a probability"):
        with_least(None, 0.4)
    with pytest.raises(InputError, match="too few"):
        with_least(LesionFilter({}, {}, ("too few",)), 0.4)


@pytest.mark.parametrize(
    ("least", "match"),
    [({"lesion": 1.5}, "less probable than 1.5"), ({}, "other labels"), ({"cyst": 0.1}, "other labels")],
)
def test_impossible_filters_are_refused(least: dict[str, float], match: str) -> None:
    with pytest.raises(InputError, match=match):
        LesionFilter({"lesion": by_size(0.01)}, least, ()).check("model.json: lesion_filter", LABELS)
