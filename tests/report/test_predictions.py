"""The report of predictions."""

from __future__ import annotations

import base64
import gzip
import re
import shutil
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from consoles import Heard
from numpy.typing import NDArray
from reports import GRID, LABELS, TWO, deliver, scan

from vmseg_auto.data.cases import read_dataset
from vmseg_auto.data.failures import write_failures
from vmseg_auto.data.images.images import read_image, read_mask, write_mask
from vmseg_auto.data.pseudonym_key import read_key
from vmseg_auto.report.write import write_report
from vmseg_auto.utils.atomic import read_json, write_json
from vmseg_auto.utils.errors import DatasetError, InputError, SomeCasesFailedError, VmsegError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.utils.tables import read_csv, write_csv

NAMES = ("doe_jane", "roe_richard")


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    scans = tmp_path / "scans"
    masks = {name: scan(scans, name) for name in NAMES}
    masks["empty"] = scan(scans, "empty", ())
    return deliver(scans, tmp_path / "masks", masks)


def embedded(page: str, kind: str) -> list[bytes]:
    found = re.findall(rf'<script type="text/plain" class="{kind}">(.*?)</script>', page)
    return [base64.b64decode(text) for text in found]


def voxels(data: bytes, folder: Path) -> tuple[NDArray[np.float32], Geometry]:
    path = folder / "part.nii.gz"
    path.write_bytes(data)
    return read_image(path)


def test_names_are_pseudonyms_and_the_key_lies_beside(predictions: Path) -> None:
    path = write_report(predictions)
    page = path.read_text()
    assert path == predictions / "report.html"
    key = read_key(predictions / "report_key.csv")
    assert set(key) == {*NAMES, "empty"}
    assert not any(name in page for name in NAMES)
    assert all(f"<h2>{pseudonym}</h2>" in page for pseudonym in key.values())
    assert str(predictions.parent) not in page
    write_report(predictions)
    assert read_key(predictions / "report_key.csv") == key


def test_names_and_whole_slices_only_when_asked_for(predictions: Path, tmp_path: Path) -> None:
    path = write_report(predictions, output=tmp_path / "named.html", identity=True)
    page = path.read_text()
    assert all(f"<h2>{name}</h2>" in page for name in NAMES)
    assert not (tmp_path / "named_key.csv").exists()
    image, _ = voxels(embedded(page, "scan")[0], tmp_path)
    assert image.shape == GRID.shape


def test_nothing_is_shown_but_the_surroundings_of_lesions(predictions: Path, tmp_path: Path) -> None:
    page = write_report(predictions).read_text()
    scans = embedded(page, "scan")
    assert len(scans) == 2  # of the scan without a lesion no voxel is shown
    assert "No venous malformation was found." in page
    for data, marks in zip(scans, embedded(page, "mask"), strict=True):
        image, geometry = voxels(data, tmp_path)
        mask, _ = voxels(marks, tmp_path)
        assert np.count_nonzero(mask) == 5 * 10 * 12 + 2 * 4 * 4
        assert geometry.spacing_mm == GRID.spacing_mm
        seen = np.argwhere(image > 0) * geometry.spacing_mm
        lesion = np.argwhere(mask > 0) * geometry.spacing_mm
        nearest = np.sqrt(((seen[::37, None] - lesion[None]) ** 2).sum(axis=2)).min(axis=1)
        assert nearest.max() <= 10
        where = np.array(geometry.origin_mm) + (np.argwhere(mask > 0)[:, ::-1] * geometry.spacing_mm[::-1])
        assert where.min(axis=0).tolist() == [8, 10, 6]


def test_figures_are_those_of_the_table(predictions: Path) -> None:
    page = unescape(write_report(predictions).read_text())
    key = read_key(predictions / "report_key.csv")
    for row in read_csv(predictions / "volumes.csv"):
        section = page.split(f"<h2>{key[row['case']]}</h2>")[1].split("<section")[0]
        assert f'<td class="number">{float(row["volume_ml"]):.2f}</td>' in section
        if row["component"] == "all" and row["expected_dice"]:
            assert f"(Dice): {float(row['expected_dice']):.2f};" in section


def test_where_nothing_was_found_the_chance_of_a_missed_lesion_is_told(predictions: Path) -> None:
    page = unescape(write_report(predictions).read_text())
    assert (
        "No venous malformation was found. Of 2 validation scans of 2 patients in which nothing was found either, 50% "
        "had a lesion (counted by patients; 95 % interval 9% to 91%), the largest of 3.50 mL. How much such a scan "
        "holds at most is not known: it takes validation scans without a finding of about nine patients, and here are "
        "2."
    ) in page


def test_every_figure_says_by_how_many_it_is_known_or_why_there_is_none(predictions: Path) -> None:
    assert "mL, by 51 validation scans of 12 patients) in 2 separate parts" in unescape(
        write_report(predictions).read_text()
    )
    rows = read_csv(predictions / "volumes.csv")
    why = {"volume_low_ml": "", "volume_high_ml": "", "no_interval": "the model has no calibration"}
    write_csv(predictions / "volumes.csv", tuple(rows[0]), (row | why for row in rows))
    assert "mL (no interval: the model has no calibration) in 2" in unescape(write_report(predictions).read_text())


