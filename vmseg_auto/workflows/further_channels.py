"""Further channels of a dataset that is being made: whose scan is whose, and each laid onto the first channel's grid.

Masks are drawn on the first channel; so it is resampled nowhere, and no case can lack it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.cases import read_case
from vmseg_auto.data.dicom.series import Choice
from vmseg_auto.data.pairing import pair_scans
from vmseg_auto.followup.alignment import align_scans
from vmseg_auto.followup.rigid import RigidTransform, local_ncc, resample
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.folders import is_same
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.utils.text import listed
from vmseg_auto.workflows.pairs import NamedScan, Pair, find_named_scans

LEAST_NCC = 0.25
"""The local NCC from which scans of two sequences count as one patient's: 28 phantoms with a second contrast reach 0.34
to 0.47, with another phantom's in its place 0.22 at most (`python -m benchmarks.channels`)."""
LEAST_GAIN = 0.05
"""By how much the local NCC has to exceed that of the mirror image: outlines are alike on both sides, and of two
people, but not details."""
LEAST_COVERED = 0.5
"""Share of the first channel's field of view that another one has to show."""


@dataclass(frozen=True)
class Channel:
    """A further channel: what it is called, and the folder of its scans."""

    name: str
    folder: Path


@dataclass(frozen=True)
class Fit:
    """A scan of a further channel on the first one's grid.

    Args:
        image: [Z, Y, X]; its lowest value where the scan holds nothing.
        before: the same by the scanner's coordinates, NaN where it holds nothing.
        figures: of registration/CASE.json.
    """

    image: NDArray[np.float32]
    before: NDArray[np.float32]
    figures: dict[str, str | float]


def parse_channels(texts: Sequence[str]) -> tuple[str | None, tuple[Channel, ...]]:
    """Read `--channel NAME` and then `--channel NAME=FOLDER`, as often as wanted: the first name, and further channels.

    Raises:
        InputError: a name is missing or stands twice, or a folder is missing or too many.
    """
    if not texts:
        return None, ()
    first, *others = (text.partition("=") for text in texts)
    if first[1]:
        remedy = f"Write --channel {first[0] or 'T2'}, and the folder as -i."
        raise InputError("the scans of the first channel are those of -i", remedy=remedy)
    for name, sign, folder in others:
        if not (sign and folder.strip() and name.strip()):
            remedy = f"Write --channel {name.strip() or 'T1'}=FOLDER; its scans are called as those of -i."
            raise InputError(f"the further channel {name!r} needs a name and the folder of its scans", remedy=remedy)
    names = [text[0].strip() for text in (first, *others)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"the channel {listed(twice)} is named twice", remedy="Give each channel a name of its own.")
    return names[0], tuple(Channel(name.strip(), Path(folder)) for name, _, folder in others)


def with_further(
    pairs: Sequence[Pair],
    channels: Sequence[Channel],
    images: Path,
    apart: tuple[Path, ...],
    notes: list[str],
    left: Inventory,
) -> tuple[list[Pair], list[VmsegError]]:
    """Add to each pair its scans of the further channels, found by their names; gives the errors of others.

    Args:
        pairs: of scans of the first channel and masks.
        channels: in order.
        images: the folder of the first channel's scans.
        apart: what is no scan, wherever it lies: the folder of the masks, the dataset, and its key.
        notes: what was found is appended here, in words.
        left: what of the channels' folders is not used is noted here.

    Raises:
        InputError: a channel's folder is missing or holds no scan, or lies in the first channel's or around it.
    """
    masks, *made = apart
    errors: list[VmsegError] = []
    for channel in channels:
        _require_folder(channel, images)
        scans = find_named_scans(channel.folder, masks, made, Choice(), notes, left)
        places = pair_scans([scan.names for scan in scans], [one.scan.names for one in pairs])
        for scan in (scan for scan, place in zip(scans, places, strict=True) if place is None):
            left.add("scan", scan.title, f"of {channel.name}, whose name is not that of one image with a mask")
        own = [[scan for scan, found in zip(scans, places, strict=True) if found == n] for n in range(len(pairs))]
        for pair, several in ((pair, found) for pair, found in zip(pairs, own, strict=True) if len(found) > 1):
            titles = listed([scan.title for scan in several])
            problem = f"{pair.scan.title} is left out: {len(several)} scans of {channel.name} belong to it: {titles}"
            errors.append(InputError(problem, file=channel.folder, remedy="Keep only the one that is wanted there."))
        pairs = [
            replace(pair, further=(*pair.further, *(found or (None,))))
            for pair, found in zip(pairs, own, strict=True)
            if len(found) < 2
        ]
    return list(pairs), errors


