"""Trackers of experiments that can record a training: TensorBoard, MLflow, Weights & Biases. Each is an extra.

None is given a name of a case or of the machine, and none sends what its makers collect on their users.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vmseg_auto.utils.extras import extra

PROJECT = "vmseg_auto"


class TensorBoard:
    """Event files; `tensorboard --logdir FOLDER` shows them."""

    name = "tensorboard"

    def __init__(self) -> None:
        with extra("tensorboard", "--logger tensorboard"):
            from torch.utils.tensorboard import SummaryWriter
        self._writer = SummaryWriter

    def __call__(self, folder: Path, title: str, settings: Mapping[str, Any]) -> _TensorBoardRun:
        writer = self._writer(str(folder / title))
        writer.add_text("settings", "\n".join(f"- {name}: {value}" for name, value in settings.items()))
        return _TensorBoardRun(writer)


class _TensorBoardRun:
    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class MLflow:
    """The server that MLFLOW_TRACKING_URI names, else a database in the folder."""

    name = "mlflow"

    def __init__(self) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        with extra("mlflow", "--logger mlflow"):
            import sqlalchemy  # noqa: F401
            from mlflow.tracking import MlflowClient
        self._client = MlflowClient

    def __call__(self, folder: Path, title: str, settings: Mapping[str, Any]) -> _MLflowRun:
        folder.mkdir(parents=True, exist_ok=True)
        local = None if os.environ.get("MLFLOW_TRACKING_URI") else f"sqlite:///{(folder / 'mlflow.db').as_posix()}"
        client = self._client(tracking_uri=local)
        known = client.get_experiment_by_name(PROJECT)
        place = (folder / "artifacts").absolute().as_uri() if local else None
        experiment = known.experiment_id if known else client.create_experiment(PROJECT, artifact_location=place)
        run = client.create_run(experiment, run_name=title).info.run_id
        for name, value in settings.items():
            client.log_param(run, name, value)
        return _MLflowRun(client, run)


class _MLflowRun:
    def __init__(self, client: Any, run: str) -> None:
        self._client, self._run = client, run

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._client.log_metric(self._run, name, value, step=epoch)

    def close(self) -> None:
        self._client.set_terminated(self._run)


class WandB:
    """Weights & Biases, as `wandb login` and its WANDB_ variables say; WANDB_MODE=offline keeps everything here."""

    name = "wandb"

    def __init__(self) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        with extra("wandb", "--logger wandb"):
            import wandb
        self._wandb = wandb

    def __call__(self, folder: Path, title: str, settings: Mapping[str, Any]) -> _WandBRun:
        folder.mkdir(parents=True, exist_ok=True)
        quiet = self._wandb.Settings(
            console="off", silent=True, disable_git=True, disable_code=True, x_disable_meta=True, x_disable_stats=True
        )
        project = os.environ.get("WANDB_PROJECT", PROJECT)
        run = self._wandb.init(project=project, name=title, dir=str(folder), config=dict(settings), settings=quiet)
        return _WandBRun(run)


class _WandBRun:
    def __init__(self, run: Any) -> None:
        self._run = run

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        self._run.log({"epoch": epoch, **values})

    def close(self) -> None:
        self._run.finish()
