"""A training that does not fit into memory ends with the plan that would."""

from __future__ import annotations

import pytest
import torch
from tiny import PLAN, tiny_plan

from vmseg_auto.training.memory_advice import within_memory
from vmseg_auto.utils.errors import VmsegError

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


def test_the_part_of_a_card_that_this_process_was_given_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """24 GB of 80 are free, but the process may have a tenth of the card."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (24 * 2**30, 80 * 2**30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 0)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 8 * 2**30)
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda device: 0.1)
    with pytest.raises(VmsegError, match=r"8\.0 GB are there"), within_memory(tiny_plan(), torch.device("cuda")):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
