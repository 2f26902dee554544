"""Whether the slices of a series form a volume, and which: from their positions, never from names or numbers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.dicom.series import Series, Slice
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.text import value_range

MIN_SLICES = 3
"""With fewer, no gap can be compared with another."""
_COSINES = 1e-4
_SPACING = 1e-3
"""Relative."""
_VOXEL_SHARE = 0.1
"""Each slice lies within this share of the smallest voxel edge of where the grid puts it."""
_EXPORT = "Export the whole series again, and only that."


def in_slice_order(slices: Iterable[Slice]) -> tuple[Slice, ...]:
    """Sort slices by position along the normal of the slice whose file comes first; equal ones by file and frame."""
    by_name = sorted(slices, key=lambda one: (one.file, one.frame))
    normal = _normal(by_name[0])
    return tuple(sorted(by_name, key=lambda one: round(float(normal @ one.position_mm), 6)))


def stack(series: Series, case: str | None = None) -> Geometry:
    """Return the grid that the slices of a series form, in the order in which they stand in it.

    The first slice gives origin and directions; the distance of the slices is that of their positions, whatever
    SliceThickness says.

    Raises:
        InputError: they form none: its files told so, slices of several examinations, orientations, sizes or
            echoes, doubled or missing slices, uneven gaps, a tilted gantry, or fewer than MIN_SLICES.
    """
    slices = series.slices
    refusal = (
        _refused(series)
        or _unlike(slices)
        or _several_echoes(series)
        or _doubled(slices)
        or _too_few(slices)
        or _uneven(slices)
        or _shifted(slices)
    )
    if refusal:
        problem, remedy = refusal
        raise InputError(problem, case=case, file=series.path, remedy=remedy)
    first = slices[0]
    rows, columns = first.shape
    normal = _normal(first)
    step_mm = float(_along(slices)[-1] / (len(slices) - 1))
    axes = np.stack([_unit(first.along_row), _unit(first.along_column), normal], axis=1)
    return Geometry(
        (len(slices), rows, columns),
        (step_mm, *first.spacing_mm),
        first.position_mm,
        tuple(float(cosine) for cosine in axes.ravel()),  # type: ignore[arg-type]
    )


def without_parts(series: Sequence[Series], notes: list[str]) -> list[Series]:
    """Refuse series that are parts of one: of one number, or one of them no volume by itself.

    Archives and anonymisers at times give the slices of one series two SeriesInstanceUIDs, and one flipped digit makes
    a slice one of another series. Where two whole volumes of different numbers continue each other, as those of a table
    that was moved on, this is but said.

    Args:
        notes: what continues what is appended here, in words.
    """
    problems: dict[int, str] = {}
    for first, second in _candidates(series):
        one, other = series[first], series[second]
        if not is_volume([*one.slices, *other.slices]):
            continue
        small, large = sorted((one, other), key=lambda part: len(part.slices))
        if len(small.slices) == 1:
            stray = f"{small.files[0].name} would continue it, but says that it belongs to another series"
            problems.setdefault(first if one is large else second, stray)
        elif one.acquisition.number == other.acquisition.number or not (
            is_volume(one.slices) and is_volume(other.slices)
        ):
            for number, rest in ((first, other), (second, one)):
                problem = f"{rest.name} would continue it: one series was stored under two SeriesInstanceUIDs"
                problems.setdefault(number, problem)
        else:
            notes.append(
                f"{other.name} continues {one.name}: their slices form one volume. They are taken for two scans; a "
                "lesion at the border is cut in two."
            )
    return [
        replace(one, refusal=one.refusal or problems[number]) if number in problems else one
        for number, one in enumerate(series)
    ]


def _candidates(series: Sequence[Series]) -> Iterator[tuple[int, int]]:
    """Yield pairs of series of one size and orientation: a lone slice and the others, and several of one study."""
    alike: dict[object, list[int]] = defaultdict(list)
    for number, one in enumerate(series):
        if one.slices and one.refusal is None:
            first = one.slices[0]
            cosines = tuple(round(cosine, 2) + 0.0 for cosine in (*first.along_row, *first.along_column))
            alike[first.shape, first.echo_ms, cosines].append(number)
    for numbers in alike.values():
        for pair in combinations(numbers, 2):
            one, other = (series[number] for number in pair)
            lone = sum(len(part.slices) == 1 for part in (one, other))
            if lone == 1 or (lone == 0 and _examined(one) == _examined(other)):
                yield pair


def _examined(series: Series) -> tuple[str, str]:
    return series.slices[0].examination, series.acquisition.study


def is_volume(slices: Sequence[Slice]) -> bool:
    """Return whether these slices, in any order, form a volume."""
    try:
        stack(Series("", Path(), in_slice_order(slices)))
    except InputError:
        return False
    return True


def disagreements(series: Series, geometry: Geometry) -> list[str]:
    """Describe where the headers' thickness or distance of slices differs from the distance of their positions."""
    step_mm = geometry.spacing_mm[0]
    stated = {
        "SliceThickness": {one.thickness_mm for one in series.slices},
        "SpacingBetweenSlices": {one.apart_mm for one in series.slices},
    }
    unlike = [
        f"{name} says {value_range(known)} mm"
        for name, values in stated.items()
        if (known := [value for value in values if value]) and not np.allclose(known, step_mm, rtol=0.01, atol=0)
    ]
    return [f"{', '.join(unlike)}, but the slices lie {step_mm:.4g} mm apart, which counts"] if unlike else []


