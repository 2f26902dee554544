"""Cohort and plan in a short table."""

from __future__ import annotations

from collections.abc import Mapping

from vmseg_auto.data.dataset import Splits
from vmseg_auto.planning.fingerprint import Fingerprint
from vmseg_auto.planning.memory import card_gib
from vmseg_auto.planning.plan import Plan
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.utils.text import by_axes, counted, median_and_range, medians_by_axes, value_range

DEFAULT_TRAINER = TrainingConfig(ema_decay=0.999)
"""The default trainer's settings, as far as memory goes; itself it loads torch, which planning does without."""


def plan_table(fingerprint: Fingerprint, plan: Plan, splits: Splits, patients: Mapping[str, str]) -> str:
    """Return the table that the command shows once it has planned."""
    cases = fingerprint.cases.values()
    labels = ", ".join(name for name, value in fingerprint.labels.items() if value)
    network = plan.network
    rows = [
        ("Cohort", f"{fingerprint.dataset}: {len(cases)} cases of {len(set(patients.values()))} patients"),
        ("Channels", ", ".join(fingerprint.channels)),
        ("Labels", labels),
        ("Scan size", f"{medians_by_axes([c.shape for c in cases], '.0f')} voxels (z, y, x)"),
        ("Spacing", f"{medians_by_axes([c.spacing_mm for c in cases], '.3g')} mm"),
        ("Lesion volume", _volumes(fingerprint)),
        ("Folds", f"{len(splits.folds)} ({splits.source})"),
        ("Validation", _validation(fingerprint, splits)),
        ("Target spacing", plan.spacing_text()),
        ("Patch, batch", f"{by_axes(plan.patch, 'd')} voxels, {plan.batch_size} a step"),
        (
            "Network",
            f"{network.builder}, {len(network.features)} stages, {network.features[0]}-{network.features[-1]} features",
        ),
        ("Memory", f"{plan.memory_gb:g} GB planned for; {memory_needed(plan, len(fingerprint.labels))}"),
    ]
    table = "\n".join(f"  {name:<15}{value}" for name, value in rows)
    reasons = "\n".join(f"  - {reason}" for reason in plan.reasons)
    return f"{table}\nWhy:\n{reasons}" if reasons else table


def memory_needed(plan: Plan, classes: int) -> str:
    """Say what a training by a plan takes of a GPU with the default trainer's settings.

    Args:
        plan: the plan.
        classes: labels, background included.
    """
    return f"training takes about {card_gib(plan, classes, DEFAULT_TRAINER):.2g} GiB of a GPU"


def _volumes(fingerprint: Fingerprint) -> str:
    volumes = [case.volume_ml for case in fingerprint.cases.values()]
    return f"median {median_and_range(volumes)} mL"


def _validation(fingerprint: Fingerprint, splits: Splits) -> str:
    cases = [len(fold.val) for fold in splits.folds]
    volumes = [sum(fingerprint.cases[case].volume_ml for case in fold.val) for fold in splits.folds]
    count = counted(max(cases), "case") if min(cases) == max(cases) else f"{value_range(cases)} cases"
    return f"{count}, {value_range(volumes, '.3g')} mL in a fold"
