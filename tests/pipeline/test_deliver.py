"""What is written of a scan, and what its rows say."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vmseg_auto.core.dataset import Case
from vmseg_auto.core.errors import InputError
from vmseg_auto.core.geometry import Geometry
from vmseg_auto.core.trust import Calibration, Trust, VolumeError
from vmseg_auto.io.images import read_image, write_mask
from vmseg_auto.pipeline.deliver import Delivery, Origin, mask_state
from vmseg_auto.pipeline.expected import CORRECTED
from vmseg_auto.stages.predict import Prediction

GRID = Geometry((4, 20, 20), (5.0, 1.0, 1.0), (10.0, -3.0, 7.0), (1.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 1.0, 0.0))
LABELS = {"background": 0, "lesion": 2}
ORIGIN = Origin("../scans", ("T2",))
TRUST = Trust(0.1, 0.1, mirrored=True, fold_agreement=0.9)
CALIBRATION = Calibration(
    0.9, -0.5, -0.2, 0.1, 0.1, look_first=0.6, mirrored=True, cases=50, patients=12,
    volumes={"lesion": VolumeError(0.5, 0.5, cases=50, patients=12)},
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
    delivery = Delivery(tmp_path / "out", LABELS, ORIGIN, save_uncertainty=True)
    delivery.write(case, "model-scan", image(), prediction(), [])
    assert delivery.kept(case, "model-scan") is not None
    found, geometry = read_image(tmp_path / "out" / "uncertainty" / "anna_uncertainty.mha")
    assert geometry.differences(GRID) == []
    assert found[1, 5, 5] == pytest.approx(0.881, abs=0.001)
    assert np.count_nonzero(found) == 2 * (16 - 4)
    assert not (tmp_path / "out" / "probabilities").exists()
    (tmp_path / "out" / "uncertainty" / "anna_uncertainty.mha").unlink()
    assert delivery.kept(case, "model-scan") is None


def test_rows_measure_lesions_and_tell_what_held_out_cases_told(case: Case, tmp_path: Path) -> None:
    delivery = Delivery(tmp_path, LABELS, ORIGIN)
    delivery.write_table([delivery.write(case, "x", image(), prediction(), [])], CALIBRATION)
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
    for row in (large, small):
        assert not any(row[column] for column in ("volume_low_ml", "volume_high_ml", "traffic_light", "expected_dice"))


def test_of_an_unlike_scan_no_volume_is_promised_and_the_light_is_not_green(case: Case, tmp_path: Path) -> None:
    delivery = Delivery(tmp_path, LABELS, ORIGIN)
    written = delivery.write(case, "x", image(), prediction(), ["spacing along z 12 mm", "field of view along z 9 mm"])
    delivery.write_table([written], CALIBRATION)
    whole = rows(tmp_path)[0]
    assert (whole["volume_low_ml"], whole["expected_dice"], whole["traffic_light"]) == ("", "", "amber")
    assert whole["unlike"] == "spacing along z 12 mm; field of view along z 9 mm"


@pytest.mark.parametrize("calibration", [None, replace(CALIBRATION, mirrored=False), replace(CALIBRATION, volumes={})])
def test_what_is_not_known_stays_empty(calibration: Calibration | None, case: Case, tmp_path: Path) -> None:
    delivery = Delivery(tmp_path, LABELS, ORIGIN)
    delivery.write_table([delivery.write(case, "x", image(), prediction(), [])], calibration)
    whole = rows(tmp_path)[0]
    assert (whole["volume_low_ml"], whole["volume_high_ml"]) == ("", "")
    assert whole["volume_ml"]
    assert (whole["traffic_light"] != "") == (calibration is not None and calibration.mirrored)


def test_an_empty_mask_has_a_volume_of_nothing_and_an_upper_limit(case: Case, tmp_path: Path) -> None:
    delivery = Delivery(tmp_path, LABELS, ORIGIN)
    nothing = replace(prediction(), mask=np.zeros(GRID.shape, np.uint8), trust=Trust(1.0, 1.0, mirrored=True))
    delivery.write_table([delivery.write(case, "x", image(), nothing, [])], CALIBRATION)
    (whole,) = rows(tmp_path)
    assert (whole["volume_ml"], whole["components"], whole["longest_diameter_mm"]) == ("0", "0", "")
    assert (whole["volume_low_ml"], whole["traffic_light"]) == ("0", "red")
    assert float(whole["volume_high_ml"]) == pytest.approx(np.exp(0.5) - 1, rel=1e-5)


def test_the_sidecar_holds_what_was_measured_and_an_older_one_is_made_anew(case: Case, tmp_path: Path) -> None:
    delivery = Delivery(tmp_path, LABELS, ORIGIN)
    delivery.write(case, "x", image(), prediction(), [])
    path = tmp_path / "anna.json"
    stored = json.loads(path.read_text())
    assert [row["component"] for row in stored["volumes"]] == ["all", 1, 2]
    assert stored["volumes"][1]["extent_ap_mm"] == 10
    kept = delivery.kept(case, "x")
    assert kept is not None
    assert next(kept.rows(CALIBRATION))["traffic_light"] == "green"
    path.write_text(json.dumps(stored | {"schema": 1}))
    assert delivery.kept(case, "x") is None


def test_what_has_become_of_a_mask(case: Case, tmp_path: Path) -> None:
    delivery = Delivery(tmp_path, LABELS, ORIGIN)
    sidecar = delivery.write(case, "x", image(), prediction(), [])
    path = delivery.mask(case)
    whole = path.read_bytes()
    assert mask_state(tmp_path, sidecar) == "as written"
    write_mask(path, np.zeros(GRID.shape, np.uint8), GRID)
    assert mask_state(tmp_path, sidecar) == "edited"
    assert delivery.kept(case, "x") is None
    path.write_bytes(whole[: len(whole) // 2])
    assert mask_state(tmp_path, sidecar) == "damaged"
    assert (delivery.kept(case, "x"), delivery.edited(case)) == (None, None)
    path.unlink()
    assert mask_state(tmp_path, sidecar) == "missing"


def test_an_edited_mask_is_measured_and_what_was_said_of_the_prediction_withdrawn(case: Case, tmp_path: Path) -> None:
    delivery = Delivery(tmp_path, LABELS, ORIGIN)
    delivery.write(case, "x", image(), prediction(), [])
    mask = np.zeros(GRID.shape, np.uint8)
    mask[1, 2:6, 2:7] = 2
    write_mask(delivery.mask(case), mask, GRID)
    edited = delivery.edited(case)
    assert edited is not None
    delivery.write_table([edited], CALIBRATION)
    whole, lesion = rows(tmp_path)
    assert (whole["voxels"], float(whole["volume_ml"])) == ("20", pytest.approx(20 * GRID.voxel_ml))
    empty = ("volume_low_ml", "expected_dice", "traffic_light", "uncertainty", "fold_agreement")
    assert {whole[name] for name in empty} == {""}
    assert (whole["remark"], lesion["margin_width_mm"]) == (CORRECTED, "")
    mask[0] = 7
    write_mask(delivery.mask(case), mask, GRID)
    with pytest.raises(InputError, match=r"anna.*holds 7, which is no label.*--overwrite-edited"):
        delivery.edited(case)


def test_masks_of_earlier_commands_are_found_and_gone_ones_told(case: Case, tmp_path: Path) -> None:
    delivery = Delivery(tmp_path, LABELS, ORIGIN)
    other = replace(case, id="bert", images=(case.images[0].with_name("bert_0000.mha"),))
    delivery.write(case, "x-1", image(), prediction(), [])
    delivery.write(other, "x-2", image(), prediction(), [])
    found, gone, errors = delivery.of_earlier_commands(["anna"])
    assert ([one.case for one in found], gone, errors) == (["bert"], [], [])
    delivery.mask(other).unlink()
    assert delivery.of_earlier_commands(["anna"]) == ([], ["bert"], [])
