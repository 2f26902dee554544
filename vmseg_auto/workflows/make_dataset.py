"""Make a dataset of scans as they come from the archive and masks as readers draw them, and let it grow."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vmseg_auto.data.dataset_json import ADVISED_DROPOUT, OPTIONAL
from vmseg_auto.data.dataset_key import KeyRow, read_dataset_key
from vmseg_auto.data.dicom.series import Choice
from vmseg_auto.data.dicom.which_series import show_series
from vmseg_auto.data.made_dataset import REGISTRATION, MadeDataset, key_beside
from vmseg_auto.data.mask_files import decision_on, is_corrected
from vmseg_auto.data.mask_folders import is_predicted
from vmseg_auto.data.outlined_slices import OutlinedSlices
from vmseg_auto.utils.console import Console, Silent, columns, quoted, shown
from vmseg_auto.utils.disk import require_space
from vmseg_auto.utils.errors import DatasetError, InputError, SomeCasesFailedError, VmsegError
from vmseg_auto.utils.folders import is_empty, require_apart
from vmseg_auto.utils.labels import IGNORE_LABEL
from vmseg_auto.utils.left_out import Inventory, telling_left_out
from vmseg_auto.utils.text import counted, listed
from vmseg_auto.workflows.add_patients import Member, Patients, Wishes, agreed, enrol, file_hash
from vmseg_auto.workflows.dataset_writing import Writing, optional_channels
from vmseg_auto.workflows.further_channels import Channel, with_further
from vmseg_auto.workflows.locking import output_lock
from vmseg_auto.workflows.pairs import Found, find_drawn, find_named_scans, find_pairs
from vmseg_auto.workflows.paths import PathLike
from vmseg_auto.workflows.patients import Visits

UNCONFIRMED = "nothing is written yet; these are the pairs"
"""What is said where nobody is there to confirm them."""
_CODE = re.compile(r"^The code of these pairs is ([0-9a-f]{8})\b", re.MULTILINE)
_SHOWN = 8
_BYTES_A_VOXEL = 2.5
"""What compression leaves of an image's four bytes, and its mask."""


