"""Lesions of one training case pasted into another. Imports no torch: it runs in worker processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vmseg_auto.data.preprocessed import PreprocessedCase
from vmseg_auto.evaluation.lesions import Lesion, Studies, Tissue
from vmseg_auto.training.sampling import PatchSampler, overlap

MARGIN = 3
"""Voxels about a lesion, in its slices, over which it blends into its host."""
BLEND_SIGMA = 1.0
"""Of the Gaussian, in voxels and in the slices, that softens a pasted lesion's margin."""
TISSUE_SHARE = 0.95
"""Of a lesion's voxels, and of the margin's, must lie on tissue of the host."""
PLACES = 10
"""Tried for a lesion before the patch stays as it is."""


@dataclass(frozen=True)
class CopyPaste:
    """Pastes a lesion of a random training case into some of the patches that `sampler` draws.

    After TumorCP (Yang et al., MICCAI 2021), with soft margins, the host's intensities and only on its tissue: the
    lesion keeps the contrast to the tissue about it that it had in its own case, in units of each case's own tissue.
    It goes where neither air, nor another lesion, nor a voxel that nobody has annotated is; where no such place is
    found, nothing is pasted. Lesions of which a part may not be annotated stay where they are.

    Args:
        sampler: draws the patches.
        share: probability that a patch gets a lesion.
        mirror_axes: axes along which the lesion may be mirrored.
    """

    sampler: PatchSampler
    share: float
    mirror_axes: tuple[int, ...]
    studies: Studies = field(default_factory=Studies, compare=False, repr=False)

    def __call__(
        self, cases: Sequence[PreprocessedCase], foreground: bool, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return an image [C, Z, Y, X] and label [Z, Y, X], as PatchSampler does.

        Args:
            cases: the fold's training cases, hosts and donors alike; each has a label.
            foreground: centre on the host's own foreground, where it has any.
            rng: all the randomness.
        """
        host, start = self.sampler.place(cases, foreground, rng)
        image, label = self.sampler.read(host, start)
        if rng.random() < self.share:
            donor = self.studies.of(cases[int(rng.integers(len(cases)))])
            if donor.whole_lesions:
                lesion = donor.whole_lesions[int(rng.integers(len(donor.whole_lesions)))]
                if len(label) == 1:
                    lesion = _slice_of(lesion, rng)
                flips = tuple(axis for axis in self.mirror_axes if rng.random() < 0.5)
                piece = _Piece.cut(donor.case, lesion, donor.tissue, flips)
                inside, _ = overlap(start.tolist(), label.shape, host.image.shape[1:])
                # Views: what lies beyond the scan is no tissue, whatever it is filled with.
                piece.paste(image[(slice(None), *inside)], label[inside], self.studies.of(host).tissue, rng)
        return image, label


@dataclass(frozen=True)
class _Piece:
    """A lesion with its margin, in units of its own case's tissue.

    Args:
        image: [C, Z, Y, X], mean 0 and standard deviation 1 over that tissue.
        label: [Z, Y, X], 0 outside the lesion.
        weight: [Z, Y, X], how much of the host it replaces.
    """

    image: NDArray[np.float32]
    label: NDArray[np.uint8]
    weight: NDArray[np.float32]

    @classmethod
    def cut(cls, case: PreprocessedCase, lesion: Lesion, tissue: Tissue, flips: tuple[int, ...]) -> _Piece:
        assert case.label is not None
        shape = case.label.shape
        grown = [(0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)]
        # Where the scan ends, the margin does.
        room = [(min(g, a), min(g, n - b)) for (g, _), (a, b), n in zip(grown, lesion.box, shape, strict=True)]
        z, y, x = (slice(a - r, b + s) for (a, b), (r, s) in zip(lesion.box, room, strict=True))
        mask = np.pad(lesion.mask, room)
        units = tissue.mean[:, None, None, None], tissue.std[:, None, None, None]
        image = (np.asarray(case.image[:, z, y, x]) - units[0]) / units[1]
        label = np.where(mask, case.label[z, y, x], 0).astype(np.uint8)
        blurred = ndimage.gaussian_filter(mask.astype(np.float32), (0, BLEND_SIGMA, BLEND_SIGMA), mode="constant")
        # Nothing of the lesion is lost: inside it is itself, and fades over the margin.
        weight = np.where(mask, 1.0, np.minimum(2 * blurred, 1.0)).astype(np.float32)
        return cls(np.flip(image, tuple(axis + 1 for axis in flips)), np.flip(label, flips), np.flip(weight, flips))

    def paste(
        self, image: NDArray[np.float32], label: NDArray[np.uint8], tissue: Tissue, rng: np.random.Generator
    ) -> None:
        """Change image [C, Z, Y, X] and label [Z, Y, X] in place, at a random place on the host's tissue."""
        spare = np.array(label.shape) - self.label.shape
        if spare.min() < 0:
            return
        touched = self.weight > 0
        for _ in range(PLACES):
            start = rng.integers(0, spare + 1)
            here = tuple(slice(a, a + n) for a, n in zip(start, self.label.shape, strict=True))
            on_tissue = np.all(image[(slice(None), *here)] > tissue.air[:, None, None, None], axis=0)
            if on_tissue[touched].mean() >= TISSUE_SHARE and not label[here][touched].any():
                break
        else:
            return
        pasted = self.image * tissue.std[:, None, None, None] + tissue.mean[:, None, None, None]
        target = image[(slice(None), *here)]
        target += self.weight * (pasted - target)
        label[here][self.label > 0] = self.label[self.label > 0]


def _slice_of(lesion: Lesion, rng: np.random.Generator) -> Lesion:
    """Return a random slice of a lesion, for patches of one slice."""
    at = int(rng.integers(len(lesion.mask)))
    first = lesion.box[0][0] + at
    return Lesion(((first, first + 1), *lesion.box[1:]), lesion.mask[at : at + 1])
