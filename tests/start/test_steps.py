"""Steps: the command of each is what a person would type, and how each stands is read from files."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_cohort import small_cohort
from starting import export

from vmseg_auto.cli.make_dataset import parser as make_dataset_parser
from vmseg_auto.cli.plan_and_preprocess import parser as plan_parser
from vmseg_auto.cli.predict import parser as predict_parser
from vmseg_auto.cli.report import parser as report_parser
from vmseg_auto.cli.review import parser as review_parser
from vmseg_auto.cli.train import parser as train_parser
from vmseg_auto.data.dataset_key import KeyRow, write_dataset_key
from vmseg_auto.data.made_dataset import key_beside
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.start.fields import checked
from vmseg_auto.start.jobs import Job
from vmseg_auto.start.place import Place
from vmseg_auto.start.steps import STEPS, reports, step_of
from vmseg_auto.utils.atomic import write_json
from vmseg_auto.utils.console import Silent
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.locks import locked
from vmseg_auto.workflows.paths import read_fingerprint, read_plan, read_splits, record_now
from vmseg_auto.workflows.plan import plan_and_preprocess

PARSERS = (
    make_dataset_parser(), plan_parser(), train_parser(), predict_parser(), review_parser(), report_parser(),
)  # fmt: skip


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A start folder with an export and a dataset that is planned."""
    root = export(tmp_path_factory.mktemp("start"))
    plan_and_preprocess(small_cohort(root / "mine", 3), memory_gb=0.1)
    (root / "masks_there").mkdir()
    (root / "masks_there" / "sources.csv").write_text("case,channel,source,files,inputs\neva,0,eva,1,..\n")
    return root


def command(root: Path, name: str, **given: str) -> str:
    place = Place.of(root, None)
    step = step_of(name)
    words = step.command(place, checked(step.fields(place), given))
    parser = next(parser for parser in PARSERS if parser.prog == words[0])
    parser.parse_args(words[1:])
    return " ".join(words)


def states(root: Path) -> dict[str, str]:
    place = Place.of(root, None)
    return {step.name: step.standing(place).state for step in STEPS}


def test_of_an_empty_folder_the_export_comes_first(tmp_path: Path) -> None:
    assert states(tmp_path) == {
        "export": "ready", "pairs": "waiting", "check": "waiting", "plan": "waiting", "train": "waiting",
        "predict": "waiting", "review": "waiting", "report": "waiting",
    }  # fmt: skip


def test_an_export_alone_is_no_scans_and_masks(tmp_path: Path) -> None:
    shutil.rmtree(export(tmp_path) / "masks")
    shutil.rmtree(tmp_path / "new_scans")
    standing = step_of("export").standing(Place.of(tmp_path, None))
    assert standing.state == "ready"
    assert standing.words.endswith("There is export (4 folders, 0 files).")
    (tmp_path / "export" / "drawn_masks").mkdir()
    assert states(tmp_path)["export"] == "done"


def test_nothing_is_planned_while_a_fold_is_trained(planned: Path) -> None:
    step, fold = step_of("plan"), Place.of(planned, None).space.run("default", "default").fold(0)
    fold.folder.mkdir(parents=True)
    with locked(fold.lock, "vmseg_train 0", Silent()):
        assert step.in_the_way(Place.of(planned, None)).startswith("It is being trained on (fold 0: vmseg_train 0")
    assert step.in_the_way(Place.of(planned, None)) == ""
    shutil.rmtree(fold.folder.parents[1])


def test_scans_and_masks_are_guessed_by_their_names(tmp_path: Path) -> None:
    assert states(export(tmp_path))["pairs"] == "ready"
    assert command(tmp_path, "pairs") == (
        "vmseg_make_dataset -i export -m masks -o my_patients --patients folders --test-share 0.2"
    )


@pytest.mark.parametrize(
    ("step", "answers", "words"),
    [
        ("pairs", {"dataset": "mine", "visits": "join"},
         "vmseg_make_dataset -i export -m masks -o mine --add --visits join"),
        ("pairs", {"dataset": "mine", "tests": "0.3"},
         "vmseg_make_dataset -i export -m masks -o mine --add --test-share 0.3"),
        ("pairs", {"dataset": "", "name": "second"},
         "vmseg_make_dataset -i export -m masks -o second --patients folders --test-share 0.2"),
        ("check", {}, "vmseg_plan_and_preprocess -d mine --check-only"),
        ("plan", {"memory": "24", "planner": "residual"},
         "vmseg_plan_and_preprocess -d mine --planner residual --memory 24"),
        ("train", {"hours": "2"}, "vmseg_train 0 1 2 -d mine --hours 2"),
        ("train", {"folds": "1", "trainer": "quick", "epochs": "3", "iterations": "4", "fresh": "yes"},
         "vmseg_train 1 -d mine --trainer quick --set epochs=3 iterations_per_epoch=4 --fresh"),
        ("predict", {"uncertainty": "yes", "series": "*_T2"},
         "vmseg_predict -d mine -i new_scans -o new_masks --previews --save-uncertainty --series *_T2"),
        ("predict", {"masks": "masks_there", "previews": ""}, "vmseg_predict -d mine -i new_scans -o masks_there"),
        ("review", {"reader": "Dr Ada"},
         "vmseg_review -i masks_there --add-to mine --reader Dr Ada --no-browser"),
        ("review", {"what": "mine"}, "vmseg_review -d mine --no-browser"),
        ("report", {}, "vmseg_report -d mine -i masks_there"),
        ("report", {"what": "mine"}, "vmseg_report -d mine"),
    ],
)  # fmt: skip
def test_a_command_is_what_a_person_would_type(planned: Path, step: str, answers: dict[str, Any], words: str) -> None:
    place = Place.of(planned, "mine")
    one = step_of(step)
    built = one.command(place, checked(one.fields(place), answers))
    assert " ".join(built) == words
    next(parser for parser in PARSERS if parser.prog == built[0]).parse_args(built[1:])


