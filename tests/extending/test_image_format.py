"""docs/extending/image_format.md: its format is found, passes its own test, and serves commands."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pages import blocks, install, run, run_test
from raw_dataset import raw_dataset

from vmseg_auto.data.cases import read_dataset
from vmseg_auto.data.images import registry
from vmseg_auto.data.images.images import read_image, read_mask, write_image, write_mask
from vmseg_auto.data.scans import find_scans
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.tables import read_csv

PAGE = "extending/image_format.md"
MODULE, TEST = blocks(PAGE, "python")
(PROJECT,) = blocks(PAGE, "toml")
GRID = Geometry((3, 4, 5), (4.0, 0.5, 0.75), (-12.5, 80.0, 3.25), (0.0, 0.6, -0.8, 1.0, 0.0, 0.0, 0.0, -0.8, -0.6))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of installed packages that holds the page's."""
    folder = tmp_path / "site"
    folder.mkdir()
    install(PROJECT, {"vmseg_mgh": MODULE}, folder)
    return folder


@pytest.fixture
def formats(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page's format among the others."""
    monkeypatch.syspath_prepend(str(site))
    for known in (registry.formats, registry._by_ending):
        known.cache_clear()
    yield
    sys.modules.pop("vmseg_mgh", None)
    for known in (registry.formats, registry._by_ending):
        known.cache_clear()


def test_the_pages_own_test_passes(site: Path) -> None:
    assert "2 passed" in run_test(TEST, site)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('(".mgz", ".mgh")', '(".mgz", ".nrrd")', "NRRD and FreeSurfer's MGH both are for files that end with .nrrd"),
        ("class Mgh(ImageFormat)", "class Mgh(dict)", "the package vmseg-mgh is none"),
        ("    def write(", "    def save(", "the package vmseg-mgh can't be loaded .TypeError"),
    ],
)
def test_one_that_can_not_be_used_is_named(formats: None, site: Path, old: str, new: str, words: str) -> None:
    (site / "vmseg_mgh.py").write_text(MODULE.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=words):
        registry.scan_endings()


def test_a_header_is_laid_out_as_freesurfer_does(formats: None, tmp_path: Path) -> None:
    """Its documentation: P0 = centre - axes x spacing x size / 2, in a world that points right, front and up."""
    write_mask(tmp_path / "a.mgh", np.arange(60, dtype=np.uint8).reshape(3, 4, 5), Geometry((3, 4, 5), (4.0, 2.0, 1.0)))
    data = (tmp_path / "a.mgh").read_bytes()
    assert np.frombuffer(data[:28], ">i4").tolist() == [1, 5, 4, 3, 1, 0, 0]
    assert np.frombuffer(data[28:30], ">i2").tolist() == [1]
    axes = [-1, 0, 0, 0, -1, 0, 0, 0, 1]
    assert np.frombuffer(data[30:90], ">f4").tolist() == [1, 2, 4, *axes, -2.5, -4, 6]
    assert list(data[284:]) == list(range(60))


def test_scans_and_datasets_may_be_of_it(formats: None, tmp_path: Path) -> None:
    assert registry.scan_endings() == (".nii.gz", ".nii", ".mha", ".nrrd", ".png", ".tif", ".tiff", ".mgz", ".mgh")
    assert not registry.packs("ANNA.MGH")
    write_image(tmp_path / "anna_0000.MGZ", np.ones(GRID.shape, np.float32), GRID)
    assert [case.id for case in find_scans(tmp_path, ("T2",))] == ["anna"]
    dataset = read_dataset(raw_dataset(tmp_path / "cohort", ending=".mgz"))
    assert dataset.file_ending == ".mgz"
    assert len(dataset.cases) == 3


def test_a_damaged_header_is_refused_before_memory_is_taken(formats: None, tmp_path: Path) -> None:
    write_image(tmp_path / "a.mgh", np.ones(GRID.shape, np.float32), GRID)
    whole = (tmp_path / "a.mgh").read_bytes()
    for size, words in (
        (b"\x00\x0f\xff\xff", "can't hold"),
        (b"\xff\xff\xff\xfe", "the header says"),
        (b"", "no image"),
    ):
        (tmp_path / "a.mgh").write_bytes(whole[:4] + size + whole[8:] if size else whole[:50])
        with pytest.raises(InputError, match=words) as error:
            read_image(tmp_path / "a.mgh", "anna")
        assert (error.value.case, error.value.file) == ("anna", tmp_path / "a.mgh")


def test_commands_take_it(site: Path, formats: None, tmp_path: Path) -> None:
    """vmseg_evaluate compares its masks with those of NIfTI, on the same grid."""
    mask = np.zeros(GRID.shape, np.uint8)
    mask[1, 1:3, 1:4] = 1
    for folder, ending in (("predicted", ".mgz"), ("reference", ".nii.gz")):
        (tmp_path / folder).mkdir()
        write_mask(tmp_path / folder / f"anna{ending}", mask, GRID)
    assert np.array_equal(read_mask(tmp_path / "predicted" / "anna.mgz")[0], mask)
    folders = ("-p", str(tmp_path / "predicted"), "-r", str(tmp_path / "reference"))
    done = run(site, "-m", "vmseg_auto.cli.evaluate", *folders, "-o", str(tmp_path / "scores.csv"))
    assert done.returncode == 0, done.stderr
    assert [row["dice"] for row in read_csv(tmp_path / "scores.csv")] == ["1"]
