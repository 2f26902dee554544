"""Phantom patients: heads with venous malformations in fat-suppressed T2, and the masks an expert would draw.

Everything is a pure function of (seed, patient), so that a cohort can be made anywhere instead of being shipped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vmseg_auto.demo.phantom.atlas import patient_tissues
from vmseg_auto.demo.phantom.canvas import Array, Canvas, Floats
from vmseg_auto.demo.phantom.growth import bulge, grow, implant
from vmseg_auto.demo.phantom.head import head_outline, paint_head
from vmseg_auto.demo.phantom.lesions import Focus, draw_lesions
from vmseg_auto.utils.geometry import Geometry, Shape, Spacing


class Scanner(NamedTuple):
    """A protocol: slices, rows and columns, spacing in mm (Z, Y, X), noise relative to a tissue of level 1."""

    shape: Shape
    spacing_mm: Spacing
    noise: float
    blanked: bool

    @property
    def thin_slices(self) -> int:
        """Thin slices painted for each slice."""
        return math.ceil(self.spacing_mm[0] / THIN_MM)


SCANNERS = (
    Scanner((16, 48, 48), (6.0, 3.1, 3.1), 0.022, False),
    Scanner((16, 48, 48), (5.8, 3.0, 3.0), 0.026, False),
    Scanner((16, 48, 46), (6.0, 3.2, 3.2), 0.018, True),
    Scanner((16, 48, 48), (5.6, 3.0, 3.0), 0.030, False),
    Scanner((16, 48, 46), (6.0, 3.2, 3.2), 0.024, False),
)
"""Coarse, so that a network learns whole heads in minutes on a CPU."""

HEAD_SIZE = (0.80, 0.95)
"""Many patients are children."""
PROPORTION_SPREAD = 0.035
TILT_DEGREES = (6.0, 5.0, 8.0)
"""Standard deviations: nodding, leaning, turning."""
WARP_MM = 1.6
WARP_WAVES = 3
WARP_PERIOD_MM = (70.0, 180.0)

FACE_FRONT_MM = 112.0
FRONT_MARGIN_MM = 11.0
"""Air left in front of the nose."""

THIN_MM = 2.1
"""A slice is painted as two thin ones or more, each no thicker than this, and averaged."""
CROSSTALK = 0.08
"""Weight of the thin slice just outside on each side: neighbouring slices overlap a little."""
POINT_SPREAD = 0.5
GRAIN_SIGMA, FOLDS_SIGMA = (1.2, 0.9, 0.9), (3.2, 2.1, 2.1)
"""In voxels of the thin slices, longer across them so that thick slices don't average the texture away."""

BIAS = 0.15
OBLIQUE_SHARE = 0.3
OBLIQUE_DEGREES = 12.0
UNIT_LEVEL = 4.0
"""Signal of a tissue of level 1 before the patient's scale."""
SCALE = (10.0, 3000.0)

SMALLEST_PIECE = 15
"""Voxels; smaller specks aren't drawn by an expert."""
CONTOUR_SIGMA = 0.7


@dataclass(frozen=True)
class PhantomScan:
    """A phantom patient.

    Args:
        image: float32 (Z, Y, X), whole numbers as scanners store them.
        mask: uint8 (Z, Y, X), 1 inside a lesion.
        geometry: where the grid lies.
    """

    image: NDArray[np.float32]
    mask: NDArray[np.uint8]
    geometry: Geometry


def make_phantom(seed: int, patient: int) -> PhantomScan:
    """Make the scan of one patient of the cohort that `seed` stands for.

    Args:
        seed, patient: not negative; the scan depends on nothing else.
    """
    rng = np.random.default_rng([seed, patient])
    foci = draw_lesions(rng)
    scanner = _draw_scanner(rng)
    canvas, axis_mm = _draw_canvas(rng, scanner, foci[0])
    body = head_outline(canvas)
    growths = [grow(canvas, body, focus, axis_mm) for focus in foci]
    for growth in growths:
        bulge(body, growth)
    paint_head(canvas, body, patient_tissues(rng), rng)
    filled = np.zeros_like(canvas.signal)
    for growth in growths:
        filled[growth.region] = np.maximum(filled[growth.region], implant(canvas, growth))
    signal, filled, inside = (_thick(thin, scanner.shape[0]) for thin in (canvas.signal, filled, canvas.cover(body)))
    mask = _contour(filled)
    image = _acquire(rng, scanner, signal, inside)
    return PhantomScan(image, mask, _draw_geometry(rng, mask.shape, scanner.spacing_mm))


def _draw_scanner(rng: np.random.Generator) -> Scanner:
    return SCANNERS[int(rng.integers(len(SCANNERS)))]


