"""Segment scans: read ahead, predict, write behind."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.core.codec import decode, encode
from vmseg_auto.core.console import Console, Silent
from vmseg_auto.core.dataset import Case
from vmseg_auto.core.errors import InputError, SomeCasesFailedError, VmsegError
from vmseg_auto.core.geometry import Geometry
from vmseg_auto.core.selection import PLAIN_THRESHOLD
from vmseg_auto.core.trust import Calibration
from vmseg_auto.core.workspace import FoldName, Run
from vmseg_auto.io.atomic import read_json, write_sealed
from vmseg_auto.io.cases import content_hash, find_scans, read_case
from vmseg_auto.io.images import FILE_ENDINGS, write_image, write_mask
from vmseg_auto.io.tables import write_csv
from vmseg_auto.ops.components import component_volumes
from vmseg_auto.ops.devices import describe
from vmseg_auto.pipeline.committee import Committee, choose_runs
from vmseg_auto.pipeline.expected import CASE_COLUMNS, Judgement, where_to_look
from vmseg_auto.pipeline.places import PathLike, places
from vmseg_auto.pipeline.space import require_prediction_space
from vmseg_auto.pipeline.turns import output_turn
from vmseg_auto.stages.predict import Precision, Prediction, Predictor

VOLUME_COLUMNS = ("case", "label", "component", "volume_ml", "voxels")


@dataclass(frozen=True)
class _Sidecar:
    """CASE.json beside each mask: what it was made from, what it holds, and how far it can be trusted."""

    case: str
    made_from: str
    volumes: tuple[dict[str, Any], ...]
    judgement: Judgement
    schema: int = 1

    def rows(self, calibration: Calibration | None) -> Iterator[dict[str, Any]]:
        """Of volumes.csv; what is said of the whole case stands in the rows of its totals."""
        for row in self.volumes:
            yield row | self.judgement.columns(calibration) if row["component"] == "all" else row


def predict(
    inputs: PathLike,
    output: PathLike,
    *,
    model: PathLike | None = None,
    dataset: PathLike | None = None,
    workspace: PathLike | None = None,
    folds: Sequence[FoldName] | None = None,
    mirror: bool = True,
    step: float | None = None,
    save_probabilities: bool = False,
    exhaustive: bool = False,
    precision: Precision = "auto",
    device: str = "auto",
    jobs: int | None = None,
    console: Console | None = None,
) -> list[Path]:
    """Write a mask for every scan, and volumes.csv for all of them.

    Args:
        inputs: a scan or a folder of scans.
        output: folder of the masks; a mask is named as its case, in its scan's format and geometry.
        model: a model folder (WORKSPACE/runs/PLANNER/TRAINER). Unless given, what the workspace's selection.json
            chooses, else its only model.
        dataset, workspace: folders, as on the command line.
        folds: which finished folds to ensemble; all the numbered ones, or else `all`, unless given.
        mirror: whether logits are averaged over mirrored scans.
        step: distance of windows as a share of the patch; the recipe's unless given.
        exhaustive: every fold and mirroring in every window, also where cross-validation found less to be enough.
        precision: "auto" computes in 16 bits where the hardware does; "float32" never does.
        save_probabilities: also write each label's probability, CASE_LABEL in the folder probabilities.
        device: "auto", "cuda", "mps" or "cpu".
        jobs: threads that read and write.
        console: where words and progress go.

    Returns:
        The masks' paths.

    Raises:
        InputError: no scan, no model, an unknown fold, no scan that can be used, or another command at work in the
            output folder.
        VmsegError: the disk is too full for the masks.
        SomeCasesFailedError: some scans failed; all others are written.
    """
    console = console or Silent()
    if model is not None:
        runs, rule = [Run(Path(model))], None
    else:
        runs, rule = choose_runs(places(dataset, workspace)[1], console)
    members = [
        Predictor.load(
            run.folder,
            folds=folds,
            device=device,
            mirror=mirror,
            step=step,
            exhaustive=exhaustive,
            precision=precision,
            tell=console.warn,
        )
        for run in runs
    ]
    committee = Committee(members, rule)
    cases = find_scans(Path(inputs), committee.channels)
    for run, member in zip(runs, members, strict=True):
        _introduce(run, member, console)
    if rule and len(runs) > 1:
        console.say(f"The mean of {len(runs)} models' probabilities counts; threshold {rule.threshold:g}.")
    work = _Work(committee, Path(output), save_probabilities, committee.digest())
    with output_turn(work.output, "vmseg_predict", console):
        require_prediction_space(cases, work.output, committee.labels, save_probabilities)
        sidecars, errors = _segment(work, cases, max(1, jobs or min(4, os.cpu_count() or 1)), console)
    if errors and not sidecars and len(cases) == 1:
        raise errors[0]
    if errors:
        raise SomeCasesFailedError(f"{len(errors)} of {len(cases)} scans could not be segmented", errors)
    return [work.mask_path(case) for case in cases]


def _segment(
    work: _Work, cases: Sequence[Case], jobs: int, console: Console
) -> tuple[list[_Sidecar], list[VmsegError]]:
    """Write masks and volumes.csv."""
    sidecars: list[_Sidecar] = []
    errors: list[VmsegError] = []
    with console.progress("Predicting", len(cases)) as progress:
        for outcome in _run(work, cases, jobs, progress.note, console):
            (errors if isinstance(outcome, VmsegError) else sidecars).append(outcome)  # type: ignore[arg-type]
            progress.advance()
    sidecars.sort(key=lambda sidecar: sidecar.case)
    if sidecars:
        calibration = work.committee.calibration
        rows = (row for sidecar in sidecars for row in sidecar.rows(calibration))
        write_csv(work.output / "volumes.csv", (*VOLUME_COLUMNS, *CASE_COLUMNS), rows)
        console.say(f"{len(sidecars)} masks and volumes.csv in {work.output}.")
        if doubtful := where_to_look([sidecar.judgement for sidecar in sidecars], calibration):
            console.warn(doubtful)
    return sidecars, errors


@dataclass(frozen=True)
class _Work:
    """What is the same for all scans of one command."""

    committee: Committee
    output: Path
    save_probabilities: bool
    model_digest: str

    def mask_path(self, case: Case) -> Path:
        return self.output / f"{case.id}{_ending(case.images[0])}"

    def probability_path(self, case: Case, label: str) -> Path:
        return self.output / "probabilities" / f"{case.id}_{label}{_ending(case.images[0])}"

    def outputs(self, case: Case) -> list[Path]:
        labels = [name for name, value in self.committee.labels.items() if value]
        soft = [self.probability_path(case, label) for label in labels] if self.save_probabilities else []
        return [self.mask_path(case), *soft]


def _introduce(run: Run, member: Predictor, console: Console) -> None:
    """Say what predicts, and how."""
    folds = ", ".join(str(fold) for fold in member.folds)
    threshold = "" if member.info.threshold == PLAIN_THRESHOLD else f", threshold {member.info.threshold:g}"
    where = describe(member.device, member.ensemble.dtype)
    console.say(f"Model {run.folder}, fold {folds}{threshold}, on {where}.")
    if member.economy:
        effort = member.economy.effort
        console.say(
            f"Cross-validation found {effort.looks or 'all'} looks a window and a gate at {effort.gate:g} to be enough "
            f"(mean Dice changed by {member.economy.dice_change:+.4f}); --exhaustive takes all."
        )


def _run(work: _Work, cases: Sequence[Case], jobs: int, note: Any, console: Console) -> Iterator[_Sidecar | VmsegError]:
    """One outcome a case. The next scans are read and the last masks written while one is computed."""
    with ThreadPoolExecutor(jobs) as readers, ThreadPoolExecutor(jobs) as writers:
        reading: deque[tuple[Case, Future[_Loaded | _Sidecar]]] = deque()
        writing: deque[Future[_Sidecar]] = deque()
        coming = iter(cases)
        for case in cases:
            while len(reading) <= jobs and (following := next(coming, None)) is not None:
                reading.append((following, readers.submit(_load, work, following)))
            _, future = reading.popleft()
            try:
                loaded = future.result()
                if isinstance(loaded, _Sidecar):
                    yield loaded
                    continue
                if unlike := work.committee.unlike(loaded.geometry):
                    console.warn(f"{case.id} is unlike the scans that the model knows: {'; '.join(unlike)}")
                prediction = _predict(work, loaded, note)
                writing.append(writers.submit(_write, work, loaded, prediction))
            except VmsegError as error:
                yield _named(error, case)
            while len(writing) > jobs:
                yield _outcome(writing.popleft())
        while writing:
            yield _outcome(writing.popleft())


@dataclass(frozen=True)
class _Loaded:
    case: Case
    image: NDArray[np.float32]
    geometry: Geometry
    made_from: str


def _load(work: _Work, case: Case) -> _Loaded | _Sidecar:
    """The scan, or the sidecar of a mask that is already there and made from the same."""
    made_from = f"{work.model_digest}-{content_hash(case)}"
    path = _sidecar_path(work, case)
    if path.is_file() and all(output.is_file() for output in work.outputs(case)):
        try:
            sidecar = decode(_Sidecar, read_json(path), str(path))
        except InputError:  # another program's file of that name: the mask is made anew
            sidecar = None
        if sidecar is not None and sidecar.made_from == made_from:
            return sidecar
    image, _, geometry = read_case(case)
    return _Loaded(case, image, geometry, made_from)


def _predict(work: _Work, loaded: _Loaded, note: Any) -> Prediction:
    return work.committee.predict(
        loaded.image,
        loaded.geometry,
        probabilities=work.save_probabilities,
        watch=lambda done, total: note(f"{loaded.case.id}, window {done}/{total}"),
    )


def _write(work: _Work, loaded: _Loaded, prediction: Prediction) -> _Sidecar:
    case, labels = loaded.case, work.committee.labels
    path = _sidecar_path(work, case)
    path.unlink(missing_ok=True)  # until the new mask is whole, nothing vouches for it
    if prediction.probabilities is not None:
        for index, (label, _) in enumerate(sorted(labels.items(), key=lambda item: item[1])):
            if index:
                write_image(work.probability_path(case, label), prediction.probabilities[index], prediction.geometry)
    write_mask(work.mask_path(case), prediction.mask, prediction.geometry)
    rows = tuple(volume_rows(case.id, prediction.mask, prediction.geometry, labels))
    judgement = Judgement(case.id, prediction.trust, tuple(work.committee.unlike(loaded.geometry)))
    sidecar = _Sidecar(case.id, loaded.made_from, rows, judgement)
    write_sealed(path, encode(sidecar))
    return sidecar


def volume_rows(
    case: str, mask: NDArray[np.uint8], geometry: Geometry, labels: dict[str, int]
) -> Iterator[dict[str, Any]]:
    """Rows of volumes.csv: for each label its total ("all"), then its connected components, the largest first."""
    for label, value in labels.items():
        if value == 0:
            continue
        sizes = component_volumes(mask == value)
        numbered: list[tuple[str | int, int]] = [("all", sum(sizes)), *enumerate(sizes, 1)]
        for component, voxels in numbered:
            volume = voxels * geometry.voxel_ml
            yield dict(zip(VOLUME_COLUMNS, (case, label, component, volume, voxels), strict=True))


def _sidecar_path(work: _Work, case: Case) -> Path:
    return work.output / f"{case.id}.json"


def _outcome(future: Future[_Sidecar]) -> _Sidecar | VmsegError:
    try:
        return future.result()
    except VmsegError as error:
        return error


def _named(error: VmsegError, case: Case) -> VmsegError:
    """The same error with the case's name, where it has none yet."""
    if error.case is None and not hasattr(error, "errors"):
        error.case, error.file = case.id, error.file or case.images[0]
    return error


def _ending(path: Path) -> str:
    return next(ending for ending in FILE_ENDINGS if path.name.lower().endswith(ending))
