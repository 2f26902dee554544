"""What this program runs on, and whether a workspace is sound."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vmseg_auto.data.workspace import Workspace, workspace_root
from vmseg_auto.utils.console import Console, Silent
from vmseg_auto.utils.devices import cudnn_fault, present_devices
from vmseg_auto.utils.disk import free_bytes, in_words
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.left_out import Inventory, telling_left_out
from vmseg_auto.utils.machine import machine, versions
from vmseg_auto.workflows.checkup import Checkup
from vmseg_auto.workflows.paths import PathLike

LOW_DISK = 10**9
"""Bytes; with less free, no work is worth beginning."""


@dataclass(frozen=True)
class Diagnosis:
    """What `doctor` has found.

    Args:
        environment: versions, machine, devices and disk, by name.
        notes: what is worth knowing, in words.
        findings: an error for each thing that wants attention, with what to do; empty where all is well.
        workspace: what was looked at; None where there is none.
    """

    environment: dict[str, str]
    notes: tuple[str, ...]
    findings: tuple[VmsegError, ...]
    workspace: Workspace | None


@telling_left_out
def doctor(
    workspace: PathLike | None = None,
    dataset: PathLike | None = None,
    *,
    thorough: bool = False,
    jobs: int | None = None,
    left: Inventory | None = None,
    console: Console | None = None,
) -> Diagnosis:
    """Look at what this program runs on, and at every file of a workspace; nothing is changed.

    Checkpoints are read wholly, with their checksums. Of preprocessed cases, masks and the dataset only what is quick
    is looked at, unless `thorough`.

    Args:
        workspace, dataset: folders, as on the command line. Without a workspace only the environment is looked at.
        thorough: read every file wholly and compare it with its checksum or hash.
        jobs: threads.
        left: what of the dataset is not used is noted here; with a strict one, that is an error at the end.
        console: where words and progress go.

    Raises:
        InputError: a workspace is named that does not exist.
        DatasetError: where `left` is strict, not all of the dataset would be used.
    """
    console, left = console or Silent(), left or Inventory()
    space = _find(workspace, dataset)
    environment = {**versions(), **machine(), **{f"device {n}": name for n, name in enumerate(present_devices())}}
    free = free_bytes(space.root if space else Path.cwd())
    environment["disk"] = f"{in_words(free)} free"
    console.say("\n".join(f"{name + ' ':.<20} {value}" for name, value in environment.items()))
    findings = [] if free >= LOW_DISK else [_full_disk(space, free)]
    if fault := cudnn_fault():
        findings.append(VmsegError(fault, remedy="Its own site gives the pip command for this card's driver."))
    if space is None:
        console.say("\nThere is no workspace here; -w names one to look at.")
        return Diagnosis(environment, (), tuple(findings), None)
    given = Path(dataset) if dataset is not None else None
    checkup = Checkup(space, given, thorough, jobs or os.cpu_count() or 1, left, console)
    checkup.run()
    findings += checkup.findings
    console.say("\n".join([f"\nWorkspace {space.root}", *(f"  - {note}" for note in checkup.notes)]))
    if not findings:
        console.say(f"All is well{'' if thorough else ', as far as a quick look tells; --thorough reads every file'}.")
    left.require_nothing()
    return Diagnosis(environment, tuple(checkup.notes), tuple(findings), space)


def _find(workspace: PathLike | None, dataset: PathLike | None) -> Workspace | None:
    space = Workspace(workspace_root(dataset, workspace))
    if space.root.is_dir():
        return space
    if workspace is not None:
        raise InputError("there is no such workspace", file=space.root, remedy="Check -w.")
    return None


def _full_disk(space: Workspace | None, free: int) -> VmsegError:
    place = space.root if space else Path.cwd()
    return VmsegError(
        f"the disk is nearly full: {in_words(free)} are free", file=place, remedy="Free some space on it."
    )
