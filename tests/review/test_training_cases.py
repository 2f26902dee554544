"""Masks of training cases, reviewed: the most suspicious first, and no earlier mask lost."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from consoles import Heard
from numpy.typing import NDArray
from raw_dataset import describe
from reviewing import SECONDS, Served, framed, given
from workspaces import GRID, Cohort, cohort, finished_run, sure_of

from vmseg_auto.data.cases import content_hash, read_dataset
from vmseg_auto.data.dataset_reviews import DatasetReviews
from vmseg_auto.data.images.images import read_mask, write_mask
from vmseg_auto.data.mask_files import mask_sha256
from vmseg_auto.data.reviews import Decision
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.review import training_cases
from vmseg_auto.review.drafts import ChangedMeanwhileError
from vmseg_auto.review.training_cases import TrainingCases
from vmseg_auto.utils.atomic import leftovers
from vmseg_auto.utils.console import Silent
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.utils.tables import read_csv
from vmseg_auto.workflows.locking import workspace_lock
from vmseg_auto.workflows.plan import plan_and_preprocess
from vmseg_auto.workflows.validate import finish_run


@pytest.fixture
def made(tmp_path: Path) -> Cohort:
    return cohort(tmp_path / "data")


def validated(made: Cohort) -> Path:
    """The same with a run whose label check is written; returns the table."""
    run = finished_run(made, "default", sure_of(2, 7))
    assert finish_run(run, made.space, made.fingerprint, made.splits, made.dataset, Silent())
    return run.label_check


def cases_of(made: Cohort) -> TrainingCases:
    return TrainingCases(made.space.root.parent, made.space, Inventory(), Silent())


def label(made: Cohort, case: str) -> Path:
    return made.space.root.parent / "labelsTr" / f"{case}.nii.gz"


def reviews(made: Cohort) -> DatasetReviews:
    return DatasetReviews.beside(made.space.root.parent)


def changed(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    new = mask.copy()
    new[5, 2:5, 3:6] = 1
    return new


def decide(made: Cohort, key: int, decision: Decision, mask: NDArray[np.uint8] | None = None, **other: Any) -> None:
    cases = cases_of(made)
    opened = cases.open(key)
    cases.save(key, given(opened, decision, **other), opened.mask if mask is None else mask)


def test_without_a_label_check_cases_stand_by_name(made: Cohort) -> None:
    cases = cases_of(made)
    assert [(entry.case, entry.state, entry.hint) for entry in cases.entries] == [(c, "to do", "") for c in "abcde"]
    opened = cases.open(1)
    assert (opened.case, opened.predicted, opened.start, opened.notes) == ("b", None, None, ())
    np.testing.assert_array_equal(opened.mask, read_mask(label(made, "b"))[0])
    assert opened.reference is opened.mask
    with pytest.raises(InputError, match="no such case"):
        cases.open(5)


def test_the_most_suspicious_stand_first_with_the_prediction_that_contradicts(made: Cohort) -> None:
    table = read_csv(validated(made))
    cases = cases_of(made)
    assert [entry.case for entry in cases.entries] == [row["case"] for row in table]
    first = cases.entries[0]
    assert table[0]["what"] in first.hint
    assert f"(slice {table[0]['slice']})" in first.hint
    opened = cases.open(0)
    assert opened.predicted is not None
    wanted = read_mask(label(made, first.case))[0]
    wanted[..., 7:] = 0
    np.testing.assert_array_equal(opened.predicted, wanted)
    assert opened.start == int(table[0]["slice"]) - 1
    assert "not trained on this patient" in opened.notes[0]
    (overlay,) = opened.overlays
    assert overlay.name == "probability of lesion"
    probabilities = overlay.read()
    assert (probabilities.shape, probabilities[wanted == 1].min()) == (GRID.shape, 255)
    assert probabilities[(opened.mask == 1) & (wanted == 0)].max() == round(0.29 * 255)


def test_a_corrected_mask_takes_the_place_of_the_earlier_one_which_is_kept(made: Cohort) -> None:
    before, mask = label(made, "b").read_bytes(), read_mask(label(made, "b"))[0]
    cases = cases_of(made)
    opened = cases.open(1)
    new = changed(mask)
    cases.save(1, given(opened, "corrected", comment="the rim"), new)
    np.testing.assert_array_equal(read_mask(label(made, "b"))[0], new)
    assert not read_mask(label(made, "b"))[1].differences(GRID)
    history = reviews(made).read("b")
    (review,), (kept,) = history.reviews, history.earlier
    assert (review.decision, review.reader, review.comment) == ("corrected", "Dr Ada", "the rim")
    assert (review.mask_sha256, kept.mask_sha256) == (mask_sha256(new), mask_sha256(mask))
    assert review.voxels_changed == np.count_nonzero(new != mask)
    assert (reviews(made).folder / "earlier" / kept.file).read_bytes() == before
    assert kept.file == "b.nii.gz.1.earlier"
    assert cases.entries[1].state == "corrected"
    assert cases.open(1).review == review
    assert (cases.entries[1].state, cases.entries[1].reader) == ("corrected", "Dr Ada")
    assert f"`vmseg_plan_and_preprocess -d {made.space.root.parent}`" in cases.conclusion()
    decide(made, 1, "no lesion")
    assert not read_mask(label(made, "b"))[0].any()
    history = reviews(made).read("b")
    assert [one.mask_sha256 for one in history.earlier] == [mask_sha256(mask), mask_sha256(new)]
    assert [one.decision for one in history.reviews] == ["corrected", "no lesion"]
    with gzip.open(reviews(made).folder / "earlier/b.nii.gz.2.earlier") as file:
        assert file.read(4)


def test_what_is_kept_is_no_mask_of_the_dataset(made: Cohort) -> None:
    decide(made, 1, "corrected", changed(read_mask(label(made, "b"))[0]))
    dataset = made.space.root.parent
    assert [case.id for case in read_dataset(dataset).cases] == list("abcde")
    assert read_dataset(dataset).left_out == ()
    assert leftovers(dataset.parent) == []


def test_planning_notices_the_mask_that_was_corrected(made: Cohort) -> None:
    earlier = {case.id: content_hash(case) for case in made.dataset.cases}
    decide(made, 1, "corrected", changed(read_mask(label(made, "b"))[0]))
    now = {case.id: content_hash(case) for case in made.dataset.cases}
    assert [case for case in now if now[case] != earlier[case]] == ["b"]
    heard = Heard()
    plan_and_preprocess(made.space.root.parent, memory_gb=0.01, jobs=1, console=heard)
    assert any("1 case preprocessed, 4 kept" in text for text in heard.said)


@pytest.mark.parametrize("decision", ["accepted", "rejected", "unsure"])
def test_other_decisions_leave_every_byte_of_the_mask(made: Cohort, decision: Decision) -> None:
    before = label(made, "c").read_bytes()
    decide(made, 2, decision)
    assert label(made, "c").read_bytes() == before
    assert cases_of(made).entries[2].state == decision
    assert not (reviews(made).folder / "earlier").exists()
    assert ("still trained on: c" in cases_of(made).conclusion()) == (decision == "rejected")


def test_a_mask_that_another_program_changes_is_to_do_again(made: Cohort) -> None:
    decide(made, 2, "accepted")
    seen = cases_of(made).open(2)
    write_mask(label(made, "c"), changed(seen.mask), GRID)
    assert cases_of(made).entries[2].state == "to do"
    with pytest.raises(ChangedMeanwhileError, match="was changed meanwhile"):
        cases_of(made).save(2, given(seen, "no lesion"), seen.mask)
    label(made, "c").write_bytes(b"no image")
    reviews(made).file("d").write_text("{")
    entries = cases_of(made).entries
    assert [entry.state for entry in entries] == ["to do", "to do", "", "", "to do"]
    assert "c.nii.gz" in entries[2].problem
    assert "d.json" in entries[3].problem


def test_a_mask_that_can_t_be_written_leaves_no_decision(made: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    before = label(made, "b").read_bytes()
    new = changed(read_mask(label(made, "b"))[0])

    def failing(*_: Any) -> None:
        raise VmsegError("it can't be written")

    for _ in range(2):
        monkeypatch.setattr(training_cases, "write_mask", failing)
        with pytest.raises(VmsegError, match="can't be written"):
            decide(made, 1, "corrected", new)
    monkeypatch.undo()
    assert label(made, "b").read_bytes() == before
    history = reviews(made).read("b")
    assert (history.reviews, len(history.earlier)) == ((), 1)
    decide(made, 1, "corrected", new)
    assert len(reviews(made).read("b").earlier) == 1


def test_saving_waits_for_no_long_command(made: Cohort) -> None:
    with (
        workspace_lock(made.space, "vmseg_plan_and_preprocess", Silent()),
        pytest.raises(InputError, match="vmseg_plan"),
    ):
        decide(made, 1, "no lesion")


def test_the_command_serves_training_cases(made: Cohort) -> None:
    """And says at its end what is to be done next."""
    dataset = made.space.root.parent
    command = [sys.executable, "-m", "vmseg_auto.cli.review", "-d", str(dataset), "--no-browser", "--reader", "Dr Ada"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        server = Served(next(line.split()[-1] for line in process.stdout if "http://" in line), Heard())
        assert [case["case"] for case in server.json("/api/queue")["cases"]] == list("abcde")
        about = server.json("/api/cases/0")
        assert (about["reference"], about["has_prediction"]) == ("mask", False)
        told = {"reader": "Dr Ada", "comment": "", "minutes": 1.0, "draft": 0, "decision": "no lesion"}
        told |= {name: about[name] for name in ("version", "base")}
        voxels = server.ask("GET", "/api/cases/0/mask")[1]
        assert server.ask("POST", "/api/cases/0/decision", framed(told, voxels))[0] == 200
        server.ask("POST", "/api/end")
        words = process.stdout.read()
        assert process.wait(SECONDS) == 0
    assert "Masks of the dataset have changed (a): go on with" in words
    assert "vmseg_plan_and_preprocess -d" in words
    assert not read_mask(label(made, "a"))[0].any()


def test_what_nobody_has_annotated_stays_so_until_it_is_drawn_over(made: Cohort) -> None:
    dataset = made.space.root.parent
    describe(dataset, labels={"background": 0, "lesion": 1, "ignore": 2})
    mask = read_mask(label(made, "b"))[0]
    mask[:2] = 2
    write_mask(label(made, "b"), mask, GRID)
    cases = cases_of(made)
    opened = cases.open(1)
    assert opened.labels == {"background": 0, "lesion": 1, "ignore": 255}
    assert (opened.mask[:2] == 255).all()
    assert "counts for nothing" in opened.notes[-1]
    assert cases.entries[1].volumes_ml == {"lesion": pytest.approx(10 * GRID.voxel_ml)}
    new = opened.mask.copy()
    new[1] = 0
    new[1, 3, 3:6] = 1
    cases.save(1, given(opened, "corrected"), new)
    mask[1] = new[1]
    np.testing.assert_array_equal(read_mask(label(made, "b"))[0], mask)
    again = cases.open(1)
    np.testing.assert_array_equal(again.mask, new)
    assert again.review is not None
    assert again.review.volumes_ml == {"lesion": pytest.approx(13 * GRID.voxel_ml)}
    assert cases_of(made).entries[1].state == "corrected"


def test_no_lesion_says_nothing_of_slices_that_nobody_has_annotated(made: Cohort) -> None:
    describe(made.space.root.parent, labels={"background": 0, "lesion": 1, "ignore": 2})
    mask = read_mask(label(made, "b"))[0]
    mask[:2] = 2
    write_mask(label(made, "b"), mask, GRID)
    cases = cases_of(made)
    opened = cases.open(1)
    drawn = opened.mask.copy()
    drawn[1] = 0  # the reader has looked at this one too
    cases.save(1, given(opened, "no lesion"), drawn)
    wanted = np.zeros_like(mask)
    wanted[0] = 2
    np.testing.assert_array_equal(read_mask(label(made, "b"))[0], wanted)
    again = cases_of(made).open(1)
    assert again.review is not None
    assert (again.review.decision, again.review.volumes_ml) == ("no lesion", {"lesion": 0.0})


def test_a_dataset_that_was_never_planned_can_be_reviewed(tmp_path: Path) -> None:
    dataset = cohort(tmp_path / "data").space.root.parent
    cases = TrainingCases(dataset, Workspace(tmp_path / "nowhere"), Inventory(), Silent())
    opened = cases.open(0)
    cases.save(0, given(opened, "corrected"), changed(opened.mask))
    np.testing.assert_array_equal(cases.open(0).mask, changed(opened.mask))
    assert not (tmp_path / "nowhere").exists()
