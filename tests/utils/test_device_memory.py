"""Every way in which a device says that its memory is too small is known."""

from __future__ import annotations

import pytest
import torch

from vmseg_auto.utils.device_memory import memory_ran_out


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 8.91 GB, other allocations: 1.20 GB)"), True),
        (RuntimeError("Invalid buffer size: 19.07 GB"), True),
        (torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be reported later", 2), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), True),
        (RuntimeError("CUDA driver error: out of memory"), True),
        (
            RuntimeError("backend='inductor' raised:\nOutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"),
            True,
        ),
        (RuntimeError("Triton Error [CUDA]: out of memory"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"), False),
    ],
)
def test_every_device_s_words_for_too_little_memory_are_known(error: RuntimeError, is_memory: bool) -> None:
    assert memory_ran_out(error) == is_memory


@pytest.mark.parametrize(
    "words",
    [
        "GET was unable to find an engine to execute this computation",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_NOT_INITIALIZED",
    ],
)
@pytest.mark.parametrize(
    ("free", "part", "is_memory"), [(2**29, 1.0, True), (2**33, 1.0, False), (2**33, 0.05, True), (2**33, 0.5, False)]
)
def test_a_library_that_can_t_begin_is_short_of_memory_where_the_card_or_the_part_given_is_full(
    words: str, free: int, part: float, is_memory: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free, 2**35))
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda: part)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 2**30)
    assert memory_ran_out(RuntimeError(words)) == is_memory
