"""Packages that only some need: the extras of setup.cfg."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vmseg_auto.utils.errors import InputError


@contextmanager
def extra(name: str, purpose: str) -> Iterator[None]:
    """Refuse, around imports of an extra's packages, what is not installed: the error says how to install it.

    Args:
        name: of the extra.
        purpose: what they are for, as the beginning of a sentence.

    Raises:
        InputError: one is not installed; how to install it is said.
    """
    try:
        yield
    except ImportError as error:
        raise InputError(
            f"{purpose} needs a package that is not installed ({error.name or error})",
            remedy=f'Run `python -m pip install "vmseg_auto[{name}]"`.',
        ) from error
