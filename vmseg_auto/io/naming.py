"""How scans are named: CASE_0000.nii.gz, or the series CASE_0000, is channel 0 of CASE; CASE.nii.gz is its mask."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from vmseg_auto.core.errors import InputError, VmsegError
from vmseg_auto.core.series import Scan, Series, path_of
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


def stem(scan: Scan) -> str:
    """A file's name without its image ending, or a series' name."""
    return scan.name if isinstance(scan, Series) else scan.name.removesuffix(_ending(scan))


def case_and_channel(scan: Scan, channels: int) -> tuple[str, int | None]:
    """The case that a scan belongs to, and its channel; None where the name tells none of several.

    A `_0000`-like suffix is a channel only if its number is below the number of channels: with one channel,
    scan_2019.nii.gz is the case scan_2019.
    """
    found = _CHANNEL.fullmatch(stem(scan))
    if found and int(found[2]) < channels:
        return found[1], int(found[2])
    return stem(scan), 0 if channels == 1 else None


def group_scans(
    scans: Iterable[Scan], channels: Sequence[str], errors: list[VmsegError]
) -> dict[str, tuple[Scan, ...]]:
    """Case id -> a scan for each channel, sorted by id; cases that are not whole go to `errors` instead."""
    found: dict[str, dict[int, Scan]] = {}
    bad: set[str] = set()
    for scan in scans:
        case, channel = case_and_channel(scan, len(channels))
        if channel is None:
            problem = f"its name does not tell which of the {len(channels)} channels ({', '.join(channels)}) it is"
            remedy = f"Name it {case}_0000{_ending(scan)} for {channels[0]}, and so on."
            errors.append(InputError(problem, case=case, file=path_of(scan), remedy=remedy))
            bad.add(case)
        elif channel in (known := found.setdefault(case, {})):
            problem = f"{path_of(known[channel]).name} is the same case and channel"
            errors.append(InputError(problem, case=case, file=path_of(scan), remedy="Rename or remove one of them."))
            bad.add(case)
        else:
            known[channel] = scan
    for case in sorted(set(found) - bad):
        for channel in sorted(set(range(len(channels))) - set(found[case])):
            there = next(iter(found[case].values()))
            expected = path_of(there).with_name(f"{case}_{channel:04d}{_ending(there)}")
            problem = f"channel {channel} ({channels[channel]}) is missing"
            errors.append(InputError(problem, case=case, file=expected, remedy="Add it, or remove the case."))
            bad.add(case)
    return {case: tuple(found[case][channel] for channel in range(len(channels))) for case in sorted(set(found) - bad)}


def endings_in_words(ending: str | None = None) -> str:
    """The endings that are looked for, for a message."""
    return ending or ", ".join(FILE_ENDINGS)


def _ending(scan: Scan) -> str:
    """Of a file; a series has none."""
    return "" if isinstance(scan, Series) else ending_of(scan.name) or ""
