"""The same patients at two times: predict both unless masks are given, and say what has become of the lesions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from vmseg_auto.data.cases import read_case
from vmseg_auto.data.dataset import Case
from vmseg_auto.data.dataset_json import read_description
from vmseg_auto.data.dicom.series import Choice
from vmseg_auto.data.mask_files import case_of, decision_on, is_corrected, recorded
from vmseg_auto.data.mask_folders import require_counting
from vmseg_auto.data.naming import note_unpaired, stem
from vmseg_auto.data.scans import FURTHER_CHANNEL, find_scans
from vmseg_auto.evaluation.evaluate import find_masks, infer_labels
from vmseg_auto.followup.comparability import Word, check_headers
from vmseg_auto.followup.compare import Visit, compare
from vmseg_auto.followup.records import COLUMNS, FollowUp, FollowUps
from vmseg_auto.followup.response import Volume
from vmseg_auto.utils.atomic import read_stored, write_json
from vmseg_auto.utils.console import Console, Silent
from vmseg_auto.utils.errors import DatasetError, InputError, SomeCasesFailedError, VmsegError
from vmseg_auto.utils.folders import require_apart
from vmseg_auto.utils.geometry import Spacing, require_spacing
from vmseg_auto.utils.label_masks import mask_of
from vmseg_auto.utils.labels import IGNORE, classes_of, without_background
from vmseg_auto.utils.left_out import Inventory, telling_left_out
from vmseg_auto.utils.tables import write_csv
from vmseg_auto.workflows.locking import output_lock
from vmseg_auto.workflows.paths import PathLike
from vmseg_auto.workflows.predict import predict
from vmseg_auto.workflows.prediction_record import PredictionRecord
from vmseg_auto.workflows.run_tables import read_volumes

_FIRST_CHANNEL = ("first",)
"""Scans are aligned by their first channel."""
_NO_INTERVALS = "Restore it, or move it away: the intervals of volumes are then not known."


@telling_left_out
def follow_up(
    before: PathLike,
    after: PathLike,
    output: PathLike,
    *,
    masks: tuple[PathLike, PathLike] | None = None,
    error_percent: float | None = None,
    order_as_given: bool = False,
    same_patient: bool = False,
    spacing_mm: Spacing | None = None,
    model: PathLike | None = None,
    dataset: PathLike | None = None,
    workspace: PathLike | None = None,
    series: Sequence[str] = (),
    echo: int | None = None,
    device: str = "auto",
    jobs: int | None = None,
    leave_out: Collection[str] = (),
    left: Inventory | None = None,
    console: Console | None = None,
) -> FollowUps:
    """Compare scans of the same patients at two times; write followup.csv, followup.json and a picture of each pair.

    Args:
        before, after: a scan each (an image file, or a DICOM series in a folder or zip), or a folder of scans each:
            then those of the same name belong together.
        output: the folder written to; what is predicted comes to lie in its folders `before` and `after`.
        masks: a mask or a folder of masks for each time; both scans are predicted unless given. Intervals are taken
            from a volumes.csv beside the masks, as far as it still fits them.
        error_percent: nine volumes in ten are measured with at most this error, in per cent of the true volume; takes
            the place of the intervals.
        order_as_given: the scans are in the right order, although their headers' dates tell of the other.
        same_patient: the scans are of one patient, although their headers tell of two.
        spacing_mm: voxel size (Z, Y, X) of image files that tell none. Of scans predicted before it is that of their
            records, and need not be given.
        model, dataset, workspace, series, echo, device: as for `predict`.
        jobs: threads that read and write for it.
        leave_out: scans before that are not compared, by their names, as the caller tells why.
        left: what is not used of scans and masks is noted here; a strict one ends the work before it begins.
        console: where words and progress go.

    Raises:
        InputError: no scan, mask or model, no pair, scans that are not apart from the output folder, headers that tell
            of two patients or of the other order, or another command at work in the output folder.
        SomeCasesFailedError: some pairs failed; all others are written.
    """
    console = console or Silent()
    target, scans = Path(output), (Path(before), Path(after))
    if error_percent is not None and not 0 <= error_percent < 100:
        remedy = "Give a number of %, from 0 to below 100: with an error as large as the volume no change can be seen."
        raise InputError(f"the measurement error is {error_percent:g} %", remedy=remedy)
    if spacing_mm is not None:
        require_spacing(spacing_mm)
    require_apart(target, scans)
    choice = Choice(tuple(series), echo)
    left = left or Inventory()
    first, second = (scans_of_time(source, choice, masks is not None, left) for source in scans)
    both = partners(first, second, left)
    compared = [two for two in both if two[0].id not in leave_out]
    if not compared:
        return FollowUps(())
    *wanted, refused = _comparable(compared, Word(order_as_given, same_patient))
    left.require_nothing()
    with output_lock(target, "vmseg_followup", console):
        if masks is None:
            segment = partial(
                predict, model=model, dataset=dataset, workspace=workspace, series=series, echo=echo,
                spacing_mm=spacing_mm, device=device, jobs=jobs, left=left, console=console,
            )  # fmt: skip
            found, failed = _both_segmented(segment, scans, target, (first, second), wanted)
            refused += [one for one in failed if one.case not in {other.case for other in refused}]
            wanted = _without(wanted, refused)
        else:
            found = [_masks(Path(mask), left) for mask in masks]
        told = {error.case for error in refused} | {case.id for two in both for case in two if two[0].id in leave_out}
        first, second = (_with_masks(*side, told, left) for side in zip(scans, wanted, found, strict=True))
        pairs = _pairs(wanted, (first, second))
        left.require_nothing()
        done, failed = _compare_all(pairs, error_percent, spacing_mm, target, console)
        errors = [*refused, *failed]
        if done:
            _write(done, target, console)
    if errors and len(pairs) + len(refused) == 1:
        raise errors[0]
    if errors:
        problem = f"{len(errors)} of {len(pairs) + len(refused)} pairs could not be compared"
        raise SomeCasesFailedError(problem, errors, [target / "followup.json"] if done else [])
    return FollowUps(tuple(done))


def _write(done: Sequence[FollowUp], target: Path, console: Console) -> None:
    """Write the tables of all pairs, and say where they lie."""
    write_csv(target / "followup.csv", COLUMNS, (row for one in done for row in one.rows()))
    write_json(target / "followup.json", FollowUps(tuple(done)).to_json())
    pictures = any(not one.alignment.problems for one in done)
    beside = ", and a picture of each pair that could be aligned" if pictures else ""
    console.say(f"In {target}: followup.csv (table), followup.json (all figures){beside}.")


def _both_segmented(
    segment: Callable[..., list[Path]],
    scans: Sequence[Path],
    target: Path,
    every: Sequence[Mapping[str, Case]],
    wanted: Sequence[Mapping[str, Case]],
) -> tuple[list[list[Path]], list[VmsegError]]:
    """Return the masks of both times, and why some cases lack one; each time is predicted in a folder of its own."""
    found: list[list[Path]] = []
    failed: list[VmsegError] = []
    for source, place, there, cases in zip(scans, ("before", "after"), every, wanted, strict=True):
        only = None if len(cases) == len(there) else cases
        made, errors = segmented(partial(segment, source, target / place, only=only))
        found.append(made)
        failed += [one for one in errors if one.case not in {other.case for other in failed}]
    return found, failed


def segmented(segment: Callable[[], list[Path]]) -> tuple[list[Path], list[VmsegError]]:
    """Return the masks of one time, and why some scans have none."""
    try:
        return segment(), []
    except SomeCasesFailedError as error:
        return list(error.done), list(error.errors)


def _without(sides: Sequence[Mapping[str, Case]], failed: Sequence[VmsegError]) -> list[dict[str, Case]]:
    """Return the pairs of which no scan has failed.

    Raises:
        SomeCasesFailedError: there is none.
    """
    names = {error.case for error in failed}
    left = [{name: case for name, case in side.items() if name not in names} for side in sides]
    if not left[0]:
        raise SomeCasesFailedError(f"none of {len(sides[0])} pairs could be compared", failed)
    return left


@dataclass(frozen=True)
class _Pair:
    """Scans and masks of one patient at two times."""

    name: str
    before: Case
    after: Case


def _compare_all(
    pairs: Sequence[_Pair], error_percent: float | None, spacing_mm: Spacing | None, target: Path, console: Console
) -> tuple[list[FollowUp], list[VmsegError]]:
    done: list[FollowUp] = []
    errors: list[VmsegError] = []
    labels = _labels(pairs)
    with console.progress("Comparing", len(pairs)) as progress:
        for pair in pairs:
            try:
                first, second = (
                    _visit(case, labels, error_percent, spacing_mm, console) for case in (pair.before, pair.after)
                )
                done.append(compare(pair.name, first, second, classes_of(labels), target / f"{pair.name}_followup.png"))
                console.say(done[-1].text())
                if not done[-1].sound:
                    console.warn(done[-1].warning())
            except VmsegError as error:
                errors.append(error)
            progress.advance()
    return done, errors


def scans_of_time(source: Path, choice: Choice, masked: bool, left: Inventory) -> dict[str, Case]:
    """Find the scans of one time, as their first channel; which further ones are wanted, only a model knows."""
    own = Inventory()
    found = find_scans(source, _FIRST_CHANNEL, choice, left=own)
    for one in own.found:
        if one.why != FURTHER_CHANNEL:
            left.add_all([one])
        elif masked:
            left.add_all([replace(one, meant=True)])
    return {case.id: case for case in found}


def partners(before: Mapping[str, Case], after: Mapping[str, Case], left: Inventory) -> list[tuple[Case, Case]]:
    """Return the scans that belong together: single scans whatever their names, otherwise those of the same name.

    Raises:
        InputError: there is nothing of the kind.
    """
    if len(before) == len(after) == 1:
        return list(zip(before.values(), after.values(), strict=True))
    common = sorted(set(before) & set(after))
    if not common:
        raise InputError(
            "no scan before has the name of one after",
            remedy="Give both scans of a patient the same name in two folders, or compare two files.",
        )
    for name in sorted(set(before) ^ set(after)):
        left.add("scan", name, "there at one time only")
    return [(before[name], after[name]) for name in common]


def _comparable(
    pairs: Sequence[tuple[Case, Case]], word: Word
) -> tuple[dict[str, Case], dict[str, Case], list[VmsegError]]:
    """Return the pairs whose headers do not speak against comparing them, and what speaks against the others.

    Raises:
        InputError: of a single pair.
        DatasetError: every pair is refused.
    """
    refused: list[VmsegError] = []
    kept = []
    for first, second in pairs:
        try:
            check_headers(_name(first, second), first.images[0], second.images[0], word)
            kept.append((first, second))
        except InputError as error:
            refused.append(error)
    if not kept:
        raise refused[0] if len(refused) == 1 else DatasetError("no pair can be compared", refused)
    return {one.id: one for one, _ in kept}, {one.id: one for _, one in kept}, refused


def _name(before: Case, after: Case) -> str:
    return before.id if before.id == after.id else f"{before.id}-{after.id}"


def _masks(source: Path, left: Inventory) -> list[Path]:
    if source.is_file():
        require_counting(source)
        return [source]
    masks = find_masks(source, left)
    table = source / "volumes.csv"
    rows = read_volumes(table, ("voxels",), _NO_INTERVALS) if table.is_file() else []
    for case in dict.fromkeys(row["case"] for row in rows):
        if case not in masks:
            left.add("case", case, "whose rows of volumes.csv have no mask beside them", folder=source)
    return list(masks.values())


def _with_masks(
    source: Path, scans: Mapping[str, Case], paths: Sequence[Path], refused: Collection[str | None], left: Inventory
) -> dict[str, Case]:
    """Return the scans of `source` that have a mask. A single scan and a single mask belong together whatever their
    names.

    Args:
        refused: pairs that are told of as errors; their masks are passed over.

    Raises:
        InputError: none has.
    """
    masks = {name: path for path in paths if (name := stem(path)) not in refused}
    if len(scans) == len(masks) == 1:
        (case,), (mask,) = scans.values(), masks.values()
        return {case.id: replace(case, label=mask)}
    found = {name: replace(case, label=masks[name]) for name, case in scans.items() if name in masks}
    if not found:
        raise InputError("no scan has a mask of the same name", file=source, remedy="Name masks as their scans.")
    for name in sorted(set(scans) - set(found)):
        left.add("scan", name, "without a mask", folder=source)
    others = {name: path for name, path in masks.items() if name not in scans}
    for folder in {path.parent for path in others.values()}:
        here = {name: path for name, path in others.items() if path.parent == folder}
        note_unpaired("mask", here, scans, "without a scan at this time that has a partner", left, folder)
    return found


def _pairs(wanted: Sequence[Mapping[str, Case]], masked: Sequence[Mapping[str, Case]]) -> list[_Pair]:
    """Return the pairs of scans that belong together, as far as both have a mask.

    Raises:
        InputError: none has two.
    """
    pairs = []
    for one, other in zip(*wanted, strict=True):
        if one in masked[0] and other in masked[1]:
            before, after = masked[0][one], masked[1][other]
            pairs.append(_Pair(_name(before, after), before, after))
    if not pairs:
        raise InputError("no scan has a mask at both times", remedy="Name masks as their scans.")
    return pairs


def _labels(pairs: Sequence[_Pair]) -> dict[str, int]:
    """Return the labels of the model that predicted the masks, else named as in the tables beside them, in the order of
    the values, or as in the dataset.json beside their folder; otherwise by the values in the masks.
    """
    paths = [case.label for pair in pairs for case in (pair.before, pair.after) if case.label]
    for path in paths:
        if record := recorded(path.parent, case_of(path)):
            return without_background(record.labels)
        if rows := _table(path):
            return {row["label"]: value for value, row in enumerate(rows, 1)}
        if (stated := path.parent.parent / "dataset.json").is_file():
            return without_background(read_description(stated).labels)
    return infer_labels(paths)


def _table(mask: Path) -> list[dict[str, Any]]:
    """Return the totals of a mask's case in the volumes.csv beside it; none where there is no such table."""
    path = mask.with_name("volumes.csv")
    if not path.is_file():
        return []
    rows = read_volumes(path, ("voxels", "volume_low_ml", "volume_high_ml"), _NO_INTERVALS)
    return [row for row in rows if row["case"] == stem(mask) and row["component"] == "all"]