def test_steps_stand_as_the_files_say(planned: Path) -> None:
    assert states(planned) == {
        "export": "done", "pairs": "done", "check": "done", "plan": "done", "train": "ready", "predict": "waiting",
        "review": "ready", "report": "ready",
    }  # fmt: skip
    place = Place.of(planned, None)
    assert step_of("review").standing(place).words == "masks_there: 0 of 1 decided."
    assert step_of("plan").standing(place).words == "Planned (default) for 3 cases in 3 folds."


def test_a_case_that_is_new_makes_the_plan_old(tmp_path: Path) -> None:
    plan_and_preprocess(small_cohort(tmp_path / "mine", 3), memory_gb=0.1)
    small_cohort(tmp_path / "mine", 4)
    standing = step_of("plan").standing(Place.of(tmp_path, None))
    assert standing.state == "ready"
    assert "1 case new, 0 cases gone" in standing.words
    assert step_of("check").standing(Place.of(tmp_path, None)).state == "ready"


def test_folds_of_an_older_plan_or_split_are_to_be_trained_again(tmp_path: Path) -> None:
    plan_and_preprocess(small_cohort(tmp_path / "mine", 3), memory_gb=0.1)
    space = Workspace(tmp_path / "mine" / "vmseg")
    fingerprint, splits, plan = read_fingerprint(space), read_splits(space), read_plan(space, None)
    for number in range(3):
        fold = space.run("default", "quick").fold(number)
        record = record_now(fingerprint, splits, plan, TrainingConfig(epochs=1), number)
        write_json(fold.record, record.to_json())
        fold.final.touch()
    standing = step_of("train").standing(Place.of(tmp_path, None))
    assert (standing.state, standing.words) == ("done", "3 of 3 folds are trained.")
    old = replace(record, train={**record.train, next(iter(record.train)): "changed"})
    write_json(fold.record, old.to_json())
    standing = step_of("train").standing(Place.of(tmp_path, None))
    assert standing.state == "ready"
    assert "to be trained again: 2." in standing.words


def test_nothing_is_written_over(planned: Path) -> None:
    place = Place.of(planned, None)
    for step, name, given in (
        ("pairs", "export", {"dataset": "", "name": "export"}),
        ("pairs", "mine", {"dataset": "", "name": "mine"}),
        ("predict", "export", {"masks": "export"}),
    ):
        answers = checked(step_of(step).fields(place), given)
        with pytest.raises(InputError, match=f"something called {name} already"):
            step_of(step).command(place, answers)


def test_predictions_go_into_a_folder_that_was_made_for_them_alone(planned: Path) -> None:
    """Not into one whose name an earlier command holds for another reason."""
    run = ("vmseg_predict", "-d", "mine", "-i", "export", "-o", "new_masks")
    place = Place.of(planned, "mine", [Job(1, "predict", "mine", run, "", "", 0, "now", 1)])
    answers = {"scans": "new_scans", "previews": "", "uncertainty": "", "series": ""}
    for masks in ("mine", "export", "new_scans"):
        with pytest.raises(InputError, match=f"something called {masks} already"):
            step_of("predict").command(place, {**answers, "masks": masks})
    (planned / "new_masks" / "logs").mkdir(parents=True)  # it was stopped before its first mask
    place = Place.of(planned, "mine", place.jobs)
    try:
        assert step_of("predict").command(place, {**answers, "masks": "new_masks"})[-1] == "new_masks"
        with pytest.raises(InputError, match="something called new_masks already"):
            step_of("predict").command(place, {**answers, "scans": "new_masks", "masks": "new_masks"})
    finally:
        shutil.rmtree(planned / "new_masks")


def test_a_dataset_with_any_name_grows_and_keeps_its_share_of_tests(tmp_path: Path) -> None:
    export(tmp_path)
    name = "two studies/my patients"
    small_cohort(tmp_path / name, 3)
    assert command(tmp_path, "pairs") == f"vmseg_make_dataset -i export -m masks -o {name} --add"
    sides = ("train", "test", "train", "train", "removed")
    rows = [KeyRow(f"case_{n}", f"patient_{n}", side, str(n), image_hash=str(n)) for n, side in enumerate(sides)]
    write_dataset_key(
        key_beside(tmp_path / name), [replace(row, source_patient="") if row.removed else row for row in rows]
    )
    assert command(tmp_path, "pairs").endswith(f"-o {name} --add --test-share 0.25")


def test_reports_are_those_that_stand(planned: Path) -> None:
    assert reports(Place.of(planned, None)) == []
    (planned / "mine" / "vmseg" / "report.html").write_text("<p>")
    assert reports(Place.of(planned, None)) == ["mine/vmseg/report.html"]
    (planned / "mine" / "vmseg" / "report.html").unlink()


def test_what_is_not_there_is_named(planned: Path) -> None:
    with pytest.raises(InputError, match="not there any more"):
        Place.of(planned, "../mine")
    with pytest.raises(InputError, match="no such step"):
        step_of("format")
