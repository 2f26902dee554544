"""A learning curve on real, tiny trainings: nested, paired, kept."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from statistics import fmean

import pytest
from matplotlib.image import imread
from raw_dataset import describe, raw_dataset

from vmseg_auto.cli import learning_curve as command
from vmseg_auto.data.workspace import CurveFolder, Workspace
from vmseg_auto.evaluation.learning_curve_record import LearningCurve
from vmseg_auto.models.fold_record import FoldRecord
from vmseg_auto.utils.atomic import read_stored
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.tables import read_csv
from vmseg_auto.workflows.learning_curve import learning_curve
from vmseg_auto.workflows.plan import plan_and_preprocess

SETTINGS = (
    "epochs=1",
    "iterations_per_epoch=1",
    "validation_share=0",
    "device_augmentation=on",
    "mirror_axes=[]",
    "tile_step_size=1",
)
SIZES = (1, 2, 4)
FOLDS = (0, 1, 2)
"""Their validation patients are five: the fewest that have intervals."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight scans of seven patients; fold 0 and 1 hold two out each, the others one."""
    folder = raw_dataset(tmp_path_factory.mktemp("cohort"), cases=8, grid=Geometry((6, 18, 18), (3.0, 0.8, 0.7)))
    describe(folder, patients={"a": "anna", "b": "anna"})
    plan_and_preprocess(folder, memory_gb=0.01)
    return folder


@pytest.fixture(scope="module")
def drawn(dataset: Path) -> tuple[LearningCurve, CurveFolder]:
    curve = learning_curve(SIZES, folds=FOLDS, target=0.8, dataset=dataset, settings=SETTINGS, device="cpu")
    return curve, Workspace(dataset / "vmseg").learning_curve("default", "default")


def records(place: CurveFolder) -> dict[int, FoldRecord]:
    return {n: read_stored(FoldRecord, place.size(n).fold(0).record) for n in SIZES}


def test_groups_grow_and_the_same_patients_are_validation(
    dataset: Path, drawn: tuple[LearningCurve, CurveFolder]
) -> None:
    found = records(drawn[1])
    owners = {"a": "anna", "b": "anna"}
    for size, record in found.items():
        assert len({owners.get(case, case) for case in record.train}) == size
        assert record.val == found[1].val
        assert not {owners.get(c, c) for c in record.train} & {owners.get(c, c) for c in record.val}
    assert set(found[1].train) < set(found[2].train) < set(found[4].train)
    whole = Workspace(dataset / "vmseg")
    assert whole.runs() == [], "a training of the curve is no model of the workspace"


def test_results_are_written(drawn: tuple[LearningCurve, CurveFolder]) -> None:
    curve, place = drawn
    assert read_stored(LearningCurve, place.summary) == curve
    assert (curve.cohort, curve.tested, curve.folds, curve.model) == (7, 5, FOLDS, "default/default")
    assert [point.patients for point in curve.measured] == list(SIZES)
    assert [point.patients for point in curve.forecasts] == [7, 14]
    rows = read_csv(place.table)
    assert Counter(int(row["patients"]) for row in rows) == dict.fromkeys(SIZES, len({row["case"] for row in rows}))
    for point in curve.measured:
        scores: dict[str, list[float]] = {}
        for row in rows:
            if int(row["patients"]) == point.patients:
                scores.setdefault(row["patient"], []).append(float(row["dice"]))
        assert point.dice.value == pytest.approx(fmean(map(fmean, scores.values())), abs=1e-5)
    assert imread(place.picture).ndim == 3


def test_finished_trainings_are_kept_and_a_size_may_be_added(
    dataset: Path, drawn: tuple[LearningCurve, CurveFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = Workspace(Path(shutil.copytree(dataset / "vmseg", tmp_path / "workspace")))
    place = space.learning_curve("default", "default")
    before = {n: place.size(n).fold(0).final.stat().st_mtime_ns for n in SIZES}
    again = [
        "--patients",
        "4",
        "2",
        "3",
        "1",
        "--folds",
        *map(str, FOLDS),
        "-w",
        str(space.root),
        "--device",
        "cpu",
        "--set",
        *SETTINGS,
    ]
    assert command.main([*again, "--target", "0.7"]) == 0
    out = capsys.readouterr().out
    assert "12 trainings, on 1, 2, 3, 4 of the cohort's 7 patients. 5 patients validate, those of folds" in out
    assert "The curve will have no interval: it takes 10 validation patients, and here are 5." in out
    assert out.count("already trained") == 9
    assert "Dice of 0.7 takes" in out  # so many patients, or not to be told
    assert {n: place.size(n).fold(0).final.stat().st_mtime_ns for n in SIZES} == before
    four = read_stored(LearningCurve, place.summary)
    kept = {p.patients: p.dice.value for p in four.measured if p.patients != 3}
    assert kept == {p.patients: p.dice.value for p in drawn[0].measured}


def test_other_settings_are_refused_with_the_difference(
    dataset: Path, drawn: tuple[LearningCurve, CurveFolder]
) -> None:
    with pytest.raises(InputError, match=r"n_1.*epochs: 1 against 2"):
        learning_curve(SIZES, folds=FOLDS, dataset=dataset, settings=(*SETTINGS, "epochs=2"), device="cpu")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"patients": (2, 4, 4)}, "at least three different ones"),
        ({"patients": (0, 2, 4)}, "at least three different ones above 0"),
        ({"patients": (2, 4, 6)}, "6 patients are asked for, but fold 0 leaves 5 to train on"),
        ({"patients": SIZES, "target": 80}, "Give a --target between 0 and 1"),
        ({"patients": SIZES, "folds": ["all"]}, "fold all holds no patient out"),
        ({"patients": SIZES, "folds": [9]}, "there is no fold 9"),
        ({"patients": SIZES, "folds": [4]}, "1 patient for validation, and an interval takes 5.*--folds 0 1 2\\."),
        ({"patients": SIZES, "hours": -1.0}, "Give --hours above 0"),
    ],
)
def test_bad_use(dataset: Path, arguments: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        learning_curve(**{"dataset": dataset, "trainer": "quick", "device": "cpu", **arguments})  # type: ignore[arg-type]
    assert not Workspace(dataset / "vmseg").learning_curve("default", "quick").folder.exists()


def test_several_folds_share_the_time_and_are_pooled(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset / "vmseg", tmp_path / "workspace")
    curve = learning_curve(
        (1, 2, 3), folds=[4, 1, 0], workspace=tmp_path / "workspace", settings=SETTINGS, hours=1, device="cpu"
    )
    assert (curve.tested, curve.folds) == (5, (0, 1, 4))
    place = Workspace(tmp_path / "workspace").learning_curve("default", "default")
    assert {int(row["fold"]) for row in read_csv(place.table)} == {0, 1, 4}
    assert not any("not of which were trained on" in text for text in curve.caveats())
