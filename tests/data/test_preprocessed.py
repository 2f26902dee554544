"""A preprocessed case is held whole or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny import prepare, tiny_case

from vmseg_auto.data.preprocessed import PreprocessedCase, PreprocessedFolder
from vmseg_auto.utils.errors import InputError


def assert_same(found: PreprocessedCase, case: PreprocessedCase) -> None:
    np.testing.assert_array_equal(found.image, case.image)
    np.testing.assert_array_equal(np.asarray(found.label), np.asarray(case.label))
    assert found.foreground.keys() == case.foreground.keys()
    for index, positions in case.foreground.items():
        np.testing.assert_array_equal(found.foreground[index], positions)
        assert found.foreground[index].dtype == np.int32
    rest = {"image": case.image, "label": case.label, "foreground": case.foreground}
    assert replace(found, **rest) == replace(case, **rest)


def test_a_case_comes_back_memory_mapped(tmp_path: Path) -> None:
    folder, case = PreprocessedFolder(tmp_path / "preprocessed"), tiny_case("case.1", 3)
    folder.save(case)
    found = folder.load("case.1")
    assert_same(found, case)
    assert isinstance(found.image, np.memmap)
    assert isinstance(found.label, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        found.image[0, 0, 0, 0] = 1


def test_a_case_without_mask_comes_back(tmp_path: Path) -> None:
    folder, case = PreprocessedFolder(tmp_path), replace(tiny_case("a", 0), label=None, foreground={})
    folder.save(case)
    found = folder.load("a")
    assert found.label is None
    assert found.foreground == {}
    assert folder.holds("a", case.content)


def test_names_that_sound_like_parts_are_no_trouble(tmp_path: Path) -> None:
    folder = PreprocessedFolder(tmp_path)
    cases = [tiny_case(name, seed) for seed, name in enumerate(("a", "a_label", "a_foreground", "labels"))]
    for case in cases:
        folder.save(case)
    for case in cases:
        assert_same(folder.load(case.id), case)


def test_a_case_is_held_for_its_content_only(tmp_path: Path) -> None:
    folder, case = PreprocessedFolder(tmp_path), tiny_case("a", 0)
    assert folder.content("a") is None
    assert not folder.holds("a", case.content)
    folder.save(case)
    assert folder.content("a") == case.content
    assert folder.holds("a", case.content)
    assert not folder.holds("a", "another")
    folder.save(replace(case, content="another"))
    assert folder.holds("a", "another")


@pytest.mark.parametrize("part", ["a.json", "a.npy", "labels/a.npy", "foreground/a.npz"])
def test_a_case_without_one_of_its_files_is_not_held(tmp_path: Path, part: str) -> None:
    folder = PreprocessedFolder(tmp_path)
    folder.save(tiny_case("a", 0))
    (tmp_path / part).unlink()
    assert folder.content("a") is None
    with pytest.raises(InputError, match="vmseg_plan_and_preprocess"):
        folder.load("a")


def test_a_save_that_is_cut_off_leaves_no_record(tmp_path: Path) -> None:
    folder, case = PreprocessedFolder(tmp_path), tiny_case("a", 0)
    folder.save(case)
    broken = replace(case, label=np.array([object()]))
    with pytest.raises(ValueError, match="allow_pickle"):
        folder.save(broken)
    assert folder.content("a") is None


@pytest.mark.parametrize("part", ["a.json", "a.npy", "labels/a.npy", "foreground/a.npz"])
@pytest.mark.parametrize("share", [0, 0.5])
def test_a_damaged_file_is_named(tmp_path: Path, part: str, share: float) -> None:
    folder = PreprocessedFolder(tmp_path)
    folder.save(tiny_case("a", 0))
    data = (tmp_path / part).read_bytes()
    (tmp_path / part).write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError) as caught:
        folder.load("a")
    assert caught.value.file == tmp_path / part
    assert "Delete this file" in str(caught.value)


def test_arrays_that_do_not_belong_are_refused(tmp_path: Path) -> None:
    folder = PreprocessedFolder(tmp_path)
    folder.save(tiny_case("a", 0))
    np.save(tmp_path / "a.npy", np.zeros((1, 2, 3, 4)))
    with pytest.raises(InputError, match=r"holds float64 \(1, 2, 3, 4\), but a.json says float32 \(1, 12, 20, 24\)"):
        folder.load("a")


@pytest.mark.parametrize("field", ["shape", "channels"])
def test_a_record_that_says_something_else_is_named(tmp_path: Path, field: str) -> None:
    folder = PreprocessedFolder(tmp_path)
    folder.save(tiny_case("a", 0))
    record = json.loads((tmp_path / "a.json").read_text())
    del record["sha256"]
    record |= {"shape": [2, 20, 24]} if field == "shape" else {"channels": 2}
    (tmp_path / "a.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"a\.json says float32"):
        folder.load("a")


@pytest.mark.parametrize("name", ["a.npy", "labels/a.npy", "foreground/a.npz"])
def test_a_flipped_bit_is_found(tmp_path: Path, name: str) -> None:
    folder = PreprocessedFolder(prepare(tmp_path, [tiny_case("a", 1)]))
    folder.verify("a")
    path = tmp_path / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)
    with pytest.raises(
        InputError, match=r"case a, .+Delete this file and run `vmseg_plan_and_preprocess` again"
    ) as caught:
        folder.verify("a")
    assert caught.value.file == path


def test_cases_from_before_checksums_are_taken_as_they_are(tmp_path: Path) -> None:
    folder = PreprocessedFolder(prepare(tmp_path, [tiny_case("a", 1)]))
    record = json.loads((tmp_path / "a.json").read_text())
    assert set(record.pop("checksums")) == {"image", "label"}
    del record["sha256"]
    (tmp_path / "a.json").write_text(json.dumps(record))
    folder.verify("a")
