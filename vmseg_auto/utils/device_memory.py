"""What there is of a device's memory, and which errors say that it was too little."""

from __future__ import annotations

import torch

_NO_MEMORY = (
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
    "Invalid buffer size",
)
"""What CUDA's runtime, driver and libraries, compilers and MPS say where memory is short."""
_PERHAPS_NO_MEMORY = (
    "unable to find an engine to execute this computation",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_NOT_INITIALIZED",
)
"""What cuDNN and cuBLAS say where something is wrong, or where they have no memory to begin."""
_LIBRARIES_WANT = 2**30
"""Bytes."""


def memory_ran_out(error: RuntimeError) -> bool:
    """Return whether an error of torch is one of too little memory; only its own allocator has a type for it."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    text = str(error)
    return any(words in text for words in _NO_MEMORY) or (
        any(words in text for words in _PERHAPS_NO_MEMORY) and _card_is_full()
    )


def _card_is_full() -> bool:
    """Return whether the GPU, or this process's part of it, has less left than libraries want for themselves."""
    if not torch.cuda.is_available():
        return False
    free, total = torch.cuda.mem_get_info()
    part = torch.cuda.get_per_process_memory_fraction() * total - torch.cuda.memory_reserved()
    return min(free, part) < _LIBRARIES_WANT


def free_gib(device: torch.device) -> float:
    """Return the GiB of a CUDA device that this process could have, with what it holds.

    Of a card that is shared it may be given a part (`torch.cuda.set_per_process_memory_fraction`).
    """
    free, total = torch.cuda.mem_get_info(device)
    part = torch.cuda.get_per_process_memory_fraction(device) * total
    return float(min(free + torch.cuda.memory_reserved(device), part)) / 2**30


def forget_freed_memory(device: torch.device) -> None:
    """Give back to the device what is free but kept for later."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
