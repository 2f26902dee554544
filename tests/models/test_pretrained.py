"""Checkpoints of pretrained encoders are read, and what is none is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from nnunet_model import PRETRAINED, checkpoint

from vmseg_auto.models.pretrained import read_pretrained
from vmseg_auto.utils.errors import InputError


def content() -> dict[str, Any]:
    found: dict[str, Any] = torch.load(PRETRAINED, weights_only=True)
    return found


def test_stem_and_stages_are_read_each_once() -> None:
    encoder = read_pretrained(PRETRAINED)
    assert (encoder.network, encoder.stages) == ("ResEncL", 4)
    assert {name.split(".")[1] for name in encoder.weights} == {"stem", "stages"}
    assert not any("all_modules" in name for name in encoder.weights)
    assert encoder.weights["encoder.stem.convs.0.conv.weight"].shape == (3, 1, 3, 3, 3)


def test_they_are_found_by_the_names_that_the_checkpoint_tells(tmp_path: Path) -> None:
    changed = content()
    weights = {name.replace("encoder.", "net.enc."): one for name, one in changed["network_weights"].items()}
    plan = changed["nnssl_adaptation_plan"] | {"key_to_stem": "net.enc.stem", "key_to_encoder": "net.enc.stages"}
    torch.save({"network_weights": weights, "nnssl_adaptation_plan": plan}, tmp_path / "other.pth")
    before, now = read_pretrained(PRETRAINED), read_pretrained(tmp_path / "other.pth")
    assert now.weights.keys() == before.weights.keys()
    assert all(torch.equal(now.weights[name], one) for name, one in before.weights.items())


def without_plan(found: dict[str, Any]) -> dict[str, Any]:
    return checkpoint("residual")


def of_transformer(found: dict[str, Any]) -> dict[str, Any]:
    plan = {"architecture_plans": {"arch_class_name": "PrimusM"}, "key_to_stem": "down", "key_to_encoder": "eva"}
    weights = {"eva.blocks.0.attn.weight": torch.ones(2, 2), "down.proj.weight": torch.ones(2, 1, 8, 8, 8)}
    return {"network_weights": weights, "nnssl_adaptation_plan": plan}


def without_key(found: dict[str, Any]) -> dict[str, Any]:
    del found["nnssl_adaptation_plan"]["key_to_stem"]
    return found


def not_finite(found: dict[str, Any]) -> dict[str, Any]:
    found["network_weights"]["encoder.stem.convs.0.conv.weight"].fill_(torch.nan)
    return found


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            without_plan,
            "holds no pretrained encoder .* import the whole folder with `vmseg_model import`",
        ),
        (of_transformer, r"its encoder \(PrimusM\) is no residual encoder in three dimensions. Take one that is"),
        (without_key, "nnssl_adaptation_plan lacks key_to_stem"),
        (not_finite, "holds NaN or infinite numbers"),
    ],
)
def test_what_is_no_such_encoder_is_named(
    change: Callable[[dict[str, Any]], dict[str, Any]], told: str, tmp_path: Path
) -> None:
    torch.save(change(content()), tmp_path / "x.pth")
    with pytest.raises(InputError, match=told):
        read_pretrained(tmp_path / "x.pth")


def test_a_file_that_is_not_there_or_runs_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the checkpoint does not exist"):
        read_pretrained(tmp_path / "x.pth")
    torch.save({"network_weights": Path("x")}, tmp_path / "y.pth")
    with pytest.raises(InputError):
        read_pretrained(tmp_path / "y.pth")
