"""Masks corrected by hand that new ones take the place of: kept in a folder that no command reads."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

from vmseg_auto.data.workspace import OutputFolder
from vmseg_auto.utils.atomic import unwritable


def places_aside(folder: Path, masks: Sequence[Path]) -> dict[Path, Path]:
    """Return where masks of a folder are to go: a free name for each in its folder `replaced`."""
    aside: dict[Path, Path] = {}
    for path in masks:
        names = (path.name if number == 1 else f"{number}_{path.name}" for number in count(1))
        places = (OutputFolder(folder).replaced / name for name in names)
        aside[path] = next(place for place in places if not os.path.lexists(place) and place not in aside.values())
    return aside


def set_aside(aside: Mapping[Path, Path]) -> None:
    """Move masks to the places that `places_aside` gave.

    Raises:
        VmsegError: one can't be moved.
    """
    for path, place in aside.items():
        try:
            place.parent.mkdir(exist_ok=True)
            os.rename(path, place)
        except OSError as error:
            raise unwritable(place, error) from error
