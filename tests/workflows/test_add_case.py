"""A case that a reader has accepted or corrected becomes a training case; nobody who is tested on does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_made import write_series
from exports import export, files, key, run
from raw_dataset import GRID as TINY
from raw_dataset import raw_dataset, tiny_image, tiny_mask
from reports import GRID, deliver, scan
from reviewing import by_hand, drawn, given

from vmseg_auto.data.cases import read_case, read_dataset
from vmseg_auto.data.dataset import Case
from vmseg_auto.data.dataset_reviews import DatasetReviews
from vmseg_auto.data.dicom.series import Choice, path_of
from vmseg_auto.data.images.images import read_image, read_mask, write_image, write_mask
from vmseg_auto.data.mask_files import mask_sha256
from vmseg_auto.data.reviews import Decision, Review
from vmseg_auto.review.predicted_cases import AddTo, PredictedCases
from vmseg_auto.utils.atomic import leftovers
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.workflows import add_case
from vmseg_auto.workflows.add_patients import VisitsUnknownError
from vmseg_auto.workflows.patients import Visits

LABEL = "venous_malformation"


def made(folder: Path, *names: str, **wishes: Any) -> Path:
    export(folder, *names)
    run(folder, label=LABEL, **wishes)
    return folder / "cohort"


def decided(folder: Path, name: str, dataset: Path, decision: Decision = "corrected", **other: Any) -> PredictedCases:
    """One prediction, with a reader's decision on it."""
    masks = {name: scan(folder / "new", name)}
    cases = PredictedCases(deliver(folder / "new", folder / "masks", masks), None, Inventory(), AddTo(dataset, **other))
    opened = cases.open(0)
    mask = drawn(opened.mask) if decision == "corrected" else opened.mask
    cases.save(0, given(opened, decision, comment="a vessel"), mask)
    return cases


def test_a_corrected_case_becomes_a_training_case_under_a_pseudonym(tmp_path: Path) -> None:
    dataset = made(tmp_path, "alba", "berta", "carla", "dora", test_share=0.25)
    old, before = key(tmp_path), files(tmp_path)
    cases = decided(tmp_path, "erika", dataset)
    assert cases.open(0).may_be_added
    told = cases.add(0, None)
    row = key(tmp_path)["erika"]
    assert (row.case, row.patient, row.set) == ("case_005", "patient_05", "train")
    assert f"`vmseg_plan_and_preprocess -d {dataset}`" in told
    assert "case_005 of patient_05, a new patient" in told
    assert cases.conclusion().startswith(f"1 case put into {dataset}: go on with `vmseg_plan_and_preprocess")
    np.testing.assert_array_equal(read_mask(dataset / "labelsTr/case_005.nii.gz")[0], cases.open(0).mask)
    image, grid = read_image(dataset / "imagesTr/case_005_0000.nii.gz")
    np.testing.assert_array_equal(image, read_image(tmp_path / "new/erika.nii.gz")[0])
    assert not grid.differences(GRID)
    assert {scan: now for scan, now in key(tmp_path).items() if scan != "erika"} == old
    after = files(tmp_path)
    assert {path: after[path] for path in before if path.name != "dataset.json"} == {
        path: content for path, content in before.items() if path.name != "dataset.json"
    }
    assert json.loads((dataset / "dataset.json").read_text())["numTraining"] == 4
    history = DatasetReviews.beside(dataset).read("case_005")
    assert [(one.decision, one.reader, one.comment) for one in history.reviews] == [("corrected", "Dr Ada", "a vessel")]
    assert history.made_of is not None
    assert (history.made_of.image, history.made_of.image_hash) == (row.image, row.image_hash)
    assert not cases.open(0).may_be_added
    with pytest.raises(InputError, match="has this scan already, as case_005"):
        cases.add(0, None)


@pytest.mark.parametrize("decision", ["rejected", "unsure", "no lesion"])
def test_only_what_was_accepted_or_corrected_goes_in(tmp_path: Path, decision: Decision) -> None:
    dataset = by_hand(tmp_path, "alba", "bo")
    cases = decided(tmp_path, "erika", dataset, decision)
    assert not cases.open(0).may_be_added
    with pytest.raises(InputError, match="nobody has accepted or corrected"):
        cases.add(0, None)
    assert len(read_dataset(dataset).cases) == 2


