"""vmseg_predict --format dicom-seg: the same masks as in NIfTI, filed with the series that they were made from."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_made import by_highdicom, by_pydicom, write_series
from scipy.spatial.transform import Rotation
from workspaces import GRID, cohort, finished_run

from vmseg_auto.cli import model as model_command
from vmseg_auto.cli import predict as predict_command
from vmseg_auto.data.dicom.series_files import find_series
from vmseg_auto.data.images.images import read_mask, write_image
from vmseg_auto.data.runs import Run
from vmseg_auto.utils.geometry import Geometry

IDENTITY = {
    "PatientName": "Sommer^Klara", "PatientID": "MRN-778899", "PatientBirthDate": "19830217",
    "AccessionNumber": "ACC-665544", "StudyDate": "20190304", "StudyDescription": "Hals rechts", "StudyID": "ST-4433",
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    made = cohort(tmp_path_factory.mktemp("cohort"))
    return finished_run(made, "default", lambda case, reference: reference.astype(np.float32))


def series(folder: Path, angles: tuple[float, float, float] = (0, 0, 0), mirrored: bool = False) -> Path:
    cosines = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    if mirrored:  # rows from the left, slices downwards
        cosines = cosines @ np.diag([-1.0, 1.0, -1.0])
    geometry = Geometry(GRID.shape, GRID.spacing_mm, (-8.0, 5.5, 40.0), tuple(cosines.ravel().tolist()))
    image = np.random.default_rng(3).integers(1, 1000, GRID.shape, dtype=np.uint16)
    return write_series(folder, image, geometry, **IDENTITY)


def command(run: Run, scans: Path, out: Path, *options: str) -> int:
    return predict_command.main(
        ["-m", str(run.folder), "-i", str(scans), "-o", str(out), "--device", "cpu", "--precision", "float32", *options]
    )


def test_masks_of_the_other_format_are_pointed_out(
    tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    scans, out = series(tmp_path / "scans" / "neck").parent, tmp_path / "out"
    words = "of earlier predictions in another format, and left as they are"
    assert command(run, scans, out) == 0
    assert command(run, scans, out, "--format", "dicom-seg") == 0
    assert words not in capsys.readouterr().err
    assert command(run, scans, out, "--format", "dicom-seg", "--step-size", "0.4") == 0
    assert f"{words}: neck.nii.gz." in capsys.readouterr().err
    assert command(run, scans, out) == 0
    assert f"{words}: neck.dcm." in capsys.readouterr().err


@pytest.mark.parametrize(("angles", "mirrored"), [((0, 0, 0), False), ((0, 0, 0), True), ((20, -35, 50), True)])
def test_both_formats_hold_the_same_voxels(tmp_path: Path, run: Run, angles: Any, mirrored: bool) -> None:
    scans = series(tmp_path / "scans" / "neck", angles, mirrored).parent
    assert command(run, scans, tmp_path / "nifti") == 0
    assert command(run, scans, tmp_path / "seg", "--format", "dicom-seg") == 0
    mask, geometry = read_mask(tmp_path / "nifti" / "neck.nii.gz")
    assert mask.any()
    assert not mask.all()
    np.testing.assert_array_equal(by_pydicom(tmp_path / "seg" / "neck.dcm", geometry), mask)
    np.testing.assert_array_equal(by_highdicom(tmp_path / "seg" / "neck.dcm", geometry), mask)
    volumes = [(tmp_path / kind / "volumes.csv").read_bytes() for kind in ("nifti", "seg")]
    assert volumes[0] == volumes[1]


def test_model_and_version_are_recorded_and_identity_is_nowhere_else(
    tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert command(run, series(tmp_path / "scans"), out, "--format", "dicom-seg", "--save-probabilities") == 0
    said = "".join(capsys.readouterr())
    assert said.count("DICOM files name patient and study of their series, as they must; no other tells") == 1
    data = pydicom.dcmread(out / "scans.dcm")
    assert (str(data.PatientName), data.AccessionNumber) == ("Sommer^Klara", "ACC-665544")
    (algorithm,) = data.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence
    assert algorithm.AlgorithmName == "vmseg_auto"
    assert algorithm.AlgorithmVersion
    digest = data.DeviceSerialNumber
    assert digest in algorithm.AlgorithmParameters
    assert digest in (out / "scans.json").read_text()
    others = [path for path in out.rglob("*") if path.is_file() and path.suffix != ".dcm"]
    assert {path.suffix for path in others} >= {".json", ".csv", ".log", ".gz"}
    written = said.encode() + b"".join(str(path).encode() + path.read_bytes() for path in others)
    assert not [text for text in (*IDENTITY.values(), "Sommer", "Klara") if text.encode() in written]


def test_a_second_run_keeps_what_is_there(tmp_path: Path, run: Run) -> None:
    scans, out = series(tmp_path / "scans"), tmp_path / "out"
    assert command(run, scans, out, "--format", "dicom-seg") == 0
    first = (out / "scans.dcm").read_bytes()
    assert command(run, scans, out, "--format", "dicom-seg") == 0
    assert (out / "scans.dcm").read_bytes() == first
    assert command(run, scans, out) == 0
    assert (out / "scans.nii.gz").is_file()


def test_image_files_are_refused(tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "scans" / "a.nii.gz", np.ones(GRID.shape, dtype=np.float32), GRID)
    assert command(run, tmp_path / "scans", tmp_path / "out", "--format", "dicom-seg") == 2
    assert "a mask's DICOM file refers to a DICOM series, but 1 of 1 scans are image files" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*.*"))


def test_without_highdicom_the_extra_is_named(
    tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "highdicom", None)
    assert command(run, series(tmp_path / "scans"), tmp_path / "out", "--format", "dicom-seg") == 2
    assert "needs highdicom, which is not installed. Install it (`python -m pip install highdicom`), or" in (
        capsys.readouterr().err
    )


def test_a_real_series(tmp_path: Path, shared_data: Path) -> None:
    theirs, ours = shared_data / "nnunet/vmsemi53/model", tmp_path / "model"
    assert model_command.main(["import", str(theirs), "-o", str(ours)]) == 0
    (whole,) = find_series(shared_data / "dicom/t2_series")
    scans, brief = tmp_path / "t2_series", ("--no-tta", "--step-size", "1")
    scans.mkdir()
    for file in whole.files[5:13]:
        shutil.copy(file, scans)
    assert command(Run(ours), scans, tmp_path / "nifti", *brief) == 0
    assert command(Run(ours), scans, tmp_path / "seg", *brief, "--format", "dicom-seg") == 0
    mask, geometry = read_mask(tmp_path / "nifti" / "t2_series.nii.gz")
    assert mask.any()
    np.testing.assert_array_equal(by_pydicom(tmp_path / "seg" / "t2_series.dcm", geometry), mask)
    np.testing.assert_array_equal(by_highdicom(tmp_path / "seg" / "t2_series.dcm", geometry), mask)
