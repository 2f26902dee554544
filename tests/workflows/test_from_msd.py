"""Folders of the Medical Segmentation Decathlon become datasets, a file for each channel."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from raw_dataset import GRID, tiny_image, tiny_mask

from vmseg_auto.cli import make_dataset
from vmseg_auto.data.cases import read_case, read_dataset
from vmseg_auto.data.images.images import write_image, write_mask
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.workflows.from_msd import dataset_from_msd


def task(folder: Path, channels: int) -> Path:
    """Two training cases and a test scan, each in one file, as Task01_BrainTumour has them, by ITK."""
    for part in ("imagesTr", "labelsTr", "imagesTs"):
        (folder / part).mkdir(parents=True)
    for number, (part, case) in enumerate((("Tr", "hip_1"), ("Tr", "hip_2"), ("Ts", "hip_3"))):
        name = f"{case}.nii.gz"
        images = [tiny_image(10 * number + channel) for channel in range(channels)]
        if channels == 1:
            write_image(folder / f"images{part}" / name, images[0], GRID)
        else:
            volumes = [sitk.GetImageFromArray((image * 10).astype(np.int16)) for image in images]
            for volume in volumes:
                volume.SetSpacing(GRID.spacing_mm[::-1])
                volume.SetOrigin(GRID.origin_mm)
            sitk.WriteImage(sitk.JoinSeries(volumes), str(folder / f"images{part}" / name))
        (folder / f"images{part}" / f"._{name}").write_bytes(b"of macOS")
        if part == "Tr":
            write_mask(folder / "labelsTr" / name, tiny_mask(), GRID)
    stated = {
        "name": "Hippocampus", "description": "left and right", "reference": "r", "licence": "CC-BY-SA 4.0",
        "release": "1.0", "tensorImageSize": "4D", "modality": {str(n): f"MRI{n}" for n in range(channels)},
        "labels": {"0": "background", "1": "Anterior"}, "numTraining": 2, "numTest": 1,
        "training": [{"image": f"./imagesTr/hip_{n}.nii.gz", "label": f"./labelsTr/hip_{n}.nii.gz"} for n in (1, 2)],
        "test": ["./imagesTs/hip_3.nii.gz"],
    }  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(stated))
    return folder


@pytest.mark.parametrize("channels", [1, 2])
def test_each_channel_gets_a_file_and_no_voxel_changes(tmp_path: Path, channels: int) -> None:
    source = task(tmp_path / "Task04_Hippocampus", channels)
    assert make_dataset.main(["--from-msd", str(source), "-o", str(tmp_path / "made")]) == 0
    data = read_dataset(tmp_path / "made")
    assert (data.name, data.labels) == ("Hippocampus", {"background": 0, "Anterior": 1})
    assert data.channels == tuple(f"MRI{n}" for n in range(channels))
    assert data.left_out == ()
    assert [case.id for case in (*data.cases, *data.test_cases)] == ["hip_1", "hip_2", "hip_3"]
    image, mask, geometry = read_case(data.cases[1], data.mask_labels)
    wanted = np.stack([tiny_image(10 + channel) for channel in range(channels)])
    assert np.array_equal(image, wanted if channels == 1 else (wanted * 10).astype(np.int16).astype(np.float32))
    assert np.array_equal(mask, tiny_mask())
    assert geometry.differences(GRID) == []


def test_a_scan_of_other_channels_and_what_is_no_task_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    source = task(tmp_path / "task", 2)
    edited = json.loads((source / "dataset.json").read_text())
    (source / "dataset.json").write_text(json.dumps({**edited, "modality": {"0": "MRI"}}))
    with pytest.raises(InputError, match=r"it has 2 channels in 4 dimensions, and dataset\.json names 1") as caught:
        dataset_from_msd(source, tmp_path / "made")
    assert caught.value.case == "hip_1"
    (source / "dataset.json").write_text(json.dumps(edited))
    file = source / "imagesTr" / "hip_1.nii.gz"
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes())[:-5]))
    with pytest.raises(InputError, match="5 bytes are missing"):
        dataset_from_msd(source, tmp_path / "made")
    with pytest.raises(InputError, match=r"there is no dataset\.json"):
        dataset_from_msd(tmp_path, tmp_path / "made")
    assert not (tmp_path / "made").exists()
    assert make_dataset.main(["--from-msd", str(source), "-o", str(tmp_path / "x"), "--add"]) == 2


def test_patients_stay_known_and_regions_are_refused(tmp_path: Path) -> None:
    source = task(tmp_path / "task", 1)
    edited = json.loads((source / "dataset.json").read_text()) | {"patients": {"hip_1": "anna", "hip_2": "anna"}}
    (source / "dataset.json").write_text(json.dumps(edited))
    dataset_from_msd(source, tmp_path / "made")
    assert {case.patient for case in read_dataset(tmp_path / "made").cases} == {"anna"}
    edited["labels"] = {"background": 0, "whole": [1, 2], "core": 2}
    edited["regions_class_order"] = [1, 2]
    (source / "dataset.json").write_text(json.dumps(edited))
    with pytest.raises(InputError, match=r"--from-msd is not possible yet with labels that are regions \(whole, core"):
        dataset_from_msd(source, tmp_path / "again")


def test_a_scan_without_a_mask_and_a_mask_without_a_scan_are_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = task(tmp_path / "task", 1)
    edited = json.loads((source / "dataset.json").read_text()) | {"patients": {"hip_1": "anna", "hip_2": "anna"}}
    (source / "dataset.json").write_text(json.dumps(edited))
    (source / "labelsTr" / "hip_2.nii.gz").rename(source / "labelsTr" / "hip_9.nii.gz")
    assert make_dataset.main(["--from-msd", str(source), "-o", str(tmp_path / "strict"), "--strict"]) == 2
    assert not (tmp_path / "strict").exists()
    capsys.readouterr()
    assert make_dataset.main(["--from-msd", str(source), "-o", str(tmp_path / "made")]) == 0
    told = capsys.readouterr()
    assert "1 training case." in told.out
    assert "1 scan, without a mask in labelsTr: hip_2.nii.gz" in told.err
    assert "1 mask, without a scan in imagesTr: hip_9.nii.gz" in told.err
    data = read_dataset(tmp_path / "made")
    assert [(case.id, case.patient) for case in (*data.cases, *data.test_cases)] == [
        ("hip_1", "anna"),
        ("hip_3", "hip_3"),
    ]
    assert data.left_out == ()
    (source / "labelsTr" / "hip_1.nii.gz").unlink()
    with pytest.raises(InputError, match="there is no case"):
        dataset_from_msd(source, tmp_path / "none", left=Inventory())


def test_scans_that_are_listed_and_not_there_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = task(tmp_path / "task", 1)
    for part in ("imagesTr", "labelsTr"):
        (source / part / "hip_2.nii.gz").unlink()
    assert make_dataset.main(["--from-msd", str(source), "-o", str(tmp_path / "made")]) == 0
    assert "listed in dataset.json, and not there: ./imagesTr/hip_2.nii.gz" in capsys.readouterr().err
