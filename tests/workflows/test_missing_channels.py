"""A channel that some patients lack: planned, trained, scored without it, and predicted; refused where nothing taught
the network to do without.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from consoles import Heard
from raw_dataset import LABELS
from small_cohort import GRID, ball, small_cohort

from vmseg_auto.cli import predict as predict_cli
from vmseg_auto.data.cases import content_hash, read_case, read_dataset
from vmseg_auto.data.images.images import write_image, write_mask
from vmseg_auto.data.preprocessed import PreprocessedFolder
from vmseg_auto.data.runs import Run
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.report.write import write_report
from vmseg_auto.utils.atomic import write_json
from vmseg_auto.utils.errors import DatasetError, InputError, SomeCasesFailedError
from vmseg_auto.utils.tables import read_csv
from vmseg_auto.workflows.paths import read_fingerprint, read_plan
from vmseg_auto.workflows.plan import plan_and_preprocess
from vmseg_auto.workflows.predict import predict
from vmseg_auto.workflows.train import train

CHANNELS = {"0": "T2", "1": "T1", "2": "FLAIR"}
LACKING = {"b": (1,), "e": (1, 2)}
TINY = ["epochs=1", "iterations_per_epoch=2", "monitor_cases=0", "tile_step_size=1"]


def describe(folder: Path, optional: Sequence[str] | None) -> None:
    said = {"channel_names": CHANNELS, "labels": LABELS, "file_ending": ".nii.gz"}
    write_json(folder / "dataset.json", said if optional is None else {**said, "optional_channels": list(optional)})


def scan(folder: Path, name: str, seed: int, channels: Sequence[int]) -> None:
    mask = ball(seed)
    for channel in channels:
        noise = np.random.default_rng(100 * channel + seed).normal(100, 5, GRID.shape)
        write_image(folder / f"{name}_{channel:04d}.nii.gz", (noise + 40 * mask).astype(np.float32), GRID)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six cases of three channels, of which two lack some."""
    folder = tmp_path_factory.mktemp("cohort")
    for number, name in enumerate("abcdef"):
        there = [channel for channel in range(3) if channel not in LACKING.get(name, ())]
        scan(folder / "imagesTr", name, number, there)
        write_mask(folder / "labelsTr" / f"{name}.nii.gz", ball(number), GRID)
    describe(folder, ["T1", "FLAIR"])
    return folder


@pytest.fixture(scope="module")
def run(cohort: Path) -> tuple[Run, Heard]:
    heard = Heard()
    planned = plan_and_preprocess(cohort, memory_gb=0.01, jobs=1, console=heard)
    assert planned.due == ["vmseg_train 0 1 2 3 4 --set channel_dropout=0.3"]
    settings = [*TINY, "channel_dropout=0.3"]
    made = train([0, 1, 2, 3, 4], dataset=cohort, settings=settings, device="cpu", jobs=1, console=heard)
    return made, heard


def test_a_missing_channel_is_refused_unless_dataset_json_allows_it(cohort: Path, tmp_path: Path) -> None:
    for part in ("imagesTr", "labelsTr"):
        shutil.copytree(cohort / part, tmp_path / part)
    for optional in (None, ["FLAIR"]):
        describe(tmp_path, optional)
        with pytest.raises(DatasetError) as refused:
            read_dataset(tmp_path)
        assert "case b" in str(refused.value)
        assert "channel 1 (T1) is missing" in str(refused.value)
        assert "optional_channels of dataset.json, and train with --set channel_dropout=0.3" in str(refused.value)


@pytest.mark.parametrize("optional", [["T2"], ["PD"], "T1", [1]])
def test_the_first_channel_and_unknown_ones_cant_be_optional(tmp_path: Path, optional: object) -> None:
    (tmp_path / "imagesTr").mkdir()
    (tmp_path / "labelsTr").mkdir()
    said = {"channel_names": CHANNELS, "labels": LABELS, "optional_channels": optional}
    write_json(tmp_path / "dataset.json", said)
    with pytest.raises(DatasetError, match="it can name some of T1, FLAIR"):
        read_dataset(tmp_path)


def test_a_case_is_read_with_zeros_in_its_place_and_knows_which(cohort: Path) -> None:
    cases = {case.id: case for case in read_dataset(cohort).cases}
    assert {name: case.missing for name, case in cases.items() if case.missing} == LACKING
    assert cases["b"].channels == (0, 2)
    image, mask, _ = read_case(cases["b"])
    assert mask is not None
    assert [bool(channel.any()) for channel in image] == [True, False, True]
    assert content_hash(cases["b"])


def test_planning_tells_who_lacks_what_and_measures_the_others(run: tuple[Run, Heard], cohort: Path) -> None:
    told = " ".join(run[1].said)
    assert "2 of 6 cases lack the channel T1: b, e; train with --set channel_dropout=0.3" in told
    assert "1 of 6 cases lack the channel FLAIR: e" in told
    space = Workspace(cohort / "vmseg")
    fingerprint = read_fingerprint(space)
    assert {name: case.missing for name, case in fingerprint.cases.items() if case.missing} == LACKING
    assert all(90 < stats.mean < 150 for stats in fingerprint.channel_stats)  # no zeros are counted
    low, high = fingerprint.scans.profiles[1]
    assert len(low) == len(high) == 5
    stored = PreprocessedFolder(space.preprocessed(read_plan(space, None).voxels_hash)).load("e")
    assert [bool(channel.any()) for channel in stored.image] == [True, False, False]