@pytest.mark.parametrize("visits", [None, "join", "apart"])
def test_a_patient_of_the_test_set_is_refused_by_name(tmp_path: Path, visits: Visits | None) -> None:
    dataset = made(tmp_path, "alba_v1", "berta_v1", "carla_v1", "dora_v1", test_share=0.25)
    tested = next(row for row in key(tmp_path).values() if row.set == "test")
    cases = decided(tmp_path, tested.scan.replace("_v1", "_v2"), dataset)
    before = files(tmp_path)
    if visits is None:
        with pytest.raises(VisitsUnknownError, match="look like visits"):
            cases.add(0, visits)
    elif visits == "join":
        with pytest.raises(InputError, match=rf"{tested.patient}\) is in the test set"):
            cases.add(0, visits)
    else:
        assert "a new patient" in cases.add(0, visits)
        return
    assert files(tmp_path) == before
    assert not DatasetReviews.beside(dataset).folder.exists()


def test_a_scan_in_the_folder_of_a_known_patient_is_that_patients(tmp_path: Path) -> None:
    """Also where that folder alone was predicted."""
    dataset = made(tmp_path, "alba/2019", "berta/2019", "carla/2019", patients="folders")
    mask = scan(tmp_path / "scans" / "berta", "2023")
    (tmp_path / "scans/berta/2019.nii.gz").rename(tmp_path / "2019.nii.gz")
    folder = deliver(tmp_path / "scans" / "berta", tmp_path / "masks", {"2023": mask})
    cases = PredictedCases(folder, None, Inventory(), AddTo(dataset))
    opened = cases.open(0)
    cases.save(0, given(opened, "accepted"), opened.mask)
    cases.add(0, None)
    rows = {row.case: row for row in key(tmp_path).values()}
    assert rows["case_004"].patient == next(row.patient for row in rows.values() if row.scan == "berta/2019")


@pytest.mark.parametrize("visits", [None, "join", "apart"])
def test_the_header_names_a_patient_of_the_test_set(tmp_path: Path, visits: Visits | None) -> None:
    """Whatever folders and files are called."""
    small = Geometry((4, 12, 12), (3.0, 1.0, 1.0))
    mask = np.zeros(small.shape, np.uint8)
    mask[1:3, 2:8, 2:8] = 1
    for number, name in enumerate(("alba", "berta", "carla", "dora")):
        pixels = np.random.default_rng(number).integers(50, 500, small.shape).astype(np.uint16)
        write_series(tmp_path / "scans" / name, pixels, small, PatientID=f"MRN-{name}")
        write_mask(tmp_path / "masks" / f"{name}.nii.gz", mask, small)
    run(tmp_path, label=LABEL, test_share=0.25)
    tested = next(row for row in key(tmp_path).values() if row.set == "test")
    pixels = np.random.default_rng(9).integers(50, 500, small.shape).astype(np.uint16)
    write_series(tmp_path / "new" / "export_7", pixels, small, PatientID=f"MRN-{tested.scan}")
    folder = deliver(tmp_path / "new", tmp_path / "predicted", {"export_7": mask})
    cases = PredictedCases(folder, None, Inventory(), AddTo(tmp_path / "cohort"))
    opened = cases.open(0)
    cases.save(0, given(opened, "accepted"), opened.mask)
    if visits is None:
        with pytest.raises(VisitsUnknownError, match=f"it is a scan of {tested.source_patient}"):
            cases.add(0, visits)
    elif visits == "join":
        with pytest.raises(InputError, match=rf"{tested.patient}\) is in the test set"):
            cases.add(0, visits)
    else:
        assert "case_005 of patient_05, a new patient" in cases.add(0, visits)
        assert key(tmp_path)["export_7"].set == "train"


