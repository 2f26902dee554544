"""Give a trained model away in one file, and look into such a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from vmseg_auto.data.cases import read_dataset
from vmseg_auto.data.runs import FoldFolder, FoldName, Run, chosen_folds
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.models.fold_record import read_record
from vmseg_auto.models.load import first_stage_of, load_fold, read_info
from vmseg_auto.models.manifest import CARD, FINGERPRINT, FIRST_STAGE, MANIFEST, Manifest
from vmseg_auto.models.model import ModelInfo
from vmseg_auto.models.model_card import Facts, Member, model_card
from vmseg_auto.models.selection_record import Candidate, Selection
from vmseg_auto.models.zip import unpacked, write_model_zip
from vmseg_auto.planning.fingerprint import Fingerprint
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.utils.atomic import new_folder, read_stored
from vmseg_auto.utils.console import Console, Silent, quoted, shown
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.left_out import Inventory, telling_left_out
from vmseg_auto.utils.machine import versions
from vmseg_auto.utils.text import counted, listed
from vmseg_auto.workflows.ensemble import models_of, note_other_folds
from vmseg_auto.workflows.locking import output_lock
from vmseg_auto.workflows.onnx import write_onnx
from vmseg_auto.workflows.paths import PathLike, read_source
from vmseg_auto.workflows.run_tables import read_summary, unlike_folds
from vmseg_auto.workflows.seen_scans import read_initialisation, seen_tests


@telling_left_out
def export_model(
    output: PathLike,
    *,
    model: PathLike | None = None,
    dataset: PathLike | None = None,
    workspace: PathLike | None = None,
    folds: Sequence[FoldName] | None = None,
    name: str | None = None,
    licence: str = "",
    onnx: bool = False,
    left: Inventory | None = None,
    console: Console | None = None,
) -> Path:
    """Pack weights, plan, calibration and the cohort in numbers into a zip for `predict`, with a model card.

    No image, mask, name of a case, patient, dataset or folder goes into it.

    Args:
        output: the zip to make.
        model: a model folder; unless given, what the workspace would predict with, several models too.
        dataset, workspace: folders, as on the command line.
        folds: which finished folds; all the numbered ones, or else `all`, unless given.
        name: of the model; the zip's unless given.
        licence: under which it is given away.
        onnx: also write each fold's network as ONNX, into a folder beside the zip.
        left: folds that are not packed are noted here; a strict one ends the work before it begins.
        console: where words and progress go.

    Raises:
        InputError: no model, a fold that is not finished, a damaged checkpoint, the output exists, or the extra `onnx`
            is not installed.
        VmsegError: the output can't be written, or a network does not give the same as ONNX.
    """
    console, left, target = console or Silent(), left or Inventory(), Path(output)
    folds = chosen_folds(folds) if folds is not None else None
    if model is not None and Path(model).is_file():
        raise InputError("this model is packed already", file=model, remedy="Copy the file.")
    with models_of(model, dataset, workspace, console) as (runs, rule):
        finished = [run.usable_folds(folds) for run in runs]
        for run, taken in zip(runs, finished, strict=True):
            note_other_folds(run, taken, folds is not None, left)
        left.require_nothing()
        _warn_of_cases_that_are_gone(runs, finished, console)
        facts = _facts(runs, finished, rule, name or target.stem, licence)
        _pack(target, runs, finished, facts, onnx, console)
    return target


def pack_runs(target: Path, runs: Sequence[Run], rule: Candidate, console: Console) -> None:
    """Pack runs that predict together by a rule, with all their folds, into a zip as `export_model` makes it.

    Raises:
        InputError: the zip exists, or a checkpoint is damaged.
        VmsegError: the zip can't be written.
    """
    finished = [run.usable_folds(None) for run in runs]
    _pack(target, runs, finished, _facts(runs, finished, rule, target.stem, ""), False, console)


def _pack(
    target: Path,
    runs: Sequence[Run],
    finished: Sequence[Sequence[FoldFolder]],
    facts: Facts,
    onnx: bool,
    console: Console,
) -> None:
    """Write the zip and the networks as ONNX beside it, and say so."""
    contents: dict[str, str | Path] = {CARD: model_card(facts)}
    if facts.cohort is not None:
        contents[FINGERPRINT] = _text(facts.cohort.to_json())
    folders = tuple(f"model_{number}" for number in range(len(runs)))
    for folder, member, own in zip(folders, facts.members, finished, strict=True):
        contents[f"{folder}/model.json"] = _text(member.info.to_json())
        contents |= {f"{folder}/{fold.folder.name}/{fold.final.name}": fold.final for fold in own}
    for folder, run in zip(folders, runs, strict=True):
        contents |= _first_stage(f"{folder}/{FIRST_STAGE}", run, facts.name)
    about = Manifest(facts.name, facts.licence, facts.version, folders, facts.rule, {})
    with output_lock(target.parent, "vmseg_model export", console), ExitStack() as made:
        if onnx:
            beside = made.enter_context(new_folder(target.with_name(f"{target.stem}_onnx")))
            write_onnx(dict(zip(folders, finished, strict=True)), beside, console)
        write_model_zip(target, about, contents)
    console.say(
        f"{target}: {counted(len(folders), 'model')}, {target.stat().st_size / 1e6:.1f} MB, without any image or name "
        f"of a case. Read its {CARD} before you give it away (`vmseg_model info {quoted(target)}`).\n"
        f"Segment with `vmseg_predict -m {quoted(target)} -i SCANS -o MASKS`."
    )
    if not facts.licence:
        console.warn("no licence is given (--licence), so nobody else can know what they may do with the model")


@telling_left_out
def model_info(model: PathLike, left: Inventory | None = None, console: Console | None = None) -> str:
    """Say what a model is: the card of its zip, once every byte of it is checked, or the one that a folder would get.

    Folds of a folder that would not be packed are noted in `left`; a strict one ends it with them.

    Raises:
        InputError: it is missing, damaged, or refused.
    """
    console, path = console or Silent(), Path(model)
    if path.is_dir():
        run, left = Run(path), left or Inventory()
        folds = run.usable_folds(None)
        note_other_folds(run, folds, False, left)
        left.require_nothing()
        card = model_card(_facts([run], [folds], None, path.name, ""))
        console.say(card)
        return card
    with unpacked(path) as (manifest, folder):
        card = shown((folder / CARD).read_text(encoding="utf-8", errors="replace"))
        identity = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    files = f"{len(manifest.members) + 1} files, {path.stat().st_size / 1e6:.1f} MB"
    console.say(f"{card}\n{path}: {files}, each as its manifest says; SHA-256 of the manifest: {identity}")
    return card


def _first_stage(folder: str, run: Run, name: str) -> dict[str, str | Path]:
    """Return the files of a cascade's first stage, by their names in the zip; none of other models."""
    first = first_stage_of(run, read_info(run))
    if first is None:
        return {}
    info, folds = replace(read_info(first), dataset=name), first.usable_folds(None)
    for fold in folds:
        load_fold(fold, info)  # no damaged weights are given away
    weights = {f"{folder}/{fold.folder.name}/{fold.final.name}": fold.final for fold in folds}
    return {f"{folder}/model.json": _text(info.to_json()), **weights}


