"""Scans that nobody has annotated: first masks are drawn, kept, and become a dataset or part of one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from consoles import Heard
from reports import GRID, scan
from reviewing import by_hand, given, served

from vmseg_auto.cli.review import main
from vmseg_auto.data.cases import read_dataset
from vmseg_auto.data.dataset_reviews import DatasetReviews
from vmseg_auto.data.images.images import read_image, read_mask, write_image, write_mask
from vmseg_auto.review.drafts import ChangedMeanwhileError
from vmseg_auto.review.first_masks import FirstMasks
from vmseg_auto.review.predicted_cases import AddTo
from vmseg_auto.utils.atomic import read_json, write_json
from vmseg_auto.utils.errors import DatasetError, InputError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.workflows.make_dataset import make_dataset

DRAWN = np.zeros(GRID.shape, np.uint8)
DRAWN[3:5, 10:14, 10:15] = 1


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    for name in ("anna", "bertram"):
        scan(tmp_path / "scans", name)
    return tmp_path / "scans"


def first(scans: Path, dataset: Path | None = None) -> FirstMasks:
    return FirstMasks(scans, Inventory(), AddTo(dataset) if dataset else None, Heard())


def key_of(cases: FirstMasks, case: str) -> int:
    return [entry.case for entry in cases.entries].index(case)


def test_a_first_mask_is_drawn_and_kept(scans: Path) -> None:
    cases = first(scans)
    assert [entry.state for entry in cases.entries] == ["to do", "to do"]
    key = key_of(cases, "anna")
    opened = cases.open(key)
    assert (opened.reference, opened.predicted, opened.mask.any()) == (None, None, False)
    assert opened.decisions == ("corrected", "no lesion", "unsure")
    cases.save(key, given(opened, "corrected", comment="clear"), DRAWN)
    np.testing.assert_array_equal(read_mask(scans.parent / "scans_masks" / "anna.nii.gz")[0], DRAWN)
    (review,) = DatasetReviews.beside(scans).read("anna").reviews
    assert (review.decision, review.comment, review.voxels_changed, review.dice) == ("corrected", "clear", None, None)
    assert review.volumes_ml == {"lesion": pytest.approx(DRAWN.sum() * GRID.voxel_ml)}
    again = first(scans)
    assert [(entry.case, entry.state) for entry in again.entries] == [("bertram", "to do"), ("anna", "corrected")]
    assert sorted(path.name for path in scans.parent.iterdir()) == ["scans", "scans_masks", "scans_reviews"]
    assert "1 mask" in again.conclusion()
    assert "vmseg_make_dataset -i" in again.conclusion()


def test_what_is_not_drawn_is_not_saved(scans: Path) -> None:
    cases = first(scans)
    opened = cases.open(0)
    with pytest.raises(InputError, match="the mask is empty"):
        cases.save(0, given(opened, "corrected"), np.zeros(GRID.shape, np.uint8))
    with pytest.raises(InputError, match="can't be saved as accepted"):
        cases.save(0, given(opened, "accepted"), DRAWN)
    cases.save(0, given(opened, "unsure"), DRAWN)
    assert not (scans.parent / "scans_masks").exists()
    assert cases.open(0).review is not None
    cases.save(0, given(cases.open(0), "no lesion"), DRAWN)
    assert not read_mask(scans.parent / "scans_masks" / f"{opened.case}.nii.gz")[0].any()


def test_two_readers_overwrite_nothing(scans: Path) -> None:
    one, other = first(scans), first(scans)
    seen = other.open(0)
    one.save(0, given(one.open(0), "corrected"), DRAWN)
    with pytest.raises(ChangedMeanwhileError, match="Dr Ada has saved"):
        other.save(0, given(seen, "no lesion"), DRAWN)


def test_a_mask_on_another_grid_is_refused(scans: Path) -> None:
    write_mask(scans.parent / "scans_masks" / "anna.nii.gz", DRAWN, Geometry(GRID.shape, (9.0, 1.0, 1.0)))
    cases = first(scans)
    with pytest.raises(InputError, match="scan's grid"):
        cases.open(key_of(cases, "anna"))


def test_a_mask_that_was_drawn_elsewhere_is_shown_and_kept(scans: Path) -> None:
    path = scans.parent / "scans_masks" / "anna.nii.gz"
    elsewhere = np.roll(DRAWN, 3, axis=2)
    write_mask(path, elsewhere, GRID)
    stored = path.read_bytes()
    cases = first(scans)
    key = key_of(cases, "anna")
    np.testing.assert_array_equal(cases.open(key).mask, elsewhere)
    cases.save(key, given(cases.open(key), "corrected"), elsewhere)
    assert path.read_bytes() == stored
    cases.save(key, given(cases.open(key), "no lesion"), DRAWN)
    assert not read_mask(path)[0].any()
    history = DatasetReviews.beside(scans).read("anna")
    assert [review.decision for review in history.reviews] == ["corrected", "no lesion"]
    (kept,) = history.earlier
    assert (scans.parent / "scans_reviews" / "earlier" / kept.file).read_bytes() == stored


def test_masks_of_other_formats_and_names_are_named(scans: Path) -> None:
    masks = scans.parent / "scans_masks"
    for name in ("anna.mha", "bertram.nii.gz", "bertram.mha", "stranger.nii.gz"):
        write_mask(masks / name, DRAWN, GRID)
    left = Inventory()
    cases = FirstMasks(scans, left, None, Heard())
    assert "stranger.nii.gz" in left.text()
    with pytest.raises(InputError, match="drawn already, in another format"):
        cases.open(key_of(cases, "anna"))
    with pytest.raises(InputError, match="the same case as"):
        cases.open(key_of(cases, "bertram"))


def test_a_dataset_of_regions_is_refused_and_its_test_cases_are_known(scans: Path, tmp_path: Path) -> None:
    dataset = by_hand(tmp_path, "cornelius")
    image, grid = read_image(scans / "anna.nii.gz")
    write_image(dataset / "imagesTs" / "t1_0000.nii.gz", image, grid)
    assert [entry.case for entry in first(scans, dataset).entries] == ["bertram"]
    about = read_json(dataset / "dataset.json")
    about |= {"labels": {"background": 0, "whole": [1, 2], "core": 2}, "regions_class_order": [1, 2]}
    write_json(dataset / "dataset.json", about)
    with pytest.raises(InputError, match="a review of masks"):
        first(scans, dataset)


def test_drawn_masks_make_a_dataset(scans: Path) -> None:
    cases = first(scans)
    for key in range(2):
        cases.save(key, given(cases.open(key), "corrected"), DRAWN)
    make_dataset(scans, scans.parent / "scans_masks", scans.parent / "mine")
    assert len(read_dataset(scans.parent / "mine").cases) == 2
    with pytest.raises(InputError, match="in the dataset already"):
        first(scans, scans.parent / "mine")


def test_a_drawn_mask_is_put_into_a_dataset(scans: Path, tmp_path: Path) -> None:
    dataset = by_hand(tmp_path, "cornelius")
    cases = first(scans, dataset)
    key = key_of(cases, "bertram")
    with pytest.raises(InputError, match="nobody has outlined"):
        cases.add(key, None)
    cases.save(key, given(cases.open(key), "corrected"), DRAWN)
    assert cases.open(key).may_be_added
    assert "bertram is now bertram" in cases.add(key, None)
    assert not cases.open(key).may_be_added
    assert [case.id for case in read_dataset(dataset).cases] == ["bertram", "cornelius"]
    np.testing.assert_array_equal(read_mask(dataset / "labelsTr" / "bertram.nii.gz")[0], DRAWN)
    made_of = read_json(dataset.parent / "mine_reviews" / "bertram.json")["made_of"]
    assert (made_of["image"], made_of["model"]) == (str(scans / "bertram.nii.gz"), "")
    assert [entry.case for entry in first(scans, dataset).entries] == ["anna"]
    assert "1 case put into" in cases.conclusion()


def test_the_page_shows_them(scans: Path) -> None:
    with served(first(scans)) as server:
        about = server.json("/api/cases/0")
        assert about["decisions"] == ["corrected", "no lesion", "unsure"]
        assert "draw the mask" in about["notes"][0]
        assert not any(server.ask("GET", "/api/cases/0/mask")[1])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-d", "mine"], "have no masks yet"),
        (["--blind", "--reader", "Ada"], "there are none"),
        (["-i", "masks", "--images", "scans"], "each names the scans"),
        (["--next", "nowhere"], "no such file or folder"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    scans: Path, options: list[str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(scans.parent)
    assert main(["--next", "scans", *options, "--no-browser"]) == 2
    assert words in capsys.readouterr().err


def test_masks_are_no_scans(scans: Path, tmp_path: Path) -> None:
    write_mask(scans / "carl.nii.gz", DRAWN, GRID)
    cases = first(scans)
    assert [entry.case for entry in cases.entries[2:]] == ["carl"]
    told = "carl.nii.gz: it looks like a mask and not like a scan: it holds 2 values. Name the folder of the scans"
    assert told in cases.entries[2].problem
    for name in ("anna", "bertram"):
        write_mask(tmp_path / "masks" / f"{name}.nii.gz", DRAWN, GRID)
    with pytest.raises(DatasetError, match="masks: no scan can be used") as error:
        first(tmp_path / "masks")
    assert len(error.value.errors) == 2
    assert not (tmp_path / "masks_masks").exists()
