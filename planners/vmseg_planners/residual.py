"""The residual planner: a U-Net with a deep residual encoder and a light decoder."""

from __future__ import annotations

from vmseg_auto.planning.fingerprint import Fingerprint
from vmseg_auto.planning.plan import Plan

from .planning import Architecture, plan_cohort
from .topology import Budget

RESIDUAL = Architecture(
    builder="residual_unet",
    blocks=(1, 3, 4, 6),
    decoder_blocks=1,
    budget=Budget(gb=(8, 24, 40), outputs=(680e6, 2.1e9, 3.6e9)),
    dataset_share=1.0,
)
"""With the numbers of nnU-Net 2.8.1's ResEnc M, L and XL, whose budgets are the three points."""


class ResidualPlanner:
    """Plan a residual-encoder U-Net as nnU-Net's ResEnc planners do (Isensee et al., nnU-Net Revisited, MICCAI 2024).

    At 8, 24 and 40 GB the plan is that of ResEnc M, L and XL.
    """

    name = "residual"

    def __call__(self, fingerprint: Fingerprint, memory_gb: float) -> Plan:
        """Make the plan; see `plan_cohort`."""
        return plan_cohort(self.name, RESIDUAL, fingerprint, memory_gb)
