"""Levels stated of what validation scans tell of new ones: volumes, their changes, the Dice to expect, nothing found.

Entries of TRUST_LEVELS are as those of benchmarks/coverage_levels.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.random import Generator

from benchmarks.coverage_levels import ERRORS, NEW, ONE, SEVERAL, Array, Held, Level, errors_of, normal, owners
from vmseg_auto.evaluation.calibration import calibrate, volume_confidence
from vmseg_auto.evaluation.concordance import FLOOR_ML, concordance, intraclass_correlation, volume_concordance
from vmseg_auto.evaluation.confidence import Confidence, VolumeConfidence
from vmseg_auto.evaluation.confidence_figures import confidence_figures
from vmseg_auto.evaluation.discrimination import area_under_risk, auroc, spearman
from vmseg_auto.followup.response import Change, Volume

THIRDS = ("certain third", "middle third", "doubtful third")
CHANCES = {"one such patient in ten has a lesion": 0.1, "six in ten": 0.6, "nine in ten": 0.9}


def doubts(rng: Generator, patients: Sequence[str]) -> Array:
    """Uncertainties between 0 and 1; scans of one patient resemble each other."""
    values: Array = 1 / (1 + np.exp(-1.2 * normal(rng, patients, 0.5)))
    return values


def trusts(doubt: Array) -> list[Confidence]:
    return [Confidence(float(one), 0.0, True) for one in doubt]


def reach(doubt: Array) -> Array:
    """How far errors reach: five times as far for the most doubtful scan as for the most certain; 1 on average."""
    return np.asarray(1 / 3 + 4 / 3 * doubt)


def volumes(rng: Generator, patients: Sequence[str], errors: str) -> tuple[Array, Array, Array]:
    """True volumes (6 mL at the median), measured ones, and uncertainties."""
    true = np.exp(math.log(6) + 1.1 * normal(rng, patients, 0.9))
    doubt = doubts(rng, patients)
    return true, measured(rng, true, patients, errors, doubt), doubt


def measured(rng: Generator, true: Array, patients: Sequence[str], errors: str, doubt: Array) -> Array:
    """By a model that finds every lesion; half of the variance of the errors is the patient's."""
    error = reach(doubt) * normal(rng, patients, 0.5)
    if errors == "relative":
        return np.asarray(true * np.exp(0.3 * error))
    spread = 1.0 if errors == "additive" else 0.3 + 0.2 * true
    return np.maximum(true + spread * error, 0.01)


def by_third(what: str, held: Array, doubt: Array, patients: int) -> Held:
    """The share held of all scans, and where so many patients let it be promised, of the thirds by uncertainty."""
    found: dict[str, float | None] = {**nothing_told(what), f"{what}, all scans": float(held.mean())}
    if patients >= VolumeConfidence.PATIENTS_FOR_SUCH_SCANS:
        place = np.digitize(doubt, _ends())
        found |= {f"{what}, {name}": float(held[place == number].mean()) for number, name in enumerate(THIRDS)}
    return found


def nothing_told(what: str) -> Held:
    return dict.fromkeys([f"{what}, all scans", *(f"{what}, {name}" for name in THIRDS)])


@cache
def _ends() -> tuple[float, ...]:
    many = doubts(np.random.default_rng(0), [str(number) for number in range(100_000)])
    return tuple(np.quantile(many, [1 / 3, 2 / 3]).tolist())


ANEW = [str(number) for number in range(NEW)]
"""New patients with a scan each."""


def hold_volume(rng: Generator, variant: str, patients: int) -> Held:
    names = owners(rng, variant, patients)
    true, told, doubt = volumes(rng, names, errors_of(variant))
    found = volume_confidence(told, true, trusts(doubt), names).found
    if found is None:
        return nothing_told("true volume")
    true, told, doubt = volumes(rng, ANEW, errors_of(variant))
    ends = [
        found.interval(float(ml), confidence) or (0.0, 0.0) for ml, confidence in zip(told, trusts(doubt), strict=True)
    ]
    held = np.array([low <= ml <= high for (low, high), ml in zip(ends, true, strict=True)])
    return by_third("true volume", held, doubt, patients)


def hold_change(rng: Generator, variant: str, patients: int) -> Held:
    """New patients at two times, told by a model whose errors in one patient resemble each other."""
    names = owners(rng, variant, patients)
    true, told, doubt = volumes(rng, names, errors_of(variant))
    error = volume_confidence(told, true, trusts(doubt), names).found
    if error is None:
        return {"true change": None}
    half = NEW // 2
    doubt = np.tile(doubts(rng, ANEW[:half]), 2)
    before = np.exp(math.log(6) + 1.1 * rng.normal(size=half))
    true = np.concatenate([before, before * np.exp(0.5 * rng.normal(size=half))])
    seen = measured(rng, true, ANEW[:half] * 2, errors_of(variant), doubt)
    found = [
        Volume(ml, *(error.interval(ml, confidence) or ()))
        for ml, confidence in zip(seen.tolist(), trusts(doubt), strict=True)
    ]
    held = []
    for number in range(half):
        change = Change.between(found[number], found[number + half])
        percent = 100 * (true[number + half] / true[number] - 1)
        low, high = change.low_percent, change.high_percent
        held.append((low is None or low <= percent) and (high is None or percent <= high))
    return {"true change": float(np.mean(held))}


EVEN = "one scan a patient, scatter alike everywhere"


