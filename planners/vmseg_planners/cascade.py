"""The cascade planner: the default's network, which is also given the masks of the lowres planner's."""

from __future__ import annotations

from dataclasses import replace

from vmseg_auto.planning.fingerprint import Fingerprint
from vmseg_auto.planning.plan import Plan

from .default import DefaultPlanner
from .lowres import LowresPlanner


class CascadePlanner:
    """Plan the second stage of nnU-Net's 3d_cascade_fullres; the first is the plan of `lowres`."""

    name = "cascade"

    def __call__(self, fingerprint: Fingerprint, memory_gb: float) -> Plan:
        """Make the plan; InputError where no low resolution is planned for such a cohort; see `plan_cohort`."""
        first, plan = LowresPlanner()(fingerprint, memory_gb), DefaultPlanner()(fingerprint, memory_gb)
        reason = f"cascade: the network is given the masks of {first.planner} too, which sees more of a scan at once"
        return replace(plan, planner=self.name, first_stage=first.planner, reasons=(*plan.reasons, reason)).sealed()
