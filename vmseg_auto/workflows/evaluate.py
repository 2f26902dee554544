"""Score a folder of masks against references."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path

from vmseg_auto.data.dataset_json import read_description
from vmseg_auto.data.mask_files import case_of, decision_on, is_corrected, recorded
from vmseg_auto.data.naming import note_unpaired
from vmseg_auto.evaluation.evaluate import Evaluation, find_masks
from vmseg_auto.evaluation.evaluate import evaluate as score_masks
from vmseg_auto.evaluation.reader_agreement import compare_readers
from vmseg_auto.utils.atomic import read_stored
from vmseg_auto.utils.console import Console, Silent
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.folders import is_same
from vmseg_auto.utils.left_out import Inventory, telling_left_out
from vmseg_auto.workflows.locking import output_lock
from vmseg_auto.workflows.paths import PathLike, accepted_patients, places
from vmseg_auto.workflows.prediction_record import PredictionRecord
from vmseg_auto.workflows.seen_scans import OTHER_SCANS


@telling_left_out
def evaluate(
    predictions: PathLike,
    references: PathLike,
    output: PathLike | None = None,
    *,
    second_reader: PathLike | None = None,
    tolerance_mm: float = 1.0,
    workspace: PathLike | None = None,
    jobs: int | None = None,
    left: Inventory | None = None,
    console: Console | None = None,
) -> Evaluation:
    """Score every reference's prediction, and write the scores as CSV and JSON.

    Label names and patients are those of the dataset.json beside the references' folder, where there is one, and
    patients those of the workspace, where `--visits join` has said so. Without dataset.json labels are those of the
    model that predicted, and without its records those that the references hold.

    Args:
        predictions, references: folders of masks; files of one case have the same name.
        output: the CSV; PREDICTIONS/metrics.csv unless given. The JSON lies beside it.
        second_reader: folder of another reader's masks of the same cases. Then the readers' own agreement is written
            beside the model's (evaluation/reader_agreement.py).
        tolerance_mm: of the surface Dice (NSD).
        workspace: its folder; `vmseg` beside the references' folder unless given.
        jobs: threads.
        left: what of the folders is not used is noted here; a strict one ends the work before it begins.
        console: where words and progress go.

    Raises:
        InputError: no masks, missing predictions, masks on different grids, or another command
            that writes to the output's folder.
    """
    console = console or Silent()
    predicted, wanted = Path(predictions), Path(references)
    masks = [("the predictions", predicted), ("the references", wanted)]
    masks += [("the second reader's masks", Path(second_reader))] if second_reader is not None else []
    for (one, first), (other, second) in combinations(masks, 2):
        if is_same(first, second):
            console.warn(f"{one} and {other} are the same folder: each mask is compared with itself")
    stated = wanted.parent / "dataset.json"
    given = read_description(stated) if stated.is_file() else None
    patients = accepted_patients(places(wanted.parent, workspace)[1]) | (given.patients if given else {})
    target = Path(output) if output is not None else predicted
    threads = jobs or os.cpu_count() or 1
    readers = None
    place = target if target.is_dir() else target.parent
    left = left or Inventory()
    for key in given.unused if given else ():
        left.add("key", key, "unknown in dataset.json")
    with output_lock(place, "vmseg_evaluate", console):
        found = find_masks(predicted)
        labels = given.labels if given else _labels_of(found.values())
        if second_reader is not None:
            _note_unpaired(find_masks(wanted), find_masks(Path(second_reader), left), left)
        with console.progress("Scoring", len(find_masks(wanted))) as progress:
            scores = score_masks(predicted, wanted, labels, tolerance_mm, patients, threads, progress.advance, left)
        scored = [case for case in sorted(find_masks(wanted)) if case in found]
        about_masks = *_corrected({case: found[case] for case in scored}), *_known_to_the_model(predicted, scored)
        scores = replace(scores, notes=(*scores.notes, *about_masks))
        table, about = scores.save(target)
        if second_reader is not None:
            readers = compare_readers(predicted, wanted, Path(second_reader), labels, tolerance_mm, patients, threads)
            both, _ = readers.save(table)
    console.say(scores.text())
    console.say(f"All cases: {table}; summary and definitions: {about}.")
    if readers is not None:
        console.say(readers.text())
        console.say(f"Model and readers, all cases: {both}; summary: {both.with_suffix('.json')}.")
    return scores


def _labels_of(masks: Iterable[Path]) -> dict[str, int] | None:
    """Return the labels of the model that predicted these masks; None where no record tells, or several differ."""
    written = [recorded(mask.parent, case_of(mask)) for mask in masks]
    told = [one.labels for one in written if one is not None]
    return told[0] if told and all(labels == told[0] for labels in told) else None


def _corrected(masks: Mapping[str, Path]) -> Iterator[str]:
    """Yield in words which of these masks were corrected by hand after they were predicted, or rejected."""
    if corrected := [case for case, mask in masks.items() if is_corrected(mask)]:
        yield (
            f"Corrected by hand after they were predicted, so that their scores are not the model's: "
            f"{', '.join(corrected)}."
        )
    if rejected := [case for case, mask in masks.items() if decision_on(mask) == "rejected"]:
        yield f"Rejected by a reader, who has not corrected them: {', '.join(rejected)}."


def _known_to_the_model(predictions: Path, cases: Iterable[str]) -> Iterator[str]:
    """Yield in words which of these scans the model that predicted them was trained on, by each mask's CASE.json."""
    told: dict[bool | None, list[str]] = {}
    for case in cases:
        with contextlib.suppress(InputError):  # masks from elsewhere have no such file
            told.setdefault(read_stored(PredictionRecord, predictions / f"{case}.json").in_training, []).append(case)
    if True in told:
        yield (
            f"The model was trained on these very scans, so that their scores are too good: {', '.join(told[True])}. "
            "Score the others by themselves: take these references out of the folder."
        )
    if None in told:
        yield f"Whether the model was trained on these scans is not known: {', '.join(told[None])}."
    if False in told:
        yield f"Scans that the model was not trained on, by the hash of their files: {len(told[False])}. {OTHER_SCANS}"


def _note_unpaired(references: Mapping[str, Path], second: Mapping[str, Path], left: Inventory) -> None:
    """Note what only one of two readers has outlined: their comparison leaves it out."""
    alone = {case: path for case, path in references.items() if case not in second}
    note_unpaired("reference", alone, second, "which the second reader has not outlined", left)
    others = {case: path for case, path in second.items() if case not in references}
    note_unpaired("mask", others, references, "of the second reader without a reference", left)
