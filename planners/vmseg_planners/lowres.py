"""The lowres planner: a plain U-Net that sees scans at a lower resolution, and so more of them at once."""

from __future__ import annotations

from dataclasses import replace

from vmseg_auto.planning.fingerprint import Fingerprint
from vmseg_auto.planning.plan import Plan

from .default import PLAIN
from .planning import plan_cohort

PLAIN_LOWRES = replace(PLAIN, low_resolution=True)


class LowresPlanner:
    """Plan a plain U-Net as nnU-Net 2.8.1's ExperimentPlanner does for its 3d_lowres configuration."""

    name = "lowres"

    def __call__(self, fingerprint: Fingerprint, memory_gb: float) -> Plan:
        """Make the plan; InputError where nnU-Net plans none for such a cohort; see `plan_cohort`."""
        return plan_cohort(self.name, PLAIN_LOWRES, fingerprint, memory_gb)
