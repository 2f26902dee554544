"""The cohort that a plan is made for: the workspace's own, or that of several hospitals together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vmseg_auto.data.workspace import Workspace
from vmseg_auto.planning.fingerprint import Fingerprint
from vmseg_auto.planning.merging import merge_fingerprints
from vmseg_auto.utils.atomic import read_stored, write_sealed
from vmseg_auto.utils.console import Console
from vmseg_auto.utils.errors import InputError
from vmseg_auto.workflows.paths import PathLike

_AGAIN = (
    "Give the new fingerprint_shared.json to the other hospitals, and merge again at each (--merge-fingerprints); to "
    "plan for this cohort alone, delete fingerprint_merged.json"
)


def cohort_to_plan(own: Fingerprint, given: Sequence[PathLike], space: Workspace, console: Console) -> Fingerprint:
    """Write the fingerprint that may leave the house, and give the one to plan for.

    Args:
        own: of the workspace's dataset.
        given: files to merge; those merged last time unless given, and `own` where there was no such time.
        space: keeps what was merged.
        console: is told of it, and warned where the cohort has changed since.

    Raises:
        InputError: files that can't be merged, or that are of others alone.
    """
    shared = own.shared()
    write_sealed(space.shared_fingerprint, shared.to_json())
    if given:
        parts = {str(file): read_stored(Fingerprint, file) for file in map(Path, given)}
        if named := [file for file, part in parts.items() if part.dataset]:
            console.warn(f"{', '.join(named)} holds names of cases; ask for fingerprint_shared.json, which does not")
        merged = merge_fingerprints(parts)
        if own.dataset_hash not in merged.parts:
            raise InputError(
                "none of the fingerprints to merge is that of this dataset as it is now",
                file=space.shared_fingerprint,
                remedy="Name this file among them, and give it to the other hospitals.",
            )
        write_sealed(space.merged_fingerprint, merged.to_json())
    elif space.merged_fingerprint.is_file():
        merged = read_stored(Fingerprint, space.merged_fingerprint)
        if own.dataset_hash not in merged.parts:
            console.warn(f"the cohort has changed since its fingerprint was merged with others. {_AGAIN}")
    else:
        return own
    console.say(f"Planned for {len(merged.cases)} scans of {len(merged.parts)} cohorts; {len(own.cases)} are here.")
    return merged
