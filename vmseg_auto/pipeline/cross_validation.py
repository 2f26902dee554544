"""What a trained fold is worth on the cases that it has not seen, and what all folds say together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.core.console import Console
from vmseg_auto.core.dataset import Case, Dataset, Splits
from vmseg_auto.core.effort import CANDIDATES, EXHAUSTIVE, choose_economy
from vmseg_auto.core.fingerprint import Fingerprint
from vmseg_auto.core.fold_record import listed
from vmseg_auto.core.model import ModelInfo
from vmseg_auto.core.workspace import FoldFolder, Run
from vmseg_auto.io.atomic import read_json, write_json
from vmseg_auto.io.checkpoints import load_checkpoint
from vmseg_auto.io.prepared import PreparedFolder
from vmseg_auto.ops.postprocessing import decide_postprocessing
from vmseg_auto.pipeline.held_out import HeldOutCases
from vmseg_auto.pipeline.trust import judge
from vmseg_auto.stages.evaluate import Evaluation, evaluate_pairs, read_pair
from vmseg_auto.stages.predict import Predictor

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def validate_fold(
    run: Run, folder: FoldFolder, held: HeldOutCases, prepared: Path, device: str, console: Console
) -> None:
    """Predict a finished fold's validation cases whole, on their own grids, and score them into validation/.

    What an interrupted run has done is kept. Only cases whose image is new or has changed are predicted, and only
    those whose mask has changed are scored again.

    Raises:
        VmsegError: a mask or score can't be written.
    """
    if not held.cases or held.is_current():
        return
    (folder.validation / "metrics.json").unlink(missing_ok=True)
    if missing := held.unpredicted():
        _predict_held_out(run, folder, held, missing, prepared, device, console)
    if again := held.unscored():
        console.say(f"Fold {folder.name}: scoring again: {listed([case.id for case in again])}.")
    for case in again:
        held.score(case)
    dice = _mean_dice(held.sum_up())
    console.say(f"Fold {folder.name}: Dice {dice:.3f}, mean over {len(held.cases)} validation cases.")


def _predict_held_out(
    run: Run, folder: FoldFolder, held: HeldOutCases, cases: list[Case], prepared: Path, device: str, console: Console
) -> None:
    info = replace(ModelInfo.from_json(read_json(run.model), str(run.model)), postprocessing=None)
    predictor = Predictor([load_checkpoint(folder.final)], info, device=device, exhaustive=True)
    efforts = CANDIDATES if predictor.ensemble.mirror_axes else (EXHAUSTIVE,)
    held.try_efforts(efforts)
    source = PreparedFolder(prepared)
    with console.progress(f"Validating fold {folder.name}", len(cases)) as progress:
        for case in cases:
            scan = source.load(case.id)
            witness = predictor.witness()
            masks = predictor.compare(scan.image, scan.geometry, scan.crop_box, efforts, witness)
            held.keep(case, masks, scan.geometry, witness.trust())
            held.score(case)
            progress.advance()


def finish_run(run: Run, fingerprint: Fingerprint, splits: Splits, dataset: Dataset, console: Console) -> None:
    """Once every fold is validated: sum the cross-validation up, decide on post-processing, on what is enough and on
    how far predictions can be trusted.

    The scores are those of the masks as predicted: post-processing is chosen on them, and would flatter them.
    """
    folds = [HeldOutCases(run.fold(number), fold.val, dataset, fingerprint) for number, fold in enumerate(splits.folds)]
    if not all(held.is_current() for held in folds):
        return
    files = {case: pair for held in folds for case, pair in held.files.items()}
    scores = evaluate_pairs(files, dataset.labels, patients=dataset.patients)
    scores.save(run.cross_validation)
    decision = decide_postprocessing(_masks(files, dataset.labels), dataset.labels)
    info = ModelInfo.from_json(read_json(run.model), str(run.model))
    economy = choose_economy([held.trials for held in folds])
    judged = judge({case: trust for held in folds for case, trust in held.trust.items()}, scores)
    judged.save(run, files, dataset.labels)
    info = replace(info, postprocessing=decision, economy=economy, calibration=judged.calibration)
    write_json(run.model, info.to_json())
    console.say(f"\nCross-validation of {run.name}\n{scores.text()}")
    console.say("\n".join(["Post-processing:", *(f"  - {reason}" for reason in decision.reasons)]))
    if economy:
        console.say("\n".join(["Faster prediction:", *(f"  - {reason}" for reason in economy.reasons)]))
    console.say("\n".join(["Trust:", *(f"  - {reason}" for reason in judged.reasons)]))
    console.say(f"All cases: {run.cross_validation / 'metrics.csv'}, {run.trust.name} and {run.label_check.name}")


def _masks(files: Mapping[str, tuple[Path, Path]], labels: Mapping[str, int]) -> Iterator[Pair]:
    """Predicted mask and reference, one case at a time."""
    for case, (predicted, wanted) in files.items():
        mask, reference, _ = read_pair(case, predicted, wanted, labels)
        yield mask, reference


def _mean_dice(scores: Evaluation) -> float:
    values = [float(value) for value in scores.table["dice"]]
    return sum(values) / len(values) if values else math.nan