def test_name_and_header_that_tell_two_patients_are_refused(tmp_path: Path) -> None:
    """Whatever is said of one of them: it may be the other who is in the test set."""
    small = Geometry((4, 12, 12), (3.0, 1.0, 1.0))
    mask = np.zeros(small.shape, np.uint8)
    mask[1:3, 2:8, 2:8] = 1
    for number, name in enumerate(("alba_v1", "berta_v1")):
        pixels = np.random.default_rng(number).integers(50, 500, small.shape).astype(np.uint16)
        write_series(tmp_path / "scans" / name, pixels, small, PatientID=f"MRN-{name}")
        write_mask(tmp_path / "masks" / f"{name}.nii.gz", mask, small)
    run(tmp_path, label=LABEL, test_share=0.0)
    pixels = np.random.default_rng(9).integers(50, 500, small.shape).astype(np.uint16)
    write_series(tmp_path / "new" / "alba_v2", pixels, small, PatientID="MRN-berta_v1")
    folder = deliver(tmp_path / "new", tmp_path / "predicted", {"alba_v2": mask})
    cases = PredictedCases(folder, None, Inventory(), AddTo(tmp_path / "cohort"))
    opened = cases.open(0)
    cases.save(0, given(opened, "accepted"), opened.mask)
    with pytest.raises(InputError, match="its name is that of a scan of alba_v1, and its header names berta_v1"):
        cases.add(0, "join")


def test_into_a_dataset_made_by_hand_it_goes_under_its_own_name(tmp_path: Path) -> None:
    dataset = by_hand(tmp_path, "alba", "bo", tests=["tom"])
    cases = decided(tmp_path, "erika", dataset, "accepted")
    told = cases.add(0, None)
    assert told.startswith("erika is now erika in ")
    data = read_dataset(dataset)
    assert [case.id for case in data.cases] == ["alba", "bo", "erika"]
    assert json.loads((dataset / "dataset.json").read_text())["numTraining"] == 3
    np.testing.assert_array_equal(read_mask(dataset / "labelsTr/erika.nii.gz")[0], cases.open(0).mask)
    history = DatasetReviews.beside(dataset).read("erika")
    assert history.made_of is not None
    assert history.made_of.mask == str((tmp_path / "masks/erika.nii.gz").resolve())
    with pytest.raises(InputError, match="has this scan already, as erika"):
        cases.add(0, None)


def test_by_hand_too_test_patients_are_refused_and_visits_asked_about(tmp_path: Path) -> None:
    dataset = by_hand(tmp_path, "alba_v1", "bo", tests=["tom_v1"], patients={"alba_v1": "alba"})
    cases = decided(tmp_path, "tom_v2", dataset)
    with pytest.raises(VisitsUnknownError, match="a visit of tom_v1"):
        cases.add(0, None)
    with pytest.raises(InputError, match="tom_v1 is in the test set"):
        cases.add(0, "join")
    again = decided(tmp_path / "again", "alba_v2", dataset)
    again.add(0, "join")
    assert {case.id: case.patient for case in read_dataset(dataset).cases}["alba_v2"] == "alba"


def test_the_same_voxels_are_known_under_any_name(tmp_path: Path) -> None:
    dataset = by_hand(tmp_path, "alba", tests=["tom"])
    with pytest.raises(InputError, match="the scan is tom of the test set"):
        decided(tmp_path / "one", "eve_ursula", dataset).add(0, None)
    with pytest.raises(InputError, match="has this scan already, as alba"):
        decided(tmp_path / "two", "emma_ursula", dataset).add(0, None)
    with pytest.raises(InputError, match="another scan of the dataset is called so"):
        decided(tmp_path / "three", "Alba", by_hand(tmp_path / "other", "alba_", "alba")).add(0, None)


def test_pseudonyms_without_their_key_are_refused(tmp_path: Path) -> None:
    dataset = made(tmp_path, "alba", "berta", "carla")
    (tmp_path / "cohort_key.csv").rename(tmp_path / "elsewhere.csv")
    with pytest.raises(InputError, match="the key to them is not here"):
        decided(tmp_path, "erika", dataset).add(0, None)
    assert "case_004" in decided(tmp_path / "again", "erika", dataset, key=tmp_path / "elsewhere.csv").add(0, None)


