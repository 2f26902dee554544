"""What a command did not use of what it was given: counted, named, and refused with --strict."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar, cast

from vmseg_auto.core.console import counted, listed, shown
from vmseg_auto.core.errors import DatasetError, InputError, SomeCasesFailedError

P = ParamSpec("P")
T = TypeVar("T")
HIDDEN, DANGLING, LINK, TEXT = "hidden", "a link to what is not there", "a link, not followed", "a text for people"
"""Why a file or folder is passed over."""
SHOWN = 10
"""Names that a screen is given of many."""
_SYSTEMS = ("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin")
"""What Windows, a Mac and file servers leave in folders, and hide."""
_PAPERS = ("readme", "license", "licence", "changelog", "changes", "citation")


def is_hidden(name: str) -> bool:
    """Whether files or folders of this name are hidden, on one system or another."""
    return name.startswith(".") or name.lower() in _SYSTEMS


def unused_by_nature(name: str) -> str | None:
    """Why nobody expects a file of this name to be used; None where somebody may."""
    if is_hidden(name):
        return HIDDEN
    return TEXT if name.lower().startswith(_PAPERS) else None


@dataclass(frozen=True)
class LeftOut:
    """Something of an input that is not used.

    Args:
        what: in one word, such as "file", "case" or "key".
        where: the path or name by which it is known.
        why: why it is not used; stands behind "2 files, ".
        meant: it is so by the user's own word, or by nature (hidden, a README): --strict does not mind it.
    """

    what: str
    where: str
    why: str
    meant: bool = False


class Inventory:
    """What is left out of the inputs of one command.

    Args:
        strict: whether that is to end the command before it begins its work.
    """

    def __init__(self, strict: bool = False) -> None:
        self.strict = strict
        self._found: dict[LeftOut, None] = {}

    def add(self, what: str, where: object, why: str, meant: bool = False) -> None:
        """Note one thing; the same is noted once."""
        self._found[LeftOut(what, shown(where, lines=False), why, meant)] = None

    def add_file(self, name: str, where: object, why: str) -> None:
        """Note a file of this name, which is not used for this reason, or for what its name tells."""
        by_nature = unused_by_nature(name)
        self.add("file", where, by_nature or why, meant=by_nature is not None)

    def add_all(self, found: Iterable[LeftOut]) -> None:
        self._found.update(dict.fromkeys(found))

    @property
    def found(self) -> tuple[LeftOut, ...]:
        """In the order in which it was found."""
        return tuple(self._found)

    @property
    def unwanted(self) -> list[LeftOut]:
        """All but what is left out by the user's own word, or by nature."""
        return [one for one in self._found if not one.meant]

    def require_nothing(self) -> None:
        """Called when all inputs are looked at, and before any work.

        Raises:
            DatasetError: something is left out, and that is not wanted; everything is listed.
        """
        if self.strict and (unwanted := self.unwanted):
            self._found.clear()  # the error tells of them
            errors = [InputError(f"{counted(len(n), w)}, {y}: {listed(n, 50)}") for w, y, n in _groups(unwanted)]
            raise DatasetError(
                "--strict: not all of the input would be used, and nothing is done",
                errors,
                remedy="Mend, move or remove what is named, or leave out --strict.",
            )

    def text(self, most: int = SHOWN) -> str:
        """What is left out, a line for each reason with so many names at most; empty where nothing is."""
        if not self._found:
            return ""
        groups = _groups(self._found)
        lines = [f"  - {counted(len(names), what)}, {why}: {listed(names, most)}" for what, why, names in groups]
        return "\n".join([f"Not used of what was given: {counted(len(self._found), 'thing')}.", *lines])

    @property
    def whole_text(self) -> str:
        """The same with all names."""
        return self.text(len(self._found))


class LeftOutWarning(UserWarning):
    """Tells a caller of the Python API what was not used, where the call was given no Inventory."""


def telling_left_out(work: Callable[P, T]) -> Callable[P, T]:
    """A function with a `left`: a caller who passes none is told by a LeftOutWarning when it has done its work."""

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


def _groups(found: Iterable[LeftOut]) -> Iterator[tuple[str, str, list[str]]]:
    """What, why and the names of all that is alike."""
    groups: dict[tuple[str, str], list[str]] = {}
    for one in found:
        groups.setdefault((one.what, one.why), []).append(one.where)
    for (what, why), names in groups.items():
        yield what, why, names
