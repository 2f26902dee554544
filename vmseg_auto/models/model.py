"""What a trained model says of itself: model.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from vmseg_auto.evaluation.confidence import Calibration
from vmseg_auto.evaluation.lesion_filter import LesionFilter
from vmseg_auto.models.selection_record import PLAIN_THRESHOLD, check_threshold
from vmseg_auto.planning.fingerprint import ScanRange
from vmseg_auto.planning.inference_budget import ChosenBudget
from vmseg_auto.planning.plan import Plan
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.json_codec import Stored
from vmseg_auto.utils.labels import Labels, check_labels, output_regions
from vmseg_auto.utils.postprocessing import PostProcessing


@dataclass(frozen=True)
class ModelInfo(Stored):
    """A run's labels, channels, plan and what was decided once all its folds were trained.

    Args:
        trainer: name of the trainer.
        dataset: name of the dataset.
        channels: channel names in order.
        labels: label name -> value, background included.
        plan: the plan all folds share.
        postprocessing: decided on the cross-validated predictions; None until the last fold ends.
        threshold: of the foreground (inference/thresholds.py), decided likewise; 0.5 lets the argmax class win.
        inference_budget: how much of the ensemble is enough, decided likewise.
        scans: what the scans of the cohort are like; None where that is not known.
        calibration: the Dice to expect of a prediction by its uncertainty; None until the last fold ends.
        lesion_filter: how probable it is that a predicted component is a lesion; None until the last fold ends.
    """

    trainer: str
    dataset: str
    channels: tuple[str, ...]
    labels: Labels
    plan: Plan
    postprocessing: PostProcessing | None = None
    threshold: float = PLAIN_THRESHOLD
    inference_budget: ChosenBudget | None = None
    scans: ScanRange | None = None
    calibration: Calibration | None = None
    lesion_filter: LesionFilter | None = None
    schema: int = 3

    @classmethod
    def from_json(cls, data: Any, where: str = "") -> Self:
        """Decode as `Stored.from_json`; an earlier version's calibration is left out: `vmseg_train` makes it anew."""
        calibration = data.get("calibration") if isinstance(data, dict) else None
        if isinstance(calibration, dict) and calibration.get("schema") in range(Calibration.schema):
            data = {**data, "calibration": None}
        return super().from_json(data, where)

    def check(self, where: str) -> None:
        self.plan.check(f"{where}: plan")
        check_labels(self.labels, f"{where}: labels")
        if self.plan.regions != output_regions(self.labels):
            problem = f"{where}: the regions of the plan are not those of the labels"
            raise InputError(problem, remedy="Restore the file from where the model was trained.")
        if len(self.channels) != len(self.plan.normalization):
            problem = f"{where} has {len(self.channels)} channels, but {len(self.plan.normalization)} normalizations"
            raise InputError(problem, remedy="Restore the file from where the model was trained.")
        check_threshold(self.threshold, f"{where}: threshold")
        if self.postprocessing is not None:
            self.postprocessing.require_labels(self.labels, f"{where}: postprocessing")
        if self.lesion_filter is not None:
            self.lesion_filter.check(f"{where}: lesion_filter", self.labels)
