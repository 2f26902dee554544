"""A model in one file: a zip of JSON, Markdown and weights, of which every byte is checked before any is used."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from vmseg_auto.models.manifest import MANIFEST, Manifest, Member, is_text, is_weights
from vmseg_auto.utils.atomic import parse_json, replacing
from vmseg_auto.utils.errors import DamagedError, InputError, VmsegError
from vmseg_auto.utils.folders import is_file, why_no_file
from vmseg_auto.utils.scratch import FULL, no_room, scratch

MAX_FILES = 500
MAX_TEXT_BYTES = 16 * 2**20
_CHUNK = 2**20
_REMEDY = "Get it again from where it came from, and compare its SHA-256 with the sender's."
_WHICH = "Check the name: a model is the zip that was given away, or its folder WORKSPACE/runs/PLANNER/TRAINER."
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""One date for all files, so that the same model gives the same bytes."""


def write_model_zip(path: Path, about: Manifest, contents: Mapping[str, str | Path]) -> Manifest:
    """Pack a model, whole or not at all.

    Args:
        path: of the zip; there must be nothing yet.
        about: the manifest, without members.
        contents: name in the zip -> text, or a file of weights.

    Returns:
        The manifest as it is in the zip.

    Raises:
        InputError: there is something at `path` already, or a file of weights can't be read.
        VmsegError: the zip can't be written.
    """
    if path.exists() or path.is_symlink():
        raise InputError("it exists already", file=path, remedy="Choose another name, or move it away first.")
    with replacing(path) as temporary, ZipFile(temporary, "w", ZIP_STORED) as archive:
        manifest = replace(about, members={name: _add(archive, name, content) for name, content in contents.items()})
        _add(archive, MANIFEST, json.dumps(manifest.to_json(), indent=2, ensure_ascii=False) + "\n")
    return manifest


@contextmanager
def unpacked(path: Path) -> Iterator[tuple[Manifest, Path]]:
    """Unpack into a folder, which is gone afterwards; yield the manifest and that folder.

    Every file is compared with its SHA-256.

    Raises:
        DamagedError: it is no zip, or holds anything else than its manifest says.
        InputError: it is missing, not a model's, or holds what a model never does. An error about a file of it that
            comes out of the block names the zip.
        VmsegError: there is no room for temporary files.
    """
    with scratch(path.stat().st_size if path.is_file() else 0) as folder:
        manifest = _unpack(path, folder)
        try:
            yield manifest, folder
        except VmsegError as error:
            if str(folder) in str(error):  # nobody knows that folder, and it is gone
                error.problem, error.remedy = error.problem.replace(str(folder), str(path)), _REMEDY
                error.file = str(error.file).replace(str(folder), str(path)) if error.file else None
            raise


def _add(archive: ZipFile, name: str, content: str | Path) -> Member:
    info, sha, size = ZipInfo(name, _EPOCH), hashlib.sha256(), 0
    info.external_attr = 0o644 << 16
    with archive.open(info, "w", force_zip64=True) as target:
        for chunk in _chunks_of(content):
            target.write(chunk)
            sha.update(chunk)
            size += len(chunk)
    return Member(sha.hexdigest(), size)


def _chunks_of(content: str | Path) -> Iterator[bytes]:
    if isinstance(content, str):
        yield content.encode()
        return
    with content.open("rb") as source:
        yield from iter(lambda: source.read(_CHUNK), b"")


