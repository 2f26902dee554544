"""Devices and precisions that are there, and those that are not."""

from __future__ import annotations

import configparser
import contextlib
import copy
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny import NETWORK

from vmseg_auto.networks.unet import build_network
from vmseg_auto.utils.devices import (
    autocast,
    choose_device,
    computing,
    cudnn_fault,
    describe,
    float32_products,
    lay_out,
    present_devices,
    reduced_precision,
    round_convolutions,
)
from vmseg_auto.utils.errors import InputError

CPU = torch.device("cpu")
PRESENT = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}


def test_the_cpu_is_always_there() -> None:
    assert choose_device("cpu") == CPU


def test_auto_takes_the_best_there_is() -> None:
    best = next(name for name in ("cuda", "mps", "cpu") if PRESENT[name])
    assert choose_device("auto").type == best


@pytest.mark.parametrize("name", [*(name for name, here in PRESENT.items() if not here), "tpu", ""])
def test_what_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=rf"the device '{name}' is not available here\. Use --device auto or cpu"):
        choose_device(name)


def test_sixteen_bits_only_where_the_hardware_has_them() -> None:
    dtype = reduced_precision(CPU)
    assert dtype in (None, torch.bfloat16)
    if hasattr(torch.cpu, "get_capabilities"):
        abilities = torch.cpu.get_capabilities()
        native = bool(abilities.get("avx512_bf16") or abilities.get("amx_bf16"))
        assert (dtype is torch.bfloat16) == native


def test_autocast_in_a_type_and_in_none() -> None:
    a = torch.ones(4, 4)
    with autocast(CPU, None):
        assert (a @ a).dtype == torch.float32
    with autocast(CPU, torch.bfloat16):
        assert (a @ a).dtype == torch.bfloat16
    assert (a @ a).dtype == torch.float32


def test_descriptions_are_for_people() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert describe(CPU, None) == "CPU, 1 thread, float32"
    torch.set_num_threads(2)
    assert describe(CPU, None) == "CPU, 2 threads, float32"
    torch.set_num_threads(threads)
    assert describe(CPU, torch.bfloat16).endswith(", bfloat16")


@pytest.mark.parametrize(
    ("version", "spoils"), [(None, False), (90701, False), (90800, True), (91002, True), (91400, True), (91501, False)]
)
def test_a_cudnn_that_spoils_sixteen_bits_is_named(
    version: int | None, spoils: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: version)
    fault = cudnn_fault()
    assert (fault is not None) == spoils
    if version == 91002:
        assert fault is not None
        assert "cuDNN 9.10, which refuses or spoils" in fault
        assert "PyTorch 2.11 or newer" in fault


def switches() -> tuple[str, str]:
    return torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision


@pytest.fixture
def as_before() -> Iterator[None]:
    """Puts both generations of torch's switches back."""
    before = switches()
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = (value == "tf32" for value in before)
    torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision = before


def test_no_torch_that_comes_with_one_can_be_installed() -> None:
    """2.9 and 2.10 from PyPI do."""
    config = configparser.ConfigParser()
    config.read(Path(__file__).parents[2] / "setup.cfg", encoding="utf-8")
    wanted = re.search(r"^torch>=(\d+)\.(\d+)$", config["options"]["install_requires"], flags=re.MULTILINE)
    assert wanted is not None
    assert (int(wanted[1]), int(wanted[2])) >= (2, 11)


@pytest.mark.parametrize(
    ("device", "dtype", "inside"),
    [
        ("cuda", None, ("ieee", "ieee")),
        ("cuda", torch.bfloat16, ("tf32", "tf32")),
        ("cuda", torch.float16, ("tf32", "tf32")),
        ("cpu", None, None),
    ],
)
@pytest.mark.parametrize("outside", [("tf32", "none"), ("tf32", "tf32"), ("ieee", "ieee"), ("ieee", "tf32")])
@pytest.mark.usefixtures("as_before")
def test_float32_is_all_of_it_where_it_is_wanted_and_tf32_elsewhere_on_cuda(
    device: str, dtype: torch.dtype | None, inside: tuple[str, str] | None, outside: tuple[str, str]
) -> None:
    """Whatever a script has set before, by torch's newer switches, after which it refuses to read the older ones."""
    torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision = outside
    with float32_products(torch.device(device), dtype):
        assert switches() == (inside or outside)
        if inside:  # compilers read the older ones
            tf32 = inside == ("tf32", "tf32")
            assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == (tf32, tf32)
    assert switches() == outside


@pytest.mark.usefixtures("as_before")
def test_float32_is_all_of_it_also_where_everything_was_allowed_tf32() -> None:
    """torch's oldest switch, set to False, leaves convolutions to the one above it."""
    torch.backends.fp32_precision = "tf32"
    try:
        with float32_products(torch.device("cuda"), None):
            assert switches() == ("ieee", "ieee")
    finally:
        torch.backends.fp32_precision = "none"


