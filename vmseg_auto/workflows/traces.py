"""What in a workspace has seen a patient: weights, scores, tables, pages and copies of the scan."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmseg_auto.data.runs import FoldFolder
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.models.fold_record import read_record
from vmseg_auto.workflows.seen_scans import read_initialisation

_TEXTS = {".csv", ".json", ".log", ".md", ".txt", ".html"}
_SHOWN = 30
ELSEWHERE = (
    "Not known here: exported models (zip), other workspaces, reports, masks and copies outside of this workspace, "
    "the scans and masks that the dataset was made of, and backups."
)


@dataclass(frozen=True)
class Traces:
    """Paths below the workspace, sorted.

    Args:
        trained: folds whose weights have learned from the patient, or began with weights that had.
        validated: folds that were scored on the patient.
        own: files of the patient's cases alone.
        shared: tables, pages and logs that name a case of the patient, or were computed with one.
    """

    trained: tuple[Path, ...] = ()
    validated: tuple[Path, ...] = ()
    own: tuple[Path, ...] = ()
    shared: tuple[Path, ...] = ()

    def words(self) -> str:
        """Describe what is to be trained again or deleted."""
        parts = [
            ("Trained on this patient (train again with --fresh, or delete)", self.trained),
            ("Scored on this patient (vmseg_train of these folds sums up anew)", self.validated),
            ("Tables, pages and logs that name or count this patient (make again, or delete)", self.shared),
        ]
        told = [f"{title}:{_lines(paths)}" for title, paths in parts if paths]
        return "\n".join([*told, ELSEWHERE] if told else ["Nothing in the workspace has seen this patient.", ELSEWHERE])


def traces(space: Workspace, patient: str, cases: Sequence[str], others: Collection[str]) -> Traces:
    """Look through a workspace, which may be missing.

    Args:
        patient: the patient's name in the dataset.
        cases: ids of the patient's cases.
        others: ids of all other cases.

    Raises:
        InputError: a fold's record is broken.
    """
    trained, validated, runs = [], [], set()
    for fold in space.fold_folders():
        record = read_record(fold)
        if record is None:
            continue
        if set(cases) & set(record.train) or _began_with(fold, _images(space, cases)):
            trained.append(fold.folder)
        if set(cases) & set(record.val):
            validated.append(fold.folder)
        if set(cases) & {*record.train, *record.val}:
            runs.add(fold.folder.parent)
    own = {path for path in _files(space.root) if path.suffix != ".log" and _is_own(path.name, cases, others)}
    shared = {path for run in runs for path in _files(run / "cross_validation")} - own
    if runs:
        summaries = (*space.root.glob("learning_curve/*/*/learning_curve.*"), *space.root.glob("runs/*/*/model.json"))
        shared |= {path for path in (space.selection, *summaries) if path.is_file()}
    words = _word([*cases, patient])
    for path in _files(space.root):
        if path.suffix in _TEXTS and path not in own and (path.suffix == ".html" or _mentions(path, words)):
            shared.add(path)
    return Traces(tuple(trained), tuple(validated), tuple(sorted(own)), tuple(sorted(shared)))


def _images(space: Workspace, cases: Sequence[str]) -> set[str]:
    """Return the hashes of the cases' images as some fold knew them."""
    records = [record for fold in space.fold_folders() if (record := read_record(fold))]
    return {record.images[case] for record in records for case in cases if case in record.images}


def _began_with(fold: FoldFolder, images: set[str]) -> bool:
    before = read_initialisation(fold)
    return before is not None and bool(images & set(before.seen.images))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _is_own(name: str, cases: Sequence[str], others: Collection[str]) -> bool:
    """Return whether a file is named after one of the cases: case_003.npz, but not case_0031.npz."""
    named = [case for case in (*cases, *others) if name.startswith(case) and not name[len(case) :][:1].isalnum()]
    return bool(named) and max(named, key=len) in cases


def _word(names: Sequence[str]) -> re.Pattern[str]:
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(map(re.escape, names))})(?![^\W_])")


def _mentions(path: Path, words: re.Pattern[str]) -> bool:
    try:
        return words.search(path.read_text(encoding="utf-8", errors="replace")) is not None
    except OSError:  # what can't be read may name anybody
        return True


def _lines(paths: Sequence[Path]) -> str:
    more = f"\n  - and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return "".join(f"\n  - {path}" for path in paths[:_SHOWN]) + more
