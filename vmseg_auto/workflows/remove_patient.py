"""Take a patient out of a dataset that vmseg_make_dataset has made: consent was withdrawn."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from vmseg_auto.data.dataset_key import KeyRow, read_dataset_key, write_dataset_key
from vmseg_auto.data.dataset_reviews import DatasetReviews
from vmseg_auto.data.made_dataset import MadeDataset, key_beside
from vmseg_auto.data.naming import raw_stem
from vmseg_auto.data.workspace import Workspace, workspace_root
from vmseg_auto.utils.atomic import scratch_folder, sync_folder, unwritable
from vmseg_auto.utils.console import Console, Silent, quoted, shown
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.left_out import Inventory, telling_left_out
from vmseg_auto.utils.names import spelt_like
from vmseg_auto.utils.text import listed
from vmseg_auto.workflows.locking import output_lock, refuse_while_training, workspace_lock
from vmseg_auto.workflows.paths import PathLike, read_splits
from vmseg_auto.workflows.traces import Traces, traces

_COMMAND = "vmseg_make_dataset --remove"


@telling_left_out
def remove_patient(
    dataset: PathLike,
    patient: str,
    *,
    key: PathLike | None = None,
    workspace: PathLike | None = None,
    confirm: Callable[[str], bool] = lambda words: True,
    left: Inventory | None = None,
    console: Console | None = None,
) -> Traces:
    """Delete a patient's scans and masks, what readers have left, and what a workspace holds of the patient alone; name
    what else has seen the patient.

    All others keep pseudonym, side and folds. A removal that was cut short is ended by the same call.

    Args:
        dataset: the dataset's folder.
        patient: the pseudonym, or what the hospital calls the patient (source_patient in the key).
        key: the key's path; DATASET_key.csv beside the dataset unless given.
        workspace: what was made from the dataset; DATASET/vmseg unless given.
        confirm: is shown what will be deleted, and says whether to go on.
        left: columns of the key that are not kept are noted here; a strict one ends the work before it begins.
        console: where words go.

    Returns:
        What in the workspace has seen the patient.

    Raises:
        InputError: no such patient, or several; key or dataset.json is broken; `confirm` said no; a training is
            running.
        VmsegError: a file can't be deleted; then all stands as before.
    """
    console, left, folder = console or Silent(), left or Inventory(), Path(dataset)
    path = Path(key) if key is not None else key_beside(folder)
    made, rows = MadeDataset.read(folder), read_dataset_key(path, left)
    left.require_nothing()
    space = Workspace(workspace_root(folder, workspace))
    pseudonym = _pseudonym(patient, rows, made, path)
    known = made.description.patients
    cases = sorted(
        {row.case for row in rows if row.patient == pseudonym} | {c for c, p in known.items() if p == pseudonym}
    )
    reviews = DatasetReviews.beside(folder)
    files = [*made.all_files(cases), *(file for case in cases for file in reviews.files(case))]
    seen = traces(space, pseudonym, cases, (set(known) | {row.case for row in rows}) - set(cases))
    if (
        not files
        and not seen.own
        and not set(cases) & set(known)
        and all(row.removed for row in rows if row.patient == pseudonym)
    ):
        raise InputError(f"{pseudonym} was removed before", file=path, remedy="Nothing of this patient is left here.")
    shown = "".join(f"\n  - {file}" for file in (*files, *seen.own))
    if not confirm(f"{pseudonym} ({', '.join(cases)}) will be removed. These files will be deleted:{shown}"):
        raise InputError("the removal was not confirmed; nothing is deleted", remedy="Add --yes to remove the patient.")
    with ExitStack() as held:
        held.enter_context(output_lock(folder, _COMMAND, console))
        if space.root.is_dir():
            held.enter_context(workspace_lock(space, _COMMAND, console))
            refuse_while_training(space)
        _delete(made, cases, files)
        for file in seen.own:
            file.unlink(missing_ok=True)
        write_dataset_key(path, [row.without_source() if row.patient == pseudonym else row for row in rows])
    console.say(f"{pseudonym} is removed: {len(files)} files of the dataset, {len(seen.own)} of the workspace.")
    console.say(seen.words())
    if empty := _emptied(space, cases):
        console.warn(
            f"fold {listed(empty)} has no case left on one side, so planning will refuse the split: delete "
            f"{space.splits} to split anew, and train all folds again; or add a patient first."
        )
    else:
        console.say(f"Go on with `vmseg_plan_and_preprocess -d {quoted(folder)}`: the others stay in their folds.")
    return seen


def _emptied(space: Workspace, cases: Sequence[str]) -> list[str]:
    """Return the folds of which a side holds nobody but this patient."""
    folds = read_splits(space).folds if space.splits.is_file() else ()
    gone = set(cases)
    return [str(number) for number, fold in enumerate(folds) if set(fold.val) <= gone or set(fold.train) <= gone]


def _pseudonym(wanted: str, rows: Sequence[KeyRow], made: MadeDataset, key: Path) -> str:
    """Return the patient that the user means.

    Raises:
        InputError: nobody is called so, though a case, a scan or a file of somebody may be, or somebody almost; or one
            patient by the hospital's name and another by the pseudonym.
    """
    name = _normal(wanted)
    pseudonyms = {row.patient for row in rows} | set(made.description.patients.values())
    meant = {row.patient for row in rows if name and name == _normal(row.source_patient)} | ({name} & pseudonyms)
    if len(meant) > 1:
        problem = f"{shown(wanted, lines=False)} can be {listed(sorted(meant))}"
        raise InputError(problem, file=key, remedy="Look into the key, and give the pseudonym.")
    if not meant:
        raise InputError(
            f"there is no patient {shown(wanted, lines=False)}",
            file=key,
            remedy=_whose(name, rows, pseudonyms, made.folder)
            or "Give source_patient or patient as they stand in the key.",
        )
    return meant.pop()


def _whose(name: str, rows: Sequence[KeyRow], pseudonyms: Iterable[str], dataset: Path) -> str:
    """Describe who a name may belong to that is no patient's, and how that patient is removed; empty where nobody."""
    of_scans = {row.patient for row in rows if name in (row.case, *map(_normal, _scan_names(row)))}
    known = {_normal(row.source_patient): row.patient for row in rows} | {one: one for one in pseudonyms}
    known |= {called: row.patient for row in rows for called in (row.case, *map(_normal, _scan_names(row)))}
    alike = {patient for called, patient in known.items() if spelt_like(name, [called])}
    found, what = (of_scans, "It is a scan of") if of_scans else (alike, "It is spelt almost as a name of")
    commands = [f"`{_COMMAND} {patient} -o {quoted(dataset)}`" for patient in sorted(found)]
    return (
        f"{what} {listed(sorted(found))}: {' or '.join(commands)} removes the patient with all scans." if found else ""
    )


def _scan_names(row: KeyRow) -> list[str]:
    """Return what a case's scan and mask are called: the scan as it is shown, and the files with and without ending."""
    files = [Path(file) for file in (row.image, row.mask) if file]
    return [one for one in (row.scan, *(called for file in files for called in (file.name, raw_stem(file)))) if one]


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _delete(made: MadeDataset, cases: Sequence[str], files: Sequence[Path]) -> None:
    """Take files and names out of the dataset together, or leave both; the same removal ends what a kill cut short.

    dataset.json names the cases until all files are gone, so that until then no command takes the dataset for whole.
    """
    moved: list[tuple[Path, Path]] = []
    with scratch_folder(made.folder) as scratch:
        try:
            for number, file in enumerate(files):
                os.replace(file, scratch / str(number))
                moved.append((file, scratch / str(number)))
            made.describe(dict.fromkeys(cases))
        except BaseException as error:
            for file, place in reversed(moved):
                os.replace(place, file)
            if isinstance(error, OSError):
                raise unwritable(files[len(moved)], error) from error
            raise
    for folder in {file.parent for file in files}:
        sync_folder(folder)
