"""What installed packages bring by entry points: loaded in one way, with one sentence where it is broken."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any, TypeVar

from vmseg_auto.utils.errors import InputError, VmsegError

T = TypeVar("T")


def load_entry(entry: EntryPoint, kind: str) -> Any:
    """Return what an entry point names; an instance, where it names a class.

    Args:
        kind: what it is to be, such as "metric", for messages.

    Raises:
        InputError: the package raises an error when it is loaded. Errors of this program's own kinds pass.
    """
    try:
        made = entry.load()
        return made() if isinstance(made, type) else made
    except VmsegError:
        raise
    except (Exception, SystemExit) as error:  # what a package of somebody else's raises is not known
        brings = package_of(entry)
        problem = f"the {kind} {entry.name} of {brings} can't be loaded ({type(error).__name__}: {error})"
        raise InputError(problem, remedy=f"Repair or remove {brings}.") from error


def load_entry_as(entry: EntryPoint, wanted: type[T], kind: str, page: str) -> T:
    """Return what an entry point names, or an instance of it, where that is of a wanted type.

    Args:
        page: of the documentation, which tells how one is made.

    Raises:
        InputError: it can't be loaded, or is of another type.
    """
    made = load_entry(entry, kind)
    if not isinstance(made, wanted):
        problem = f"the {kind} {entry.name} of {package_of(entry)} is none: {entry.value} is no {wanted.__name__}"
        raise InputError(problem, remedy=f"See {page}.")
    return made


def package_of(entry: EntryPoint) -> str:
    """Return the name of the package that brings an entry point, in words."""
    return f"the package {entry.dist.name}" if entry.dist else "a package"
