"""Training cases held in the device's memory, so that no step waits for a disk or for patches on their way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vmseg_auto.data.preprocessed import PreprocessedCase
from vmseg_auto.training.loader import Boxes
from vmseg_auto.training.sampling import overlap
from vmseg_auto.utils.geometry import Shape

SHARE = 0.25
"""Of the device's memory that the training leaves, at most: what it takes is an estimate."""


@dataclass(frozen=True)
class HeldCases:
    """Images and labels of cases on a device, from which batches are cut as `PatchSampler` reads them.

    Args:
        images: case id -> float32 [C, Z, Y, X].
        labels: case id -> uint8 [Z, Y, X].
        shape: of the boxes that are cut (Z, Y, X).
    """

    images: Mapping[str, torch.Tensor]
    labels: Mapping[str, torch.Tensor]
    shape: Shape

    @classmethod
    def of(cls, cases: Sequence[PreprocessedCase], shape: Shape, device: torch.device) -> HeldCases:
        """Read labelled cases wholly, and copy them to the device.

        Raises:
            RuntimeError: its memory does not hold them.
        """
        images = {case.id: torch.tensor(np.asarray(case.image)).to(device) for case in cases}
        return cls(images, {case.id: torch.tensor(np.asarray(case.label)).to(device) for case in cases}, shape)

    def cut(self, boxes: Boxes) -> tuple[torch.Tensor, torch.Tensor]:
        """Return image [B, C, Z, Y, X] and label [B, Z, Y, X], 0 beyond the cases; the device is not waited for."""
        first = self.images[boxes.places[0][0]]
        images = first.new_zeros((len(boxes.places), len(first), *self.shape))
        labels = torch.zeros((len(boxes.places), *self.shape), dtype=torch.uint8, device=first.device)
        for number, (case, start) in enumerate(boxes.places):
            here, there = overlap(start, self.shape, self.labels[case].shape)
            images[(number, ..., *here)] = self.images[case][(..., *there)]
            labels[(number, *here)] = self.labels[case][there]
        return images, labels


def gib_of(cases: Sequence[PreprocessedCase]) -> float:
    """Return the GiB that images and labels take.

    Example:
        >>> gib_of([])
        0.0
    """
    return sum(case.image.nbytes + (0 if case.label is None else case.label.nbytes) for case in cases) / 2**30


def in_words(cases_gib: float, room_gib: float) -> str:
    """Say whether a training's cases are held on the card.

    Args:
        cases_gib: what they take.
        room_gib: what they may take.
    """
    if cases_gib <= room_gib:
        return f"The training cases ({cases_gib:.2g} GiB) are held in the card's memory."
    return (
        f"The training cases take {cases_gib:.2g} GiB, and of the card's memory {room_gib:.2g} GiB are there for them "
        "beside the training: patches are read as they are wanted."
    )