def _visit(
    case: Case,
    labels: Mapping[str, int],
    error_percent: float | None,
    spacing_mm: Spacing | None,
    console: Console,
) -> Visit:
    assert case.label is not None
    image, mask, geometry = read_case(case, labels, spacing_mm=_spacing_given(case.label) or spacing_mm)
    assert mask is not None
    if (mask == IGNORE).any():
        problem, remedy = "it is annotated in part, so that its volume is not known", "Outline it as a whole."
        raise InputError(problem, case=case.id, file=case.label, remedy=remedy)
    rows = {row["label"]: row for row in _table(case.label)}
    if is_corrected(case.label):
        console.warn(f"{case.id}: the mask was corrected by hand; no interval of its volume is used")
        rows = {}
    if decision_on(case.label) == "rejected":
        console.warn(f"{case.id}: a reader has rejected the mask, so that its volume must not be used")
    volumes = {}
    for name in classes_of(labels):
        voxels = int(np.count_nonzero(mask_of(mask, labels, name)))
        volumes[name] = _volume(voxels * geometry.voxel_ml, voxels, rows.get(name), error_percent)
        if name in rows and rows[name]["voxels"] != voxels:
            console.warn(
                f"{case.id}: the mask holds {voxels} voxels of {name}, but volumes.csv beside it tells of "
                f"{rows[name]['voxels']}: it was changed since, and the interval of its volume is not used"
            )
    return Visit(case.id, image[0], mask, geometry, volumes)


def _spacing_given(mask: Path) -> Spacing | None:
    """Return the voxel size that the scan of a mask was predicted with, where a person had to give it."""
    try:
        record = read_stored(PredictionRecord, mask.with_name(f"{case_of(mask)}.json"))
    except InputError:  # the mask is not a predicted one
        return None
    return record.judgement.spacing_given_mm


def _volume(ml: float, voxels: int, row: Mapping[str, Any] | None, error_percent: float | None) -> Volume:
    if error_percent is not None:
        return Volume.within(ml, error_percent)
    if row is None or row["voxels"] != voxels:
        return Volume(ml)
    low, high = row["volume_low_ml"], row["volume_high_ml"]
    return Volume(ml, low, high) if isfinite(low) and isfinite(high) else Volume(ml)
