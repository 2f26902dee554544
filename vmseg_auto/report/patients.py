"""A section for each predicted scan: what was found, where, how large, and how far it can be trusted."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from vmseg_auto.data.images.nifti_bytes import nifti_gz
from vmseg_auto.data.pseudonyms import Names
from vmseg_auto.figures.crops import Volume, around_lesions, coarser, cut, grey_levels, turned
from vmseg_auto.figures.outlined import OutlinedSlice, outlined_slice
from vmseg_auto.figures.overlays import Shown, lesions_of
from vmseg_auto.figures.slices import View, grey_window
from vmseg_auto.report.decisions import decisions_table
from vmseg_auto.report.measures import (
    TOTALS,
    Light,
    confidence,
    lesion_name,
    lesion_table,
    light_of,
    summary,
    total_rows,
)
from vmseg_auto.report.predictions import KEEP, NOT_KEPT, Predicted
from vmseg_auto.report.reads import reads_table
from vmseg_auto.report.render import Table
from vmseg_auto.report.words import volume
from vmseg_auto.utils.console import Console
from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.utils.geometry import spacing_in_words
from vmseg_auto.utils.labels import value_names
from vmseg_auto.utils.text import counted
from vmseg_auto.workflows.run_tables import Row

PICTURED = 6
"""Lesions of a scan that are shown, the largest first."""
MOST_BYTES = 900_000
"""Of one scan's part that the slices are drawn from, compressed."""
ALL_BYTES = 4_200_000
"""Of all of them together: as text they take a third more, and the page stays within 10 MB."""
_CORRECTED = (
    "This mask was corrected by hand after it was predicted. Its volumes are those of the corrected mask; the "
    "interval, the expected Dice and the traffic light of the prediction no longer hold."
)
_DECIDED = {
    "accepted": "A reader has accepted this mask as it is.",
    "corrected": "A reader has corrected this mask.",
    "no lesion": "A reader has found no lesion in this scan.",
    "rejected": "A reader has rejected this mask: it and its volumes must not be used.",
    "unsure": "A reader was unsure of this mask: somebody else has to decide.",
}
_GREYS = 0xFE
"""The lowest bit of a grey level is noise that would not compress."""


@dataclass(frozen=True)
class LesionPicture:
    """The fullest slice of a lesion; `index` is its place in the slider."""

    title: str
    note: str
    index: int
    picture: OutlinedSlice


@dataclass(frozen=True)
class Slider:
    """What slices are drawn from in the browser.

    Args:
        scan, mask: NIfTI files in base64, turned as the view.
        labels: what a voxel of each of the mask's values is, in their order.
        numbers: number of each slice in the file.
        start: index of the slice to show first.
        plane, sides: of the slices.
        pixel_mm: of what is drawn; coarser than the scan where space is short.
    """

    scan: str
    mask: str
    labels: tuple[str, ...]
    numbers: tuple[int, ...]
    start: int
    plane: str
    sides: tuple[str, str]
    pixel_mm: float
    thinned: bool


@dataclass(frozen=True)
class Patient:
    """One predicted scan's section.

    Args:
        summary: what was found, in a sentence.
        light: the traffic light; None where none is known.
        confidence: sentences.
        unlike: what sets the scan apart from those that the model knows.
        by_hand: the voxel size, where it was given by hand.
        unseen: why nothing of the scan is shown, and what to do; empty where it is there.
        table: the lesions of which there are pictures, after each label as a whole.
        jumps: row of the table -> index in the slider; -1 where it has no slice.
        rest: the smaller lesions; None where there are none.
        lesions: in pictures.
        slider: None where nothing may be shown.
    """

    name: str
    anchor: str
    summary: str
    light: Light | None
    confidence: tuple[str, ...]
    unlike: tuple[str, ...]
    by_hand: str
    unseen: str
    table: Table
    jumps: tuple[int, ...]
    rest: Table | None
    lesions: tuple[LesionPicture, ...]
    slider: Slider | None


