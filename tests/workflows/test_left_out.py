"""Splits, tables and folders that are handed in: what of them is not used is named, and refused if that is wished."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from consoles import Heard
from exports import export, key, run
from raw_dataset import raw_dataset
from reports import deliver, scan

from vmseg_auto.data.images.images import read_image, write_image, write_mask
from vmseg_auto.data.pseudonym_key import keep_key
from vmseg_auto.report.write import write_report
from vmseg_auto.utils.errors import DatasetError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.utils.tables import read_csv, write_csv
from vmseg_auto.workflows.followup import follow_up
from vmseg_auto.workflows.plan import plan_and_preprocess
from vmseg_auto.workflows.remove_patient import remove_patient

GRID = Geometry((6, 18, 18), (3.0, 0.8, 0.7))


def words(left: Inventory) -> set[str]:
    return {f"{one.what} {one.where}: {one.why}" for one in left.unwanted}


def test_cases_beside_a_split_are_named_and_strict_ends_before_they_are_read(tmp_path: Path) -> None:
    folder = raw_dataset(tmp_path / "data", cases=4, grid=GRID)
    folds = [{"train": ["b", "c"], "val": ["a"]}, {"train": ["a", "c", "d"], "val": ["b"]}]
    (folder / "splits_final.json").write_text(json.dumps(folds))
    strict = Inventory(strict=True)
    with pytest.raises(DatasetError, match="--strict") as caught:
        plan_and_preprocess(folder, jobs=1, left=strict)
    assert "1 case, on neither side of fold 0: d" in str(caught.value)
    assert not (folder / "vmseg" / "fingerprint.json").exists()
    left = Inventory()
    plan_and_preprocess(folder, jobs=1, left=left)
    assert words(left) == {
        "case d: on neither side of fold 0",
        "case c: a validation case of no fold, and so never scored",
        "case d: a validation case of no fold, and so never scored",
    }
    again = Inventory()
    plan_and_preprocess(folder, jobs=1, left=again)
    assert words(again) == words(left), "the file that was taken over agrees with what was made of it"


def test_a_split_that_another_one_stands_before_is_named(tmp_path: Path) -> None:
    folder = raw_dataset(tmp_path / "data", cases=3, grid=GRID)
    plan_and_preprocess(folder, jobs=1)
    for text in (json.dumps([{"train": ["a"], "val": ["b", "c"]}]), "no split"):
        (folder / "splits_final.json").write_text(text)
        left = Inventory()
        plan_and_preprocess(folder, jobs=1, left=left)
        path = folder / "splits_final.json"
        assert words(left) == {f"file {path}: another split than {folder / 'vmseg' / 'splits.json'}, which counts"}


def test_masks_and_scans_without_a_row_are_named(tmp_path: Path) -> None:
    scans, masks = tmp_path / "scans", tmp_path / "masks"
    found = {name: scan(scans, name) for name in ("anna", "ben")}
    deliver(scans, masks, found)
    write_mask(masks / "carl.nii.gz", found["ben"], read_image(scans / "ben.nii.gz")[1])
    shutil.copy(scans / "ben.nii.gz", scans / "dora.nii.gz")
    (masks / "extra").mkdir()
    (masks / "extra" / "one.dat").write_bytes(b"?")
    left = Inventory()
    write_report(masks, images=scans, left=left)
    assert words(left) == {
        "mask carl.nii.gz: of which volumes.csv does not tell",
        "scan dora: without a prediction in this folder",
        "folder extra (1 file): not looked into",
    }
    (masks / "report.html").unlink()
    with pytest.raises(DatasetError, match="--strict"):
        write_report(masks, images=scans, left=Inventory(strict=True))
    assert not (masks / "report.html").exists()
    usual = Inventory()
    write_report(masks, left=usual)
    assert "dora" not in usual.text(), "where the scans lay is no input of this command"


def test_rows_without_a_mask_are_named(tmp_path: Path) -> None:
    scans, masks = tmp_path / "scans", tmp_path / "masks"
    found = {name: scan(scans, name) for name in ("anna", "ben")}
    deliver(scans, masks, found)
    (masks / "ben.nii.gz").unlink()
    (scans / "ben.nii.gz").unlink()
    later, corrected = tmp_path / "later", tmp_path / "corrected"
    image, geometry = read_image(scans / "anna.nii.gz")
    write_image(later / "anna.nii.gz", np.flip(image, 2).copy(), geometry)
    write_mask(corrected / "anna.nii.gz", np.flip(found["anna"], 2).copy(), geometry)
    left = Inventory()
    follow_up(scans, later, tmp_path / "out", masks=(masks, corrected), left=left, console=Heard())
    assert words(left) == {"case ben: whose rows of volumes.csv have no mask beside them"}


def test_columns_of_ones_own_are_named_before_a_key_loses_them(tmp_path: Path) -> None:
    export(tmp_path, "anna", "ben")
    run(tmp_path)
    table = tmp_path / "cohort_key.csv"
    note, *_ = table.read_text().splitlines()
    rows = [{**row, "ward": "3"} for row in read_csv(table)]
    write_csv(table, list(rows[0]), rows, note=note.removeprefix("# "))
    before = table.read_bytes()
    export(tmp_path, "carl", first=2)
    told = "column cohort_key.csv: ward: which no key has, and which is not kept"
    with pytest.raises(DatasetError, match="1 column, which no key has"):
        run(tmp_path, add=True, left=Inventory(strict=True))
    with pytest.raises(DatasetError, match="1 column, which no key has"):
        remove_patient(tmp_path / "cohort", "anna", left=Inventory(strict=True))
    assert table.read_bytes() == before
    left = Inventory()
    run(tmp_path, add=True, left=left)
    assert words(left) == {told}
    assert set(key(tmp_path)) == {"anna", "ben", "carl"}


def test_columns_of_ones_own_stay_in_the_key_of_a_report(tmp_path: Path) -> None:
    table = tmp_path / "report_key.csv"
    keep_key(table, {"anna": "anna"})
    write_csv(table, ["pseudonym", "case", "patient", "ward"], [{**read_csv(table)[0], "ward": "3"}])
    keep_key(table, {"anna": "anna", "ben": "ben"})
    assert [row["ward"] for row in read_csv(table)] in (["3", ""], ["", "3"])
