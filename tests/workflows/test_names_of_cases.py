"""A dataset of one's own keeps its names of cases: planning says where they may be patients'."""

from __future__ import annotations

from pathlib import Path

import pytest
from consoles import Heard
from raw_dataset import describe, raw_dataset

from vmseg_auto.workflows.plan import plan_and_preprocess


@pytest.mark.parametrize(("old", "name"), [("a", "mueller_erika"), ("t", "p_19830417")])
def test_a_name_that_may_be_a_patients_is_told_before_any_work(tmp_path: Path, old: str, name: str) -> None:
    folder = raw_dataset(tmp_path / "data", cases=4, test_cases=1)
    for path in [*folder.glob(f"*/{old}_0000.nii.gz"), *folder.glob(f"*/{old}.nii.gz")]:
        path.rename(path.with_name(path.name.replace(old, name, 1)))
    console = Heard()
    plan_and_preprocess(folder, check_only=True, console=console)
    assert f"1 name of cases or patients may tell who a patient is: {name}." in console.warned[0]
    assert "`vmseg_make_dataset`, which gives pseudonyms" in console.warned[0]


def test_patients_of_dataset_json_are_looked_at_and_others_are_not_told(tmp_path: Path) -> None:
    folder = raw_dataset(tmp_path / "data", cases=3)
    console = Heard()
    plan_and_preprocess(folder, check_only=True, console=console)
    assert console.warned == []
    describe(folder, patients={"a": "Huber, Max"})
    plan_and_preprocess(folder, check_only=True, console=console)
    assert "Huber, Max" in console.warned[0]
