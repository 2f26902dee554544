"""A dataset from DICOM series: the same case whatever the mask's format, and nobody named in it."""

from __future__ import annotations

import csv
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from consoles import Heard
from dicom_made import write_series
from numpy.typing import NDArray
from raw_dataset import tiny_mask
from slicer import write_seg_nrrd

from vmseg_auto.cli import make_dataset as command
from vmseg_auto.data.cases import read_dataset
from vmseg_auto.data.dataset import Dataset
from vmseg_auto.data.dicom.series_files import find_series
from vmseg_auto.data.dicom.stack import stack
from vmseg_auto.data.images.images import read_image, read_mask, write_mask
from vmseg_auto.data.scans import read_scan
from vmseg_auto.utils.errors import DatasetError, InputError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.workflows.make_dataset import make_dataset

GRID = Geometry((6, 9, 10), (3.0, 0.8, 0.7), (1.0, -2.0, 3.0))
IDENTITY = {
    "PatientName": "Sommer^Klara", "PatientID": "MRN-778899", "PatientBirthDate": "19830217",
    "AccessionNumber": "ACC-665544", "StudyDate": "20190304", "SeriesDescription": "Hals Klara", "StudyID": "ST-4433",
}  # fmt: skip


def image(seed: int) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(1, 1000, GRID.shape, dtype=np.uint16)


def case_files(data: Dataset) -> list[bytes]:
    (case,) = data.cases
    assert case.label is not None
    return [path.read_bytes() for path in (*case.images, case.label) if isinstance(path, Path)]


def test_a_pacs_export_of_folders_and_zips(tmp_path: Path) -> None:
    export = tmp_path / "export"
    for place, patient in enumerate(("anna", "ben")):
        write_series(export / patient / "DICOM" / "T2", image(place), GRID)
        thick = Geometry((6, 9, 10), (6.0, 0.4, 0.4))
        write_series(export / patient / "DICOM" / "T1", image(place + 10), thick)
        write_series(export / patient / "DICOM" / "scout", image(place + 20)[:2], GRID)
    carl = write_series(tmp_path / "carl", image(2), GRID)
    with zipfile.ZipFile(export / "carl.zip", "w") as packed:
        for file in carl.iterdir():
            packed.write(file, f"IMAGES/{file.name}")
    for patient in ("anna", "ben", "carl"):
        write_mask(tmp_path / "masks" / f"{patient}.nii.gz", tiny_mask(), GRID)
    tables: list[str] = []
    key = make_dataset(
        export,
        tmp_path / "masks",
        tmp_path / "out",
        left=Inventory(),
        patients="folders",
        confirm=lambda table: not tables.append(table),
    )
    data = read_dataset(tmp_path / "out")
    rows = {row["source_patient"]: row for row in csv.DictReader(key.read_text().splitlines()[1:])}
    assert set(rows) == {"anna", "ben", "carl"}
    for place, patient in enumerate(("anna", "ben", "carl")):
        (path,) = next(case.images for case in data.cases if case.id == rows[patient]["case"])
        assert isinstance(path, Path)
        voxels, geometry = read_image(path)
        np.testing.assert_array_equal(voxels, image(place))
        assert not geometry.differences(GRID)
    assert rows["anna"]["image"] == str(export / "anna" / "DICOM" / "T2")
    assert "Left out: 2 images without a mask:\n  - anna_DICOM_T1\n  - ben_DICOM_T1" in tables[0]
    assert "it has only 2 slices" in tables[0]


def test_nobody_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_series(tmp_path / "scans" / "x", image(0), GRID, **IDENTITY)
    write_seg_nrrd(tmp_path / "masks" / "x.seg.nrrd", tiny_mask()[None], GRID, {"Klara": (0, 1)})
    arguments = ["-i", f"{tmp_path / 'scans'}", "-m", f"{tmp_path / 'masks'}", "-o", f"{tmp_path / 'out'}", "--yes"]
    assert command.main(arguments) == 0
    said = "".join(capsys.readouterr()).replace("Klara", "", 1)  # the segment's own name, in the table
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    written = said.encode() + b"".join(str(path).encode() + path.read_bytes() for path in files)
    written += (tmp_path / "out_key.csv").read_bytes()
    assert not [text for text in (*IDENTITY.values(), "Sommer", "Klara") if text.encode() in written]


