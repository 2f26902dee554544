"""Each command says which comes next, as it can be copied; those given the wrong folder, which would be right."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from workspaces import cohort, trained_run

from benchmarks.reliability.cohort import IN_THREADS, MEMORY_GB, SETTINGS, write_cohort
from vmseg_auto.cli import model, plan_and_preprocess, predict, select, train
from vmseg_auto.cli.common import in_place
from vmseg_auto.data.runs import Run
from vmseg_auto.utils.errors import InputError
from vmseg_trainers.default import DefaultTrainer

TRAIN = ["--device", "cpu", "--jobs", "1", "--set", *SETTINGS, IN_THREADS]


def test_from_the_check_to_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_cohort(tmp_path / "my patients", cases=2)
    places = f' -d "{folder}"'
    plan = ["-d", str(folder), "--memory", str(MEMORY_GB), "--jobs", "1"]

    def last_line() -> str:
        return capsys.readouterr().out.splitlines()[-1]

    assert plan_and_preprocess.main([*plan, "--check-only"]) == 0
    assert last_line() == f"Go on with `vmseg_plan_and_preprocess{places}`."
    assert plan_and_preprocess.main(plan) == 0
    assert last_line() == f"Go on with `vmseg_train 0 1{places}`."
    assert train.main(["0", "-d", str(folder), *TRAIN]) == 0
    told = re.search(r"fold 1 is not trained; `(vmseg_train 1 --set .*)` does it", last_line())
    assert told
    assert plan_and_preprocess.main(plan) == 0
    assert last_line() == f"Go on with `{told[1]}`."
    given = train.parser().parse_args(shlex.split(told[1])[1:])
    config = DefaultTrainer.config
    assert config.with_settings(given.set) == config.with_settings([*SETTINGS, IN_THREADS])
    assert given.dataset == str(folder)
    after = f"Go on with `vmseg_report{places}` or `vmseg_predict -i SCANS -o MASKS{places}`."
    assert train.main(["1", "-d", str(folder), *TRAIN]) == 0
    assert last_line() == after
    assert select.main(["-d", str(folder)]) == 0
    assert last_line() == after
    assert plan_and_preprocess.main(plan) == 0
    assert "Go on" not in capsys.readouterr().out
    masks = tmp_path / "masks"
    scans = ["-i", str(folder / "imagesTs"), "-o", str(masks), "-d", str(folder), "--device", "cpu"]
    assert predict.main(scans) == 0
    *said, slicer, snap, following = capsys.readouterr().out.splitlines()
    assert f"1 mask and volumes.csv in the folder {masks}" in said
    assert any(line.startswith("No interval of a volume") for line in said), "two patients are too few"
    assert "3D Slicer: Slicer --python-code" in slicer
    assert "ITK-SNAP:  itksnap -g" in snap
    assert f"`vmseg_report -i {masks}`" in following
    assert predict.main(scans) == 0
    assert "1 of them had been made before" in capsys.readouterr().out


def test_a_workspace_of_another_dataset_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, other = write_cohort(tmp_path / "one", cases=2), write_cohort(tmp_path / "other", cases=2)
    for path in [*other.glob("imagesTr/*"), *other.glob("labelsTr/*")]:
        path.rename(path.with_name(f"x{path.name}"))
    space = folder / "vmseg"
    assert plan_and_preprocess.main(["-d", str(folder), "--memory", str(MEMORY_GB)]) == 0
    before = (space / "fingerprint.json").read_bytes()
    for main, first in ((plan_and_preprocess.main, []), (train.main, ["0", *TRAIN])):
        assert main([*first, "-d", str(other), "-w", str(space)]) == 2
        assert "belongs to another dataset, one: none of its 2 cases is in other. Name" in capsys.readouterr().err
    assert (space / "fingerprint.json").read_bytes() == before
    shutil.rmtree(folder / "imagesTr")
    assert train.main(["0", *TRAIN, "-w", str(space)]) == 2
    assert "name it with -d" in capsys.readouterr().err


def test_a_model_that_lacks_a_fold_names_the_command_that_trains_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = cohort(tmp_path / "my patients")
    run = trained_run(made, "nnunet")
    run.fold(3).final.unlink()
    zipped = str(tmp_path / "model.zip")
    for given in (["-w", str(made.space.root)], ["-m", str(run.folder)]):
        assert model.main(["export", *given, "-o", zipped, "--folds", "3"]) == 2
        (command,) = re.findall("`(vmseg_train .*?)`", capsys.readouterr().err)
        named = train.parser().parse_args(shlex.split(command)[1:])
        assert (named.folds, named.planner, named.trainer) == ([3], "default", "nnunet")
        assert Path(named.workspace).samefile(made.space.root)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run.folder, tmp_path / "a" / "b" / "copy")
    with pytest.raises(InputError, match=r"has no fold 3; it has .*\. Choose other folds\.$"):
        Run(tmp_path / "a" / "b" / "copy").usable_folds([3])


def test_a_trainer_of_ones_own_is_named_by_its_module(tmp_path: Path) -> None:
    run = trained_run(cohort(tmp_path), "mine")
    assert "--trainer MODULE:CLASS" in str(run.train_command([0]))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("Run `vmseg_train 1 --trainer paper` first.", 'Run `vmseg_train 1 --trainer paper -d "my data" -w w` first.'),
        ("`vmseg_select` or `vmseg_report`", '`vmseg_select -d "my data" -w w` or `vmseg_report -d "my data" -w w`'),
        ("`vmseg_train 0 -w other`", "`vmseg_train 0 -w other`"),
        ("`vmseg_report -i masks`", "`vmseg_report -i masks`"),
        ("`vmseg_predict --overwrite-edited`", "`vmseg_predict --overwrite-edited`"),
        ("`vmseg_predict -m a.zip -i SCANS -o MASKS`", "`vmseg_predict -m a.zip -i SCANS -o MASKS`"),
    ],
)
def test_a_hint_is_given_the_places_in_use(given: str, told: str) -> None:
    arguments = train.parser().parse_args(["0", "-d", "my data", "-w", "w"])
    assert in_place(given, arguments) == told
    assert in_place(given, train.parser().parse_args(["0"])) == given
