"""Segment scans: read ahead, predict, write behind."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.cases import content_hash, read_case
from vmseg_auto.data.dataset import Case
from vmseg_auto.data.dicom.series import Choice, Series
from vmseg_auto.data.dicom.which_series import show_series
from vmseg_auto.data.runs import FoldName, Run, chosen_folds
from vmseg_auto.data.scans import find_scans
from vmseg_auto.data.sources import read_sources
from vmseg_auto.inference.predictor import Backend, Computed, Precision, Predictor, PreprocessedScan
from vmseg_auto.models.selection_record import PLAIN_THRESHOLD
from vmseg_auto.planning.inference_budget import EXHAUSTIVE
from vmseg_auto.utils.console import Console, Progress, Silent
from vmseg_auto.utils.devices import describe
from vmseg_auto.utils.distributed import Ranks, joined
from vmseg_auto.utils.errors import SomeCasesFailedError, VmsegError
from vmseg_auto.utils.folders import require_apart
from vmseg_auto.utils.geometry import Geometry, Spacing, require_spacing
from vmseg_auto.utils.json_codec import digest
from vmseg_auto.utils.left_out import Inventory, telling_left_out
from vmseg_auto.workflows.conclusion import Conclusion, Done
from vmseg_auto.workflows.disk import require_prediction_space
from vmseg_auto.workflows.ensemble import ModelEnsemble, models_of, note_other_folds
from vmseg_auto.workflows.locking import output_lock
from vmseg_auto.workflows.mask_formats import IMAGES, chosen_formats, made_by, require_separate_labels
from vmseg_auto.workflows.paths import PathLike
from vmseg_auto.workflows.prediction_record import InPlace, InputSource, PredictionRecord
from vmseg_auto.workflows.prediction_writer import PredictionWriter
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
    scans_stay: bool = True,
    exhaustive: bool = False,
    precision: Precision = "auto",
    backend: Backend = "torch",
    min_lesion_probability: float | None = None,
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
        backend: "torch", or "openvino", which computes in float32 on the CPU.
        min_lesion_probability: components whose probability of being a lesion is lower are left out of the masks, and
            named in their records; as the cross-validation chose, unless given. 0 keeps all.
        mask_formats: of each mask; one or several of "nifti" (for other image files their own format), "seg.nrrd" (a
            segmentation of 3D Slicer), and for DICOM series "dicom-seg" (a Segmentation), "dicom-rtstruct" (contours),
            "dicom-sr" (measurements, beside "dicom-seg") and "dicom-sc" (pictures), which carry their patient's and
            study's identity, as they must. The first one's file is the mask that is reported and scored.
        save_probabilities: also write each label's probability, CASE_LABEL in the folder probabilities.
        save_uncertainty: also write how undecided the prediction is at each voxel, from 0 to 1, CASE_uncertainty in the
            folder uncertainty.
        previews: also write a picture of slices through the lesions, CASE_overlay.png in the folder previews.
        overwrite_edited: masks that somebody has changed since they were predicted are made anew; kept unless given.
        next_steps: whether the console also tells how to look at the masks.
        scans_stay: whether the scans stay where they are; where not, nothing that is written names the place.
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
        InputError: no scan, no model, an unknown fold, a model without a lesion filter where one is asked for,
            no scan that can be used, scans that are no DICOM where DICOM files are wanted, scans that are not apart
            from the output folder, or another command at work there.
        VmsegError: the disk is too full for the masks.
        SomeCasesFailedError: some scans failed; all others are written.
    """
    console, left = console or Silent(), left or Inventory()
    folds = chosen_folds(folds) if folds is not None else None
    formats = chosen_formats(mask_formats)
    if spacing_mm is not None:
        require_spacing(spacing_mm)
    require_apart(Path(output), [Path(inputs)])
    if in_dicom := not IMAGES.issuperset(formats):
        from vmseg_auto.data.dicom.results import require_highdicom

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
            backend=backend,
            min_lesion_probability=None if rule and len(runs) > 1 else min_lesion_probability,
            console=console,
        )
        for run in runs if ranks.is_main else ():
            note_other_folds(run, run.usable_folds(folds), folds is not None, left, console)
        ensemble = ModelEnsemble([load(run.folder) for run in runs], rule, min_lesion_probability)
        require_separate_labels(formats, ensemble.labels)
        notes: list[str] = []
        choice = Choice(tuple(series), echo)
        channels, optional = ensemble.channels, ensemble.optional
        not_whole: list[VmsegError] = []
        found = ranks.on_main(lambda: find_scans(Path(inputs), channels, choice, notes, left, optional, not_whole))
        cases = [case for case in found if only is None or case.id in only]
        _introduce(runs, model, ensemble, notes, told)
        show_series((scan for case in cases for scan in case.images[:1]), channels[0], told)
        model_digest = ensemble.digest()
        if spacing_mm is not None:
            model_digest = digest([model_digest, spacing_mm])
        algorithm = made_by(model_digest, cases) if in_dicom else None
        if algorithm:
            told.say("DICOM files name patient and study of their series, as they must; no other tells of a header.")
        place = Path(inputs) if scans_stay else None
        source = InputSource.of(place, Path(output), channels, choice, optional)
        wanted = save_probabilities, save_uncertainty, previews
        used = [run.fold(fold) for run, one in zip(runs, ensemble.members, strict=True) for fold in one.folds]
        writer = PredictionWriter(Path(output), ensemble.labels, source, *wanted, formats, algorithm, overwrite_edited)
        writer = replace(
            writer,
            seen=seen_by_all(used),
            asked_least=ensemble.asked_least,
            calibration=ensemble.calibration,
            backend=ensemble.backend,
        )
        ranks.on_main(lambda: require_apart(writer.folder, _files(cases)))
        threads = max(1, jobs or min(4, os.cpu_count() or 1))
        work = _Work(ensemble, writer, model_digest, spacing_mm, threads, not_whole)
        with ranks.enter_on_main(output_lock(writer.folder, "vmseg_predict", told)):
            conclusion = _predict_all(work, cases, Path(inputs), ranks, console)
            ranks.on_main(lambda: conclusion.say(told))
            if next_steps:
                ranks.on_main(lambda: conclusion.say_how_to_look(cases, told))
            masks = [one.mask.there.mask for one in conclusion.done]
            ranks.on_main(lambda: _require_all(conclusion.failed, masks))
    return masks


