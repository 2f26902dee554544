"""What a case is called: the one rule by which folders and files give it a name. Pure text; it looks at no disk."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

LONGEST = 100
"""Bytes of a name in UTF-8. File systems take 255, and the names of labels and endings are appended."""
_HEAD, _TAIL = 44, 44
"""Bytes that are kept of a longer one."""
_DIGITS = 8
_CHANNEL = re.compile(r"(.+)_(\d{4})", re.DOTALL)
_MARK = re.compile(r"~[0-9a-f]{8,64}(?=$|_\d{4}$)")
_CHANGED = "corrected|correction|corr|edited|edit|fixed|fix|final|revised|modified|manual|reviewed|checked|approved"
_COPY = "copy|kopie|copie|copia"
_AROUND = re.compile(
    rf"^(?:(?:{_COPY})[ _-]+(?:of|von|de|di)|{_CHANGED})[ _.-]+"
    rf"|[ _.-]+\(?(?:{_CHANGED}|{_COPY})(?:[ _-]?v?\d+)?\)?$| ?\(\d+\)$"
)
"""What people and file managers write around the name of a file that they have changed or copied."""
_OURS = {"metrics", "metrics_readers", "followup"}
"""What other files of an output folder are called."""
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
"""No file can be called so in Windows, whatever it ends with."""


def case_name(parts: Sequence[str]) -> str:
    """Return the name of what is known by these folders and this last name, which has lost its ending.

    They are joined by _, in Unicode's composed form (NFC). Where a file can't be called so (more than LONGEST bytes,
    signs that no screen shows, bytes that are no UTF-8, a dot or blank at the start, a name of a device), what can be
    kept of it is, and ~ with 8 digits of a hash of the whole stands behind it. A channel's number (_0000) stays last.
    The name of a name is that name.

    >>> case_name(("anna", "T2")), case_name(("con",))
    ('anna_T2', 'con~1143da2b')
    """
    whole = unicodedata.normalize("NFC", "_".join(parts))
    base, channel = split_channel(whole)
    able = "".join(letter if letter.isprintable() else "_" for letter in base).lstrip(". ") or "scan"
    if able == base and len(able.encode()) <= LONGEST and not _is_taken(able):
        return whole
    return _marked(able, unicodedata.normalize("NFC", "/".join(parts)).removesuffix(channel)) + channel


def split_channel(name: str) -> tuple[str, str]:
    """Split a name into what stands before its channel's number, and the number as it stands (_0000), or nothing.

    >>> split_channel("anna_0001"), split_channel("anna")
    (('anna', '_0001'), ('anna', ''))
    """
    found = _CHANNEL.fullmatch(name)
    return (found[1], f"_{found[2]}") if found else (name, "")


def plain(name: str) -> str:
    """Return a name without the mark that tells it apart."""
    return _MARK.sub("", name)


def key(name: str) -> str:
    """Return a key that is equal for names that some file systems take for one: they differ in capitals or in the form
    of accents alone.

    >>> key("Zoë") == key("ZOË")
    True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def distinct(names: Sequence[str], sources: Sequence[str]) -> list[str]:
    """Return the same names, but for those that a file system could take for one: each of these is marked by its
    source.

    Args:
        names: as `case_name` gives them.
        sources: what each stands for; all different.
    """
    counts = Counter(map(key, names))
    digits = _DIGITS
    while True:
        made = [
            name if counts[key(name)] == 1 else _with_mark(name, source, digits)
            for name, source in zip(names, sources, strict=True)
        ]
        if len(set(map(key, made))) == len(made) or digits > 64:
            return made
        digits *= 2  # another is called like a mark


def is_text(name: object) -> bool:
    """Return whether a file's name is UTF-8."""
    try:
        str(name).encode()
    except UnicodeEncodeError:
        return False
    return True


def spelt_like(name: str, known: Iterable[str]) -> str | None:
    """Return a known name that differs from this one in capitals, accents' form, or the signs between words, if any.

    >>> spelt_like("Anna-01", ["anna_01", "anna_02"]), spelt_like("anna_01", ["anna_01"])
    ('anna_01', None)
    """
    own = _letters(key(name))
    return next((one for one in known if one != name and own and _letters(key(one)) == own), None)


def changed_from(name: str, known: Iterable[str]) -> str | None:
    """Return the known name of which this one is likely to be a corrected or copied file's, if any.

    >>> changed_from("anna_01_corrected", ["anna_01"]), changed_from("Copy of anna_01 (2)", ["anna_01"])
    ('anna_01', 'anna_01')
    >>> changed_from("anna_01_followup", ["anna_01"]) is None
    True
    """
    bare, before = key(name), ""
    while bare != before:
        before, bare = bare, _AROUND.sub("", bare)
    if bare == key(name):
        return None
    return next((one for one in known if key(one) == bare), None) or spelt_like(bare, known)


def close_to(name: str, known: Iterable[str]) -> str | None:
    """Return a known name that differs from this one by a letter, capitals or the signs between words, if any.

    >>> close_to("defualt", ["default", "residual"])
    'default'
    """
    own = _letters(name)
    return next((one for one in known if one != name and _one_letter(own, _letters(one))), None)


def _with_mark(name: str, source: str, digits: int) -> str:
    base, channel = split_channel(name)
    return _marked(base, source.removesuffix(channel), digits) + channel


def _marked(able: str, source: str, digits: int = _DIGITS) -> str:
    sha = hashlib.sha256(os.fsencode(source)).hexdigest()[:digits]
    whole = able.encode()
    room = LONGEST - digits - 1
    if len(whole) > room:
        head, tail = min(_HEAD, room // 2), min(_TAIL, room // 2 - 1)
        able = f"{whole[:head].decode('utf-8', 'ignore')}~{whole[-tail:].decode('utf-8', 'ignore')}" if tail > 0 else ""
    return unicodedata.normalize("NFC", f"{able}~{sha}")


def _is_taken(name: str) -> bool:
    return key(name) in _OURS or key(name).partition(".")[0].rstrip() in _DEVICES


def _letters(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _one_letter(one: str, other: str) -> bool:
    """Return whether two words are equal but for one letter: added, left out, replaced, or exchanged with the next."""
    short, long = sorted((one, other), key=len)
    if len(long) - len(short) > 1 or not short:
        return False
    start = next((n for n, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    if len(short) < len(long):
        return short[start:] == long[start + 1 :]
    rest = short[start:], long[start:]
    return rest[0][1:] == rest[1][1:] or (rest[0][:2] == rest[1][:2][::-1] and rest[0][2:] == rest[1][2:])
