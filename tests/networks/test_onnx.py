"""ONNX gives the logits that torch gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import tiny_plan

from vmseg_auto.networks.onnx import LARGEST_DIFFERENCE, WINDOWS, onnx_difference, to_onnx
from vmseg_auto.networks.unet import build_network
from vmseg_auto.utils.errors import VmsegError

onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
pytest.importorskip("onnxscript", reason="the extra onnx is not installed")


SLICE: dict[str, object] = {"patch": (1, 16, 16), "strides": ((1, 1, 1), (1, 2, 2)), "kernels": ((1, 3, 3),) * 2}


@pytest.mark.parametrize("changes", [{}, {"builder": "residual_unet"}, SLICE], ids=["plain", "residual", "slice"])
def test_logits_are_the_same_over_twenty_windows(changes: dict[str, object]) -> None:
    plan = tiny_plan(**changes)
    torch.manual_seed(0)
    network = build_network(plan.network, 2, 3).eval()
    content = to_onnx(network, 2, plan.patch)
    assert WINDOWS == 20
    assert 0 < onnx_difference(network, content, 2, plan.patch, WINDOWS) < LARGEST_DIFFERENCE / 10
    session = onnxruntime.InferenceSession(content)
    images = np.random.default_rng(1).standard_normal((3, 2, *plan.patch), dtype=np.float32)
    (together,) = session.run(["logits"], {"image": images})
    assert together.shape == (3, 3, *plan.patch)
    (alone,) = session.run(["logits"], {"image": images[1:2]})
    assert np.allclose(together[1], alone[0], atol=1e-5)


def test_other_weights_are_noticed() -> None:
    plan = tiny_plan()
    first, second = (build_network(plan.network, 1, 2).eval() for _ in range(2))
    content = to_onnx(first, 1, plan.patch)
    assert onnx_difference(second, content, 1, plan.patch, 1) > LARGEST_DIFFERENCE
    with torch.no_grad():
        first.heads[-1].bias.fill_(torch.nan)  # type: ignore[union-attr]
    with pytest.raises(VmsegError, match="NaN"):
        onnx_difference(first, content, 1, plan.patch, 1)