Refusal = tuple[str, str] | None
"""What is wrong and what to do."""


def _refused(series: Series) -> Refusal:
    if series.refusal is None:
        return None
    return (
        series.refusal,
        "Copy the series again from where it came from, or move the file elsewhere if it is no part of it.",
    )


def _unlike(slices: Sequence[Slice]) -> Refusal:
    """Return why slices can't lie on one grid; None where they can."""
    first = slices[0]
    apart = "Keep the slices of one scan only in the folder, or choose another series."
    if len({one.examination for one in slices}) > 1:
        return "its slices come from different examinations or positions of the patient", apart
    directions = np.array([(*one.along_row, *one.along_column) for one in slices])
    if np.abs(directions - directions[0]).max() > _COSINES:
        return f"its slices do not lie in one orientation ({_planes(directions)})", apart
    lengths = np.linalg.norm(directions[0].reshape(2, 3), axis=1)
    if np.abs(lengths - 1).max() > _SPACING or abs(directions[0, :3] @ directions[0, 3:]) > _SPACING:
        return "the directions of its rows and columns are not at right angles", _EXPORT
    if len(sizes := {one.shape for one in slices}) > 1:
        shown = ", ".join(f"{columns} x {rows}" for rows, columns in sorted(sizes))
        return f"its slices differ in size ({shown} pixels)", apart
    spacings = np.array([one.spacing_mm for one in slices])
    if not np.allclose(spacings, first.spacing_mm, rtol=_SPACING, atol=0):
        return f"its slices differ in pixel size (from {spacings.min():.4g} to {spacings.max():.4g} mm)", apart
    if len({one.pixels for one in slices}) > 1:
        return "its slices are stored in different ways, as no scanner does within one scan", _EXPORT
    return None


def _several_echoes(series: Series) -> Refusal:
    echoes = series.echoes_ms
    if len(echoes) < 2:
        return None
    counts = Counter(one.echo_ms for one in series.slices)
    shown = "; ".join(
        f"echo {number}: {'no echo time' if echo is None else f'{echo:g} ms'}, {counts[echo]} slices"
        for number, echo in enumerate(echoes, 1)
    )
    return f"it holds several echoes ({shown})", "Choose one with --echo; the longest echo time is the T2 image."


def _doubled(slices: Sequence[Slice]) -> Refusal:
    positions = np.array([one.position_mm for one in slices])
    close = np.linalg.norm(np.diff(positions, axis=0), axis=1) < _VOXEL_SHARE * min(slices[0].spacing_mm)
    if not close.any():
        return None
    distinct = len(slices) - int(close.sum())
    at = int(np.argmax(close))
    pair = _pair(slices[at], slices[at + 1])
    return (
        f"its {len(slices)} slices lie at {distinct} position{'s' * (distinct != 1)} only: doubled slices, such as "
        f"{pair}",
        "Repeated images (times, phases, contrasts, copies) must be series of their own: keep one image a position.",
    )


