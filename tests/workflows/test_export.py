"""A model that was given away segments as it did at home, and tells nothing of whose scans it has learnt from."""

from __future__ import annotations

import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest
from nnunet_model import nnunet_model
from workspaces import Cohort, cohort, finished_run, sure_of, trained_run, validate_as

from vmseg_auto.cli.common import Screen
from vmseg_auto.data.runs import Run
from vmseg_auto.inference.predictor import Predictor
from vmseg_auto.models.zip import unpacked
from vmseg_auto.planning.fingerprint import Fingerprint
from vmseg_auto.utils.atomic import read_json, read_stored, write_sealed
from vmseg_auto.utils.errors import InputError
from vmseg_auto.workflows.export import export_model, model_info
from vmseg_auto.workflows.model import import_nnunet
from vmseg_auto.workflows.predict import predict
from vmseg_auto.workflows.select import select
from vmseg_auto.workflows.validate import finish_run
from vmseg_auto.workflows.validation_cases import validation_cases

PATIENT = "muster_"


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return cohort(tmp_path_factory.mktemp("hospital_x"), prefix=PATIENT)


def whole_run(made: Cohort) -> Run:
    """A run with all that a whole cross-validation leaves."""
    run = finished_run(made, "default", sure_of(2, 9))
    assert finish_run(run, made.space, made.fingerprint, made.splits, made.dataset, Screen(quiet=True))
    return run


def outputs(folder: Path) -> dict[str, bytes]:
    """What was written; of records all but whether the model knows the scan, which a zip does not tell."""
    found = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    for name in [name for name in found if name.endswith(".json")]:
        told = json.loads(found[name])
        found[name] = json.dumps({key: told[key] for key in told if key not in ("in_training", "sha256")}).encode()
    return found


def test_a_model_segments_elsewhere_as_at_home(made: Cohort, scans: Path, tmp_path: Path) -> None:
    """Every byte is the same: masks, records and table."""
    run = whole_run(made)
    packed = export_model(tmp_path / "elsewhere" / "ours.zip", workspace=made.space.root)
    predict(scans, tmp_path / "at_home", model=run.folder, device="cpu", save_probabilities=True)
    shutil.rmtree(made.space.root)
    predict(scans, tmp_path / "away", model=packed, device="cpu", save_probabilities=True)
    at_home = outputs(tmp_path / "at_home")
    of_scans = {f"new_{number}{ending}" for number in (0, 1) for ending in (".nii.gz", ".json")}
    assert set(at_home) == {*of_scans, "volumes.csv", "sources.csv", "itksnap.label"}
    assert outputs(tmp_path / "away") == at_home
    told = [read_json(tmp_path / place / "new_0.json")["in_training"] for place in ("at_home", "away")]
    assert told == [False, None]
    assert outputs(tmp_path / "away" / "probabilities" / "lesion") == outputs(
        tmp_path / "at_home" / "probabilities" / "lesion"
    )


def test_an_ensemble_that_was_selected_goes_as_one(made: Cohort, scans: Path, tmp_path: Path) -> None:
    finished_run(made, "default", sure_of(2, 6))
    finished_run(made, "other", sure_of(6, 12))
    assert len(select(workspace=made.space.root).runs) == 2
    packed = export_model(tmp_path / "ours.zip", workspace=made.space.root)
    predict(scans, tmp_path / "at_home", workspace=made.space.root, device="cpu")
    predict(scans, tmp_path / "away", model=packed, device="cpu")
    assert outputs(tmp_path / "away") == outputs(tmp_path / "at_home")
    with ZipFile(packed) as archive:
        card = archive.read("card.md").decode()
    assert "2 U-Nets together" in card
    told = r"mean over \d patients with 95 % interval: 1\.000 \(none: (all alike|\d patients)\); flattered"
    assert re.search(f"Cross-validated Dice of all together, {told}", card)
    with pytest.raises(InputError, match=r"ours\.zip: it holds 2 models, which predict together"):
        Predictor.load(packed)


def test_nothing_tells_whose_scans_they_were(made: Cohort, tmp_path: Path) -> None:
    whole_run(made)
    packed = export_model(tmp_path / "ours.zip", workspace=made.space.root)
    dataset = made.dataset.cases[0].images[0].parents[1]
    hashes = [summary.content for summary in made.fingerprint.cases.values()]
    secrets = [PATIENT, dataset.name, str(tmp_path), "imagesTr", *hashes]
    with unpacked(packed) as (manifest, folder):
        files = [folder / "manifest.json", *(folder / name for name in manifest.members)]
        told = {path.name: path.read_bytes() for path in files}
        assert all(secret.encode() not in content for content in told.values() for secret in secrets)
        shared = read_stored(Fingerprint, folder / "fingerprint.json")
    assert len(shared.cases) == len(made.fingerprint.cases)
    assert made.fingerprint.dataset == dataset.name, "the name is there to be left out"


def test_the_card_says_what_the_workspace_knows(made: Cohort, tmp_path: Path) -> None:
    run = whole_run(made)
    packed = export_model(tmp_path / "ours.zip", model=run.folder, folds=[1, 0], licence="CC BY-NC 4.0 | ours")
    card = model_info(packed)
    for words in (
        "# ours\n\nSegments lesion in 3-D scans with the channels T2.",
        "**This is no medical device**",
        "| Scans | 5 of 5 patients |",
        "| Spacing in mm | 2 x 1 x 1 |",
        "| Volume of all labels in mL | 0.02 |",
        "| Folds | 1, 0 |",
        "Cross-validation of the model: 5 scans of 5 patients",
        "| lesion | Dice | 0.8",
        "- It has learnt from scans with spacings of 2 x 1 x 1 to 2 x 1 x 1 mm and fields of view of 16 x 16 x 16 to",
        "## Licence\n\nCC BY-NC 4.0 \\| ours\n",
    ):
        assert words in card
    at_home = model_info(run.folder)
    assert "None was given" in at_home
    assert at_home.split("## Cohort")[1].split("## Training")[0] == card.split("## Cohort")[1].split("## Training")[0]


