"""A reader's clicks on a scan: what the network changes in the part of the mask around the last one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from vmseg_auto.inference.predictor import Predictor
from vmseg_auto.inference.thresholds import favour_background
from vmseg_auto.inference.windows import pad
from vmseg_auto.preprocessing.click_channels import MOST_CLICKS, SIGMA_MM, Click, plan_positions, with_clicks
from vmseg_auto.preprocessing.transform import box_slices
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Box, Geometry
from vmseg_auto.utils.labels import written_values

LEAVE, BACKGROUND, FOREGROUND = range(3)
"""What an answer says of a voxel: its label stays, it is background, or it is lesion."""
_REACH_MM = 2 * SIGMA_MM
"""So far from a click on background, what the network calls background is so in the mask."""


@dataclass(frozen=True)
class Answer:
    """What the network changes.

    Args:
        box: of the scan's voxels around the last click; beyond it everything stays.
        change: uint8 [Z, Y, X] of the box: LEAVE, BACKGROUND or FOREGROUND.
        label: value of the label that FOREGROUND stands for.
    """

    box: Box
    change: NDArray[np.uint8]
    label: int

    def applied(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a mask of the whole scan [Z, Y, X] with the changes."""
        changed = mask.copy()
        inside = changed[box_slices(self.box)]
        inside[self.change == BACKGROUND] = 0
        inside[self.change == FOREGROUND] = self.label
        return changed


