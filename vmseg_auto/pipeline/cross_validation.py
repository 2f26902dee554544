"""What a trained fold is worth on the cases that it has not seen, and what all folds say together."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from vmseg_auto.core.console import Console
from vmseg_auto.core.dataset import Case, Dataset, Splits
from vmseg_auto.core.effort import CANDIDATES, EXHAUSTIVE, Trials, choose_economy
from vmseg_auto.core.fingerprint import Fingerprint
from vmseg_auto.core.model import ModelInfo
from vmseg_auto.core.selection import PLAIN_THRESHOLD
from vmseg_auto.core.workspace import FoldFolder, Run, Workspace
from vmseg_auto.io.atomic import read_json, write_json
from vmseg_auto.io.checkpoints import load_checkpoint
from vmseg_auto.io.images import write_mask
from vmseg_auto.io.prepared import PreparedFolder
from vmseg_auto.io.probabilities import write_probabilities
from vmseg_auto.ops.metrics import mean_dice
from vmseg_auto.ops.thresholds import to_bytes
from vmseg_auto.pipeline.places import read_plan, read_record, stale_folds
from vmseg_auto.stages.evaluate import Evaluation, evaluate_pairs, read_pair
from vmseg_auto.stages.predict import Predictor


def validate_fold(
    run: Run, folder: FoldFolder, dataset: Dataset, prepared: Path, device: str, console: Console
) -> None:
    """Predict a finished fold's validation cases whole, on their own grids, and score them into validation/.

    Their masks are those of threshold 0.5 without post-processing; their probabilities are kept for the choice of both
    (pipeline/select.py). What an interrupted run has written is kept.

    Raises:
        VmsegError: a mask or score can't be written.
    """
    record = read_record(folder)
    if record is None or not record.val or is_validated(folder, record.val):
        return
    cases = {case.id: case for case in dataset.cases if case.id in record.val}
    info = ModelInfo.from_json(read_json(run.model), str(run.model))
    info = replace(info, postprocessing=None, threshold=PLAIN_THRESHOLD)
    predictor = Predictor([load_checkpoint(folder.final)], info, device=device, exhaustive=True)
    efforts = CANDIDATES if predictor.ensemble.mirror_axes else (EXHAUSTIVE,)
    trials = _trials(folder)
    if trials.efforts != efforts:
        trials = Trials(efforts, {})
    missing = [
        case
        for case in cases.values()
        if case.id not in trials.dice
        or not mask_path(folder, case, dataset).is_file()
        or not folder.probabilities(case.id).is_file()
    ]
    source = PreparedFolder(prepared)
    with console.progress(f"Validating fold {folder.name}", len(missing)) as progress:
        for case in missing:
            held = source.load(case.id)
            masks, probabilities = predictor.compare(held.image, held.geometry, held.crop_box, efforts)
            write_probabilities(folder.probabilities(case.id), to_bytes(probabilities))
            path = mask_path(folder, case, dataset)
            write_mask(path, masks[0], held.geometry)
            if case.label is not None:
                _, reference, _ = read_pair(case.id, path, case.label, dataset.labels)
                dice = tuple(mean_dice(mask, reference, dataset.labels) for mask in masks)
                trials = replace(trials, dice={**trials.dice, case.id: dice})
                write_json(folder.efforts, trials.to_json())
            progress.advance()
    scores = evaluate_pairs(_files(folder, list(cases.values()), dataset), dataset.labels, patients=dataset.patients)
    scores.save(folder.validation)
    console.say(f"Fold {folder.name}: Dice {_mean_dice(scores):.3f}, mean over {len(cases)} validation cases.")


def finish_run(
    run: Run, space: Workspace, fingerprint: Fingerprint, splits: Splits, dataset: Dataset, console: Console
) -> bool:
    """Once every fold is validated: sum the cross-validation up, and decide on how much of the ensemble is enough.

    The scores are those of the masks as predicted: threshold and post-processing are chosen on them, and would
    flatter them.

    Returns:
        Whether every fold is.
    """
    if lacking(run, space, fingerprint, splits):
        return False
    folders = [run.fold(number) for number in range(len(splits.folds))]
    files: dict[str, tuple[Path, Path]] = {}
    for folder, fold in zip(folders, splits.folds, strict=True):
        files |= _files(folder, [case for case in dataset.cases if case.id in fold.val], dataset)
    scores = evaluate_pairs(files, dataset.labels, patients=dataset.patients)
    scores.save(run.cross_validation)
    economy = choose_economy([_trials(folder) for folder in folders])
    info = ModelInfo.from_json(read_json(run.model), str(run.model))
    write_json(run.model, replace(info, economy=economy).to_json())
    console.say(f"\nCross-validation of {run.name}\n{scores.text()}")
    if economy:
        console.say("\n".join(["Faster prediction:", *(f"  - {reason}" for reason in economy.reasons)]))
    console.say(f"All cases: {run.cross_validation / 'metrics.csv'}")
    return True


def lacking(run: Run, space: Workspace, fingerprint: Fingerprint, splits: Splits) -> str | None:
    """In words, why the cross-validation of a run is not whole, or not of the workspace as it is; None where it is."""
    info = ModelInfo.from_json(read_json(run.model), str(run.model))
    if (info.labels, info.channels) != (fingerprint.labels, fingerprint.channels):
        return "it was trained for other labels or channels"
    planner, trainer = run.folder.parent.name, run.folder.name
    if not space.plan(planner).is_file():
        return f"the plan of {planner} is no longer in the workspace"
    numbers = range(len(splits.folds))
    stale = stale_folds(run, fingerprint, splits, read_plan(space, planner))
    again = f"vmseg_train {{}} --planner {planner} --trainer {trainer}"
    for number in numbers:
        folder = run.fold(number)
        record = read_record(folder)
        if record is None or not folder.final.is_file():
            return f"fold {number} is not trained; `{again.format(number)}` does it"
        if number in stale:
            return f"fold {number} is stale ({'; '.join(stale[number])}); `{again.format(number)} --fresh` mends it"
        if not is_validated(folder, record.val):
            return f"fold {number} is not wholly validated; `{again.format(number)}` does it"
    return None


def is_validated(folder: FoldFolder, cases: Iterable[str]) -> bool:
    """Whether a fold's scores stand, and the probabilities of all its validation cases."""
    scored = (folder.validation / "metrics.json").is_file()
    return scored and all(folder.probabilities(case).is_file() for case in cases)


def mask_path(folder: FoldFolder, case: Case, dataset: Dataset) -> Path:
    """The predicted mask of a validation case."""
    return folder.validation / f"{case.id}{dataset.file_ending}"


def _trials(folder: FoldFolder) -> Trials:
    """What was tried on a fold's validation cases so far."""
    if not folder.efforts.is_file():
        return Trials((), {})
    return Trials.from_json(read_json(folder.efforts), str(folder.efforts))


def _files(folder: FoldFolder, cases: list[Case], dataset: Dataset) -> dict[str, tuple[Path, Path]]:
    """Case -> its predicted and its reference mask."""
    return {case.id: (mask_path(folder, case, dataset), case.label) for case in cases if case.label is not None}


def _mean_dice(scores: Evaluation) -> float:
    values = [float(value) for value in scores.table["dice"]]
    return sum(values) / len(values) if values else math.nan
