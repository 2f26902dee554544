"""Segment scans: read ahead, predict, write behind."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.cases import content_hash, read_case
from vmseg_auto.data.dataset import Case
from vmseg_auto.data.dicom.series import Choice
from vmseg_auto.data.dicom.which_series import show_series
from vmseg_auto.data.runs import FoldName, chosen_folds
from vmseg_auto.data.scans import find_scans
from vmseg_auto.data.sources import read_sources
from vmseg_auto.inference.predictor import Precision, Prediction, Predictor
from vmseg_auto.models.selection_record import PLAIN_THRESHOLD
from vmseg_auto.planning.inference_budget import EXHAUSTIVE
from vmseg_auto.utils.console import Console, Silent
from vmseg_auto.utils.devices import describe
from vmseg_auto.utils.distributed import joined
from vmseg_auto.utils.errors import SomeCasesFailedError, VmsegError
from vmseg_auto.utils.geometry import Geometry, Spacing, require_spacing
from vmseg_auto.utils.json_codec import digest
from vmseg_auto.utils.left_out import Inventory, telling_left_out
from vmseg_auto.workflows.conclusion import Conclusion
from vmseg_auto.workflows.disk import require_prediction_space
from vmseg_auto.workflows.ensemble import ModelEnsemble, models_of, note_other_folds
from vmseg_auto.workflows.locking import output_turn
from vmseg_auto.workflows.paths import PathLike
from vmseg_auto.workflows.prediction_record import InputSource, PredictionRecord
from vmseg_auto.workflows.prediction_writer import PredictionWriter, chosen_formats, made_by
from vmseg_auto.workflows.seen_scans import seen_by_all


@telling_left_out
def predict(
    inputs: PathLike,
    output: PathLike,
    *,
    model: PathLike | None = None,
    dataset: PathLike | None = None,
    workspace: PathLike | None = None,
    folds: Sequence[FoldName] | None = None,
    tta: bool = True,
    step: float | None = None,
    mask_formats: str | Sequence[str] = "nifti",
    save_probabilities: bool = False,
    save_uncertainty: bool = False,
    previews: bool = False,
    overwrite_edited: bool = False,
    next_steps: bool = False,
    exhaustive: bool = False,
    precision: Precision = "auto",
    series: Sequence[str] = (),
    echo: int | None = None,
    spacing_mm: Spacing | None = None,
    only: Collection[str] | None = None,
    device: str = "auto",
    jobs: int | None = None,
    left: Inventory | None = None,
    console: Console | None = None,
) -> list[Path]:
    """Write a mask for every scan, volumes.csv for all of them, and sources.csv, which tells what each case is.

    Processes that torchrun has started share the scans among them.

    Args:
        inputs: a scan or a folder of scans: image files, and DICOM series in folders and zips.
        output: folder of the masks; a mask is named as its case, in its scan's format (NIfTI for DICOM) and geometry.
            The case of a DICOM series is named after its folders and files, never after anything in a header.
        model: a model folder (WORKSPACE/runs/PLANNER/TRAINER) or a model's zip. Unless given, what the workspace's
            selection.json chooses, else its only model.
        dataset, workspace: folders, as on the command line.
        folds: which finished folds to ensemble; all the numbered ones, or else `all`, unless given.
        tta: whether (test-time augmentation) logits are averaged over mirrored scans.
        step: distance of windows as a share of the patch; the config's unless given.
        exhaustive: every fold and mirroring in every window, also where cross-validation found less to be enough.
        precision: "auto" computes in 16 bits where the hardware does; "float32" never does.
        mask_formats: of each mask; one or several of "nifti" (for other image files their own format), "seg.nrrd" (a
            segmentation of 3D Slicer) and "dicom-seg" for DICOM series: a Segmentation, which carries their patient's
            and study's identity, as it must. The first one's file is the mask that is reported and scored.
        save_probabilities: also write each label's probability, CASE_LABEL in the folder probabilities.
        save_uncertainty: also write how undecided the prediction is at each voxel, from 0 to 1, CASE_uncertainty in the
            folder uncertainty.
        previews: also write a picture of slices through the lesions, CASE_overlay.png in the folder previews.
        overwrite_edited: masks that somebody has changed since they were predicted are made anew; kept unless given.
        next_steps: whether the console also tells how to look at the masks.
        series: names of the only DICOM series wanted, or patterns such as "*_T2"; all unless given.
        echo: of DICOM series with several echoes, from 1 (the shortest echo time).
        spacing_mm: voxel size (Z, Y, X) of image files that tell none.
        only: ids of the cases wanted; all unless given.
        device: "auto", "cuda", "mps" or "cpu".
        jobs: threads that read and write.
        left: what of inputs and model is not used is noted here; a strict one ends the work before it begins.
        console: where words and progress go.

    Returns:
        The masks' paths: of each the file that counts, so the corrected one where one was corrected.

    Raises:
        InputError: no scan, no model, an unknown fold, no scan that can be used, scans that are no DICOM where DICOM
            SEG is wanted, scans in the output folder itself, or another command at work there.
        VmsegError: the disk is too full for the masks.
        SomeCasesFailedError: some scans failed; all others are written.
    """
    console, left = console or Silent(), left or Inventory()
    folds = chosen_folds(folds) if folds is not None else None
    formats = chosen_formats(mask_formats)
    if spacing_mm is not None:
        require_spacing(spacing_mm)
    if "dicom-seg" in formats:
        from vmseg_auto.data.dicom.segmentation import require_highdicom

        require_highdicom()
    with joined() as ranks, models_of(model, dataset, workspace, ranks.console(console)) as (runs, rule):
        told = ranks.console(console)
        load = partial(
            Predictor.load,
            folds=folds,
            device=device,
            tta=tta,
            step=step,
            exhaustive=exhaustive,
            precision=precision,
            tell=console.warn,
        )
        for run in runs if ranks.is_main else ():
            note_other_folds(run, run.usable_folds(folds), folds is not None, left)
        ensemble = ModelEnsemble([load(run.folder) for run in runs], rule)
        notes: list[str] = []
        choice = Choice(tuple(series), echo)
        found = ranks.on_main(lambda: find_scans(Path(inputs), ensemble.channels, choice, notes, left))
        cases = [case for case in found if only is None or case.id in only]
        _introduce([model or run.folder for run in runs], ensemble, notes, told)
        show_series((scan for case in cases for scan in case.images[:1]), ensemble.channels[0], told)
        model_digest = ensemble.digest()
        if spacing_mm is not None:
            model_digest = digest([model_digest, spacing_mm])
        algorithm = made_by(model_digest, cases) if "dicom-seg" in formats else None
        if algorithm:
            told.say("A DICOM SEG names patient and study of its series, as it must; no other file tells of a header.")
        source = InputSource.of(Path(inputs), Path(output), ensemble.channels, choice)
        wanted = save_probabilities, save_uncertainty, previews
        used = [run.fold(fold) for run, one in zip(runs, ensemble.members, strict=True) for fold in one.folds]
        writer = PredictionWriter(Path(output), ensemble.labels, source, *wanted, formats, algorithm, overwrite_edited)
        writer = replace(writer, seen=seen_by_all(used))
        ranks.on_main(lambda: writer.require_apart(cases))
        work = _Work(ensemble, writer, model_digest, spacing_mm)
        with ranks.turn(output_turn(writer.folder, "vmseg_predict", told)):
            ranks.on_main(lambda: read_sources(writer.folder))  # a damaged one is told before the work
            ranks.on_main(lambda: require_prediction_space(cases, writer.folder, len(formats), writer.maps))
            threads = max(1, jobs or min(4, os.cpu_count() or 1))
            outcomes = ranks.gather_in_order(_segment(work, ranks.part(cases), threads, told, console.warn))
            done = sorted((one for one in outcomes if isinstance(one, _Done)), key=lambda one: one.record.case)
            conclusion = Conclusion(writer, [one.record for one in done], ensemble.calibration, model_digest)
            ranks.on_main(lambda: conclusion.write(cases, Path(inputs)))
            ranks.on_main(lambda: conclusion.say(sum(one.kept for one in done), told))
            if next_steps:
                ranks.on_main(lambda: conclusion.say_how_to_look(cases, told))
            ranks.on_main(lambda: _require_all(outcomes))
    return [writer.folder / one.record.mask for one in done]


@dataclass(frozen=True)
class _Work:
    """What is the same for all scans of one command."""

    ensemble: ModelEnsemble
    writer: PredictionWriter
    model_digest: str
    spacing_mm: Spacing | None


@dataclass(frozen=True)
class _Done:
    """A mask that stands in the folder, and whether it was there before."""

    record: PredictionRecord
    kept: bool = False


def _segment(
    work: _Work, cases: Sequence[Case], jobs: int, console: Console, warn: Callable[[str], None]
) -> Iterator[_Done | VmsegError]:
    """Write masks; one outcome a case, in order."""
    with console.progress("Predicting", len(cases)) as progress:
        for outcome in _run(work, cases, jobs, progress.note, warn):
            yield outcome
            progress.advance()


def _require_all(outcomes: Sequence[_Done | VmsegError]) -> None:
    """Raises SomeCasesFailedError where some scans failed; the scan's own error, where it is the only one."""
    errors = [outcome for outcome in outcomes if isinstance(outcome, VmsegError)]
    if errors and len(outcomes) == 1:
        raise errors[0]
    if errors:
        raise SomeCasesFailedError(f"{len(errors)} of {len(outcomes)} scans could not be segmented", errors)


