"""Two scans of one patient with their masks -> what has become of the lesions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.evaluation.volumetry import measure
from vmseg_auto.figures.overlays import Compared, draw_followup
from vmseg_auto.followup.alignment import align_scans
from vmseg_auto.followup.comparability import OtherSlices, doubts, other_slices
from vmseg_auto.followup.matching import Match, match_lesions
from vmseg_auto.followup.records import Alignment, FollowUp, LesionChange
from vmseg_auto.followup.response import Change, Volume
from vmseg_auto.followup.rigid import RigidTransform, in_view, mapped, resample
from vmseg_auto.preprocessing.duplicates import same_scan
from vmseg_auto.utils.components import Components
from vmseg_auto.utils.geometry import Geometry, spacing_in_words
from vmseg_auto.utils.label_masks import mask_of

LesionsByLabel = dict[str, tuple[Components, Components]]
"""Label -> its lesions before and after."""


@dataclass(frozen=True)
class Visit:
    """One of the two times.

    Args:
        name: of the scan.
        image: its first channel (Z, Y, X).
        mask: label values (Z, Y, X).
        geometry: of both.
        volumes: label -> its volume with the interval, where that is known.
    """

    name: str
    image: NDArray[np.float32]
    mask: NDArray[np.uint8]
    geometry: Geometry
    volumes: Mapping[str, Volume]


def compare(case: str, before: Visit, after: Visit, labels: Mapping[str, int], picture: Path) -> FollowUp:
    """Compare volumes, align the scans, match the lesions and draw both times side by side.

    Args:
        case: what the pair is called.
        before, after: the two times.
        labels: name -> value; background (0) is left out.
        picture: a PNG; it is written only where the scans could be aligned.

    Raises:
        VmsegError: the picture can't be written.
    """
    sides = lesions_of(before, after, labels)
    slices = other_slices(before.geometry, after.geometry)
    factors = {name: _by_slices(slices, *pair) for name, pair in sides.items()} if slices else {}
    changes = {
        name: Change.between(before.volumes[name], after.volumes[name], factors.get(name, 1.0)) for name in sides
    }
    alignment = align(before, after)
    doubted = doubts(
        alignment,
        same_scan(before.image, before.geometry, after.image, after.geometry),
        bool(before.mask.any()) and np.array_equal(before.mask, after.mask),
    )
    if doubted:
        changes = {name: change.uncalled for name, change in changes.items()}
    notes = [
        f"{one.name}: its file tells no voxel size; {spacing_in_words(one.geometry.spacing_mm)} was given by hand, and "
        "all volumes depend on it."
        for one in (before, after)
        if one.geometry.spacing_given
    ]
    if slices:
        notes.append(slices.text({name: factor for name, factor in factors.items() if factor > 1}))
    transform = alignment.transform
    if alignment.problems or transform is None:
        return FollowUp(case, before.name, after.name, changes, alignment, (), tuple(notes), doubted)
    matches, lesions = matched(sides, transform)
    notes += _beyond_view(sides, before.geometry, after.geometry, transform)
    told = FollowUp(case, before.name, after.name, changes, alignment, lesions, tuple(notes), doubted)
    drawn = _compared(before, after, sides, matches, transform)
    draw_followup(drawn, before.geometry, picture, case, told.headlines())
    return told


def lesions_of(before: Visit, after: Visit, labels: Mapping[str, int]) -> LesionsByLabel:
    """Return label -> its lesions at both times; background (0) is left out."""
    return {
        name: (
            Components.of(mask_of(before.mask, labels, name), before.geometry),
            Components.of(mask_of(after.mask, labels, name), after.geometry),
        )
        for name, value in labels.items()
        if value
    }


def matched(
    sides: LesionsByLabel, transform: RigidTransform
) -> tuple[dict[str, list[Match]], tuple[LesionChange, ...]]:
    """Match the lesions of both times, brought together by this transform; gives label -> matches, and what has become
    of each lesion.
    """
    matches = {name: match_lesions(first, second, transform) for name, (first, second) in sides.items()}
    return matches, tuple(lesion for name, found in matches.items() for lesion in _lesions(name, found, *sides[name]))


def align(before: Visit, after: Visit) -> Alignment:
    """Bring the second scan onto the first, and judge whether that can be relied on."""
    return align_scans(before.image, before.geometry, after.image, after.geometry)


def _by_slices(slices: OtherSlices, first: Components, second: Components) -> float:
    """Return the factor by which a label's volume may move because the slices differ; 1 where it is nowhere.

    Where a lesion begins and ends within its first and last slice, nobody sees: over its whole area the volume may be
    off by half a slice in each scan.
    """
    shares = []
    for side in (first, second):
        columns = np.count_nonzero((side.numbered > 0).any(axis=side.geometry.patient_axes.index(slices.axis)))
        if not columns:
            return 1.0
        shares.append(columns / (2 * len(side.places[0])))
    return 1 + math.hypot(*shares)


def _lesions(label: str, matches: Sequence[Match], first: Components, second: Components) -> Iterator[LesionChange]:
    """Yield what has become of each lesion of a label."""
    before_mm, after_mm = _diameters_mm(first), _diameters_mm(second)
    for match in matches:
        before, after = first.volume_ml(match.before), second.volume_ml(match.after)
        seen = match.before and match.fate != "out of view"
        yield LesionChange(
            label,
            match.fate,
            match.before,
            match.after,
            before,
            after,
            100 * (after / before - 1) if seen else None,
            tuple(before_mm[number] for number in match.before),
            tuple(after_mm[number] for number in match.after),
            tuple(first.volume_ml((number,)) for number in match.before),
        )


def _diameters_mm(lesions: Components) -> dict[int, float]:
    """Return the longest axial diameter of each lesion, by its number."""
    found = {}
    for piece in measure(lesions.numbered > 0, lesions.geometry)[1]:
        inside = tuple(slice(start, stop) for start, stop in piece.lesion.box)
        number = int(lesions.numbered[inside][piece.lesion.mask][0])
        found[number] = piece.size.axial_diameter_mm or 0.0
    return found


def _beyond_view(sides: LesionsByLabel, before: Geometry, after: Geometry, transform: RigidTransform) -> list[str]:
    """Describe how much of the lesions lies outside the other scan's field of view."""
    found = []
    for name, pair in sides.items():
        for side, other, how, which in (
            (pair[0], after, transform, "first"),
            (pair[1], before, transform.inverse, "second"),
        ):
            places, _ = side.places
            outside = 1 - float(in_view(mapped(places, side.geometry, other, how), other).mean()) if len(places) else 0
            if outside >= 0.01:
                found.append(
                    f"{outside:.0%} of the {which} scan's {name} lies outside the other scan: the volumes are not of "
                    "the same tissue."
                )
    return found


def _compared(
    before: Visit, after: Visit, sides: LesionsByLabel, matches: Mapping[str, list[Match]], transform: RigidTransform
) -> Compared:
    """Bring both times to the first scan's grid."""

    def there(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        share = resample(mask.astype(np.float32), after.geometry, before.geometry, transform, 0.0)
        return share > 0.5

    shown = []
    for name, found in matches.items():
        first, second = sides[name]
        for match in found:
            volumes = first.volume_ml(match.before), second.volume_ml(match.after)
            shown.append((max(volumes), name, match, volumes))
    shown.sort(key=lambda one: -one[0])
    outlines = (before.mask > 0, there(after.mask > 0))
    moved = resample(after.image, after.geometry, before.geometry, transform, float("nan"))
    rows = []
    for _, name, match, volumes in shown[: Compared.MOST]:
        first, second = sides[name]
        place = np.isin(first.numbered, match.before) | there(np.isin(second.numbered, match.after))
        rows.append((f"{name}, {match.fate}: {volumes[0]:.2f} -> {volumes[1]:.2f} mL", place))
    return Compared(before.image, moved, outlines, tuple(rows))