@telling_left_out
def make_dataset(
    images: PathLike,
    masks: PathLike,
    output: PathLike,
    *,
    add: bool = False,
    key: PathLike | None = None,
    confirm: Callable[[str], bool] = lambda table: True,
    segments: Sequence[str] | None = None,
    outlined_slices: OutlinedSlices | None = None,
    label: str | None = None,
    channel: str | None = None,
    further_channels: Mapping[str, PathLike] | None = None,
    series: Sequence[str] = (),
    echo: int | None = None,
    patients: Patients | None = None,
    visits: Visits | None = None,
    test_share: float = 0.0,
    seed: int = 0,
    jobs: int | None = None,
    left: Inventory | None = None,
    console: Console | None = None,
) -> Path:
    """Write a dataset for `plan_and_preprocess` under pseudonyms, and beside it the key to them; or add to one.

    Masks are put on the grids of their scans by moving whole voxels; none is resampled. A scan or mask that can't be
    used is left out and named; all others are written.

    Args:
        images: a folder, with the folders and zips in it, of DICOM series or image files.
        masks: a mask or a folder of masks.
        output: the dataset's folder; it must not exist, or be empty, unless `add`.
        add: take names and sides from the key, and write what the dataset lacks: new patients, and further scans of
            those who are in it. Nobody else changes pseudonym or side.
        key: the key's path; OUTPUT_key.csv unless given. It must lie outside of the dataset.
        confirm: is shown the pairs as a table before anything is written, and says whether to go on.
        segments: names of the segments (or label values) that are lesions; all unless given. One called `ignore` is
            where nobody has looked.
        outlined_slices: which slices of these masks a reader has looked at; all unless given. The others are written
            with the value of the label `ignore`.
        label: what the one label of the dataset is called; "lesion" unless given.
        channel: what the channel of `images` is called; "T2" unless given.
        further_channels: name -> folder of the scans of another sequence, which are called as those in `images`. They
            are registered to these; a case may lack some, and one whose scan does not fit is left out and named.
        series: names of the only DICOM series wanted, or patterns such as "*_T2"; all unless given.
        echo: of DICOM series with several echoes, from 1 (the shortest echo time).
        patients: "scans", the default: each scan is a patient of its own; "folders": scans in the same folder right
            below `images` are one patient's.
        visits: whether scans whose names suggest visits of one patient are that patient's ("join") or not ("apart").
        test_share: share of the patients that become test cases (imagesTs, labelsTs). With `add` so many of the new
            patients do that the share of all is reached.
        seed: decides which.
        jobs: threads.
        left: what of scans and masks is not used is noted here; a strict one ends the work before it begins.
        console: where words and progress go.

    Returns:
        The key's path.

    Raises:
        InputError: the output exists (or, with `add`, does not) or is not apart from the input, nothing was found, or
            `confirm` said no; the key is there, and names or sides would not be as it says; key or dataset.json is
            broken.
        DatasetError: no pair can be used, or, where `left` is strict, not all; nothing is written.
        SomeCasesFailedError: all is written but some masks or scans that can't be used.
        VmsegError: the disk is full or can't be written to.
    """
    console, left, target = console or Silent(), left or Inventory(), Path(output)
    path = Path(key) if key is not None else key_beside(target)
    require_apart(target, [Path(images), Path(masks)], may_lie_within=True)
    there = _existing(target, path, add)
    if label in ("", "background", "ignore"):
        remedy = "Say with --label what is drawn, such as lesion."
        raise InputError(f'the label of what is drawn can\'t be called "{label}"', remedy=remedy)
    rows = read_dataset_key(path, left) if add or path.is_file() else []
    if there:
        there.require_agreement(rows, label, channel, tuple(further_channels or ()))
    called = (there.label, there.channel) if there else (label or "lesion", channel or "T2")
    chosen = tuple(segments) if segments is not None else None
    others = tuple(Channel(name, Path(folder)) for name, folder in (further_channels or {}).items())
    names = tuple(one.name for one in others)
    wishes = Wishes(chosen, *called, patients or "scans", visits, test_share, seed, outlined_slices, names)
    wishes = agreed(wishes, rows, patients) if add else wishes
    workers = max(1, jobs or min(4, os.cpu_count() or 1))
    choice = Choice(tuple(series), echo)
    given = _Given(Path(images), Path(masks), (target, path), choice, not (add and rows), others)
    found = _find(given, wishes, workers, left, console)
    errors = list(found.failed)
    members = enrol(found.pairs, wishes, rows if add else (), there.names if there else (), errors, console)
    _refuse(errors, left)
    if not add:
        _require_same(members, rows, path)
    _require_all(members, rows, there, path)
    if there:
        _tell_of_changed_masks(members, console)
        _tell_of_new_channels(members, there, console)
        members = [member for member in members if not there.holds(member.row)]
    _warn_of_predictions(members, console)
    if there and (ignored := there.description.labels.get(IGNORE_LABEL)) is not None:
        _require_no_value(members, ignored)
        _warn_of_whole_masks(members, console)
    if members:
        found.note_left_out(left, told=True)
    if not members:
        console.say(f"Nothing is new: all scans with masks are in {target} already.")
    elif not confirm(table(members, found, wishes, errors)):
        remedy = "Mend names or files, or add --yes."
        raise InputError("the pairs were not confirmed; nothing is written", remedy=remedy)
    else:
        voxels = sum(math.prod(member.pair.grid.shape) for member in members)
        needed = voxels * (1 + len(wishes.further)) * _BYTES_A_VOXEL
        require_space(target, needed, f"writing {len(members)} cases")
        writing = Writing(wishes, rows, path, left.strict, workers, console)
        with output_lock(target if there else target.parent, "vmseg_make_dataset", console):
            written, failed = writing.into(there, members) if there else writing.new(target, members)
        errors += failed
        _conclude(written, wishes, target, path, console)
    if errors:
        raise SomeCasesFailedError(f"{len(errors)} masks or scans can't be used and were left out", errors)
    return path


@dataclass(frozen=True)
class _Given:
    """Where scans and masks lie.

    Args:
        made: the dataset and its key.
        choice: which series are wanted.
        names_segments: whether the segments are named by this command, not by that which made the dataset.
        further: channels, and where their scans lie.
    """

    images: Path
    masks: Path
    made: tuple[Path, Path]
    choice: Choice
    names_segments: bool
    further: tuple[Channel, ...]


