"""Whether a training's network and loss are compiled by torch.compile, and how; in words where they are not."""

from __future__ import annotations

import os
import shutil
import sysconfig
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Literal

import torch

from vmseg_auto.planning.plan import Plan
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.utils.errors import InputError

Mode = Literal["default", "reduce-overhead"]
"""Of torch.compile; the second also replays a step's kernels as one CUDA graph."""
OLDEST_CARD = (7, 0)
"""Compute capability that Triton, the compiler for CUDA, needs."""
SMALL_VOXELS = 2**19
"""In a batch: with fewer, starting kernels takes a card longer than computing."""


def compile_mode(config: TrainingConfig, plan: Plan, device: torch.device) -> Mode | None:
    """Return how torch.compile takes network and loss of a training; None where it does not.

    Raises:
        InputError: it is asked for (`compile=on`), and can't be had.
    """
    if config.compile == "off" or (config.compile == "auto" and device.type != "cuda"):
        return None
    if why := why_not_compiled(config, device):
        if config.compile == "auto":
            return None
        raise InputError(f"compile=on is set, and nothing can be compiled: {why}", remedy="Use --set compile=auto.")
    small = device.type == "cuda" and plan.batch_size * prod(plan.patch) < SMALL_VOXELS
    return "reduce-overhead" if small else "default"


def why_not_compiled(config: TrainingConfig, device: torch.device) -> str | None:
    """Describe what stands against torch.compile here; None where nothing does."""
    if config.deterministic:
        return "compiled code may differ from run to run, and deterministic=true is set"
    if device.type == "cuda" and find_spec("triton") is None:
        return "the package triton is not installed"
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < OLDEST_CARD:
        return "the card is older than triton can compile for"
    variable, names = ("CC", ("cc", "gcc", "clang")) if device.type == "cuda" else ("CXX", ("g++", "clang++"))
    if not any(map(shutil.which, (*filter(None, [os.environ.get(variable)]), *names))):
        return f"there is no {'C' if device.type == 'cuda' else 'C++'} compiler ({names[-2]})"
    if device.type == "cuda" and not _headers().is_file():
        return "Python's headers are not installed (the system's package python3-dev)"
    return None


def _headers() -> Path:
    """Return where triton looks for Python's headers: Debian's own scheme names a folder that holds none."""
    scheme = sysconfig.get_default_scheme().replace("posix_local", "posix_prefix")
    return Path(sysconfig.get_path("include", scheme), "Python.h")


def in_words(config: TrainingConfig, plan: Plan, device: torch.device) -> str:
    """Say whether a training on CUDA is compiled, and why not.

    Raises:
        InputError: as `compile_mode`.
    """
    if compile_mode(config, plan, device):
        return "Network and loss are compiled first, which takes a minute or two (--set compile=off leaves it out)."
    why = "compile=off is set" if config.compile == "off" else why_not_compiled(config, device)
    return f"Network and loss are not compiled, so that steps take longer: {why}."
