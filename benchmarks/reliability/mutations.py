"""Damaged and hostile versions of files, each a pure function of the file and a seeded generator."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import struct
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import PurePosixPath
from random import Random
from typing import Any

Mutation = Callable[[bytes, Random], bytes]

NUMBERS = (
    0, 1, -1, 2, 3, 7, 127, 128, 255, 256, 32767, 32768, -32768, 65535, 2**31 - 1, -(2**31), 2**31, 2**32, 2**63 - 1,
    2**64, 10**30, 10**400, 0.5, -0.0, 1e-300, 1e300, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
TEXTS = (
    "", " ", "x", "0", "../../outside", "/outside", "a/b", "a\\b", "\x00", "\ud800", "é" * 50, "A" * 100_000, "{}",
    "nan", "1e999", "module:Class", "default", "lesion", "con", "%s%n", "\n", "-1",
)  # fmt: skip
_NIFTI_FIELDS = (
    ("i", 0), ("c", 39), *(("h", at) for at in range(40, 56, 2)), ("h", 68), ("h", 70), ("h", 72), ("h", 74),
    *(("f", at) for at in range(76, 108, 4)), ("f", 108), ("f", 112), ("f", 116), ("h", 120), ("c", 123), ("f", 124),
    ("f", 128), ("f", 136), ("h", 252), ("h", 254), *(("f", at) for at in range(256, 328, 4)), ("i", 344), ("i", 348),
)  # fmt: skip
"""Format and offset of the fields of a NIfTI-1 header and its extension mark."""


def mutate_bytes(data: bytes, rng: Random) -> bytes:
    """One to four of: bits flipped, bytes set, a piece cut, doubled, moved, blanked or put in, the end lost."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if not changed:
            break
        at, other = rng.randrange(len(changed)), rng.randrange(len(changed))
        length = min(rng.choice((1, 2, 4, 8, 64, 1024)), len(changed))
        what = rng.randrange(8)
        if what <= 1:
            changed[at] ^= 1 << rng.randrange(8)
        elif what == 2:
            changed[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif what == 3:
            del changed[at : at + length]
        elif what == 4:
            changed[at:at] = changed[other : other + length]
        elif what == 5:
            changed[at : at + length] = changed[other : other + length]
        elif what == 6:
            changed[at : at + length] = bytes([rng.choice((0, 0xFF))]) * length
        else:
            del changed[rng.choice((at, at, rng.randrange(len(changed)))) :]
    return bytes(changed)


def mutate_nifti(data: bytes, rng: Random) -> bytes:
    """Header fields set to extremes, or bytes changed, within the packing (which is whole again) or without."""
    packed = data[:2] == b"\x1f\x8b"
    if packed and rng.random() < 0.3:
        return mutate_bytes(data, rng)
    plain = bytearray(gzip.decompress(data) if packed else data)
    if rng.random() < 0.75:
        for _ in range(rng.randint(1, 3)):
            _set_field(plain, rng)
    else:
        plain = bytearray(mutate_bytes(bytes(plain), rng))
    return gzip.compress(bytes(plain), 1, mtime=0) if packed else bytes(plain)


def _set_field(plain: bytearray, rng: Random) -> None:
    kind, at = rng.choice(_NIFTI_FIELDS)
    value = rng.choice(NUMBERS)
    if kind == "f":
        packed = struct.pack("<f", value if abs(value) < 3e38 or value != value else float("inf"))
    else:
        size = struct.calcsize(kind)
        whole = int(value) if abs(value) < 2**64 else rng.getrandbits(64)  # NaN compares false, too
        packed = (whole % 2 ** (8 * size)).to_bytes(size, "little")
    plain[at : at + len(packed)] = packed


def mutate_lines(data: bytes, rng: Random) -> bytes:
    """A text header before binary data (NRRD, MetaImage): lines given other values, doubled, dropped; or bytes."""
    if rng.random() < 0.3:
        return mutate_bytes(data, rng)
    lines = data.split(b"\n")
    header = min(len(lines), 16)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(header)
        what = rng.randrange(6)
        if what == 0:
            lines.insert(at, lines[rng.randrange(header)])
        elif what == 1 and len(lines) > 1:
            del lines[at]
            header = max(1, header - 1)
        else:
            lines[at] = _other_words(lines[at], rng)
    return b"\n".join(lines)


def _other_words(line: bytes, rng: Random) -> bytes:
    words = line.split(b" ")
    at = rng.randrange(len(words))
    if rng.random() < 0.7:
        words[at] = str(rng.choice(NUMBERS)).encode()
    else:
        words[at] = rng.choice((*TEXTS, "LOCAL", "LIST", "/etc/passwd", "raw", "gzip", "ascii", "True")).encode(
            errors="surrogatepass"
        )
    return b" ".join(words)


def mutate_json(data: bytes, rng: Random) -> bytes:
    """Values of other types and sizes, fields lost and added, lists cut and grown, deep nesting; or bytes."""
    if rng.random() < 0.25:
        return mutate_bytes(data, rng)
    value = json.loads(data)
    if isinstance(value, dict) and rng.random() < 0.9:
        value.pop("sha256", None)  # else every change would be noticed by the checksum alone
    for _ in range(rng.randint(1, 3)):
        value = _other_value(value, rng)
    if rng.random() < 0.03:
        depth = rng.choice((50, 2000, 100_000))
        return b"[" * depth + json.dumps(value).encode() + b"]" * depth
    return json.dumps(value).replace('"@@', "").replace('@@"', "").encode()


def _other_value(value: Any, rng: Random) -> Any:
    """The same value with one thing changed, somewhere in it."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(sorted(value))
        what = rng.randrange(12)
        if what == 0:
            return {name: item for name, item in value.items() if name != key}
        if what == 1:
            return {**value, rng.choice(TEXTS): rng.choice(NUMBERS)}
        if what == 2:
            return {(rng.choice(TEXTS) if name == key else name): item for name, item in value.items()}
        return {**value, key: _other_value(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        what = rng.randrange(12)
        if what == 0:
            return value[:at] + value[at + 1 :]
        if what == 1:
            return value * rng.choice((0, 2, 1000))
        return [*value[:at], _other_value(value[at], rng), *value[at + 1 :]]
    if rng.random() < 0.05:
        return "@@" + "9" * rng.choice((20, 5000)) + "@@"  # a bare number of so many digits
    return rng.choice((rng.choice(NUMBERS), rng.choice(TEXTS), None, True, False, [], {}, [value], {"x": value}))


def mutate_archive(data: bytes, rng: Random) -> bytes:
    """A zip (npz, torch): an entry changed within a zip that is whole, entries lost, doubled or renamed; or bytes."""
    if rng.random() < 0.3:
        return mutate_bytes(data, rng)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [(entry.filename, archive.read(entry), entry.compress_type) for entry in archive.infolist()]
    # The larger entries hold numbers alone: most of what can go wrong is in the small ones.
    at = rng.choice([i for i, (name, _, _) in enumerate(entries) if name.endswith((".pkl", ".npy"))] * 4 + [0, -1])
    name, content, kind = entries[at]
    what = rng.randrange(10)
    if what == 0:
        del entries[at]
    elif what == 1:
        entries[at] = rng.choice(("../../outside", "/outside", name + "x", name.upper(), "")), content, kind
    elif what == 2:
        entries[at] = name, content, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    else:
        head = rng.choice((128, 1024, len(content)))  # arrays and pickles begin with what says how large they are
        entries[at] = name, mutate_bytes(content[:head], rng) + content[head:], kind
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w") as archive:
        for name, content, kind in entries:
            archive.writestr(zipfile.ZipInfo(name), content, kind)
    return changed.getvalue()


def mutate_table(data: bytes, rng: Random) -> bytes:
    """Cells and rows of a CSV changed, or bytes."""
    if rng.random() < 0.4:
        return mutate_bytes(data, rng)
    rows = [line.split(",") for line in data.decode().splitlines()]
    for _ in range(rng.randint(1, 3)):
        row = rng.choice(rows)
        what = rng.randrange(4)
        if what == 0:
            rows.remove(row)
            rows = rows or [[""]]
        elif what == 1:
            row.append(rng.choice(TEXTS))
        else:
            row[rng.randrange(len(row))] = rng.choice((str(rng.choice(NUMBERS)), rng.choice(TEXTS), '"'))
    return "\n".join(",".join(row) for row in rows).encode(errors="surrogatepass")


def mutate_checkpoint(data: bytes, rng: Random) -> bytes:
    """A training's state that is a whole file of torch.save, but says something else; or a changed archive."""
    if rng.random() < 0.4:
        return mutate_archive(data, rng)
    import torch

    from vmseg_auto.models.hashes import content_hash

    content = torch.load(io.BytesIO(data), weights_only=True)
    what = rng.randrange(4)
    if what == 0 and "about" in content:
        content["about"] = mutate_json(content["about"].encode(), rng).decode(errors="replace")
    elif what == 1:
        key = rng.choice(sorted(content))
        content[key] = rng.choice((*NUMBERS, *TEXTS[:8], None, {}, [], torch.zeros(3), {"x": torch.zeros(2)}))
    else:
        weights = content["weights" if "weights" in content else "network_weights"]
        name = rng.choice(sorted(weights))
        weights[name] = _other_tensor(weights[name], rng)
    if rng.random() < 0.8:  # as someone would who means harm
        with contextlib.suppress(TypeError, RuntimeError, RecursionError):
            content["sha256"] = content_hash({name: value for name, value in content.items() if name != "sha256"})
    changed = io.BytesIO()
    torch.save(content, changed)
    return changed.getvalue()


def mutate_weights(data: bytes, rng: Random) -> bytes:
    """A finished fold's weights in a whole safetensors file that says something else; or bytes changed."""
    if rng.random() < 0.3:
        return mutate_bytes(data, rng)
    length = int.from_bytes(data[:8], "little")
    header, numbers = data[8 : 8 + length], data[8 + length :]
    if rng.random() < 0.4:
        header = mutate_json(header, rng)
        claimed = len(header) if rng.random() < 0.9 else rng.choice((0, 1, len(data), 2**26, 2**40, 2**64 - 1))
        return claimed.to_bytes(8, "little") + header + numbers
    from safetensors.torch import load, save

    from vmseg_auto.models.final_checkpoint import KEY, content_of

    about = json.loads(json.loads(header)["__metadata__"][KEY])["about"]
    weights = load(data)
    if rng.random() < 0.5:
        about = json.loads(json.dumps(_other_value(about, rng)))
    else:
        name = rng.choice(sorted(weights))
        other = _other_tensor(weights[name], rng)
        if not hasattr(other, "is_sparse") or other.is_sparse or other.numel() > 2**20:
            del weights[name]
        else:
            weights[name] = other.contiguous()
    said = content_of(about, weights)
    if rng.random() < 0.2:
        said["sha256"] = "0" * 64
    return bytes(save(weights, {KEY: json.dumps(said)}))


def mutate_model_zip(data: bytes, rng: Random) -> bytes:
    """A model's zip in which a file says something else, mostly with the manifest that goes with it; or an archive."""
    if rng.random() < 0.3:
        return mutate_archive(data, rng)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    name = rng.choice(sorted(files))
    mutate = {".json": mutate_json, ".safetensors": mutate_weights}.get(PurePosixPath(name).suffix, mutate_bytes)
    files[name] = mutate(files[name], rng)
    if name != "manifest.json" and rng.random() < 0.8:
        manifest = json.loads(files["manifest.json"])
        manifest["members"][name] = {"sha256": sha256(files[name]).hexdigest(), "bytes": len(files[name])}
        files["manifest.json"] = json.dumps(manifest).encode()
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return changed.getvalue()


def _other_tensor(tensor: Any, rng: Random) -> Any:
    import torch

    return rng.choice(
        (
            tensor * float("nan"),
            tensor * float("inf"),
            tensor.double(),
            tensor.to(torch.int8),
            tensor.to(torch.complex64),
            tensor.flatten(),
            tensor[:0],
            torch.zeros(1).expand(2**36),
            tensor.to_sparse(),
            torch.zeros(()),
            [1.0, 2.0],
            "weights",
            None,
        )
    )
