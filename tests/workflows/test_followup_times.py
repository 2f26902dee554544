"""The same patients at three times, from files to files: changes that are known, and what can go wrong."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from consoles import Heard
from dicom import grid_of, numbers
from dicom_made import write_series
from matplotlib.image import imread
from workspaces import cohort, trained_run

from vmseg_auto.cli.followup import main
from vmseg_auto.data.images.images import read_image, read_mask, write_image, write_mask
from vmseg_auto.demo.phantom.phantom import make_phantom
from vmseg_auto.evaluation.volumetry import measure
from vmseg_auto.followup.trajectory import LEAST_MM, Trajectories
from vmseg_auto.utils.atomic import read_stored
from vmseg_auto.utils.errors import InputError, SomeCasesFailedError
from vmseg_auto.utils.tables import read_csv
from vmseg_auto.workflows.followup_times import follow_times

LENGTHS = (14, 7, 16)
"""Voxels of the larger lesion, along X, at time 0, 1 and 2."""
Times = tuple[list[Path], list[Path]]


@pytest.fixture(scope="module")
def times(tmp_path_factory: pytest.TempPathFactory) -> Times:
    """A patient who has not moved, at three times, in folders of scans and of masks; one of two lesions changes."""
    root, scan = tmp_path_factory.mktemp("times"), make_phantom(0, 0)
    image = scan.image[4:12, :32, :32]
    grid = replace(scan.geometry, shape=image.shape)
    for time, length in enumerate(LENGTHS):
        mask = np.zeros(image.shape, dtype=np.uint8)
        mask[2:6, 4:10, 4 : 4 + length] = 1
        mask[2:4, 20:22, 20:22] = 1
        noise = np.random.default_rng(time).normal(0, 0.03 * np.ptp(image), image.shape)
        write_image(root / f"scans_{time}" / "anna_0000.nii.gz", (image + noise).astype(np.float32), grid)
        write_mask(root / f"masks_{time}" / "anna.nii.gz", mask, grid)
    return [root / f"scans_{time}" for time in range(3)], [root / f"masks_{time}" for time in range(3)]


def longest_mm(mask: Path) -> float:
    """Of its larger lesion, in an axial slice."""
    return measure(read_mask(mask)[0] > 0, read_mask(mask)[1])[1][0].size.axial_diameter_mm or 0.0


def test_known_changes_at_three_times(times: Times, tmp_path: Path) -> None:
    (scans, masks), console = times, Heard()
    found = follow_times(scans, tmp_path, masks=masks, error_percent=5, console=console)
    (one,) = found.patients
    (points,) = one.labels.values()
    voxels = [4 * 6 * length + 8 for length in LENGTHS]
    changes = [100 * (count / voxels[0] - 1) for count in voxels[1:]]
    assert [point.change.percent for point in points if point.change] == pytest.approx(changes)
    assert [point.change.response for point in points if point.change] == ["intermediate", "worse"]
    lengths = [longest_mm(mask / "anna.nii.gz") for mask in masks]
    assert lengths[0] > LEAST_MM
    assert [point.sum_mm for point in points] == pytest.approx(lengths)
    assert [point.recist for point in points] == [None, "PR", "PD"]
    assert [target.number for target in points[0].targets] == [1]
    assert [point.new_lesions for point in points] == [None, 0, 0]
    assert read_stored(Trajectories, tmp_path / "trajectories.json") == found
    totals = [row for row in read_csv(tmp_path / "anna_trajectory.csv") if row["component"] == "all"]
    assert [row["time"] for row in totals] == ["0", "1", "2"]
    assert imread(tmp_path / "anna_trajectory.png").shape[1] > 1000
    assert (tmp_path / "0_to_2" / "anna_followup.png").is_file()
    assert "anna: 3 times" in "\n".join(console.said)


def test_a_time_that_fails_costs_itself_alone(times: Times, tmp_path: Path) -> None:
    scans, masks = times
    mask, grid = read_mask(masks[1] / "anna.nii.gz")
    write_mask(tmp_path / "broken" / "anna.nii.gz", mask[1:], replace(grid, shape=mask[1:].shape))
    with pytest.raises(SomeCasesFailedError) as error:
        follow_times(scans, tmp_path / "out", masks=[masks[0], tmp_path / "broken", masks[2]])
    assert len(error.value.errors) == 1
    (one,) = read_stored(Trajectories, tmp_path / "out" / "trajectories.json").patients
    (points,) = one.labels.values()
    assert [point.time for point in points] == [0, 2]


def test_times_and_masks_must_be_as_many(times: Times, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scans, masks = times
    with pytest.raises(InputError, match="there are 3 times and masks for 2"):
        follow_times(scans, tmp_path, masks=masks[:2])
    assert main([*map(str, scans), "-o", str(tmp_path / "out"), "--masks", *map(str, masks[:2])]) == 2
    assert "there are 3 scans or folders of scans, and --masks names 2" in capsys.readouterr().err


@pytest.mark.parametrize("odd", [{"StudyDate": "20200103"}, {"PatientID": "18"}])
def test_a_patient_whose_later_times_are_out_of_order_is_left_out(odd: dict[str, str], tmp_path: Path) -> None:
    """Each later time fits the baseline, so that the comparisons with it alone would not tell."""
    shape, grid = (6, 16, 16), grid_of((6, 16, 16))
    mask = np.zeros(shape, dtype=np.uint8)
    mask[1:5, 4:12, 4:12] = 1
    for time, day in enumerate(("20200101", "20200105", "20200107")):
        for name in ("anna", "bea"):
            told = {"StudyDate": day, "PatientID": None if time == 0 else "17"}
            told |= odd if (name, time) == ("bea", 2) else {}
            write_series(tmp_path / f"scans_{time}" / name, numbers(shape, 0).astype(np.uint16), grid, **told)
            write_mask(tmp_path / f"masks_{time}" / f"{name}.nii.gz", mask, grid)
    scans, masks = ([tmp_path / f"{kind}_{time}" for time in range(3)] for kind in ("scans", "masks"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "bea_trajectory.csv").write_text("of an earlier run")
    with pytest.raises(SomeCasesFailedError) as error:
        follow_times(scans, tmp_path / "out", masks=masks)
    assert [one.case for one in error.value.errors] == ["bea"]
    assert [path.name for path in (tmp_path / "out").glob("*_trajectory.*")].count("anna_trajectory.csv") == 1
    assert not list((tmp_path / "out").rglob("bea*"))


@pytest.mark.slow
def test_an_old_mask_of_a_scan_that_is_refused_now_is_not_used(times: Times, tmp_path: Path) -> None:
    model = trained_run(cohort(tmp_path / "cohort", cases=2), "default").folder
    scans = [tmp_path / f"scans_{time}" for time in range(3)]
    for source, folder in zip(times[0], scans, strict=True):
        for name in ("anna", "bea"):
            folder.mkdir(exist_ok=True)
            shutil.copy(source / "anna_0000.nii.gz", folder / f"{name}_0000.nii.gz")
    follow_times(scans, tmp_path / "out", model=model, device="cpu")
    image, grid = read_image(scans[1] / "bea_0000.nii.gz")
    image[0, 0, 0] = np.nan
    write_image(scans[1] / "bea_0000.nii.gz", image, grid)
    with pytest.raises(SomeCasesFailedError) as error:
        follow_times(scans, tmp_path / "out", model=model, device="cpu")
    assert [one.case for one in error.value.errors] == ["bea"]
    assert (tmp_path / "out" / "time_1" / "bea.nii.gz").is_file()
    found = {one.case: one for one in read_stored(Trajectories, tmp_path / "out" / "trajectories.json").patients}
    assert {
        name: [point.time for points in one.labels.values() for point in points] for name, one in found.items()
    } == {"anna": [0, 1, 2], "bea": [0, 2]}


def test_scans_are_predicted_where_no_masks_are_given(times: Times, tmp_path: Path) -> None:
    model = trained_run(cohort(tmp_path / "cohort", cases=2), "default").folder
    options = ["-o", str(tmp_path / "out"), "-m", str(model), "--device", "cpu", "--quiet"]
    assert main([*map(str, times[0]), *options]) == 0
    (one,) = read_stored(Trajectories, tmp_path / "out" / "trajectories.json").patients
    masks = [tmp_path / "out" / f"time_{time}" / "anna.nii.gz" for time in range(3)]
    volumes = [np.count_nonzero(mask) * grid.voxel_ml for mask, grid in map(read_mask, masks)]
    (points,) = one.labels.values()
    assert [point.volume.ml for point in points] == pytest.approx(volumes)