def dice(rng: Generator, patients: Sequence[str], even: bool = False) -> tuple[Array, Array]:
    """Dice that falls with the uncertainty, and scatters more there unless `even`."""
    doubt = doubts(rng, patients)
    scatter = 0.12 if even else 0.12 * reach(doubt)
    return np.clip(0.9 - 0.5 * doubt + scatter * normal(rng, patients, 0.5), 0, 1), doubt


def hold_dice(rng: Generator, variant: str, patients: int) -> Held:
    names = owners(rng, variant, patients)
    values, doubt = dice(rng, names, variant == EVEN)
    found = calibrate(trusts(doubt), values, names)
    if found is None:
        return nothing_told("Dice")
    values, doubt = dice(rng, ANEW, variant == EVEN)
    expected = zip((found.expect(confidence) for confidence in trusts(doubt)), values, strict=True)
    held = np.array([one is not None and one.low <= value <= one.high for one, value in expected])
    return by_third("Dice", held, doubt, patients)


def hold_nothing(rng: Generator, variant: str, patients: int) -> Held:
    """Scans in which nothing was found; two of a patient are alike in this in half of what is not chance."""
    chance = next(share for words, share in CHANCES.items() if words in variant)
    names = owners(rng, variant, patients)
    patient = dict(zip(dict.fromkeys(names), rng.beta(chance, 1 - chance, patients), strict=True))
    true = np.where(rng.random(len(names)) < [patient[name] for name in names], 5.0, 0.0)
    found = volume_confidence(np.zeros(len(names)), true, trusts(np.ones(len(names))), names).nothing
    assert found.low_95 is not None
    assert found.high_95 is not None
    return {"probability of a lesion": float(found.low_95 <= chance <= found.high_95)}


def hold_concordance(rng: Generator, variant: str, patients: int) -> Held:
    names = owners(rng, variant, patients)
    true, told, _ = volumes(rng, names, errors_of(variant))
    icc, ccc, _ = volume_concordance(true, told, names)
    truths = concordances(errors_of(variant))
    return {
        name: None if one.low_95 is None or one.high_95 is None else float(one.low_95 <= truth <= one.high_95)
        for name, one, truth in zip(("ICC", "Lin's CCC"), (icc, ccc), truths, strict=True)
    }


@cache
def concordances(errors: str) -> tuple[float, float]:
    true, told, _ = volumes(np.random.default_rng(0), [str(number) for number in range(100_000)], errors)
    logs = np.log(np.stack([true, told], axis=1) + FLOOR_ML)
    return intraclass_correlation(logs), concordance(logs)


def hold_figures(rng: Generator, variant: str, patients: int) -> Held:
    names = owners(rng, variant, patients)
    values, doubt = dice(rng, names)
    told = confidence_figures(-doubt, values, np.stack([reach(doubt), doubt], axis=1) / 10, names, "").figures[:4]
    figures = ("AUROC", "Spearman", "risk-coverage area", "Brier score")
    return {
        name: None if one.low_95 is None or one.high_95 is None else float(one.low_95 <= truth <= one.high_95)
        for name, one, truth in zip(figures, told, certainty_worth(), strict=True)
    }


@cache
def certainty_worth() -> tuple[float, ...]:
    values, doubt = dice(np.random.default_rng(0), [str(number) for number in range(100_000)])
    found = auroc(-doubt, values < 0.5), spearman(-doubt, values), area_under_risk(-doubt, values)
    return (*found, float(reach(doubt).mean()) / 10)


_OF_VOLUMES = tuple(f"{errors} errors, {scans}" for errors in ERRORS for scans in (ONE, SEVERAL))

TRUST_LEVELS: tuple[Level, ...] = (
    Level(
        "Volumes: interval of a measured volume",
        90,
        "Of a new scan, by a model whose validation scans are known; errors reach five times as far for the most "
        "doubtful scan as for the most certain, and uncertainty tells it. From five patients on; of scans as uncertain "
        "as this one, here the thirds, from ten: with fewer, the report speaks of all scans.",
        _OF_VOLUMES,
        hold_volume,
    ),
    Level(
        "Follow-up: interval of a change",
        90,
        "New patients at two times. Given as nine changes in ten at least: errors of one patient resemble each other.",
        _OF_VOLUMES,
        hold_change,
    ),
    Level(
        "Dice to expect of a scan",
        80,
        "Of a new scan; Dice falls with the uncertainty and, but in the last rows, scatters more there. From five "
        "patients on, of scans as uncertain as this one from ten. With ten to twenty it is wider than it need be: fits "
        "without a patient, which tell how far they are off, are poorer than the fit to all patients, which predicts.",
        (ONE, SEVERAL, EVEN),
        hold_dice,
    ),
    Level(
        "Nothing found: probability of a lesion",
        95,
        "Patients are those with a scan in which nothing was found. Given for any number of them.",
        tuple(f"{chance}, {scans}" for chance in CHANCES for scans in (ONE, SEVERAL)),
        hold_nothing,
    ),
    Level(
        "Volumes: ICC and Lin's CCC",
        95,
        "Of log(mL + 1), two measurements of each scan. From five patients on.",
        _OF_VOLUMES,
        hold_concordance,
    ),
    Level(
        "What the certainty is worth",
        95,
        'Of a model as under "Dice to expect". From five patients on (the area from ten), where no few scans decide.',
        (ONE, SEVERAL),
        hold_figures,
    ),
)