def test_training_without_dropout_is_refused_by_name(run: tuple[Run, Heard], cohort: Path) -> None:
    with pytest.raises(InputError, match=r"b, e lack a channel \(T1, FLAIR\)") as refused:
        train([0], dataset=cohort, settings=TINY, trainer="nnunet", device="cpu", jobs=1)
    assert "--set channel_dropout=0.3" in str(refused.value.remedy)


def test_the_cross_validation_has_a_row_of_dice_by_missing_channel(run: tuple[Run, Heard]) -> None:
    made, heard = run
    rows = read_csv(made.missing_channels)
    told = {(row["case"], row["missing"]): row["scanned_so"] for row in rows}
    whole = {(name, missing): "no" for name in "acdf" for missing in ("T1", "FLAIR")}
    expected = whole | {(name, "none"): "yes" for name in "acdf"}
    expected |= {("b", "T1"): "yes", ("b", "T1, FLAIR"): "no", ("e", "T1, FLAIR"): "yes"}
    assert told == expected
    assert all(0 <= float(row["dice"]) <= 1 for row in rows)
    scores = {row["case"]: row["dice"] for row in read_csv(made.cross_validation / "metrics.csv")}
    assert all(row["dice"] == scores[row["case"]] for row in rows if row["scanned_so"] == "yes")
    screen = "\n".join(heard.said)
    assert "Dice by missing channel:\nmissing    Dice " in screen
    assert "\nT1, FLAIR  " in screen


def test_a_scan_without_a_channel_is_predicted_and_named_everywhere(run: tuple[Run, Heard], tmp_path: Path) -> None:
    scan(tmp_path / "in", "new", 9, [0, 2])
    heard = Heard()
    (mask,) = predict(tmp_path / "in", tmp_path / "out", model=run[0].folder, device="cpu", console=heard)
    assert mask.is_file()
    record = json.loads((tmp_path / "out" / "new.json").read_text())
    assert "the channel T1 is missing" in record["judgement"]["unlike"]
    assert record["source"]["optional"] == ["T1", "FLAIR"]
    assert any("the channel T1 is missing" in warning for warning in heard.warned)
    (total, *_) = read_csv(tmp_path / "out" / "volumes.csv")
    assert "the channel T1 is missing" in total["unlike"]
    assert [row["channel"] for row in read_csv(tmp_path / "out" / "sources.csv")] == ["0", "2"]


def test_the_first_channel_is_always_needed(run: tuple[Run, Heard], tmp_path: Path) -> None:
    scan(tmp_path / "in", "new", 9, [1, 2])
    with pytest.raises(DatasetError, match=r"channel 0 \(T2\) is missing"):
        predict(tmp_path / "in", tmp_path / "out", model=run[0].folder, device="cpu")


def test_a_model_without_dropout_refuses_by_name(
    cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "acdf":
        scan(tmp_path / "whole" / "imagesTr", name, ord(name), [0, 1, 2])
        write_mask(tmp_path / "whole" / "labelsTr" / f"{name}.nii.gz", ball(ord(name)), GRID)
    describe(tmp_path / "whole", None)
    plan_and_preprocess(tmp_path / "whole", memory_gb=0.01, jobs=1)
    made = train([0], dataset=tmp_path / "whole", settings=TINY, device="cpu", jobs=1)
    assert not made.missing_channels.is_file()
    scan(tmp_path / "in", "new", 9, [0, 2])
    scan(tmp_path / "in", "other", 10, [0, 1, 2])
    code = predict_cli.main(["-i", f"{tmp_path / 'in'}", "-o", f"{tmp_path / 'out'}", "-m", f"{made.folder}"])
    told = capsys.readouterr().err
    assert code == 3  # of a scan among others, which are predicted
    assert (tmp_path / "out" / "other.nii.gz").is_file()
    assert [row["case"] for row in read_csv(tmp_path / "out" / "failed.csv")] == ["new"]
    assert "case new" in told
    assert "channel 1 (T1) is missing" in told
    assert "a model that was trained with --set channel_dropout=0.3" in told
    with pytest.raises(SomeCasesFailedError, match="1 of 2 scans failed, as the report tells"):
        write_report(tmp_path / "out", output=tmp_path / "report.html")
    assert "channel 1 (T1) is missing" in (tmp_path / "report.html").read_text("utf-8")


def test_one_channel_cant_be_dropped(tmp_path: Path) -> None:
    folder = small_cohort(tmp_path / "cohort", 4)
    plan_and_preprocess(folder, memory_gb=0.01, jobs=1)
    with pytest.raises(InputError, match=r"channel_dropout is 0\.3, and there is one channel, T2"):
        train([0], dataset=folder, settings=["channel_dropout=0.3"], device="cpu", jobs=1)
