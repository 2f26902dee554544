"""A training that does not fit into memory ends with the plan that would."""

from __future__ import annotations

import pytest
import torch
from tiny import PLAN, tiny_plan

from vmseg_auto.core.errors import VmsegError
from vmseg_auto.ops.memory_advice import within_memory

CPU = torch.device("cpu")


def test_a_smaller_plan_is_named() -> None:
    words = (
        r"planned for 8 GB, and less is there for it\. Close other programs .*"
        r"`vmseg_plan_and_preprocess --planner residual --memory 4`, then this command with --fresh"
    )
    with pytest.raises(VmsegError, match=words), within_memory(tiny_plan(planner="residual"), CPU):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def test_other_errors_come_through_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes differ"), within_memory(PLAN, CPU):
        raise RuntimeError("shapes differ")
