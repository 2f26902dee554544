"""A workspace's runs are compared, and one or an ensemble is chosen."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from workspaces import GRID, Cohort, ValidationRecord, cohort, finished_run, sure_of

from vmseg_auto.cli.common import Screen
from vmseg_auto.data.dataset import Case
from vmseg_auto.data.images.images import read_image, read_mask
from vmseg_auto.data.probabilities import write_probabilities
from vmseg_auto.data.runs import Run
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.inference.predictor import Predictor
from vmseg_auto.models.model import ModelInfo
from vmseg_auto.models.selection_record import Selection
from vmseg_auto.utils.atomic import read_json, read_stored, write_json, write_sealed
from vmseg_auto.utils.errors import DatasetError, InputError
from vmseg_auto.utils.left_out import Inventory, LeftOutWarning
from vmseg_auto.utils.tables import read_csv
from vmseg_auto.workflows.ensemble import choose_runs
from vmseg_auto.workflows.predict import predict
from vmseg_auto.workflows.select import select

Foreground = NDArray[np.float32]


def voxels(found: int, at: float = 0.9, wrong: int = 0) -> ValidationRecord:
    """The first voxels of each bar of ten, and as many wrong ones on their own in another slice."""

    def validation(case: Case, reference: NDArray[np.bool_]) -> Foreground:
        foreground = np.zeros(reference.shape, dtype=np.float32)
        bar = tuple(axis[:found] for axis in np.nonzero(reference))
        foreground[bar] = at
        foreground[0, 0, :wrong] = at
        return foreground

    return validation


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture
def made(planned: Cohort, tmp_path: Path) -> Cohort:
    """The cohort with a workspace of its own and no run."""
    shutil.copytree(planned.space.root, tmp_path / "workspace")
    return replace(planned, space=Workspace(tmp_path / "workspace"))


def info(run: Run) -> ModelInfo:
    return read_stored(ModelInfo, run.model)


def test_the_best_of_three_is_the_one_counted_by_hand(made: Cohort, capsys: pytest.CaptureFixture[str]) -> None:
    """Of ten voxels 6, 8 and 4 are found: Dice 12/16, 16/18 and 8/14. The means of two and of three add nothing."""
    for trainer, found in (("default", 6), ("wide", 8), ("narrow", 4)):
        finished_run(made, trainer, voxels(found))
    chosen = select(workspace=made.space.root, console=Screen(quiet=False))
    assert chosen.runs == ("default/wide",)
    assert (chosen.chosen.threshold, chosen.chosen.postprocessing.keep_largest) == (0.5, ())
    plain = {candidate.name: candidate.plain.mean for candidate in chosen.candidates if len(candidate.runs) == 1}
    assert plain == pytest.approx({"default/default": 12 / 16, "default/wide": 16 / 18, "default/narrow": 8 / 14})
    assert [len(candidate.runs) for candidate in chosen.candidates] == [1, 1, 1, 2, 2, 2, 3]
    assert chosen.worth.reference == "default/default"
    assert chosen.worth.nested_gain is not None
    assert chosen.worth.nested_gain.mean == pytest.approx(16 / 18 - 12 / 16)  # every fold speaks for the same run
    assert read_stored(Selection, made.space.selection) == chosen
    shown = capsys.readouterr().out
    assert "* default/wide" in shown
    assert "mean over 5 patients" in shown
    assert "on patients that it was not chosen by" in shown


def test_runs_that_miss_different_halves_predict_together(made: Cohort) -> None:
    """The mean of 1 and 0.29 finds what one of them misses."""
    finished_run(made, "default", sure_of(2, 6))
    finished_run(made, "other", sure_of(6, 12))
    chosen = select(workspace=made.space.root)
    assert chosen.runs == ("default/default", "default/other")
    assert chosen.chosen.plain.mean == 1
    runs, rule = choose_runs(made.space, Screen(quiet=True))
    assert [run.name for run in runs] == ["default/other", "default/default"]  # the better one first
    assert rule == chosen.chosen


def test_the_selected_ensemble_predicts_and_a_changed_choice_predicts_anew(made: Cohort, tmp_path: Path) -> None:
    finished_run(made, "default", sure_of(2, 7))
    finished_run(made, "other", sure_of(7, 12))
    select(workspace=made.space.root)
    scan, out = made.dataset.cases[0].images[0], tmp_path / "out"

    def mask_of(**options: Any) -> tuple[NDArray[np.uint8], int]:
        (path,) = predict(scan, out, workspace=made.space.root, device="cpu", **options)
        return read_mask(path)[0], path.stat().st_mtime_ns

    mask, time = mask_of()
    image, geometry = read_image(scan)
    members = [Predictor.load(run.folder, device="cpu") for run in made.space.runs()]
    soft = [member.predict(image, geometry, probabilities=True).probabilities for member in members]
    assert soft[0] is not None
    assert soft[1] is not None
    assert np.array_equal(mask, (soft[0] + soft[1])[1] / 2 > 0.5)
    assert mask_of()[1] == time
    text = json.dumps(read_json(made.space.selection))
    write_sealed(made.space.selection, json.loads(text.replace('"threshold": 0.5', '"threshold": 0.05')))
    assert mask_of()[0].sum() > mask.sum()
    (alone,) = predict(scan, tmp_path / "alone", model=made.space.runs()[0].folder, device="cpu")
    assert np.array_equal(read_mask(alone)[0], soft[0][1] > members[0].info.threshold)


def test_threshold_and_post_processing_of_each_run_go_into_its_model(made: Cohort) -> None:
    timid = finished_run(made, "default", voxels(10, at=0.45))
    islands = finished_run(made, "islands", voxels(10, wrong=3))
    chosen = select(workspace=made.space.root)
    assert (info(timid).threshold, info(timid).postprocessing) == (
        chosen.candidates[0].threshold, chosen.candidates[0].postprocessing,
    )  # fmt: skip
    assert info(timid).threshold in (0.3, 0.4)
    assert "0.5: mean Dice changes by +1.0000" in chosen.candidates[0].reasons[0]
    kept = info(islands).postprocessing
    assert kept is not None
    assert (info(islands).threshold, kept.keep_largest) == (0.5, ("lesion",))
    for run in (timid, islands):  # measured with what was chosen: ten voxels found, and no islands
        volumes = [float(row["volume_ml"]) for row in read_csv(run.volumes)]
        assert volumes == pytest.approx([10 * GRID.voxel_ml] * 5)
    assert chosen.runs == ("default/default",)  # both come to 1, and the first stands


def test_what_is_not_wholly_and_freshly_validated_is_left_out_by_name(made: Cohort) -> None:
    good = finished_run(made, "default", voxels(6))
    unfinished, unvalidated, stale, foreign = (
        finished_run(made, name, voxels(10)) for name in ("unfinished", "unvalidated", "stale", "foreign")
    )
    unfinished.fold(3).final.unlink()
    next((unvalidated.fold(1).validation / "probabilities").iterdir()).unlink()
    record = read_json(stale.fold(2).record)
    write_json(stale.fold(2).record, {**record, "train": {**record["train"], "gone": "0"}})
    write_json(foreign.model, {**read_json(foreign.model), "labels": {"background": 0, "node": 1}})
    with pytest.raises(DatasetError, match=r"--strict.*\n.*4 runs, not cross-validated as a whole: default/foreign"):
        select(workspace=made.space.root, left=Inventory(strict=True))
    assert not made.space.selection.exists()
    with pytest.warns(LeftOutWarning, match="4 runs, not cross-validated as a whole: default/foreign .it was"):
        chosen = select(workspace=made.space.root)
    assert chosen.runs == (good.name,)
    assert [candidate.runs for candidate in chosen.candidates] == [(good.name,)]
    why = chosen.left_out
    assert "fold 3 is not trained; `vmseg_train 3 --trainer MODULE:CLASS`" in why["default/unfinished"]
    assert "fold 1 is not wholly validated" in why["default/unvalidated"]
    assert "fold 2 is stale (training cases removed: gone)" in why["default/stale"]
    assert "other labels" in why["default/foreign"]


def test_a_fold_whose_training_cases_were_corrected_since_is_compared_and_said(
    made: Cohort, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its weights have still not seen what they were scored on."""
    run = finished_run(made, "default", voxels(6))
    record = read_json(run.fold(2).record)
    first = min(record["train"])
    write_json(run.fold(2).record, {**record, "train": {**record["train"], first: "corrected"}})
    assert select(workspace=made.space.root, console=Screen(quiet=True)).left_out == {}
    changed = f"default/default are used that were trained before this: - fold 2: training cases changed: {first}"
    assert changed in " ".join(capsys.readouterr().err.split())


