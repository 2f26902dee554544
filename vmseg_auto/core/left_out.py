"""What a command did not use of what it was given: counted, named, and refused with --strict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vmseg_auto.core.console import counted, listed, shown
from vmseg_auto.core.errors import DatasetError, InputError

HIDDEN, DANGLING = "hidden", "a link to what is not there"
"""Why a file is passed over."""


@dataclass(frozen=True)
class LeftOut:
    """Something of an input that is not used.

    Args:
        what: in one word, such as "file", "case" or "key".
        where: the path or name by which it is known.
        why: why it is not used; stands behind "2 files, ".
        meant: it is so by the user's own word, or hidden: --strict does not mind it.
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

    def add_all(self, found: Iterable[LeftOut]) -> None:
        self._found.update(dict.fromkeys(found))

    @property
    def found(self) -> tuple[LeftOut, ...]:
        """In the order in which it was found."""
        return tuple(self._found)

    @property
    def unwanted(self) -> list[LeftOut]:
        """All but what is left out by the user's own word, or hidden."""
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

    def text(self) -> str:
        """What is left out, a line for each reason; empty where nothing is."""
        if not self._found:
            return ""
        lines = [
            f"  - {counted(len(names), what)}, {why}: {listed(names)}" for what, why, names in _groups(self._found)
        ]
        return "\n".join([f"Not used of what was given: {counted(len(self._found), 'thing')}.", *lines])


def _groups(found: Iterable[LeftOut]) -> Iterator[tuple[str, str, list[str]]]:
    """What, why and the names of all that is alike."""
    groups: dict[tuple[str, str], list[str]] = {}
    for one in found:
        groups.setdefault((one.what, one.why), []).append(one.where)
    for (what, why), names in groups.items():
        yield what, why, names
