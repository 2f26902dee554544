"""vmseg_predict as it is called: what is on the screen at the end, and the exit code."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dicom import grid_of, numbers
from workspaces import cohort, trained_run

from vmseg_auto.cli import predict
from vmseg_auto.data.images.formats.nifti import Nifti
from vmseg_auto.data.images.images import write_image
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.tables import read_csv

SHAPE = (8, 16, 16)
LITTLE_MEMORY = """
import resource, sys
import torch, SimpleITK
import vmseg_auto.workflows.predict
from vmseg_auto.cli import predict
there = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (there + 1_200_000_000,) * 2)
sys.exit(predict.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_run(cohort(tmp_path_factory.mktemp("cohort")), "default").folder


def scans(folder: Path, *names: str) -> Path:
    for seed, name in enumerate(names):
        write_image(folder / name, numbers(SHAPE, seed).astype(np.float32), grid_of(SHAPE))
    return folder


def test_the_last_lines_open_a_mask_in_the_viewers(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = scans(tmp_path / "my scans", "anna.nii.gz", "bert.nrrd"), tmp_path / "out"
    options = ["-m", str(model), "-i", str(source), "-o", str(out), "--device", "cpu"]
    assert predict.main([*options, "--format", "seg.nrrd,nifti"]) == 0
    said = capsys.readouterr().out.splitlines()
    first, slicer, snap, page = said[-4:]
    case = first.split()[2]
    assert case in ("anna", "bert")
    assert f"{case}.seg.nrrd" in slicer
    assert "itksnap -g" in snap
    assert f"{case}.seg.nrrd" not in snap
    assert page == f"All on one page: `vmseg_report -i {out}`"
    log = next((out / "logs").iterdir()).read_text()
    assert "itksnap -g" not in log  # a path may name a patient
    assert predict.main([*options, "--format", "nifti,png"]) == 2
    assert "no format of masks named 'png'" in capsys.readouterr().err


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a limit on memory")
def test_a_scan_too_large_and_one_cut_short_cost_no_other(model: Path, tmp_path: Path) -> None:
    source, out = scans(tmp_path / "in", "anna.nii.gz", "cut.nii.gz", "zoe.nrrd"), tmp_path / "out"
    shape = (1024, 512, 512)
    voxels = np.zeros(shape, np.uint8)
    voxels[:2] = 9
    Nifti().write(source / "huge.nii.gz", voxels, Geometry(shape, (1.0, 1.0, 1.0)))
    whole = gzip.decompress((source / "cut.nii.gz").read_bytes())
    (source / "cut.nii.gz").write_bytes(gzip.compress(whole[:-100]))
    options = ["-m", str(model), "-i", str(source), "-o", str(out), "--device", "cpu", "--jobs", "1"]
    done = subprocess.run([sys.executable, "-c", LITTLE_MEMORY, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert f"case huge, {source / 'huge.nii.gz'}: the memory is not enough" in done.stderr
    assert f"case cut, {source / 'cut.nii.gz'}: the file is damaged or cut short" in done.stderr
    assert "Traceback" not in done.stderr
    assert [row["case"] for row in read_csv(out / "volumes.csv") if row["component"] == "all"] == ["anna", "zoe"]
    assert [row["case"] for row in read_csv(out / "sources.csv")] == ["anna", "zoe"]