def _introduce(models: Sequence[PathLike], ensemble: ModelEnsemble, notes: Sequence[str], console: Console) -> None:
    """Say what predicts, and how; and what was found of the scans."""
    for model, member in zip(models, ensemble.members, strict=True):
        folds = ", ".join(str(fold) for fold in member.folds)
        which = "fold" if len(member.folds) == 1 else "folds"
        threshold = "" if member.info.threshold == PLAIN_THRESHOLD else f", threshold {member.info.threshold:g}"
        where = describe(member.device, member.ensemble.dtype)
        console.say(f"Model {model}, {which} {folds}{threshold}, on {where}.")
        chosen = member.inference_budget
        if chosen and chosen.budget != EXHAUSTIVE:
            console.say(
                f"Cross-validation found this to be enough: {chosen.budget.text()} (mean Dice changed by "
                f"{chosen.dice_change:+.4f}). --exhaustive takes all everywhere."
            )
    for note in notes:
        console.say(note)
    if ensemble.rule and len(models) > 1:
        console.say(f"The mean of {len(models)} models' probabilities counts; threshold {ensemble.rule.threshold:g}.")


def _run(
    work: _Work, cases: Sequence[Case], jobs: int, note: Callable[..., None], warn: Callable[[str], None]
) -> Iterator[_Done | VmsegError]:
    """One outcome a case. The next scans are read and the last masks written while one is computed."""
    with ThreadPoolExecutor(jobs) as readers, ThreadPoolExecutor(jobs) as writers:
        reading: deque[tuple[Case, Future[_Loaded | _Done]]] = deque()
        writing: deque[tuple[Case, Future[PredictionRecord]]] = deque()
        coming = iter(cases)
        for case in cases:
            while len(reading) <= jobs and (following := next(coming, None)) is not None:
                reading.append((following, readers.submit(_load, work, following)))
            _, future = reading.popleft()
            try:
                loaded = future.result()
                if isinstance(loaded, _Done):
                    yield loaded
                    continue
                for odd in loaded.notes:
                    warn(odd)
                unlike = work.ensemble.unlike(loaded.image, loaded.geometry)
                if unlike:
                    warn(f"{case.id} is unlike the scans that the model knows: {'; '.join(unlike)}")
                prediction = _predict(work, loaded, note)
                made = case, loaded.made_from, loaded.image, prediction, unlike
                writing.append((case, writers.submit(work.writer.write, *made)))
            except VmsegError as error:
                yield _named(error, case)
            except (MemoryError, OSError) as error:
                yield _unexpected(error, case)
            while len(writing) > jobs:
                yield _outcome(*writing.popleft())
        while writing:
            yield _outcome(*writing.popleft())