def test_a_cohort_that_has_changed_since_the_training_is_not_told(made: Cohort) -> None:
    run, cases = whole_run(made), dict(made.fingerprint.cases)
    del cases[min(cases)]
    write_sealed(made.space.fingerprint, replace(made.fingerprint, cases=cases).to_json())
    assert "## Cohort\n\nNot known: it is not recorded with this model, or has changed" in model_info(run.folder)


def test_cases_that_have_left_the_dataset_since_the_training_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where a patient has withdrawn consent and nothing is planned anew."""
    run = whole_run(cohort(tmp_path / "patients"))
    export_model(tmp_path / "before.zip", model=run.folder, licence="ours", console=Screen(quiet=True))
    assert not capsys.readouterr().err
    for path in (tmp_path / "patients").glob("*Tr/b*"):
        path.unlink()
    export_model(tmp_path / "after.zip", model=run.folder, licence="ours", console=Screen(quiet=True))
    assert "the model was trained on cases that are no longer in the dataset: b." in capsys.readouterr().err


def test_what_is_not_known_is_said_to_be_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An imported model has neither cohort nor scores."""
    model = import_nnunet(nnunet_model(tmp_path / "theirs"), tmp_path / "ours")
    packed = export_model(tmp_path / "ours.zip", model=model, console=Screen(quiet=True))
    assert "no licence is given (--licence)" in capsys.readouterr().err
    card = model_info(packed)
    assert "## Cohort\n\nNot known: it is not recorded with this model" in card
    assert "No whole cross-validation of the model is recorded: how good it is, is not known." in card
    assert Predictor.load(packed, device="cpu").digest() == Predictor.load(model, device="cpu").digest()


def test_damaged_weights_are_not_given_away(made: Cohort, tmp_path: Path) -> None:
    run = trained_run(made, "default")
    content = bytearray(run.fold(2).final.read_bytes())
    content[len(content) // 2] ^= 1
    run.fold(2).final.write_bytes(content)
    with pytest.raises(InputError, match=r"fold_2.*damaged"):
        export_model(tmp_path / "ours.zip", model=run.folder)
    assert not list(tmp_path.glob("*.zip"))
    export_model(tmp_path / "ours.zip", model=run.folder, folds=[0, 1])


def test_a_packed_model_is_not_packed_again(made: Cohort, tmp_path: Path) -> None:
    packed = export_model(tmp_path / "ours.zip", model=trained_run(made, "default").folder)
    with pytest.raises(InputError, match="packed already"):
        export_model(tmp_path / "again.zip", model=packed)
    with pytest.raises(InputError, match="it exists already"):
        export_model(packed, model=made.space.runs()[0].folder)


def test_a_card_shows_no_scores_of_other_folds(made: Cohort) -> None:
    run = whole_run(made)
    assert "Cross-validation of the model: " in model_info(run.folder)
    fold = validation_cases(run, made.fingerprint, made.splits, made.dataset)[1]
    validate_as(fold, sure_of(3, 9))
    card = model_info(run.folder)
    assert (
        "The cross-validation of the model is not shown, as a fold was trained or scored anew since it was summed up, "
        "or is gone: how good it is, is not known." in card
    )
    assert "mean over scans" not in card
    assert finish_run(run, made.space, made.fingerprint, made.splits, made.dataset, Screen(quiet=True))
    assert "mean over scans" in model_info(run.folder)


def test_a_card_gives_no_orders_to_the_terminal(made: Cohort, tmp_path: Path) -> None:
    packed = export_model(
        tmp_path / "ours.zip", model=trained_run(made, "default").folder, licence="free\x1b]0;owned\x07\x9b31m"
    )
    assert r"free\x1b]0;owned\x07\x9b31m" in model_info(packed)


def test_every_fold_goes_as_onnx_too(made: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    run = trained_run(made, "default")
    export_model(tmp_path / "m.zip", model=run.folder, folds=[0, 3], onnx=True, console=Screen(quiet=False))
    beside = tmp_path / "m_onnx"
    assert sorted(p.name for p in beside.iterdir()) == [
        "model_0.json", "model_0_fold_0.onnx", "model_0_fold_3.onnx",
    ]  # fmt: skip
    said = re.search(r"torch and onnxruntime over 20 windows a fold: (\S+)\.\n", capsys.readouterr().out)
    assert said is not None
    assert float(said[1]) < 1e-3
    about = read_json(beside / "model_0.json")
    session = onnxruntime.InferenceSession(beside / "model_0_fold_3.onnx")
    assert session.get_inputs()[0].shape == ["batch", len(about["channels"]), *about["plan"]["patch"]]
    (tmp_path / "m.zip").unlink()
    with pytest.raises(InputError, match="m_onnx: it exists already"):
        export_model(tmp_path / "m.zip", model=run.folder, onnx=True)
    assert not (tmp_path / "m.zip").exists()


def test_without_the_extra_nothing_is_written(made: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)  # as Python notes what is not installed
    with pytest.raises(InputError, match=r'not installed \(onnx\)\. Run `python -m pip install "vmseg_auto\[onnx'):
        export_model(tmp_path / "m.zip", model=trained_run(made, "default").folder, onnx=True)
    assert not list(tmp_path.glob("m*"))
