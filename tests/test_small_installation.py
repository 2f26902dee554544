"""Training on preprocessed cases and window inference run where only torch, numpy and scipy are installed.

CPU augmentation needs batchgenerators, and a finished fold's weights need safetensors: each is asked for by nothing
else. Everything else is blocked in fresh processes and in the workers that they start.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
import torch
from tiny import PLAN, prepare, tiny_case

from vmseg_auto.data.runs import Run
from vmseg_auto.models.checkpoints import Checkpoint
from vmseg_auto.models.final_checkpoint import save_final
from vmseg_auto.models.model import ModelInfo
from vmseg_auto.networks.unet import build_network
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.utils.atomic import write_json

ROOT = Path(__file__).parents[1]
NEEDED = ("torch", "numpy", "scipy")
HOOK = '''
import os, sys
ALLOWED = {*sys.stdlib_module_names, *sys.modules, *os.environ["VMSEG_TEST_ALLOWED"].split(":")}

class Only:
    """A finder that finds nothing else."""

    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ALLOWED or name.startswith("_sysconfigdata"):
            return self.finder.find_spec(name, path, target)
        return None


sys.meta_path[:] = [Only(finder) for finder in sys.meta_path]
'''
TRAIN = """
from pathlib import Path
import sys
from training import trained
from vmseg_auto.planning.training_config import TrainingConfig

if __name__ == "__main__":
    config = TrainingConfig(epochs=1, iterations_per_epoch=2, monitor_cases=1, {settings})
    state, diary = trained(Path(sys.argv[1]), config)
    assert [event[0] for event in diary.events] == ["step", "step", "epoch", "save"], diary.events
    assert state.history[0]["train_loss"] > 0
    print("done")
"""
WINDOWS = """
from pathlib import Path
import sys
import torch
from tiny import PLAN
from vmseg_auto.data.preprocessed import PreprocessedFolder
from vmseg_auto.inference.ensemble import FoldEnsemble
from vmseg_auto.inference.sliding_window import predict_logits
from vmseg_auto.networks.unet import build_network

image = torch.tensor(PreprocessedFolder(Path(sys.argv[1])).load("a").image)
networks = [build_network(PLAN.network, 1, 2).eval() for _ in range(2)]
ensemble = FoldEnsemble(networks=networks, classes=2, mirror_axes=(2,), device=torch.device("cpu"))
(logits,) = predict_logits(ensemble, image, PLAN.patch)
assert logits.shape == (2, *image.shape[1:])
print("done")
"""
MODEL = """
from pathlib import Path
import sys
from vmseg_auto.data.preprocessed import PreprocessedFolder
from vmseg_auto.inference.predictor import Predictor

case = PreprocessedFolder(Path(sys.argv[1])).load("a")
predicted = Predictor.load(sys.argv[2], device="cpu").predict(case.image, case.geometry)
assert predicted.mask.shape == case.label.shape
print("done")
"""


def installed_with(packages: Iterable[str]) -> set[str]:
    """The top-level names of these packages and of all that they can't be installed without."""
    found, due = set[str](), list(packages)
    while due:
        package = due.pop().lower().replace("_", "-")
        if package not in found:
            found.add(package)
            try:
                wanted = requires(package) or []
            except PackageNotFoundError:  # another system's
                continue
            due += [re.split(r"[^\w.-]", one)[0] for one in wanted if "extra ==" not in one]
    names = packages_distributions()
    return {name for name, owners in names.items() if {own.lower().replace("_", "-") for own in owners} & found}


@pytest.fixture(scope="module")
def preprocessed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cases = [tiny_case(name, seed) for seed, name in enumerate("abc")]
    return prepare(tmp_path_factory.mktemp("preprocessed"), cases)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run, labels = Run(tmp_path_factory.mktemp("model")), {"background": 0, "lesion": 1}
    write_json(run.model, ModelInfo("default", "x", ("T2",), labels, PLAN).to_json())
    torch.manual_seed(1)
    weights = build_network(PLAN.network, 1, 2).state_dict()
    about = {"plan": PLAN, "config": TrainingConfig(), "labels": labels, "channels": ("T2",), "trainer": "default"}
    save_final(run.fold(0).final, Checkpoint(1, weights, (), fold=0, **about))
    return run.folder


def run_with(packages: Iterable[str], folder: Path, script: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    """Run a script where these packages alone are installed, beside this program and the tests' helpers."""
    (folder / "sitecustomize.py").write_text(HOOK)
    (folder / "script.py").write_text(script)
    helpers = ("tiny", "training", "sitecustomize", "vmseg_auto", "vmseg_planners", "vmseg_trainers")
    paths = (folder, ROOT / "tests" / "helpers", ROOT, ROOT / "planners", ROOT / "trainers")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "VMSEG_TEST_ALLOWED": ":".join([*helpers, *installed_with(packages)]),
    }
    command = [sys.executable, str(folder / "script.py"), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_rest_is_blocked(tmp_path: Path) -> None:
    names = ["SimpleITK", "pandas", "skimage", "matplotlib", "pydicom", "batchgenerators", "safetensors", "tqdm"]
    script = f"""
import importlib, torch, numpy, scipy
for name in {names}:
    try:
        importlib.import_module(name)
    except ImportError:
        print(name)
"""
    assert run_with(NEEDED, tmp_path, script).stdout.split() == names


@pytest.mark.parametrize(
    ("settings", "more"),
    [('device_augmentation="on"', ()), ('device_augmentation="off"', ("batchgenerators",))],
    ids=["device", "cpu"],
)
def test_a_fold_is_trained(tmp_path: Path, preprocessed: Path, settings: str, more: tuple[str, ...]) -> None:
    done = run_with((*NEEDED, *more), tmp_path, TRAIN.format(settings=settings), preprocessed)
    assert done.stdout == "done\n", done.stderr


def test_windows_are_predicted(tmp_path: Path, preprocessed: Path) -> None:
    done = run_with(NEEDED, tmp_path, WINDOWS, preprocessed)
    assert done.stdout == "done\n", done.stderr


def test_a_model_predicts_arrays_with_the_reader_of_its_weights(
    tmp_path: Path, preprocessed: Path, model: Path
) -> None:
    done = run_with((*NEEDED, "safetensors"), tmp_path, MODEL, preprocessed, model)
    assert done.stdout == "done\n", done.stderr
    assert "No module named 'safetensors'" in run_with(NEEDED, tmp_path, MODEL, preprocessed, model).stderr
