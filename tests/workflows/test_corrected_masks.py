"""vmseg_predict in a folder that holds masks already: corrected, damaged, gone, or of an earlier command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from consoles import Heard
from dicom import grid_of, numbers
from numpy.typing import NDArray
from slicer import write_seg_nrrd
from workspaces import cohort, trained_run

from vmseg_auto.data.failures import read_failures
from vmseg_auto.data.images.images import read_image, read_mask, write_image, write_mask
from vmseg_auto.data.images.segmentations import read_labels
from vmseg_auto.evaluation.evaluate import evaluate
from vmseg_auto.evaluation.expected_quality import CORRECTED
from vmseg_auto.report.predictions import read_predictions
from vmseg_auto.utils.atomic import leftovers, read_json
from vmseg_auto.utils.errors import InputError, SomeCasesFailedError
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.utils.tables import read_csv
from vmseg_auto.workflows.ensemble import ModelEnsemble
from vmseg_auto.workflows.evaluate import evaluate as score_folders
from vmseg_auto.workflows.predict import predict

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
    for options in ({}, {"previews": True}, {"tta": False}):
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


def test_scores_of_a_corrected_mask_are_named_as_not_the_models(model: Path, tmp_path: Path) -> None:
    for name, seed in (("anna", 0), ("bert", 1)):
        a_scan(tmp_path / "in", name, seed)
    path, other = predict(tmp_path / "in", tmp_path / "out", model=model, device="cpu")
    mask, grid = read_mask(path)
    for case, of in (("anna", path), ("bert", other)):
        write_mask(tmp_path / "wanted" / f"{case}.nii.gz", read_mask(of)[0], grid)
    mask[0, 0, :3] = 1 - mask[0, 0, :3]
    write_mask(path, mask, grid)
    scores = score_folders(tmp_path / "out", tmp_path / "wanted", output=tmp_path / "scores.csv")
    (note,) = [text for text in scores.notes if "orrected" in text]
    assert note == "Corrected by hand after they were predicted, so that their scores are not the model's: anna."
    assert note in read_json(tmp_path / "scores.json")["notes"]


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
    real, calls = ModelEnsemble.compute, []

    def second_fails(*arguments: object, **options: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise unexpected
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(ModelEnsemble, "compute", second_fails)
    with pytest.raises(SomeCasesFailedError, match=r"case bert.*(memory is not enough|Input/output error)"):
        predict(tmp_path / "in", tmp_path / "out", model=model, device="cpu")
    assert list(totals(tmp_path / "out")) == ["anna", "carl"]


def warnings_of(console: Heard) -> str:
    return "\n".join(console.warned)


def drawn(voxels: int) -> NDArray[np.uint8]:
    mask = np.zeros(SHAPE, np.uint8)
    mask[2, 2, 1 : 1 + voxels] = 1
    return mask


def test_one_of_two_formats_is_corrected(model: Path, tmp_path: Path) -> None:
    a_scan(tmp_path / "in", "anna", 0)
    out, both = tmp_path / "out", {"mask_formats": "nifti,seg.nrrd", "device": "cpu"}
    assert predict(tmp_path / "in", out, model=model, **both) == [out / "anna.nii.gz"]  # type: ignore[arg-type]
    labels = {"lesion": 1}
    whole, grid = read_labels(out / "anna.seg.nrrd", labels)
    np.testing.assert_array_equal(whole, read_mask(out / "anna.nii.gz")[0])
    layers = np.stack([drawn(0), 3 * drawn(7)])
    write_seg_nrrd(out / "anna.seg.nrrd", layers, grid, {"other": (0, 1), "Lesion": (1, 3)})
    before = {path.name: path.read_bytes() for path in out.glob("anna.*")}
    console = Heard()
    assert predict(tmp_path / "in", out, model=model, console=console, **both) == [out / "anna.seg.nrrd"]  # type: ignore[arg-type]
    assert {path.name: path.read_bytes() for path in out.glob("anna.*")} == before
    assert (totals(out)["anna"]["voxels"], totals(out)["anna"]["remark"]) == ("7", CORRECTED)
    assert "corrected by hand after they were predicted, and kept: anna.seg.nrrd" in warnings_of(console)
    assert "beside a corrected mask, and still as it was predicted: anna.nii.gz" in warnings_of(console)
    write_mask(out / "anna.nii.gz", drawn(3), grid)
    with pytest.raises(InputError, match=r"anna.*anna\.nii\.gz, anna\.seg\.nrrd were changed, and only one"):
        predict(tmp_path / "in", out, model=model, **both)  # type: ignore[arg-type]
    predict(tmp_path / "in", out, model=model, overwrite_edited=True, **both)  # type: ignore[arg-type]
    np.testing.assert_array_equal(read_mask(out / "anna.nii.gz")[0], whole)
    np.testing.assert_array_equal(read_labels(out / "anna.seg.nrrd", labels)[0], whole)
    assert totals(out)["anna"]["remark"] == ""


@pytest.mark.parametrize("name", ["anna.nii.gz", "anna.nii", "anna.seg.nrrd"])
def test_what_overwrite_edited_replaces_is_kept_elsewhere_and_named_and_counts_no_more(
    name: str, model: Path, tmp_path: Path
) -> None:
    a_scan(tmp_path / "in", "anna", 0)
    out = tmp_path / "out"
    (path,) = predict(tmp_path / "in", out, model=model, device="cpu")
    whole, grid = read_mask(path)
    for turn, kept_as in ((5, name), (6, f"2_{name}")):
        if name.endswith(".seg.nrrd"):
            write_seg_nrrd(out / name, drawn(turn)[None], grid, {"lesion": (0, 1)})
        else:
            write_mask(out / name, drawn(turn), grid)
        corrected = (out / name).read_bytes()
        console = Heard()
        predict(tmp_path / "in", out, model=model, device="cpu", overwrite_edited=True, console=console)
        assert f"replaced as --overwrite-edited says: replaced/{kept_as}. They are kept in" in warnings_of(console)
        assert "earlier predictions" not in warnings_of(console)
        assert (out / "replaced" / kept_as).read_bytes() == corrected
        assert read_json(out / "anna.json")["replaced"][-1]["file"] == f"replaced/{kept_as}"
        np.testing.assert_array_equal(read_mask(path)[0], whole)
        assert sorted(one.name for one in out.glob("anna.*")) == ["anna.json", "anna.nii.gz"]
    console = Heard()
    predict(tmp_path / "in", out, model=model, device="cpu", console=console)
    assert console.warned == []
    (out / "replaced" / name).rename(out / name)  # wanted after all
    console = Heard()
    predict(tmp_path / "in", out, model=model, device="cpu", console=console)
    assert f"kept: {name}" in warnings_of(console)
    assert "no longer count" not in warnings_of(console)


def test_a_mask_saved_again_without_a_change_keeps_all_that_was_told_of_it(model: Path, tmp_path: Path) -> None:
    a_scan(tmp_path / "in", "anna", 0)
    out = tmp_path / "out"
    (path,) = predict(tmp_path / "in", out, model=model, device="cpu")
    before, table = path.read_bytes(), (out / "volumes.csv").read_bytes()
    mask, grid = read_mask(path)
    write_image(path, mask.astype(np.float32), grid)
    write_seg_nrrd(out / "anna.seg.nrrd", mask[None], grid, {"lesion": (0, 1)})
    saved = path.read_bytes()
    assert saved != before
    console = Heard()
    assert predict(tmp_path / "in", out, model=model, device="cpu", console=console) == [path]
    assert (path.read_bytes(), (out / "volumes.csv").read_bytes(), console.warned) == (saved, table, [])


def test_what_is_made_anew_is_named_with_the_reason(model: Path, tmp_path: Path) -> None:
    for seed, name in enumerate(("anna", "bert", "carl")):
        a_scan(tmp_path / "in", name, seed)
    out = tmp_path / "out"
    first, second, _ = predict(tmp_path / "in", out, model=model, device="cpu")
    first.write_bytes(first.read_bytes()[:60])
    second.unlink()
    console = Heard()
    predict(tmp_path / "in", out, model=model, device="cpu", console=console)
    assert console.warned[-1] == "made anew, as the mask that lay there was damaged: anna.nii.gz"
    assert "made anew, as the mask that lay there was gone: bert.nii.gz" in console.said
    console = Heard()
    predict(tmp_path / "in", out, model=model, device="cpu", step=0.25, console=console)
    told = "made anew, as the mask that lay there was of another model or other options: "
    assert f"{told}anna.nii.gz, bert.nii.gz, carl.nii.gz" in console.said


def test_a_scan_that_fails_is_told_once_and_kept_in_a_table_and_the_others_can_be_looked_at(
    model: Path, tmp_path: Path
) -> None:
    for seed, name in enumerate(("anna", "bert", "carl")):
        a_scan(tmp_path / "in", name, seed)
    out, cut = tmp_path / "out", tmp_path / "in" / "bert.nii.gz"
    whole = cut.read_bytes()
    cut.write_bytes(whole[:-40])
    console = Heard()
    with pytest.raises(SomeCasesFailedError, match=r"^no mask could be made or kept of 1 of 3 scans\n.*case bert"):
        predict(tmp_path / "in", out, model=model, device="cpu", next_steps=True, console=console)
    assert console.said[-1] == f"All on one page: `vmseg_report -i {out}`"
    assert [error.case for error in read_failures(out)] == ["bert"]
    write_mask(out / "anna.nii.gz", 7 * drawn(5), read_mask(out / "anna.nii.gz")[1])
    console = Heard()
    with pytest.raises(SomeCasesFailedError, match=r"of 2 of 3 scans\n.*case anna.*holds 7.*\n.*case bert"):
        predict(tmp_path / "in", out, model=model, device="cpu", console=console)
    assert console.warned == []  # anna's mask is told of as what failed
    cut.write_bytes(whole)
    predict(tmp_path / "in", out, model=model, device="cpu", overwrite_edited=True)
    assert read_failures(out) == []


@pytest.mark.parametrize("name", ["anna.nii", "anna.nrrd", "anna.seg.nrrd"])
def test_a_mask_corrected_under_another_ending_counts_in_every_command(name: str, model: Path, tmp_path: Path) -> None:
    a_scan(tmp_path / "in", "anna", 0)
    out = tmp_path / "out"
    (path,) = predict(tmp_path / "in", out, model=model, device="cpu")
    written, grid = path.read_bytes(), read_mask(path)[1]
    if name.endswith(".seg.nrrd"):
        write_seg_nrrd(out / name, drawn(5)[None], grid, {"lesion": (0, 1)})
    else:
        write_mask(out / name, drawn(5), grid)
    console = Heard()
    assert predict(tmp_path / "in", out, model=model, device="cpu", console=console) == [out / name]
    assert f"kept: {name}" in warnings_of(console)
    assert "still as it was predicted: anna.nii.gz" in warnings_of(console)
    assert path.read_bytes() == written
    write_mask(tmp_path / "references" / "anna.nii.gz", drawn(5), grid)
    assert list(evaluate(out, tmp_path / "references").table["dice"]) == [1.0]
    (shown,), failed = read_predictions(out, None, Inventory())
    assert failed == []
    assert (shown.mask.name, int(shown.read()[1].sum()), shown.rows[0]["voxels"]) == (name, 5, 5)


def test_a_mask_that_no_record_tells_of_is_not_overwritten(model: Path, tmp_path: Path) -> None:
    for seed, name in enumerate(("anna", "bert")):
        a_scan(tmp_path / "in", name, seed)
    out = tmp_path / "out"
    write_mask(out / "anna.nii.gz", drawn(5), grid_of(SHAPE))
    before = (out / "anna.nii.gz").read_bytes()
    with pytest.raises(SomeCasesFailedError, match=r"case anna.*anna\.nii\.gz lies where its mask is to go.*corrected"):
        predict(tmp_path / "in", out, model=model, device="cpu")
    assert (out / "anna.nii.gz").read_bytes() == before
    assert list(totals(out)) == ["bert"]
    assert [row["case"] for row in read_csv(out / "sources.csv")] == ["bert"]
    predict(tmp_path / "in", out, model=model, device="cpu", overwrite_edited=True)
    assert list(totals(out)) == ["anna", "bert"]
    assert (out / "anna.nii.gz").read_bytes() != before


def test_a_corrected_mask_on_another_grid_is_refused_by_name(model: Path, tmp_path: Path) -> None:
    a_scan(tmp_path / "in", "anna", 0)
    out = tmp_path / "out"
    predict(tmp_path / "in", out, model=model, device="cpu")
    write_mask(out / "anna.nii.gz", drawn(5)[:-1], grid_of((SHAPE[0] - 1, *SHAPE[1:])))
    with pytest.raises(InputError, match=r"anna.*does not lie on the scan's grid: size.*--overwrite-edited"):
        predict(tmp_path / "in", out, model=model, device="cpu")
    found, failed = read_predictions(out, None, Inventory())
    assert (found, [error.problem.split(":")[0] for error in failed]) == (
        [],
        ["the mask does not lie on the scan's grid"],
    )


def test_another_models_prediction_does_not_touch_a_corrected_mask(model: Path, tmp_path: Path) -> None:
    a_scan(tmp_path / "in", "anna", 0)
    out = tmp_path / "out"
    (path,) = predict(tmp_path / "in", out, model=model, device="cpu")
    write_mask(path, drawn(5), read_mask(path)[1])
    before = path.read_bytes()
    for formats in ("nifti", "seg.nrrd"):
        predict(tmp_path / "in", out, model=model, device="cpu", tta=False, mask_formats=formats)
        assert path.read_bytes() == before
        assert totals(out)["anna"]["remark"] == CORRECTED
    assert not (out / "anna.seg.nrrd").exists()


def test_another_scan_of_the_same_name_takes_no_masks_place(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    a_scan(tmp_path / "monday", "anna", 0)
    a_scan(tmp_path / "tuesday", "anna", 1)
    (path,) = predict(tmp_path / "monday", out, model=model, device="cpu")
    before, sources = path.read_bytes(), (out / "sources.csv").read_bytes()
    for options in ({}, {"overwrite_edited": True}):
        with pytest.raises(InputError, match=r"anna.*mask of another scan of the same name, from .*monday"):
            predict(tmp_path / "tuesday", out, model=model, device="cpu", **options)  # type: ignore[arg-type]
    assert (path.read_bytes(), (out / "sources.csv").read_bytes()) == (before, sources)
    # the same scan in another file, exported once more to another place
    image, grid = read_image(tmp_path / "monday" / "anna.nii.gz")
    write_image(tmp_path / "again" / "anna.nii", image, grid)
    predict(tmp_path / "again", out, model=model, device="cpu")
    assert [row["source"] for row in read_csv(out / "sources.csv")] == ["anna.nii"]
    # the scan at the same place has changed
    a_scan(tmp_path / "again", "anna", 2)
    (tmp_path / "again" / "anna.nii").unlink()
    (made,) = predict(tmp_path / "again", out, model=model, device="cpu")
    write_mask(made, drawn(5), read_mask(made)[1])
    a_scan(tmp_path / "again", "anna", 3)
    with pytest.raises(InputError, match=r"anna.*corrected by hand, and its scan has changed since"):
        predict(tmp_path / "again", out, model=model, device="cpu")


def test_one_scan_whose_mask_can_not_be_written_does_not_stop_the_others(model: Path, tmp_path: Path) -> None:
    for seed, name in enumerate(("anna", "bert", "carl", "dora")):
        a_scan(tmp_path / "in", name, seed)
    out = tmp_path / "out"
    (out / "bert.nii.gz").mkdir(parents=True)
    (out / "carl.json" / "in_it").mkdir(parents=True)
    (tmp_path / "in" / "dora.nii.gz").write_bytes((tmp_path / "in" / "dora.nii.gz").read_bytes()[:-40])
    with pytest.raises(SomeCasesFailedError) as caught:
        predict(tmp_path / "in", out, model=model, device="cpu")
    assert sorted(str(error.case) for error in caught.value.errors) == ["bert", "carl", "dora"]
    assert list(totals(out)) == ["anna"]
    assert not leftovers(out)
