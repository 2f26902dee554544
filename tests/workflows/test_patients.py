"""Patients of a workspace: what names suggest is shown, followed on the user's word alone, and remembered."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from consoles import Heard
from raw_dataset import describe, tiny_image, tiny_mask

from vmseg_auto.data.images.images import write_image, write_mask
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.utils.errors import DatasetError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.workflows.evaluate import evaluate
from vmseg_auto.workflows.paths import read_splits
from vmseg_auto.workflows.plan import plan_and_preprocess
from vmseg_auto.workflows.staleness import read_standing

GRID = Geometry((8, 24, 20), (3.0, 1.0, 1.0))
VISITS = ("anna_v1", "anna_v2", "bert", "cleo", "dora_20210503", "dora_20220101")
JOINED = {
    "anna_v1": "anna", "anna_v2": "anna", "bert": "bert", "cleo": "cleo",
    "dora_20210503": "dora", "dora_20220101": "dora",
}  # fmt: skip


def write_cases(folder: Path, cases: Iterable[str], side: str = "Tr", first: int = 0) -> None:
    for number, case in enumerate(cases, start=first):
        write_image(folder / f"images{side}" / f"{case}_0000.nii.gz", tiny_image(number, GRID.shape), GRID)
        write_mask(folder / f"labels{side}" / f"{case}.nii.gz", tiny_mask(shape=GRID.shape), GRID)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "dataset"
    write_cases(folder, VISITS)
    describe(folder)
    return folder


@pytest.fixture
def plan(dataset: Path) -> Callable[..., Heard]:
    """Plans the dataset and gives what was said."""

    def work(**options: Any) -> Heard:
        heard = Heard()
        plan_and_preprocess(dataset, memory_gb=0.05, jobs=1, console=heard, **options)
        heard.warned = [text for text in heard.warned if "may tell who a patient is" not in text]  # as names here do
        return heard

    return work


def patients(dataset: Path) -> dict[str, str]:
    space = Workspace(dataset / "vmseg")
    return read_standing(dataset, space, Inventory()).dataset.patients


def sides_are_clean(dataset: Path) -> bool:
    return all(
        not {JOINED[case] for case in fold.train} & {JOINED[case] for case in fold.val}
        for fold in read_splits(Workspace(dataset / "vmseg")).folds
    )


def test_visits_are_shown_and_nothing_is_taken_over_unasked(dataset: Path, plan: Callable[..., Heard]) -> None:
    for _ in range(2):
        (warning,) = plan().warned
        assert "  - anna_v1, anna_v2\n  - dora_20210503, dora_20220101\n" in warning
        assert "--visits join" in warning
        assert '"patients" in dataset.json' in warning
    assert patients(dataset) == {case: case for case in VISITS}


def test_the_word_is_kept_for_later_runs_training_and_evaluation(
    dataset: Path, plan: Callable[..., Heard], tmp_path: Path
) -> None:
    before = (dataset / "dataset.json").read_bytes()
    heard = plan(visits="join")
    assert not heard.warned
    assert any("6 cases of 4 patients" in text for text in heard.said)
    assert sides_are_clean(dataset)
    again = plan()
    assert not again.warned
    assert any("6 cases of 4 patients" in text for text in again.said)
    assert patients(dataset) == JOINED
    assert (dataset / "dataset.json").read_bytes() == before
    scores = evaluate(dataset / "labelsTr", dataset / "labelsTr", tmp_path / "scores.csv", jobs=1)
    assert dict(zip(scores.table["case"], scores.table["patient"], strict=True)) == JOINED
    elsewhere = evaluate(
        dataset / "labelsTr", dataset / "labelsTr", tmp_path / "scores.csv", workspace=tmp_path / "none", jobs=1
    )
    assert elsewhere.table["patient"].nunique() == 6


def test_visits_left_apart_are_not_asked_for_again(dataset: Path, plan: Callable[..., Heard]) -> None:
    plan(visits="apart")
    assert not plan().warned
    assert patients(dataset) == {case: case for case in VISITS}
    write_cases(dataset, ["bert_v2"], first=9)
    (warning,) = plan().warned
    assert "bert, bert_v2" in warning
    assert "anna" not in warning


def test_the_owner_has_the_last_word(dataset: Path, plan: Callable[..., Heard]) -> None:
    plan(visits="join")
    describe(dataset, patients={"anna_v1": "anna", "anna_v2": "another anna"})
    (dataset / "vmseg" / "splits.json").unlink()
    assert not plan().warned
    assert patients(dataset) == {**JOINED, "anna_v2": "another anna"}


def test_joining_what_an_old_split_holds_apart_is_refused_and_not_remembered(
    dataset: Path, plan: Callable[..., Heard]
) -> None:
    plan()
    splits = dataset / "vmseg" / "splits.json"
    old = splits.read_bytes()
    with pytest.raises(DatasetError, match=r"splits\.json: .*delete it to split anew(.|\n)*both sides: anna"):
        plan(visits="join")
    assert splits.read_bytes() == old
    assert patients(dataset) == {case: case for case in VISITS}
    splits.unlink()
    plan(visits="join")
    assert sides_are_clean(dataset)


def test_a_mere_check_remembers_nothing(dataset: Path, plan: Callable[..., Heard]) -> None:
    heard = plan(visits="join", check_only=True)
    assert any(text.startswith("Cases taken for visits of one patient:\n  - anna_v1, anna_v2") for text in heard.said)
    assert not (dataset / "vmseg").exists()


def test_a_patient_in_training_and_test_cases_is_named(dataset: Path, plan: Callable[..., Heard]) -> None:
    write_cases(dataset, ["cleo_v2", "emil"], side="Ts", first=20)
    (warning,) = plan(visits="join").warned
    assert warning.startswith("patients stand in imagesTr and in imagesTs: cleo.")


def test_the_same_image_of_two_patients_is_named_each_time(dataset: Path, plan: Callable[..., Heard]) -> None:
    describe(dataset, patients={case: case for case in VISITS})
    bert = tiny_image(2, GRID.shape)
    write_image(dataset / "imagesTr" / "cleo_0000.nii.gz", 3 * bert + (bert > 0), GRID)
    write_cases(dataset, ["copy"], side="Ts")  # anna_v1's image
    for options in ({"check_only": True}, {}, {}):
        (warning,) = plan(**options).warned
        assert "  - anna_v1 and imagesTs/copy: identical\n  - bert and cleo: nearly identical\n" in warning
    assert json.loads((dataset / "vmseg" / "fingerprint.json").read_text())["duplicates"]
    describe(dataset, patients={"bert": "bert", "cleo": "bert", "copy": "anna_v1"})
    (dataset / "vmseg" / "splits.json").unlink()
    warned = plan(visits="apart").warned
    assert [text.split(":")[0] for text in warned] == [
        "patients stand in imagesTr and in imagesTs",
        "these cases hold the same image, or nearly",
    ]
    assert "bert and cleo" not in warned[1]
    for side in ("images", "labels"):
        for path in (dataset / f"{side}Ts").iterdir():
            path.unlink()
    describe(dataset, patients={"bert": "bert", "cleo": "bert"})
    assert not plan().warned
