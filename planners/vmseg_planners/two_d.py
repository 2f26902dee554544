"""The 2d planner: a plain U-Net that is given one slice at a time."""

from __future__ import annotations

from dataclasses import replace

from vmseg_auto.planning.fingerprint import Fingerprint
from vmseg_auto.planning.plan import Plan

from .default import PLAIN
from .planning import plan_cohort
from .topology import Budget

PLAIN_2D = replace(PLAIN, by_slice=True, budget=Budget(gb=(8,), outputs=(510e6,)), max_features=512)
"""With the numbers of nnU-Net 2.8.1's ExperimentPlanner, whose budget is 85 million for a batch of 12: six times that
for one of 2."""


class TwoDPlanner:
    """Plan a plain U-Net of slices as nnU-Net 2.8.1's ExperimentPlanner does for its 2d configuration."""

    name = "2d"

    def __call__(self, fingerprint: Fingerprint, memory_gb: float) -> Plan:
        """Make the plan; see `plan_cohort`."""
        return plan_cohort(self.name, PLAIN_2D, fingerprint, memory_gb)
