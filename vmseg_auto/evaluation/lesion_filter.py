"""The lesion filter of a model: the probability that each predicted component is a lesion, and which are left out.

"Is a lesion" means that the component overlaps a lesion of the reference by at least one voxel, as lesion precision
counts it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.evaluation.component_classifier import ComponentClassifier
from vmseg_auto.evaluation.component_features import describe_components
from vmseg_auto.evaluation.lesions import Lesion
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.label_masks import mask_of, take_out
from vmseg_auto.utils.labels import foreground_labels


@dataclass(frozen=True)
class LeftOut:
    """A predicted component that the lesion filter has left out of a mask.

    Args:
        label: whose it was.
        volume_ml: its volume.
        p_lesion: the probability that it is a lesion.
        voxel: its middle voxel (Z, Y, X), one of its own.
    """

    label: str
    volume_ml: float
    p_lesion: float
    voxel: tuple[int, int, int]


@dataclass(frozen=True)
class Filtered:
    """A mask that a lesion filter has judged.

    Args:
        mask: uint8 [Z, Y, X] of label values, without what was left out.
        p_lesion: label -> probability of each of its components that are left in the mask, the largest first.
        left_out: all that was left out.
    """

    mask: NDArray[np.uint8]
    p_lesion: dict[str, tuple[float, ...]] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True)
class LesionFilter:
    """What a cross-validation has learnt of predicted components.

    Args:
        classifiers: label -> what gives the probability; labels for which components were too few are missing.
        least: label -> the probability below which components are left out; 0 keeps all.
        reasons: in words, one for each label.
        asked_for: where a user has said another `least` than was chosen: that number.
    """

    classifiers: dict[str, ComponentClassifier]
    least: dict[str, float]
    reasons: tuple[str, ...]
    asked_for: float | None = None
    schema: int = 1

    def check(self, where: str, labels: Mapping[str, int]) -> None:
        """Raise InputError where it is about labels that a model does not have, or holds impossible numbers."""
        remedy = "Restore the file, or make it anew with `vmseg_select`."
        if set(self.least) != set(self.classifiers) or not set(self.classifiers) <= set(labels):
            raise InputError(f"{where} is about other labels than the model's", remedy=remedy)
        if odd := [least for least in self.least.values() if not 0 <= least <= 1]:
            raise InputError(f"{where} leaves out what is less probable than {odd[0]:g}", remedy=remedy)
        for label, classifier in self.classifiers.items():
            classifier.check(f"{where} of {label}")

    def apply(
        self,
        mask: NDArray[np.uint8],
        probabilities: NDArray[np.float32],
        image: NDArray[np.float32],
        geometry: Geometry,
        labels: Mapping[str, int],
    ) -> Filtered:
        """Judge every component of a predicted mask, and leave out those that are too improbable.

        Args:
            mask: label values [Z, Y, X]; it is left as it is.
            probabilities: of the background and all labels [K, Z, Y, X].
            image: the scan [C, Z, Y, X]; its first channel is looked at.
            geometry: the grid of all.
            labels: label name -> value.
        """
        filtered = mask.copy()
        p_lesion: dict[str, tuple[float, ...]] = {}
        left_out: list[LeftOut] = []
        order = ["", *foreground_labels(labels)]
        for label, classifier in self.classifiers.items():
            soft = probabilities[order.index(label)]
            found = describe_components(mask_of(mask, labels, label), soft, image[0], geometry)
            chances = classifier.probability(found.features).tolist()
            kept = [chance >= self.least[label] for chance in chances]
            p_lesion[label] = tuple(chance for chance, stays in zip(chances, kept, strict=True) if stays)
            for lesion, chance, stays in zip(found.lesions, chances, kept, strict=True):
                if not stays:
                    take_out(filtered[lesion.slices], lesion.mask, labels, label)
                    left_out.append(_left_out(label, lesion, chance, geometry))
        return Filtered(filtered, p_lesion, tuple(left_out))


def apply_lesion_filter(
    lesion_filter: LesionFilter | None,
    mask: NDArray[np.uint8],
    probabilities: NDArray[np.float32] | None,
    image: NDArray[np.float32],
    geometry: Geometry,
    labels: Mapping[str, int],
) -> Filtered:
    """Judge a mask as `LesionFilter.apply`; without a filter it stays as it is, and nothing is known of it."""
    if lesion_filter is None or probabilities is None:
        return Filtered(mask)
    return lesion_filter.apply(mask, probabilities, image, geometry, labels)


def with_least(lesion_filter: LesionFilter | None, least: float | None) -> LesionFilter | None:
    """Return the filter that leaves out, of every label, what is less probable than a user says.

    Args:
        lesion_filter: of a model; None where it has none.
        least: from 0, which keeps all, up to 1; None leaves the filter as it was chosen.

    Raises:
        InputError: the number is no probability, or there is nothing that tells one.
    """
    if least is None:
        return lesion_filter
    if not 0 <= least <= 1:
        problem = f"the least probability of a lesion is {least:g}"
        raise InputError(problem, remedy="It must lie between 0, which keeps all components, and 1.")
    if lesion_filter is None or not lesion_filter.classifiers:
        why = f" ({'; '.join(lesion_filter.reasons)})" if lesion_filter else ""
        learns = "a cohort with more cases teaches one" if lesion_filter else "training all folds teaches one"
        remedy = f"Leave the option out; {learns}."
        raise InputError(f"the model has no lesion filter, so no component has a probability{why}", remedy=remedy)
    asked = dict.fromkeys(lesion_filter.classifiers, least)
    return lesion_filter if asked == lesion_filter.least else replace(lesion_filter, least=asked, asked_for=least)


def _left_out(label: str, lesion: Lesion, chance: float, geometry: Geometry) -> LeftOut:
    places = np.argwhere(lesion.mask)
    off_mm = (places - places.mean(axis=0)) * geometry.spacing_mm
    middle = places[int(np.argmin((off_mm**2).sum(axis=1)))]
    z, y, x = (int(at) + start for at, (start, _) in zip(middle, lesion.box, strict=True))
    return LeftOut(label, len(places) * geometry.voxel_ml, chance, (z, y, x))
