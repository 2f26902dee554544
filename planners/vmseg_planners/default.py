"""The default planner: a plain U-Net at full resolution."""

from __future__ import annotations

from vmseg_auto.planning.fingerprint import Fingerprint
from vmseg_auto.planning.plan import Plan

from .planning import Architecture, plan_cohort
from .topology import Budget

PLAIN = Architecture(
    builder="plain_unet",
    blocks=(2,),
    decoder_blocks=2,
    budget=Budget(gb=(8,), outputs=(560e6,)),
    dataset_share=0.05,
)
"""With the numbers of nnU-Net 2.8.1's ExperimentPlanner."""


class DefaultPlanner:
    """Plan a plain U-Net as nnU-Net 2.8.1's ExperimentPlanner does for its 3d_fullres configuration."""

    name = "default"

    def __call__(self, fingerprint: Fingerprint, memory_gb: float) -> Plan:
        """Make the plan; see `plan_cohort`."""
        return plan_cohort(self.name, PLAIN, fingerprint, memory_gb)