def _warn_of_cases_that_are_gone(
    runs: Sequence[Run], finished: Sequence[Sequence[FoldFolder]], console: Console
) -> None:
    """Warn where a model has learnt from cases that its dataset no longer has: consent may have been withdrawn."""
    try:
        source = read_source(Workspace(runs[0].folder.resolve().parents[2]))
        there = read_dataset(Path(source.folder)).patients if source else None
    except VmsegError:
        return  # an imported model, or a dataset that is not on this machine
    if there is None:
        return
    records = [read_record(fold) for folds in finished for fold in folds]
    if gone := sorted({case for record in records if record for case in record.train} - set(there)):
        console.warn(
            f"the model was trained on cases that are no longer in the dataset: {listed(gone)}. If patients have "
            "withdrawn their consent, run `vmseg_plan_and_preprocess` and train these folds again with --fresh first"
        )


def _facts(
    runs: Sequence[Run], finished: Sequence[Sequence[FoldFolder]], rule: Candidate | None, name: str, licence: str
) -> Facts:
    space = Workspace(runs[0].folder.resolve().parents[2])
    known = space.fingerprint.is_file() and runs[0].folder.resolve() in [run.folder.resolve() for run in space.runs()]
    cohort = read_stored(Fingerprint, space.fingerprint) if known else None
    if cohort and not all(_is_of(fold, cohort) for folds in finished for fold in folds):
        cohort = None
    members = tuple(_member(run, folds, name, cohort) for run, folds in zip(runs, finished, strict=True))
    selection = read_stored(Selection, space.selection) if rule and known else None
    return Facts(
        name=name,
        licence=licence,
        version=versions()["vmseg_auto"],
        members=members,
        cohort=cohort.shared() if cohort else None,
        rule=rule if len(runs) > 1 else None,
        worth=selection.worth if selection else None,
    )


def _is_of(fold: FoldFolder, cohort: Fingerprint) -> bool:
    """Return whether a fold's cases, of both sides and as they were, are those of the cohort as it is."""
    record = read_record(fold)
    cases = {case: summary.content for case, summary in cohort.cases.items()}
    return record is not None and {**record.train, **record.val} == cases


def _member(run: Run, folds: Sequence[FoldFolder], name: str, cohort: Fingerprint | None) -> Member:
    """Return a model's description of itself. Every fold is read wholly: no damaged weights are given away."""
    info = read_info(run)
    configs, epochs = zip(*(_training(fold, info) for fold in folds), strict=True)
    scores, unlike = run.cross_validation / "metrics.json", unlike_folds(run)
    return Member(
        info=replace(info, dataset=name),
        folds=tuple(fold.name for fold in folds),
        config=configs[0],
        epochs=epochs,
        first_weights=tuple(dict.fromkeys(_first_weights(fold, cohort) for fold in folds)),
        scores=read_summary(scores) if scores.is_file() and not unlike else None,
        why_no_scores="a fold was trained or scored anew since it was summed up, or is gone" if unlike else "",
    )


def _first_weights(fold: FoldFolder, cohort: Fingerprint | None) -> str:
    """Describe where the first weights came from, without the name of a dataset or case."""
    start = read_initialisation(fold)
    if start is None:
        return "random"
    told = f"of {start.name} (hash {start.weights}), trained on {start.seen.text()}"
    if cohort is None or not cohort.tests:
        return told
    tests = seen_tests(start.seen, cohort, ids=start.tests)
    among = f"{len(tests.cases)} of the {len(cohort.tests)} test scans are among them"
    return f"{told}; {among}" if start.seen.whole else f"{told}; {among} as far as is known"


def _training(fold: FoldFolder, info: ModelInfo) -> tuple[TrainingConfig, int]:
    checkpoint = load_fold(fold, info)
    return checkpoint.config, checkpoint.epoch


def _text(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
