"""What a trained fold is worth on the cases that it has not seen, and what all folds say together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from vmseg_auto.data.dataset import Case, Dataset, Splits
from vmseg_auto.data.preprocessed import PreprocessedFolder
from vmseg_auto.data.runs import Run
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.evaluation.confidence import ValidationCase
from vmseg_auto.evaluation.evaluate import Evaluation, evaluate_pairs
from vmseg_auto.inference.predictor import Predictor
from vmseg_auto.models.fold_record import read_record
from vmseg_auto.models.load import load_fold
from vmseg_auto.models.model import ModelInfo
from vmseg_auto.models.selection_record import PLAIN_THRESHOLD
from vmseg_auto.planning.fingerprint import Fingerprint
from vmseg_auto.planning.inference_budget import CANDIDATES, EXHAUSTIVE, choose_budget
from vmseg_auto.selection.froc import Froc
from vmseg_auto.utils.atomic import read_stored, write_sealed
from vmseg_auto.utils.console import Console
from vmseg_auto.utils.distributed import ALONE, Ranks
from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.utils.logs import LOGGER
from vmseg_auto.utils.text import counted, listed
from vmseg_auto.workflows.confidence import judge
from vmseg_auto.workflows.first_stage import first_stage_hash
from vmseg_auto.workflows.missing_channels import dice_by_missing, without_channel
from vmseg_auto.workflows.paths import read_plan, record_now, train_command
from vmseg_auto.workflows.validation_cases import ValidationCases, validation_cases

T = TypeVar("T")


def validate_fold(
    run: Run, fold: ValidationCases, preprocessed: Path, device: str, console: Console, ranks: Ranks = ALONE
) -> list[VmsegError]:
    """Predict a finished fold's validation cases whole, on their own grids, and score them into validation/.

    Their masks are those of threshold 0.5 without post-processing; their probabilities are kept for the choice of both
    (workflows/select.py). What an interrupted run has done is kept: only cases whose image is new or has changed are
    predicted, and only those whose mask has changed are scored again. Ranks share the cases; the first takes down what
    they find.

    Returns:
        What went wrong with single cases; the others are done, but not summed up.

    Raises:
        VmsegError: what concerns no single case went wrong.
    """
    if ranks.on_main(lambda: not fold.cases or fold.is_current()):
        return []
    ranks.on_main(fold.remove_summary)
    failed: list[VmsegError] = []
    if cases := ranks.on_main(fold.unpredicted):
        failed = _predict_validation(run, fold, cases, preprocessed, device, console, ranks)
    return ranks.on_main(lambda: _score(fold, failed, console))


def _score(fold: ValidationCases, failed: Sequence[VmsegError], console: Console) -> list[VmsegError]:
    """Score what is left to score, and sum up unless a case has failed; gives the errors of all that have."""
    lost = {error.case for error in failed}
    again = [case for case in fold.unscored() if case.id not in lost]
    if again:
        console.say(f"Fold {fold.folder.name}: scoring again: {listed([case.id for case in again])}.")
    tried = [_attempt(fold.score, case) for case in again]
    if errors := [*failed, *(error for error in tried if isinstance(error, VmsegError))]:
        console.warn(f"fold {fold.folder.name}: {len(errors)} of {counted(len(fold.cases), 'validation case')} failed")
        return errors
    dice = _mean_dice(fold.sum_up())
    console.say(f"Fold {fold.folder.name}: Dice {dice:.3f}, mean over {counted(len(fold.cases), 'validation case')}.")
    return []


def _attempt(work: Callable[[Case], T], case: Case) -> T | VmsegError:
    """Return what `work` makes of a case, or what went wrong: one bad case costs that case alone."""
    try:
        return work(case)
    except VmsegError as error:
        error.case = error.case or case.id
        return error
    except (ArithmeticError, LookupError, MemoryError, RuntimeError, ValueError) as error:
        LOGGER.error("case %s", case.id, exc_info=error)
        return VmsegError(f"unexpected {type(error).__name__}: {error}", case=case.id, file=case.file)


def finish_run(
    run: Run, space: Workspace, fingerprint: Fingerprint, splits: Splits, dataset: Dataset, console: Console
) -> bool:
    """Sum the cross-validation up once every fold is validated, and decide on how much of the ensemble is enough and on
    how far predictions can be trusted.

    The scores are those of the masks as predicted: threshold and post-processing are chosen on them, and would
    flatter them.

    Returns:
        Whether every fold is.
    """
    if why := lacking(run, space, fingerprint, splits, dataset):
        if any(fold.name != "all" for fold in run.finished_folds()):
            console.say(f"The cross-validation is summed up once all folds are done: {why}.")
        return False
    folds = validation_cases(run, fingerprint, splits, dataset)
    files = {case: pair for fold in folds for case, pair in fold.files.items()}
    scores = evaluate_pairs(files, dataset.mask_labels, patients=dataset.patients)
    scores.save(run.cross_validation)
    by_missing = dice_by_missing(folds, dataset)
    by_missing.save(run)
    inference_budget = choose_budget([fold.trials for fold in folds])
    confidence = {case: one for fold in folds for case, one in fold.confidence.items()}
    probabilities = {case: one for fold in folds for case, one in fold.judge_probabilities().items()}
    judged = judge(confidence, scores, {case: right for case, (right, _) in probabilities.items()})
    judged.save(run, files, dataset.mask_labels)
    lesions = {case: counts for case, (_, counts) in probabilities.items()}
    Froc.of(dataset.labels, lesions, dataset.patients).save(run)
    info = read_stored(ModelInfo, run.model)
    write_sealed(run.model, replace(info, inference_budget=inference_budget, calibration=judged.calibration).to_json())
    console.say(f"\nCross-validation of {run.name}\n{scores.text()}")
    if told := by_missing.text():
        console.say(told)
    if inference_budget:
        console.say("\n".join(["Faster prediction:", *(f"  - {reason}" for reason in inference_budget.reasons)]))
    console.say("\n".join(["Confidence:", *(f"  - {reason}" for reason in judged.reasons)]))
    console.say(f"All cases: {run.cross_validation / 'metrics.csv'}, {run.confidence.name} and {run.label_check.name}")
    console.say(f"Lesions found and false ones, at every threshold: {run.froc.name}")
    return True


def lacking(run: Run, space: Workspace, fingerprint: Fingerprint, splits: Splits, dataset: Dataset) -> str | None:
    """Describe why the cross-validation of a run is not whole, or not of the cases as they are; None where it is.

    Folds may be stale: what they say of cases that they have never seen is what the weights that predict are worth.
    """
    info = read_stored(ModelInfo, run.model)
    planner = run.folder.parent.name
    if not space.plan(planner).is_file():
        return f"the plan of {planner} is no longer in the workspace"
    plan = read_plan(space, planner)
    if untrained := run.unfinished_folds(len(splits.folds)):
        which = f"fold {untrained[0]} is" if len(untrained) == 1 else f"folds {listed([*map(str, untrained)])} are"
        return f"{which} not trained; `{train_command(space, run, untrained, plan)}` does it"
    masks = first_stage_hash(space, plan, info.trainer, splits, dataset)
    for fold in validation_cases(run, fingerprint, splits, dataset):
        number, record, current = fold.folder.name, read_record(fold.folder), fold.is_current()
        again = train_command(space, run, [number], plan)
        if record is None:
            return f"it is not recorded what fold {number} was trained on; `{again} --fresh` mends it"
        now = record_now(fingerprint, splits, plan, record.config, number)
        if old := record.old_names(now):
            return f"fold {number} has old names ({'; '.join(old)}); `{again}` renews them without training"
        if record.first_stage != masks:
            return f"fold {number} is stale (its first stage has other masks now); `{again} --fresh` mends it"
        if stale := record.conflicts(now) if current else record.data_differences(now):
            return f"fold {number} is stale ({'; '.join(stale)}); `{again} --fresh` mends it"
        if not current:
            return f"fold {number} is not wholly validated; `{again}` does it"
    if (info.labels, info.channels) != (fingerprint.labels, fingerprint.channels):
        command = train_command(space, run, range(len(splits.folds)), plan)
        return f"it was trained for other labels or channels; `{command}` says what is due"
    return None


def _predict_validation(
    run: Run,
    fold: ValidationCases,
    cases: Sequence[Case],
    preprocessed: Path,
    device: str,
    console: Console,
    ranks: Ranks,
) -> list[VmsegError]:
    """Predict these cases and take down what is found; gives the errors of those that failed."""
    info = read_stored(ModelInfo, run.model)
    info = replace(info, postprocessing=None, threshold=PLAIN_THRESHOLD, lesion_filter=None)
    checkpoints = [load_fold(fold.folder, info)]
    predictor = Predictor(checkpoints, info, device=device, exhaustive=True, console=console)
    budgets = CANDIDATES if predictor.ensemble.mirror_axes else (EXHAUSTIVE,)
    fold.try_budgets(budgets)
    source = PreprocessedFolder(preprocessed)

    def predicted(case: Case) -> ValidationCase:
        scan = source.load(case.id)
        grid = scan.geometry, scan.crop_box
        without = {
            channel: predictor.compare(without_channel(scan.image, channel), *grid, (EXHAUSTIVE,))[0].mask
            for channel in fold.droppable(case.id)
        }
        return fold.store(case, *predictor.compare(scan.image, *grid, budgets), without)

    def kept(stored: ValidationCase, case: Case) -> None:
        fold.keep(case, stored)

    failed: list[VmsegError] = []
    with console.progress(f"Validating fold {fold.folder.name}", len(cases)) as progress:
        for case, stored in ranks.each(partial(_attempt, predicted), cases):
            if isinstance(stored, ValidationCase):
                error = ranks.on_main(partial(_attempt, partial(kept, stored), case))
            else:
                error = stored
            failed += [error] if error is not None else []
            progress.advance()
    return failed


def _mean_dice(scores: Evaluation) -> float:
    values = [float(value) for value in scores.table["dice"]]
    return sum(values) / len(values) if values else math.nan
