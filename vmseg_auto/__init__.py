"""vmseg_auto: self-configuring segmentation of venous malformations in T2 MRI.

The public Python API. Names are loaded when first used: importing this package loads neither torch nor SimpleITK.
"""

from __future__ import annotations

import os
import sys

if (
    sys.argv[:1] == ["-m"]
    and "vmseg_auto.cli." in sys.orig_argv[-len(sys.argv)]
    and not sys.flags.safe_path
    and sys.path[0] != os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
):
    # Python would import from the current folder first, which may be a stranger's. A checkout's is not.
    del sys.path[0]

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vmseg_auto.inference.predictor import Prediction as Prediction
    from vmseg_auto.inference.predictor import Predictor as Predictor
    from vmseg_auto.planning.fingerprint import Fingerprint as Fingerprint
    from vmseg_auto.planning.plan import Plan as Plan
    from vmseg_auto.planning.training_config import TrainingConfig as TrainingConfig
    from vmseg_auto.report.write import write_report as write_report
    from vmseg_auto.utils.errors import VmsegError as VmsegError
    from vmseg_auto.utils.geometry import Geometry as Geometry
    from vmseg_auto.utils.left_out import Inventory as Inventory
    from vmseg_auto.utils.left_out import LeftOutWarning as LeftOutWarning
    from vmseg_auto.workflows.doctor import doctor as doctor
    from vmseg_auto.workflows.evaluate import evaluate as evaluate
    from vmseg_auto.workflows.export import export_model as export_model
    from vmseg_auto.workflows.export import model_info as model_info
    from vmseg_auto.workflows.followup import follow_up as follow_up
    from vmseg_auto.workflows.followup_times import follow_times as follow_times
    from vmseg_auto.workflows.learning_curve import learning_curve as learning_curve
    from vmseg_auto.workflows.make_dataset import make_dataset as make_dataset
    from vmseg_auto.workflows.model import import_nnunet as import_nnunet
    from vmseg_auto.workflows.plan import plan_and_preprocess as plan_and_preprocess
    from vmseg_auto.workflows.predict import predict as predict
    from vmseg_auto.workflows.remove_patient import remove_patient as remove_patient
    from vmseg_auto.workflows.select import select as select
    from vmseg_auto.workflows.train import train as train

_HOMES = {
    "Fingerprint": "vmseg_auto.planning.fingerprint",
    "Geometry": "vmseg_auto.utils.geometry",
    "Inventory": "vmseg_auto.utils.left_out",
    "LeftOutWarning": "vmseg_auto.utils.left_out",
    "Plan": "vmseg_auto.planning.plan",
    "Prediction": "vmseg_auto.inference.predictor",
    "Predictor": "vmseg_auto.inference.predictor",
    "TrainingConfig": "vmseg_auto.planning.training_config",
    "VmsegError": "vmseg_auto.utils.errors",
    "doctor": "vmseg_auto.workflows.doctor",
    "evaluate": "vmseg_auto.workflows.evaluate",
    "export_model": "vmseg_auto.workflows.export",
    "follow_times": "vmseg_auto.workflows.followup_times",
    "follow_up": "vmseg_auto.workflows.followup",
    "import_nnunet": "vmseg_auto.workflows.model",
    "learning_curve": "vmseg_auto.workflows.learning_curve",
    "make_dataset": "vmseg_auto.workflows.make_dataset",
    "model_info": "vmseg_auto.workflows.export",
    "plan_and_preprocess": "vmseg_auto.workflows.plan",
    "predict": "vmseg_auto.workflows.predict",
    "remove_patient": "vmseg_auto.workflows.remove_patient",
    "write_report": "vmseg_auto.report.write",
    "select": "vmseg_auto.workflows.select",
    "train": "vmseg_auto.workflows.train",
}

__all__ = [*_HOMES]

try:
    __version__ = version("vmseg_auto")
except PackageNotFoundError:  # run from a checkout that is not installed
    __version__ = "0"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
