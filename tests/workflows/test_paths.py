"""A plan is read by the name of its planner, and one that is not there is told from one that could be."""

from __future__ import annotations

from pathlib import Path

import pytest
from workspaces import cohort

from vmseg_auto.utils.errors import InputError
from vmseg_auto.workflows.paths import read_plan


def test_a_planner_that_has_planned_nothing(tmp_path: Path) -> None:
    space = cohort(tmp_path / "data").space
    assert read_plan(space, "default").planner == read_plan(space, None).planner == "default"
    with pytest.raises(InputError, match=r"planner 2d has .* plans of: default.*run `vmseg_plan.* --planner 2d` first"):
        read_plan(space, "2d")
    with pytest.raises(InputError, match=r"planner defualt has planned nothing here; .*Choose one of these\.$"):
        read_plan(space, "defualt")
