"""A model or workspace from a stranger runs no code, leads nowhere else and takes no memory before it is refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from trap import Trap

from benchmarks.reliability.commands import command_words
from vmseg_auto.cli import plan_and_preprocess as plan_command
from vmseg_auto.cli import predict as predict_command
from vmseg_auto.cli import train as train_command
from vmseg_auto.inference.predictor import Predictor
from vmseg_auto.models.final_checkpoint import load_final, save_final
from vmseg_auto.models.manifest import Manifest
from vmseg_auto.models.zip import write_model_zip
from vmseg_auto.planning.plan import Plan
from vmseg_auto.utils.atomic import read_json
from vmseg_auto.utils.errors import InputError
from vmseg_auto.workflows.predict import predict

RUN = "vmseg/runs/default/default"
FINAL = f"{RUN}/fold_0/checkpoint_final.safetensors"


def edit(path: Path, where: tuple[str, ...], value: Any) -> None:
    """Set a field of a JSON file, as someone would who means harm: without the checksum."""
    data = json.loads(path.read_text())
    data.pop("sha256", None)
    inner = data
    for name in where[:-1]:
        inner = inner[name]
    inner[where[-1]] = value
    path.write_text(json.dumps(data))


def forged(path: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change a checkpoint's weights and give it the checksum that goes with the change."""
    checkpoint = load_final(path)
    change(checkpoint.weights)
    save_final(path, checkpoint)


def refused_by_predict(cohort: Path, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        Predictor.load(cohort / RUN, device="cpu")
    assert caught.value.remedy or caught.value.errors
    code, told = command_words(
        predict_command.main, "-m", cohort / RUN, "-i", cohort / "imagesTs", "-o", cohort / "out", "--device", "cpu"
    )
    assert code == 2, told
    assert "Traceback" not in told
    assert not list(cohort.glob("out/*.nii.gz"))


def test_code_in_a_checkpoint_never_runs(cohort: Path) -> None:
    torch.save({"weights": Trap(cohort / "sprung")}, cohort / FINAL)
    refused_by_predict(cohort, r"checkpoint_final\.safetensors: the checkpoint is damaged or from elsewhere")
    assert not (cohort / "sprung").exists()


@pytest.mark.parametrize(
    ("value", "words"), [(torch.nan, "NaN or infinite"), (torch.inf, "NaN or infinite"), (None, "do not fit the plan")]
)
def test_weights_that_can_not_predict_are_refused(cohort: Path, value: float | None, words: str) -> None:
    def change(weights: dict[str, torch.Tensor]) -> None:
        name, tensor = next(iter(weights.items()))
        weights[name] = tensor[:1] if value is None else torch.full_like(tensor, value)

    forged(cohort / FINAL, change)
    refused_by_predict(cohort, words)


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        (("labels",), {"background": 0, "\x1b[2J": 1}, "plain letters"),
        (("labels",), {"background": 0, "lesion": 300}, "must have the values 0, 1, 2"),
        (("labels",), {f"l{n}": n for n in range(300)}, "must have the values 0, 1, 2"),
        (("channels",), ["T2"] * 9, "9 channels, but 1 normalizations"),
        (("plan", "planner"), "../../../outside", "not the plain name"),
        (("plan", "patch"), [2048, 2048, 2048], "values in a layer"),
        (("plan", "patch"), [2**40, 2**40, 2**40], "larger than 2048"),
        (("plan", "batch_size"), 10**9, "batch_size 1000000000 must be 1 to 4096"),
        (("plan", "network", "features"), [4096] * 40, "40 stages"),
        (("plan", "network", "blocks", 0), 10**6, "blocks 1 to 64"),
        (("plan", "network", "features", 0), 10**300, "64 bits"),
        (("plan", "spacing_mm", 0), 1e-300, r"0\.001 to 1000"),
        (("threshold",), 1.5, "between 0 and 1"),
        (("postprocessing", "keep_largest"), ["other"], "is about 'other', which is no label"),
        (("inference_budget",), {"budget": {"passes": -1, "gate": 0}}, "passes is -1"),
    ],
)
def test_impossible_models_are_refused(cohort: Path, where: tuple[str, ...], value: Any, words: str) -> None:
    edit(cohort / RUN / "model.json", where, value)
    refused_by_predict(cohort, words)


def test_a_network_that_no_memory_holds_is_refused_before_it_is_built(cohort: Path) -> None:
    plan = json.loads((cohort / "vmseg/plans/default/plan.json").read_text())
    stages = len(plan["network"]["features"])
    plan["network"] |= {"features": [4096] * stages, "blocks": [64] * stages}
    plan["patch"] = [8 * n for n in plan["patch"]]
    with pytest.raises(InputError, match=r"weights; 4.0e") as caught:
        Plan.from_json(plan)
    assert "values in a layer" in str(caught.value) or caught.value.exit_code == 2


def test_a_plan_names_no_code(cohort: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cohort / "evil.py").write_text("from pathlib import Path\nPath('sprung').touch()\nclass Trainer: pass\n")
    monkeypatch.chdir(cohort)
    edit(cohort / "vmseg/plans/default/plan.json", ("trainer",), "evil:Trainer")
    for main, first in ((train_command.main, (0,)), (plan_command.main, ())):
        code, told = command_words(main, *first, "-d", cohort, "-w", cohort / "vmseg")
        assert code == 2, told
        assert "trainer is 'evil:Trainer', not the plain name" in told
    assert not (cohort / "sprung").exists()


def test_labels_lead_nowhere(cohort: Path) -> None:
    edit(cohort / RUN / "model.json", ("labels",), {"background": 0, "../../../outside": 1})
    edit(cohort / RUN / "model.json", ("postprocessing",), None)
    with pytest.raises(InputError, match="this checkpoint is not of fold 0 of this model"):
        predict(cohort / "imagesTs", cohort / "out", model=cohort / RUN, save_probabilities=True, device="cpu")
    assert not list(cohort.rglob("outside*"))


@pytest.mark.parametrize("name", [f"{RUN}/model.json", FINAL])
def test_links_out_of_a_model_are_not_followed(cohort: Path, tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.move(cohort / name, elsewhere)
    os.symlink(elsewhere, cohort / name)
    refused_by_predict(cohort, "it is a link that leads out of the model")


def test_a_link_to_a_model_is_one_to_all_of_it(cohort: Path) -> None:
    os.symlink(cohort / RUN, cohort / "model")
    assert Predictor.load(cohort / "model", device="cpu").folds == (0, 1, 2)


def test_a_zip_is_refused_for_what_its_files_say(cohort: Path) -> None:
    def spoil(weights: dict[str, torch.Tensor]) -> None:
        name, tensor = next(iter(weights.items()))
        weights[name] = torch.full_like(tensor, torch.nan)

    forged(cohort / FINAL, spoil)
    contents: dict[str, str | Path] = {"model_0/model.json": json.dumps(read_json(cohort / RUN / "model.json"))}
    contents |= {"card.md": "", "model_0/fold_0/checkpoint_final.safetensors": cohort / FINAL}
    about = Manifest("ours", "none", "0.1", ("model_0",), None, {})
    write_model_zip(cohort / "stranger.zip", about, contents)
    with pytest.raises(
        InputError, match=r"stranger\.zip/model_0/fold_0/checkpoint_final\.safetensors: .* NaN or infinite"
    ):
        predict(cohort / "imagesTs", cohort / "out", model=cohort / "stranger.zip", device="cpu")
    assert not list(cohort.glob("out/*.nii.gz"))