def test_nothing_to_compare_is_refused_with_what_is_lacking(made: Cohort) -> None:
    with pytest.raises(InputError, match=r"no run .* cross-validated yet.*`vmseg_train 0 1 2 3 4`"):
        select(workspace=made.space.root)
    finished_run(made, "default", voxels(6)).fold(0).final.unlink()
    with pytest.raises(InputError, match=r"default/default: fold 0 is not trained"):
        select(workspace=made.space.root)
    assert not made.space.selection.exists()


def test_damaged_probabilities_are_named(made: Cohort) -> None:
    run = finished_run(made, "default", voxels(6))
    path = next((run.fold(0).validation / "probabilities").iterdir())
    write_probabilities(path, np.zeros((1, 2, 2, 2), dtype=np.uint8))
    with pytest.raises(InputError, match=f"case {path.stem}.*Delete this file"):
        select(workspace=made.space.root)


def test_patients_who_turn_out_to_stand_on_both_sides_are_refused(made: Cohort) -> None:
    """Three of five cases are said to be one patient's after the split was made: no choice on it would be honest."""
    description = made.space.root / "dataset" / "dataset.json"
    shutil.copytree(made.dataset.cases[0].images[0].parents[1], description.parent)
    patients = {"a": "anna", "b": "anna", "c": "anna"}
    description.write_text(json.dumps({**json.loads(description.read_text()), "patients": patients}))

    def validation(case: Case, reference: NDArray[np.bool_]) -> Foreground:
        return voxels(4 if case.id in patients else 10)(case, reference)

    finished_run(made, "default", validation)
    with pytest.raises(DatasetError, match="has patients on both sides: anna"):
        select(dataset=description.parent, workspace=made.space.root)


