"""Make a dataset of scans as they come from the archive and masks as readers draw them."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vmseg_auto.core.console import Console, Silent, columns, printable, quoted
from vmseg_auto.core.dataset import Case
from vmseg_auto.core.errors import DatasetError, InputError
from vmseg_auto.core.left_out import Inventory
from vmseg_auto.core.patients import suggest_visits
from vmseg_auto.core.series import Choice
from vmseg_auto.io.atomic import new_folder, write_json
from vmseg_auto.io.cases import content_hash, over_cases, read_case
from vmseg_auto.io.images import write_image, write_mask
from vmseg_auto.io.space import require_space
from vmseg_auto.io.tables import write_csv
from vmseg_auto.pipeline.pairs import Found, Pair, drawn_mask, find_named_scans, find_pairs
from vmseg_auto.pipeline.patients import Visits, visits_in_words
from vmseg_auto.pipeline.places import PathLike
from vmseg_auto.pipeline.turns import output_turn
from vmseg_auto.pipeline.which_series import show_series

Patients = Literal["scans", "folders"]
KEY_COLUMNS = ("case", "patient", "set", "source_patient", "image", "mask")
KEY_NOTE = "Who is who: names the sources of the cases. Keep it apart from the dataset, and never pass it on with it."
ENDING = ".nii.gz"
_SHOWN = 8
_BYTES_A_VOXEL = 2.5
"""What compression leaves of an image's four bytes, and its mask."""


@dataclass(frozen=True)
class Member:
    """A pair under its pseudonym.

    Args:
        case: pseudonym of the scan.
        patient: pseudonym of its patient.
        person: what stood for the patient in the sources' names.
        test: whether it is held out.
    """

    pair: Pair
    case: str
    patient: str
    person: str
    test: bool


@dataclass(frozen=True)
class Wishes:
    """What the user wants of the dataset; see `make_dataset`."""

    segments: tuple[str, ...] | None
    label: str
    channel: str
    patients: Patients
    visits: Visits | None
    test_share: float
    seed: int


def make_dataset(
    images: PathLike,
    masks: PathLike,
    output: PathLike,
    *,
    confirm: Callable[[str], bool] = lambda table: True,
    segments: Sequence[str] | None = None,
    label: str = "lesion",
    channel: str = "T2",
    series: Sequence[str] = (),
    echo: int | None = None,
    patients: Patients = "scans",
    visits: Visits | None = None,
    test_share: float = 0.0,
    seed: int = 0,
    jobs: int | None = None,
    left: Inventory | None = None,
    console: Console | None = None,
) -> Path:
    """Write a dataset for `plan_and_preprocess` under pseudonyms, and beside it the key to them.

    Masks are put on the grids of their scans by moving whole voxels; none is resampled. Cases are numbered by a hash of
    their images, so that their order tells nothing of names.

    Args:
        images: a folder, with the folders and zips in it, of DICOM series or image files.
        masks: a mask or a folder of masks.
        output: the dataset's folder; it must not exist, or be empty. The key is OUTPUT_key.csv.
        confirm: is shown the pairs as a table before anything is written, and says whether to go on.
        segments: names of the segments (or label values) that are lesions; all unless given.
        label: what the one label of the dataset is called.
        channel: what the one channel is called.
        series: names of the only DICOM series wanted, or patterns such as "*_T2"; all unless given.
        echo: of DICOM series with several echoes, from 1 (the shortest echo time).
        patients: "scans": each scan is a patient of its own; "folders": scans in the same folder right below `images`
            are one patient's.
        visits: whether scans whose names suggest visits of one patient are that patient's ("join") or not ("apart").
        test_share: share of the patients that is held out in imagesTs and labelsTs.
        seed: decides which.
        jobs: threads.
        left: what of scans and masks is not used is noted here; a strict one ends the work before it begins.
        console: where words and progress go.

    Returns:
        The key's path.

    Raises:
        InputError: the output or its key exists, nothing was found, or `confirm` said no.
        DatasetError: masks or scans that can't be used; all are listed, and nothing is written.
        VmsegError: the disk is full or can't be written to.
    """
    console, target = console or Silent(), Path(output)
    key = target.with_name(f"{target.name}_key.csv")
    _refuse_existing(target, key)
    if label in ("", "background", "ignore"):
        remedy = "Say with --label what is drawn, such as lesion."
        raise InputError(f'the label of what is drawn can\'t be called "{label}"', remedy=remedy)
    wishes = Wishes(
        tuple(segments) if segments is not None else None, label, channel, patients, visits, test_share, seed
    )
    workers = max(1, jobs or min(4, os.cpu_count() or 1))
    notes: list[str] = []
    left = left if left is not None else Inventory()
    scans = find_named_scans(Path(images), Path(masks), Choice(tuple(series), echo), notes, left)
    for note in notes:
        console.say(note)
    show_series((scan.case.images[0] for scan in scans), channel, console)
    found = find_pairs(scans, Path(masks), wishes.segments, workers, console)
    found.note_left_out(left)
    left.require_nothing()
    members = _members(found.pairs, wishes, console)
    if not confirm(table(members, found, wishes)):
        raise InputError(
            "the pairs were not confirmed; nothing is written", remedy="Mend names or files, or add --yes."
        )
    needed = sum(math.prod(member.pair.grid.shape) for member in members) * _BYTES_A_VOXEL
    require_space(target, needed, f"writing {len(members)} cases")
    with output_turn(target.parent, "vmseg_make_dataset", console):
        _write(members, wishes, target, key, workers, console)
    held_out = sum(member.test for member in members)
    console.say(
        f"{len(members) - held_out} training and {held_out} test cases in {target}.\n"
        f"{key} says who is who. Keep it apart from the dataset, and do not pass it on with it.\n"
        f"Go on with `vmseg_plan_and_preprocess -d {quoted(target)}`."
    )
    return key


