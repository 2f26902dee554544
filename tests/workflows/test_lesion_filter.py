"""A lesion filter is learnt from cross-validation, stored as numbers, and tells of all that it leaves out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from workspaces import GRID, Cohort, ValidationRecord, cohort, finished_run, trained_run

from vmseg_auto.cli.common import Screen
from vmseg_auto.cli.predict import main as predict_main
from vmseg_auto.data.dataset import Case
from vmseg_auto.data.images.images import read_mask
from vmseg_auto.data.runs import Run
from vmseg_auto.evaluation.component_classifier import ComponentClassifier
from vmseg_auto.evaluation.component_features import FEATURES
from vmseg_auto.evaluation.lesion_filter import LesionFilter
from vmseg_auto.inference.predictor import Predictor
from vmseg_auto.models.model import ModelInfo
from vmseg_auto.report.write import write_report
from vmseg_auto.selection.lesion_filter_record import FilterFigures
from vmseg_auto.utils.atomic import read_stored, write_sealed
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.tables import read_csv
from vmseg_auto.workflows.export import export_model
from vmseg_auto.workflows.predict import predict
from vmseg_auto.workflows.prediction_record import PredictionRecord
from vmseg_auto.workflows.select import select
from vmseg_auto.workflows.validate import finish_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return cohort(tmp_path_factory.mktemp("cohort"), cases=10)


def pieces(case: Case, reference: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Every second voxel of the bar, five components; and five false ones of one voxel, less sure, in another slice."""
    foreground = np.zeros(reference.shape, dtype=np.float32)
    z, y, x = (axis[::2] for axis in np.nonzero(reference))
    foreground[z, y, x] = 0.95
    foreground[0, 0, 1:11:2] = 0.85
    return foreground


def filter_of(chance: float, least: float) -> LesionFilter:
    """One that says the same of every component."""
    zeros = (0.0,) * len(FEATURES)
    odds = float(np.log(chance / (1 - chance)))
    return LesionFilter(
        {"lesion": ComponentClassifier(FEATURES, zeros, zeros, odds, 100, 50, 10)}, {"lesion": least}, ()
    )


def with_filter(run: Run, lesion_filter: LesionFilter | None) -> Path:
    info = read_stored(ModelInfo, run.model)
    write_sealed(run.model, replace(info, lesion_filter=lesion_filter).to_json())
    return run.folder


def totals(folder: Path) -> list[dict[str, str]]:
    return [row for row in read_csv(folder / "volumes.csv") if row["component"] == "all"]


