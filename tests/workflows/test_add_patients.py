"""A dataset that grows: nobody who is in it changes pseudonym or side."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from consoles import Heard
from exports import export, files, key, run
from raw_dataset import GRID, tiny_image, tiny_mask

from vmseg_auto.data.cases import read_dataset
from vmseg_auto.data.dataset_key import read_dataset_key
from vmseg_auto.data.images.images import read_image, write_image, write_mask
from vmseg_auto.utils.errors import InputError, SomeCasesFailedError, VmsegError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.workflows import make_dataset as module

FIRST = ("anna/2019", "ben/2019", "carl/2019", "dora/2019", "ela/2019")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    export(tmp_path, *FIRST)
    run(tmp_path, patients="folders", test_share=0.4)
    return tmp_path


@pytest.mark.parametrize("whole", [True, False])
def test_new_patients_and_visits_come_in_and_all_others_stay(made: Path, whole: bool) -> None:
    """Whether the whole export is given or the new scans alone."""
    old, before = key(made), files(made)
    data = json.loads((made / "cohort/dataset.json").read_text())
    (made / "cohort/dataset.json").write_text(json.dumps({**data, "name": "mine"}))
    if not whole:
        shutil.rmtree(made / "scans")
        shutil.rmtree(made / "masks")
    export(made, "anna/2021", "dora/2021", "fritz/2021", "aaron/2021", first=5)
    run(made, add=True)
    now, after = key(made), files(made)
    assert {scan: now[scan] for scan in old} == old
    assert {path: after[path] for path in before if path.name != "dataset.json"} == {
        path: content for path, content in before.items() if path.name != "dataset.json"
    }
    for name in ("anna", "dora"):
        first, later = now[f"{name}/2019"], now[f"{name}/2021"]
        assert (first.patient, first.set) == (later.patient, later.set)
        assert first.case != later.case
    assert {now[f"{name}/2021"].patient for name in ("fritz", "aaron")} == {"patient_06", "patient_07"}
    assert {now[f"{name}/2021"].set for name in ("fritz", "aaron")} == {"train"}
    data = read_dataset(made / "cohort")
    assert data.name == "mine"
    sides = {case.id: "train" for case in data.cases} | {case.id: "test" for case in data.test_cases}
    assert sides == {row.case: row.set for row in now.values()}
    assert json.loads((made / "cohort/dataset.json").read_text())["numTraining"] == len(data.cases)
    for row in now.values():
        part = "Ts" if row.set == "test" else "Tr"
        image, _ = read_image(made / "cohort" / f"images{part}" / f"{row.case}_0000.nii.gz")
        place = [*FIRST, "anna/2021", "dora/2021", "fritz/2021", "aaron/2021"].index(row.scan)
        assert (image == tiny_image(place)).all()
    assert b"anna" not in b"".join(after.values())
    run_again = files(made)
    run(made, add=True)
    assert files(made) == run_again


def test_the_share_of_test_patients_is_reached_again(made: Path) -> None:
    export(made, *(f"new{n}/1" for n in range(5)), first=5)
    run(made, add=True, test_share=0.4)
    tested = {row.patient for row in key(made).values() if row.set == "test"}
    assert len(tested) == 4


def test_making_it_again_is_refused_where_names_or_sides_would_change(made: Path) -> None:
    with pytest.raises(InputError, match=r"it exists already\. To put new patients into it, add --add"):
        run(made, patients="folders", test_share=0.4)
    before, old = files(made), key(made)
    shutil.rmtree(made / "cohort")
    for wishes in ({"patients": "folders"}, {"patients": "folders", "test_share": 0.4, "seed": 1}):
        with pytest.raises(InputError, match=r"would change whose pseudonyms.*Add --add to keep both as they are"):
            run(made, **wishes)
        assert not (made / "cohort").exists()
    run(made, patients="folders", test_share=0.4)
    assert (files(made), key(made)) == (before, old)
    export(made, "fritz/2021", first=5)
    shutil.rmtree(made / "cohort")
    with pytest.raises(InputError, match="would change whose"):
        run(made, patients="folders", test_share=0.4)
    run(made, add=True)
    assert {scan: row for scan, row in key(made).items() if scan in old} == old
    assert len(files(made)) == len(before) + 2


def test_visits_of_known_patients_are_told_by_their_scans_too(tmp_path: Path) -> None:
    export(tmp_path, "anna_v1", "ben_v1", "carl_v1")
    run(tmp_path)
    export(tmp_path, "anna_v2", first=3)
    with pytest.raises(InputError, match=r"look like visits of a patient who is in the dataset:\n.*anna_v1, anna_v2"):
        run(tmp_path, add=True)
    assert len(key(tmp_path)) == 3
    run(tmp_path, add=True, visits="join")
    now = key(tmp_path)
    assert now["anna_v1"].patient == now["anna_v2"].patient
    export(tmp_path, "ben_v2", first=4)
    run(tmp_path, add=True, visits="apart")
    assert key(tmp_path)["ben_v2"].patient == "patient_04"


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"patients": "scans"}, "was made with --patients folders"),
        ({"segments": ["lesion"]}, "was made with all segments"),
        ({"label": "cyst"}, 'the label of this dataset is called "lesion"'),
        ({"channel": "T1"}, 'the channel of this dataset is called "T2"'),
    ],
)
def test_other_wishes_than_those_it_was_made_with_are_refused(made: Path, wishes: dict[str, Any], words: str) -> None:
    export(made, "fritz/2021", first=5)
    before = files(made)
    with pytest.raises(InputError, match=words):
        run(made, add=True, **wishes)
    assert files(made) == before


def test_what_has_changed_since_is_named_and_not_taken(made: Path) -> None:
    write_image(made / "scans/anna/2019.nii.gz", tiny_image(99), Geometry(GRID.shape, GRID.spacing_mm, (0.0, 0.0, 0.0)))
    write_mask(made / "masks/ben/2019.nii.gz", tiny_mask(0), Geometry(GRID.shape, GRID.spacing_mm, (100.0, 0.0, 0.0)))
    before, words = files(made), Heard()
    with pytest.raises(SomeCasesFailedError, match=r"the scan of case_00\d has changed since it was taken"):
        run(made, add=True, console=words)
    assert files(made) == before
    assert f"the masks of {key(made)['ben/2019'].case} have changed" in "\n".join(words.warned)


@pytest.mark.parametrize("reached", range(4, 10))
def test_a_killed_addition_is_seen_and_goes_on(made: Path, reached: int, monkeypatch: pytest.MonkeyPatch) -> None:
    export(made, "fritz/1", "gabi/1", first=5)
    moved: list[Path] = []

    def killed(source: Path, target: Path) -> None:
        if len(moved) == reached:
            raise KeyboardInterrupt
        moved.append(target)
        Path(source).rename(target)

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            run(made, add=True)
    if reached < 6:  # the four files in a folder apart, the key
        data = read_dataset(made / "cohort")
        assert len(data.cases) + len(data.test_cases) == 5
    else:
        with pytest.raises(VmsegError):
            read_dataset(made / "cohort")
    run(made, add=True)
    data = read_dataset(made / "cohort")
    assert len(data.cases) + len(data.test_cases) == 7
    assert not [path for path in (made / "cohort").rglob("*") if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("patient_01", "patient_02", "the patient .* stands in it twice"),
        ("case_003", "case_004", "the case case_004 stands in it twice"),
        (",train,", ",tarin,", "the set of case_00. is 'tarin'"),
        ("case,", "fall,", "line 2 lacks the column case"),
        (",", ";", "more cells than the header|lacks the column"),
        ("case_002", "mueller", "holds no pseudonyms"),
    ],
)
def test_a_key_that_was_damaged_is_one_message(made: Path, old: str, new: str, words: str) -> None:
    path = made / "cohort_key.csv"
    path.write_text(path.read_text().replace(old, new, 40 if old == "," else 1 if old != "case," else 2))
    before = files(made)
    with pytest.raises(InputError, match=words) as caught:
        run(made, add=True)
    assert caught.value.file == path
    assert "Undo the change, or restore the file" in str(caught.value)
    assert files(made) == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no valid JSON"),
        ('{"channel_names": {"0": "T2"}}', "labels is missing"),
        (None, "has no dataset.json"),
    ],
)
def test_a_dataset_json_that_was_damaged_is_one_message(made: Path, text: str | None, words: str) -> None:
    path = made / "cohort/dataset.json"
    path.write_text(text) if text is not None else path.unlink()
    with pytest.raises(InputError, match=words) as caught:
        run(made, add=True)
    assert str(path) in str(caught.value)


def test_what_was_moved_by_hand_is_named(made: Path) -> None:
    row = next(row for row in key(made).values() if row.set == "train")
    for kind, name in (("images", f"{row.case}_0000.nii.gz"), ("labels", f"{row.case}.nii.gz")):
        (made / f"cohort/{kind}Tr/{name}").rename(made / f"cohort/{kind}Ts/{name}")
    with pytest.raises(InputError, match=rf"{row.case} stands in another folder than the key says \(train\)"):
        run(made, add=True)


def test_the_key_may_lie_elsewhere_but_not_in_the_dataset(made: Path) -> None:
    export(made, "fritz/2021", first=5)
    safe = made / "safe" / "who.csv"
    safe.parent.mkdir()
    (made / "cohort_key.csv").rename(safe)
    with pytest.raises(InputError, match="the key to the dataset's pseudonyms is not here"):
        run(made, add=True)
    run(made, add=True, key=safe)
    assert len(read_dataset_key(safe)) == 6
    with pytest.raises(InputError, match="the key would lie in the dataset"):
        run(made, add=True, key=made / "cohort/key.csv")