def fitted(
    first: NDArray[np.float32], grid: Geometry, scan: NamedScan, channel: str, case: str, notes: list[str]
) -> Fit:
    """Bring a scan of a further channel onto the grid of the first, by a rigid registration.

    Args:
        first: [Z, Y, X] on `grid`.
        scan: of the other channel.
        channel: what that is called.
        case: the pseudonym.
        notes: what is odd but legal is appended here, in words.

    Raises:
        InputError: the scan can't be read, or does not fit.
    """
    image, _, own = read_case(scan.case, notes=notes)
    (other,) = image
    alignment = align_scans(first, grid, other, own, LEAST_NCC)
    problems = list(alignment.problems)
    before = resample(other, own, grid, RigidTransform(), np.nan)
    after = resample(other, own, grid, alignment.transform or RigidTransform(), np.nan)
    covered = float(np.isfinite(after).mean())
    if not problems and covered < LEAST_COVERED:
        problems.append(f"it shows only {covered:.0%} of the first channel's field of view")
    if not problems and alignment.local_ncc < alignment.mirrored + LEAST_GAIN:
        problems.append(
            f"it fits hardly better than its mirror image (local NCC {alignment.local_ncc:.2f} against "
            f"{alignment.mirrored:.2f}), so that details do not agree: another patient, or a damaged scan"
        )
    if problems:
        raise InputError(
            f"the scan of {channel} does not fit on that of the first channel: {'; '.join(problems)}",
            file=scan.case.file,
            remedy="Look at both. Put the right scan there, or take it away, so that the case lacks the channel.",
        )
    if covered < 1 - 1e-3:
        notes.append(f"{case}: {channel} shows {covered:.0%} of the first channel's field of view; beyond it is dark")
    figures: dict[str, str | float] = {
        "channel": channel,
        "shift_mm": round(alignment.shift_mm, 2),
        "degrees": round(alignment.degrees, 2),
        "local_ncc_before": round(local_ncc(first, before, grid.spacing_mm), 3),
        "local_ncc": round(alignment.local_ncc, 3),
        "covered": round(covered, 3),
    }
    return Fit(np.where(np.isfinite(after), after, other.min()).astype(np.float32), before, figures)


def draw_fits(first: NDArray[np.float32], grid: Geometry, fits: Sequence[Fit], path: Path, case: str) -> None:
    """Draw the first channel with each other one before and after it was registered, into a PNG."""
    from vmseg_auto.figures.registered import Registered, draw_registered  # loads matplotlib

    pictures = [
        Registered(
            f"{fit.figures['channel']}",
            fit.before,
            fit.image,
            f"moved by {fit.figures['shift_mm']:.1f} mm and {fit.figures['degrees']:.1f} degrees",
        )
        for fit in fits
    ]
    draw_registered(first, grid, pictures, path, case)


def _require_folder(channel: Channel, images: Path) -> None:
    if not channel.folder.is_dir():
        problem = f"there is no such folder of the channel {channel.name}"
        raise InputError(problem, file=channel.folder, remedy="Check the name.")
    own, first = channel.folder.resolve(), images.resolve()
    if is_same(own, first) or own.is_relative_to(first) or first.is_relative_to(own):
        raise InputError(
            f"the folder of the channel {channel.name} and that of -i lie within one another, so that scans of one "
            "would be taken for the other's",
            file=channel.folder,
            remedy="Put the scans of each channel into a folder of their own.",
        )
