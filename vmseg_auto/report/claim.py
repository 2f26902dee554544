"""What a paper must say by CLAIM 2024, with TRIPOD+AI beside it, as far as the workspace knows it.

Numbers are those of Tejani et al., Radiology: Artificial Intelligence 2024;6(4):e240300 (44 items) and of Collins et
al., BMJ 2024;385:e078378 (27 items). Topics are told in words of our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vmseg_auto.data.dataset import Splits
from vmseg_auto.evaluation.metrics.score import metrics
from vmseg_auto.models.selection_record import Selection
from vmseg_auto.planning.fingerprint import Fingerprint
from vmseg_auto.planning.plan import Plan
from vmseg_auto.report.scores import failures
from vmseg_auto.report.words import TIMES, plain
from vmseg_auto.utils.statistics import FEWEST_PATIENTS
from vmseg_auto.utils.text import counted, median_and_range
from vmseg_auto.workflows.run_tables import CaseScore


@dataclass(frozen=True)
class Item:
    """One item of the checklist.

    Args:
        number: in CLAIM; empty for an item that TRIPOD+AI alone has.
        asks: what it asks for.
        tripod: numbers of the items of TRIPOD+AI that ask for the same; empty where none does.
        known: what the workspace knows of it; empty where it knows nothing.
        yours: what is for the authors to write; empty where nothing is.
    """

    number: str
    asks: str
    tripod: str = ""
    known: str = ""
    yours: str = ""


@dataclass(frozen=True)
class Study:
    """What the items are filled in from.

    Args:
        patients: case id -> patient.
        scores: of the cross-validation; empty where there is none yet.
        selection: None where nothing was compared yet.
        tests: test cases of the dataset.
        learning_curve: whether one was drawn.
        starts: where the weights of each run's training started from, in sentences.
    """

    fingerprint: Fingerprint
    patients: dict[str, str]
    splits: Splits
    plan: Plan
    scores: Sequence[CaseScore]
    selection: Selection | None
    tests: int
    learning_curve: bool
    starts: Sequence[str] = ()


def claim(study: Study) -> dict[str, tuple[Item, ...]]:
    """Group of items -> items."""
    return {
        "Title, abstract and introduction": _opening(study),
        "Methods: study and data": _data(study),
        "Methods: reference standard": _reference(study),
        "Methods: partitions": _partitions(study),
        "Methods: model and training": _model(study),
        "Methods: evaluation": _evaluation(study),
        "Results": _results(study),
        "Discussion and other information": _closing(),
        "Asked for by TRIPOD+AI alone": _tripod_alone(study),
    }


def _opening(study: Study) -> tuple[Item, ...]:
    labels = ", ".join(plain(name) for name, value in study.fingerprint.labels.items() if value)
    return (
        Item("1", "Title names the kind of method", "1", f"a U-Net that outlines {labels}", "the title"),
        Item("2", "Abstract in sections", "2", "", "design, methods, results and what follows from them"),
        Item("3", "Background, intended use and role", "3a, 3b", "", "who would use it, when, and for which decision"),
        Item("4", "Aims and hypotheses", "4", "", "what is to be shown"),
    )


def _data(study: Study) -> tuple[Item, ...]:
    channels = ", ".join(study.fingerprint.channels)
    missing = "none: a scan without a channel or mask is refused"
    pixels = median_and_range([case.spacing_mm[1] for case in study.fingerprint.cases.values()])
    slices = median_and_range([case.spacing_mm[0] for case in study.fingerprint.cases.values()])
    preprocessed = f"resampled to {study.plan.spacing_text(TIMES)}; {_intensities(study.plan)}"
    grid = f"pixels of {pixels} mm, slices every {slices} mm"
    return (
        Item("5", "Prospective or retrospective", "5a", "", "which of them"),
        Item("6", "Goal of the study", "4", "a model is made, and tested within its cohort", "feasibility, or more"),
        Item("7", "Sources of the data", "5a, 5b, 6a", f"channels: {channels}", "hospitals, scanners, years"),
        Item("8", "Who was included and excluded", "6b", "", "criteria, and how patients were found"),
        Item("9", "Preparation of the images", "7, 12b", preprocessed),
        Item("10", "Parts of the data that were chosen", "11", "", "scans, slices or regions that were left out"),
        Item("11", "Removal of identities", "", "", "how, and by whom"),
        Item("12", "Missing data", "11", missing, "patients left out for want of a scan or mask"),
        Item("13", "How the images were taken", "9a, 9b, 9c", grid, "field strength, sequence, contrast agent"),
    )


def _intensities(plan: Plan) -> str:
    words = {
        "zscore": "each scan's mean is 0 and its standard deviation 1",
        "zscore_in_mask": "the same within the scan's non-zero region",
        "ct": "clipped and scaled with the cohort's numbers",
        "none": "intensities as they are",
    }
    return "; ".join(dict.fromkeys(words[one.scheme] for one in plan.normalization))


def _reference(study: Study) -> tuple[Item, ...]:
    labels = ", ".join(plain(name) for name, value in study.fingerprint.labels.items() if value)
    volumes = median_and_range([case.volume_ml for case in study.fingerprint.cases.values()])
    return (
        Item("14", "What the reference standard is", "8a", f"masks of {labels}, {volumes} mL", "what counts as lesion"),
        Item("15", "Why this reference standard", "8a", "", "why outlines, and whether proven by biopsy or follow-up"),
        Item("16", "Who outlined", "8b", "", "how many, their training, years of experience, and the program"),
        Item("17", "How the test cases were outlined", "8a, 8c", "", "whether otherwise than those for training"),
        Item("18", "Agreement within and between readers", "", "", "a second reader's masks, and their Dice"),
    )


def _partitions(study: Study) -> tuple[Item, ...]:
    size = f"{counted(len(study.patients), 'scan')} of {counted(len(set(study.patients.values())), 'patient')}"
    curve = "a learning curve stands in the workspace" if study.learning_curve else ""
    validation = [len(fold.val) for fold in study.splits.folds]
    folds = f"{len(validation)} folds with {median_and_range(validation)} validation scans; {study.splits.source}"
    return (
        Item("19", "How cases were assigned", "12a", folds),
        Item("20", "On which level partitions are apart", "12a", "patients: all scans of one stand on the same side"),
        Item("21", "Sample size", "10", "; ".join(filter(None, (size, curve))), "how it was settled"),
    )


def _model(study: Study) -> tuple[Item, ...]:
    network = study.plan.network
    stages = f"{len(network.features)} stages, {network.features[0]} to {network.features[-1]} features"
    chosen = study.selection.chosen if study.selection else None
    reasons = "; ".join(study.selection.reasons) if study.selection else ""
    ensemble = f"{', '.join(chosen.runs)}; the folds' probabilities are averaged" if chosen else ""
    return (
        Item("22", "The model", "12c, 15, 22", f"{network.builder}, {stages}; gives a mask and volumes"),
        Item("23", "Software", "12g", "see the manifest below"),
        Item("24", "First weights", "12c", " ".join(study.starts)),
        Item("25", "How it was trained", "12c", "see the settings and curves above"),
        Item("26", "How the final model was chosen", "12c", reasons),
        Item("27", "FoldEnsemble", "12c", ensemble),
    )


def _evaluation(study: Study) -> tuple[Item, ...]:
    done = bool(study.scores)
    titles = ", ".join(metric.title for metric in metrics()[:6])
    interval = f"95 % intervals by Student's t over patients (jackknife), from {FEWEST_PATIENTS} patients on"
    tests = f"{counted(study.tests, 'test scan')} in imagesTs" if study.tests else ""
    inside = "cross-validation: every patient was a validation patient once" if done else ""
    return (
        Item("28", "Metrics", "12e", f"{titles} and more, defined above" if done else ""),
        Item("29", "Uncertainty and significance", "12e", interval if done else ""),
        Item("30", "Robustness", "12d, 23b", "", "other scanners, spacings or readers that were tried"),
        Item("31", "Explanation of results", "", "outlines and expected Dice of each scan; no other", ""),
        Item("32", "Internal testing", "12a", "; ".join(filter(None, (inside, tests)))),
        Item("33", "External testing", "12a, 16", "", "scans of another hospital"),
        Item("34", "Registration of a clinical trial", "18d", "", "number, where there is one"),
    )


def _results(study: Study) -> tuple[Item, ...]:
    done = bool(study.scores)
    size = f"{counted(len(study.patients), 'scan')} of {counted(len(set(study.patients.values())), 'patient')} included"
    return (
        Item("35", "Flow of patients", "20a", size, "how many were excluded at each step, and why"),
        Item(
            "36",
            "Patients in each partition",
            "20b, 20c, 21",
            "",
            "age, sex, site and type of the lesions in each fold",
        ),
        Item("37", "Performance with its uncertainty", "23a", "see the cross-validation above" if done else ""),
        Item("38", "Diagnostic performance", "23a", "", "where lesions are to be found: sensitivity, and its interval"),
        Item("39", "Where it fails", "", failures(study.scores) if done else "", "why these fail, as you see them"),
    )


def _closing() -> tuple[Item, ...]:
    limits = "cross-validation on one cohort says little of other hospitals"
    return (
        Item("40", "Limitations", "26", limits, "as you see them"),
        Item("41", "What follows for practice", "25, 27c", "research only; no medical device", "the intended use"),
        Item("42", "Full protocol", "18c", "", "where it is found"),
        Item(
            "43",
            "Sharing of program, model and data",
            "18e, 18f",
            "vmseg_model export packs the model",
            "what you give",
        ),
        Item("44", "Funding", "18a", "", "who paid, and what they had a say in"),
    )


def _tripod_alone(study: Study) -> tuple[Item, ...]:
    empty = sum(case.volume_ml == 0 for case in study.fingerprint.cases.values())
    balance = (
        f"{empty} of {counted(len(study.fingerprint.cases), 'scan')} without a lesion; patches are drawn around lesions"
    )
    return (
        Item("", "Rare and frequent classes", "13", balance),
        Item(
            "", "Treatments", "6c", "", "sclerotherapy, laser or surgery before the scan, and whether such scans are in"
        ),
        Item("", "Fairness", "3c, 14", "", "groups of patients for whom it may do worse, and what was done"),
        Item("", "Ethical approval", "17", "", "which board, and its number"),
        Item("", "Conflicts of interest", "18b", "", "of each author"),
        Item("", "Part of patients and the public", "19", "", "in which steps, or that there was none"),
        Item("", "Updates of the model", "12f, 24", " ".join(study.starts), "where a model of others was trained on"),
        Item(
            "",
            "Use of the model",
            "27a, 27b",
            "each mask must be looked at",
            "which scans it takes, which skill it needs",
        ),
    )