@dataclass(frozen=True)
class _Work:
    """What is the same for all scans of one command, and why others can't be predicted."""

    ensemble: ModelEnsemble
    writer: PredictionWriter
    model_digest: str
    spacing_mm: Spacing | None
    threads: int
    not_whole: Sequence[VmsegError] = ()


def _predict_all(work: _Work, cases: Sequence[Case], inputs: Path, ranks: Ranks, console: Console) -> Conclusion:
    """Predict each process's part of the scans; write what belongs to all of them."""
    writer, told = work.writer, ranks.console(console)
    pictures = "dicom-sc" in writer.formats
    ranks.on_main(lambda: read_sources(writer.folder))  # a damaged one is told before the work
    ranks.on_main(lambda: require_prediction_space(cases, writer.folder, len(writer.formats), writer.maps, pictures))
    outcomes = ranks.gather_in_order(_segment(work, ranks.part(cases), told, console))
    done = sorted((one for one in outcomes if isinstance(one, Done)), key=lambda one: one.case)
    failed = [*work.not_whole, *(one for one in outcomes if isinstance(one, VmsegError))]
    conclusion = Conclusion(writer, done, failed, work.ensemble.calibration, work.model_digest)
    ranks.on_main(lambda: conclusion.write(cases, inputs))
    return conclusion