def test_intervals_are_explained_where_there_are_some(predictions: Path) -> None:
    assert "interval that holds nine true volumes in ten" in write_report(predictions).read_text()
    rows = read_csv(predictions / "volumes.csv")
    unknown = {"volume_low_ml": "", "volume_high_ml": ""}  # as of a model without a cross-validation
    write_csv(predictions / "volumes.csv", tuple(rows[0]), (row | unknown for row in rows))
    assert "nine true volumes" not in write_report(predictions).read_text()


def test_several_labels_are_told_apart(tmp_path: Path) -> None:
    mask = scan(tmp_path / "scans", "anna")
    mask[TWO[1]] = 2
    labels = LABELS | {"phlebolith": 2}
    page = write_report(deliver(tmp_path / "scans", tmp_path / "masks", {"anna": mask}, labels)).read_text()
    assert "venous malformation 1" in page
    assert "phlebolith 1" in page
    assert "outline label-2" in page


def test_a_changed_scan_is_not_shown_under_the_old_mask(predictions: Path, tmp_path: Path) -> None:
    scan(tmp_path / "scans", NAMES[0], TWO[:1])
    with pytest.raises(
        SomeCasesFailedError, match=r"1 of 3 scans.*\n.*doe_jane.*not the scan that the mask .*--images"
    ):
        write_report(predictions)
    page = unescape((predictions / "report.html").read_text())
    hidden = read_key(predictions / "report_key.csv")["doe_jane"]
    assert f"<h2>{hidden}</h2>" not in page
    assert f'<th scope="row">{hidden}</th>' in page
    assert "this is not the scan that the mask was made from" in page
    assert len(embedded(page, "scan")) == 1


def test_a_scan_that_no_mask_could_be_made_of_is_named_with_the_reason(predictions: Path) -> None:
    why = VmsegError(
        "lost.nii.gz is cut short", case="lost", file="/scans/lost.nii.gz", remedy="Copy lost.nii.gz again."
    )
    write_failures(predictions, [why], ["lost"], "../scans")
    with pytest.raises(SomeCasesFailedError, match=r"1 of 4 scans.*\n.*case lost.*cut short"):
        write_report(predictions)
    page = unescape((predictions / "report.html").read_text())
    hidden = read_key(predictions / "report_key.csv")["lost"]
    assert f"{hidden}.nii.gz is cut short" in page
    assert f"Copy {hidden}.nii.gz again." in page
    assert "lost" not in page.split("<script")[0]
    with pytest.raises(SomeCasesFailedError):
        write_report(predictions, identity=True)
    assert "lost.nii.gz is cut short" in (predictions / "report.html").read_text()
    write_failures(predictions, [], ["lost"], "../scans")
    write_report(predictions)


def test_where_nothing_can_be_shown_there_is_no_report(tmp_path: Path) -> None:
    errors = [VmsegError("it is cut short", case=name) for name in NAMES]
    write_failures(tmp_path, errors, NAMES, "../scans")
    with pytest.raises(DatasetError, match=r"doe_jane: it is cut short\n.*roe_richard: it is cut short"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_scans_that_have_moved_are_found_with_images(predictions: Path, tmp_path: Path) -> None:
    before = write_report(predictions).read_text()
    (tmp_path / "scans").rename(tmp_path / "archive")
    with pytest.raises((InputError, DatasetError), match=r"no such file or folder"):
        write_report(predictions)
    assert write_report(predictions, images=tmp_path / "archive").read_text() == before


def test_masks_and_scans_that_moved_together_are_found(predictions: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    for name in ("scans", "masks"):
        (tmp_path / name).rename(tmp_path / "elsewhere" / name)
    assert write_report(tmp_path / "elsewhere" / "masks").is_file()


@pytest.mark.parametrize("lost", ["volumes.csv", "doe_jane.json", "doe_jane.nii.gz"])
def test_what_is_lost_is_named(predictions: Path, lost: str) -> None:
    (predictions / lost).unlink()
    with pytest.raises(VmsegError, match=r"(volumes\.csv|doe_jane).*vmseg_predict"):
        write_report(predictions)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: [], "tells of no scan"),
        (lambda rows: rows[1:], "its rows are not the lesions"),
        (lambda rows: [{**rows[0], "label": "x"}, *rows[1:]], "its rows are not the lesions"),
        (lambda rows: [{**rows[0], "volume_ml": "1,5"}, *rows[1:]], "column volume_ml: '1,5' is not a number"),
        (lambda rows: [{**rows[0], "traffic_light": "blue"}, *rows[1:]], "not one of green, amber, red"),
    ],
)
def test_a_damaged_table_is_named(predictions: Path, change: Callable[[list[Any]], list[Any]], said: str) -> None:
    path = predictions / "volumes.csv"
    rows = read_csv(path)
    write_csv(path, tuple(rows[0]), change(rows))
    with pytest.raises(VmsegError, match=rf"volumes\.csv.*{said}"):
        write_report(predictions)