def table(members: Sequence[Member], found: Found, wishes: Wishes) -> str:
    """The pairs, a row each, and what is left out."""
    head = ("case", "patient", "set", "image", "mask", "drawn", "mL", "fit")
    rows = [
        (
            member.case,
            member.patient,
            "test" if member.test else "train",
            printable(member.pair.scan.title),
            printable(member.pair.mask.name),
            member.pair.drawn,
            f"{member.pair.volume_ml:.2f}",
            member.pair.fit,
        )
        for member in sorted(members, key=lambda member: member.pair.scan.title)
    ]
    lines = [columns([head, *rows])]
    lines.append(f'Channel "{wishes.channel}", label "{wishes.label}"')
    if found.without_mask:
        lines.append(_left_out("images without a mask", found.without_mask))
    if found.unusable:
        lines.append(_left_out("images that can't be used", [str(error) for error in found.unusable]))
    return "\n".join(lines)


def _left_out(what: str, names: Sequence[str]) -> str:
    shown = "".join(f"\n  - {name}" for name in names[:_SHOWN])
    more = f"\n  - and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"Left out: {len(names)} {what}:{shown}{more}"


def _refuse_existing(target: Path, key: Path) -> None:
    for path in (target, key):
        if (path.exists() or path.is_symlink()) and not _is_empty_folder(path):
            raise InputError("it exists already", file=path, remedy="Choose another name, or move it away first.")


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and not any(path.iterdir())


def _members(pairs: Sequence[Pair], wishes: Wishes, console: Console) -> list[Member]:
    """Give pairs their pseudonyms, patients, and sides."""
    persons = _persons(pairs, wishes, console)
    order = sorted(pairs, key=lambda one: content_hash(one.scan.case))
    numbers: dict[str, int] = {}
    for one in order:
        numbers.setdefault(persons[one.scan.case.id], len(numbers) + 1)
    digits = max(2, len(str(len(numbers))))
    held_out = _held_out(list(numbers), wishes)
    return [
        Member(
            pair=one,
            case=f"case_{number:03d}",
            patient=f"patient_{numbers[person]:0{digits}d}",
            person=person,
            test=person in held_out,
        )
        for number, one in enumerate(order, 1)
        for person in [persons[one.scan.case.id]]
    ]


