"""What speaks against comparing two scans as one patient at two times: by their headers, then by their images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vmseg_auto.data.dicom.series import Scan, Series, path_of
from vmseg_auto.followup.records import Alignment
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry

OTHER_SLICES = 1.2
"""Slices whose thickness differs by this factor are told of."""


@dataclass(frozen=True)
class Word:
    """The user's word against the headers: the times are in the right order, both scans are of one patient."""

    order_as_given: bool = False
    same_patient: bool = False


def check_headers(case: str, before: Scan, after: Scan, word: Word) -> None:
    """Compare what the headers of two scans tell. Image files tell nothing of patient and day.

    Raises:
        InputError: two patients, or times in the wrong order, unless the user's word says otherwise.
    """
    if not (isinstance(before, Series) and isinstance(after, Series) and before.slices and after.slices):
        return
    first, second = before.slices[0], after.slices[0]
    if not word.same_patient and any(a != b for a, b in zip(first.patient, second.patient, strict=False) if a and b):
        raise InputError(
            "the headers of the two scans tell of two patients (another patient ID or day of birth)",
            case=case,
            file=path_of(after),
            remedy="Give two scans of one patient. If they are, as after a move to another hospital, add "
            "--same-patient.",
        )
    orders = ((a, b) for a, b in zip(first.days, second.days, strict=False) if a and b and a != b)
    if not word.order_as_given and any(a > b for a, b in list(orders)[:1]):
        raise InputError(
            "the scan given as AFTER was taken on an earlier day than the one given as BEFORE, by their headers' dates",
            case=case,
            file=path_of(after),
            remedy="Give the earlier scan first. If the dates are wrong, add --order-as-given.",
        )


def doubts(alignment: Alignment, same_image: bool, same_mask: bool) -> tuple[str, ...]:
    """Describe why two scans can't be compared by their images and masks; empty where they can."""
    found = []
    if same_image:
        found.append("both times are the same image, or a copy of it")
    elif same_mask:
        found.append("both times have the same mask, voxel by voxel")
    return (*found, *alignment.problems)


@dataclass(frozen=True)
class OtherSlices:
    """Scans whose slices differ in thickness along one of the patient's axes (see `Geometry.patient_axes`)."""

    axis: int
    before_mm: float
    after_mm: float

    def text(self, factors: Mapping[str, float]) -> str:
        """Describe the difference, with the factor by which each label's volume may move."""
        alone = ", ".join(f"{name} by up to {100 * (factor - 1):.0f} %" for name, factor in factors.items())
        told = f"The slices differ: {self.before_mm:.3g} mm apart before, {self.after_mm:.3g} mm after."
        return f"{told} That alone moves the volume of {alone}; the interval holds it." if alone else told


def other_slices(before: Geometry, after: Geometry) -> OtherSlices | None:
    """Find the axis along which slices of one scan are thicker than those of the other; None where there is none."""
    found = []
    for axis in range(3):
        first, second = (grid.spacing_mm[grid.patient_axes.index(axis)] for grid in (before, after))
        thicker, thick = max((first, before), (second, after), key=lambda one: one[0])
        if thicker >= OTHER_SLICES * min(first, second) and thicker > 0.99 * max(thick.spacing_mm):
            found.append((thicker, OtherSlices(axis, first, second)))
    return max(found, key=lambda one: one[0])[1] if found else None
