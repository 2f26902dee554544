"""How files are named: CASE_0000.nii.gz is channel 0 of CASE, CASE.nii.gz its mask."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from vmseg_auto.core.errors import InputError, VmsegError
from vmseg_auto.io.images import FILE_ENDINGS, ending_of

_CHANNEL = re.compile(r"(.+)_(\d{4})")


def image_files(folder: Path, ending: str | None = None) -> list[Path]:
    """The image files in a folder, sorted by name; hidden files are passed over.

    Args:
        folder: may be missing, and then holds none.
        ending: the only ending wanted; any of FILE_ENDINGS unless given.
    """
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if (own := ending_of(path.name)) and own == (ending or own) and not path.name.startswith(".") and path.is_file()
    )


def stem(path: Path) -> str:
    """A file's name without its image ending."""
    return path.name.removesuffix(ending_of(path.name) or "")


def case_and_channel(path: Path, channels: int) -> tuple[str, int | None]:
    """The case that a scan's file belongs to, and its channel; None where the name tells none of several.

    A `_0000`-like suffix is a channel only if its number is below the number of channels: with one channel,
    scan_2019.nii.gz is the case scan_2019.
    """
    found = _CHANNEL.fullmatch(stem(path))
    if found and int(found[2]) < channels:
        return found[1], int(found[2])
    return stem(path), 0 if channels == 1 else None


def group_scans(
    files: Iterable[Path], channels: Sequence[str], errors: list[VmsegError]
) -> dict[str, tuple[Path, ...]]:
    """Case id -> a file for each channel, sorted by id; cases that are not whole go to `errors` instead."""
    found: dict[str, dict[int, Path]] = {}
    bad: set[str] = set()
    for path in files:
        case, channel = case_and_channel(path, len(channels))
        if channel is None:
            problem = f"its name does not tell which of the {len(channels)} channels ({', '.join(channels)}) it is"
            remedy = f"Name it {case}_0000{ending_of(path.name)} for {channels[0]}, and so on."
            errors.append(InputError(problem, case=case, file=path, remedy=remedy))
            bad.add(case)
        elif channel in (known := found.setdefault(case, {})):
            problem = f"{known[channel].name} is the same case and channel"
            errors.append(InputError(problem, case=case, file=path, remedy="Rename or remove one of them."))
            bad.add(case)
        else:
            known[channel] = path
    for case in sorted(set(found) - bad):
        for channel in sorted(set(range(len(channels))) - set(found[case])):
            there = next(iter(found[case].values()))
            expected = there.with_name(f"{case}_{channel:04d}{ending_of(there.name)}")
            problem = f"channel {channel} ({channels[channel]}) is missing"
            errors.append(InputError(problem, case=case, file=expected, remedy="Add the file, or remove the case."))
            bad.add(case)
    return {case: tuple(found[case][channel] for channel in range(len(channels))) for case in sorted(set(found) - bad)}


def endings_in_words(ending: str | None = None) -> str:
    """The endings that are looked for, for a message."""
    return ending or ", ".join(FILE_ENDINGS)
