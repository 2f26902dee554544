"""Hashes of weights, and of what is stored with them, whatever file they lie in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch


def content_hash(value: Any) -> str:
    """Compute the SHA-256, in hex, of tensors, numbers and texts in dicts and lists.

    Raises:
        TypeError: something else is among them.

    Example:
        >>> content_hash({"a": 1, "b": [2.5]}) == content_hash({"b": [2.5], "a": 1})
        True
    """
    sha = hashlib.sha256()
    _add(sha, value)
    return sha.hexdigest()


def weights_hash(weights: Mapping[str, torch.Tensor]) -> str:
    """Compute the hash (16 hex digits of SHA-256) of names and values."""
    sha = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        sha.update(name.encode())
        sha.update(_bytes(tensor))
    return sha.hexdigest()[:16]


def _add(sha: Any, value: Any) -> None:
    """Add a value with its kind and size before it, so that no two contents give the same bytes."""
    if isinstance(value, torch.Tensor):
        sha.update(f"tensor {value.dtype} {tuple(value.shape)};".encode())
        sha.update(_bytes(value))
    elif isinstance(value, dict):
        sha.update(f"dict {len(value)};".encode())
        for key in sorted(value, key=repr):
            _add(sha, key)
            _add(sha, value[key])
    elif isinstance(value, (list, tuple)):
        sha.update(f"list {len(value)};".encode())
        for item in value:
            _add(sha, item)
    elif value is None or isinstance(value, (bool, int, float, str)):
        text = repr(value)
        sha.update(f"{type(value).__name__} {len(text)};{text}".encode())
    else:
        raise TypeError(f"a checkpoint holds no {type(value).__name__}")


def _bytes(tensor: torch.Tensor) -> memoryview:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
