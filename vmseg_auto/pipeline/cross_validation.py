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
from vmseg_auto.core.effort import CANDIDATES, EXHAUSTIVE, Trials, choose_economy
from vmseg_auto.core.model import ModelInfo
from vmseg_auto.core.workspace import FoldFolder, Run
from vmseg_auto.io.atomic import read_json, write_json
from vmseg_auto.io.checkpoints import load_checkpoint
from vmseg_auto.io.images import write_mask
from vmseg_auto.io.prepared import PreparedFolder
from vmseg_auto.ops.metrics import mean_dice
from vmseg_auto.ops.postprocessing import decide_postprocessing
from vmseg_auto.pipeline.places import read_record
from vmseg_auto.stages.evaluate import Evaluation, evaluate_pairs, read_pair
from vmseg_auto.stages.predict import Predictor

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def validate_fold(
    run: Run, folder: FoldFolder, dataset: Dataset, prepared: Path, device: str, console: Console
) -> None:
    """Predict a finished fold's validation cases whole, on their own grids, and score them into validation/.

    Masks that an interrupted run has written are kept.

    Raises:
        VmsegError: a mask or score can't be written.
    """
    record = read_record(folder)
    if record is None or not record.val or (folder.validation / "metrics.json").is_file():
        return
    cases = {case.id: case for case in dataset.cases if case.id in record.val}
    info = replace(ModelInfo.from_json(read_json(run.model), str(run.model)), postprocessing=None)
    predictor = Predictor([load_checkpoint(folder.final)], info, device=device, exhaustive=True)
    efforts = CANDIDATES if predictor.ensemble.mirror_axes else (EXHAUSTIVE,)
    trials = _trials(folder)
    if trials.efforts != efforts:
        trials = Trials(efforts, {})
    missing = [c for c in cases.values() if c.id not in trials.dice or not _mask_path(folder, c, dataset).is_file()]
    source = PreparedFolder(prepared)
    with console.progress(f"Validating fold {folder.name}", len(missing)) as progress:
        for case in missing:
            held = source.load(case.id)
            masks = predictor.compare(held.image, held.geometry, held.crop_box, efforts)
            path = _mask_path(folder, case, dataset)
            write_mask(path, masks[efforts.index(EXHAUSTIVE)], held.geometry)
            if case.label is not None:
                _, reference, _ = read_pair(case.id, path, case.label, dataset.labels)
                dice = tuple(mean_dice(mask, reference, dataset.labels) for mask in masks)
                trials = replace(trials, dice={**trials.dice, case.id: dice})
                write_json(folder.efforts, trials.to_json())
            progress.advance()
    scores = evaluate_pairs(_files(folder, list(cases.values()), dataset), dataset.labels, patients=dataset.patients)
    scores.save(folder.validation)
    console.say(f"Fold {folder.name}: Dice {_mean_dice(scores):.3f}, mean over {len(cases)} validation cases.")


def finish_run(run: Run, splits: Splits, dataset: Dataset, console: Console) -> None:
    """Once every fold is validated: sum the cross-validation up, decide on post-processing and on what is enough.

    The scores are those of the masks as predicted: post-processing is chosen on them, and would flatter them.
    """
    folders = [run.fold(number) for number in range(len(splits.folds))]
    if not all((folder.validation / "metrics.json").is_file() for folder in folders):
        return
    files: dict[str, tuple[Path, Path]] = {}
    for folder, fold in zip(folders, splits.folds, strict=True):
        files |= _files(folder, [case for case in dataset.cases if case.id in fold.val], dataset)
    scores = evaluate_pairs(files, dataset.labels, patients=dataset.patients)
    scores.save(run.cross_validation)
    decision = decide_postprocessing(_masks(files, dataset.labels), dataset.labels)
    info = ModelInfo.from_json(read_json(run.model), str(run.model))
    economy = choose_economy([_trials(folder) for folder in folders])
    write_json(run.model, replace(info, postprocessing=decision, economy=economy).to_json())
    console.say(f"\nCross-validation of {run.name}\n{scores.text()}")
    console.say("\n".join(["Post-processing:", *(f"  - {reason}" for reason in decision.reasons)]))
    if economy:
        console.say("\n".join(["Faster prediction:", *(f"  - {reason}" for reason in economy.reasons)]))
    console.say(f"All cases: {run.cross_validation / 'metrics.csv'}")


def _trials(folder: FoldFolder) -> Trials:
    """What was tried on a fold's validation cases so far."""
    if not folder.efforts.is_file():
        return Trials((), {})
    return Trials.from_json(read_json(folder.efforts), str(folder.efforts))


def _mask_path(folder: FoldFolder, case: Case, dataset: Dataset) -> Path:
    return folder.validation / f"{case.id}{dataset.file_ending}"


def _files(folder: FoldFolder, cases: list[Case], dataset: Dataset) -> dict[str, tuple[Path, Path]]:
    """Case -> its predicted and its reference mask."""
    return {case.id: (_mask_path(folder, case, dataset), case.label) for case in cases if case.label is not None}


def _masks(files: Mapping[str, tuple[Path, Path]], labels: Mapping[str, int]) -> Iterator[Pair]:
    """Predicted mask and reference, one case at a time."""
    for case, (predicted, wanted) in files.items():
        mask, reference, _ = read_pair(case, predicted, wanted, labels)
        yield mask, reference


def _mean_dice(scores: Evaluation) -> float:
    values = [float(value) for value in scores.table["dice"]]
    return sum(values) / len(values) if values else math.nan
