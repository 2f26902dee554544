"""OpenVINO's masks are torch's, for every kind of model, and what is written names it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from nnunet_model import KINDS, golden, nnunet_model

from vmseg_auto.cli import predict as command
from vmseg_auto.data.images.images import read_mask, write_image
from vmseg_auto.inference.predictor import Backend, Predictor
from vmseg_auto.report.write import write_report
from vmseg_auto.utils.atomic import read_json
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.workflows.model import import_nnunet
from vmseg_auto.workflows.predict import predict

if find_spec("openvino") is None:  # importing it here would import its telemetry
    pytest.skip("the extra openvino is not installed", allow_module_level=True)


def scan(kind: str) -> tuple[np.ndarray, Geometry]:
    arrays = golden(kind)
    return arrays["image"].astype(np.float32), Geometry(arrays["mask"].shape, tuple(map(float, arrays["spacing_mm"])))


def by(model: Path, backend: Backend) -> Predictor:
    return Predictor.load(model, device="cpu", precision="float32", backend=backend)


@pytest.mark.parametrize("kind", [*KINDS, "cascade"])
def test_masks_are_those_of_torch(tmp_path: Path, kind: str) -> None:
    """Residual networks, slices, regions and a cascade too; weights are random, so that many voxels are undecided."""
    theirs = [nnunet_model(tmp_path / kind, kind)]
    first = nnunet_model(tmp_path / "first", "lowres") if kind == "cascade" else None
    model = import_nnunet(theirs, tmp_path / "ours", first_stage=first)
    image, geometry = scan(kind)
    torchs, openvinos = by(model, "torch"), by(model, "openvino")
    expected, found = torchs.predict(image, geometry), openvinos.predict(image, geometry)
    assert (found.mask != expected.mask).sum() <= 2
    assert found.confidence.uncertainty == pytest.approx(expected.confidence.uncertainty, abs=1e-3)
    assert torchs.digest() != openvinos.digest()
    assert openvinos.digest() == by(model, "openvino").digest()


def test_an_ensemble_s_records_and_report_name_it(tmp_path: Path) -> None:
    theirs = [nnunet_model(tmp_path / kind, kind) for kind in ("plain", "lowres")]
    model = import_nnunet(theirs, tmp_path / "both.zip")
    image, geometry = scan("plain")
    for channel, voxels in enumerate(image):
        write_image(tmp_path / "scans" / f"a_{channel:04d}.nii.gz", voxels, geometry)
    for backend in ("torch", "openvino"):
        folder = tmp_path / backend
        predict(tmp_path / "scans", folder, model=model, device="cpu", precision="float32", backend=backend)
        assert read_json(folder / "a.json")["backend"] == backend
        report = write_report(predictions=folder)
        assert f"Computed by {backend}." in report.read_text()
    found, expected = (read_mask(tmp_path / each / "a.nii.gz")[0] for each in ("openvino", "torch"))
    assert (found != expected).sum() <= 2


def test_the_command_says_that_it_computes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = import_nnunet([nnunet_model(tmp_path / "plain", "plain")], tmp_path / "ours")
    image, geometry = scan("plain")
    for channel, voxels in enumerate(image):
        write_image(tmp_path / "scans" / f"a_{channel:04d}.nii.gz", voxels, geometry)
    places = "-i", str(tmp_path / "scans"), "-o", str(tmp_path / "masks"), "-m", str(model)
    assert command.main([*places, "--backend", "openvino"]) == 0
    assert "float32 by OpenVINO." in capsys.readouterr().out


def test_it_computes_on_the_cpu_alone(tmp_path: Path) -> None:
    model = import_nnunet([nnunet_model(tmp_path / "plain", "plain")], tmp_path / "ours")
    with pytest.raises(InputError, match=r"computes on the CPU here, and not on cuda.*--device cpu"):
        Predictor.load(model, device="cuda", backend="openvino")
    both = import_nnunet([tmp_path / "plain", nnunet_model(tmp_path / "lowres", "lowres")], tmp_path / "both.zip")
    (tmp_path / "scans").mkdir()
    with pytest.raises(InputError) as refused:
        predict(tmp_path / "scans", tmp_path / "out", model=both, device="cuda", backend="openvino")
    assert refused.value.remedy == "Use --device cpu, or --backend torch."
    assert Predictor.load(model, device="auto", backend="openvino").device.type == "cpu"
