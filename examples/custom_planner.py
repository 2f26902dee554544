"""A planner of one's own: the default's plan with half the features, for small cards and quick tries.

cd examples
vmseg_plan_and_preprocess -d DATASET -w THIN --planner custom_planner:ThinPlanner
vmseg_train 0 -d DATASET -w THIN

THIN is a new folder for plan and models, so that the dataset's own workspace stays as it is.

In a package of one's own, an entry point gives it a name for --planner, as `vmseg_auto.trainers` does for --trainer:

[options.entry_points]
vmseg_auto.planners =
    thin = custom_planner:ThinPlanner
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vmseg_planners.default import DefaultPlanner

if TYPE_CHECKING:
    from vmseg_auto.planning.fingerprint import Fingerprint
    from vmseg_auto.planning.plan import Plan


class ThinPlanner:
    """The default planner's spacing, patch and stages; each stage with half the channels."""

    name = "thin"

    def __call__(self, fingerprint: Fingerprint, memory_gb: float) -> Plan:
        plan = DefaultPlanner()(fingerprint, memory_gb)
        features = tuple(count // 2 for count in plan.network.features)
        return replace(
            plan,
            planner=self.name,
            network=replace(plan.network, features=features),
            reasons=(*plan.reasons, f"features: halved to {features}, a quarter of the weights"),
        ).sealed()
