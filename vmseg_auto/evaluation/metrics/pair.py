"""A predicted mask and its reference, and what metrics share of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar, cast

import numpy as np

from vmseg_auto.evaluation.lesion_matching import Lesions
from vmseg_auto.evaluation.metrics.metric import TOLERANCE_MM
from vmseg_auto.evaluation.metrics.overlap import Mask
from vmseg_auto.evaluation.surfaces import MARGIN, Surface, annotated_surface, surface_of
from vmseg_auto.utils.components import mask_box
from vmseg_auto.utils.geometry import Spacing

Found = TypeVar("Found")


@dataclass(frozen=True)
class MaskPair:
    """Two masks on one grid. Surfaces and lesions are computed when a metric first asks for them.

    Args:
        prediction, reference: bool (Z, Y, X): the part of the image that holds both masks, and of an image annotated in
            part a margin for their surfaces.
        spacing_mm: (Z, Y, X).
        image_voxels: of the whole image, without those that are ignored.
        tolerance_mm: of surfaces.
        ignored: bool (Z, Y, X), of the same part: voxels that nobody has annotated, and in which neither mask has any;
            None where there are none in the whole image.
    """

    prediction: Mask
    reference: Mask
    spacing_mm: Spacing
    image_voxels: int
    tolerance_mm: float = TOLERANCE_MM
    ignored: Mask | None = None
    _known: dict[Callable[..., Any], Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(
        cls,
        prediction: Mask,
        reference: Mask,
        spacing_mm: Spacing,
        tolerance_mm: float = TOLERANCE_MM,
        ignored: Mask | None = None,
    ) -> MaskPair:
        """Return the pair of two whole masks; what is ignored counts in neither.

        Raises:
            ValueError: the shapes differ.
        """
        if prediction.shape != reference.shape:
            raise ValueError(f"a prediction of {prediction.shape} for a reference of {reference.shape}")
        if ignored is None or not ignored.any():
            ignored, margin, voxels = None, 0, prediction.size
        else:
            prediction, reference = prediction & ~ignored, reference & ~ignored
            margin, voxels = MARGIN, int(np.count_nonzero(~ignored))
        box = mask_box(prediction | reference) or ((0, 1), (0, 1), (0, 1))
        inside = tuple(slice(max(0, start - margin), stop + margin) for start, stop in box)
        cut = None if ignored is None else ignored[inside]
        return cls(prediction[inside], reference[inside], spacing_mm, voxels, tolerance_mm, cut)

    @property
    def voxel_mm3(self) -> float:
        """The volume of a voxel, mm3."""
        return float(np.prod(self.spacing_mm))

    @cached_property
    def surfaces(self) -> tuple[Surface, Surface]:
        """The surfaces of prediction and reference."""
        if self.ignored is not None:
            return (
                annotated_surface(self.prediction, self.ignored, self.spacing_mm),
                annotated_surface(self.reference, self.ignored, self.spacing_mm),
            )
        return surface_of(self.prediction, self.spacing_mm), surface_of(self.reference, self.spacing_mm)

    @cached_property
    def lesions(self) -> Lesions:
        """The components of both masks, and how they overlap."""
        return Lesions.of(self.prediction, self.reference)

    def once(self, compute: Callable[[MaskPair], Found]) -> Found:
        """Return what a function makes of this pair; it is called once, however many metrics need it."""
        if compute not in self._known:
            self._known[compute] = compute(self)
        return cast(Found, self._known[compute])
