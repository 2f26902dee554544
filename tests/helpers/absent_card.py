"""A CUDA card that is not there: tensors without numbers that say they are on it.

torch's FakeTensorMode works out shape, type and device of what every operator gives, and refuses operands of
different devices. A build without CUDA also lacks what autograd asks about a card: `absent_card.cpp` is that. So the
branches that only CUDA takes run on any machine, up to the largest plans; `Watch` knows what they do, and lets memory
run out where it would.
"""

from __future__ import annotations

import ctypes
import functools
import math
import os
import subprocess
import sys
import types
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

HOOKS = "VMSEG_ABSENT_CARD"
"""Names the library in the environment of a process that has it."""


def build(folder: Path, include: Path, lib: Path) -> Path:
    """Compile absent_card.cpp against torch's headers and libraries.

    Raises:
        subprocess.CalledProcessError: it can't be compiled.
    """
    built = folder / "absent_card.so"
    source = Path(__file__).with_suffix(".cpp")
    options = ["-std=c++20", "-O0", "-shared", "-fPIC", f"-I{include}", f"-L{lib}", f"-Wl,-rpath,{lib}"]
    command = ["g++", *options, str(source), "-o", str(built), "-lc10", "-ltorch_cpu"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return built


def run(library: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in a process that has the card: torch looks for hooks once, when it is loaded."""
    program = "import sys\nfrom absent_card import main\nsys.exit(main())"
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, HOOKS: str(library), "PYTHONPATH": paths}
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def main() -> int:
    ctypes.CDLL(os.environ[HOOKS], mode=ctypes.RTLD_GLOBAL)
    import pytest

    return int(pytest.main(["-p", "no:cacheprovider", "-n0", *sys.argv[1:]]))


class Watch:
    """What has been done on the card.

    Args:
        limit: bytes that it holds; more raises torch.OutOfMemoryError.

    Attributes:
        held, peak: bytes, now and at most.
        waits: where the CPU has waited for the card's results.
        events: how often it was waited for what the card has been asked to do.
        operators: how often each has run on the card.
        convolved: types of images and weights that were convolved.
        fails: numbers of the operators, counted from now, at which memory is short whatever is held.
    """

    def __init__(self, limit: float = math.inf) -> None:
        self.limit = limit
        self.held = self.peak = 0
        self.waits: list[str] = []
        self.operators: Counter[str] = Counter()
        self.convolved: set[tuple[Any, Any]] = set()
        self.fails: set[int] = set()
        self.events = 0

    def take(self, size: int) -> None:
        import torch

        if self.held + size > self.limit:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size / 2**20:.2f} MiB")
        self.held += size
        self.peak = max(self.peak, self.held)

    def give(self, size: int) -> None:
        self.held -= size

    def wait(self) -> None:
        frame = sys._getframe(1)
        while frame.f_back and "vmseg_" not in frame.f_code.co_filename:
            frame = frame.f_back
        self.waits.append(frame.f_code.co_qualname.partition(".<locals>")[0])


class _Event:
    """Is reached as soon as somebody waits for it, and not before."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def record(self, stream: Any) -> None:
        pass

    def query(self) -> bool:
        return False

    def synchronize(self) -> None:
        self.watch.events += 1


def _on_card(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor) and value.device.type == "cuda"


def _watching(watch: Watch) -> Any:
    """Return the mode that tells `watch` of every operator."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensor
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    aten = torch.ops.aten
    convolutions = (aten.convolution.default, aten.conv3d.default, aten.conv_transpose3d.input)
    known: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()

    def keep(tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage not in known:
            watch.take(storage.nbytes())
            known[storage] = storage.nbytes()
            weakref.finalize(storage, watch.give, storage.nbytes())

    class Mode(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
            if func is aten._local_scalar_dense.default and isinstance(args[0], FakeTensor):
                if _on_card(args[0]):
                    watch.wait()
                return 1.0 if args[0].dtype.is_floating_point else 1
            fused = "_fused_" in func.name()  # of optimizers, in place, of which torch has no shapes
            result = None if fused else func(*args, **(kwargs or {}))
            assert not fused or all(map(_on_card, given))
            made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
            if any(map(_on_card, given)) and made and not any(map(_on_card, made)):
                watch.wait()
            if func.namespace == "aten" and any(map(_on_card, [*given, *made])):
                watch.operators[str(func)] += 1
                if watch.operators.total() in watch.fails:
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            if func in convolutions:
                watch.convolved.add((args[0].dtype, args[1].dtype))
            for tensor in filter(_on_card, made):
                keep(tensor)
            return result

    return Mode()


@contextmanager
def present(limit: float = math.inf, bf16: bool = True) -> Iterator[Watch]:
    """Let there be a card within, of so many bytes; `bf16`: whether it computes in bfloat16."""
    import numpy as np
    import torch
    from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

    watch = Watch(limit)
    plain = torch.Tensor.numpy

    def tolist(tensor: torch.Tensor) -> Any:
        if _on_card(tensor):
            watch.wait()
        return np.ones(tensor.shape, dtype=bool if tensor.dtype is torch.bool else float).tolist()

    def numpy(tensor: torch.Tensor, **how: Any) -> Any:
        if not isinstance(tensor, FakeTensor):
            return plain(tensor, **how)
        assert not _on_card(tensor)
        return np.zeros(tensor.shape, dtype=str(tensor.dtype).removeprefix("torch."))

    def deepcopy(tensor: torch.Tensor, memo: dict[int, Any]) -> torch.Tensor:
        if id(tensor) not in memo:
            copied = tensor.detach().clone()
            whole = isinstance(tensor, torch.nn.Parameter)
            memo[id(tensor)] = torch.nn.Parameter(copied, tensor.requires_grad) if whole else copied
        return memo[id(tensor)]

    stream = types.SimpleNamespace(wait_stream=lambda other: None)
    cuda: dict[str, Any] = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "device": lambda device: nullcontext(),
        "is_bf16_supported": lambda including_emulation=True: bf16 or including_emulation,
        "get_device_name": lambda device=None: "a card that is not there",
        "get_per_process_memory_fraction": lambda device=None: 1.0,
        "mem_get_info": lambda device=None: (watch.limit - watch.held, watch.limit),
        "memory_reserved": lambda device=None: watch.held,
        "max_memory_allocated": lambda device=None: watch.peak,
        "empty_cache": lambda: None,
        "Stream": lambda device=None: stream,
        "stream": lambda given: nullcontext(),
        "current_stream": lambda device=None: stream,
        "Event": functools.partial(_Event, watch),
        "get_device_capability": lambda device=None: (9, 0),
    }
    tensor = {
        "tolist": tolist,
        "numpy": numpy,
        "__deepcopy__": deepcopy,
        "pin_memory": lambda tensor: tensor,
        "record_stream": lambda tensor, stream: None,
    }
    with ExitStack() as stack:
        for name, value in cuda.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, value))
        for name, value in tensor.items():
            stack.enter_context(mock.patch.object(FakeTensor if name == "tolist" else torch.Tensor, name, value))
        stack.enter_context(
            mock.patch.object(torch.cuda.amp.common, "amp_definitely_not_available", return_value=False)
        )
        stack.enter_context(mock.patch.object(torch.nn.Module, "_apply", _apply))
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        stack.enter_context(_watching(watch))
        yield watch


def _apply(module: Any, change: Any, recurse: bool = True) -> Any:
    """Put changed parameters and buffers in the place of a module's: torch's own swaps them, which fakes refuse."""
    import torch

    with torch.no_grad():
        for one in module.modules():
            for name, weight in one._parameters.items():
                if weight is not None and (changed := change(weight)) is not weight:
                    one._parameters[name] = torch.nn.Parameter(changed, weight.requires_grad)
            for name, buffer in one._buffers.items():
                one._buffers[name] = None if buffer is None else change(buffer)
    return module


@functools.cache
def lacking_cuda(names: frozenset[str]) -> list[str]:
    """Return which operators have no code for CUDA, by torch's own list of them."""
    import torchgen
    from torchgen.gen import parse_native_yaml
    from torchgen.model import DispatchKey

    native = Path(torchgen.__file__).parent / "packaged" / "ATen" / "native"
    parsed = parse_native_yaml(str(native / "native_functions.yaml"), str(native / "tags.yaml"))
    code = parsed.backend_indices[DispatchKey.CUDA]
    known = {
        f"aten.{str(f.func.name).partition('.')[0]}.{f.func.name.overload_name or 'default'}": f
        for f in parsed.native_functions
    }
    return sorted(
        name
        for name in names
        if name not in known
        or not (
            code.has_kernel(known[name])
            or known[name].has_composite_kernel
            or known[name].structured_delegate is not None
        )
    )