def test_the_precision_is_that_of_the_card_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch tells of the current one; the second of these is older."""
    current = [0]

    @contextlib.contextmanager
    def made_current(device: torch.device) -> Iterator[None]:
        current[0] = device.index
        yield
        current[0] = 0

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device", made_current)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: current[0])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"card {device.index}")

    def properties(device: int | torch.device) -> SimpleNamespace:
        index = device if isinstance(device, int) else device.index
        return SimpleNamespace(major=8 - index, total_memory=24 * 2**30)

    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    found = [reduced_precision(torch.device("cuda", index)) for index in range(2)]
    assert found == [torch.bfloat16, torch.float16]
    assert present_devices()[:2] == ["card 0, bfloat16, 24 GiB", "card 1, float16, 24 GiB"]


def test_cublas_may_compute_alike_from_its_first_product_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A product in 16 bits may come before the first deterministic training of a process."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    assert choose_device("cuda") == torch.device("cuda", 0)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_rounding_once_gives_what_rounding_each_time_gives() -> None:
    torch.manual_seed(0)
    network = build_network(NETWORK, 1, 2).eval()
    image = torch.randn(1, 1, 8, 16, 16)
    with torch.inference_mode(), autocast(CPU, torch.bfloat16):
        before = network(image)
        assert torch.equal(round_convolutions(network, torch.bfloat16)(image), before)
    norms = [m for m in network.modules() if isinstance(m, torch.nn.InstanceNorm3d)]
    assert all(norm.weight.dtype == torch.float32 for norm in norms)


def test_without_a_type_nothing_is_rounded() -> None:
    network = round_convolutions(build_network(NETWORK, 1, 2), None)
    assert {weight.dtype for weight in network.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize("builder", ["plain_unet", "residual_unet"])
def test_another_layout_is_the_same_network(builder: str) -> None:
    torch.manual_seed(0)
    plain = build_network(replace(NETWORK, builder=builder), 1, 2)
    before = copy.deepcopy(plain.state_dict())
    laid_out = lay_out(copy.deepcopy(plain), CPU)
    assert all(torch.equal(before[name], weight) for name, weight in laid_out.state_dict().items())
    image = torch.randn(2, 1, 8, 16, 16)
    gradients = []
    for network in (plain, laid_out):
        torch.stack([level.square().sum() for level in network(image)]).sum().backward()
        gradients.append(torch.cat([w.grad.flatten() for w in network.parameters() if w.grad is not None]))
    for expected, level in zip(plain(image), laid_out(image), strict=True):
        torch.testing.assert_close(level, expected, rtol=1e-4, atol=1e-4)
    assert float((gradients[0] - gradients[1]).norm() / gradients[0].norm()) < 1e-4


@pytest.mark.parametrize(("trains", "needed"), [(True, "avx512_f"), (False, "avx2")])
def test_channels_come_last_where_a_cpu_has_wide_registers_and_nowhere_else(trains: bool, needed: str) -> None:
    wide = bool(torch.cpu.get_capabilities().get(needed)) if hasattr(torch.cpu, "get_capabilities") else False
    for device, expected in ((CPU, wide), (torch.device("cuda"), False)):
        layers = torch.nn.Sequential(torch.nn.Conv3d(2, 3, 3), torch.nn.Conv2d(2, 3, 3))
        network = lay_out(layers, device, trains=trains)
        last = network[0].weight.is_contiguous(memory_format=torch.channels_last_3d)  # type: ignore[operator,union-attr]
        assert last == expected
        assert network[1].weight.is_contiguous()  # type: ignore[operator,union-attr]


@pytest.mark.parametrize("name", ["cpu", "cuda"])
@pytest.mark.parametrize("alike", [True, False])
def test_cuda_computes_alike_or_by_what_is_fastest_and_only_inside(name: str, alike: bool) -> None:
    """What is set is torch's own, so that it can be seen without a GPU."""
    cudnn = torch.backends.cudnn
    before = torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark
    with computing(alike, torch.device(name)):
        inside = torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark
    assert inside == ((alike, alike, not alike) if name == "cuda" else before)
    assert (torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark) == before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_freed_memory_is_kept_for_the_next_layer() -> None:
    """In a process of its own, as it can't be undone: blocks of 64 MB cost their page faults once, not each time."""
    program = """
import resource, torch
from vmseg_auto.utils.devices import choose_device
choose_device("cpu")
for _ in range(5):
    torch.ones(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    pages = 2**26 // 4096
    assert int(done.stdout) < 6 * pages  # 20 where every block is fetched anew