def test_selecting_learns_a_filter_and_reports_it(
    made: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = finished_run(made, "default", pieces)
    assert finish_run(run, made.space, made.fingerprint, made.splits, made.dataset, Screen(quiet=True))
    select(workspace=made.space.root, console=Screen(quiet=False))
    assert "Lesion filter: lesion: with p_lesion of at least" in capsys.readouterr().out
    learnt = read_stored(ModelInfo, run.model).lesion_filter
    assert learnt is not None
    assert learnt.least["lesion"] > 0
    rows = read_csv(run.components)
    assert len(rows) == 100
    wrong, right = ([float(row["p_lesion"]) for row in rows if row["touches_lesion"] == kind] for kind in "01")
    assert max(wrong) < learnt.least["lesion"] <= min(right)
    (one,) = read_stored(FilterFigures, run.lesion_filter).labels
    assert [(level.components, level.touching) for level in one.levels if level.least in (0, one.chosen)] == [
        (100, 50), (50, 50),
    ]  # fmt: skip
    volumes = read_csv(run.volumes)  # of five voxels, as the false ones are left out
    assert {float(row["volume_ml"]) for row in volumes} == {5 * GRID.voxel_ml}
    write_report(output=tmp_path / "report.html", workspace=made.space.root)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Single components: lesion or not" in page
    assert "Brier score of p_lesion" in page


def test_too_few_patients_learn_none_and_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = cohort(tmp_path / "small", cases=5)
    run = finished_run(small, "default", pieces)
    select(workspace=small.space.root, console=Screen(quiet=False))
    why = "lesion: no lesion filter: without the patients of one fold too little is left to learn from"
    assert why in capsys.readouterr().out
    learnt = read_stored(ModelInfo, run.model).lesion_filter
    assert learnt is not None
    assert (learnt.classifiers, learnt.reasons) == ({}, (why,))
    with pytest.raises(InputError, match="the model has no lesion filter"):
        predict(small.dataset.cases[0].file, tmp_path / "out", model=run.folder, min_lesion_probability=0.5)


def test_each_component_has_its_probability_in_table_and_record(made: Cohort, scans: Path, tmp_path: Path) -> None:
    model = with_filter(trained_run(made, "default"), filter_of(0.3, least=0.0))
    predict(scans, tmp_path / "out", model=model, device="cpu")
    rows = [row for row in read_csv(tmp_path / "out" / "volumes.csv") if row["component"] != "all"]
    assert rows
    assert {round(float(row["p_lesion"]), 6) for row in rows} == {0.3}
    assert [(row["left_out"], row["left_out_ml"]) for row in totals(tmp_path / "out")] == [("0", "0")] * 2
    record = read_stored(PredictionRecord, tmp_path / "out" / "new_0.json")
    assert record.left_out == ()
    assert record.volumes[1]["p_lesion"] == pytest.approx(0.3)


def test_a_scan_is_never_emptied_without_a_word(
    made: Cohort, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = with_filter(trained_run(made, "default"), filter_of(0.3, least=0.0))
    predict(scans, tmp_path / "all", model=model, device="cpu")
    with_filter(Run(model), filter_of(0.3, least=0.4))
    predict(scans, tmp_path / "none", model=model, device="cpu", console=Screen(quiet=False))
    shown = "".join(capsys.readouterr())
    assert "the lesion filter has left nothing of what was predicted" in shown
    assert "new_0: " in shown
    assert "new_1: " in shown
    for before, after in zip(totals(tmp_path / "all"), totals(tmp_path / "none"), strict=True):
        assert (int(before["components"]), before["volume_ml"]) == (int(after["left_out"]), after["left_out_ml"])
        assert (after["components"], after["voxels"]) == ("0", "0")
        assert float(after["left_out_p_lesion"]) == pytest.approx(0.3)
    record = read_stored(PredictionRecord, tmp_path / "none" / "new_0.json")
    mask, _ = read_mask(tmp_path / "all" / "new_0.nii.gz")
    assert record.emptied == ["lesion"]
    assert all(mask[one.voxel] for one in record.left_out)
    write_report(tmp_path / "none", output=tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "That was all that was predicted: look at this scan." in page


def test_a_user_asks_for_more_or_less(made: Cohort, scans: Path, tmp_path: Path) -> None:
    model = with_filter(trained_run(made, "default"), filter_of(0.3, least=0.4))
    out = tmp_path / "out"
    assert predict_main(["-i", str(scans), "-o", str(out), "-m", str(model), "--min-lesion-probability", "0"]) == 0
    kept = totals(out)
    assert all(int(row["components"]) > 0 and row["left_out"] == "0" for row in kept)
    assert {row["remark"] for row in kept} == {"components with a p_lesion below 0 were left out, as asked"}
    predict(scans, out, model=model, device="cpu", min_lesion_probability=0.4)  # as chosen: the masks are made anew
    assert {(row["components"], row["remark"]) for row in totals(out)} == {("0", "")}
    assert predict_main(["-i", str(scans), "-o", str(out), "-m", str(model), "--min-lesion-probability", "2"]) == 2


def test_the_filter_says_the_same_after_export(made: Cohort, scans: Path, tmp_path: Path) -> None:
    run = finished_run(made, "default", pieces)
    select(workspace=made.space.root)
    export_model(tmp_path / "model.zip", model=run.folder, licence="none")
    home, elsewhere = Predictor.load(run.folder, device="cpu"), Predictor.load(tmp_path / "model.zip", device="cpu")
    assert home.info.lesion_filter == elsewhere.info.lesion_filter
    assert home.info.lesion_filter is not None
    predict(scans, tmp_path / "home", model=run.folder, device="cpu", min_lesion_probability=0.0)
    predict(scans, tmp_path / "away", model=tmp_path / "model.zip", device="cpu", min_lesion_probability=0.0)
    here, there = ([row["p_lesion"] for row in read_csv(tmp_path / name / "volumes.csv")] for name in ("home", "away"))
    assert here == there
    assert any(here)


def test_an_ensemble_follows_the_filter_of_its_average(made: Cohort, scans: Path, tmp_path: Path) -> None:
    """Two runs that find one half of each bar each: together they are chosen, and their average has its own filter."""

    def half(start: int) -> ValidationRecord:
        def validation(case: Case, reference: NDArray[np.bool_]) -> NDArray[np.float32]:
            foreground = np.zeros(reference.shape, dtype=np.float32)
            z, y, x = np.nonzero(reference)
            foreground[z, y, x] = 0.3
            foreground[z[start::2], y[start::2], x[start::2]] = 0.9
            return foreground

        return validation

    for trainer, start in (("default", 0), ("wide", 1)):
        finished_run(made, trainer, half(start))
    selection = select(workspace=made.space.root)
    assert selection.runs == ("default/default", "default/wide")
    assert selection.chosen.lesion_filter is not None
    chosen = replace(selection.chosen, lesion_filter=filter_of(0.3, least=0.0))
    others = tuple(one for one in selection.candidates if one.runs != selection.runs)
    write_sealed(made.space.selection, replace(selection, candidates=(*others, chosen)).to_json())
    predict(scans, tmp_path / "out", workspace=made.space.root, device="cpu")
    rows = [row for row in read_csv(tmp_path / "out" / "volumes.csv") if row["component"] != "all"]
    assert {round(float(row["p_lesion"]), 6) for row in rows} == {0.3}
    predict(scans, tmp_path / "none", workspace=made.space.root, device="cpu", min_lesion_probability=0.5)
    assert [row["components"] for row in totals(tmp_path / "none")] == ["0", "0"]
