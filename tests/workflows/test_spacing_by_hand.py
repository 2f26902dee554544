"""A voxel size that a person has given stays known as such wherever its millilitres are told."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from consoles import Heard
from dicom import grid_of, numbers
from workspaces import cohort, trained_run

from vmseg_auto.data.images.images import read_mask, write_image, write_mask
from vmseg_auto.evaluation.expected_quality import CORRECTED
from vmseg_auto.report.write import write_report
from vmseg_auto.utils.atomic import read_json
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.tables import read_csv
from vmseg_auto.workflows.followup import follow_up
from vmseg_auto.workflows.predict import predict

SHAPE = (8, 16, 16)
GIVEN = (3.0, 0.5, 0.5)
BY_HAND = "voxel size given by hand: 3 x 0.5 x 0.5 mm (Z, Y, X)"


def without_voxel_size(path: Path) -> None:
    data = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into("<3f", data, 80, 0, 0, 0)  # pixdim
    struct.pack_into("<2h", data, 252, 1, 0)  # qform and no sform
    path.write_bytes(gzip.compress(bytes(data)))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_run(cohort(tmp_path_factory.mktemp("cohort")), "default").folder


def remarks(folder: Path) -> dict[str, str]:
    return {row["case"]: row["remark"] for row in read_csv(folder / "volumes.csv") if row["component"] == "all"}


def test_table_record_and_report_tell_of_it(model: Path, tmp_path: Path) -> None:
    scans, out = tmp_path / "in", tmp_path / "out"
    for seed, name in enumerate(("anna", "ben")):
        write_image(scans / f"{name}.nii.gz", numbers(SHAPE, seed).astype(np.float32), grid_of(SHAPE))
    without_voxel_size(scans / "anna.nii.gz")
    console = Heard()
    path, _ = predict(scans, out, model=model, device="cpu", spacing_mm=GIVEN, console=console)
    assert any("anna: its header tells no voxel size; 3 x 0.5 x 0.5 mm" in words for words in console.warned)
    mask, geometry = read_mask(path)
    assert geometry.spacing_mm == GIVEN
    assert remarks(out) == {"anna": BY_HAND, "ben": ""}
    assert read_json(out / "anna.json")["judgement"]["spacing_given_mm"] == list(GIVEN)
    page = write_report(out).read_text()
    assert page.count("3 x 0.5 x 0.5 mm (Z, Y, X) was given by hand; all volumes and lengths depend on it.") == 1
    mask[:] = 0
    mask[2:4, 3:6, 3:6] = 1
    write_mask(path, mask, geometry)
    predict(scans, out, model=model, device="cpu", spacing_mm=GIVEN)
    assert remarks(out)["anna"] == f"{CORRECTED}; {BY_HAND}"
    assert "was given by hand; all volumes" in write_report(out).read_text()


def test_it_is_never_guessed(model: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "anna.nii.gz", numbers(SHAPE).astype(np.float32), grid_of(SHAPE))
    without_voxel_size(tmp_path / "in" / "anna.nii.gz")
    with pytest.raises(InputError, match="its header tells no voxel size"):
        predict(tmp_path / "in", tmp_path / "out", model=model, device="cpu")


def test_a_follow_up_measures_by_it(model: Path, tmp_path: Path) -> None:
    """By the record beside the masks, or as it is told; and says so."""
    masks = {}
    for seed, when in enumerate(("before", "after")):
        write_image(tmp_path / when / "anna.nii.gz", numbers(SHAPE, seed).astype(np.float32), grid_of(SHAPE))
        without_voxel_size(tmp_path / when / "anna.nii.gz")
        size = (3.0, 0.5, 0.5 * (seed + 1))
        out = tmp_path / f"{when}_masks"
        (masks[when],) = predict(tmp_path / when, out, model=model, device="cpu", spacing_mm=size)
        drawn = np.zeros(SHAPE, np.uint8)
        drawn[2:4, 3:6, 3:6] = 1
        write_mask(masks[when], drawn, read_mask(masks[when])[1])
    scans = tmp_path / "before", tmp_path / "after"
    given = follow_up(*scans, tmp_path / "out", masks=(masks["before"].parent, masks["after"].parent))
    change = given.pairs[0].changes["lesion"]
    np.testing.assert_allclose((change.before.ml, change.after.ml), (18 * 0.75e-3, 18 * 1.5e-3))
    assert "3 x 0.5 x 0.5 mm (Z, Y, X) was given by hand, and all volumes depend on it" in given.pairs[0].notes[0]
    assert "3 x 0.5 x 1 mm (Z, Y, X) was given by hand" in given.pairs[0].notes[1]
    with pytest.raises(
        InputError, match=r"no voxel size\. Mend the header; --spacing Z Y X of vmseg_predict and vmseg_f"
    ):
        follow_up(*scans, tmp_path / "new", model=model, device="cpu")
    told = follow_up(*scans, tmp_path / "new", model=model, device="cpu", spacing_mm=GIVEN)
    assert "3 x 0.5 x 0.5 mm (Z, Y, X) was given by hand" in told.pairs[0].notes[1]
    with pytest.raises(InputError, match="above 0, in the order Z Y X"):
        follow_up(*scans, tmp_path / "bad", model=model, spacing_mm=(3.0, 0.0, 1.0))
