"""A sound workspace is called so; what is damaged, stale or left over is named with what to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from leftovers import left_by_a_killed_command
from workspaces import Cohort, cohort, finished_run

from vmseg_auto.cli.doctor import main
from vmseg_auto.data.images.images import read_mask, write_mask
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.models.checkpoints import save_checkpoint
from vmseg_auto.models.final_checkpoint import load_final, save_final
from vmseg_auto.utils.atomic import read_json, write_sealed
from vmseg_auto.utils.console import Silent
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.locks import locked
from vmseg_auto.workflows.doctor import Diagnosis, doctor
from vmseg_auto.workflows.paths import read_plan
from vmseg_auto.workflows.select import select


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """A cohort with one finished run, chosen."""
    made = cohort(tmp_path_factory.mktemp("cohort"))
    finished_run(made, "default", lambda case, reference: reference.astype(np.float32))
    select(workspace=made.space.root)
    return made


@pytest.fixture
def made(sound: Cohort, tmp_path: Path) -> Cohort:
    """The same, to be spoiled: with dataset and workspace of its own."""
    folder = shutil.copytree(sound.space.root.parent, tmp_path / "cohort")
    space = Workspace(folder / "vmseg")
    write_sealed(space.dataset, {**read_json(space.dataset), "folder": str(folder)})
    return replace(sound, space=space)


def look(made: Cohort, thorough: bool = False) -> Diagnosis:
    return doctor(made.space.root, thorough=thorough, jobs=1)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


@pytest.mark.parametrize("thorough", [False, True])
def test_all_is_well(made: Cohort, thorough: bool) -> None:
    before = {path: path.read_bytes() for path in made.space.root.rglob("*") if path.is_file()}
    found = look(made, thorough)
    assert found.findings == ()
    (note,) = found.notes
    assert note.startswith("the plan of default is for ")
    assert note.endswith(" GiB of a GPU")
    assert found.workspace == made.space
    assert found.environment["torch"] == torch.__version__.partition("+")[0] or "+" in found.environment["torch"]
    assert "CPU" in found.environment["device 0"] or torch.cuda.is_available()
    assert found.environment["disk"].endswith("B free")
    assert {path: path.read_bytes() for path in made.space.root.rglob("*") if path.is_file()} == before


def test_a_torch_that_spoils_masks_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert doctor().findings == ()
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    (finding,) = doctor().findings
    assert "comes with cuDNN 9.10, which refuses or spoils 3-D convolutions in 16 bits" in str(finding)
    assert "install PyTorch 2.11 or newer" in str(finding)


def test_the_command_says_so(made: Cohort, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-w", str(made.space.root)]) == 0
    shown = capsys.readouterr().out
    assert "vmseg_auto ........." in shown
    assert "All is well, as far as a quick look tells" in shown
    (made.space.run("default", "default").model).write_text("{")
    assert main(["-w", str(made.space.root), "--quiet"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("vmseg_doctor: these want attention\n  - ")
    assert "model.json: the file is no valid JSON" in err
    assert main(["-w", str(made.space.root / "nowhere")]) == 2


def test_without_a_workspace_the_machine_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = doctor()
    assert (found.workspace, found.findings, found.notes) == (None, (), ())
    assert found.environment["Python"]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="there is no such workspace"):
        doctor(tmp_path / "nowhere")


Spoil = Callable[[Cohort], object]


def first_preprocessed(made: Cohort) -> Path:
    return made.space.preprocessed(read_plan(made.space, None).voxels_hash) / "a.npy"


def infinite_weights(made: Cohort) -> None:
    path = made.space.run("default", "default").fold(1).final
    checkpoint = load_final(path)
    next(iter(checkpoint.weights.values())).fill_(torch.inf)
    save_final(path, checkpoint)


def corrected_mask(made: Cohort) -> None:
    path = made.space.root.parent / "labelsTr" / "b.nii.gz"
    mask, geometry = read_mask(path)
    write_mask(path, np.ascontiguousarray(mask[:, ::-1]), geometry)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda made: made.space.splits.write_text("[]"), "splits.json: this split can't be used"),
        (lambda made: made.space.fingerprint.write_text('{"schema": 99}'), "fingerprint.json has schema 99"),
        (lambda made: made.space.run("default", "default").fold(0).record.unlink(), "fold_0: it is not recorded"),
        (lambda made: flip(made.space.run("default", "default").fold(0).final), "checkpoint_final.safetensors"),
        (infinite_weights, "holds NaN or infinite numbers"),
        (
            lambda made: first_preprocessed(made).unlink(),
            "not preprocessed for the plan of default, or not as they are now: a",
        ),
        (lambda made: first_preprocessed(made).write_bytes(b"cut"), "a.npy: the file can't be read"),
        (lambda made: (made.space.root.parent / "imagesTr" / "c_0000.nii.gz").unlink(), "c.nii.gz"),
        (lambda made: shutil.rmtree(made.space.root.parent / "imagesTr"), "imagesTr: there is no such folder"),
    ],
    ids=["split", "schema", "record", "checkpoint", "weights", "unpreprocessed", "cut", "scan", "dataset"],
)
def test_what_a_quick_look_finds(made: Cohort, spoil: Spoil, words: str) -> None:
    spoil(made)
    assert words in "\n".join(map(str, look(made).findings))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda made: flip(first_preprocessed(made)), "a.npy: the file is damaged: its checksum differs"),
        (corrected_mask, "the dataset has changed since it was planned for (files changed: b)"),
        (lambda made: flip(next(made.space.root.rglob("probabilities/*.npz"))), ".npz: the file can't be read"),
        (lambda made: next(made.space.root.rglob("validation/*.nii.gz")).write_bytes(b"x"), "the file is no image"),
    ],
    ids=["preprocessed", "mask", "probabilities", "prediction"],
)
def test_what_a_thorough_look_finds(made: Cohort, spoil: Spoil, words: str) -> None:
    spoil(made)
    assert look(made).findings == ()
    assert words in "\n".join(map(str, look(made, thorough=True).findings))


def test_a_fold_whose_folder_is_gone_is_named(made: Cohort) -> None:
    shutil.rmtree(made.space.run("default", "default").fold(3).folder)
    notes = "\n".join(look(made).notes)
    assert "fold_3 is gone; `vmseg_train 3 " in notes


def test_what_is_worth_knowing(made: Cohort) -> None:
    fold = made.space.run("default", "default").fold(2)
    save_checkpoint(fold.latest, load_final(fold.final))
    fold.final.unlink()
    (made.space.root / "plans" / left_by_a_killed_command("plan.json")).touch()
    made.space.decoded.mkdir()
    made.space.preprocessed("0123").mkdir()
    (made.space.preprocessed("0123") / "a.npy").write_bytes(bytes(2000))
    with locked(made.space.run("default", "default").fold(4).lock, "vmseg_train 4", Silent()):
        found = look(made)
    assert found.findings == ()
    notes = "\n".join(found.notes)
    for words in (
        "at work: vmseg_train 4 (process",
        "fold_2 is not trained to its end",
        "decoded was left by a killed command",
        "1 unfinished files",
        "0123 belongs to no plan any more; deleting it frees 2 kB",
    ):
        assert words in notes


def test_preprocessed_cases_of_a_plan_that_can_not_be_read_are_not_called_spare(made: Cohort) -> None:
    path = made.space.plan("default")
    path.write_text(path.read_text().replace('"schema": 2', '"schema": 1'))
    found = look(made)
    assert "plan.json has schema 1" in "\n".join(map(str, found.findings))
    assert "belongs to no plan" not in "\n".join(found.notes)


def test_weights_of_another_fold_or_trainer_and_weights_that_are_gone_are_named(made: Cohort) -> None:
    run = made.space.run("default", "default")
    checkpoint = load_final(run.fold(0).final)
    shutil.copy(run.fold(1).final, run.fold(0).final)
    save_final(run.fold(2).final, replace(checkpoint, fold=2, trainer="other"))
    run.fold(3).final.unlink()
    found = look(made)
    words = "\n".join(map(str, found.findings))
    assert "this checkpoint is not of fold 0 of this model (it is fold 1's)" in words
    assert "fold 2 of this model (it was trained by the trainer other, the model by default)" in words
    command = f"vmseg_train 3 --planner default --trainer default -w {made.space.root}"
    assert f"{run.fold(3).folder} has no weights; `{command}` trains it" in found.notes
