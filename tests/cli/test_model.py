"""vmseg_model, as it is typed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from nnunet_model import checkpoint, edit, golden, nnunet_model, save
from trap import Trap

from vmseg_auto.cli import model, predict
from vmseg_auto.data.images.images import read_mask, write_image
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.workflows.export import export_model
from vmseg_auto.workflows.model import import_nnunet


def test_import_and_predict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = tmp_path / "ours"
    assert model.main(["import", str(nnunet_model(tmp_path / "theirs", folds=(0, 1))), "-o", str(ours)]) == 0
    out = capsys.readouterr().out
    assert "imported from nnU-Net v2: Dataset001_PlainConvUNet, nnUNetPlans, 3d_fullres; trainer nnUNetTrainer" in out
    assert "channels T2, T1; labels background, core, rim\n  fold 0, 1\n" in out
    assert f"vmseg_predict -m {ours}" in out
    arrays = golden("plain")
    geometry = Geometry(arrays["mask"].shape, tuple(map(float, arrays["spacing_mm"])))
    for channel, image in enumerate(arrays["image"]):
        write_image(tmp_path / "scans" / f"a_{channel:04d}.nii.gz", image.astype(np.float32), geometry)
    masks = tmp_path / "masks"
    command = ["-m", str(ours), "-i", str(tmp_path / "scans"), "-o", str(masks), "--device", "cpu", "--folds", "0"]
    assert predict.main(command) == 0
    mask, _ = read_mask(masks / "a.nii.gz")
    # Where the processor has 16-bit arithmetic, this command uses it.
    assert (mask == arrays["mask"]).mean() > 0.97


def test_quiet_says_nothing_but_warnings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = nnunet_model(tmp_path / "theirs", folds=())
    save(theirs, checkpoint("plain"), fold=2, name="checkpoint_best.pth")
    assert model.main(["import", str(theirs), "-o", str(tmp_path / "ours"), "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "Warning: fold 2 has no checkpoint_final.pth; its checkpoint_best.pth is taken\n"


def test_a_trap_in_a_checkpoint_is_one_message_and_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = nnunet_model(tmp_path / "theirs", folds=())
    file = save(theirs, {**checkpoint("plain"), "logging": Trap(tmp_path / "sprung")})
    assert model.main(["import", str(theirs), "-o", str(tmp_path / "ours")]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"vmseg_model: {file}: the checkpoint is damaged or from elsewhere: it holds ")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [theirs]


def test_what_we_can_not_do_is_named_and_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = nnunet_model(tmp_path / "theirs")
    edit(theirs / "plans.json", ("configurations", "3d_fullres", "preprocessor_name"), "ResEnc")
    assert model.main(["import", str(theirs), "-o", str(tmp_path / "ours")]) == 2
    err = capsys.readouterr().err
    assert "plans.json: preprocessor_name is 'ResEnc', which can't be imported" in err
    assert list(tmp_path.iterdir()) == [theirs]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["merge"], "invalid choice: 'merge'"),
        (["import", "x"], "the following arguments are required: -o/--output"),
        (["import", "x", "-o", "y", "--folds", "first"], "'first' is no fold"),
    ],
)
def test_bad_use(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert model.main(arguments) == 2
    assert words in capsys.readouterr().err


def test_export_info_and_predict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours, packed = import_nnunet(nnunet_model(tmp_path / "theirs"), tmp_path / "ours"), tmp_path / "ours.zip"
    assert model.main(["export", "-m", str(ours), "-o", str(packed), "--name", "Rim", "--licence", "CC0"]) == 0
    out, err = capsys.readouterr()
    assert f"{packed}: 1 model, " in out
    assert f"vmseg_predict -m {packed}" in out
    assert err == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ours", "ours.zip", "theirs"]
    assert model.main(["info", str(packed)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("# Rim\n\nSegments core, rim in 3-D scans with the channels T2, T1.")
    assert "## Licence\n\nCC0\n" in out
    assert f"{packed}: 4 files, " in out
    assert "each as its manifest says; SHA-256 of the manifest: " in out
    arrays = golden("plain")
    geometry = Geometry(arrays["mask"].shape, tuple(map(float, arrays["spacing_mm"])))
    for channel, image in enumerate(arrays["image"]):
        write_image(tmp_path / "scans" / f"a_{channel:04d}.nii.gz", image.astype(np.float32), geometry)
    command = ["-i", str(tmp_path / "scans"), "--device", "cpu", "--precision", "float32"]
    assert predict.main([*command, "-m", str(packed), "-o", str(tmp_path / "masks")]) == 0
    assert f"Model {packed}, fold 0" in capsys.readouterr().out
    assert predict.main([*command, "-m", str(ours), "-o", str(tmp_path / "at_home")]) == 0
    for name in ("a.nii.gz", "a.json", "volumes.csv"):
        assert (tmp_path / "masks" / name).read_bytes() == (tmp_path / "at_home" / name).read_bytes()


def test_a_spoilt_model_is_one_message_and_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed = export_model(tmp_path / "m.zip", model=import_nnunet(nnunet_model(tmp_path / "theirs"), tmp_path / "ours"))
    content = bytearray(packed.read_bytes())
    content[len(content) // 2] ^= 1
    packed.write_bytes(content)
    for command in (
        lambda: model.main(["info", str(packed)]),
        lambda: predict.main(["-m", str(packed), "-i", str(tmp_path / "scans"), "-o", str(tmp_path / "masks")]),
    ):
        assert command() == 2
        err = capsys.readouterr().err
        assert f"{packed}: this is no zip of a model, or a damaged one (" in err
        assert err.count("\n") == 1
