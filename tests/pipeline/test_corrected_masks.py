"""vmseg_predict in a folder that holds masks already: corrected, damaged, gone, or of an earlier command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom import grid_of, numbers
from workspaces import cohort, trained_run

from vmseg_auto.core.errors import SomeCasesFailedError
from vmseg_auto.io.images import read_mask, write_image, write_mask
from vmseg_auto.io.tables import read_csv
from vmseg_auto.pipeline.committee import Committee
from vmseg_auto.pipeline.expected import CORRECTED
from vmseg_auto.pipeline.predict import predict

SHAPE = (8, 16, 16)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_run(cohort(tmp_path_factory.mktemp("cohort")), "default").folder


def a_scan(folder: Path, name: str, seed: int) -> None:
    write_image(folder / f"{name}.nii.gz", numbers(SHAPE, seed).astype(np.float32), grid_of(SHAPE))


def totals(folder: Path) -> dict[str, dict[str, str]]:
    return {row["case"]: dict(row) for row in read_csv(folder / "volumes.csv") if row["component"] == "all"}


def test_a_corrected_mask_is_kept_until_it_is_to_be_made_anew(model: Path, tmp_path: Path) -> None:
    a_scan(tmp_path / "in", "anna", 0)
    (path,) = predict(tmp_path / "in", tmp_path / "out", model=model, device="cpu")
    written = path.read_bytes()
    mask = np.zeros(SHAPE, np.uint8)
    mask[1:3, 1:4, 1:5] = 1
    write_mask(path, mask, read_mask(path)[1])
    for options in ({}, {"previews": True}, {"mirror": False}):
        predict(tmp_path / "in", tmp_path / "out", model=model, device="cpu", **options)  # type: ignore[arg-type]
        np.testing.assert_array_equal(read_mask(path)[0], mask)
        row = totals(tmp_path / "out")["anna"]
        assert (row["voxels"], row["remark"], row["uncertainty"]) == ("24", CORRECTED, "")
    predict(tmp_path / "in", tmp_path / "out", model=model, device="cpu", overwrite_edited=True)
    assert path.read_bytes() == written
    assert totals(tmp_path / "out")["anna"]["remark"] == ""
    path.write_bytes(written[:60])
    predict(tmp_path / "in", tmp_path / "out", model=model, device="cpu")
    assert path.read_bytes() == written


def test_the_table_keeps_the_masks_that_are_there(model: Path, tmp_path: Path) -> None:
    for name, seed in (("monday", 0), ("tuesday", 1)):
        a_scan(tmp_path / name, name, seed)
        predict(tmp_path / name, tmp_path / "out", model=model, device="cpu")
    assert list(totals(tmp_path / "out")) == ["monday", "tuesday"]
    (tmp_path / "out" / "monday.nii.gz").unlink()
    predict(tmp_path / "tuesday", tmp_path / "out", model=model, device="cpu")
    assert list(totals(tmp_path / "out")) == ["tuesday"]


@pytest.mark.parametrize("unexpected", [MemoryError(), OSError(5, "Input/output error")])
def test_what_one_scan_lacks_does_not_stop_the_others(
    unexpected: Exception, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, name in enumerate(("anna", "bert", "carl")):
        a_scan(tmp_path / "in", name, seed)
    real, calls = Committee.predict, []

    def second_fails(*arguments: object, **options: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise unexpected
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Committee, "predict", second_fails)
    with pytest.raises(SomeCasesFailedError, match=r"case bert.*(memory is not enough|Input/output error)"):
        predict(tmp_path / "in", tmp_path / "out", model=model, device="cpu")
    assert list(totals(tmp_path / "out")) == ["anna", "carl"]
