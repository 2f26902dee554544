"""Networks that OpenVINO computes on the CPU, in float32, in place of torch."""

from __future__ import annotations

import sys
import threading
import warnings
from typing import Any

import torch
from torch import nn

from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.utils.extras import extra
from vmseg_auto.utils.geometry import Shape

LARGEST_DIFFERENCE = 1e-3
"""Of logits, between torch and OpenVINO, as a share of the largest logit or of 1; they sum in other orders."""


class OpenVinoNetwork(nn.Module):
    """A network that gives the logits of `network`, computed by OpenVINO.

    As many threads may call it at a time as torch has; each computes a window of its own, with the same result
    whatever their number. It keeps the network's weights, by which it is known (`state_dict`).

    Args:
        network: on the CPU, in eval mode; left as it is.
        channels: C.
        patch: (Z, Y, X) in voxels.

    Raises:
        InputError: the extra `openvino` is not installed.
        VmsegError: the logits of a window of noise are not torch's.
    """

    def __init__(self, network: nn.Module, channels: int, patch: Shape) -> None:
        super().__init__()
        self.network = network
        window = torch.randn((1, channels, *patch), generator=torch.Generator().manual_seed(0))
        self._compiled = _compiled(network, window)
        self._own = threading.local()
        self.eval()
        self._require_agreement(window)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Return the logits of windows: float32 [B, C, Z, Y, X] -> float32 [B, K, Z, Y, X]."""
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        logits = []
        for window in torch.split(windows.contiguous(), 1):
            (found,) = self._own.request.infer([window.numpy()]).values()
            logits.append(torch.from_numpy(found.copy()))  # the request's own memory is written again by the next
        return torch.cat(logits)

    @torch.inference_mode()
    def _require_agreement(self, window: torch.Tensor) -> None:
        expected, found = self.network(window), self(window)
        largest = float((found - expected).abs().max())
        bound = LARGEST_DIFFERENCE * max(1.0, float(expected.abs().max()))
        if bool(expected.isfinite().all()) and not largest <= bound:
            raise VmsegError(
                f"OpenVINO's logits differ from torch's by {largest:.2g}", remedy="Use --backend torch on this machine."
            )


def _compiled(network: nn.Module, window: torch.Tensor) -> Any:
    """Return OpenVINO's compiled model of a network, for windows of this one's shape."""
    with extra("openvino", "OpenVINO"):
        # With this package OpenVINO tells its maker of each use, over the network, unless the user has refused that.
        modules: dict[str, Any] = sys.modules
        modules["openvino_telemetry"] = None
        import openvino
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's on branches by shape: the shape is fixed
        trace: Any = torch.jit.trace
        traced = trace(network, window, check_trace=False)
        model = openvino.convert_model(traced, input=list(window.shape))
    threads = torch.get_num_threads()
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": threads}
    return openvino.Core().compile_model(model, "CPU", options)
