"""What to do where a training does not fit into its device's memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from vmseg_auto.planning.memory import smaller_budget_gb
from vmseg_auto.planning.plan import Plan
from vmseg_auto.utils.device_memory import free_gib, memory_ran_out
from vmseg_auto.utils.errors import VmsegError


@contextmanager
def within_memory(plan: Plan, device: torch.device) -> Iterator[None]:
    """Name the `--memory` whose plan would fit, where that of `plan` does not.

    Raises:
        VmsegError: in place of torch's error.
    """
    try:
        yield
    except RuntimeError as error:
        if not memory_ran_out(error):
            raise
        there_gb, peak_gb = _measured_gb(device)
        there = f"{there_gb:.1f} GB are there for it" if there_gb is not None else "less is there for it"
        budget = smaller_budget_gb(plan.memory_gb, there_gb, peak_gb)
        raise VmsegError(
            f"the device ran out of memory: this training was planned for {plan.memory_gb:g} GB, and {there}",
            remedy=f"Close other programs that use the device and run the same command again, or plan smaller patches: "
            f"`vmseg_plan_and_preprocess --planner {plan.planner} --memory {budget:g}`, then this command with "
            "--fresh. --device cpu needs no such memory, and takes longer.",
        ) from None


def _measured_gb(device: torch.device) -> tuple[float | None, float]:
    """Return what this process could have of the device's memory, and what it held at most."""
    if device.type != "cuda":
        return None, 0.0
    return free_gib(device), torch.cuda.max_memory_allocated(device) / 2**30
