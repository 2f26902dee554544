"""Planners and trainers are found by name, or in the user's own file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.registry import load_planner, load_trainer, names
from vmseg_auto.utils.errors import InputError

OWN = """
from vmseg_auto.planning.training_config import TrainingConfig

class Mine:
    name = "mine"
    config = TrainingConfig(epochs=7)
    def __call__(self, *arguments): ...

ready = Mine()

class NoTrainer:
    name = "none"

class BadName(Mine):
    name = "../elsewhere"
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the current directory."""
    module = "own_plugins_of_a_test"
    (tmp_path / f"{module}.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, module, raising=False)
    return module


@pytest.mark.parametrize("name", ["default", "quick"])
def test_installed_trainers(name: str) -> None:
    """Needs the package to be installed (pip install -e), as its entry points are."""
    trainer = load_trainer(name)
    assert trainer.name == name
    assert isinstance(trainer.config, TrainingConfig)


@pytest.mark.parametrize("name", ["2d", "cascade", "default", "lowres", "mednext_b", "mednext_s", "residual"])
def test_installed_planners(name: str) -> None:
    assert load_planner(name).name == name


def test_what_is_installed_is_listed() -> None:
    assert {"default", "residual"} <= set(names("vmseg_auto.planners"))
    trainers = names("vmseg_auto.trainers")
    assert {"default", "quick"} <= set(trainers)
    assert trainers == sorted(trainers)


@pytest.mark.parametrize("load", [load_planner, load_trainer])
def test_an_unknown_name_lists_the_known_ones(load: object) -> None:
    kind = "planner" if load is load_planner else "trainer"
    with pytest.raises(InputError, match=rf"there is no {kind} 'nobody'.*Installed are: .*default.*module:Class"):
        load("nobody")  # type: ignore[operator]


def test_a_class_or_a_ready_object_of_the_users_own(own: str) -> None:
    for what in ("Mine", "ready"):
        trainer = load_trainer(f"{own}:{what}")
        assert trainer.name == "mine"
        assert trainer.config.epochs == 7
    assert load_planner(f"{own}:Mine").name == "mine"


def test_an_installed_class_by_its_path() -> None:
    assert load_trainer("vmseg_trainers.quick:QuickTrainer").name == "quick"
    assert load_planner("vmseg_planners.default:DefaultPlanner").name == "default"


def test_what_is_no_trainer_is_refused(own: str) -> None:
    with pytest.raises(InputError, match=r"is no trainer: it lacks __call__, config"):
        load_trainer(f"{own}:NoTrainer")


def test_a_name_that_leaves_the_workspace_is_refused(own: str) -> None:
    with pytest.raises(InputError, match=r"'\.\./elsewhere' can't name a folder"):
        load_trainer(f"{own}:BadName")


@pytest.mark.parametrize("name", ["no_such_module_at_all:Mine", "{own}:Absent", ":Mine", "{own}:", ".relative:Mine"])
def test_what_can_not_be_imported_is_refused(own: str, name: str) -> None:
    with pytest.raises(InputError, match=r"can't be imported .*module\.py in the current directory"):
        load_trainer(name.format(own=own))


def test_a_mistake_in_the_users_file_is_shown_as_it_is(own: str, tmp_path: Path) -> None:
    (tmp_path / "own_broken_plugin.py").write_text("def Mine(:")
    with pytest.raises(SyntaxError):
        load_trainer("own_broken_plugin:Mine")