def _draw_canvas(rng: np.random.Generator, scanner: Scanner, focus: Focus) -> tuple[Canvas, tuple[Array, Array, Array]]:
    """Pose a head before the scanner, its slices placed so that the main focus is in view.

    Returns: the canvas, thin slices in place of thick ones, and its axes (Z, Y, X) in mm.
    """
    size = rng.uniform(*HEAD_SIZE) * np.exp(PROPORTION_SPREAD * rng.standard_normal(3))
    pose = _rotation(np.deg2rad(TILT_DEGREES) * np.clip(rng.standard_normal(3), -2, 2)) * size
    slices, rows, columns = scanner.shape
    dz, dy, dx = scanner.spacing_mm
    focus_at = pose @ np.asarray(focus.center)
    slack = max(slices * dz / 2 - 32.0, 4.0)
    center_z = focus_at[2] + rng.uniform(-1, 1) * slack * 0.8
    front = (pose @ np.array([0.0, -FACE_FRONT_MM, -45.0]))[1] - FRONT_MARGIN_MM
    thin = scanner.thin_slices
    z = (np.arange(slices * thin + 2) - (slices * thin + 1) / 2) * dz / thin + center_z
    y = front + np.arange(rows) * dy
    x = (np.arange(columns) - (columns - 1) / 2) * dx + rng.uniform(-4, 4) + 0.25 * focus_at[0]
    axes = (z.astype(np.float32), y.astype(np.float32), x.astype(np.float32))
    waves = [_waves(rng, axes) for _ in range(3)]
    to_head = np.linalg.inv(pose).astype(np.float32)
    head_x, head_y, head_z = (
        (row[2] * axes[0])[:, None, None] + (row[1] * axes[1])[None, :, None] + (row[0] * axes[2]) + wave
        for row, wave in zip(to_head, waves, strict=True)
    )
    grain, folds = (_noise(rng, head_x.shape, sigma) for sigma in (GRAIN_SIGMA, FOLDS_SIGMA))
    return Canvas(head_x, head_y, head_z, dy, grain, folds), axes


def _waves(rng: np.random.Generator, axes: tuple[Array, Array, Array]) -> Array:
    """Draw slow random waves over the canvas, mm, that make a head asymmetric and its organs irregular."""
    total = np.zeros(tuple(len(axis) for axis in axes), np.float32)
    for _ in range(WARP_WAVES):
        z, y, x = (
            np.cos(2 * np.pi * axis / rng.uniform(*WARP_PERIOD_MM) + rng.uniform(0, 2 * np.pi)).astype(np.float32)
            for axis in axes
        )
        total += (np.float32(WARP_MM * np.sqrt(2)) * z[:, None] * y)[:, :, None] * x
    return total


def _noise(rng: np.random.Generator, shape: tuple[int, ...], sigma: tuple[float, ...]) -> Array:
    noise = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), sigma, truncate=2.5)
    smooth: Array = noise / noise.std()
    return smooth


def _thick(thin: Array, slices: int) -> Array:
    """Average thin slices, one more at each end than needed, to thick ones."""
    each = (len(thin) - 2) // slices
    weights = [CROSSTALK, *[(1 - 2 * CROSSTALK) / each] * each, CROSSTALK]
    thick: Array = np.zeros((slices, *thin.shape[1:]), np.float32)
    for offset, weight in enumerate(weights):
        thick += np.float32(weight) * thin[offset : offset + (slices - 1) * each + 1 : each]
    return thick


def _contour(filled: Array) -> NDArray[np.uint8]:
    """Return what an expert draws round a lesion that fills each voxel by a share: smooth in-plane, without specks."""
    drawn = ndimage.gaussian_filter(filled, (0, CONTOUR_SIGMA, CONTOUR_SIGMA)) > 0.5
    pieces, _ = ndimage.label(drawn, np.ones((3, 3, 3)))
    sizes = np.bincount(pieces.ravel())
    kept = np.flatnonzero(sizes >= min(SMALLEST_PIECE, sizes[1:].max(initial=0)))
    mask: NDArray[np.uint8] = np.isin(pieces, kept[kept > 0]).astype(np.uint8)
    return mask


def _acquire(rng: np.random.Generator, scanner: Scanner, signal: Array, body: Array) -> NDArray[np.float32]:
    """Return what a scanner makes of the signal: blur, coil shading, Rician noise, its own scale, whole numbers."""
    blurred = ndimage.gaussian_filter(signal, (0, POINT_SPREAD, POINT_SPREAD))
    shaded = blurred * np.exp(_shading(rng, signal.shape))
    noise = scanner.noise * rng.uniform(0.7, 1.3)
    real, imaginary = rng.standard_normal((2, *signal.shape), dtype=np.float32) * np.float32(noise)
    image = np.hypot(shaded + real, imaginary)
    if scanner.blanked:
        image *= ndimage.binary_dilation(body > 0.5, iterations=2)
    scale = UNIT_LEVEL * np.exp(rng.uniform(*np.log(SCALE)))
    whole: NDArray[np.float32] = np.rint(image * scale).astype(np.float32)
    return whole


def _shading(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Draw the logarithm of the coils' sensitivity: a random quadratic over the volume."""
    z, y, x = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in shape)]
    a = BIAS * rng.standard_normal(6)
    field: Array = (a[0] * z + a[1] * y + a[2] * x + a[3] * y * x + a[4] * y * y + a[5] * x * x).astype(np.float32)
    field -= field.mean()
    return field


def _draw_geometry(rng: np.random.Generator, shape: tuple[int, ...], spacing_mm: Spacing) -> Geometry:
    """Draw a grid of slices near the world's origin, oblique for some."""
    angles = rng.uniform(-1, 1, 3) * np.deg2rad(OBLIQUE_DEGREES) * (rng.random() < OBLIQUE_SHARE)
    direction = _rotation(angles)
    slices, rows, columns = shape
    middle = (np.array([columns, rows, slices]) - 1) / 2 * spacing_mm[::-1]
    x, y, z = (float(v) for v in np.round(rng.uniform(-15, 15, 3) - direction @ middle, 3))
    a, b, c, d, e, f, g, h, i = (float(v) for v in direction.ravel())
    return Geometry((slices, rows, columns), spacing_mm, (x, y, z), (a, b, c, d, e, f, g, h, i))


def _rotation(angles: Floats) -> Floats:
    """Return the rotation about x, then y, then z, by angles in radians."""
    (sx, sy, sz), (cx, cy, cz) = np.sin(angles), np.cos(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    rotation: Floats = about_z @ about_y @ about_x
    return rotation