def test_without_a_selection_several_runs_are_listed(made: Cohort) -> None:
    with pytest.raises(InputError, match="no model is trained"):
        choose_runs(made.space, Screen(quiet=True))
    only = finished_run(made, "default", voxels(6))
    assert choose_runs(made.space, Screen(quiet=True)) == ([only], None)
    other = finished_run(made, "other", voxels(6))
    with pytest.raises(InputError, match=f"(?s)several models.*{only.folder}.*{other.folder}"):
        choose_runs(made.space, Screen(quiet=True))


def test_a_selected_run_that_is_gone_or_trained_anew_is_said(made: Cohort, capsys: pytest.CaptureFixture[str]) -> None:
    run = finished_run(made, "default", voxels(6))
    select(workspace=made.space.root)
    choose_runs(made.space, Screen(quiet=True))
    assert capsys.readouterr().err == ""
    record = read_json(run.fold(0).record)
    write_json(run.fold(0).record, {**record, "config": {**record["config"], "epochs": 9}})
    choose_runs(made.space, Screen(quiet=True))
    assert "the folds of default/default are not those that were selected" in capsys.readouterr().err
    shutil.rmtree(run.folder)
    with pytest.raises(InputError, match=r"it chooses default/default, which is no longer here.*vmseg_select"):
        choose_runs(made.space, Screen(quiet=True))