def _unpack(path: Path, folder: Path) -> Manifest:
    if path.exists() and not is_file(path):
        raise InputError(f"this is no zip of a model, but {why_no_file(path)}", file=path, remedy=_WHICH)
    try:
        with ZipFile(path) as archive:
            entries = _entries(archive, path)
            with archive.open(entries.pop(MANIFEST)) as source:
                text = source.read()
            manifest = _manifest(text, path)
            _compare(manifest, entries, path)
            own = Member(hashlib.sha256(text).hexdigest(), len(text))
            for name, member in {MANIFEST: own, **manifest.members}.items():
                with archive.open(name) as source:
                    if _copy(source, folder, name) != member:
                        raise BadZipFile(f"{name} is not what the manifest says")
            return manifest
    except FileNotFoundError:
        raise InputError("there is no such model", file=path, remedy=_WHICH) from None
    except PermissionError as error:
        raise InputError(f"it can't be read ({error.strerror})", file=path, remedy="Check the file's rights.") from None
    except (BadZipFile, OSError, EOFError, ValueError, RuntimeError, NotImplementedError, LookupError) as error:
        why = f" ({error})" if isinstance(error, BadZipFile) else ""
        raise DamagedError(f"this is no zip of a model, or a damaged one{why}", file=path, remedy=_REMEDY) from error


def _manifest(text: bytes, path: Path) -> Manifest:
    data = parse_json(text.decode(), path, _REMEDY)
    try:
        return Manifest.from_json(data, f"{path}: {MANIFEST}")
    except InputError as error:
        error.remedy = _REMEDY  # nobody mends a file within a zip
        raise


def _entries(archive: ZipFile, path: Path) -> dict[str, ZipInfo]:
    """Return what lies in the zip, by name, where nothing of it can do harm.

    As nothing is compressed and no two files share bytes, what is unpacked is never larger than the zip.
    """
    found = archive.infolist()
    if len(found) > MAX_FILES:
        raise _refused(path, f"it holds {len(found)} files, and a model at most {MAX_FILES}")
    for entry in found:
        if why := _harm(entry):
            raise _refused(path, f"it holds {entry.orig_filename[:80]!r}, {why}")
    entries = {entry.filename: entry for entry in found}
    if len(entries) < len(found):
        raise _refused(path, "it holds two files of one name")
    if sum(entry.file_size for entry in found) > path.stat().st_size:
        raise _refused(path, "its files are larger than the zip itself, so they can't all be in it")
    if MANIFEST not in entries:
        raise _refused(path, f"it has no {MANIFEST}, so it is no model of vmseg_auto")
    return entries


def _harm(entry: ZipInfo) -> str | None:
    """Return in words why an entry is refused; None where it is not."""
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if entry.orig_filename != entry.filename or not (is_text(entry.filename) or is_weights(entry.filename)):
        return "and a model's zip holds nothing but its JSON, card.md and weights, in folders of fixed names"
    if kind not in (0, stat.S_IFREG) or entry.external_attr & 0x10:
        return "which is a link or another thing than a plain file"
    if entry.flag_bits & 0x1:
        return "which is encrypted"
    if entry.compress_type != ZIP_STORED or entry.compress_size != entry.file_size:
        return "which is compressed, and so could grow beyond all memory"
    if is_text(entry.filename) and entry.file_size > MAX_TEXT_BYTES:
        return f"a text of {entry.file_size} bytes, where {MAX_TEXT_BYTES} are the most"
    return None


def _compare(manifest: Manifest, entries: Mapping[str, ZipInfo], path: Path) -> None:
    missing, foreign = sorted(manifest.members.keys() - entries), sorted(entries.keys() - manifest.members)
    if missing or foreign:
        what = f"lacks {missing[0]}" if missing else f"holds {foreign[0]}, which its manifest does not name"
        raise DamagedError(f"the zip {what}", file=path, remedy=_REMEDY)


def _copy(source: IO[bytes], folder: Path, name: str) -> Member:
    sha, size, target = hashlib.sha256(), 0, folder / name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            while chunk := source.read(_CHUNK):
                sha.update(chunk)
                size += file.write(chunk)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise no_room(folder.parent, size + _CHUNK) from error
    return Member(sha.hexdigest(), size)


def _refused(path: Path, problem: str) -> InputError:
    return InputError(f"the model is refused: {problem}", file=path, remedy=_REMEDY)
