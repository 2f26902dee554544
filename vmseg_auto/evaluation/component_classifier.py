"""The probability that a predicted component touches a lesion: logistic regression on its measures.

The weights are those of a ridge-penalised logistic regression (le Cessie and van Houwelingen, Appl Stat 1992, 41:191)
on standardised measures. Every scan counts the same, however many components it has: else the one scan in a cohort with
a hundred small lesions would decide what is said of all others. Such a regression needs no further calibration; Platt's
scaling by scores of patients left out was tried, and made it worse, as these are few and unlike each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from vmseg_auto.evaluation.component_features import FEATURES
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.text import counted

Values = NDArray[np.float64]
Known = NDArray[np.bool_]

FEWEST_PATIENTS = 5
"""With components, from which a classifier is fitted: fewer don't show what other patients are like."""
FEWEST_COMPONENTS = 20
"""That touch a lesion, and that touch none, from which one is fitted."""
PENALTY = 1.0
"""Of half the sum of squared weights, beside the sum of the components' log losses."""
_STEPS = 50
"""Of Newton's method, which converges in about eight."""


@dataclass(frozen=True)
class ComponentClassifier:
    """A logistic regression that gives the probability that a component touches a lesion.

    Args:
        features: names of the measures (evaluation/component_features.py).
        centre: subtracted from each measure.
        weights: of each measure, per unit.
        intercept: log odds of a component whose measures are all at the centre.
        components, touching: how many it was fitted on, and how many of these touch a lesion.
        patients: how many they are of.
    """

    features: tuple[str, ...]
    centre: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    components: int
    touching: int
    patients: int

    def probability(self, features: Values) -> Values:
        """Return the probability [N] of components with these measures [N, FEATURES]."""
        found: Values = expit((features - np.array(self.centre)) @ np.array(self.weights) + self.intercept)
        return found

    def check(self, where: str) -> None:
        """Raise InputError where it is none of this version's."""
        if self.features != FEATURES or not len(self.centre) == len(self.weights) == len(FEATURES):
            problem = f"{where} judges components by other measures than this version takes"
            raise InputError(problem, remedy="Run `vmseg_select`, which learns it anew and trains nothing.")


def why_none(touching: Known, patients: Sequence[str]) -> str:
    """Describe why these components are too few for a classifier; empty where they are enough.

    >>> why_none(np.array([True, False]), ["a", "b"])
    'it takes components of 5 patients, and here are 2'
    """
    there = len(set(patients))
    if there < FEWEST_PATIENTS:
        return f"it takes components of {FEWEST_PATIENTS} patients, and here are {there}"
    right, wrong = int(touching.sum()), int((~touching).sum())
    for number, what in ((right, "touch"), (wrong, "do not touch")):
        if number < FEWEST_COMPONENTS:
            fewest = counted(FEWEST_COMPONENTS, "component")
            return f"it takes {fewest} that {what} a lesion, and here are {number}"
    return ""


def fit_classifier(
    features: Values, touching: Known, patients: Sequence[str], scans: Sequence[str]
) -> tuple[ComponentClassifier | None, str]:
    """Fit a classifier on the components of validation cases.

    Args:
        features: [N, FEATURES].
        touching: whether each touches a lesion of the reference.
        patients, scans: of each; a scan counts the same, however many components it has.

    Returns:
        The classifier, and ""; or None, and why: they are too few (`why_none`).
    """
    if why := why_none(touching, patients):
        return None, why
    counted_as = scan_weights(scans)
    centre = np.average(features, axis=0, weights=counted_as)
    scale = np.sqrt(np.average((features - centre) ** 2, axis=0, weights=counted_as))
    scale[scale < 1e-9] = 1.0
    *weights, intercept = _logistic((features - centre) / scale, touching, counted_as)
    classifier = ComponentClassifier(
        features=FEATURES,
        centre=tuple(centre.tolist()),
        weights=tuple((np.array(weights) / scale).tolist()),
        intercept=float(intercept),
        components=len(touching),
        touching=int(touching.sum()),
        patients=len(set(patients)),
    )
    return classifier, ""


def scan_weights(scans: Sequence[str]) -> Values:
    """Return how much each component counts [N], so that all scans count the same; 1 on average.

    >>> scan_weights(["a", "a", "a", "b"])
    array([0.66666667, 0.66666667, 0.66666667, 2.        ])
    """
    names, owner, number = np.unique(np.array(scans), return_inverse=True, return_counts=True)
    weights: Values = len(owner) / len(names) / number[owner]
    return weights


def _logistic(features: Values, touching: Known, counted_as: Values) -> Values:
    """Fit weights and, last, an intercept, which bears no penalty, by Newton's method with halved steps."""
    design = np.column_stack([features, np.ones(len(features))])
    ridge = np.full(design.shape[1], PENALTY)
    ridge[-1] = 1e-9
    weights = np.zeros(design.shape[1])

    def loss(weights: Values) -> float:
        scores = design @ weights
        return float(
            (counted_as * (np.logaddexp(0, scores) - touching * scores)).sum() + (ridge * weights**2).sum() / 2
        )

    now = loss(weights)
    for _ in range(_STEPS):
        chance = expit(design @ weights)
        gradient = design.T @ (counted_as * (chance - touching)) + ridge * weights
        curvature = (design * (counted_as * chance * (1 - chance))[:, None]).T @ design + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        while (lower := loss(weights - step)) > now and np.abs(step).max() > 1e-9:
            step /= 2
        if np.abs(step).max() < 1e-8:
            break
        weights, now = weights - step, lower
    return weights