def test_other_labels_and_other_folders_are_refused(tmp_path: Path) -> None:
    dataset = by_hand(tmp_path, "alba", "bo")
    about = json.loads((dataset / "dataset.json").read_text())
    (dataset / "dataset.json").write_text(json.dumps(about | {"labels": {"background": 0, "lesion": 1}}))
    with pytest.raises(InputError, match="predicted with the labels"):
        decided(tmp_path, "erika", dataset).add(0, None)
    with pytest.raises(VmsegError, match="no such folder"):
        decided(tmp_path / "again", "erika", tmp_path / "nothing")


def test_every_channel_goes_in_and_in_the_format_of_the_dataset(tmp_path: Path) -> None:
    dataset = raw_dataset(tmp_path / "data", channels=2, ending=".nrrd")
    mask, images = tiny_mask(), [tiny_image(seed, TINY.shape) for seed in (77, 78)]
    paths = tuple(tmp_path / "new" / f"erika_{number:04d}.nii.gz" for number in (0, 1))
    for path, voxels in zip(paths, images, strict=True):
        write_image(path, voxels, TINY)
    write_mask(tmp_path / "erika.nii.gz", mask, TINY)
    review = Review("accepted", "Dr Ada", "2026-11-30T12:00:00+01:00", 1.0, "", mask_sha256(mask), 0, 1.0, {})
    seen = add_case.ReviewedCase(
        scan=Case("erika", "erika", paths, None), mask=tmp_path / "erika.nii.gz", labels={"background": 0, "lesion": 1},
        channels=("T1", "T2"), source=tmp_path / "new", choice=Choice(), spacing_mm=None, model="0", review=review,
    )  # fmt: skip
    add_case.add_case(dataset, seen)
    added = next(case for case in read_dataset(dataset).cases if case.id == "erika")
    assert [path.name for path in map(path_of, added.images)] == ["erika_0000.nrrd", "erika_0001.nrrd"]
    read, own, grid = read_case(added)
    np.testing.assert_array_equal(read, np.stack(images))
    np.testing.assert_array_equal(own, mask)
    assert not grid.differences(TINY)
    with pytest.raises(InputError, match="predicted with the channels T1"):
        add_case.add_case(dataset, replace(seen, channels=("T1",)))


def test_a_mask_that_is_changed_while_it_is_added_does_not_go_in(tmp_path: Path) -> None:
    dataset = by_hand(tmp_path, "alba", "bo")
    cases = decided(tmp_path, "erika", dataset)
    seen = cases.read(0).reviewed(tmp_path / "new")
    write_mask(tmp_path / "masks/erika.nii.gz", np.zeros(GRID.shape, np.uint8), GRID)
    with pytest.raises(InputError, match="was changed after it was decided on"):
        add_case.add_case(dataset, seen)
    with pytest.raises(InputError, match="nobody has accepted or corrected"):
        cases.add(0, None)
    assert len(read_dataset(dataset).cases) == 2


def test_what_fails_halfway_leaves_the_dataset_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = by_hand(tmp_path, "alba", "bo")
    cases = decided(tmp_path, "alba_v2", dataset)
    before = {path: path.read_bytes() for path in sorted(dataset.rglob("*")) if path.is_file()}
    put = add_case.put_in_place

    def failing(source: Path, path: Path) -> None:
        if path.parent.name == "imagesTr":
            raise VmsegError("it can't be written")
        put(source, path)

    monkeypatch.setattr(add_case, "put_in_place", failing)
    with pytest.raises(VmsegError, match="can't be written"):
        cases.add(0, "join")
    after = {path: path.read_bytes() for path in sorted(dataset.rglob("*")) if path.is_file()}
    assert {path: json.loads(content) if path.suffix == ".json" else content for path, content in after.items()} == {
        path: json.loads(content) if path.suffix == ".json" else content for path, content in before.items()
    }
    assert leftovers(dataset) == []
