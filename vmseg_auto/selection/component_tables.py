"""Writes what validation cases tell of components: components.csv and lesion_filter.json."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.runs import Run
from vmseg_auto.evaluation.component_features import FEATURES
from vmseg_auto.evaluation.discrimination import auroc
from vmseg_auto.selection.component_filter import (
    DICE,
    LEAST,
    PRECISION,
    RECALL,
    CaseComponents,
    LearntFilter,
    brier_scores,
    filter_reason,
)
from vmseg_auto.selection.lesion_filter_record import Bin, FilterFigures, LabelFilter, Level
from vmseg_auto.selection.out_of_fold_cases import patient_means
from vmseg_auto.utils.atomic import write_sealed
from vmseg_auto.utils.figure import Figure
from vmseg_auto.utils.jackknife import SHARE, Definition, jackknife_figure
from vmseg_auto.utils.tables import write_csv

COMPONENT_COLUMNS = (
    "case", "patient", "label", "component", "volume_ml", "touches_lesion", "p_lesion", *FEATURES,
)  # fmt: skip
BINS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Ends of the ranges of probability whose shares are compared; narrow where most components are."""
_BRIER = Definition(
    "Brier score of p_lesion",
    "mean squared difference of p_lesion and whether the component touches a lesion, mean over scans; 0 is best",
    SHARE,
    "there is no component",
)
_BRIER_OF_SHARE = Definition(
    "Brier score of the share alone",
    "the same, where every component gets the share that touches a lesion, mean over scans; p_lesion must be lower",
    SHARE,
    "there is no component",
)
_POOLED_BRIER = Definition(
    "Brier score over all components",
    "that of p_lesion, where scans with many components count more",
    SHARE,
    "there is no component",
)
_ECE = Definition(
    "Calibration error of p_lesion (ECE)",
    f"mean distance of p_lesion and the share of all components that touches a lesion, in {len(BINS) - 1} ranges; 0 is "
    "best",
    SHARE,
    "there is no component",
)
_AUROC = Definition(
    "AUROC within scans",
    "how often a component that touches a lesion has a higher p_lesion than another of its scan; 0.5 by chance, 1 is "
    "best",
    SHARE,
    "there is no scan with components of both kinds",
)
Values = NDArray[np.float64]
Known = NDArray[np.bool_]


def save_components(run: Run, learnt: Sequence[LearntFilter]) -> None:
    """Write components.csv and lesion_filter.json of a run."""
    write_csv(run.components, COMPONENT_COLUMNS, [row for one in learnt for row in _rows(one)])
    write_sealed(run.lesion_filter, filter_figures(learnt).to_json())


def filter_figures(learnt: Sequence[LearntFilter]) -> FilterFigures:
    """Return what filters of all labels are worth on the cases that they were learnt from, all out of fold."""
    return FilterFigures(tuple(_label(one) for one in learnt))


def _label(one: LearntFilter) -> LabelFilter:
    levels = (LEAST if one.p_lesion is not None else LEAST[:1]) if one.cases else ()
    return LabelFilter(
        label=one.label,
        reason=filter_reason(one),
        lesions=sum(case.shared.shape[1] for case in one.cases),
        chosen=one.least,
        figures=_figures(one),
        reliability=_reliability(one),
        levels=tuple(_level(one, least) for least in levels),
    )


def _figures(one: LearntFilter) -> tuple[Figure, ...]:
    if one.p_lesion is None:
        return ()
    judged = [(case, chance) for case, chance in zip(one.cases, one.p_lesion, strict=True) if len(chance)]
    owners = [case.patient for case, _ in judged]
    told, plain = brier_scores(one.cases, one.p_lesion)
    both = [(case, chance) for case, chance in judged if 0 < case.touching.sum() < len(chance)]
    within = np.array([auroc(chance, ~case.touching) for case, chance in both])

    def pooled(known: Known) -> tuple[Values, Known]:
        kept = [judged[place] for place in np.flatnonzero(known)]
        return np.concatenate([chance for _, chance in kept]), np.concatenate([case.touching for case, _ in kept])

    def pooled_brier(known: Known) -> float:
        chance, touching = pooled(known)
        return float(((chance - touching) ** 2).mean())

    return (
        jackknife_figure(_BRIER, lambda known: float(told[known].mean()), owners),
        jackknife_figure(_BRIER_OF_SHARE, lambda known: float(plain[known].mean()), owners),
        jackknife_figure(_POOLED_BRIER, pooled_brier, owners),
        jackknife_figure(_ECE, lambda known: _calibration_error(*pooled(known)), owners),
        jackknife_figure(_AUROC, lambda known: float(within[known].mean()), [case.patient for case, _ in both]),
    )


def _ranges(chance: Values) -> NDArray[np.intp]:
    return np.clip(np.searchsorted(BINS, chance, side="right") - 1, 0, len(BINS) - 2)


def _calibration_error(chance: Values, touching: Known) -> float:
    off = np.bincount(_ranges(chance), chance - touching)
    return float(np.abs(off).sum() / len(chance))


def _reliability(one: LearntFilter) -> tuple[Bin, ...]:
    if one.p_lesion is None:
        return ()
    chance, touching = np.concatenate(one.p_lesion), np.concatenate([case.touching for case in one.cases])
    places = _ranges(chance)
    inside = [places == place for place in range(len(BINS) - 1)]
    return tuple(
        Bin(float(chance[own].mean()), float(touching[own].mean()), int(own.sum())) for own in inside if own.any()
    )


def _level(one: LearntFilter, least: float) -> Level:
    kept = [
        np.ones(len(case.voxels), dtype=bool) if one.p_lesion is None else one.p_lesion[place] >= least
        for place, case in enumerate(one.cases)
    ]
    judged = list(zip(one.cases, kept, strict=True))
    scores = [np.array(case.scores(own)) for case, own in judged]
    mean = patient_means([case.patient for case in one.cases], scores).mean(axis=0)
    return Level(
        least=least,
        components=sum(int(own.sum()) for own in kept),
        touching=sum(int(case.touching[own].sum()) for case, own in judged),
        lesions_found=sum(int((case.shared[own] > 0).any(axis=0).sum()) for case, own in judged),
        precision=float(mean[PRECISION]),
        recall=float(mean[RECALL]),
        dice=float(mean[DICE]),
        emptied=sum(bool(len(own) and not own.any()) for own in kept),
    )


def _rows(one: LearntFilter) -> Iterator[dict[str, Any]]:
    for place, case in enumerate(one.cases):
        yield from _rows_of_case(one.label, case, None if one.p_lesion is None else one.p_lesion[place])


def _rows_of_case(label: str, case: CaseComponents, chances: Values | None) -> Iterator[dict[str, Any]]:
    for number, voxels in enumerate(case.voxels.tolist()):
        yield {
            "case": case.case,
            "patient": case.patient,
            "label": label,
            "component": number + 1,
            "volume_ml": voxels * case.voxel_ml,
            "touches_lesion": int(case.touching[number]),
            "p_lesion": None if chances is None else float(chances[number]),
            **dict(zip(FEATURES, case.features[number].tolist(), strict=True)),
        }
