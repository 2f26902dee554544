"""While the networks compute one scan, others are read, preprocessed, restored and written."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from consoles import Heard
from dicom import grid_of, numbers
from workspaces import cohort, trained_run

from vmseg_auto.data.images.images import write_image
from vmseg_auto.inference.predictor import Predictor
from vmseg_auto.utils.errors import SomeCasesFailedError
from vmseg_auto.workflows.predict import predict

SHAPE = (8, 16, 16)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_run(cohort(tmp_path_factory.mktemp("cohort")), "default").folder


def test_only_the_networks_take_the_time_of_the_device(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work: dict[str, set[bool]] = {}

    def noted(name: str) -> Any:
        real = getattr(Predictor, name)

        def run(*given: Any, **named: Any) -> Any:
            at_work.setdefault(name, set()).add(threading.current_thread() is threading.main_thread())
            return real(*given, **named)

        return run

    for name in ("preprocess", "compute", "restore"):
        monkeypatch.setattr(Predictor, name, noted(name))
    for seed in range(3):
        write_image(tmp_path / "scans" / f"{seed}.nii.gz", numbers(SHAPE, seed).astype(np.float32), grid_of(SHAPE))
    assert len(predict(tmp_path / "scans", tmp_path / "masks", model=model, device="cpu")) == 3
    assert at_work == {"preprocess": {False}, "compute": {True}, "restore": {False}}


def test_a_scan_that_can_not_be_preprocessed_costs_its_own_mask_alone(model: Path, tmp_path: Path) -> None:
    for name, values in (("empty", np.zeros(SHAPE)), ("sound", numbers(SHAPE))):
        write_image(tmp_path / "scans" / f"{name}.nii.gz", values.astype(np.float32), grid_of(SHAPE))
    with pytest.raises(SomeCasesFailedError) as failed:
        predict(tmp_path / "scans", tmp_path / "masks", model=model, device="cpu", console=Heard())
    assert [error.case for error in failed.value.errors] == ["empty"]
    assert [path.name for path in failed.value.done] == ["sound.nii.gz"]
