"""The validation cases of a trained fold: which must be predicted or scored, and what is kept of each.

A fold's weights know nothing of these cases. So a changed image is predicted again with the same weights, and a
corrected mask changes scores alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.dataset import Case, Dataset, Splits
from vmseg_auto.data.images.images import write_mask
from vmseg_auto.data.mask_deltas import read_mask_deltas, write_mask_deltas
from vmseg_auto.data.probabilities import read_probabilities, write_probabilities
from vmseg_auto.data.runs import FoldFolder, Run
from vmseg_auto.evaluation.confidence import Confidence, ValidationCase, ValidationRecord
from vmseg_auto.evaluation.evaluate import Evaluation, evaluate_pairs, read_pair
from vmseg_auto.evaluation.metrics.overlap import mean_dice
from vmseg_auto.evaluation.reliability import Reliability, reliability
from vmseg_auto.inference.thresholds import to_bytes
from vmseg_auto.models.fold_record import read_record
from vmseg_auto.planning.fingerprint import CaseSummary, Fingerprint
from vmseg_auto.planning.inference_budget import InferenceBudget, Trials
from vmseg_auto.selection.froc import Counts, count_lesions
from vmseg_auto.utils.atomic import read_stored, write_sealed

if TYPE_CHECKING:
    from vmseg_auto.inference.predictor import Prediction


class ValidationCases:
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
        trials, known = _read_known(folder)
        self.trials = replace(trials, dice={name: dice for name, dice in trials.dice.items() if name in self.cases})
        self.known = {name: case for name, case in known.items() if name in self.cases}
        self.gone = set(known) - set(self.cases)
        self._drops = _drops_channels(folder)

    @property
    def confidence(self) -> dict[str, Confidence]:
        """Case id -> its confidence, by the passes."""
        return {name: case.confidence for name, case in self.known.items()}

    @property
    def files(self) -> dict[str, tuple[Path, Path]]:
        """Case id -> its predicted and its reference mask."""
        return {name: (self._mask(name), case.label) for name, case in self.cases.items() if case.label is not None}

    def droppable(self, name: str) -> tuple[int, ...]:
        """Return the channels without which a case is predicted too: those that it has, but the first, of a fold that
        was trained to do without.
        """
        missing = self.content[name].missing
        further = range(1, len(self.dataset.channels)) if self._drops else ()
        return tuple(channel for channel in further if channel not in missing)

    def without(self, name: str) -> dict[int, Path]:
        """Return channel -> the mask of a case that was predicted without it."""
        ending = self.dataset.file_ending
        return {channel: self.folder.mask_without(name, channel, ending) for channel in self.droppable(name)}

    def unpredicted(self) -> list[Case]:
        """Return the cases whose image is not predicted, or has changed since, and those that have lost a file."""
        return [
            case
            for name, case in self.cases.items()
            if name not in self.known
            or self.known[name].image != self.content[name].image_content
            or not all(path.is_file() for path in self._predicted(name))
        ]

    def unscored(self) -> list[Case]:
        """Return the cases whose scores are missing, or were computed from other files: a mask that was corrected
        since.
        """
        return [
            case
            for name, case in self.cases.items()
            if name not in self.known
            or name not in self.trials.dice
            or self.known[name].scored != self.content[name].content
        ]

    def is_current(self) -> bool:
        """Return whether every case is predicted and scored as it is now, and nothing else stands in the scores."""
        scored = all((self.folder.validation / f"metrics.{kind}").is_file() for kind in ("csv", "json"))
        return scored and not (self.gone or self.unpredicted() or self.unscored())

    def try_budgets(self, budgets: Sequence[InferenceBudget]) -> None:
        """Forget what was tried with other budgets."""
        if self.trials.budgets != tuple(budgets):
            self.trials, self.known = Trials(tuple(budgets), {}), {}

    def store(
        self,
        case: Case,
        prediction: Prediction,
        others: Sequence[NDArray[np.uint8]],
        without: Mapping[int, NDArray[np.uint8]] | None = None,
    ) -> ValidationCase:
        """Write a case's mask and probabilities by all budget, and its masks by the other budgets.

        Args:
            case: whose they are.
            prediction: by all budget.
            others: masks by the other budgets.
            without: masks of the case without each of its droppable channels.

        Returns:
            What is to be kept of it; until then nothing vouches for these files.
        """
        assert prediction.probabilities is not None
        mask, deltas, probabilities, *_ = self._predicted(case.id)
        for channel, one in (without or {}).items():
            write_mask(self.without(case.id)[channel], one, prediction.geometry)
        write_mask(mask, prediction.mask, prediction.geometry)
        write_mask_deltas(deltas, [prediction.mask, *others])
        write_probabilities(probabilities, to_bytes(prediction.probabilities))
        return ValidationCase(self.content[case.id].image_content, prediction.confidence)

    def keep(self, case: Case, stored: ValidationCase) -> None:
        """Take down what was stored of a case, by this process or another, and score it."""
        self._note(case.id, stored)
        self.score(case)

    def score(self, case: Case) -> None:
        """Compare what is stored of a case with its mask as it is now."""
        predicted, reference = self.files[case.id]
        first, wanted, _ = read_pair(case.id, predicted, reference, self.dataset.mask_labels)
        masks = read_mask_deltas(self.folder.mask_deltas(case.id), first)
        dice = tuple(mean_dice(mask, wanted, self.dataset.labels) for mask in masks)
        self.trials = replace(self.trials, dice={**self.trials.dice, case.id: dice})
        write_sealed(self.folder.budgets, self.trials.to_json())
        self._note(case.id, replace(self.known[case.id], scored=self.content[case.id].content))

    def judge_probabilities(self) -> dict[str, tuple[Reliability, Counts]]:
        """Return case id -> how right its probabilities are, and lesions found and false ones at every threshold.

        Raises:
            InputError: a file of a case is missing or damaged.
        """
        labels = self.dataset.labels
        found = {}
        for case, (predicted, mask) in self.files.items():
            _, reference, geometry = read_pair(case, predicted, mask, self.dataset.mask_labels)
            soft = read_probabilities(self.folder.probabilities(case), case, len(labels) - 1, geometry.shape)
            found[case] = reliability(soft, reference, labels), count_lesions(soft, reference, labels)
        return found

    def remove_summary(self) -> None:
        """Remove the cross-validation's sum until it is made anew: nothing vouches for an interrupted run's scores."""
        (self.folder.validation / "metrics.json").unlink(missing_ok=True)

    def sum_up(self) -> Evaluation:
        """Score all cases into metrics.csv and metrics.json."""
        scores = evaluate_pairs(self.files, self.dataset.mask_labels, patients=self.dataset.patients)
        write_sealed(self.folder.validation_record, ValidationRecord(self.known).to_json())
        scores.save(self.folder.validation)
        return scores

    def _note(self, name: str, case: ValidationCase) -> None:
        self.known[name] = case
        write_sealed(self.folder.validation_record, ValidationRecord(self.known).to_json())

    def _mask(self, name: str) -> Path:
        return self.folder.mask(name, self.dataset.file_ending)

    def _predicted(self, name: str) -> tuple[Path, ...]:
        """Return the paths of a case's mask, of the masks by other budgets, of its probabilities, and of masks without
        a channel.
        """
        own = self._mask(name), self.folder.mask_deltas(name), self.folder.probabilities(name)
        return *own, *self.without(name).values()


def validation_cases(run: Run, fingerprint: Fingerprint, splits: Splits, dataset: Dataset) -> list[ValidationCases]:
    """Return the validation cases of each fold of a split."""
    return [ValidationCases(run.fold(n), fold.val, dataset, fingerprint) for n, fold in enumerate(splits.folds)]


def _drops_channels(folder: FoldFolder) -> bool:
    """Return whether a fold was trained to do without a channel; not of a cascade's second stage, whose first one's
    masks were made of all.
    """
    record = read_record(folder)
    return record is not None and record.config.channel_dropout > 0 and not record.first_stage


def _read_known(folder: FoldFolder) -> tuple[Trials, dict[str, ValidationCase]]:
    """Read what is known of the cases; nothing where one of the two files is lost: without the budgets, masks by others
    than the first mean nothing.
    """
    if not (folder.budgets.is_file() and folder.validation_record.is_file()):
        return Trials((), {}), {}
    trials = read_stored(Trials, folder.budgets)
    return trials, read_stored(ValidationRecord, folder.validation_record).cases
