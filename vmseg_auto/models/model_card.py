"""The model card (Mitchell et al., FAT* 2019) of a trained model: what it is for, made from, worth, and no good for.

It is filled from the workspace alone, and names no case, patient, dataset or folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vmseg_auto.data.runs import FoldName
from vmseg_auto.evaluation.lesion_filter import LesionFilter
from vmseg_auto.evaluation.metrics.score import metrics
from vmseg_auto.evaluation.scores import ScoreSummary
from vmseg_auto.models.model import ModelInfo
from vmseg_auto.models.selection_record import Candidate, Estimate, Worth
from vmseg_auto.planning.fingerprint import Fingerprint
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.utils.statistics import no_interval, without_interval
from vmseg_auto.utils.text import (
    UNKNOWN,
    by_axes,
    counted,
    decimal,
    interval,
    median_and_range,
    medians_by_axes,
    with_interval,
)

INTENDED = """## Intended use

Research only. **This is no medical device**, and has not been tested as one: no diagnosis, treatment or measurement of
a patient may rest on it alone. Every mask must be looked at by a person who knows the anatomy."""

NO_COHORT = "Not known: it is not recorded with this model, or has changed since its folds were trained."
LIMITS = """- Scores come from the same sources as the training scans. Elsewhere (other scanners, sequences, field
  strengths, readers, patients) they are usually lower; score some cases of your own with `vmseg_evaluate` first.
- The ages, sexes, origins and earlier treatments of the patients are not recorded here, so nothing is known of how the
  model serves any group of them.
