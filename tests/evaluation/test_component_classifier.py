"""The probability that a component is a lesion comes true, and is only told where there is enough to learn from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from vmseg_auto.evaluation.component_classifier import ComponentClassifier, fit_classifier, scan_weights, why_none
from vmseg_auto.evaluation.component_features import FEATURES
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.json_codec import decode, encode


def cohort(number: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Components of ten patients, of which those large and bright are more likely lesions: measures, truth, owners."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(number, len(FEATURES)))
    truth = rng.random(number) < expit(2 * features[:, 0] + features[:, 5] - 1)
    return features, truth, [f"p{n % 10}" for n in range(number)]


def test_of_new_components_as_many_are_lesions_as_was_said() -> None:
    classifier, _ = fit_classifier(*cohort(2000), [str(n % 50) for n in range(2000)])
    assert classifier is not None
    features, truth, _ = cohort(20_000, seed=1)
    chance = classifier.probability(features)
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        own = (chance >= low) & (chance < low + 0.2)
        assert truth[own].mean() == pytest.approx(chance[own].mean(), abs=0.06)


def test_a_scan_of_many_components_counts_as_any_other() -> None:
    """A hundred components of one scan, of which the small ones are lesions, among ten scans of the other kind."""
    rng = np.random.default_rng(4)
    features = rng.normal(size=(200, len(FEATURES)))
    scans = [f"s{n % 10}" if n < 100 else "odd" for n in range(200)]
    truth = np.where(np.arange(200) < 100, features[:, 0] > 0, features[:, 0] < 0)
    classifier, _ = fit_classifier(features, truth, scans, scans)
    assert classifier is not None
    assert classifier.weights[0] > 1
    assert scan_weights(scans)[[0, -1]] == pytest.approx([200 / 11 / 10, 200 / 11 / 100])


def test_separable_components_do_not_make_it_certain() -> None:
    features, _, owners = cohort(100)
    classifier, _ = fit_classifier(features, features[:, 0] > 0, owners, owners)
    assert classifier is not None
    assert all(np.isfinite(classifier.weights))
    ends = np.zeros((2, len(FEATURES)))
    ends[:, 0] = -2, 2
    low, high = classifier.probability(ends)
    assert low < 0.1 < 0.9 < high < 1


def test_the_order_of_the_components_does_not_matter() -> None:
    features, truth, owners = cohort(200)
    order = np.random.default_rng(3).permutation(200)
    one, _ = fit_classifier(features, truth, owners, owners)
    turned = [owners[n] for n in order]
    other, _ = fit_classifier(features[order], truth[order], turned, turned)
    assert one is not None
    assert other is not None
    assert one.probability(features) == pytest.approx(other.probability(features), abs=1e-6)


@pytest.mark.parametrize(
    ("number", "true", "patients", "why"),
    [
        (100, 50, 4, "it takes components of 5 patients, and here are 4"),
        (100, 19, 10, "it takes 20 components that touch a lesion, and here are 19"),
        (60, 45, 10, "it takes 20 components that do not touch a lesion, and here are 15"),
    ],
)
def test_too_few_make_no_classifier(number: int, true: int, patients: int, why: str) -> None:
    touching = np.arange(number) < true
    owners = [f"p{n % patients}" for n in range(number)]
    assert why_none(touching, owners) == why
    assert fit_classifier(np.zeros((number, len(FEATURES))), touching, owners, owners) == (None, why)


def test_it_says_the_same_once_stored() -> None:
    features, truth, owners = cohort(100)
    classifier, _ = fit_classifier(features, truth, owners, owners)
    again = decode(ComponentClassifier, encode(classifier), "model.json")
    assert classifier is not None
    assert np.array_equal(again.probability(features), classifier.probability(features))


def test_one_of_other_measures_is_refused() -> None:
    classifier, _ = fit_classifier(*cohort(100), [str(n % 20) for n in range(100)])
    assert classifier is not None
    odd = ComponentClassifier(FEATURES[1:], classifier.centre[1:], classifier.weights[1:], 0.0, 100, 50, 10)
    with pytest.raises(InputError, match="judges components by other measures"):
        odd.check("model.json")
