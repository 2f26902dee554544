"""The GPU's checks at their smallest, on the CPU; and what becomes of checks that fail or take too long."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.gpu_day.__main__ import main
from benchmarks.gpu_day.arrival import COHORTS, SITE, arrive, environment
from benchmarks.gpu_day.carry import MOST_BYTES, fetch, folder_bytes, told
from benchmarks.gpu_day.checks.augmentation import measures
from benchmarks.gpu_day.cohorts import LEVELS, TOY_GB, make_up, open_cohort, pack, unpack
from benchmarks.gpu_day.findings import (
    DayResults,
    Figure,
    Finding,
    at_least,
    at_most,
    left_out,
    noted,
    read_results,
    went_wrong,
)
from benchmarks.gpu_day.floors import Work, count_work
from benchmarks.gpu_day.schedule import CHECKS, START_S, Check, Place, run_all, run_one
from benchmarks.gpu_day.table import page_table, short_table
from benchmarks.results import Machine
from benchmarks.tools import SetupError
from vmseg_auto.data.preprocessed import PreprocessedFolder

ROOT = Path(__file__).parents[2]
NOT_THERE = ("SimpleITK", "surface_distance", "pydicom", "highdicom", "nnunetv2", "batchgenerators")
"""What such a machine has not, unless it is carried."""
BLOCKER = """
import sys
class Blocker:
    def find_spec(self, name, *rest):
        if name.partition('.')[0] in {names}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocker())
