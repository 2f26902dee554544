"""The validation cases of a trained fold: which must be predicted or scored, and what is kept of each.

A fold's weights know nothing of these cases. So a changed image is predicted again with the same weights, and a
corrected mask changes scores alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.core.console import Console
from vmseg_auto.core.dataset import Case, Dataset, Splits
from vmseg_auto.core.effort import Effort, Trials
from vmseg_auto.core.fingerprint import CaseSummary, Fingerprint
from vmseg_auto.core.fold_record import listed
from vmseg_auto.core.geometry import Geometry
from vmseg_auto.core.plan import Plan
from vmseg_auto.core.trust import HeldOut, HeldOutCase, Trust
from vmseg_auto.core.workspace import FoldFolder, Workspace
from vmseg_auto.io.atomic import read_json, write_json
from vmseg_auto.io.images import write_mask
from vmseg_auto.io.variants import read_variants, write_variants
from vmseg_auto.ops.metrics import mean_dice
from vmseg_auto.pipeline.places import stale_folds
from vmseg_auto.stages.evaluate import Evaluation, evaluate_pairs, read_pair


class HeldOutCases:
    """What stands in a fold's validation/, beside what should.

    Args:
        folder: of a trained fold.
        names: its validation cases.
        dataset: as it is now.
        fingerprint: the workspace's, of the same files.
    """

    def __init__(self, folder: FoldFolder, names: Sequence[str], dataset: Dataset, fingerprint: Fingerprint) -> None:
        self.folder, self.dataset = folder, dataset
        self.cases = {case.id: case for case in dataset.cases if case.id in set(names)}
        self.content: Mapping[str, CaseSummary] = fingerprint.cases
        known = _read_known(folder)
        self.known = {name: case for name, case in known.items() if name in self.cases}
        self.gone = set(known) - set(self.cases)
        trials = Trials((), {})
        if folder.efforts.is_file():
            trials = Trials.from_json(read_json(folder.efforts), str(folder.efforts))
        self.trials = replace(trials, dice={name: dice for name, dice in trials.dice.items() if name in self.cases})

    @property
    def trust(self) -> dict[str, Trust]:
        """Case id -> what the looks said of it."""
        return {name: case.trust for name, case in self.known.items()}

    @property
    def files(self) -> dict[str, tuple[Path, Path]]:
        """Case id -> its predicted and its reference mask."""
        return {name: (self._mask(name), case.label) for name, case in self.cases.items() if case.label is not None}

    def unpredicted(self) -> list[Case]:
        """Cases whose image was not predicted yet, or has changed since."""
        return [
            case
            for name, case in self.cases.items()
            if name not in self.known
            or self.known[name].image != self.content[name].image_content
            or not (self._mask(name).is_file() and self.folder.variants(name).is_file())
        ]

    def unscored(self) -> list[Case]:
        """Cases whose scores are missing, or were computed from other files: a mask that was corrected since."""
        return [
            case
            for name, case in self.cases.items()
            if name not in self.known
            or name not in self.trials.dice
            or self.known[name].scored != self.content[name].content
        ]

    def is_current(self) -> bool:
        """Whether every case is predicted and scored as it is now, and nothing else stands in the scores."""
        scored = (self.folder.validation / "metrics.json").is_file()
        return scored and not (self.gone or self.unpredicted() or self.unscored())

    def try_efforts(self, efforts: Sequence[Effort]) -> None:
        """Forget what was tried with other efforts."""
        if self.trials.efforts != tuple(efforts):
            self.trials, self.known = Trials(tuple(efforts), {}), {}

    def keep(self, case: Case, masks: Sequence[NDArray[np.uint8]], geometry: Geometry, trust: Trust) -> None:
        """Store a case's masks by each effort, the exhaustive one's first."""
        write_mask(self._mask(case.id), masks[0], geometry)
        write_variants(self.folder.variants(case.id), masks)
        self._note(case.id, HeldOutCase(self.content[case.id].image_content, trust))

    def score(self, case: Case) -> None:
        """Compare what is stored of a case with its mask as it is now."""
        predicted, reference = self.files[case.id]
        first, wanted, _ = read_pair(case.id, predicted, reference, self.dataset.labels)
        masks = read_variants(self.folder.variants(case.id), first)
        dice = tuple(mean_dice(mask, wanted, self.dataset.labels) for mask in masks)
        self.trials = replace(self.trials, dice={**self.trials.dice, case.id: dice})
        write_json(self.folder.efforts, self.trials.to_json())
        self._note(case.id, replace(self.known[case.id], scored=self.content[case.id].content))

    def sum_up(self) -> Evaluation:
        """Score all cases into metrics.csv and metrics.json."""
        scores = evaluate_pairs(self.files, self.dataset.labels, patients=self.dataset.patients)
        write_json(self.folder.held_out, HeldOut(self.known).to_json())
        scores.save(self.folder.validation)
        return scores

    def _note(self, name: str, case: HeldOutCase) -> None:
        self.known[name] = case
        write_json(self.folder.held_out, HeldOut(self.known).to_json())

    def _mask(self, name: str) -> Path:
        return self.folder.validation / f"{name}{self.dataset.file_ending}"


def _read_known(folder: FoldFolder) -> dict[str, HeldOutCase]:
    if not folder.held_out.is_file():
        return {}
    return HeldOut.from_json(read_json(folder.held_out), str(folder.held_out)).cases


def report_outdated(
    space: Workspace, dataset: Dataset, fingerprint: Fingerprint, splits: Splits, plan: Plan, console: Console
) -> None:
    """Name the trained folds whose weights still hold, but whose validation cases have changed since."""
    for run in space.runs():
        if run.folder.parent.name != plan.planner:
            continue
        stale = stale_folds(run, fingerprint, splits, plan)
        for folder in run.finished_folds():
            if folder.name == "all" or folder.name in stale:
                continue
            held = HeldOutCases(folder, splits.folds[int(folder.name)].val, dataset, fingerprint)
            if not held.is_current():
                console.say(f"{_what_is_due(held)}; `vmseg_train {folder.name}` does it without training ({run.name}).")


def _what_is_due(held: HeldOutCases) -> str:
    images = [case.id for case in held.unpredicted()]
    masks = [case.id for case in held.unscored() if case.id not in images]
    due = [f"{listed(images)} to be predicted"] if images else []
    if masks or not images:
        due.append(f"{listed(masks)} to be scored again" if masks else "its scores to be summed up again")
    return f"Fold {held.folder.name} keeps its weights, with {' and '.join(due)}"
