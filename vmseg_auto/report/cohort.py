"""The cohort and its plan."""

from __future__ import annotations

from dataclasses import dataclass

from vmseg_auto.data.dataset import Splits
from vmseg_auto.data.pseudonyms import Names
from vmseg_auto.evaluation.odd_cases import odd_cases
from vmseg_auto.figures.charts import Chart, Dot, axis_of
from vmseg_auto.planning.fingerprint import Fingerprint
from vmseg_auto.planning.plan import Plan
from vmseg_auto.report.render import Fact, Table
from vmseg_auto.report.words import TIMES, by, plain, volume
from vmseg_auto.utils.text import counted, median_and_range


@dataclass(frozen=True)
class Cohort:
    """The scans and their outlines."""

    facts: tuple[Fact, ...]
    charts: tuple[Chart, ...]
    odd: Table | None


@dataclass(frozen=True)
class Planned:
    """What was decided before training, and why."""

    facts: tuple[Fact, ...]
    reasons: tuple[str, ...]
    edited: bool


def cohort(fingerprint: Fingerprint, patients: dict[str, str], names: Names) -> Cohort:
    """Describe the cohort; `patients`: case id -> patient."""
    cases = fingerprint.cases.values()
    labels = [plain(name) for name, value in fingerprint.labels.items() if value]
    volumes = [case.volume_ml for case in cases]
    partly = sum(case.ignored_voxels > 0 for case in cases)
    annotated = Fact("Annotated in part", f"{partly} of {counted(len(cases), 'mask')}", "their volumes are estimates")
    facts = (
        Fact("Scans", f"{counted(len(cases), 'scan')} of {counted(len(set(patients.values())), 'patient')}"),
        Fact("Channels", ", ".join(fingerprint.channels)),
        Fact("Outlined", ", ".join(labels)),
        *([annotated] if partly else []),
        Fact("Lesion volume", f"median {median_and_range(volumes)} mL"),
        Fact(
            "Slice spacing",
            f"median {median_and_range([case.spacing_mm[0] for case in cases])} mm",
            "distance between slices",
        ),
        Fact("Pixel size", f"median {median_and_range([case.spacing_mm[1] for case in cases])} mm", "within a slice"),
        Fact("Slices", f"median {median_and_range([case.shape[0] for case in cases])}"),
    )
    return Cohort(facts, _charts(fingerprint, names), _odd(fingerprint, names))


def planned(plan: Plan, splits: Splits, fingerprint: Fingerprint) -> Planned:
    """Describe the plan in numbers, with the planner's own reasons."""
    network = plan.network
    sizes = [len(fold.val) for fold in splits.folds]
    validation = [sum(fingerprint.cases[case].volume_ml for case in fold.val) for fold in splits.folds]
    facts = (
        Fact("Planner", plan.planner),
        Fact("Target spacing", plan.spacing_text(TIMES), "to which every scan is resampled"),
        Fact("Patch", f"{by(plan.patch)} voxels", f"{plan.batch_size} in each training step"),
        Fact(
            "Network",
            f"{network.builder}, {len(network.features)} stages",
            f"{network.features[0]} to {network.features[-1]} features",
        ),
        Fact("Memory budget", f"{plan.memory_gb:g} GB"),
        Fact("Folds", f"{len(splits.folds)}", splits.source),
        Fact(
            "Validation cases of a fold",
            f"{median_and_range(sizes)} scans",
            f"{median_and_range(validation)} mL of lesions",
        ),
    )
    return Planned(facts, plan.reasons, plan.edited)


def _charts(fingerprint: Fingerprint, names: Names) -> tuple[Chart, ...]:
    cases = fingerprint.cases
    order = sorted(cases, key=lambda case: cases[case].volume_ml)
    drawn = [(place, case) for place, case in enumerate(order, 1) if cases[case].volume_ml > 0]
    volumes = [cases[case].volume_ml for _, case in drawn]
    by_volume = Chart(
        "Lesion volumes, the smallest first",
        f"Volumes of {len(drawn)} scans, {median_and_range(volumes)} mL." if drawn else "No scan has a lesion.",
        axis_of("scans", [0, len(order) + 1]),
        axis_of("lesion volume (mL)", volumes, log=True),
        dots=tuple(
            Dot(place, cases[case].volume_ml, "first", f"{names.cases[case]}: {volume(cases[case].volume_ml)} mL")
            for place, case in drawn
        ),
    )
    grids = {case: (summary.spacing_mm[1], summary.spacing_mm[0]) for case, summary in cases.items()}
    pixels, slices = zip(*grids.values(), strict=True)
    by_spacing = Chart(
        "Voxel sizes",
        f"Pixel size {median_and_range(pixels)} mm, slices every {median_and_range(slices)} mm.",
        axis_of("pixel size (mm)", pixels),
        axis_of("slice spacing (mm)", slices),
        dots=tuple(
            Dot(x, y, "first", f"{names.cases[case]}: {x:.3g} mm pixels, {y:.3g} mm slices")
            for case, (x, y) in grids.items()
        ),
    )
    return by_volume, by_spacing


def _odd(fingerprint: Fingerprint, names: Names) -> Table | None:
    found = odd_cases(fingerprint)
    for pair in fingerprint.duplicates:
        for case, other in (pair.cases, pair.cases[::-1]):
            if case in fingerprint.cases:
                twin = names.cases.get(other, "a test scan")
                found.setdefault(case, []).append(f"{pair.kind} to {twin}")
    if not found:
        return None
    rows = sorted((names.cases[case], "; ".join(words)) for case, words in found.items())
    return Table("Scans that stand apart from the others", ("Scan", "What is odd"), tuple(rows))