"""


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    """Exit code and folder of a rehearsal of the quick checks."""
    out = tmp_path_factory.mktemp("day")
    return main(["--dry-run", "--out", str(out), "--only", "ceilings", "logits", "memory"]), out


def test_a_rehearsal_holds(day: tuple[int, Path]) -> None:
    code, out = day
    results = read_results(out / "results.json")
    assert {name: finding.state for name, finding in results.findings.items()} == {
        "ceilings": "done",
        "logits": "done",
        "memory": "done",
    }
    assert code == 0, short_table(results)
    assert results.toy
    assert results.device.startswith("CPU")
    assert results.versions["torch"] == torch.__version__


def test_the_table_is_made_of_its_results(day: tuple[int, Path]) -> None:
    results = read_results(day[1] / "results.json")
    table = page_table(results)
    assert "none of these figures says anything of a GPU" in table
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    assert len(rows) == sum(len(finding.figures) for finding in results.findings.values())
    assert [row.split("`")[1] for row in rows] == sorted(
        (row.split("`")[1] for row in rows), key=[check.name for check in CHECKS].index
    )


def test_every_check_has_its_module() -> None:
    for check in CHECKS:
        assert (ROOT / "benchmarks" / "gpu_day" / "checks" / f"{check.name}.py").is_file()
    assert sum(check.seconds + START_S for check in CHECKS) <= 540


def place(tmp_path: Path) -> Place:
    return Place("cpu", tmp_path, True, environment(None))


def test_a_check_that_fails_stops_no_other(tmp_path: Path) -> None:
    """Without its cohorts, the second has nothing to work on."""
    found = {
        check.name: finding
        for check, finding in run_all([CHECKS[2], CHECKS[0]], place(tmp_path), time.monotonic() + 300)
    }
    assert found["logits"].state == "failed"
    assert "vmseg_plan_and_preprocess" in found["logits"].error
    assert not found["logits"].holds
    assert found["ceilings"].holds


def test_a_check_is_ended_at_its_limit(tmp_path: Path) -> None:
    arrive(None, tmp_path)
    finding = run_one(CHECKS[-1], place(tmp_path), START_S)
    assert finding.state == "out of time"
    assert finding.seconds < 10 * START_S


def test_no_check_begins_beyond_the_budget(tmp_path: Path) -> None:
    ((_, finding),) = run_all([Check("ceilings", 10, "")], place(tmp_path), time.monotonic() + 1)
    assert finding.state == "out of time"
    assert "budget" in finding.error


def test_figures_that_are_no_numbers_never_hold() -> None:
    assert at_most("a", 1, 1).holds
    assert not at_most("a", math.nan, 1).holds
    assert not at_least("a", math.inf, 1).holds
    assert noted("a", math.nan).value is None
    assert left_out("a", "no card").holds is None
    assert went_wrong("a", ValueError("b\nc")) == Figure("a", None, "", "failed: ValueError: b", False)


def test_a_figure_that_does_not_hold_is_told() -> None:
    machine = Machine("CPU", 2, 8.0, 2, False, "Linux")
    found = {"steps": Finding("out of time", 33.0, 33.0, (at_most("loss", 3, 2),), "ended with -9")}
    results = DayResults(machine, "a card", {}, False, found)
    assert DayResults.from_json(results.to_json()) == results
    assert "loss: 3, at most 2" in short_table(results)
    assert "| `steps` | loss | 3 | at most 2 | no |" in page_table(results)
    assert "out of time after 33 s" in page_table(results)
    assert not results.comparable(replace(results, toy=True))


def test_a_cohort_survives_being_carried(tmp_path: Path) -> None:
    make_up(tmp_path / "made")
    pack(tmp_path / "made", tmp_path / "packed")
    unpack(tmp_path / "packed", tmp_path / "arrived")
    before, after = (open_cohort(tmp_path / name, TOY_GB) for name in ("made", "arrived"))
    assert before.plan == after.plan
    assert before.cases == after.cases
    for one, other in zip(before.training(), after.training(), strict=True):
        assert np.abs(one.image - other.image).max() <= 0.51 * np.ptp(one.image) / (LEVELS - 1)
        np.testing.assert_array_equal(one.label, other.label)
        assert other.foreground[1].shape == one.foreground[1].shape
        PreprocessedFolder(after.preprocessed).verify(other.id)


def test_a_cohort_may_be_of_one_case(tmp_path: Path) -> None:
    make_up(tmp_path / "made", cases=3)
    pack(tmp_path / "made", tmp_path / "packed", cases=["case_00"])
    unpack(tmp_path / "packed", tmp_path / "arrived")
    assert open_cohort(tmp_path / "arrived").cases.train == ("case_00",)


def test_packages_that_are_carried_stand_behind_those_that_are_here(tmp_path: Path) -> None:
    assert environment(tmp_path)["PYTHONPATH"].endswith(str(tmp_path / SITE))
    assert str(SITE) not in environment(None)["PYTHONPATH"]


def test_only_what_is_there_is_carried(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="pip can't download"):
        fetch([str(tmp_path / "nothing-1.0-py3-none-any.whl")], tmp_path / "site", tmp_path)


def test_the_command_to_run_is_told(tmp_path: Path) -> None:
    (tmp_path / COHORTS).write_bytes(bytes(2**20))
    assert folder_bytes(tmp_path) == 2**20 < MOST_BYTES
    assert f"--carried {tmp_path}" in told(tmp_path)
    assert f": {1.0} MiB" in told(tmp_path)


def test_nothing_that_such_a_machine_lacks_is_needed() -> None:
    names = ", ".join(f"benchmarks.gpu_day.checks.{check.name}" for check in CHECKS)
    script = BLOCKER.format(names=NOT_THERE) + f"import benchmarks.gpu_day.__main__, {names}"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, env=environment(None))


def test_measures_of_a_sample() -> None:
    label = np.zeros((2, 3, 4), np.uint8)
    label[1, 2, 1:3] = 1
    *rest, voxels, z, y, x = measures(label.astype(np.float32), label)
    assert (voxels, z, y, x) == (2, 1, 2, 1.5)
    assert rest[2:] == [0, 1]
    assert math.isnan(measures(label.astype(np.float32), 0 * label)[-1])


def test_convolutions_are_counted() -> None:
    network = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ConvTranspose3d(4, 2, 2, 2))
    work = count_work(network, torch.zeros(1, 1, 2, 3, 5))
    assert work.flops == 2 * (27 * 4 * 30 + 8 * 4 * 2 * 30)
    assert work.values == 30 * (1 + 4) + 30 * (4 + 2 * 8)


def test_the_floor_is_the_longer_of_computing_and_moving() -> None:
    assert Work(2e12, 1e9).floor_s(1, 100, 4) == 2.0
    assert Work(1e9, 1e12).floor_s(1, 100, 2) == 20.0