def test_a_mask_whose_series_can_not_be_used_says_why(tmp_path: Path) -> None:
    series = write_series(tmp_path / "scans" / "anna", image(0), GRID)
    next(iter(find_series(series))).files[2].unlink()
    write_mask(tmp_path / "masks" / "anna.nii.gz", tiny_mask(), GRID)
    with pytest.raises(DatasetError, match=r"anna\.nii\.gz: its image can't be used: .*1 slice is missing"):
        make_dataset(tmp_path / "scans", tmp_path / "masks", tmp_path / "out")


def test_masks_beside_the_series_that_they_were_drawn_on(tmp_path: Path) -> None:
    for place, patient in enumerate(("anna", "ben")):
        write_series(tmp_path / "all" / patient / "T2", image(place), GRID)
        write_seg_nrrd(tmp_path / "all" / patient / "Segmentation.seg.nrrd", tiny_mask()[None], GRID, {"a": (0, 1)})
    make_dataset(tmp_path / "all", tmp_path / "all", tmp_path / "out", patients="folders")
    assert len(read_dataset(tmp_path / "out").cases) == 2


def test_series_can_be_chosen(tmp_path: Path) -> None:
    for kind in ("T2", "T2_FS"):
        write_series(tmp_path / "scans" / "anna" / kind, image(len(kind)), GRID)
    write_mask(tmp_path / "masks" / "anna.nii.gz", tiny_mask(), GRID)
    with pytest.raises(DatasetError, match=r"could belong to 2 images \(anna_T2, anna_T2_FS\): name it as its own"):
        make_dataset(tmp_path / "scans", tmp_path / "masks", tmp_path / "out")
    make_dataset(tmp_path / "scans", tmp_path / "masks", tmp_path / "out", series=["*_T2"])
    (case,) = read_dataset(tmp_path / "out").cases
    np.testing.assert_array_equal(read_scan(case.images[0])[0], image(2))


def test_a_real_series_makes_the_same_case_with_either_mask(tmp_path: Path, shared_data: Path) -> None:
    (series,) = find_series(shared_data / "dicom/t2_series")
    grid = stack(series)
    mask = np.zeros(grid.shape, dtype=np.uint8)
    mask[8:14, 120:170, 90:140] = 1
    mask[10, 130:140, 100:110] = 0
    cosines = np.array(grid.direction).reshape(3, 3)
    box = (slice(7, 15), slice(110, 180), slice(80, 150))
    first = np.array(grid.origin_mm) + cosines @ (np.array([80, 110, 7]) * grid.spacing_mm[::-1])
    part = Geometry(mask[box].shape, grid.spacing_mm, tuple(first.tolist()), grid.direction)
    write_seg_nrrd(tmp_path / "slicer" / "t2_series.seg.nrrd", mask[None], grid, {"lesion": (0, 1)})
    write_seg_nrrd(tmp_path / "part" / "t2_series.seg.nrrd", mask[box][None], part, {"lesion": (0, 1)})
    write_mask(tmp_path / "nifti" / "t2_series.nii.gz", mask, grid)
    made = []
    for kind in ("slicer", "part", "nifti"):
        make_dataset(shared_data / "dicom/t2_series", tmp_path / kind, tmp_path / f"{kind}_dataset")
        made.append(case_files(read_dataset(tmp_path / f"{kind}_dataset")))
    assert made[0] == made[1] == made[2]
    written, geometry = read_mask(tmp_path / "slicer_dataset/labelsTr/case_001.nii.gz")
    np.testing.assert_array_equal(written, mask)
    assert not geometry.differences(grid)