def _find(given: _Given, wishes: Wishes, jobs: int, left: Inventory, console: Console) -> Found:
    notes: list[str] = []
    errors: list[VmsegError] = []
    drawn = find_drawn(given.masks, given.images, errors, left)
    scans = find_named_scans(given.images, given.masks, given.made, given.choice, notes, left)
    for note in notes:
        console.say(note)
    show_series((scan.case.images[0] for scan in scans), wishes.channel, console)
    found = find_pairs(scans, drawn, given.masks, wishes.segments, wishes.outlined, jobs, errors, console)
    _refuse(found.failed, left)
    if given.names_segments and wishes.segments:
        found.require_segments(wishes.segments)
    if given.further:
        apart, notes = (given.masks, *given.made), []
        whole, more = with_further(found.pairs, given.further, given.images, apart, notes, left)
        for note in notes:
            console.say(note)
        found = replace(found, pairs=tuple(whole), failed=(*found.failed, *more))
        _refuse(more, left)
    found.tell_of_segments(wishes.segments, wishes.label, left, console)
    found.note_left_out(left)
    left.require_nothing()
    return found


def _refuse(errors: Sequence[VmsegError], left: Inventory) -> None:
    if left.strict and errors:
        raise DatasetError(f"{len(errors)} masks or scans can't be used; nothing is written", errors)


def _conclude(written: Sequence[Member], wishes: Wishes, target: Path, key: Path, console: Console) -> None:
    tests = sum(member.test for member in written)
    if wishes.further:
        console.say(
            f"{listed(list(wishes.further))} lie on the grid of {wishes.channel} now: look at the pictures in "
            f"{target / REGISTRATION}, where edges that meet tell that they fit."
        )
    if optional := optional_channels(written, wishes):
        console.warn(
            f"some cases lack {listed(optional)}, as dataset.json says ({OPTIONAL}): train with "
            f"--set {ADVISED_DROPOUT}, so that the network learns to do without"
        )
    console.say(
        f"Written to {target}: {counted(len(written) - tests, 'training case')}, {counted(tests, 'test case')}.\n"
        f"{key} says who is who. Keep it apart from the dataset, and do not pass it on with it.\n"
        f"Go on with `vmseg_plan_and_preprocess -d {quoted(target)}`."
    )


def _require_no_value(members: Sequence[Member], ignored: int) -> None:
    """Raise InputError where a mask holds the dataset's value of what nobody has annotated, and no name tells so."""
    holding = [member.pair.mask for member in members if str(ignored) in member.pair.segments]
    if holding:
        names = listed([mask.name for mask in holding])
        raise InputError(
            f'it holds {ignored}, which is "{IGNORE_LABEL}" in this dataset, and would be taken for a lesion: {names}',
            file=holding[0],
            remedy=f'Save it as .seg.nrrd with a segment called "{IGNORE_LABEL}"; or take that value out, and say with '
            "--outlined-slices which slices were looked at.",
        )


def _warn_of_whole_masks(members: Sequence[Member], console: Console) -> None:
    """Warn of masks that count as annotated as a whole beside others that are not."""
    if whole := [member.pair.mask.name for member in members if not member.pair.partly]:
        console.warn(
            f"masks of this dataset may be annotated in part, and {listed(whole)} would count as annotated on every "
            "slice; if not every slice was looked at, say with --outlined-slices which were"
        )


def table(members: Sequence[Member], found: Found, wishes: Wishes, errors: Sequence[VmsegError] = ()) -> str:
    """Return the pairs as a table, a row each, and what is left out."""
    head = ("case", "patient", "set", "image", *wishes.further, "mask", "drawn", "mL", "fit")
    rows = [
        (
            member.row.case,
            member.row.patient + (" (known)" if member.known else ""),
            member.row.set,
            shown(member.pair.scan.title, lines=False),
            *(shown(one.title, lines=False) if one else "missing" for one in member.pair.further),
            shown(member.pair.mask.name, lines=False),
            member.pair.drawn,
            f"{member.pair.volume_ml:.2f}",
            member.pair.fit,
        )
        for member in sorted(members, key=lambda member: member.pair.scan.title)
    ]
    lines = [columns([head, *rows])]
    channels = ", ".join(f'"{name}"' for name in (wishes.channel, *wishes.further))
    lines.append(f'Channel{"s" * bool(wishes.further)} {channels}, label "{wishes.label}"')
    if found.without_mask:
        lines.append(_left_out("image", "without a mask", found.without_mask))
    if found.unusable:
        lines.append(_left_out("image", "that can't be used", [str(error) for error in found.unusable]))
    if errors:
        lines.append(_left_out("file", "that can't be used", [str(error) for error in errors]))
    return "\n".join(lines)


def code_of(table: str) -> str:
    """Return the code by which shown pairs can be confirmed: 8 hex digits, others for another table."""
    return hashlib.sha256(table.encode(errors="replace")).hexdigest()[:8]