def _too_few(slices: Sequence[Slice]) -> Refusal:
    if len(slices) >= MIN_SLICES:
        return None
    count = "1 slice" if len(slices) == 1 else f"{len(slices)} slices"
    return f"it has only {count}, and a volume needs at least {MIN_SLICES}", _EXPORT


def _uneven(slices: Sequence[Slice]) -> Refusal:
    along, tolerance = _along(slices), _tolerance_mm(slices)
    gaps = np.diff(along)
    usual = float(gaps.min())
    if usual <= tolerance:
        at = int(np.argmin(gaps))
        return f"its slices lie beside each other, such as {_pair(slices[at], slices[at + 1])}", _EXPORT
    if np.abs(along - np.linspace(0, along[-1], len(slices))).max() <= tolerance:
        return None
    missing = np.rint(gaps / usual) - 1
    whole = np.abs(gaps - (missing + 1) * usual).max() <= max(0.05 * usual, tolerance)
    at = int(np.argmax(gaps))
    between = f"between {_pair(slices[at], slices[at + 1])}"
    if whole and missing.any():
        count = int(missing.sum())
        return (
            f"{count} slice{'s are' if count > 1 else ' is'} missing: the gap {between} is {gaps[at]:.4g} mm, but "
            f"{usual:.4g} mm elsewhere",
            _EXPORT,
        )
    return f"the gaps between its slices are uneven: from {usual:.4g} to {gaps.max():.4g} mm ({between})", _EXPORT


def _shifted(slices: Sequence[Slice]) -> Refusal:
    """Return why slices lie beside each other's normal (all alike if the gantry was tilted); None where none does."""
    positions = np.array([one.position_mm for one in slices]) - slices[0].position_mm
    normal = _normal(slices[0])
    beside = positions - np.outer(positions @ normal, normal)
    if np.linalg.norm(beside, axis=1).max() <= _tolerance_mm(slices):
        return None
    strays = np.linalg.norm(beside - np.outer(np.linspace(0, 1, len(slices)), beside[-1]), axis=1)
    if strays.max() > _tolerance_mm(slices):
        at = int(np.argmax(strays))
        return f"its slices are shifted against each other, such as {_name(slices[at])}", _EXPORT
    tilt = np.degrees(np.arctan2(np.linalg.norm(beside[-1]), positions[-1] @ normal))
    return (
        f"the gantry was tilted: the slices lean by {tilt:.3g} degrees against their normal",
        "Resample the scan onto a grid with right angles, and save it as NIfTI.",
    )


def _tolerance_mm(slices: Sequence[Slice]) -> float:
    return _VOXEL_SHARE * min(*slices[0].spacing_mm, float(_along(slices)[-1]) / (len(slices) - 1))


def _along(slices: Sequence[Slice]) -> NDArray[np.float64]:
    """Return the distance of each slice from the first, in mm along the normal."""
    positions = np.array([one.position_mm for one in slices])
    along: NDArray[np.float64] = (positions - positions[0]) @ _normal(slices[0])
    return along


def _normal(one: Slice) -> NDArray[np.float64]:
    return _unit(np.cross(one.along_row, one.along_column))


def _unit(vector: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    array = np.asarray(vector, dtype=np.float64)
    return array / max(float(np.linalg.norm(array)), 1e-12)


def _planes(directions: NDArray[np.float64]) -> str:
    """Name the anatomical planes that slices lie in, and how many in each."""
    names = ("sagittal", "coronal", "axial")
    planes = Counter(names[int(np.argmax(np.abs(np.cross(one[:3], one[3:]))))] for one in directions)
    if len(planes) == 1:
        return f"all about {next(iter(planes))}, at different angles"
    return ", ".join(f"{count} {plane}" for plane, count in planes.items())


def _name(one: Slice) -> str:
    return one.file.name if one.frame == 0 else f"{one.file.name}, image {one.frame + 1}"


def _pair(one: Slice, other: Slice) -> str:
    """Name two slices; files of the same name by their folders too."""
    names = _name(one), _name(other)
    if names[0] == names[1]:
        names = f"{one.file.parent.name}/{names[0]}", f"{other.file.parent.name}/{names[1]}"
    return " and ".join(names)
