"""An imported model segments as nnU-Net does, and an import is whole or absent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunet_model import KINDS, checkpoint, edit, golden, nnunet_model, save

from vmseg_auto.data.cases import read_case
from vmseg_auto.data.images.images import read_mask, write_image
from vmseg_auto.data.runs import Run
from vmseg_auto.data.scans import find_scans
from vmseg_auto.inference.predictor import Predictor
from vmseg_auto.models.final_checkpoint import load_final
from vmseg_auto.models.model import ModelInfo
from vmseg_auto.utils.atomic import read_stored
from vmseg_auto.utils.components import label_components
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.workflows.export import export_model
from vmseg_auto.workflows.model import import_nnunet
from vmseg_auto.workflows.predict import predict


def predictor(model: Path) -> Predictor:
    return Predictor.load(model, device="cpu", precision="float32")  # as nnU-Net computes on a CPU


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.mark.parametrize("kind", KINDS)
def test_masks_are_those_of_nnunet(tmp_path: Path, kind: str) -> None:
    """Anisotropic resampling and every normalisation; the plain model also turns axes and mirrors two of them.

    nnU-Net sums logits in 16 bits; with 32 instead its masks are the same as ours in every voxel, but for one of those
    of regions, whose logits lie close to 0.
    """
    arrays = golden(kind)
    model = import_nnunet(nnunet_model(tmp_path / "theirs", kind), tmp_path / "ours")
    geometry = Geometry(arrays["mask"].shape, tuple(map(float, arrays["spacing_mm"])))
    mask = predictor(model).predict(arrays["image"].astype(np.float32), geometry).mask
    assert (mask != arrays["mask"]).sum() <= (6 if kind == "regions" else 3)
    for label in np.unique(arrays["mask"]):
        assert dice(mask == label, arrays["mask"] == label) > 0.98


def test_a_model_trained_with_ignored_voxels_gives_the_same_masks(tmp_path: Path) -> None:
    """nnU-Net gives `ignore` no output, so that the same weights belong to it."""
    folder = nnunet_model(tmp_path / "theirs", "plain")
    stated = json.loads((folder / "dataset.json").read_text())
    plain = import_nnunet(folder, tmp_path / "plain")
    stated["labels"]["ignore"] = len(stated["labels"])
    (folder / "dataset.json").write_text(json.dumps(stated))
    sparse = import_nnunet(folder, tmp_path / "sparse")
    assert (sparse / "model.json").read_bytes() == (plain / "model.json").read_bytes()


@pytest.mark.parametrize(
    ("name", "images", "case"),
    [("hippocampus53", "hippocampus53/imagesTs", "hippocampus_389"), ("vmsemi53", "vmsemi53/imagesTr", "vm_010")],
)
def test_real_scans_are_segmented_as_by_nnunet(
    tmp_path: Path, shared_data: Path, name: str, images: str, case: str
) -> None:
    theirs = shared_data / "nnunet" / name
    loaded = predictor(import_nnunet(theirs / "model", tmp_path / "ours"))
    (scan,) = [s for s in find_scans(shared_data / images, loaded.info.channels) if s.id == case]
    image, _, geometry = read_case(scan)
    mask = loaded.predict(image, geometry).mask
    expected, _ = read_mask(theirs / "expected" / f"{case}.nii.gz")
    assert (mask == expected).mean() >= 0.999
    for label in range(1, len(loaded.info.labels)):
        assert dice(mask == label, expected == label) >= 0.998


def test_every_fold_arrives(tmp_path: Path) -> None:
    folder = nnunet_model(tmp_path / "theirs", folds=(0, 3, "all"))
    model = import_nnunet(folder, tmp_path / "ours")
    assert sorted(str(p.relative_to(model)) for p in model.rglob("*") if p.is_file()) == [
        "fold_0/checkpoint_final.safetensors",
        "fold_3/checkpoint_final.safetensors",
        "fold_all/checkpoint_final.safetensors",
        "model.json",
    ]
    info = read_stored(ModelInfo, model / "model.json")
    folds = [load_final(fold.final) for fold in Run(model).finished_folds()]
    assert [fold.fold for fold in folds] == [0, 3, "all"]
    assert all(fold.plan == info.plan for fold in folds)
    assert Predictor.load(model, device="cpu").folds == (0, 3)


def test_folds_that_are_asked_for(tmp_path: Path) -> None:
    folder = nnunet_model(tmp_path / "theirs", folds=(0, 1, 2))
    (folder / "fold_3").mkdir()
    model = import_nnunet(folder, tmp_path / "ours", folds=[2, 0])
    assert [fold.name for fold in Run(model).finished_folds()] == [0, 2]


def test_what_was_read_is_left_as_it_was(tmp_path: Path) -> None:
    folder = nnunet_model(tmp_path / "theirs")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    safe = set(torch.serialization.get_safe_globals())
    import_nnunet(folder, tmp_path / "ours")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert set(torch.serialization.get_safe_globals()) == safe


def test_a_failure_in_the_last_fold_leaves_nothing(tmp_path: Path) -> None:
    folder = nnunet_model(tmp_path / "theirs", folds=(0, 1))
    file = folder / "fold_1" / "checkpoint_final.pth"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"fold_1.checkpoint_final\.pth: the checkpoint is damaged"):
        import_nnunet(folder, tmp_path / "ours")
    assert list(tmp_path.iterdir()) == [folder]


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    folder, taken = nnunet_model(tmp_path / "theirs"), tmp_path / "taken"
    taken.mkdir()
    with pytest.raises(InputError, match="it exists already"):
        import_nnunet(folder, taken)
    assert list(taken.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"trainer_name": "nnUNetTrainerNoMirroring"},
            "its trainer is nnUNetTrainerNoMirroring, but that of fold 0",
        ),
        ({"inference_allowed_mirroring_axes": (1,)}, r"its mirror_axes is \(1,\), but that of fold 0 is \(0, 2\)"),
        ({"init_args": {"configuration": "3d_lowres"}}, "its configuration is 3d_lowres, but that of fold 0"),
    ],
)
def test_folds_of_different_trainings_are_refused(tmp_path: Path, change: dict[str, object], words: str) -> None:
    folder = nnunet_model(tmp_path / "theirs", folds=(0,))
    save(folder, checkpoint("plain", **change), fold=1)
    with pytest.raises(InputError, match=words):
        import_nnunet(folder, tmp_path / "ours")


def test_the_configuration_is_the_checkpoints(tmp_path: Path) -> None:
    folder = nnunet_model(tmp_path / "theirs")
    edit(folder / "plans.json", ("configurations", "3d_lowres"), {"inherits_from": "3d_fullres", "spacing": [6, 2, 2]})
    save(folder, checkpoint("plain", init_args={"configuration": "3d_lowres"}))
    model = import_nnunet(folder, tmp_path / "ours")
    assert read_stored(ModelInfo, model / "model.json").plan.spacing_mm == (6, 2, 2)


def cascade(folder: Path) -> Path:
    """A cascade's two models, side by side as nnU-Net leaves them; gives the second's folder."""
    first, second = (folder / f"nnUNetTrainer__nnUNetPlans__3d_{name}" for name in ("lowres", "cascade_fullres"))
    nnunet_model(first, "lowres", folds=(0, 1))
    return nnunet_model(second, "cascade")


def cascaded(model: Path) -> np.ndarray:
    arrays = golden("cascade")
    geometry = Geometry(arrays["mask"].shape, tuple(map(float, arrays["spacing_mm"])))
    return predictor(model).predict(arrays["image"].astype(np.float32), geometry).mask


def test_a_cascades_masks_are_those_of_nnunet_and_the_zip_of_it_gives_the_same(tmp_path: Path) -> None:
    """nnU-Net was given its own mask of the first stage, as by -prev_stage_predictions.

    It sums logits in 16 bits; with 32 instead its masks of both stages are the same as ours in every voxel.
    """
    model = import_nnunet(cascade(tmp_path / "theirs"), tmp_path / "ours")
    assert [fold.name for fold in Run(model / "first_stage").finished_folds()] == [0, 1]
    mask, expected = cascaded(model), golden("cascade")["mask"]
    assert (mask != expected).sum() <= 9
    for label in range(3):
        assert dice(mask == label, expected == label) > 0.98
    assert np.array_equal(cascaded(export_model(tmp_path / "m.zip", model=model)), mask)


def test_a_cascades_first_stage_is_asked_for_by_name(tmp_path: Path) -> None:
    second = cascade(tmp_path / "theirs")
    first = second.with_name("nnUNetTrainer__nnUNetPlans__3d_lowres").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"given masks of 3d_lowres, and there is no .*3d_lowres beside it"):
        import_nnunet(second, tmp_path / "ours")
    model = import_nnunet(second, tmp_path / "ours", first_stage=first)
    assert read_stored(ModelInfo, model / "model.json").plan.first_stage == "3d_lowres"
    with pytest.raises(InputError, match="this is no model of 3d_lowres"):
        import_nnunet(second, tmp_path / "other", first_stage=nnunet_model(tmp_path / "plain", "plain"))
    edit(first / "dataset.json", ("labels",), {"background": 0, "rim": 1, "core": 2})
    with pytest.raises(InputError, match="first stage has other labels or channels"):
        import_nnunet(second, tmp_path / "other", first_stage=first)
    assert not (tmp_path / "other").exists()


def postprocessing(path: Path, *steps: Any, **changes: Any) -> Path:
    """As nnUNetv2_find_best_configuration writes it."""
    keep = "remove_all_but_largest_component_from_segmentation"
    data = {
        "input_folder": {"foreground_mean": {"Dice": 0.5}},
        "postprocessing_fns": [keep] * len(steps),
        "postprocessing_kwargs": [{"labels_or_regions": step} for step in steps],
    }
    path.write_text(json.dumps(data | changes))
    return path


def test_an_ensemble_averages_probabilities_and_is_cleaned_as_nnunet_found(tmp_path: Path) -> None:
    """nnUNetv2_ensemble, then nnUNetv2_apply_postprocessing, of two models with other weights and voxel sizes."""
    theirs = [nnunet_model(tmp_path / kind, kind) for kind in ("plain", "lowres")]
    arrays = golden("plain")
    geometry = Geometry(arrays["mask"].shape, tuple(map(float, arrays["spacing_mm"])))
    image = arrays["image"].astype(np.float32)
    alone = [predictor(import_nnunet(one, tmp_path / f"ours_{one.name}")) for one in theirs]
    soft = [one.predict(image, geometry, probabilities=True).probabilities for one in alone]
    plain = np.argmax(sum(soft), axis=0).astype(np.uint8)
    expected = plain.copy()
    for values in ((1, 2), (1,), (2,)):
        inside = np.isin(expected, values)
        numbered, _ = label_components(inside)
        expected[inside & (numbered != np.bincount(numbered[inside]).argmax())] = 0
    assert (expected != plain).any()
    packed = import_nnunet(
        theirs, tmp_path / "both.zip", postprocessing=postprocessing(tmp_path / "postprocessing.json", [1, 2], 1, 2)
    )
    for channel, voxels in enumerate(image):
        write_image(tmp_path / "scans" / f"a_{channel:04d}.nii.gz", voxels, geometry)
    (path,) = predict(tmp_path / "scans", tmp_path / "masks", model=packed, device="cpu", precision="float32", jobs=1)
    assert np.array_equal(read_mask(path)[0], expected)
    with pytest.raises(InputError, match=r"2 models predict together from a zip, but the output is named 'folder'"):
        import_nnunet(theirs, tmp_path / "folder")
    with pytest.raises(InputError, match="it exists already"):
        import_nnunet(theirs, packed)


def test_post_processing_is_taken_where_it_is_named_and_refused_where_ours_differs(tmp_path: Path) -> None:
    theirs, file = nnunet_model(tmp_path / "theirs", "regions"), tmp_path / "postprocessing.json"
    model = import_nnunet(theirs, tmp_path / "ours", postprocessing=postprocessing(file, [1, 2, 3]))
    found = read_stored(ModelInfo, model / "model.json").postprocessing
    assert found is not None
    assert (found.together, found.keep_largest) == (False, ("whole",))
    for steps, changes, words in (
        (([1, 2, 3], [2, 3]), {}, "makes background of components of the region core, which here stay"),
        (([1, 2],), {}, "keeps the largest component of the values 1, 2"),
        ((1,), {"postprocessing_fns": ["remove_small"]}, "it does remove_small, which can't be imported"),
        ((), {"postprocessing_kwargs": [{"labels_or_regions": 1, "background_label": 3}]}, "it has the arguments"),
        ((), {"postprocessing_kwargs": [{"labels_or_regions": "a"}]}, "labels_or_regions.* must be a whole number"),
    ):
        with pytest.raises(InputError, match=words):
            import_nnunet(theirs, tmp_path / "other", postprocessing=postprocessing(file, *steps, **changes))
