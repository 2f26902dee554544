"""What trackers keep of a training, read back by their own readers; all of it stays on this machine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vmseg_auto.registry import load_logger, names
from vmseg_auto.utils.errors import InputError

TITLE = "default/default/fold_0"
SETTINGS = {"lr": 0.01, "patch": "(8, 16, 16)", "amp": True}


def keep(name: str, folder: Path) -> None:
    """A training of two epochs."""
    track = load_logger(name)(folder, TITLE, SETTINGS)
    track.log(1, {"train_loss": 0.5, "val_dice": 0.25})
    track.log(2, {"train_loss": 0.375})
    track.close()


def test_tensorboard(tmp_path: Path) -> None:
    events = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="the extra tensorboard is not installed"
    )
    keep("tensorboard", tmp_path)
    found = events.EventAccumulator(str(tmp_path / TITLE))
    found.Reload()
    assert [(event.step, event.value) for event in found.Scalars("train_loss")] == [(1, 0.5), (2, 0.375)]
    assert [(event.step, event.value) for event in found.Scalars("val_dice")] == [(1, 0.25)]
    (text,) = found.Tensors("settings/text_summary")
    assert b"- lr: 0.01\n" in text.tensor_proto.string_val[0]


@pytest.mark.filterwarnings("default")  # its own packages'
def test_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracking = pytest.importorskip("mlflow.tracking", reason="the extra mlflow is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    keep("mlflow", tmp_path / "tracking")
    keep("mlflow", tmp_path / "tracking")
    client = tracking.MlflowClient(tracking_uri=f"sqlite:///{(tmp_path / 'tracking' / 'mlflow.db').as_posix()}")
    experiment = client.get_experiment_by_name("vmseg_auto")
    first, second = client.search_runs([experiment.experiment_id])
    assert first.info.run_name == second.info.run_name == TITLE
    assert first.info.status == "FINISHED"
    assert first.data.params == {"lr": "0.01", "patch": "(8, 16, 16)", "amp": "True"}
    history = client.get_metric_history(first.info.run_id, "train_loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 0.5), (2, 0.375)]
    assert [path.name for path in tmp_path.iterdir()] == ["tracking"]


@pytest.mark.filterwarnings("default")  # its own packages'
def test_wandb_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb", reason="the extra wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.chdir(tmp_path)
    keep("wandb", tmp_path / "tracking")
    wandb.teardown()  # as at the end of the command: its own process writes
    (path,) = tmp_path.rglob("*.wandb")
    kept = path.read_bytes()
    for words in (TITLE, "val_dice", "0.25", "0.375", "(8, 16, 16)"):
        assert words.encode() in kept
    assert not any(words in kept for words in (str(tmp_path).encode(), b"hostname", b"username", b"argv"))


@pytest.mark.parametrize(
    ("name", "module"), [("tensorboard", "torch.utils.tensorboard"), ("mlflow", "sqlalchemy"), ("wandb", "wandb")]
)
def test_a_missing_extra_names_the_command(name: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # as Python notes what is not installed
    command = rf'python -m pip install "vmseg_auto\[{name}\]"'
    with pytest.raises(InputError, match=f"--logger {name} needs a package that is not installed.*{command}"):
        load_logger(name)


def test_those_that_are_installed() -> None:
    assert {"mlflow", "tensorboard", "wandb"} <= set(names("vmseg_auto.loggers"))
