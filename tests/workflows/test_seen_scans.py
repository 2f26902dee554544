"""A scan that a model was trained on is known again under another name: in training, prediction, scores and card."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from consoles import Heard
from raw_dataset import describe, raw_dataset, tiny_image, tiny_mask

from vmseg_auto.data.images.images import write_image, write_mask
from vmseg_auto.data.runs import Run
from vmseg_auto.models.fold_record import read_record
from vmseg_auto.networks.transfer_record import Initialisation, Seen
from vmseg_auto.report.write import write_report
from vmseg_auto.utils.atomic import read_json, read_stored
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.workflows.evaluate import evaluate
from vmseg_auto.workflows.export import model_info
from vmseg_auto.workflows.plan import plan_and_preprocess
from vmseg_auto.workflows.predict import predict
from vmseg_auto.workflows.seen_scans import seen_by
from vmseg_auto.workflows.train import train

GRID = Geometry((16, 20, 24), (1.0, 1.0, 1.0))
SHORT = (
    "epochs=1",
    "iterations_per_epoch=1",
    "validation_share=0",
    "augment=false",
    "monitor_cases=0",
    "mirror_axes=[]",
    "tile_step_size=1",
)


def trained(folder: Path, init: Path | None = None, console: Heard | None = None) -> Run:
    """A network of 10 MB on all of a dataset."""
    space = plan_and_preprocess(folder, memory_gb=0.01).workspace
    return train(["all"], workspace=space.root, settings=SHORT, init=init, device="cpu", console=console)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A model of scans number 0, 10, 20 and 30, called a to d."""
    return trained(raw_dataset(tmp_path_factory.mktemp("elsewhere"), cases=4, grid=GRID))


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of other scans; three test cases: one that the other model knows as b, one of its patient, and a new
    one.
    """
    folder = tmp_path_factory.mktemp("ours")
    for number, case in enumerate("efgh", 50):
        put(folder, "Tr", case, number)
    for case, number in (("p1_first", 10), ("p1_second", 77), ("new", 99)):
        put(folder, "Ts", case, number)
    describe(folder, patients={"p1_first": "p1", "p1_second": "p1"})
    return folder


def put(folder: Path, side: str, case: str, number: int) -> None:
    write_image(folder / f"images{side}" / f"{case}_0000.nii.gz", tiny_image(number, GRID.shape), GRID)
    write_mask(folder / f"labels{side}" / f"{case}.nii.gz", tiny_mask(shape=GRID.shape), GRID)


@pytest.fixture(scope="module")
def heard() -> Heard:
    return Heard()


@pytest.fixture(scope="module")
def run(ours: Path, elsewhere: Run, heard: Heard) -> Run:
    return trained(ours, elsewhere.folder, heard)


def test_test_cases_that_the_start_model_knows_are_named_when_training_begins(run: Run, heard: Heard) -> None:
    (warning,) = heard.warned
    assert "known to the weights that the training starts from: p1_first; of p1_second another scan" in warning
    about = read_stored(Initialisation, run.fold("all").init)
    assert about.tests == ("p1_first", "p1_second")
    assert (about.seen.patients, about.seen.whole, len(about.seen.images)) == (4, True, 4)


def test_what_a_fold_has_seen_holds_what_its_first_weights_had(run: Run, elsewhere: Run) -> None:
    both = seen_by(run.fold("all"))
    record, before = read_record(run.fold("all")), read_record(elsewhere.fold("all"))
    assert record
    assert before
    assert set(both.images) == {*record.images.values(), *before.images.values()}
    assert both.whole
    assert both.patients is None


def test_the_report_and_the_card_tell_of_it(run: Run, ours: Path, tmp_path: Path) -> None:
    page = Path(write_report(dataset=ours, output=tmp_path / "report.html")).read_text()
    assert (
        "4 patients: 0 are of this cohort, 0 of them validation cases of this fold; of 3 test cases 2 are known" in page
    )
    card = model_info(run.folder)
    hash_ = read_stored(Initialisation, run.fold("all").init).weights
    assert f"of default/default (hash {hash_}), trained on 4 scans of 4 patients; 2 of the 3 test scans" in card


def test_predictions_and_scores_tell_which_scans_the_model_was_trained_on(run: Run, ours: Path, tmp_path: Path) -> None:
    heard = Heard()
    masks = tmp_path / "masks"
    predict(ours / "imagesTs", masks, model=run.folder, device="cpu", console=heard)
    assert any("trained on these very scans: p1_first." in text for text in heard.warned)
    told = {case: read_json(masks / f"{case}.json")["in_training"] for case in ("p1_first", "p1_second", "new")}
    assert told == {"p1_first": True, "p1_second": False, "new": False}
    scores = evaluate(masks, ours / "labelsTs")
    assert "their scores are too good: p1_first." in scores.text()
    assert "was not trained on, by the hash of their files: 2." in scores.text()
    assert scores.notes == tuple(read_json(masks / "metrics.json")["notes"])


def test_a_model_that_does_not_tell_is_said_not_to(run: Run, ours: Path, tmp_path: Path) -> None:
    bare = Path(shutil.copytree(run.folder, tmp_path / "bare"))
    (bare / "fold_all" / "fold.json").unlink()
    (bare / "fold_all" / "init.json").unlink()
    masks = tmp_path / "masks"
    predict(ours / "imagesTs" / "new_0000.nii.gz", masks, model=bare, device="cpu")
    assert read_json(masks / "new.json")["in_training"] is None


def test_what_several_have_seen() -> None:
    known, other = Seen(("a", "b"), True, 2), Seen(("c",), False)
    both = Seen.of([known, other, known])
    assert both == Seen(("a", "b", "c"), False, None)
    assert (both.holds("a"), both.holds("z"), known.holds("z")) == (True, None, False)
    assert Seen.of([known, known]) == known
    assert [one.text() for one in (known, other, both, Seen(whole=False))] == [
        "2 scans of 2 patients",
        "1 scan and scans that are not recorded",
        "3 scans and scans that are not recorded",
        "scans that are not recorded",
    ]