@dataclass(frozen=True)
class _Loaded:
    case: Case
    image: NDArray[np.float32]
    geometry: Geometry
    made_from: str
    notes: Sequence[str]


def _load(work: _Work, case: Case) -> _Loaded | _Done:
    """The scan, or the mask that stays as it stands: made from the same, or corrected since.

    Raises:
        InputError: the scan can't be used, or a mask lies where its own is to go that must not be overwritten.
    """
    writer = work.writer
    writer.require_known(case)
    record = writer.record(case)
    there = writer.standing(record) if record else None
    content = content_hash(case)
    made_from = f"{work.model_digest}-{content}"
    edited = there.mask if there and there.state == "edited" and not writer.overwrite_edited else None
    if edited and record and record.scan_hash == content:
        return _Done(record.corrected(edited), kept=True)
    if not edited and (record := writer.kept(case, made_from)):
        return _Done(record, kept=True)
    notes: list[str] = []
    image, _, geometry = read_case(case, notes=notes, spacing_mm=work.spacing_mm)
    if record:
        writer.require_same_scan(case, record, image)
    if edited and record:
        return _Done(record.corrected(edited), kept=True)
    return _Loaded(case, image, geometry, made_from, notes)


def _predict(work: _Work, loaded: _Loaded, note: Callable[..., None]) -> Prediction:
    return work.ensemble.predict(
        loaded.image,
        loaded.geometry,
        probabilities=work.writer.maps > 0,
        watch=lambda done, total: note(f"window {done}/{total}", loaded.case.id),
    )


def _outcome(case: Case, future: Future[PredictionRecord]) -> _Done | VmsegError:
    try:
        return _Done(future.result())
    except VmsegError as error:
        return _named(error, case)
    except (MemoryError, OSError) as error:
        return _unexpected(error, case)


def _unexpected(error: MemoryError | OSError, case: Case) -> VmsegError:
    """One case's lack of memory, or of a file, as its own error: the others go on."""
    if isinstance(error, MemoryError):
        problem, remedy = "the memory is not enough for this case", "Use fewer --jobs, or a machine with more memory."
    else:
        problem, remedy = f"a file can't be read or written ({error.strerror or error})", "Check disk and rights."
    return VmsegError(problem, case=case.id, file=case.file, remedy=remedy)


def _named(error: VmsegError, case: Case) -> VmsegError:
    """The same error with the case's name, where it has none yet."""
    if error.case is None and not error.errors:
        error.case, error.file = case.id, error.file or case.file
    return error
