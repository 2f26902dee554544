"""Check a dataset, fingerprint it, plan, split and prepare its cases; only what changed is done again."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vmseg_auto.contracts import Planner
from vmseg_auto.data.cases import read_dataset
from vmseg_auto.data.dataset import Dataset, Splits, beside_folds, check_splits, extend_splits, split_by_patient
from vmseg_auto.data.decode_cache import DecodeCache
from vmseg_auto.data.preprocessed import PreprocessedFolder
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.planning.fingerprint import Fingerprint
from vmseg_auto.planning.plan import Plan
from vmseg_auto.preprocessing.extract_fingerprint import analyse
from vmseg_auto.preprocessing.preprocess import preprocess
from vmseg_auto.registry import load_planner
from vmseg_auto.utils.atomic import read_stored, write_json, write_sealed
from vmseg_auto.utils.console import Console, Silent
from vmseg_auto.utils.errors import DatasetError, InputError, SomeCasesFailedError, VmsegError
from vmseg_auto.utils.labels import output_regions
from vmseg_auto.utils.left_out import Inventory, telling_left_out
from vmseg_auto.utils.redaction import identifying
from vmseg_auto.utils.text import counted, listed
from vmseg_auto.workflows.cohort import cohort_to_plan
from vmseg_auto.workflows.disk import require_preprocessing_space
from vmseg_auto.workflows.locking import refuse_while_training, workspace_lock
from vmseg_auto.workflows.outdated import report_outdated
from vmseg_auto.workflows.paths import (
    PathLike,
    Source,
    accepted_patients,
    places,
    read_fingerprint,
)
from vmseg_auto.workflows.patients import Visits, settle_visits, warn_of_duplicates
from vmseg_auto.workflows.staleness import Standing, changes_since, file_hashes, require_same_cohort
from vmseg_auto.workflows.summary import plan_table

DEFAULT_MEMORY_GB = 8.0


@dataclass(frozen=True)
class Planned:
    """What stands in the workspace afterwards; plan and splits are None after a mere check.

    Args:
        plan: that of the first planner.
        due: the commands that train what is not trained yet or stale, and do what else has to be done again.
    """

    workspace: Workspace
    fingerprint: Fingerprint
    plan: Plan | None = None
    splits: Splits | None = None
    due: Sequence[str] = ()


@telling_left_out
def plan_and_preprocess(
    dataset: PathLike | None = None,
    workspace: PathLike | None = None,
    *,
    planner: str | Sequence[str] = "default",
    memory_gb: float | None = None,
    visits: Visits | None = None,
    merge_fingerprints: Sequence[PathLike] = (),
    jobs: int | None = None,
    check_only: bool = False,
    left: Inventory | None = None,
    console: Console | None = None,
) -> Planned:
    """Make a workspace ready for training.

    Args:
        dataset, workspace: folders, as on the command line.
        planner: a name or "module:Class", or several, each of which plans for itself. With a cascade its first stage
            is planned too.
        memory_gb: GPU memory that the plan may use; the last plan's unless given, 8 GB for a first plan.
        visits: "join" to take cases whose names suggest so for visits of one patient, "apart" not to; the workspace
            remembers it.
        merge_fingerprints: fingerprints of all the hospitals that are planned for together, this one's among them; the
            workspace remembers them.
        jobs: threads.
        check_only: check every case and write nothing.
        left: what of the dataset is not used is noted here; a strict one ends the work before it begins.
        console: where words and progress go.

    Raises:
        InputError: bad cases (all are listed), an impossible edit of plan.json or splits.json, no such planner, one
            that has nothing to plan for this cohort, fingerprints that can't be merged, a workspace of another dataset,
            or another command at work on what would change.
        VmsegError: the disk is too full for the preprocessed cases.
        SomeCasesFailedError: all is planned, but some cases could not be preprocessed.
    """
    console = console or Silent()
    jobs = jobs or min(8, os.cpu_count() or 1)
    if memory_gb is not None and not 0 < memory_gb <= 1024:
        raise InputError(f"the memory is {memory_gb:g} GB", remedy="Give --memory in GB, above 0 and at most 1024.")
    folder, space = places(dataset, workspace)
    planners = [load_planner(name) for name in dict.fromkeys([planner] if isinstance(planner, str) else planner)]
    bad: list[VmsegError] = []
    data = read_dataset(folder, bad)
    if bad:
        raise DatasetError(f"{folder}: the dataset can't be used", [*bad, *_unusable(data, bad, jobs, console)])
    left = left or Inventory()
    left.add_all(data.left_out)
    left.require_nothing()
    for note in data.notes:
        console.say(f"Note: {note}")
    _warn_of_names(data, console)
    if check_only:
        data, _ = settle_visits(data, accepted_patients(space), visits, console)
        fingerprint = _analyse(data, jobs, console)
        warn_of_duplicates(fingerprint, data, console)
        console.say(f"All {len(data.cases)} cases can be used. Nothing was written.")
        return Planned(space, fingerprint)
    with workspace_lock(space, "vmseg_plan_and_preprocess", console), DecodeCache(space.decoded) as decode_cache:
        data, accepted = settle_visits(data, accepted_patients(space), visits, console)
        before = read_fingerprint(space) if space.fingerprint.is_file() else None
        if before is not None:
            require_same_cohort(data, before, space)
        given = _given_splits(data, before, folder, space, left, console)
        left.require_nothing()
        fingerprint = _fingerprint(data, before, space, jobs, console, decode_cache)
        warn_of_duplicates(fingerprint, data, console)
        splits = given or _new_splits(data, fingerprint)
        write_json(space.splits, splits.to_json())
        write_sealed(space.dataset, Source(str(folder.resolve()), data.name, accepted).to_json())
        cohort = cohort_to_plan(fingerprint, merge_fingerprints, space, console)
        plans = [_plan(chosen, cohort, space, memory_gb, console) for chosen in planners]
        stages = [plan.first_stage for plan in plans if plan.first_stage]
        missing = sorted({*stages} - {plan.planner for plan in plans})
        firsts = [_plan(load_planner(name), cohort, space, memory_gb, console) for name in missing]
        due: list[str] = []
        for plan in sorted([*firsts, *plans], key=lambda plan: bool(plan.first_stage)):  # as they are to be trained
            console.say(plan_table(fingerprint, plan, splits, data.patients))
            due += report_outdated(Standing(space, data, fingerprint, splits), plan, console)
            _prepare(data, fingerprint, plan, space, jobs, console, decode_cache)
    return Planned(space, fingerprint, plans[0], splits, due)


def _warn_of_names(data: Dataset, console: Console) -> None:
    """Warn of telling names: a dataset of one's own keeps its cases' names in all files of its workspace."""
    every = (*data.cases, *data.test_cases)
    if found := identifying([*(case.id for case in every), *(case.patient for case in every)]):
        console.warn(
            f"{counted(len(found), 'name')} of cases or patients may tell who a patient is: {listed(found)}. They will "
            "stand in the workspace, its tables and its logs; reports and models show others. If they are patients' "
            "names, numbers or dates of birth, use a dataset made by `vmseg_make_dataset`, which gives pseudonyms."
        )


def _unusable(data: Dataset, bad: Sequence[VmsegError], jobs: int, console: Console) -> Sequence[VmsegError]:
    """Return what is wrong with the files of all cases but those in `bad`, so that everything is told at once."""
    known = {error.case for error in bad}
    cases, tests = (tuple(case for case in some if case.id not in known) for some in (data.cases, data.test_cases))
    try:
        _analyse(replace(data, cases=cases, test_cases=tests), jobs, console)
    except DatasetError as error:
        return error.errors
    except InputError:  # of the cohort as a whole, which it is not yet
        pass
    return ()


def _analyse(data: Dataset, jobs: int, console: Console, decode_cache: DecodeCache | None = None) -> Fingerprint:
    with console.progress("Checking cases", len(data.cases)) as progress:
        fingerprint, notes = analyse(data, jobs, progress.advance, decode_cache)
    for note in notes:
        console.say(f"Note: {note}")
    return fingerprint


def _fingerprint(
    data: Dataset, before: Fingerprint | None, space: Workspace, jobs: int, console: Console, decode_cache: DecodeCache
) -> Fingerprint:
    changes = changes_since(before, data, file_hashes(data, jobs)) if before else None
    if before is not None and not changes and before.mergeable:
        console.say(f"Fingerprint kept: the files of all {len(before.cases)} cases are unchanged.")
        return before
    fingerprint = _analyse(data, jobs, console, decode_cache)
    if changes is None or changes.altered or changes.new:
        refuse_while_training(space)
    write_sealed(space.fingerprint, fingerprint.to_json())
    return fingerprint


def _given_splits(
    data: Dataset, before: Fingerprint | None, folder: Path, space: Workspace, left: Inventory, console: Console
) -> Splits | None:
    """Return the stored split, else nnU-Net's, fitted to the cases there are now (`before`: last time's); None without
    one.

    Raises:
        InputError: it names cases that never were there.
        DatasetError: it is impossible.
    """
    places = (space.splits, space.root / "splits_final.json", folder / "splits_final.json")
    files = [path for path in places if path.is_file()]
    if not files:
        return None
    path, *others = files
    gone = set(before.cases) - set(data.patients) if before and path == space.splits else set()
    splits = _fitted(read_stored(Splits, path), path, gone, data.patients, console)
    check_splits(splits, data.patients, str(path))
    left.add_all(beside_folds(splits, data.patients))
    for other in others:
        if not _agrees(other, splits, data.patients):
            left.add("file", other, f"another split than {path}, which counts")
    return splits


def _agrees(path: Path, splits: Splits, cases: Collection[str]) -> bool:
    """Return whether a split in a file puts the cases that it names, and that are there, on the same sides."""
    try:
        other = read_stored(Splits, path)
    except InputError:
        return False
    named = {case for fold in other.folds for case in (*fold.train, *fold.val) if case in cases}

    def sides(some: Splits) -> list[tuple[set[str], set[str]]]:
        return [(named & set(fold.train), named & set(fold.val)) for fold in some.folds]

    return sides(other) == sides(splits)


def _new_splits(data: Dataset, fingerprint: Fingerprint) -> Splits:
    """Split the patients into folds. Raises InputError where there are fewer than two patients."""
    volumes = {case: summary.volume_ml for case, summary in fingerprint.cases.items()}
    return split_by_patient(data.patients, volumes)


def _fitted(old: Splits, path: Path, gone: set[str], patients: Mapping[str, str], console: Console) -> Splits:
    """Return a split that stands in a file, without the cases that have gone, and with those that it does not name."""
    named = {case for fold in old.folds for case in (*fold.train, *fold.val)}
    if unknown := sorted(named - gone - set(patients)):
        raise InputError(
            f"the split names cases that the dataset lacks: {', '.join(unknown)}",
            file=path,
            remedy="Correct their names, or delete the file to split anew.",
        )
    splits = extend_splits(old, patients)
    joined, left = sorted(set(patients) - named), sorted(named & gone)
    changes = [f"{listed(joined)} joined"] * bool(joined) + [f"{listed(left)} left"] * bool(left)
    kept = (
        f"kept: {len(splits.folds)} folds ({splits.source})"
        if path.name == "splits.json"
        else f"taken over from {path}"
    )
    console.say(
        f"Split {kept}." if not changes else f"Split {kept}; {'; '.join(changes)}; the others stay as they were."
    )
    return splits


def _plan(
    planner: Planner, fingerprint: Fingerprint, space: Workspace, memory_gb: float | None, console: Console
) -> Plan:
    """Return the stored plan where it was edited or still holds, else a new one."""
    path = space.plan(planner.name)
    stored: Plan | None = None
    if path.is_file():
        stored = read_stored(Plan, path)
        if len(stored.normalization) != len(fingerprint.channels):
            raise InputError(
                f"the plan has {len(stored.normalization)} normalizations for {len(fingerprint.channels)} channels",
                file=path,
                remedy="Mend it, or delete it to plan anew.",
            )
        if stored.edited and stored.regions != output_regions(fingerprint.labels):
            remedy = "Delete it to plan anew."
            raise InputError("the regions of the plan are not those of dataset.json", file=path, remedy=remedy)
        if stored.edited:
            console.say(f"Plan kept as you edited it ({path}).")
            if stored.fingerprint_hash != fingerprint.dataset_hash:
                console.warn("the cohort has changed since this plan was made; delete plan.json to plan anew.")
            return stored
    regions = output_regions(fingerprint.labels)
    memory_gb = memory_gb or (stored.memory_gb if stored else DEFAULT_MEMORY_GB)
    plan = replace(planner(fingerprint, memory_gb), regions=regions).sealed()
    if stored == plan:
        console.say("Plan kept.")
        return plan
    if stored is not None:
        same = stored.content_hash == plan.content_hash
        console.say("Plan kept: the changed cohort leads to the same one." if same else "Planned anew.")
    write_json(path, plan.to_json())
    return plan


def _prepare(
    data: Dataset,
    fingerprint: Fingerprint,
    plan: Plan,
    space: Workspace,
    jobs: int,
    console: Console,
    decode_cache: DecodeCache,
) -> None:
    folder = PreprocessedFolder(space.preprocessed(plan.voxels_hash))
    require_preprocessing_space(fingerprint, plan, folder, decode_cache)
    with console.progress("Preprocessing cases", len(data.cases)) as progress:
        done = preprocess(data.cases, plan, folder, jobs, data.mask_labels, progress.advance, decode_cache)
    kept = f", {len(done.kept)} kept from before" if done.kept else ""
    console.say(f"{counted(len(done.made), 'case')} preprocessed{kept}.")
    _raise_failures(done.failed, len(data.cases))


def _raise_failures(failed: Sequence[VmsegError], total: int) -> None:
    if failed:
        raise SomeCasesFailedError(f"{len(failed)} of {total} cases could not be preprocessed", failed)
