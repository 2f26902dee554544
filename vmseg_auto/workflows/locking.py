"""Who may write what while other commands work in the same workspace.

One lock stands for what all share: split, plans, preprocessed cases, model.json, cross-validation, selection. Planning
and choosing hold it throughout; a training holds it while it takes the locks of its folds, and again when it sums up.
Who holds it waits for no other lock, so that no two commands ever wait for each other.

Whoever takes the lock of a place removes what commands that have ended left unfinished there; what a running one writes
is its own (utils/owners.py). Readers need no lock: files are replaced whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from vmseg_auto.data.runs import FoldFolder
from vmseg_auto.data.workspace import OutputFolder, Workspace
from vmseg_auto.utils.atomic import remove_leftovers
from vmseg_auto.utils.console import Console
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.locks import holder, locked
from vmseg_auto.utils.text import listed

PATIENCE_S = 600.0
"""How long to wait for another command to be done with what all share: planning and choosing take minutes at most."""
_OUTPUTS = (
    "probabilities",
    "uncertainty",
    "previews",
    "imagesTr",
    "labelsTr",
    "imagesTs",
    "labelsTs",
    "predicted",
    "drafts",
)
"""Folders in an output folder that commands write to as well; in the first, also in a folder for each label."""


@contextmanager
def workspace_lock(space: Workspace, command: str, console: Console, patience_s: float | None = None) -> Iterator[None]:
    """Be the only one to write what the commands of a workspace share.

    Args:
        command: what others are told is at work.
        patience_s: how long to wait for another to end; PATIENCE_S unless given.

    Raises:
        InputError: another command does, and is named.
        VmsegError: the workspace can't be written to.
    """
    with locked(space.lock, command, console, PATIENCE_S if patience_s is None else patience_s) as held:
        if held:
            remove_leftovers(space.root, below=lambda folder: not folder.name.startswith("fold_"))
        yield


def take_folds(held: ExitStack, folders: Iterable[FoldFolder], command: str, console: Console) -> None:
    """Be the only one to write to these folds until `held` is closed; call it within `workspace_lock`.

    Raises:
        InputError: another command trains one of them, and is named.
        VmsegError: the folders can't be written to.
    """
    for fold in folders:
        if held.enter_context(locked(fold.lock, command, console)):
            remove_leftovers(fold.folder)


def folds_at_work(folders: Sequence[FoldFolder]) -> list[str]:
    """Describe which of the folds some command is training."""
    owners = {fold.name: holder(fold.lock) for fold in folders}
    return [f"fold {name}: {owner}" for name, owner in owners.items() if owner]


def refuse_while_training(space: Workspace) -> None:
    """Refuse to change what trainings read while one of them runs; call it within `workspace_lock`.

    Raises:
        InputError: a fold is being trained.
    """
    if busy := folds_at_work(space.fold_folders()):
        raise InputError(
            f"the cohort has changed, but it is being trained on ({listed(busy)})",
            file=space.root,
            remedy="Wait until the training has ended, or stop it (it goes on later from its last epoch).",
        )


@contextmanager
def output_lock(folder: Path, command: str, console: Console) -> Iterator[None]:
    """Be the only one to write to a folder outside workspaces.

    Raises:
        InputError: another command does, and is named.
        VmsegError: the folder can't be written to.
    """
    with locked(OutputFolder(folder).lock, command, console) as held:
        if held:
            remove_leftovers(folder, below=lambda place: place.name in _OUTPUTS or place.parent.name == _OUTPUTS[0])
        yield
