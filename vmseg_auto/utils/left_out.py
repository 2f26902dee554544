"""What a command did not use of what it was given: counted, named, and refused with --strict."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

from vmseg_auto.utils.console import shown
from vmseg_auto.utils.errors import DatasetError, InputError, SomeCasesFailedError
from vmseg_auto.utils.text import counted, listed

P = ParamSpec("P")
T = TypeVar("T")
HIDDEN, DANGLING, LINK, TEXT = "hidden", "a link to what is not there", "a link, not followed", "a text for people"
"""Why a file or folder is passed over."""
SHOWN, _LISTED = 10, 50
"""Names that a screen is given of many, at a command's end and in an error."""
_SYSTEMS = ("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin")
"""What Windows, a Mac and file servers leave in folders, and hide."""
_PAPERS = ("readme", "license", "licence", "changelog", "changes", "citation")


def is_hidden(name: str) -> bool:
    """Return whether files or folders of this name are hidden, on one system or another.

    >>> is_hidden(".DS_Store"), is_hidden("anna.nii.gz")
    (True, False)
    """
    return name.startswith(".") or name.lower() in _SYSTEMS


def unused_by_nature(name: str) -> str | None:
    """Return why nobody expects a file of this name to be used; None where somebody may."""
    if is_hidden(name):
        return HIDDEN
    return TEXT if name.lower().startswith(_PAPERS) else None


@dataclass(frozen=True)
class LeftOut:
    """Something of an input that is not used.

    Args:
        what: in one word, such as "file", "case" or "key".
        where: the name by which it is known, or its path within `folder`.
        why: why it is not used; stands behind "2 files, ".
        meant: it is so by the user's own word, or by nature (hidden, a README): --strict does not mind it.
        folder: in which it lies.
        shown: the command shows it while it works: it is not told again at the end.
    """

    what: str
    where: str
    why: str
    meant: bool = False
    folder: str = ""
    shown: bool = False

    @property
    def key(self) -> tuple[str, ...]:
        """What is the same has the same: a file has one reason, a name may have several."""
        return (self.what, os.path.join(self.folder, self.where)) if self.folder else (self.what, self.where, self.why)


class Inventory:
    """What is left out of the inputs of one command.

    Args:
        strict: whether that is to end the command before it begins its work.
    """

    def __init__(self, strict: bool = False) -> None:
        self.strict = strict
        self._found: dict[tuple[str, ...], LeftOut] = {}

    def add(
        self, what: str, where: object, why: str, meant: bool = False, folder: Path | None = None, told: bool = False
    ) -> None:
        """Note one thing, and whether the command shows it while it works; the same is noted once."""
        name = where.relative_to(folder) if isinstance(where, Path) and folder and where != folder else where
        place = shown(folder, lines=False) if folder else ""
        self.add_all([LeftOut(what, shown(name, lines=False), why, meant, place, told)])

    def add_file(self, path: Path, folder: Path, why: str) -> None:
        """Note a file that is not used for this reason, or for what its name tells."""
        by_nature = unused_by_nature(path.name)
        self.add("file", path, by_nature or why, meant=by_nature is not None, folder=folder)

    def add_all(self, found: Iterable[LeftOut]) -> None:
        for one in found:
            if one.shown:
                self._found[one.key] = one
            else:
                self._found.setdefault(one.key, one)

    @property
    def found(self) -> tuple[LeftOut, ...]:
        """In the order in which it was found."""
        return tuple(self._found.values())

    def not_shown(self) -> Inventory:
        """Return what is to be told at the end of a command that has shown the rest."""
        others = Inventory(self.strict)
        others.add_all(one for one in self.found if not one.shown)
        return others

    @property
    def unwanted(self) -> list[LeftOut]:
        """All but what is left out by the user's own word, or by nature."""
        return [one for one in self.found if not one.meant]

    def require_nothing(self) -> None:
        """Refuse with --strict what is left out: called when all inputs are looked at, and before any work.

        Raises:
            DatasetError: something is left out, and that is not wanted; everything is listed.
        """
        if self.strict and (unwanted := self.unwanted):
            self._found.clear()  # the error tells of them
            errors = [InputError(line) for line in _lines(unwanted, _LISTED)]
            raise DatasetError(
                "--strict: not all of the input would be used, and nothing is done",
                errors,
                remedy="Mend, move or remove what is named, or leave out --strict.",
            )

    def text(self, most: int = SHOWN) -> str:
        """List what is left out, a line for each reason with so many names at most; empty where nothing is.

        What nobody minds comes last.
        """
        if not self._found:
            return ""
        lines = [f"  - {line}" for line in _lines(sorted(self.found, key=lambda one: one.meant), most)]
        return "\n".join([f"Not used of what was given: {counted(len(self._found), 'thing')}.", *lines])

    @property
    def whole_text(self) -> str:
        """The same with all names."""
        return self.text(len(self._found))


class LeftOutWarning(UserWarning):
    """Tells a caller of the Python API what was not used, where the call was given no Inventory."""


def telling_left_out(work: Callable[P, T]) -> Callable[P, T]:
    """Wrap a function with a `left`: a caller who passes none gets a LeftOutWarning when its work is done."""

    @wraps(work)
    def telling(*args: P.args, **options: P.kwargs) -> T:
        if options.get("left") is not None:
            return work(*args, **options)
        own = Inventory()
        try:
            result = cast(Callable[..., T], work)(*args, **{**options, "left": own})
        except SomeCasesFailedError:
            _warn(own)
            raise
        _warn(own)
        return result

    return telling


def _warn(left: Inventory) -> None:
    if left.unwanted:
        warnings.warn(left.text(), LeftOutWarning, stacklevel=3)


def _lines(found: Iterable[LeftOut], most: int) -> Iterator[str]:
    """Yield one line for all that is alike, with so many names at most."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for one in found:
        groups.setdefault((one.what, one.folder, one.why), []).append(one.where)
    for (what, folder, why), names in groups.items():
        place = f" in {folder}" if folder else ""
        yield f"{counted(len(names), what)}{place}, {why}: {listed(names, most)}"
