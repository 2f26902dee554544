"""The MedNeXt planners: small and base, kernel 3."""

from __future__ import annotations

from dataclasses import replace

from vmseg_auto.planning.fingerprint import Fingerprint
from vmseg_auto.planning.plan import Plan

from .planning import Architecture, plan_cohort
from .topology import Budget

SMALL = Architecture(
    builder="mednext",
    blocks=(2,),
    decoder_blocks=2,
    budget=Budget(gb=(8,), outputs=(660e6,)),
    dataset_share=0.05,
    max_features=512,
    max_stages=5,
    arguments={"expansion": [2]},
)
BASE = replace(SMALL, arguments={"expansion": [2, 3, 4]})
"""With the numbers of S and B in the paper. By the budget the backward pass keeps as many bytes as a plain U-Net's."""


class MedNeXtSmallPlanner:
    """Plan a MedNeXt-S with kernel 3 (Roy et al., MICCAI 2023), by the same steps as the default's U-Net."""

    name = "mednext_s"

    def __call__(self, fingerprint: Fingerprint, memory_gb: float) -> Plan:
        """Make the plan; see `plan_cohort`."""
        return plan_cohort(self.name, SMALL, fingerprint, memory_gb)


class MedNeXtBasePlanner:
    """Plan a MedNeXt-B with kernel 3: as S, with wider blocks from the second stage on."""

    name = "mednext_b"

    def __call__(self, fingerprint: Fingerprint, memory_gb: float) -> Plan:
        """Make the plan; see `plan_cohort`."""
        return plan_cohort(self.name, BASE, fingerprint, memory_gb)
