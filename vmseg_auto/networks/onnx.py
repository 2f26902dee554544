"""Networks as ONNX, for programs without torch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.utils.extras import extra
from vmseg_auto.utils.geometry import Shape

WINDOWS = 20
LARGEST_DIFFERENCE = 1e-3
"""Of logits, between torch and onnxruntime; they sum in other orders."""
INPUT, OUTPUT = "image", "logits"


def to_onnx(network: torch.nn.Module, channels: int, patch: Shape) -> bytes:
    """Return the network as an ONNX file: `image` float32 [B, C, Z, Y, X] -> `logits` float32 [B, K, Z, Y, X].

    Args:
        network: on the CPU, in eval mode.
        channels: C.
        patch: (Z, Y, X) in voxels; fixed, while B is free.

    Raises:
        InputError: the extra `onnx` is not installed.
    """
    with extra("onnx", "ONNX"):
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    image = torch.zeros((2, channels, *patch))  # a batch of 1 would be taken for a constant
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            network,
            (image,),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    content: bytes = program.model_proto.SerializeToString()
    return content


def onnx_difference(network: torch.nn.Module, content: bytes, channels: int, patch: Shape, windows: int) -> float:
    """Return the largest difference of a logit between torch and onnxruntime, over windows of seeded noise.

    Args:
        network: on the CPU, in eval mode.
        content: what `to_onnx` returned for it.
        channels, patch: as given to it.
        windows: how many.

    Raises:
        InputError: the extra `onnx` is not installed.
        VmsegError: a logit is NaN or infinite.
    """
    with extra("onnx", "ONNX"):
        import onnxruntime
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    random, largest = np.random.default_rng(0), 0.0
    for _ in range(windows):
        image = random.standard_normal((1, channels, *patch), dtype=np.float32)
        (theirs,) = session.run([OUTPUT], {INPUT: image})
        difference = np.abs(theirs - _logits(network, image)).max()
        if not np.isfinite(difference):
            raise VmsegError("the network gives NaN or infinite logits", remedy="Train it again.")
        largest = max(largest, float(difference))
    return largest


def _logits(network: torch.nn.Module, image: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.no_grad():
        logits: NDArray[np.float32] = network(torch.from_numpy(image)).numpy()
    return logits


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's words on itself: of its own deprecated parts, and of packages that it could use too."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)