- Other diseases that look alike were not tested. A scan without the lesion may get a mask all the same."""


@dataclass(frozen=True)
class Member:
    """One model, as it is given away.

    Args:
        info: its own account.
        folds: that are given.
        config: they were trained by.
        epochs: done by each.
        first_weights: what they started from, in words.
        scores: metrics.json of its cross-validation; None where it has none, or not of these folds.
        why_no_scores: the reason, where it has one that is not of these folds.
    """

    info: ModelInfo
    folds: tuple[FoldName, ...]
    config: TrainingConfig
    epochs: tuple[int, ...]
    first_weights: tuple[str, ...]
    scores: ScoreSummary | None
    why_no_scores: str = ""


@dataclass(frozen=True)
class Facts:
    """All that a card says.

    Args:
        name: of the whole.
        licence: under which it is given; empty where that was not said.
        version: of this program.
        members: the models, the best first.
        cohort: that they were trained on; None where it is not known.
        rule: how several predict together; None for one.
        worth: of having chosen them; None where they were not.
    """

    name: str
    licence: str
    version: str
    members: tuple[Member, ...]
    cohort: Fingerprint | None
    rule: Candidate | None
    worth: Worth | None


def model_card(facts: Facts) -> str:
    """Write the card, in Markdown."""
    members, first = facts.members, facts.members[0].info
    labels = _listed([label for label, value in first.labels.items() if value])
    parts = [
        f"# {_cell(facts.name)}\n\n"
        f"Segments {labels} in 3-D scans with the channels {_listed(first.channels)}. "
        f"{'A U-Net' if len(members) == 1 else f'{len(members)} U-Nets together'}, "
        f"made with vmseg_auto {facts.version}.",
        INTENDED,
        "## Cohort\n\n" + (_cohort(facts.cohort, members) if facts.cohort else NO_COHORT),
        "## Training\n\n" + "\n\n".join(_training(members)),
        "## How good it is\n\n" + "\n\n".join(_scores(facts)),
        "## Limits\n\n" + "\n".join([*_range(first), LIMITS]),
        "## Licence\n\n" + (_cell(facts.licence) or "None was given: ask whoever gave you this file."),
        "## Use\n\n```\nvmseg_predict -m THIS_FILE.zip -i SCANS -o MASKS\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _cohort(cohort: Fingerprint, members: Sequence[Member]) -> str:
    cases = list(cohort.turned_cases.values())
    patients = next((member.scores.patients for member in members if member.scores), None)
    volumes = [case.volume_ml for case in cases]
    extents = [tuple(n * mm for n, mm in zip(c.shape, c.spacing_mm, strict=True)) for c in cases]
    rows = [
        ("Scans", f"{len(cases)}" + (f" of {patients} patients" if patients else "")),
        ("Size in voxels (z, y, x)", medians_by_axes([case.shape for case in cases], ".0f")),
        ("Spacing in mm", medians_by_axes([case.spacing_mm for case in cases], ".3g")),
        ("Field of view in mm", medians_by_axes(extents, ".0f")),
        ("Volume of all labels in mL", median_and_range(volumes)),
        ("Scans without any", f"{sum(volume == 0 for volume in volumes)}"),
    ]
    if partly := sum(case.ignored_voxels > 0 for case in cases):
        rows.append(("Masks annotated in part, whose volumes are estimates", f"{partly}"))
    return _table(("", "median (least to most)"), rows)


def _training(members: Sequence[Member]) -> Iterator[str]:
    for number, member in enumerate(members, 1):
        plan, config = member.info.plan, member.config
        epochs = " or ".join(map(str, sorted(set(member.epochs))))
        after = f" (given the masks of {plan.first_stage}, which is within)" if plan.first_stage else ""
        yield from ([f"### Model {number}"] if len(members) > 1 else [])
        yield _table(
            ("", ""),
            [
                ("Planner, trainer", f"{plan.planner}{after}, {member.info.trainer}"),
                ("Network", f"{plan.network.builder}, {len(plan.network.features)} stages"),
                ("Spacing; patch in voxels (plan's axes)", f"{plan.spacing_text()}; {by_axes(plan.patch)}"),
                ("Folds", ", ".join(map(str, member.folds))),
                ("Epochs, steps, batch", f"{epochs}, {config.iterations_per_epoch} an epoch, {plan.batch_size} a step"),
                ("First weights", "; ".join(member.first_weights)),
            ],
        )


def _scores(facts: Facts) -> Iterator[str]:
    """Yield what was measured, with 95 % intervals over patients."""
    old = any(member.why_no_scores for member in facts.members)
    if facts.rule is not None and facts.rule.dice is not None and not old:
        over = counted(facts.rule.dice.patients, "patient")
        yield (
            f"Cross-validated Dice of all together, mean over {over} with 95 % interval: {_estimate(facts.rule.dice)}; "
            "flattered, as they were chosen on the same patients."
        )
    if facts.worth is not None and facts.worth.nested_dice is not None and not old:
        nested = facts.worth.nested_dice
        yield (
            "Cross-validated Dice, with the choice of model, threshold and post-processing left to the other patients "
            f"each time, mean over {counted(nested.patients, 'patient')}: {_estimate(nested)}."
        )
    for number, member in enumerate(facts.members, 1):
        title = f"model {number}" if len(facts.members) > 1 else "the model"
        if member.scores is None:
            why = f"The cross-validation of {title} is not shown, as {member.why_no_scores}"
            why = why if member.why_no_scores else f"No whole cross-validation of {title} is recorded"
            yield f"{why}: how good it is, is not known."
            continue
        yield (
            f"Cross-validation of {title}: {member.scores.cases} scans of {member.scores.patients} patients, "
            "each segmented by a network that had never seen the patient, before threshold and post-processing were "
            "chosen."
        )
        yield from without_interval(member.scores.patients)
        yield _table(
            ("label", "score", "mean over scans", "95 % interval", "median", "scans of patients"),
            _score_rows(member.scores),
        )
        if calibration := member.info.calibration:
            known = f"{calibration.cases} of them, of {calibration.patients} patients"
            yield f"The Dice that vmseg_predict expects of a scan was calibrated on {known}."
        yield from _lesion_filter(member.info.lesion_filter if facts.rule is None else None)
    if facts.rule is not None:
        yield from _lesion_filter(facts.rule.lesion_filter)


def _lesion_filter(lesion_filter: LesionFilter | None) -> Iterator[str]:
    """Yield what is known of single components."""
    if lesion_filter is None:
        return
    for label, classifier in lesion_filter.classifiers.items():
        least = lesion_filter.least[label]
        kept = f"those below {least:g} are left out" if least else "none is left out for it"
        yield (
            f"The probability that a component of {_cell(label)} touches a lesion (p_lesion) was learnt from "
            f"{classifier.components} components of {classifier.patients} patients, of which {classifier.touching} "
            f"touched one; {kept}."
        )
    yield "Lesion filter: " + "; ".join(map(_cell, lesion_filter.reasons)) + "."


def _score_rows(scores: ScoreSummary) -> Iterator[tuple[str, ...]]:
    known = {metric.name: metric for metric in metrics()}
    for label, values in scores.summary.items():
        for name, row in values.items():
            metric = known.get(name)  # None where a package that is not installed here brought it
            title, digits = (metric.heading(scores.tolerance_mm), metric.digits) if metric else (name, 3)
            over = f"{row.n} of {row.patients}"
            ends = interval(row.low_95, row.high_95, digits) if row.n else UNKNOWN
            ends = no_interval(row.patients) if row.n and ends == UNKNOWN else ends
            yield label, title, decimal(row.mean, digits), ends, decimal(row.median, digits), over


def _range(info: ModelInfo) -> Iterator[str]:
    if info.scans is None:
        yield "- Which spacings and fields of view it has learnt from is not recorded."
        return
    spacing, extent = (
        f"{by_axes(low)} to {by_axes(high)} mm" for low, high in (info.scans.spacing_mm, info.scans.extent_mm)
    )
    yield f"- It has learnt from scans with spacings of {spacing} and fields of view of {extent} (z, y, x);"
    yield "  `vmseg_predict` warns of scans that lie far outside."


def _table(head: Sequence[str], rows: Iterator[tuple[str, ...]] | Sequence[tuple[str, ...]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    """Return text that can't break out of a line or a table."""
    return " ".join(text.split()).replace("|", r"\|")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(_cell, names))


def _estimate(value: Estimate) -> str:
    return with_interval(value.mean, value.low_95, value.high_95, no_interval(value.patients))