@pytest.mark.parametrize("row", [{}, {"label": 7, "component": "all"}, {"label": None, "component": []}])
def test_a_record_with_odd_rows_is_named(predictions: Path, row: dict[str, Any]) -> None:
    path = predictions / "doe_jane.json"
    about = read_json(path)
    write_json(path, {**about, "volumes": [row, *about["volumes"][1:]]})
    with pytest.raises(SomeCasesFailedError, match=r"volumes\.csv.*doe_jane\.json beside it"):
        write_report(predictions)


def test_a_large_scan_is_drawn_coarser_so_that_the_page_stays_small(tmp_path: Path) -> None:
    grid = Geometry((40, 360, 360), (1.0, 0.4, 0.4))
    mask = scan(tmp_path / "scans", "anna", (np.s_[2:38, 100:250, 100:250],), grid)
    path = write_report(deliver(tmp_path / "scans", tmp_path / "masks", {"anna": mask}))
    page = path.read_text()
    (data,), (marks,) = embedded(page, "scan"), embedded(page, "mask")
    assert len(data) + len(marks) <= 900_000
    part, geometry = voxels(data, tmp_path)
    assert geometry.spacing_mm[1] > 0.4
    assert "coarser than the scan's" in page
    assert part.shape[0] == 40
    assert len(gzip.decompress(data)) > 300_000


def test_53_patients_fit_into_10_mb(shared_data: Path, tmp_path: Path) -> None:
    """Real scans with the masks that experts drew, as if they had been predicted."""
    cohort = read_dataset(shared_data / "vmsemi53")
    masks = {case.id: read_mask(case.label)[0] for case in cohort.cases if case.label}
    path = write_report(deliver(shared_data / "vmsemi53" / "imagesTr", tmp_path / "masks", masks))
    assert len(masks) == 53
    assert path.stat().st_size < 10e6


def test_a_mask_of_0_and_255_is_the_same_mask_or_a_corrected_one(predictions: Path) -> None:
    """As in all commands: 255 of a single label is 1."""
    path = predictions / f"{NAMES[0]}.nii.gz"
    before = unescape(write_report(predictions).read_text())
    mask, grid = read_mask(path)
    write_mask(path, mask * 255, grid)
    assert unescape(write_report(predictions).read_text()) == before
    mask[:, :, : mask.shape[2] // 2] = 0
    write_mask(path, mask * 255, grid)
    screen = Heard()
    write_report(predictions, console=screen)
    assert f"measured as it is now: {NAMES[0]}" in "\n".join(screen.said)


def test_files_named_almost_as_a_case_are_named_with_it(predictions: Path) -> None:
    mask = predictions / f"{NAMES[0]}.nii.gz"
    shutil.copy(mask, predictions / f"{NAMES[0]}_edited.nii.gz")
    left = Inventory()
    write_report(predictions, left=left)
    assert f"so that it counts: {NAMES[0]}_edited.nii.gz (of {NAMES[0]})" in left.text()
    mask.rename(predictions / f"{NAMES[0].upper()}.nii.gz")
    with pytest.raises(SomeCasesFailedError, match=rf"is missing \(there is {NAMES[0].upper()}, {NAMES[0]}_edited\)"):
        write_report(predictions, left=Inventory())


def test_a_corrected_mask_is_measured_and_a_damaged_one_refused(predictions: Path) -> None:
    path = predictions / f"{NAMES[0]}.nii.gz"
    mask, geometry = read_mask(path)
    mask[0:2, 0:8, 0:8] = 1
    write_mask(path, mask, geometry)
    key_page = unescape(write_report(predictions).read_text())
    section = key_page.split(f"<h2>{read_key(predictions / 'report_key.csv')[NAMES[0]]}</h2>")[1].split("<section")[0]
    assert "corrected by hand after it was predicted" in section
    assert f"{np.count_nonzero(mask) * geometry.voxel_ml:.2f} mL" in section
    assert "nine true volumes" not in section
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(SomeCasesFailedError, match=r"doe_jane.*the mask is damaged"):
        write_report(predictions)


def test_scans_that_were_fetched_and_not_kept_are_told_without_slices(tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    deliver(scans, tmp_path / "masks", {name: scan(scans, name) for name in NAMES}, kept=False)
    console = Heard()
    page = write_report(tmp_path / "masks", console=console).read_text()
    assert embedded(page, "scan") == embedded(page, "mask") == []
    told = "The scan was fetched from a PACS and not kept, so nothing of it is shown. Predict again with --keep-scans"
    assert page.count(told) == 2
    (volume,) = {row["volume_ml"] for row in read_csv(tmp_path / "masks" / "volumes.csv") if row["component"] == "all"}
    assert page.count(f'<td class="number">{float(volume):.2f}</td>') >= 2
    assert any(
        "not kept, so the report shows no slices of it: doe_jane, roe_richard" in text for text in console.warned
    )
    page = write_report(tmp_path / "masks", images=scans).read_text()
    assert len(embedded(page, "scan")) == 2
    assert told not in page
