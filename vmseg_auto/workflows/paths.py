"""Which dataset and workspace a command works on, and what stands there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vmseg_auto.data import runs
from vmseg_auto.data.dataset import Fold, Splits, fold_cases
from vmseg_auto.data.runs import FoldName, Run
from vmseg_auto.data.workspace import Workspace, workspace_root
from vmseg_auto.models.fold_record import FoldRecord, read_record, settings_of
from vmseg_auto.planning.fingerprint import Fingerprint
from vmseg_auto.planning.plan import Plan
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.utils.atomic import read_stored
from vmseg_auto.utils.console import Console
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.json_codec import Stored, digest
from vmseg_auto.utils.text import listed

PathLike = str | Path


@dataclass(frozen=True)
class Source(Stored):
    """The workspace's dataset.json.

    Args:
        folder, name: of the dataset.
        patients: case id -> patient, where the user has said by `--visits` which visits are those of one.
    """

    folder: str
    name: str
    patients: dict[str, str] = field(default_factory=dict)
    schema: int = 1


def places(dataset: PathLike | None, workspace: PathLike | None) -> tuple[Path, Workspace]:
    """Return the dataset folder and the workspace: as given, else as the workspace remembers, else the current
    directory.

    Raises:
        InputError: the workspace's own record of its dataset is broken.
    """
    space = Workspace(workspace_root(dataset, workspace))
    if dataset is not None:
        return Path(dataset), space
    source = read_source(space) if workspace is not None else None
    return (Path(source.folder) if source else Path.cwd()), space


def read_source(space: Workspace) -> Source | None:
    """Return what the workspace remembers of its dataset; None before anything is planned.

    Raises:
        InputError: the file is broken.
    """
    if not space.dataset.is_file():
        return None
    return read_stored(Source, space.dataset)


def accepted_patients(space: Workspace) -> dict[str, str]:
    """Return case id -> patient, as the user has said by `--visits`."""
    source = read_source(space)
    return source.patients if source else {}


def read_fingerprint(space: Workspace) -> Fingerprint:
    """Read the fingerprint. Raises InputError where nothing is planned, or the file is broken or of another schema."""
    space.require_planned()
    return read_stored(Fingerprint, space.fingerprint)


def read_plan(space: Workspace, planner: str | None) -> Plan:
    """Read the plan of that planner, or the only plan there is.

    Raises:
        InputError: nothing is planned; there are several plans and none was named; there is none of that planner, or it
            is impossible.
    """
    space.require_planned()
    known = space.plans()
    if planner is None and len(known) > 1:
        raise InputError(
            f"this workspace holds the plans of several planners: {', '.join(known)}",
            file=space.root,
            remedy=f"Choose one with --planner, such as --planner {known[0]}.",
        )
    if planner is not None and known and planner not in known:
        is_known = runs.importable("planners", planner) == planner
        raise InputError(
            f"the planner {planner} has planned nothing here; there are plans of: {', '.join(known)}",
            file=space.root,
            remedy="Choose one of these" + (f", or run `{plan_command(space, planner)}` first." if is_known else "."),
        )
    name = planner if planner is not None else (known or ["default"])[0]
    return read_stored(Plan, space.plan(name), remedy=f"Run `{plan_command(space, name)}` first.")


def read_splits(space: Workspace) -> Splits:
    """Read the split. Raises InputError where the file is missing, broken or of another schema."""
    splits = read_stored(Splits, space.splits, remedy=f"Run `{plan_command(space)}` first.")
    if not splits.folds:
        raise InputError("it holds no fold", file=space.splits, remedy="Delete it, and plan again.")
    return splits


def record_now(
    fingerprint: Fingerprint, splits: Splits, plan: Plan, config: TrainingConfig, fold: FoldName
) -> FoldRecord:
    """Return what a training of this fold would depend on, as things stand.

    Raises:
        InputError: there is no such fold, or it names cases that are not planned with.
    """
    cases: Fold = fold_cases(splits, fold, sorted(fingerprint.cases))
    if unknown := sorted({*cases.train, *cases.val} - set(fingerprint.cases)):
        raise InputError(
            f"splits.json: fold {fold} names cases that the cohort lacks: {listed(unknown)}",
            remedy="Run `vmseg_plan_and_preprocess` again, which checks the split.",
        )
    content = {case: summary.content for case, summary in fingerprint.cases.items()}
    return FoldRecord(
        config=config,
        plan_hash=plan.content_hash,
        train={case: content[case] for case in cases.train},
        val={case: content[case] for case in cases.val},
        labels=fingerprint.labels,
        channels=fingerprint.channels,
        images={case: fingerprint.cases[case].image_content for case in (*cases.train, *cases.val)},
    )


def train_command(
    space: Workspace, run: Run, folds: Iterable[FoldName], plan: Plan, advised: Sequence[str] = ()
) -> str:
    """Return the command that trains these folds of a run, with the settings of the first.

    Args:
        plan: of the run's planner.
        advised: the settings where the run has none yet.
    """
    planner, trainer, folds = run.folder.parent.name, run.folder.name, list(folds)
    return runs.train_command(
        folds,
        planner if len(space.plans()) > 1 else None,
        trainer if trainer != plan.trainer else None,
        settings=settings_of(run, folds[0]) or advised,
    )


def alike_folds(run: Run, folds: Iterable[FoldName]) -> list[list[FoldName]]:
    """Return these folds of a run in groups that one command trains: those with the same settings."""
    groups: dict[tuple[str, ...], list[FoldName]] = {}
    for fold in folds:
        groups.setdefault(settings_of(run, fold), []).append(fold)
    return list(groups.values())


def first_training(space: Workspace, folds: Iterable[FoldName]) -> str:
    """Return the command that trains these folds by the only plan, or by one of several."""
    known = space.plans()
    return runs.train_command(folds, known[0] if len(known) > 1 else None)


def plan_command(space: Workspace, planner: str | None = None) -> str:
    """Return the command that plans again.

    Args:
        planner: whose plan; of the default planner, or of another that has planned here, unless given.
    """
    known = space.plans()
    name = planner or ("default" if "default" in known or not known else known[0])
    return "vmseg_plan_and_preprocess" + (
        "" if name == "default" else f" --planner {runs.importable('planners', name)}"
    )


def trained_on(space: Workspace, name: str) -> str:
    """Return the hash of what the numbered folds of a run (PLANNER/TRAINER) are trained and scored on."""
    planner, _, trainer = name.partition("/")
    folds = [fold for fold in space.run(planner, trainer).folds() if fold.name != "all"]
    return digest({str(fold.name): read_record(fold) for fold in folds})


def stale_folds(run: Run, fingerprint: Fingerprint, splits: Splits, plan: Plan) -> dict[FoldName, list[str]]:
    """Find folds trained on data or plans that have changed since, each with what changed."""
    stale: dict[FoldName, list[str]] = {}
    for folder in run.folds():
        record = read_record(folder)
        if record is None:
            continue
        if folder.name != "all" and int(folder.name) >= len(splits.folds):
            stale[folder.name] = ["the split has no such fold any more"]
            continue
        changed = record.data_differences(record_now(fingerprint, splits, plan, record.config, folder.name))
        if changed:
            stale[folder.name] = changed
    return stale


def stale_in_words(stale: Mapping[FoldName, Sequence[str]]) -> str:
    """Return a line for all folds that are stale for the same reason."""
    reasons: dict[str, list[str]] = {}
    for fold, changes in stale.items():
        reasons.setdefault("; ".join(changes), []).append(str(fold))
    return "\n".join(
        f"  - {'fold' if len(folds) == 1 else 'folds'} {', '.join(folds)}: {why}" for why, folds in reasons.items()
    )


def warn_of_stale(
    runs: Sequence[Run], space: Workspace, fingerprint: Fingerprint, splits: Splits, console: Console
) -> None:
    """Say which folds of these runs are used though they are stale."""
    for run in runs:
        if stale := stale_folds(run, fingerprint, splits, read_plan(space, run.folder.parent.name)):
            console.warn(f"folds of {run.name} are used that were trained before this:\n{stale_in_words(stale)}")