def with_code(table: str) -> str:
    """Return a table of pairs and its code, in a line of its own.

    >>> code_in(with_code("anna  anna.nrrd")) == code_of("anna  anna.nrrd")
    True
    """
    return f"{table}\nThe code of these pairs is {code_of(table)}."


def code_in(text: str) -> str:
    """Return the code of the pairs that a command has shown last; empty where it has shown none."""
    return next(reversed(_CODE.findall(text)), "")


def _left_out(what: str, why: str, names: Sequence[str]) -> str:
    shown = "".join(f"\n  - {name}" for name in names[:_SHOWN])
    more = f"\n  - and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"Left out: {counted(len(names), what)} {why}:{shown}{more}"


def _existing(target: Path, key: Path, add: bool) -> MadeDataset | None:
    """Return the dataset that stands at `target`; None where it is to be made.

    Raises:
        InputError: it is there and nothing is to be added, or there is something else; the key would lie in it.
    """
    if key.resolve().is_relative_to(target.resolve()):
        remedy = "Name with --key a file outside of it."
        raise InputError("the key would lie in the dataset, and be passed on with it", file=key, remedy=remedy)
    if (key.exists() or key.is_symlink()) and not key.is_file():
        raise InputError("it exists already", file=key, remedy="Choose another name, or move it away first.")
    if not (target.exists() or target.is_symlink()) or is_empty(target):
        return None
    if not add:
        remedy = "To put new patients into it, add --add; to make another dataset, choose another name."
        raise InputError("it exists already", file=target, remedy=remedy)
    return MadeDataset.read(target)


def _require_same(members: Sequence[Member], rows: Sequence[KeyRow], key: Path) -> None:
    """Raise InputError where a dataset that is made again would give other names or sides than its key says."""
    old = {row.image_hash: row for row in rows}
    new = {member.row.image_hash: member.row for member in members}
    changes = [
        f"{_in_words(old.get(image))} would be {_in_words(new.get(image))}"
        for image in {**old, **new}
        if old and _in_words(old.get(image)) != _in_words(new.get(image))
    ]
    if changes:
        raise InputError(
            f"this would change whose pseudonyms are whose, or which patients are tested on: {listed(changes)}",
            file=key,
            remedy="Add --add to keep both as they are. To begin anew under new pseudonyms, move this key away.",
        )


def _in_words(row: KeyRow | None) -> str:
    return f"{row.case} ({row.patient}, {row.set})" if row else "none"


def _require_all(members: Sequence[Member], rows: Sequence[KeyRow], there: MadeDataset | None, key: Path) -> None:
    """Raise InputError where a case of the key stands neither in the dataset nor among the scans."""
    found = {member.row.case for member in members}
    lost = [row.case for row in rows if not row.removed and row.case not in found and not (there and there.holds(row))]
    if lost:
        remedy = "Restore the dataset, give the scans that they were made of, or end their removal with --remove."
        raise InputError(f"{listed(lost)} of this key are not in the dataset as a whole", file=key, remedy=remedy)


def _warn_of_predictions(members: Sequence[Member], console: Console) -> None:
    """Warn of masks that are predictions which nobody has corrected or accepted."""
    masks = [member.pair.mask for member in members]
    own = [mask for mask in masks if is_predicted(mask) and not is_corrected(mask)]
    if untouched := [mask.name for mask in own if decision_on(mask) != "accepted"]:
        console.warn(
            f"{counted(len(untouched), 'mask')} as vmseg_predict wrote them, that nobody has corrected or accepted: "
            f"{listed(untouched)}. A model that is trained on them learns the mistakes of the one before"
        )


def _tell_of_changed_masks(members: Sequence[Member], console: Console) -> None:
    changed = [one.row.case for one in members if one.row.mask_hash != file_hash(one.pair.mask)]
    if changed:
        console.warn(
            f"the masks of {listed(changed)} have changed since they were taken. The dataset keeps its own: correct "
            "those in its labelsTr and labelsTs."
        )


def _tell_of_new_channels(members: Sequence[Member], there: MadeDataset, console: Console) -> None:
    """Warn of scans of further channels whose case is in the dataset already, without them."""
    late = [
        one.row.case
        for one in members
        if there.holds(one.row)
        and any(
            scan and not path.is_file()
            for scan, path in zip(one.pair.further, there.further_files(one.row), strict=False)
        )
    ]
    if late:
        console.warn(
            f"the dataset has {listed(late)} without a channel of which there is a scan now. Only new cases are "
            "written: to take it in, make the dataset anew, or --remove the patient and --add again."
        )