class ClickedScan:
    """A scan that is made ready once, and asked about after each click.

    One window of the plan's patch is computed around the last click, by the model's first fold and without mirroring,
    once with all clicks and once without any. Only where both differ is the mask changed, so that what a reader has
    drawn elsewhere stays; and the piece that a click on lesion points at is taken whole. Clicks near one another share
    a window, whose result without clicks is kept.

    Args:
        predictor: of a model that was trained with clicks.
        image: [C, Z, Y, X] or [Z, Y, X].
        geometry: its grid.

    Raises:
        InputError: the model knows no clicks, or as of `Predictor.predict`.
    """

    def __init__(self, predictor: Predictor, image: NDArray[np.float32], geometry: Geometry) -> None:
        require_clicks(predictor)
        self._predictor, self._geometry = predictor, geometry
        scan = predictor.preprocess(image, geometry)
        padded, (z, y, x) = pad(torch.from_numpy(scan.image), predictor.plan.patch)
        self._image = padded.numpy()
        shape = scan.image.shape[1], scan.image.shape[2], scan.image.shape[3]
        before = z.start, y.start, x.start
        axes = self._axes = predictor.plan.axes_of(geometry)
        self._positions = [
            line + before[axes.index(axis)]
            for axis, line in enumerate(plan_positions(geometry, scan.crop_box, predictor.plan, shape))
        ]
        self._kept = scan.crop_box
        self._unclicked: tuple[list[int], NDArray[np.float32]] | None = None
        """Where the last window begins, and its difference of logits without clicks."""

    def answer(self, clicks: Sequence[Click]) -> Answer:
        """Return what the network changes after these clicks, the last of which is new.

        Args:
            clicks: on the scan's own grid.

        Raises:
            InputError: there is no click, there are too many, or one lies beyond the scan.
        """
        self._check(clicks)
        plan, info = self._predictor.plan, self._predictor.info
        there = [Click(self._in_plan(click.place), click.foreground) for click in clicks]
        starts = self._starts(there)
        z, y, x = (slice(start, start + size) for start, size in zip(starts, plan.patch, strict=True))
        window = self._image[:, z, y, x]
        near = [
            Click((at[0] - starts[0], at[1] - starts[1], at[2] - starts[2]), foreground) for at, foreground in there
        ]
        if self._unclicked is None or self._unclicked[0] != starts:
            self._unclicked = starts, self._difference(with_clicks(window, (), plan.spacing_mm))
        both = self._unclicked[1], self._difference(with_clicks(window, near, plan.spacing_mm))
        box = self._box(starts)
        plain, hinted = (self._restored(one, box, starts) > 0 for one in both)
        return Answer(box, self._change(plain, hinted, clicks, box), written_values(info.labels)[1])

    def _check(self, clicks: Sequence[Click]) -> None:
        if not 0 < len(clicks) <= MOST_CLICKS:
            remedy = "Save the case, and open it again." if clicks else "Click at a voxel."
            raise InputError(f"there are {len(clicks)} clicks, and 1 to {MOST_CLICKS} can be", remedy=remedy)
        for click in clicks:
            if not all(0 <= at < n for at, n in zip(click.place, self._geometry.shape, strict=True)):
                raise InputError(f"the click at {click.place} lies beyond the scan", remedy="Click within the scan.")
        last = clicks[-1].place
        if not all(low <= at < high for at, (low, high) in zip(last, self._kept, strict=True)):
            raise InputError("there is nothing but air where you clicked", remedy="Click at a voxel of the patient.")

    def _in_plan(self, place: tuple[int, int, int]) -> tuple[int, int, int]:
        along = [round(self._positions[axis][place[axis]]) for axis in self._axes]
        return along[0], along[1], along[2]

    def _starts(self, clicks: Sequence[Click]) -> list[int]:
        """Return where the window begins: that around the earliest click which has the last in its middle half."""
        last, patch = clicks[-1].place, self._predictor.plan.patch
        around = [
            [
                min(max(0, at - size // 2), length - size)
                for at, size, length in zip(click.place, patch, self._image.shape[1:], strict=True)
            ]
            for click in clicks
        ]
        near = (
            all(abs(at - other) <= size // 4 for at, other, size in zip(last, click.place, patch, strict=True))
            for click in clicks
        )
        return next(starts for starts, is_near in zip(around, near, strict=True) if is_near)

    def _box(self, starts: Sequence[int]) -> Box:
        """Return the scan's voxels whose centres lie within a window of the plan, and in what was kept of the scan."""
        plan, ends = self._predictor.plan, []
        for axis, (low, high) in enumerate(self._kept):
            own = self._axes.index(axis)
            line = self._positions[axis][low:high] - starts[own]
            inside = low + np.flatnonzero((line > -1) & (line < plan.patch[own]))
            ends.append((int(inside[0]), int(inside[-1]) + 1))
        return ends[0], ends[1], ends[2]

    @torch.inference_mode()
    def _difference(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return [Z, Y, X]: by how much the lesion's logit is above the background's at the model's threshold."""
        ensemble, info = self._predictor.ensemble, self._predictor.info
        (logits,) = ensemble.logits(torch.from_numpy(window[None]), ((), ensemble.networks[0])).numpy()
        background, lesion = favour_background(logits, info.threshold, ensemble.overlap)
        difference: NDArray[np.float32] = lesion - background
        return difference

    def _restored(self, values: NDArray[np.float32], box: Box, starts: Sequence[int]) -> NDArray[np.float32]:
        """Return a window's values at the voxels of a box of the scan, interpolated linearly."""
        lines = [self._positions[axis][slice(*box[axis])] - starts[self._axes.index(axis)] for axis in range(3)]
        places = np.meshgrid(*lines, indexing="ij", sparse=False)
        ordered = np.stack([places[axis] for axis in self._axes])
        found: NDArray[np.float32] = ndimage.map_coordinates(values, ordered, order=1, mode="nearest")
        return found

    def _change(
        self, plain: NDArray[np.bool_], hinted: NDArray[np.bool_], clicks: Sequence[Click], box: Box
    ) -> NDArray[np.uint8]:
        change = np.where(plain == hinted, LEAVE, np.where(hinted, FOREGROUND, BACKGROUND)).astype(np.uint8)
        own = tuple(at - low for at, (low, _) in zip(clicks[-1].place, box, strict=True))
        if clicks[-1].foreground:
            pieces = ndimage.label(hinted, np.ones((3, 3, 3)))[0]
            change[(pieces == pieces[own]) & hinted] = FOREGROUND
        else:
            lines = [
                ((np.arange(n) - at) * mm) ** 2
                for n, at, mm in zip(hinted.shape, own, self._geometry.spacing_mm, strict=True)
            ]
            near = lines[0][:, None, None] + lines[1][:, None] + lines[2] <= _REACH_MM**2
            change[near & ~hinted] = BACKGROUND
        for place, foreground in clicks:
            if all(low <= at < high for at, (low, high) in zip(place, box, strict=True)):
                within = tuple(at - low for at, (low, _) in zip(place, box, strict=True))
                change[within] = FOREGROUND if foreground else BACKGROUND
        return change


def require_clicks(predictor: Predictor) -> None:
    """Raise InputError where a model was trained without clicks."""
    if not predictor.clicks:
        remedy = "Train with `vmseg_train --set clicks=true`. An imported nnU-Net model knows none."
        raise InputError("this model knows no clicks", remedy=remedy)