def gather_predictions(
    folder: Path, predicted: Sequence[Predicted], names: Names, identity: bool, console: Console
) -> tuple[dict[str, Any], list[VmsegError]]:
    """Gather the values of the template `predictions`, and what is wrong with scans or masks that can't be shown."""
    budget = min(MOST_BYTES, ALL_BYTES // len(predicted))
    ordered = sorted(predicted, key=lambda one: names.cases[one.record.case])
    patients: list[Patient] = []
    totals: list[tuple[str, ...]] = []
    errors: list[VmsegError] = []
    with console.progress("Drawing", len(ordered)) as progress:
        for place, one in enumerate(ordered, 1):
            name = names.cases[one.record.case]
            try:
                patients.append(_patient(one, name, f"scan-{place}", budget, identity))
                totals += total_rows(name, one.rows, one.review.decision if one.review else None)
            except VmsegError as error:
                errors.append(error)
            progress.advance()
    return {
        "title": "Predicted scans",
        "patients": patients,
        "totals": Table("What was found in each scan", TOTALS, tuple(totals)).without_empty_columns(),
        "decisions": decisions_table([one.record for one in ordered]),
        "reads": reads_table(folder, {one.record.case: one.record for one in ordered}),
        "models": sorted({one.record.model_hash for one in predicted}),
        "backends": sorted({one.record.backend for one in predicted}),
    }, errors


def _patient(one: Predicted, name: str, anchor: str, budget: int, identity: bool) -> Patient:
    if one.found is None:
        return _section(one, name, anchor, identity)
    image, mask, geometry = one.read()
    view = View.of(geometry)
    lesions, _ = lesions_of(mask, geometry, one.labels, PICTURED)
    scan = turned(Volume(grey_levels(image, grey_window(image)), mask, geometry), view)
    if identity or not lesions:
        part = scan if identity else None
    else:
        part = around_lesions(scan, view(np.logical_or.reduce([lesion.mask for lesion in lesions])))
    pictures: tuple[LesionPicture, ...] = ()
    slider = None
    if part is not None:
        pictures = tuple(_picture(lesion, scan, part.start, view, name, one.labels, identity) for lesion in lesions)
        slider = _slider(part, view, one.labels, pictures[0].index if pictures else 0, budget)
    places = {(lesion.label, str(lesion.number)): drawn.index for lesion, drawn in zip(lesions, pictures, strict=False)}
    return replace(_section(one, name, anchor, identity, places), lesions=pictures, slider=slider)


def _section(
    one: Predicted, name: str, anchor: str, identity: bool, places: Mapping[tuple[str, str], int] = MappingProxyType({})
) -> Patient:
    """Return the section without its pictures.

    Args:
        places: label and component of the lesions that are pictured -> index in the slider.
    """
    shown = [row for row in one.rows if row["component"] == "all" or _key(row) in places or not places]
    several = len(one.labels) > 1
    rest = [row for row in one.rows if row not in shown]
    smaller = lesion_table(f"{counted(len(rest), 'smaller lesion')}, without pictures", rest, several)
    return Patient(
        name=name,
        anchor=anchor,
        summary=summary(one.rows),
        light=light_of(one.rows),
        confidence=_told(one, identity),
        unlike=one.record.judgement.unlike,
        by_hand=spacing_in_words(spacing) if (spacing := one.record.judgement.spacing_given_mm) else "",
        unseen="" if one.found else f"The {NOT_KEPT}, so nothing of it is shown. {KEEP}",
        table=lesion_table("Volumes", shown, several),
        jumps=tuple(places.get(_key(row), -1) for row in shown),
        rest=smaller if rest else None,
        lesions=(),
        slider=None,
    )


def _told(one: Predicted, identity: bool) -> tuple[str, ...]:
    """Return in sentences how far a mask can be trusted, and what a reader has decided of it."""
    trusted = (_CORRECTED,) if one.record.judgement.corrected else confidence(one.rows)
    if (review := one.review) is None:
        return trusted
    decided = f"{_DECIDED[review.decision]} ({review.when[:10]})"
    if identity:
        decided += f" {review.reader}: {review.comment}" if review.comment else f" {review.reader}"
    return (decided, *trusted)


def _picture(
    lesion: Shown, scan: Volume, start: int, view: View, name: str, labels: Mapping[str, int], identity: bool
) -> LesionPicture:
    """Return the slice in which a lesion is largest; `start` is the slider's first slice in the scan."""
    seen = view(lesion.mask)
    index = int(np.argmax(np.count_nonzero(seen, axis=(1, 2))))
    _, rows, columns = scan.image.shape
    one = cut(scan, ((index, index + 1), (0, rows), (0, columns)))
    if not identity:
        one = around_lesions(one, seen[index : index + 1])
    masks = {label: one.mask[0] == value for value, label in value_names(labels).items()}
    title = lesion_name(lesion.label, str(lesion.number), len(labels) > 1)
    note = f"{volume(lesion.volume_ml)} mL; {view.plane} slice {view.number(index)}"
    drawn = outlined_slice(one.image[0], masks, one.geometry.spacing_mm[1:], view.sides, f"{name}, {title}: {note}")
    return LesionPicture(title, note, index - start, drawn)


def _slider(part: Volume, view: View, labels: Mapping[str, int], start: int, budget: int) -> Slider:
    """Return the slices that are shown, as finely as fits into so many bytes."""
    factor = 1
    packed = _packed(part)
    while sum(map(len, packed)) > budget and factor < max(part.image.shape[1:]):
        factor += 1
        packed = _packed(coarser(part, factor))
    scan, mask = (base64.b64encode(data).decode() for data in packed)
    numbers = tuple(view.number(part.start + index) for index in range(len(part.image)))
    names = tuple(value_names(labels).values())
    pixel = part.geometry.spacing_mm[2] * factor
    return Slider(scan, mask, names, numbers, start, view.plane, view.sides, pixel, factor > 1)


def _key(row: Row) -> tuple[str, str]:
    return row["label"], row["component"]


def _packed(part: Volume) -> tuple[bytes, bytes]:
    return nifti_gz(part.image & np.uint8(_GREYS), part.geometry), nifti_gz(part.mask, part.geometry)
