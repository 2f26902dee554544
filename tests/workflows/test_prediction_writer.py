"""What is written of a scan, and what its rows say."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from vmseg_auto.data.dataset import Case
from vmseg_auto.data.images.images import read_image, write_mask
from vmseg_auto.evaluation.confidence import (
    Calibration,
    Confidence,
    NothingFound,
    Spread,
    VolumeConfidence,
    VolumeError,
)
from vmseg_auto.evaluation.expected_quality import CALIBRATED_COLUMNS, CORRECTED
from vmseg_auto.inference.predictor import Prediction
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.workflows import prediction_writer as deliver
from vmseg_auto.workflows.prediction_record import InPlace, InputSource
from vmseg_auto.workflows.prediction_writer import PredictionWriter

GRID = Geometry((4, 20, 20), (5.0, 1.0, 1.0), (10.0, -3.0, 7.0), (1.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 1.0, 0.0))
LABELS = {"background": 0, "lesion": 2}
ORIGIN = InputSource("../scans", ("T2",))
TRUST = Confidence(0.1, 0.1, mirrored=True, fold_agreement=0.9)
EVEN = Spread(1.0, 0.0, 0.0)
CALIBRATION = Calibration(
    0.9, -0.5, -0.2, 0.1, 0.1, EVEN, look_first=0.6, mirrored=True, cases=50, patients=12,
    volumes={
        "lesion": VolumeConfidence(VolumeError(0.0, 0.5, EVEN, True), 48, 11, NothingFound(2, 2, 1, 0.5, 0.1, 0.9, 7.0))
    },
)  # fmt: skip


def prediction() -> Prediction:
    """A lesion of 4 x 4 voxels in two slices, and one voxel apart; the larger one is in doubt at its rim."""
    foreground = np.zeros(GRID.shape, dtype=np.float32)
    foreground[1:3, 5:9, 5:9] = 0.7
    foreground[1:3, 6:8, 6:8] = 1
    foreground[0, 15, 15] = 1
    mask = np.where(foreground > 0.5, 2, 0).astype(np.uint8)
    return Prediction(mask, GRID, TRUST, np.stack([1 - foreground, foreground]))


def image() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    noise = np.random.default_rng(0).normal(100, 1, GRID.shape)
    return (noise + 50 * (prediction().mask > 0)).astype(np.float32)[None]


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case("anna", "anna", (tmp_path / "scans" / "anna_0000.mha",), None)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "volumes.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_map_lies_on_the_scans_grid_in_its_format(case: Case, tmp_path: Path) -> None:
    writer = PredictionWriter(tmp_path / "out", LABELS, ORIGIN, save_uncertainty=True)
    writer.write(case, "model-scan", image(), prediction(), [])
    assert writer.kept(case, "model-scan") is not None
    found, geometry = read_image(tmp_path / "out" / "uncertainty" / "anna_uncertainty.mha")
    assert geometry.differences(GRID) == []
    assert found[1, 5, 5] == pytest.approx(0.881, abs=0.001)
    assert np.count_nonzero(found) == 2 * (16 - 4)
    assert not (tmp_path / "out" / "probabilities").exists()
    path = tmp_path / "out" / "uncertainty" / "anna_uncertainty.mha"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert writer.kept(case, "model-scan") is None  # somebody has changed it
    path.unlink()
    assert writer.kept(case, "model-scan") is None


def test_the_record_tells_of_the_maps_of_its_own_prediction_alone(case: Case, tmp_path: Path) -> None:
    plain = PredictionWriter(tmp_path, LABELS, ORIGIN)
    mapped = replace(plain, save_uncertainty=True)
    (told,) = mapped.write(case, "x-1", image(), prediction(), []).maps
    path = tmp_path / "uncertainty" / "anna_uncertainty.mha"
    assert (told.file, told.sha256) == ("uncertainty/anna_uncertainty.mha", sha256(path.read_bytes()).hexdigest())
    assert plain.write(case, "x-1", image(), prediction(), []).maps == (told,)  # the same model, scan and options
    assert plain.write(case, "y-1", image(), prediction(), []).maps == ()
    assert path.is_file()
    assert mapped.kept(case, "y-1") is None


def test_rows_measure_lesions_and_tell_what_validation_cases_told(case: Case, tmp_path: Path) -> None:
    writer = PredictionWriter(tmp_path, LABELS, ORIGIN)
    writer.write_table([writer.write(case, "x", image(), prediction(), [])], CALIBRATION)
    whole, large, small = rows(tmp_path)
    assert [row["component"] for row in (whole, large, small)] == ["all", "1", "2"]
    assert [float(row["volume_ml"]) for row in (whole, large, small)] == pytest.approx([0.165, 0.16, 0.005])
    assert [float(large[f"extent_{axis}_mm"]) for axis in ("rl", "ap", "si")] == [4, 10, 4]  # a coronal series
    assert float(small["longest_diameter_mm"]) == float(small["extent_ap_mm"]) == 5
    assert whole["components"] == "2"
    assert whole["goyal_size"] == "<=5 cm"
    assert float(large["margin_width_mm"]) == pytest.approx(1, rel=0.4)
    assert (whole["volume_low_ml"], whole["traffic_light"], whole["unlike"]) == ("0", "green", "")
    assert float(whole["volume_high_ml"]) == pytest.approx(1.165 * np.exp(0.5) - 1, rel=1e-5)
    assert (whole["based_on_scans"], whole["based_on_patients"], whole["no_interval"]) == ("48", "11", "")
    assert (whole["expected_dice_scans"], whole["expected_dice_patients"]) == ("50", "12")
    assert whole["lesion_probability"] == ""
    for row in (large, small):
        assert not any(row[column] for column in (*CALIBRATED_COLUMNS, "traffic_light", "expected_dice"))


def test_of_an_unlike_scan_no_volume_is_promised_and_the_light_is_not_green(case: Case, tmp_path: Path) -> None:
    writer = PredictionWriter(tmp_path, LABELS, ORIGIN)
    written = writer.write(case, "x", image(), prediction(), ["spacing along z 12 mm", "field of view along z 9 mm"])
    writer.write_table([written], CALIBRATION)
    whole = rows(tmp_path)[0]
    assert (whole["volume_low_ml"], whole["expected_dice"], whole["traffic_light"]) == ("", "", "amber")
    assert whole["unlike"] == "spacing along z 12 mm; field of view along z 9 mm"
    assert whole["no_interval"] == "the scan is unlike those that the model knows"


@pytest.mark.parametrize("calibration", [None, replace(CALIBRATION, mirrored=False), replace(CALIBRATION, volumes={})])
def test_what_is_not_known_stays_empty(calibration: Calibration | None, case: Case, tmp_path: Path) -> None:
    writer = PredictionWriter(tmp_path, LABELS, ORIGIN)
    writer.write_table([writer.write(case, "x", image(), prediction(), [])], calibration)
    whole = rows(tmp_path)[0]
    assert (whole["volume_low_ml"], whole["volume_high_ml"]) == ("", "")
    assert whole["volume_ml"]
    assert whole["no_interval"]
    assert (whole["traffic_light"] != "") == (calibration is not None and calibration.mirrored)


def test_an_empty_mask_tells_how_likely_there_is_a_lesion_all_the_same(case: Case, tmp_path: Path) -> None:
    writer = PredictionWriter(tmp_path, LABELS, ORIGIN)
    nothing = replace(prediction(), mask=np.zeros(GRID.shape, np.uint8), confidence=Confidence(1.0, 1.0, mirrored=True))
    writer.write_table([writer.write(case, "x", image(), nothing, [])], CALIBRATION)
    (whole,) = rows(tmp_path)
    assert (whole["volume_ml"], whole["components"], whole["longest_diameter_mm"]) == ("0", "0", "")
    assert (whole["volume_low_ml"], whole["traffic_light"]) == ("", "red")
    told = (whole[f"lesion_probability{end}"] for end in ("", "_low", "_high"))
    assert (*told, whole["largest_missed_ml"]) == ("0.5", "0.1", "0.9", "7")
    assert (whole["based_on_scans"], whole["based_on_patients"]) == ("2", "2")
    assert whole["no_interval"].endswith("of about nine patients, and here are 2")


def test_the_record_holds_what_was_measured_and_an_older_one_vouches_for_nothing(case: Case, tmp_path: Path) -> None:
    writer = PredictionWriter(tmp_path, LABELS, ORIGIN)
    writer.write(case, "x", image(), prediction(), [])
    path = tmp_path / "anna.json"
    stored = json.loads(path.read_text())
    assert [row["component"] for row in stored["volumes"]] == ["all", 1, 2]
    assert stored["volumes"][1]["extent_ap_mm"] == 10
    kept = writer.kept(case, "x")
    assert kept is not None
    assert next(kept.record.rows(CALIBRATION))["traffic_light"] == "green"
    path.write_text(json.dumps(stored | {"schema": 1}))
    assert writer.kept(case, "x") is None
    with pytest.raises(InputError, match=r"anna\.mha lies where its mask is to go.*may have been corrected"):
        writer.require_known(case)
    replace(writer, overwrite_edited=True).require_known(case)


def test_what_has_become_of_a_mask(case: Case, tmp_path: Path) -> None:
    writer = PredictionWriter(tmp_path, LABELS, ORIGIN)
    record = writer.write(case, "x", image(), prediction(), [])
    path = writer.masks(case)[0]
    whole = path.read_bytes()
    assert record.standing(tmp_path).state == "as written"
    write_mask(path, np.zeros(GRID.shape, np.uint8), GRID)
    assert record.standing(tmp_path).state == "edited"
    assert writer.kept(case, "x") is None
    path.write_bytes(whole[: len(whole) // 2])
    assert record.standing(tmp_path).state == "damaged"
    assert writer.kept(case, "x") is None
    path.unlink()
    assert record.standing(tmp_path).state == "missing"


def test_an_edited_mask_is_measured_and_what_was_said_of_the_prediction_withdrawn(case: Case, tmp_path: Path) -> None:
    writer = PredictionWriter(tmp_path, LABELS, ORIGIN)
    writer.write(case, "x", image(), prediction(), [])
    mask = np.zeros(GRID.shape, np.uint8)
    mask[1, 2:6, 2:7] = 2
    write_mask(writer.masks(case)[0], mask, GRID)
    record = writer.record(case)
    assert record is not None
    writer.write_table([InPlace.of(record, writer.standing(record)).record], CALIBRATION)
    whole, lesion = rows(tmp_path)
    assert (whole["voxels"], float(whole["volume_ml"])) == ("20", pytest.approx(20 * GRID.voxel_ml))
    empty = ("volume_low_ml", "expected_dice", "traffic_light", "uncertainty", "fold_agreement")
    assert {whole[name] for name in empty} == {""}
    assert (whole["remark"], lesion["margin_width_mm"]) == (CORRECTED, "")
    mask[0] = 7
    write_mask(writer.masks(case)[0], mask, GRID)
    with pytest.raises(InputError, match=r"anna.*holds 7, which is no label.*--overwrite-edited"):
        InPlace.of(record, writer.standing(record))


def test_masks_of_earlier_commands_are_found_and_gone_ones_told(case: Case, tmp_path: Path) -> None:
    writer = PredictionWriter(tmp_path, LABELS, ORIGIN)
    other = replace(case, id="bert", images=(case.images[0].with_name("bert_0000.mha"),))
    writer.write(case, "x-1", image(), prediction(), [])
    writer.write(other, "x-2", image(), prediction(), [])
    found, gone, errors = writer.of_earlier_commands(["anna"])
    assert ([one.case for one in found], gone, errors) == (["bert"], [], [])
    writer.masks(other)[0].unlink()
    assert writer.of_earlier_commands(["anna"]) == ([], ["bert"], [])


def test_no_two_cases_and_labels_meet_in_one_file(case: Case, tmp_path: Path) -> None:
    writer = PredictionWriter(tmp_path, {"background": 0, "x_y": 1, "y": 2, "a": 3}, ORIGIN, save_probabilities=True)
    cases = [replace(case, id=name) for name in ("a", "a_x", "a_x_y", "y")]
    files = [path for one in cases for path in (*writer.masks(one), writer.record_file(one), *writer.beside(one))]
    assert len(set(files)) == len(files)


@pytest.mark.parametrize("cut", ["maps", "record", "first mask"])
def test_wherever_writing_is_cut_short_no_file_passes_for_a_corrected_one(
    cut: str, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = PredictionWriter(tmp_path, LABELS, ORIGIN, save_uncertainty=True, formats=("nifti", "seg.nrrd"))
    writer.write(case, "x-1", image(), prediction(), [])
    before = [path.read_bytes() for path in writer.masks(case)]
    place, calls = {"maps": "write_image", "record": "write_sealed", "first mask": "put_in_place"}[cut], []
    real = getattr(deliver, place)

    def ends(*arguments: object) -> None:
        calls.append(1)
        if len(calls) == {"maps": 1, "record": 2, "first mask": 2}[cut]:
            raise KeyboardInterrupt
        real(*arguments)

    monkeypatch.setattr(deliver, place, ends)
    nothing = replace(prediction(), mask=np.zeros(GRID.shape, np.uint8))
    with pytest.raises(KeyboardInterrupt):
        writer.write(case, "y-1", image(), nothing, [])
    monkeypatch.undo()
    record = writer.record(case)
    assert record is not None
    assert record.standing(tmp_path).state != "edited"
    assert (writer.kept(case, "x-1"), writer.kept(case, "y-1")) == (None, None)
    assert len(list(tmp_path.glob("anna*"))) == 3
    writer.write(case, "x-1", image(), prediction(), [])
    assert [path.read_bytes() for path in writer.masks(case)] == before
    assert writer.kept(case, "x-1") is not None


def test_a_format_that_is_asked_for_later_joins_the_mask_of_the_same_model(case: Case, tmp_path: Path) -> None:
    plain, both = (
        PredictionWriter(tmp_path, LABELS, ORIGIN, formats=each) for each in (("nifti",), ("seg.nrrd", "nifti"))
    )
    segments = replace(plain, formats=("seg.nrrd",))
    plain.write(case, "x-1", image(), prediction(), [])
    assert segments.kept(case, "x-1") is None
    segments.write(case, "x-1", image(), prediction(), [])
    kept = both.kept(case, "x-1")
    assert kept is not None
    assert (kept.there.mask.name, len(kept.there.sound)) == ("anna.seg.nrrd", 2)
    other = segments.write(case, "y-1", image(), prediction(), [])
    assert [one.file for one in other.masks] == ["anna.seg.nrrd"]
    assert [one.file for one in other.outdated] == ["anna.mha"]
    assert (tmp_path / "anna.mha").is_file()
    assert other.standing(tmp_path).mask.name == "anna.seg.nrrd"