def _segment(work: _Work, cases: Sequence[Case], told: Console, console: Console) -> Iterator[Done | VmsegError]:
    """Write masks; one outcome a case, in order. The first process alone shows progress, in `told`; each one warns."""
    with told.progress("Predicting", len(cases)) as progress:
        for outcome in _run(work, cases, progress, console):
            yield outcome
            progress.advance()


def _files(cases: Sequence[Case]) -> list[Path]:
    scans = [scan for case in cases for scan in case.images]
    return [path for scan in scans for path in (scan.files if isinstance(scan, Series) else (scan,))]


def _require_all(failed: Sequence[VmsegError], masks: Sequence[Path]) -> None:
    """Raise SomeCasesFailedError where some scans have no mask; the scan's own error, where it is the only one."""
    if failed and len(failed) + len(masks) == 1:
        raise failed[0]
    if failed:
        problem = f"no mask could be made or kept of {len(failed)} of {len(failed) + len(masks)} scans"
        raise SomeCasesFailedError(problem, failed, masks)


def _introduce(
    runs: Sequence[Run], model: PathLike | None, ensemble: ModelEnsemble, notes: Sequence[str], console: Console
) -> None:
    """Say what predicts, and how; and what was found of the scans."""
    for run, member in zip(runs, ensemble.members, strict=True):
        count = run.split_folds() if "all" not in member.folds else None
        of = f" of {count}" if count and len(member.folds) < count else ""
        folds = f"{'fold' if len(member.folds) == 1 else 'folds'} {', '.join(map(str, member.folds))}{of}"
        threshold = "" if member.info.threshold == PLAIN_THRESHOLD else f", threshold {member.info.threshold:g}"
        by = "" if member.backend == "torch" else " by OpenVINO"
        where = f"{describe(member.device, member.ensemble.dtype)}{by}"
        console.say(f"Model {model or run.folder}, {folds}{threshold}, on {where}.")
        chosen = member.inference_budget
        if chosen and chosen.budget != EXHAUSTIVE:
            console.say(
                f"Cross-validation found this to be enough: {chosen.budget.text()} (mean Dice changed by "
                f"{chosen.dice_change:+.4f}). --exhaustive takes all everywhere."
            )
    for note in notes:
        console.say(note)
    if ensemble.rule and len(runs) > 1:
        console.say(f"The mean of {len(runs)} models' probabilities counts; threshold {ensemble.rule.threshold:g}.")


def _run(work: _Work, cases: Sequence[Case], progress: Progress, console: Console) -> Iterator[Done | VmsegError]:
    """Yield one outcome a case.

    The next scans are read and preprocessed, and the last masks restored and written, while one is computed.
    """
    with ThreadPoolExecutor(work.threads) as readers, ThreadPoolExecutor(work.threads) as writers:
        reading: deque[tuple[Case, Future[_Loaded | Done]]] = deque()
        writing: deque[tuple[Case, Future[Done]]] = deque()
        coming = iter(cases)
        for case in cases:
            while len(reading) <= work.threads and (following := next(coming, None)) is not None:
                reading.append((following, readers.submit(_load, work, following)))
            _, future = reading.popleft()
            try:
                loaded = future.result()
                if isinstance(loaded, Done):
                    yield loaded
                    continue
                for odd in loaded.notes:
                    console.warn(odd)
                unlike = work.ensemble.unlike(loaded.image, loaded.geometry)
                if unlike:
                    console.warn(f"{case.id} is unlike the scans that the model knows: {'; '.join(unlike)}")
                computed = _compute(work, loaded, progress)
                # Without what the networks have seen, so that its memory is free.
                writing.append((case, writers.submit(_write, work, replace(loaded, preprocessed=[]), computed, unlike)))
                del future, loaded, computed
            except VmsegError as error:
                yield _named(error, case)
            except (MemoryError, OSError) as error:
                yield _unexpected(error, case)
            while len(writing) > work.threads:
                yield _outcome(*writing.popleft())
        while writing:
            yield _outcome(*writing.popleft())


