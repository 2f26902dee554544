"""Masks that others have drawn as DICOM objects, in every command that takes masks; each says what it has taken."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from dicom import grid_of, numbers
from dicom_made import write_series
from numpy.typing import NDArray
from pydicom import dcmread
from workspaces import cohort, trained_run

from vmseg_auto.data.cases import read_dataset
from vmseg_auto.data.dicom.results import Algorithm
from vmseg_auto.data.dicom.segmentation import write_dicom_seg
from vmseg_auto.data.dicom.series_files import find_series
from vmseg_auto.data.dicom.stack import stack
from vmseg_auto.data.dicom.structure_set import write_rtstruct
from vmseg_auto.data.images.images import read_mask, write_mask
from vmseg_auto.evaluation.evaluate import evaluate
from vmseg_auto.report.predictions import read_predictions
from vmseg_auto.utils.errors import DatasetError, InputError
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.workflows.followup import follow_up
from vmseg_auto.workflows.make_dataset import make_dataset
from vmseg_auto.workflows.predict import predict

SHAPE = (6, 16, 16)


def box(shift: int = 0) -> NDArray[np.uint8]:
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[1:5, 4 + shift : 11, 4:10] = 1
    return mask


def segmented(scan: Path, path: Path, mask: NDArray[np.uint8]) -> Path:
    """A DICOM SEG of a series in a folder."""
    pytest.importorskip("highdicom", reason="the extra dicom is not installed")
    (series,) = find_series(scan)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_dicom_seg(path, mask, stack(series), {"lesion": 1}, series, Algorithm("x", "1", "m"))
    return path


def outlined(scan: Path, path: Path, mask: NDArray[np.uint8], name: str = "GTV") -> Path:
    """An RTSTRUCT of a series in a folder."""
    (series,) = find_series(scan)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_rtstruct(path, mask, stack(series), {name: 1}, {name: "#ff0000"}, series, Algorithm("x", "1", "m"))
    return path


def scan_in(folder: Path, seed: int = 0, **texts: str) -> Path:
    return write_series(folder, numbers(SHAPE, seed).astype(np.uint16), grid_of(SHAPE), **texts)


def test_a_dataset_is_made_of_a_real_outline(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "dicom" / "rtstruct"
    for patient in ("STS_008", "STS_042"):
        shutil.copytree(source / patient / "image", tmp_path / "scans" / patient)
        (tmp_path / "masks").mkdir(exist_ok=True)
        shutil.copy(source / patient / "RS.dcm", tmp_path / "masks" / f"outline {patient[-1]}")  # no ending
    tables: list[str] = []
    make_dataset(
        tmp_path / "scans", tmp_path / "masks", tmp_path / "made", confirm=lambda text: not tables.append(text),
        channel="T1", left=Inventory(strict=True),
    )  # fmt: skip
    assert "GTV_Mass_MR_T1" in tables[0]
    made = [read_mask(case.label)[0] for case in read_dataset(tmp_path / "made").cases if case.label]
    wanted = [read_mask(source / patient / "mask_ibsi.nii.gz")[0] > 0 for patient in ("STS_008", "STS_042")]
    assert sorted(int(mask.sum()) for mask in made) == sorted(int(mask.sum()) for mask in wanted)
    assert all(any(np.array_equal(mask == 1, other) for other in wanted) for mask in made)


def test_outlines_find_their_series_by_what_they_say(tmp_path: Path) -> None:
    """Both series have one grid, and no name tells which is whose."""
    scans = [scan_in(tmp_path / "scans" / name, seed) for seed, name in enumerate(("x", "y"))]
    for scan, name, shift in zip(scans, ("2.dcm", "1.dcm"), (0, 3), strict=True):
        outlined(scan, tmp_path / "masks" / name, box(shift))
    rows: list[str] = []
    make_dataset(tmp_path / "scans", tmp_path / "masks", tmp_path / "made", confirm=lambda text: not rows.append(text))
    told = [line.split() for line in rows[0].splitlines()]
    assert {(row[3], row[4]) for row in told if row and row[0].startswith("case")} >= {("x", "2.dcm"), ("y", "1.dcm")}
    outlined(scans[0], tmp_path / "masks" / "3.dcm", box())
    outlined(scan_in(tmp_path / "elsewhere"), tmp_path / "masks" / "4.dcm", box())
    with pytest.raises(DatasetError) as error:
        make_dataset(tmp_path / "scans", tmp_path / "masks", tmp_path / "again", left=Inventory(strict=True))
    assert "none of the scans is the series that it was drawn on" in str(error.value)
    assert "2 masks were drawn on one series (2.dcm, 3.dcm): keep or merge one" in str(error.value)


def test_segmentations_are_found_in_folders(tmp_path: Path) -> None:
    scans = [scan_in(tmp_path / "scans" / name, seed) for seed, name in enumerate(("x", "y"))]
    for scan, name, shift in zip(scans, ("y.dcm", "x.dcm"), (0, 3), strict=True):  # names that mislead
        segmented(scan, tmp_path / "masks" / name, box(shift))
        (series,) = find_series(scan)
        write_mask(tmp_path / "predictions" / name.replace("dcm", "nii.gz"), box(shift), stack(series))
    make_dataset(tmp_path / "scans", tmp_path / "masks", tmp_path / "made", confirm=lambda _: True)
    made = [read_mask(case.label)[0].sum() for case in read_dataset(tmp_path / "made").cases if case.label]
    assert sorted(made) == sorted([box().sum(), box(3).sum()])
    found = evaluate(tmp_path / "predictions", tmp_path / "masks", labels={"lesion": 1})
    assert found.table["dice"].tolist() == [1, 1]


def test_outlines_are_references_and_what_they_are_called_is_said(tmp_path: Path) -> None:
    scan = scan_in(tmp_path / "a")
    (series,) = find_series(scan)
    outlined(scan, tmp_path / "references" / "a.rtstruct.dcm", box())
    write_mask(tmp_path / "predictions" / "a.nii.gz", box(), stack(series))
    found = evaluate(tmp_path / "predictions", tmp_path / "references", labels={"lesion": 1})
    assert "The segment GTV is read as lesion: a." in found.notes
    assert found.table["dice"].tolist() == [1]
    outlined(scan, tmp_path / "predictions" / "b.dcm", box())
    outlined(scan, tmp_path / "references" / "b.dcm", box())
    with pytest.raises(InputError, match="neither this mask nor the other one tells the voxels of its scan"):
        evaluate(tmp_path / "predictions", tmp_path / "references", labels={"lesion": 1})


def test_predictions_in_dicom_alone_are_scored_and_reported(tmp_path: Path) -> None:
    pytest.importorskip("highdicom", reason="the extra dicom is not installed")
    model = trained_run(cohort(tmp_path / "cohort", cases=2), "default").folder
    scan = scan_in(tmp_path / "in" / "a")
    predict(tmp_path / "in", tmp_path / "both", model=model, device="cpu", mask_formats="nifti,dicom-seg")
    predict(tmp_path / "in", tmp_path / "seg", model=model, device="cpu", mask_formats="dicom-seg,dicom-rtstruct")
    wanted, _ = read_mask(tmp_path / "both" / "a.nii.gz")
    assert wanted.any()
    found = evaluate(tmp_path / "seg", tmp_path / "both")
    assert found.table["dice"].tolist() == [1]
    (predicted,), failed = read_predictions(tmp_path / "seg", None, Inventory())
    assert failed == []
    assert predicted.mask.name == "a.dcm"
    assert dcmread(predicted.mask).StudyInstanceUID == dcmread(next(scan.iterdir())).StudyInstanceUID


def test_outlines_of_two_times_are_compared(tmp_path: Path) -> None:
    scans = [scan_in(tmp_path / name) for name in ("before", "after")]
    masks = [outlined(scans[place], tmp_path / f"{place}.dcm", box(3 * place)) for place in (0, 1)]
    done = follow_up(scans[0], scans[1], tmp_path / "out", masks=(masks[0], masks[1]), order_as_given=True)
    (pair,) = done.pairs
    change = pair.changes["GTV"]
    wanted = [float(box(shift).sum()) * grid_of(SHAPE).voxel_ml for shift in (0, 3)]
    assert [change.before.ml, change.after.ml] == pytest.approx(wanted)
    with pytest.raises(InputError, match="it was drawn on another series than this scan"):
        follow_up(scans[0], scans[1], tmp_path / "odd", masks=(masks[1], masks[0]), order_as_given=True)
