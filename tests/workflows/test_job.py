"""A trainer whose network could not be built again is refused before it trains."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from raw_dataset import raw_dataset

from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.workflows.plan import plan_and_preprocess
from vmseg_auto.workflows.train import train

TRAINERS = """
from dataclasses import replace
from torch import nn
from vmseg_trainers.default import DefaultTrainer

class Deeper(DefaultTrainer):
    name = "deeper"
    def __call__(self, *given):
        parts = super().__call__(*given)
        parts.network.encoder[0].append(nn.Conv3d(32, 32, 1))
        return parts

class Smoother(DefaultTrainer):
    name = "smoother"
    def __call__(self, *given):
        parts = super().__call__(*given)
        for module in parts.network.modules():
            if isinstance(module, nn.LeakyReLU):
                module.negative_slope = 0.5
        return parts
"""


@pytest.mark.parametrize(
    ("trainer", "why"), [("Deeper", r"names or shapes: encoder\.0\.2\.weight"), ("Smoother", "predicts something else")]
)
def test_a_trainer_with_a_network_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainer: str, why: str
) -> None:
    module = "own_networks_of_a_test"
    (tmp_path / f"{module}.py").write_text(TRAINERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, module, raising=False)
    raw_dataset(tmp_path / "patients", cases=5, grid=Geometry((10, 26, 26), (3.0, 0.8, 0.8)))
    plan_and_preprocess(tmp_path / "patients", memory_gb=0.02, jobs=1)
    words = (
        rf"the trainer {trainer.lower()} trains another network than the plan's plain_unet.*{why}.*extending/network"
    )
    with pytest.raises(InputError, match=words):
        train([0], dataset=tmp_path / "patients", trainer=f"{module}:{trainer}", device="cpu", jobs=1)
    assert not list(tmp_path.rglob("checkpoint*"))