@dataclass(frozen=True)
class _Loaded:
    """A scan that is to be predicted, and the record of the mask that lies in its place.

    Args:
        preprocessed: for the networks of each model; the error where that failed.
    """

    case: Case
    image: NDArray[np.float32]
    geometry: Geometry
    made_from: str
    notes: Sequence[str]
    earlier: PredictionRecord | None
    why: str
    preprocessed: list[PreprocessedScan] | VmsegError


def _load(work: _Work, case: Case) -> _Loaded | Done:
    """Read the scan, or return the mask that stays as it stands: made from the same, or corrected since.

    Raises:
        InputError: the scan can't be used, or a mask lies where its own is to go that must not be overwritten.
    """
    writer = work.writer
    writer.require_known(case)
    record = writer.record(case)
    there = writer.standing(record) if record else None
    content = content_hash(case)
    made_from = f"{work.model_digest}-{content}"
    corrected = record and there and there.state == "edited" and not writer.overwrite_edited
    if record and there and corrected and record.scan_hash == content:
        return Done(InPlace.of(writer.note_kept_scan(record), there), kept=True)
    if not corrected and (mask := writer.kept(case, made_from)):
        return Done(replace(mask, record=writer.note_kept_scan(mask.record)), kept=True)
    notes: list[str] = []
    image, _, geometry = read_case(case, notes=notes, spacing_mm=work.spacing_mm)
    if record:
        writer.require_same_scan(case, record, image)
    if record and there and corrected:
        return Done(InPlace.of(writer.note_kept_scan(record), there), kept=True)
    why = record.why_anew(there, made_from) if record and there else ""
    try:
        preprocessed: list[PreprocessedScan] | VmsegError = work.ensemble.preprocess(image, geometry)
    except VmsegError as error:  # told in its turn, after the notes
        preprocessed = error
    return _Loaded(case, image, geometry, made_from, notes, record, why, preprocessed)


def _write(work: _Work, loaded: _Loaded, computed: Sequence[Computed], unlike: Sequence[str]) -> Done:
    writer = work.writer
    prediction = work.ensemble.restore(computed, loaded.image, probabilities=writer.maps > 0)
    record = writer.write(loaded.case, loaded.made_from, loaded.image, prediction, unlike)
    before = loaded.earlier.replaced if loaded.earlier else ()
    replaced = tuple(one.file for one in record.replaced if one not in before)
    return Done(InPlace.of(record, record.standing(writer.folder)), why=loaded.why, replaced=replaced)


def _compute(work: _Work, loaded: _Loaded, progress: Progress) -> list[Computed]:
    if isinstance(loaded.preprocessed, VmsegError):
        raise loaded.preprocessed
    return work.ensemble.compute(
        loaded.preprocessed, progress=lambda done, total: progress.note(f"window {done}/{total}", loaded.case.id)
    )


def _outcome(case: Case, future: Future[Done]) -> Done | VmsegError:
    try:
        return future.result()
    except VmsegError as error:
        return _named(error, case)
    except (MemoryError, OSError) as error:
        return _unexpected(error, case)


def _unexpected(error: MemoryError | OSError, case: Case) -> VmsegError:
    """Return one case's lack of memory, or of a file, as its own error: the others go on."""
    if isinstance(error, MemoryError):
        problem, remedy = "the memory is not enough for this case", "Use fewer --jobs, or a machine with more memory."
    else:
        problem, remedy = f"a file can't be read or written ({error.strerror or error})", "Check disk and rights."
    return VmsegError(problem, case=case.id, file=case.file, remedy=remedy)


def _named(error: VmsegError, case: Case) -> VmsegError:
    """Return the same error with the case's name, where it has none yet."""
    if error.case is None and not error.errors:
        error.case, error.file = case.id, error.file or case.file
    return error
