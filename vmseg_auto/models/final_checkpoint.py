"""A finished fold's weights on disk: a safetensors file, which holds numbers and texts and can hold no code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from vmseg_auto.models.checkpoints import REMEDY, Checkpoint, require_schema
from vmseg_auto.models.hashes import content_hash
from vmseg_auto.models.safe_archive import finite_tensors, reading_checkpoint
from vmseg_auto.models.safe_pickle import ClaimError
from vmseg_auto.utils.atomic import parse_json, replacing, sync_folder
from vmseg_auto.utils.errors import DamagedError, InputError

SCHEMA = 3
KEY = "vmseg_auto"
"""Of the only entry of the file's metadata: with several, their order would change from one writing to the next."""
MOST_HEADER_BYTES = 32 * 2**20
"""What describes the tensors; even that of a training of 50,000 epochs is smaller. The library's limit is 100 MB."""
MOST_TENSORS = 10_000
_KINDS = {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"}


def save_final(path: Path, checkpoint: Checkpoint) -> None:
    """Write what predicts of a checkpoint with its checksum, whole or not at all; it outlives a power cut from here on.

    The state that only a training goes on from is left out.

    Raises:
        VmsegError: the disk is full or not writable.
    """
    # Copies in one piece each: the format knows no strides, and no two names for one tensor.
    weights = {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in checkpoint.weights.items()
    }
    about = json.loads(json.dumps(checkpoint.about()))  # as it will be read: no tuples, no numpy
    text = json.dumps(content_of(about, weights))
    with replacing(path) as temporary:
        try:
            save_file(weights, temporary, {KEY: text})
        except SafetensorError as error:  # a full disk, too
            raise OSError(str(error)) from error
    sync_folder(path.parent)


def load_final(path: Path) -> Checkpoint:
    """Read a finished fold's checkpoint onto the CPU.

    What the file says of its tensors is compared with its size before any of them is made. They are read, not mapped:
    a file that another process cuts short would else end this one without a word, and Windows replaces no mapped file.

    Raises:
        DamagedError: the content is not what was written, or a weight is NaN or infinite.
        InputError: the file is missing, or no checkpoint of this program.
        VmsegError: the memory is not enough.
    """
    with reading_checkpoint(path, "Train this fold first.", REMEDY, damage=SafetensorError):
        _check_header(path)
        with safe_open(path, framework="pt", device="cpu", backend="pread") as file:
            names = file.keys()
            text = (file.metadata() or {}).get(KEY)
            if text is None:
                raise InputError("this is no checkpoint of vmseg_auto", file=path, remedy=REMEDY)
            content = parse_json(text, path, REMEDY)
            require_schema(content["schema"], SCHEMA, path)
            if len(names) > MOST_TENSORS:
                raise ClaimError(f"it holds {len(names):,} tensors")
            for name in names:
                if (kind := file.get_slice(name).get_dtype()) not in _KINDS:
                    raise ClaimError(f"{name} holds numbers of the kind {kind}")
            weights = file.get_tensors()
        if content != content_of(content["about"], weights):
            raise DamagedError("the checkpoint is damaged: its checksum is wrong", file=path, remedy=REMEDY)
        return Checkpoint.from_about(content["about"], finite_tensors(weights, "weights", path, REMEDY), path)


def content_of(about: Any, weights: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Return what the file's metadata say: its schema, a SHA-256 over what follows and the tensors, and `about`."""
    sha256 = content_hash({"schema": SCHEMA, "about": about, "weights": weights})
    return {"schema": SCHEMA, "sha256": sha256, "about": about}


def _check_header(path: Path) -> None:
    """Refuse a header that can't be as long as it says.

    Raises:
        ClaimError: it claims more bytes than there are, or than a header needs.
    """
    with path.open("rb") as file:
        said = int.from_bytes(file.read(8), "little")
    if said > min(MOST_HEADER_BYTES, path.stat().st_size):
        raise ClaimError(f"its header claims {said:,} bytes")