def _persons(pairs: Sequence[Pair], wishes: Wishes, console: Console) -> Mapping[str, str]:
    """Scan id -> what stands for its patient."""
    if wishes.patients == "folders":
        return {one.scan.case.id: one.scan.names[0] for one in pairs}
    suggested = suggest_visits(one.scan.title for one in pairs)
    if wishes.visits == "join":
        joined = {title: stem for stem, group in suggested.items() for title in group}
        return {one.scan.case.id: joined.get(one.scan.title, one.scan.case.id) for one in pairs}
    if suggested and wishes.visits is None:
        console.warn(
            f"these scans look like visits of one patient:\n{visits_in_words(suggested)}\n"
            "If they are, add --visits join (or --patients folders, where each patient has a folder); if not, --visits "
            "apart. Until then each is a patient of its own."
        )
    return {one.scan.case.id: one.scan.case.id for one in pairs}


def _held_out(persons: Sequence[str], wishes: Wishes) -> set[str]:
    """The patients to test on."""
    if not wishes.test_share:
        return set()
    count = max(1, round(wishes.test_share * len(persons)))
    if len(persons) - count < 2:
        raise InputError(
            f"of {len(persons)} patients {count} would be held out, and cross-validation needs at least 2 others",
            remedy="Give a smaller --test-share, or add patients.",
        )
    return set(random.Random(wishes.seed).sample(list(persons), count))


def _write(members: Sequence[Member], wishes: Wishes, target: Path, key: Path, jobs: int, console: Console) -> None:
    """Write dataset and key, whole or not at all."""
    if _is_empty_folder(target):
        target.rmdir()
    try:
        with new_folder(target) as folder:
            _write_cases(members, wishes, folder, jobs, console)
            write_json(folder / "dataset.json", _description(members, wishes))
            # Before the folder gets its name: a dataset without its key could never be traced back.
            write_csv(key, KEY_COLUMNS, (_key_row(member) for member in members), note=KEY_NOTE)
    except BaseException:
        key.unlink(missing_ok=True)
        raise


def _write_cases(members: Sequence[Member], wishes: Wishes, folder: Path, jobs: int, console: Console) -> None:
    by_scan = {member.pair.scan.case.id: member for member in members}

    def write_case(scan: Case) -> list[str]:
        member, notes = by_scan[scan.id], list[str]()
        part = "Ts" if member.test else "Tr"
        image, _, geometry = read_case(scan, notes=notes)
        write_image(folder / f"images{part}" / f"{member.case}_0000{ENDING}", image[0], geometry)
        mask = drawn_mask(member.pair, wishes.segments)
        write_mask(folder / f"labels{part}" / f"{member.case}{ENDING}", mask, geometry)
        return notes

    with console.progress("Writing cases", len(members)) as progress:
        cases = [member.pair.scan.case for member in members]
        noted, errors = over_cases(write_case, cases, jobs, progress.advance)
    for note in (note for notes in noted.values() for note in notes):
        console.warn(note)
    if errors:
        raise DatasetError(f"{len(errors)} of {len(members)} cases can't be used; nothing is written", errors)


def _description(members: Sequence[Member], wishes: Wishes) -> dict[str, Any]:
    return {
        "channel_names": {"0": wishes.channel},
        "labels": {"background": 0, wishes.label: 1},
        "numTraining": sum(not member.test for member in members),
        "file_ending": ENDING,
        "patients": {member.case: member.patient for member in members},
    }


def _key_row(member: Member) -> dict[str, str]:
    return {
        "case": member.case,
        "patient": member.patient,
        "set": "test" if member.test else "train",
        "source_patient": member.person,
        "image": str(member.pair.scan.case.file.resolve()),
        "mask": str(member.pair.mask.resolve()),
    }
