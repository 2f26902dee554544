"""The table of workloads is well formed, and inputs are made the same each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import data
from benchmarks.compare import parser, read_rounds
from benchmarks.report import FIGURES
from benchmarks.tools import NNUNET_VERSION, Bench, SetupError, nnunet_environment
from benchmarks.workloads import HELP, NNUNET, OURS, WORKLOADS, chosen, help_of
from vmseg_auto.utils.geometry import Geometry

GRID = Geometry((12, 60, 60), (4.0, 2.0, 2.0))


def test_names_are_unique_and_targets_can_be_shown() -> None:
    names = [workload.name for workload in WORKLOADS]
    assert len(set(names)) == len(names)
    for workload in WORKLOADS:
        assert workload.shows
        assert workload.targets
        assert all(target.figure in FIGURES and target.limit > 0 for target in workload.targets)


def test_a_rival_comes_before_what_it_is_compared_with() -> None:
    names = [workload.name for workload in WORKLOADS]
    for workload in WORKLOADS:
        if workload.rival is not None:
            assert names.index(workload.rival) < names.index(workload.name)


def test_names_choose_one_workload_or_a_family() -> None:
    assert [w.name for w in chosen(["predict_full_size"])] == ["predict_full_size"]
    assert len(chosen(["start"])) == len(HELP) + 1
    assert len(chosen(None)) == len(WORKLOADS)
    with pytest.raises(SetupError, match="no workload 'nonsense'"):
        chosen(["nonsense"])


def test_rounds_hold_for_all_or_for_one() -> None:
    assert read_rounds(["5", "predict_full_size=3"]) == (5, {"predict_full_size": 3})
    with pytest.raises(SetupError, match="--rounds many"):
        read_rounds(["many"])


def test_each_tool_runs_in_its_own_environment(tmp_path: Path) -> None:
    jobs = help_of("predict", "predict", Bench(tmp_path / "env", tmp_path, tmp_path))
    assert list(jobs) == [OURS, NNUNET]
    assert jobs[OURS].command[-2:] == ("vmseg_auto.cli.predict", "--help")
    assert jobs[NNUNET].command[0] == str(tmp_path / "env" / "bin" / "nnUNetv2_predict")
    assert "PYTHONPATH" not in jobs[NNUNET].full_environment()
    assert nnunet_environment(tmp_path)["nnUNet_raw"] == str(tmp_path / "raw")


def test_an_environment_without_nnunet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "nnunet").mkdir()
    with pytest.raises(SetupError, match=f"the comparison is with {NNUNET_VERSION}"):
        Bench(tmp_path / "env", tmp_path, tmp_path).check()


def test_what_an_earlier_round_wrote_is_removed(tmp_path: Path) -> None:
    output = tmp_path / "masks"
    (output / "deep").mkdir(parents=True)
    job = Bench(tmp_path, tmp_path, tmp_path).ours("predict", fresh=(output, tmp_path / "absent"))
    job.clear()
    assert not output.exists()


def test_lesions_are_bright_inside_the_head_and_the_same_each_time() -> None:
    z, y, x = np.ogrid[-1:1:12j, -1:1:60j, -1:1:60j]
    rng = np.random.default_rng(0)
    head = (100 + 10 * rng.standard_normal((12, 60, 60))) * (z**2 + y**2 + x**2 < 0.9)
    image = np.maximum(head, 0).astype(np.float32)
    before = image.copy()
    scan = data.with_lesions(image, GRID, 3)
    again = data.with_lesions(image, GRID, 3)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(scan.image, again.image)
    assert scan.mask.dtype == np.uint8
    assert 0 < scan.mask.mean() < 0.5
    lesion = scan.mask == 1
    assert scan.image[lesion].mean() > image[lesion].mean() + 10
    assert (scan.image != image).mean() < 0.6


def test_defaults_of_the_command_name_the_report() -> None:
    assert parser().parse_args([]).out.parts[-2:] == ("docs", "performance.md")
