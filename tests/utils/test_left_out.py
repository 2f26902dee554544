"""What is left out is counted and named, shortly on a screen and wholly in a log, and refused where that is wished."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path

import pytest

import vmseg_auto
from vmseg_auto.utils.errors import DatasetError, InputError, SomeCasesFailedError
from vmseg_auto.utils.left_out import (
    HIDDEN,
    TEXT,
    Inventory,
    LeftOutWarning,
    is_hidden,
    telling_left_out,
    unused_by_nature,
)


def test_ten_names_are_shown_and_all_are_kept() -> None:
    left = Inventory()
    for number in range(500):
        left.add("file", f"in/{number:03d}.dat", "no scan")
    left.add("file", "in/000.dat", "no scan")
    assert left.text() == (
        "Not used of what was given: 500 things.\n  - 500 files, no scan: in/000.dat, in/001.dat, in/002.dat, "
        "in/003.dat, in/004.dat, in/005.dat, in/006.dat, in/007.dat, in/008.dat, in/009.dat and 490 more"
    )
    assert left.whole_text.count("in/") == 500
    assert "more" not in left.whole_text


def test_files_of_one_name_in_two_folders_are_two_and_one_that_is_met_twice_is_one() -> None:
    left = Inventory()
    for folder in (Path("before"), Path("after")):
        left.add_file(folder / "masks" / "notes.dat", folder, "no scan")
        left.add_file(folder / "masks" / "notes.dat", folder / "masks", "no mask")
    assert left.text().splitlines()[1:] == [
        "  - 1 file in before, no scan: masks/notes.dat",
        "  - 1 file in after, no scan: masks/notes.dat",
    ]


def test_names_can_not_move_a_cursor() -> None:
    left = Inventory()
    left.add("file", "a\x1b[2Jb\nc", "no scan")
    assert "a\\x1b[2Jb\\nc" in left.text()


@pytest.mark.parametrize("name", [".DS_Store", "._a.nii.gz", "Thumbs.db", "desktop.ini", "__MACOSX", "@eaDir"])
def test_what_systems_leave_behind_is_hidden(name: str) -> None:
    assert is_hidden(name)
    assert unused_by_nature(name) == HIDDEN


@pytest.mark.parametrize(
    ("name", "why"), [("README.md", TEXT), ("LICENSE", TEXT), ("notes.txt", None), ("a.mhd", None)]
)
def test_texts_for_people_are_told_from_what_may_be_meant_to_be_used(name: str, why: str | None) -> None:
    assert unused_by_nature(name) == why


def test_strict_minds_nothing_that_is_so_by_nature() -> None:
    left = Inventory(strict=True)
    folder = Path("scans")
    left.add_file(folder / ".cache", folder, "no scan")
    left.add_file(folder / "README", folder, "no scan")
    left.add("fold", "fold_3", "not chosen", meant=True)
    left.require_nothing()
    left.add_file(folder / "sub" / "a.mhd", folder, "no scan")
    with pytest.raises(DatasetError, match=r"--strict: .*, and nothing is done") as caught:
        left.require_nothing()
    assert [error.problem for error in caught.value.errors] == ["1 file in scans, no scan: sub/a.mhd"]
    assert left.text() == "", "the error has told of it"


@telling_left_out
def two_files(error: Exception | None = None, left: Inventory | None = None) -> str:
    assert left is not None
    left.add("file", "a.mhd", "no scan")
    left.add("file", ".b", HIDDEN, meant=True)
    if error:
        raise error
    return "done"


def test_a_caller_without_an_inventory_is_told_when_work_was_done() -> None:
    with pytest.warns(
        LeftOutWarning, match=r"(?s)Not used of what was given: 2 things.*1 file, no scan: a.mhd"
    ) as told:
        assert two_files() == "done"
    assert told[0].filename == __file__
    with pytest.warns(LeftOutWarning), pytest.raises(SomeCasesFailedError):
        two_files(SomeCasesFailedError("1 of 2 failed", []))
    with pytest.raises(InputError):
        two_files(InputError("no scan"))
    left = Inventory()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert two_files(left=left) == "done"
    assert len(left.unwanted) == 1


def test_all_of_the_python_api_tells_of_it() -> None:
    functions = [getattr(vmseg_auto, name) for name in vmseg_auto.__all__]
    telling = {f.__name__: f for f in functions if inspect.isfunction(f) and "left" in inspect.signature(f).parameters}
    assert set(telling) >= {
        "doctor", "evaluate", "export_model", "follow_up", "import_nnunet", "learning_curve", "make_dataset",
        "model_info", "plan_and_preprocess", "predict", "select", "train", "write_report",
    }  # fmt: skip
    assert all(hasattr(function, "__wrapped__") for function in telling.values())
