"""Loggers hear each epoch, and none can stop a training."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest
from workspaces import Cohort, cohort

from vmseg_auto.cli import train as command
from vmseg_auto.data.runs import FoldFolder

OWN = """
class Keeps:
    name = "keeps"
    def __call__(self, folder, title, settings):
        folder.mkdir(parents=True)
        self.file = folder / "heard.txt"
        self.note(f"{title} {settings['trainer']} {settings['fold']} {settings['epochs']}")
        return self
    def note(self, text):
        with self.file.open("a") as file:
            file.write(text + "\\n")
    def log(self, epoch, values):
        assert "epoch" not in values
        self.note(f"{epoch} {values['train_loss']!r} {'gap' in values}")
    def close(self):
        self.note("closed")

class Breaks(Keeps):
    name = "breaks"
    def log(self, epoch, values):
        raise ConnectionError("the server is down")

class NeverBegins:
    name = "never"
    def __call__(self, folder, title, settings):
        raise PermissionError("no account")
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_loggers_of_a_test.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return "own_loggers_of_a_test"


def train(made: Cohort, trainer: str, *arguments: str) -> int:
    settings = (
        "--set",
        "epochs=2",
        "iterations_per_epoch=1",
        "validation_share=0",
        "mirror_axes=[]",
        "tile_step_size=1",
        "monitor_cases=0",
    )
    where = ("-w", str(made.space.root), "--trainer", trainer, "--device", "cpu")
    return command.main(["0", *where, *settings, *arguments])


def history(fold: FoldFolder) -> list[dict[str, str]]:
    with fold.history.open(newline="") as file:
        return list(csv.DictReader(file))


def test_one_hears_all_and_one_that_fails_is_left_out(
    made: Cohort, own: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(made, "quick", "--logger", f"{own}:Keeps", f"{own}:Breaks") == 0
    rows = history(made.space.run("default", "quick").fold(0))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    first, *epochs, last = (made.space.tracking("keeps") / "heard.txt").read_text().splitlines()
    assert (first, last) == ("default/quick/fold_0 quick 0 2", "closed")
    for epoch, row in zip(epochs, rows, strict=True):
        number, loss, has_gap = epoch.split()
        assert (number, has_gap) == (row["epoch"], "False")
        assert float(loss) == pytest.approx(float(row["train_loss"]), rel=1e-4)
    assert len((made.space.tracking("breaks") / "heard.txt").read_text().splitlines()) == 1
    err = capsys.readouterr().err
    assert err.count("the logger breaks failed and gets no more of default/quick/fold_0 (the server is down)") == 1


def test_one_that_can_not_begin_is_said_before_anything_is_trained(
    made: Cohort, own: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(made, "default", "--logger", f"{own}:NeverBegins") == 1
    assert "the logger never can't begin (no account)" in capsys.readouterr().err
    assert not made.space.run("default", "default").fold(0).history.exists()


def test_a_missing_extra_costs_no_fold_that_is_trained(
    made: Cohort, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(made, "paper") == 0
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert train(made, "paper", "--fresh", "--logger", "wandb") == 2
    assert 'pip install "vmseg_auto[wandb]"' in capsys.readouterr().err
    assert made.space.run("default", "paper").fold(0).final.is_file()


def test_an_unknown_one_lists_the_known(made: Cohort, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(made, "default", "--logger", "paper_and_pencil") == 2
    assert "Installed are: mlflow, tensorboard, wandb. For one of your own" in capsys.readouterr().err