def test_a_broken_t2_never_gives_its_mask_to_the_t1_beside_it(tmp_path: Path) -> None:
    export = tmp_path / "export"
    write_series(export / "anna" / "T1", image(1), GRID)
    broken = write_series(export / "anna" / "T2", image(2), GRID)
    sorted(broken.iterdir())[2].unlink()
    write_series(export / "ben" / "T2", image(3), GRID)
    for name in ("anna", "anna_T2"):
        masks = tmp_path / f"masks_{name}"
        write_mask(masks / f"{name}.nii.gz", tiny_mask(), GRID)
        with pytest.raises(DatasetError, match=r"can't be used: .*1 slice is missing"):
            make_dataset(export, masks, tmp_path / "data")
    write_mask(tmp_path / "masks" / "anna_T1.nii.gz", tiny_mask(), GRID)
    make_dataset(export, tmp_path / "masks", tmp_path / "data", left=Inventory())
    assert len(read_dataset(tmp_path / "data").cases) == 1


def exported(folder: Path, *scans: tuple[str, str]) -> None:
    """A series for each path, of the patient of an ID, and a mask of the path's name."""
    for number, (path, patient) in enumerate(scans):
        write_series(folder / "export" / path, image(number), GRID, PatientID=patient, PatientBirthDate="19830217")
        write_mask(folder / "masks" / f"{path.replace('/', '_')}.nii.gz", tiny_mask(), GRID)


def patients_of(folder: Path, **wishes: Any) -> dict[str, str]:
    """Scan -> pseudonym of its patient."""
    key = make_dataset(folder / "export", folder / "masks", folder / "out", left=Inventory(), **wishes)
    return {row["scan"]: row["patient"] for row in csv.DictReader(key.read_text().splitlines()[1:])}


def test_visits_are_known_by_the_headers_too(tmp_path: Path) -> None:
    """Patients that stood on both sides of a fold would make the scores too good."""
    scans = (("anna/2019", "1"), ("anna/2021", "1"), ("ben/2019", "2"), ("carl", "3"))
    exported(tmp_path, *scans)
    with pytest.raises(InputError, match=r"one patient, by the patient ID in their headers:\n.*anna_2019, anna_2021"):
        patients_of(tmp_path)
    assert not (tmp_path / "out").exists()
    found = patients_of(tmp_path, visits="join")
    assert found["anna_2019"] == found["anna_2021"]
    assert len(set(found.values())) == 3
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "out_key.csv").unlink()
    assert len(set(patients_of(tmp_path, visits="apart").values())) == 4


def test_a_further_visit_is_known_by_its_header(tmp_path: Path) -> None:
    exported(tmp_path, ("anna", "1"), ("ben", "2"))
    patients_of(tmp_path)
    exported(tmp_path, ("anna", "1"), ("ben", "2"), ("x17", "1"))
    with pytest.raises(InputError, match=r"visits of a patient who is in the dataset:\n.*anna, x17"):
        patients_of(tmp_path, add=True)
    found = patients_of(tmp_path, add=True, visits="join")
    assert found["x17"] == found["anna"] != found["ben"]


def test_folders_and_headers_that_contradict_each_other_are_told(tmp_path: Path) -> None:
    exported(tmp_path, ("anna/1", "1"), ("anna/2", "9"), ("ben/1", "2"), ("carl/1", "2"))
    with pytest.raises(InputError, match=r"by the patient ID in their headers:\n  - ben, carl\nIf"):
        patients_of(tmp_path, patients="folders")
    console = Heard()
    found = patients_of(tmp_path, patients="folders", visits="join", console=console)
    assert found["ben_1"] == found["carl_1"] != found["anna_1"]
    assert any("anna_1, anna_2 are taken for scans of one patient, but" in words for words in console.warned)
    assert not any("ben_1" in words for words in console.warned)


def test_one_id_for_all_tells_nothing(tmp_path: Path) -> None:
    exported(tmp_path, ("anna", "ANON"), ("ben", "ANON"))
    assert len(set(patients_of(tmp_path).values())) == 2


def test_a_mask_that_fits_two_series_asks_for_the_series(tmp_path: Path) -> None:
    for number, kind in enumerate(("T1", "T2")):
        write_series(tmp_path / "export" / "anna" / kind, image(number), GRID)
    write_mask(tmp_path / "masks" / "anna.nii.gz", tiny_mask(), GRID)
    with pytest.raises(DatasetError, match=r'could belong to 2 images.*with --series .* such as --series "\*T2\*"'):
        patients_of(tmp_path)
