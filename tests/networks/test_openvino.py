"""OpenVINO gives the logits that torch gives, on any number of threads, and tells nobody of it."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from tiny import tiny_plan

from vmseg_auto.networks.openvino import OpenVinoNetwork
from vmseg_auto.networks.unet import build_network
from vmseg_auto.planning.plan import Plan
from vmseg_auto.utils.errors import InputError, VmsegError

if find_spec("openvino") is None:  # importing it here would import its telemetry
    pytest.skip("the extra openvino is not installed", allow_module_level=True)

SLICE: dict[str, object] = {"patch": (1, 16, 16), "strides": ((1, 1, 1), (1, 2, 2)), "kernels": ((1, 3, 3),) * 2}
MEDNEXT: dict[str, object] = {"builder": "mednext", "arguments": {"expansion": [2, 3]}}
ALONE = """
import os, sys
import torch  # builds with CUDA ask ldconfig for a library
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.posix_spawn", "os.fork"):
        os.write(1, f"{event} {arguments}".encode())
        os._exit(9)
sys.addaudithook(refuse)
from vmseg_auto.networks.openvino import OpenVinoNetwork
made = OpenVinoNetwork(torch.nn.Conv3d(1, 2, 3, padding=1).eval(), 1, (4, 8, 8))
assert made(torch.zeros(1, 1, 4, 8, 8)).shape == (1, 2, 4, 8, 8)
assert not [name for name, module in sys.modules.items() if name.startswith("openvino_telemetry") and module]
print("done")
"""


def network_of(plan: Plan, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return build_network(plan.network, 2, 3).eval()


@pytest.mark.parametrize(
    "changes", [{}, {"builder": "residual_unet"}, SLICE, MEDNEXT], ids=["plain", "residual", "slice", "mednext"]
)
def test_logits_are_the_same_window_by_window(changes: dict[str, object]) -> None:
    plan = tiny_plan(**changes)
    network = network_of(plan)
    made = OpenVinoNetwork(network, 2, plan.patch)
    windows = torch.randn(3, 2, *plan.patch)
    with torch.inference_mode():
        expected, found = network(windows), made(windows)
        turned = made(windows.flip(4))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(turned, found, atol=1e-2)
    assert [tensor.shape for tensor in made.state_dict().values()] == [w.shape for w in network.state_dict().values()]


def test_threads_that_compute_at_a_time_give_what_one_gives() -> None:
    plan = tiny_plan()
    made = OpenVinoNetwork(network_of(plan), 2, plan.patch)
    windows = torch.randn(24, 1, 2, *plan.patch)
    alone = [made(window) for window in windows]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(made, windows))
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_a_network_that_gives_no_numbers_gives_none_here() -> None:
    """Whoever averages the logits names the fold."""
    plan = tiny_plan()
    network = network_of(plan)
    with torch.no_grad():
        next(network.parameters())[0] = torch.nan
    made = OpenVinoNetwork(network, 2, plan.patch)
    assert not made(torch.randn(1, 2, *plan.patch)).isfinite().all()


class OtherWhenTraced(torch.nn.Module):
    """What a tracer sees is not what it computes later."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x * float(self.calls)


def test_other_logits_than_torch_s_are_refused() -> None:
    with pytest.raises(VmsegError, match=r"OpenVINO's logits differ from torch's by .*--backend torch"):
        OpenVinoNetwork(OtherWhenTraced(), 1, (4, 8, 8))


def test_it_tells_nobody_that_it_is_used(tmp_path: Path) -> None:
    """OpenVINO's package for that is a part of its installation, and sends where nobody has refused."""
    assert version("openvino-telemetry")
    environment = {**os.environ, "HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", ALONE], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.stdout == "done\n", done.stdout + done.stderr
    assert not list(tmp_path.iterdir())


def test_without_the_package_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(InputError, match=r'OpenVINO needs .* pip install "vmseg_auto\[openvino\]"'):
        OpenVinoNetwork(torch.nn.Conv3d(1, 2, 1).eval(), 1, (4, 8, 8))
