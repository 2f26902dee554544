"""Training cases of a dataset as cases to be reviewed: their order, and a decision on one of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.cases import read_case, read_dataset
from vmseg_auto.data.dataset import Case, Splits
from vmseg_auto.data.dataset_reviews import DatasetReviews
from vmseg_auto.data.images.images import write_mask
from vmseg_auto.data.images.segmentations import read_labels
from vmseg_auto.data.mask_files import mask_sha256
from vmseg_auto.data.probabilities import read_probabilities
from vmseg_auto.data.reviews import Review, review_of
from vmseg_auto.data.runs import FoldFolder, Run
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.models.selection_record import Selection
from vmseg_auto.review.cases import (
    Cases,
    Entry,
    Given,
    Opened,
    Overlay,
    decided_mask,
    require_place,
    require_unchanged,
    reviewed,
)
from vmseg_auto.utils.atomic import read_stored
from vmseg_auto.utils.console import Console, Silent
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.labels import IGNORE, IGNORE_LABEL, refuse_regions
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.utils.locks import MOMENT_S
from vmseg_auto.utils.text import listed
from vmseg_auto.workflows.add_case import next_steps
from vmseg_auto.workflows.locking import output_lock, workspace_lock
from vmseg_auto.workflows.run_tables import read_label_check

_COMMAND = "vmseg_review"
_PARTLY = "What has the label ignore was not annotated, and counts for nothing."
_CHANGING = ("corrected", "no lesion")


class TrainingCases(Cases):
    """The training cases of a dataset, those first whose mask its model contradicts most (label_check.csv).

    Args:
        dataset: its folder.
        space: what was made from it; need not exist.
        left: what of the dataset is not used is noted here.
        console: is told which run's label check orders the cases.

    Raises:
        InputError: there is no such dataset, or no case in it.
        DatasetError: the dataset can't be used.
    """

    def __init__(self, dataset: Path, space: Workspace, left: Inventory, console: Console) -> None:
        self._reviews = DatasetReviews.beside(dataset)
        super().__init__(self._reviews.folder)
        self._dataset, self._space = dataset, space
        self._data = read_dataset(dataset)
        refuse_regions(self._data.labels, "a review of masks")
        left.add_all(self._data.left_out)
        left.require_nothing()
        self._run = _run_of(space, console)
        self._told = {row["case"]: row for row in read_label_check(self._run)} if self._run else {}
        self._splits = read_stored(Splits, space.splits) if self._run and space.splits.is_file() else None
        ranks = {case: row["rank"] for case, row in self._told.items()}
        self._cases = sorted(self._data.cases, key=lambda one: (ranks.get(one.id, math.inf), one.id))
        self._entries = {key: self._first_entry(one) for key, one in enumerate(self._cases)}
        self._changed: dict[str, None] = {}

    @property
    def entries(self) -> list[Entry]:
        return list(self._entries.values())

    def case(self, key: int) -> str:
        return self._at(key).id

    def open(self, key: int) -> Opened:
        case = self._at(key)
        image, mask, geometry = read_case(case, self._data.mask_labels)
        assert mask is not None, "training cases have masks"
        told = self._told.get(case.id)
        predicted, notes = self._prediction(case, geometry)
        opened = Opened(
            case=case.id,
            labels=self._labels,
            image=image[0],
            geometry=geometry,
            mask=mask,
            reference=mask,
            reference_name="the mask in the dataset",
            predicted=predicted,
            reviews=self._reviews.read(case.id).reviews,
            notes=(*notes, *([_PARTLY] * bool((mask == IGNORE).any()))),
            overlays=tuple(self._overlays(case, geometry)),
            start=told["slice"] - 1 if told and told["slice"] and told["slice"] <= mask.shape[0] else None,
        )
        classes = self._data.labels
        volumes = {name: int(np.count_nonzero(mask == v)) * geometry.voxel_ml for name, v in classes.items() if v}
        self._entries[key] = self._entry(case, opened.review, volumes)
        return opened

    def save(self, key: int, given: Given, drawn: NDArray[np.uint8]) -> bool:
        with ExitStack() as held:
            held.enter_context(output_lock(self._dataset, _COMMAND, Silent()))
            if self._space.root.is_dir():
                held.enter_context(workspace_lock(self._space, _COMMAND, Silent(), MOMENT_S))
            opened = self.open(key)
            require_unchanged(opened, given)
            mask = decided_mask(opened, given, drawn)
            review = reviewed(opened, given, mask)
            self._write(self._at(key), opened, mask, review)
            self._entries[key] = self._entry(self._at(key), review, review.volumes_ml)
        return False

    def conclusion(self) -> str:
        words = []
        if self._changed:
            changed = listed(list(self._changed))
            words.append(f"Masks of the dataset have changed ({changed}): {next_steps(self._dataset)}")
        if rejected := [entry.case for entry in self.entries if entry.state == "rejected"]:
            words.append(f"Rejected, and still trained on: {listed(rejected)}. Take their scans and masks out.")
        return "\n".join(words)

    def _write(self, case: Case, opened: Opened, mask: NDArray[np.uint8], review: Review) -> None:
        """Write a decision. A mask that is replaced is kept first: wherever this is cut short, none is lost."""
        assert case.label is not None
        history = self._reviews.read(case.id)
        if review.mask_sha256 != opened.base:
            history = self._reviews.keep(history, case.label, opened.base)
            write_mask(case.label, self._as_stored(mask), opened.geometry)
            self._changed[case.id] = None
        self._reviews.write(replace(history, reviews=(*history.reviews, review)))

    @property
    def _labels(self) -> dict[str, int]:
        """Label -> value, as masks hold it once they are read."""
        return self._data.labels if self._data.ignore is None else {**self._data.labels, IGNORE_LABEL: IGNORE}

    def _as_stored(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        ignore = self._data.ignore
        return mask if ignore is None else np.where(mask == IGNORE, np.uint8(ignore), mask)

    def _prediction(self, case: Case, geometry: Geometry) -> tuple[NDArray[np.uint8] | None, tuple[str, ...]]:
        """Return the mask by the fold that was not trained on the case, and what is to be said of it."""
        fold = self._fold(case.id)
        path = fold.mask(case.id, self._data.file_ending) if fold else None
        if path is None or not path.is_file():
            return None, ()
        try:
            predicted, grid = read_labels(path, self._data.labels, geometry, case.id)
        except InputError as error:
            return None, (f"Its prediction can't be shown: {error.problem}.",)
        if differences := grid.differences(geometry):
            return None, (f"Its prediction can't be shown: {'; '.join(differences)}.",)
        return predicted, ("The prediction is by a fold that was not trained on this patient.",)

    def _overlays(self, case: Case, geometry: Geometry) -> Iterator[Overlay]:
        """Yield the probabilities by the fold that was not trained on the case."""
        fold = self._fold(case.id)
        path = fold.probabilities(case.id) if fold else None
        if path is None or not path.is_file():
            return
        labels = sorted((value, name) for name, value in self._data.labels.items() if value)
        for number, (_, name) in enumerate(labels):
            yield Overlay(f"probability of {name}", partial(_probability, path, case.id, len(labels), number, geometry))

    def _fold(self, case: str) -> FoldFolder | None:
        folds = self._splits.folds if self._splits else ()
        number = next((number for number, fold in enumerate(folds) if case in fold.val), None)
        return self._run.fold(number) if self._run and number is not None else None

    def _first_entry(self, case: Case) -> Entry:
        """Describe a case without reading its mask, unless somebody has decided on one."""
        try:
            history = self._reviews.read(case.id)
            if not history.reviews:
                return self._entry(case, None, None)
            assert case.label is not None
            mask, _ = read_labels(case.label, self._data.mask_labels, None, case.id)
            review = review_of(history.reviews, mask_sha256(mask))
        except VmsegError as error:
            return Entry(case.id, "", problem=str(error))
        return self._entry(case, review, review.volumes_ml if review else None)

    def _entry(self, case: Case, review: Review | None, volumes_ml: dict[str, float] | None) -> Entry:
        told = self._told.get(case.id)
        outdated = review is not None and review.decision in _CHANGING
        return Entry.of(case.id, review, _hint(told) if told and not outdated else "", volumes_ml)

    def _at(self, key: int) -> Case:
        require_place(key, len(self._cases))
        return self._cases[key]


def _probability(path: Path, case: str, labels: int, number: int, geometry: Geometry) -> NDArray[np.uint8]:
    probabilities: NDArray[np.uint8] = read_probabilities(path, case, labels, geometry.shape)[number]
    return probabilities


def _run_of(space: Workspace, console: Console) -> Run | None:
    """Return the run whose label check orders the cases: the one that predicts, else the first; None where none has."""
    runs = {run.name: run for run in space.runs() if run.label_check.is_file()}
    if len(runs) < 2:
        return next(iter(runs.values()), None)
    chosen: tuple[str, ...] = ()
    with suppress(InputError):  # the order is a help, and no result
        chosen = read_stored(Selection, space.selection).chosen.runs
    name = next((name for name in chosen if name in runs), min(runs))
    console.say(f"The cases are ordered by the label check of {name}.")
    return runs[name]


def _hint(row: dict[str, Any]) -> str:
    return "; ".join(_words(row))


def _words(row: dict[str, Any]) -> Iterator[str]:
    expected = row["expected_dice"]
    yield row["what"] + (f" (slice {row['slice']})" if row["slice"] else "")
    yield f"Dice {row['dice']:.2f}" + ("" if math.isnan(expected) else f", {expected:.2f} expected")
