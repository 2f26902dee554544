"""vmseg_predict --format: the DICOM files of a mask lie beside it, and are known as what they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_made import by_contours, by_pydicom, complaints, measured, write_series
from pydicom import dcmread
from pydicom.uid import generate_uid
from workspaces import GRID, cohort, finished_run

from vmseg_auto.cli import predict as predict_command
from vmseg_auto.data.images.images import read_mask, write_image, write_mask
from vmseg_auto.data.runs import Run
from vmseg_auto.utils.atomic import read_json
from vmseg_auto.utils.geometry import Direction
from vmseg_auto.utils.tables import read_csv

DICOM = ("dicom-seg", "dicom-rtstruct", "dicom-sr", "dicom-sc")
ENDINGS = (".dcm", ".rtstruct.dcm", ".sr.dcm", ".sc.dcm")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    made = cohort(tmp_path_factory.mktemp("cohort"))
    return finished_run(made, "default", lambda case, reference: reference.astype(np.float32))


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    image = np.random.default_rng(3).integers(1, 1000, GRID.shape, dtype=np.uint16)
    return write_series(tmp_path / "scans" / "neck", image, GRID, PatientName="Sommer^Klara").parent


def command(run: Run, scans: Path, out: Path, *options: str) -> int:
    return predict_command.main(
        ["-m", str(run.folder), "-i", str(scans), "-o", str(out), "--device", "cpu", "--precision", "float32", *options]
    )


def test_all_hold_the_same_mask_and_the_record_knows_them(
    tmp_path: Path, run: Run, scans: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, formats = tmp_path / "out", ",".join(("nifti", *DICOM))
    assert command(run, scans, out, "--format", formats) == 0
    assert "DICOM files name patient and study of their series" in capsys.readouterr().out
    mask, geometry = read_mask(out / "neck.nii.gz")
    assert 0 < mask.mean() < 1
    np.testing.assert_array_equal(by_pydicom(out / "neck.dcm", geometry), mask)
    np.testing.assert_array_equal(by_contours(out / "neck.rtstruct.dcm", geometry), mask)
    (total,) = (row for row in read_csv(out / "volumes.csv") if row["component"] == "all")
    assert measured(out / "neck.sr.dcm")["Volume"] == pytest.approx(float(total["volume_ml"]), abs=1e-4)
    names = [f"neck{ending}" for ending in (".nii.gz", *ENDINGS)]
    assert [one["file"] for one in read_json(out / "neck.json")["masks"]] == names
    for name in names[1:]:
        assert complaints(out / name) == []
    before = {name: (out / name).read_bytes() for name in names}
    assert command(run, scans, out, "--format", formats) == 0
    assert "were kept" in capsys.readouterr().out
    assert {name: (out / name).read_bytes() for name in names} == before


@pytest.mark.parametrize(
    ("direction", "texts"),
    [
        (GRID.direction, {}),
        ((0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0), {}),
        ((1.0, 0.0, 0.0, 0.0, 0.8, -0.6, 0.0, 0.6, 0.8), {}),
        (GRID.direction, {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Müller^Käthe=山田^太郎"}),
        (GRID.direction, {"SpecificCharacterSet": ["", "ISO 2022 IR 149"], "PatientName": "Hong^Gildong=洪^吉洞"}),
        (GRID.direction, {"SpecificCharacterSet": "", "PatientName": "Doe^Jo"}),
    ],
    ids=["axial", "sagittal", "oblique", "unicode", "korean", "none"],
)
def test_dciodvfy_finds_no_error_in_any_kind(
    tmp_path: Path, run: Run, direction: Direction, texts: dict[str, Any]
) -> None:
    image = np.random.default_rng(3).integers(1, 1000, GRID.shape, dtype=np.uint16)
    scans = write_series(tmp_path / "scans" / "neck", image, replace(GRID, direction=direction), **texts).parent
    out = tmp_path / "out"
    assert command(run, scans, out, "--format", ",".join(DICOM)) == 0
    assert {ending: complaints(out / f"neck{ending}") for ending in ENDINGS} == {ending: [] for ending in ENDINGS}
    for ending in ENDINGS if texts else ():
        assert str(dcmread(out / f"neck{ending}").PatientName) == texts["PatientName"]


def test_dciodvfy_finds_no_error_in_any_kind_of_a_multi_frame_series(
    tmp_path: Path, run: Run, shared_data: Path
) -> None:
    (source,) = (shared_data / "dicom" / "vendors" / "philips_enhanced" / "anatomical" / "001").iterdir()
    data = dcmread(source)
    data.FrameOfReferenceUID = generate_uid()  # which the anonymised file lacks
    data.PatientAge = "040Y"  # its own is none
    (tmp_path / "scans" / "neck").mkdir(parents=True)
    data.save_as(tmp_path / "scans" / "neck" / "enhanced.dcm")
    out = tmp_path / "out"
    assert command(run, tmp_path / "scans", out, "--format", ",".join(DICOM)) == 0
    assert {ending: complaints(out / f"neck{ending}") for ending in ENDINGS} == {ending: [] for ending in ENDINGS}


def test_those_beside_a_corrected_mask_are_named_as_outdated(
    tmp_path: Path, run: Run, scans: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, formats = tmp_path / "out", ",".join(("nifti", *DICOM))
    assert command(run, scans, out, "--format", formats) == 0
    mask, geometry = read_mask(out / "neck.nii.gz")
    write_mask(out / "neck.nii.gz", 1 - mask, geometry)
    capsys.readouterr()
    assert command(run, scans, out, "--format", formats) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "beside a corrected mask, and still as it was predicted: " in said
    assert all(f"neck{ending}" in said for ending in ENDINGS)


@pytest.mark.parametrize("ending", ENDINGS)
def test_one_that_is_cut_short_is_made_anew(tmp_path: Path, run: Run, scans: Path, ending: str) -> None:
    out, formats = tmp_path / "out", ",".join(("nifti", *DICOM))
    assert command(run, scans, out, "--format", formats) == 0
    path = out / f"neck{ending}"
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 3])
    assert command(run, scans, out, "--format", formats) == 0
    assert complaints(path) == []


def test_a_report_is_outdated_where_its_segmentation_is_made_anew(
    tmp_path: Path, run: Run, scans: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert command(run, scans, out, "--format", "dicom-seg,dicom-sr") == 0
    (out / "neck.dcm").unlink()
    capsys.readouterr()
    assert command(run, scans, out, "--format", "dicom-seg") == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "left as they are: neck.sr.dcm. They no longer count" in said


@pytest.mark.parametrize("written_as", DICOM)
def test_image_files_are_refused(tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str], written_as: str) -> None:
    write_image(tmp_path / "scans" / "a.nii.gz", np.ones(GRID.shape, dtype=np.float32), GRID)
    assert command(run, tmp_path / "scans", tmp_path / "out", "--format", f"nifti,dicom-seg,{written_as}") == 2
    assert "a mask's DICOM file refers to a DICOM series, but 1 of 1 scans are image files" in capsys.readouterr().err


def test_they_are_no_scans_where_they_lie_in_a_study(
    tmp_path: Path, run: Run, scans: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As they do when the archive gives the study back."""
    assert command(run, scans, tmp_path / "out", "--format", ",".join(DICOM)) == 0
    for ending in ENDINGS:
        (scans / "neck" / f"back{ending}").write_bytes((tmp_path / "out" / f"neck{ending}").read_bytes())
    capsys.readouterr()
    assert command(run, scans, tmp_path / "again", "--format", "nifti") == 0
    assert [path.name for path in (tmp_path / "again").glob("*.nii.gz")] == ["neck.nii.gz"]
