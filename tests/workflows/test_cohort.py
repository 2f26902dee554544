"""Hospitals plan together without sharing an image."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from raw_dataset import GRID, LABELS, describe, raw_dataset, tiny_mask

from vmseg_auto.cli import plan_and_preprocess as command
from vmseg_auto.data.cases import read_dataset
from vmseg_auto.data.images.images import write_image, write_mask
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.planning.fingerprint import Fingerprint
from vmseg_auto.planning.merging import merge_fingerprints
from vmseg_auto.planning.plan import Plan
from vmseg_auto.preprocessing.extract_fingerprint import analyse
from vmseg_auto.utils.atomic import read_json, read_stored, write_json
from vmseg_auto.utils.histogram import ACCURACY
from vmseg_planners.default import DefaultPlanner
from vmseg_planners.residual import ResidualPlanner


def plan(site: Path, *arguments: str | Path) -> int:
    return command.main(["-d", str(site), "--memory", "0.02", "--jobs", "1", *map(str, arguments)])


def plan_of(site: Path) -> Plan:
    return read_stored(Plan, Workspace(site / "vmseg").plan("default"))


@pytest.fixture
def sites(tmp_path: Path) -> tuple[Path, Path]:
    """Two hospitals whose scans differ in size and spacing; one has its own plan already."""
    north = raw_dataset(tmp_path / "north", cases=3, grid=replace(GRID, shape=(12, 30, 30)))
    south = raw_dataset(tmp_path / "south", cases=3, grid=replace(GRID, shape=(20, 40, 44), spacing_mm=(1.5, 0.6, 0.6)))
    assert plan(north) == plan(south) == 0
    return north, south


def shared(site: Path) -> Path:
    return Workspace(site / "vmseg").shared_fingerprint


def test_every_site_gets_the_same_plan(sites: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    north, south = sites
    alone = plan_of(north), plan_of(south)
    assert alone[0].content_hash != alone[1].content_hash
    assert plan(north, "--merge-fingerprints", shared(north), shared(south)) == 0
    assert "Planned for 6 scans of 2 cohorts; 3 are here." in capsys.readouterr().out
    assert plan(south, "--merge-fingerprints", shared(south), shared(north)) == 0
    together = plan_of(north)
    assert together == plan_of(south)
    assert together.content_hash not in [own.content_hash for own in alone]
    assert plan(north) == 0, "it is remembered"
    assert plan_of(north) == together
    assert "Plan kept." in capsys.readouterr().out


def test_no_name_leaves_the_house(sites: tuple[Path, Path]) -> None:
    text = shared(sites[0]).read_text()
    own = read_stored(Fingerprint, Workspace(sites[0] / "vmseg").fingerprint)
    assert "north" not in text
    assert not any(f'"{case}"' in text or summary.content in text for case, summary in own.cases.items())


def test_a_changed_cohort_is_said_and_its_old_numbers_are_refused(
    sites: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    north, south = sites
    old = shutil.copy(shared(north), tmp_path / "old.json")
    plan(north, "--merge-fingerprints", old, shared(south))
    write_image(north / "imagesTr" / "new_0000.nii.gz", np.ones(GRID.shape, dtype=np.float32), GRID)
    write_mask(north / "labelsTr" / "new.nii.gz", tiny_mask(), GRID)
    together = plan_of(north)
    assert plan(north) == 0
    assert "the cohort has changed since its fingerprint was merged" in capsys.readouterr().err
    assert plan_of(north) == together
    assert plan(north, "--merge-fingerprints", old, shared(south)) == 2
    assert "none of the fingerprints to merge is that of this dataset as it is now" in capsys.readouterr().err
    assert plan(north, "--merge-fingerprints", shared(north), shared(south)) == 0


def test_names_in_what_others_gave_are_said(sites: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    north, south = sites
    with_names = Workspace(south / "vmseg").fingerprint
    assert plan(north, "--merge-fingerprints", shared(north), with_names) == 0
    assert f"{with_names} holds names of cases" in capsys.readouterr().err
    assert "south" not in Workspace(north / "vmseg").merged_fingerprint.read_text()


def test_a_workspace_from_before_there_was_merging_catches_up(sites: tuple[Path, Path]) -> None:
    north, south = sites
    space = Workspace(north / "vmseg")
    now = space.fingerprint.read_bytes()
    content = read_json(space.fingerprint)
    del content["channel_stats"][0]["histogram"]
    write_json(space.fingerprint, content)
    assert plan(north, "--merge-fingerprints", shared(north), shared(south)) == 0
    assert space.fingerprint.read_bytes() == now


def test_files_that_do_not_fit_are_2(sites: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    north, south = sites
    describe(south, channel_names={"0": "T1"}, labels=LABELS | {"nidus": 2})
    plan(south)
    capsys.readouterr()
    assert plan(north, "--merge-fingerprints", shared(north), shared(south)) == 2
    assert f"{shared(south)}: its labels are" in capsys.readouterr().err
    assert plan(north, "--merge-fingerprints", north / "absent.json") == 2
    assert "absent.json: the file does not exist" in capsys.readouterr().err


def test_halves_of_a_real_cohort_give_the_whole(shared_data: Path) -> None:
    """Real T1 MRI: 53 patients of one scan each."""
    data = read_dataset(shared_data / "hippocampus53")
    halves = [replace(data, cases=data.cases[start::2], test_cases=()) for start in (0, 1)]
    whole, _ = analyse(replace(data, test_cases=()), 2)
    parts = {str(n): analyse(half, 2)[0].shared() for n, half in enumerate(halves)}
    merged = merge_fingerprints(parts)
    assert len(whole.cases) == 53
    assert merged.cases == whole.shared().cases
    assert merged.median_relative_size == whole.median_relative_size
    for ours, exact in zip(merged.channel_stats, whole.channel_stats, strict=True):
        assert ours.histogram == exact.histogram
        assert (ours.mean, ours.std, ours.min, ours.max) == pytest.approx(
            (exact.mean, exact.std, exact.min, exact.max), rel=1e-9
        )
        for name in ("median", "percentile_00_5", "percentile_99_5"):
            assert getattr(ours, name) == pytest.approx(getattr(exact, name), rel=ACCURACY)
    for planner in (DefaultPlanner(), ResidualPlanner()):
        assert planner(merged, 8.0).content_hash == planner(whole, 8.0).content_hash
        assert planner(merged, 8.0).reasons == planner(whole, 8.0).reasons
