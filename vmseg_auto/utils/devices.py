"""Where tensors are computed, and in which precision."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from vmseg_auto.utils.distributed import local_rank
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.text import counted

_SPOILING_CUDNN = range(90_800, 91_500)
"""9.8 to 9.14: PyTorch 2.9 and 2.10 from PyPI have them, and some builds of 2.8."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Of glibc's malloc.h."""
_convolutions: Any = torch.backends.cudnn.conv  # type: ignore[attr-defined]
"""Torch's switch for how they compute in float32."""


def choose_device(name: str) -> torch.device:
    """Return the device asked for; "auto" takes CUDA, then MPS, then the CPU, which is made ready.

    Raises:
        InputError: the device is not there, or there are more processes on this machine than GPUs.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, here in present.items() if here)
    if not present.get(name, False):
        raise InputError(
            f"the device {name!r} is not available here",
            remedy="Use --device auto or cpu; for a GPU, install the PyTorch build that fits its driver.",
        )
    if name == "cpu":
        keep_freed_memory()
    if name == "cuda":
        if local_rank() >= torch.cuda.device_count():
            raise InputError(
                f"process {local_rank()} of this machine finds no GPU of its own among {torch.cuda.device_count()}",
                remedy="Start as many as there are GPUs (torchrun --nproc-per-node), or use --device cpu.",
            )
        # For `computing`, as cuBLAS's manual asks; cuBLAS reads it at its first product, whoever wants that one.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device(name)


def keep_freed_memory() -> None:
    """Let glibc keep what is freed, where there is glibc.

    Otherwise it gives large blocks back to the system, and each layer of a network waits for fresh pages again: a
    tenth of the time of a prediction on two cores, and of a training step.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    for option, value in ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, 2**30), (_TRIM_THRESHOLD, 2**31 - 1)):
        mallopt(option, value)


def cudnn_fault() -> str | None:
    """Describe why 16-bit results on a GPU can't be relied on with this PyTorch; None where they can."""
    version = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    if version is None or version not in _SPOILING_CUDNN:
        return None
    name = f"{version // 10_000}.{version // 100 % 100}"
    return (
        f"PyTorch {torch.__version__} comes with cuDNN {name}, which refuses or spoils 3-D convolutions in 16 bits; "
        "install PyTorch 2.11 or newer"
    )


def reduced_precision(device: torch.device) -> torch.dtype | None:
    """Return the 16-bit type that this hardware computes natively, or None where float32 is faster."""
    if device.type == "cuda":
        with torch.cuda.device(device):  # of which torch tells
            return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "cpu":
        # Without native bf16 instructions oneDNN emulates them, many times slower than float32.
        abilities = _abilities()
        if abilities.get("avx512_bf16") or abilities.get("amx_bf16"):
            return torch.bfloat16
    return None


def _abilities() -> Mapping[str, object]:
    """Return which instructions the CPU has; empty where this version of torch doesn't say."""
    return torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}


def autocast(device: torch.device, dtype: torch.dtype | None) -> contextlib.AbstractContextManager[object]:
    """Return a context of mixed precision in `dtype`, which does nothing for None."""
    return torch.autocast(device.type, dtype) if dtype is not None else contextlib.nullcontext()


@contextlib.contextmanager
def float32_products(device: torch.device, dtype: torch.dtype | None) -> Iterator[None]:
    """Compute what stays in float32 on CUDA in TF32, of 19 bits, beside a 16-bit type; in float32 itself beside None.

    It concerns convolutions and matrix products. Forward and backward pass must both lie within. Nothing outside is
    changed.
    """
    if device.type != "cuda":
        yield
        return
    before = _convolutions.fp32_precision, torch.backends.cuda.matmul.fp32_precision
    wanted = "ieee" if dtype is None else "tf32"
    _set_float32_products(wanted, wanted)
    try:
        yield
    finally:
        _set_float32_products(*before)


def _set_float32_products(convolutions: str, products: str) -> None:
    """Set both of torch's switches alike: it refuses to read the older one where the newer one says otherwise."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    cudnn.allow_tf32, matmul.allow_tf32 = convolutions == "tf32", products == "tf32"
    _convolutions.fp32_precision, matmul.fp32_precision = convolutions, products


def round_convolutions(network: torch.nn.Module, dtype: torch.dtype | None) -> torch.nn.Module:
    """Round the convolutions' weights to `dtype` for good, in place; None leaves them.

    For inference: without gradients autocast rounds them anew in every forward pass, for the same result.
    """
    for module in network.modules():
        if dtype is not None and isinstance(module, (torch.nn.Conv3d, torch.nn.ConvTranspose3d)):
            module.to(dtype)
    return network


def lay_out(network: torch.nn.Module, device: torch.device, *, trains: bool = False) -> torch.nn.Module:
    """Lay the weights of 3-D convolutions out as `device` computes them fastest, in place; values and shapes stay.

    On a CPU with AVX-512 channels come last: oneDNN then spares copying what goes into a layer and comes out of it,
    a tenth of the time of a prediction and of a training step. With AVX2 alone they come last for prediction, a tenth
    of whose time it is too, and not for a network that `trains`, a step of which would take an eighth more. Layers take
    the layout over from one another.
    """
    if device.type == "cpu" and _abilities().get("avx512_f" if trains else "avx2"):
        for weight in network.parameters():
            if weight.dim() == 5:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last_3d)
    return network


@contextlib.contextmanager
def computing(alike: bool, device: torch.device) -> Iterator[None]:
    """Compute on CUDA by the algorithms of cuDNN that prove fastest, or alike: the same bits in every run.

    A CPU computes alike anyway. Nothing outside is changed. What torch can't compute alike raises a RuntimeError;
    networks and losses here take another way where `torch.are_deterministic_algorithms_enabled()`.
    """
    if device.type != "cuda":
        yield
        return
    cudnn = torch.backends.cudnn
    before = torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark
    torch.use_deterministic_algorithms(alike)
    cudnn.deterministic, cudnn.benchmark = alike, not alike
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        cudnn.deterministic, cudnn.benchmark = before[1:]


def describe(device: torch.device, dtype: torch.dtype | None) -> str:
    """Describe a device and its precision, such as "NVIDIA H200, bfloat16" or "CPU, 2 threads, float32"."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
    threads = f", {counted(torch.get_num_threads(), 'thread')}" if device.type == "cpu" else ""
    return f"{name}{threads}, {str(dtype or torch.float32).removeprefix('torch.')}"


def present_devices() -> list[str]:
    """Describe every device that can be asked for, with its memory, and the precision that suits it."""
    found = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        device = torch.device("cuda", index)
        memory = torch.cuda.get_device_properties(device).total_memory / 2**30
        found.append(f"{describe(device, reduced_precision(device))}, {memory:.3g} GiB")
    if torch.backends.mps.is_available():
        found.append(describe(torch.device("mps"), None))
    cpu = torch.device("cpu")
    return [*found, describe(cpu, reduced_precision(cpu))]
