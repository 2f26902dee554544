"""What a paper must say by the CLAIM checklist, as far as the workspace knows it.

Items and their numbers are those of Mongan, Moy and Kahn, Radiology: Artificial Intelligence 2020;2:e200029.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vmseg_auto.core.console import counted
from vmseg_auto.core.dataset import Splits
from vmseg_auto.core.fingerprint import Fingerprint
from vmseg_auto.core.plan import Plan
from vmseg_auto.core.selection import Selection
from vmseg_auto.ops.metrics import METRICS
from vmseg_auto.ops.statistics import SEED
from vmseg_auto.pipeline.report.scores import failures
from vmseg_auto.pipeline.report.words import by, plain, spread
from vmseg_auto.pipeline.run_tables import CaseScore


@dataclass(frozen=True)
class Item:
    """One item of the checklist.

    Args:
        number: in CLAIM.
        asks: what it asks for.
        known: what the workspace knows of it; empty where it knows nothing.
        yours: what is for the authors to add; empty where nothing is.
    """

    number: str
    asks: str
    known: str = ""
    yours: str = ""


@dataclass(frozen=True)
class Study:
    """What the items are filled in from.

    Args:
        patients: case id -> patient.
        scores: of the cross-validation; empty where there is none yet.
        selection: None where nothing was compared yet.
        tests: held-out test cases of the dataset.
        learning_curve: whether one was drawn.
    """

    fingerprint: Fingerprint
    patients: dict[str, str]
    splits: Splits
    plan: Plan
    scores: Sequence[CaseScore]
    selection: Selection | None
    tests: int
    learning_curve: bool


def claim(study: Study) -> dict[str, tuple[Item, ...]]:
    """Group of items -> items."""
    return {
        "Data and annotation": _data(study),
        "Sample size and splits": _splits(study),
        "Model and training": _model(study),
        "Evaluation and failure analysis": _evaluation(study),
    }


def _data(study: Study) -> tuple[Item, ...]:
    labels = ", ".join(plain(name) for name, value in study.fingerprint.labels.items() if value)
    channels = ", ".join(study.fingerprint.channels)
    volumes = [case.volume_ml for case in study.fingerprint.cases.values()]
    return (
        Item("7", "Data sources", f"channels: {channels}", "hospital, scanners, sequences, years"),
        Item("8", "Eligibility", "", "criteria, and how patients were found"),
        Item("9", "Preprocessing", f"resampled to {by(study.plan.spacing_mm)} mm; {_intensities(study.plan)}"),
        Item("12", "De-identification", "", "how, and by whom"),
        Item("13", "Missing data", "none: a scan without a channel or mask is refused"),
        Item("14", "Reference standard", f"masks of {labels}, {spread(volumes)} mL", "what counts as lesion, and why"),
        Item("16", "Annotators", "", "how many, their training and years of experience"),
        Item("17", "Annotation tools", "", "program and version"),
        Item("18", "Agreement of annotators", "", "a second reader's masks on some scans, and their Dice"),
    )


def _intensities(plan: Plan) -> str:
    words = {
        "zscore": "each scan's mean is 0 and its standard deviation 1",
        "zscore_in_mask": "the same within the scan's non-zero region",
        "ct": "clipped and scaled with the cohort's numbers",
        "none": "intensities as they are",
    }
    return "; ".join(dict.fromkeys(words[one.scheme] for one in plan.normalization))


def _splits(study: Study) -> tuple[Item, ...]:
    size = f"{counted(len(study.patients), 'scan')} of {counted(len(set(study.patients.values())), 'patient')}"
    curve = "a learning curve stands in the workspace" if study.learning_curve else ""
    held = [len(fold.val) for fold in study.splits.folds]
    return (
        Item("19", "Sample size", "; ".join(filter(None, (size, curve))), "how it was settled"),
        Item("20", "Partitions", f"{len(held)} folds with {spread(held)} held-out scans; {study.splits.source}"),
        Item("21", "Level of the split", "patients: all scans of one stand on the same side"),
        Item("32", "External test", _tests(study.tests), "scans of another hospital"),
    )


def _tests(number: int) -> str:
    return f"{counted(number, 'held-out test scan')} in imagesTs" if number else ""


def _model(study: Study) -> tuple[Item, ...]:
    network = study.plan.network
    stages = f"{len(network.features)} stages, {network.features[0]} to {network.features[-1]} features"
    chosen = study.selection.chosen if study.selection else None
    ensemble = f"{', '.join(chosen.runs)}; the folds' probabilities are averaged" if chosen else ""
    return (
        Item("22", "Model", f"{network.builder}, {stages}"),
        Item("23", "Software", "see the manifest below"),
        Item("25", "Training", "see the settings and curves above"),
        Item("26", "Choice of the model", "; ".join(study.selection.reasons) if study.selection else ""),
        Item("27", "Ensemble", ensemble),
    )


def _evaluation(study: Study) -> tuple[Item, ...]:
    done = bool(study.scores)
    metrics = ", ".join(metric.title for metric in METRICS[:6])
    return (
        Item("28", "Metrics", f"{metrics} and more, defined above" if done else ""),
        Item("29", "Uncertainty", f"bootstrap over patients, seed {SEED}" if done else ""),
        Item("34", "Patients", "", "age, sex, site and type of the lesions in each fold"),
        Item("35", "Performance", "see the cross-validation above" if done else ""),
        Item("37", "Failure analysis", failures(study.scores) if done else "", "why these fail, as you see them"),
        Item("38", "Limitations", "cross-validation on one cohort says little of other hospitals", "as you see them"),
        Item(
            "40\N{EN DASH}42",
            "Registration, protocol, funding",
            "",
            "registry number, where the protocol is, who paid",
        ),
    )
