"""What a result can be made again from: versions, seeds, and hashes of inputs, plan and split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vmseg_auto.data.dataset import SPLIT_SEED, Splits
from vmseg_auto.data.pseudonyms import Names
from vmseg_auto.data.runs import Run
from vmseg_auto.models.fold_record import read_record
from vmseg_auto.planning.fingerprint import Fingerprint
from vmseg_auto.planning.plan import Plan
from vmseg_auto.report.render import Fact, Table
from vmseg_auto.utils.json_codec import digest


@dataclass(frozen=True)
class Manifest:
    """Seeds, hashes, and a hash of each input."""

    seeds: tuple[Fact, ...]
    hashes: tuple[Fact, ...]
    folds: Table | None
    inputs: Table


def manifest(fingerprint: Fingerprint, plan: Plan, splits: Splits, runs: Sequence[Run], names: Names) -> Manifest:
    """Return the manifest of a workspace's chosen runs."""
    folds = [(run, fold, record) for run in runs for fold in run.finished_folds() if (record := read_record(fold))]
    training = ", ".join(sorted({str(record.config.seed) for _, _, record in folds})) or "none trained yet"
    rows = tuple((f"{run.name}, fold {fold.name}", digest(record)) for run, fold, record in folds)
    inputs = sorted((names.cases[case], summary.content) for case, summary in fingerprint.cases.items())
    return Manifest(
        seeds=(Fact("Training", training), Fact("Split", str(SPLIT_SEED))),
        hashes=(
            Fact("Dataset", fingerprint.dataset_hash, "all scans, masks, channels and labels"),
            Fact("Plan", plan.content_hash, "edited by hand" if plan.edited else "as planned"),
            Fact("Split", digest(splits.folds)),
        ),
        folds=Table("TrainingConfig, plan and cases of each fold", ("Fold", "Hash"), rows) if rows else None,
        inputs=Table("Hash of each scan with its mask", ("Scan", "SHA-256, first 16 digits"), tuple(inputs)),
    )
