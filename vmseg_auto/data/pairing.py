"""Which mask belongs to which image: by their names first, and only where their grids share voxels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vmseg_auto.data.grids import Placement, placement
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry

Names = tuple[str, ...]
"""The folders that a file lies in, below the folder that was given, and its own name without its ending."""


@dataclass(frozen=True)
class Item:
    """An image or a mask, as it is paired.

    Args:
        title: as it is shown.
        names: by which it is known.
        geometry: its grid.
    """

    title: str
    names: Names
    geometry: Geometry


@dataclass(frozen=True)
class Match:
    """What was found for a mask.

    Args:
        image: its place in the list of images; None where none was found.
        where: how the mask lies on the image's grid.
        by_name: whether names agree, not the grids alone.
        problem: what is wrong, where no image is given.
        several: whether that is because several images fit alike.
    """

    image: int | None = None
    where: Placement | None = None
    by_name: bool = False
    problem: str | None = None
    several: bool = False


def pair(masks: Sequence[Item], images: Sequence[Item]) -> list[Match]:
    """Find each mask's image.

    Names agree where a folder or file of both is called the same, or where one begins with the other followed by a
    sign that is neither letter nor digit (anna and anna_seg). Of several images the one counts that agrees in most
    letters, and of equal ones those that the mask lies on. Where no name agrees, it is the only image that the mask
    lies on, if no other mask has that one by name. What all images are called counts for none.

    Returns:
        A match for each mask, in their order. No image is given to two masks.
    """
    common = _common(images)
    known = [_keys(image.names) - common for image in images]
    found = [_by_name(mask, images, known) for mask in masks]
    taken = {match.image for match in found if match is not None}
    free = [number for number in range(len(images)) if number not in taken]
    matches = [
        match if match is not None else _by_grid(mask, images, free) for mask, match in zip(masks, found, strict=True)
    ]
    claims = Counter(match.image for match in matches if match.image is not None)
    return [
        match
        if match.image is None or claims[match.image] == 1
        else replace(match, image=None, problem=f"{claims[match.image]} masks belong to this image: keep or merge one")
        for match in matches
    ]


def pair_scans(scans: Sequence[Names], images: Sequence[Names]) -> list[int | None]:
    """Find for each scan of another sequence the image of the same patient and visit, by names alone.

    Returns:
        For each scan the place of the image that its names agree with most; None where no name agrees, or several
        images agree alike.
    """
    common = set[str].intersection(*map(_keys, images)) if len(images) > 1 else set()
    known = [_keys(image) - common for image in images]
    found: list[int | None] = []
    for scan in scans:
        scores = [_agreement(_keys(scan), keys) for keys in known]
        best = [number for number, score in enumerate(scores) if score == max(scores) > 0]
        found.append(best[0] if len(best) == 1 else None)
    return found


def agreement(mask: Names, image: Names) -> float:
    """Count the letters in which the names agree; equal names count half a letter more than beginnings.

    >>> agreement(("anna",), ("anna",)) > agreement(("anna_mask",), ("anna",))
    True
    """
    return _agreement(_keys(mask), _keys(image))


def _by_name(mask: Item, images: Sequence[Item], known: Sequence[set[str]]) -> Match | None:
    """Return the match that names give; None where they say nothing."""
    scores = [_agreement(_keys(mask.names), keys) for keys in known]
    best = max(scores, default=0.0)
    if best == 0:
        return None
    fitting, reasons = _fitting(mask, images, [n for n, score in enumerate(scores) if score == best])
    if not fitting:
        named, reason = reasons[0]
        return Match(problem=f"named as {images[named].title}, but {reason}")
    if len(fitting) > 1:
        return Match(problem=_several(images, [number for number, _ in fitting]), several=True)
    return Match(*fitting[0], by_name=True)


def _by_grid(mask: Item, images: Sequence[Item], free: Sequence[int]) -> Match:
    fitting, _ = _fitting(mask, images, free)
    if len(fitting) == 1:
        return Match(*fitting[0])
    if fitting:
        return Match(problem=_several(images, [number for number, _ in fitting]), several=True)
    return Match(problem="no image has its name, and none its grid")


def _fitting(
    mask: Item, images: Sequence[Item], numbers: Sequence[int]
) -> tuple[list[tuple[int, Placement]], list[tuple[int, str]]]:
    """Return the images that the mask lies on, and why not on the others."""
    fitting: list[tuple[int, Placement]] = []
    reasons: list[tuple[int, str]] = []
    for number in numbers:
        try:
            where = placement(mask.geometry, images[number].geometry)
        except InputError as error:
            reasons.append((number, error.problem))
            continue
        if where.meets:
            fitting.append((number, where))
        else:
            reasons.append((number, "it lies beside that image"))
    return fitting, reasons


def _several(images: Sequence[Item], numbers: Sequence[int]) -> str:
    shown = ", ".join(images[number].title for number in numbers[:3])
    return (
        f"it could belong to {len(numbers)} images ({shown}{', ...' if len(numbers) > 3 else ''}): name it as its own"
    )


def _common(images: Sequence[Item]) -> set[str]:
    """Return what all of several images are called."""
    return set.intersection(*(_keys(image.names) for image in images)) if len(images) > 1 else set()


def _keys(names: Names) -> set[str]:
    return {name.casefold() for name in names}


def _agreement(mask: set[str], image: set[str]) -> float:
    return sum(max((_shared(own, other) for other in image), default=0.0) for own in mask)


def _shared(one: str, other: str) -> float:
    if one == other:
        return len(one) + 0.5
    short, long = sorted((one, other), key=len)
    return float(len(short)) if short and long.startswith(short) and not long[len(short)].isalnum() else 0.0
