"""Two scans of one patient brought together by SimpleITK."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from vmseg_auto.data.images.itk import quiet, to_sitk
from vmseg_auto.followup.rigid import RigidTransform
from vmseg_auto.utils.geometry import Geometry

_GRID_MM = 2.0
"""Both scans are compared on voxels of this size: a rigid transform is found more finely than that."""
_SAMPLES = 0.2
_SEED = 12345
_BINS = 32


def find_transform(
    fixed: NDArray[np.float32], fixed_grid: Geometry, moving: NDArray[np.float32], moving_grid: Geometry
) -> RigidTransform | None:
    """Find the rigid transform that brings two scans together.

    Mutual information (Mattes et al., IEEE TMI 2003, 22:120) on a seeded sample of voxels, from coarse to fine, begun
    from the scanner's own coordinates, from the grids' centres and from the centres of what is bright. The same scans
    give the same transform.

    Args:
        fixed, moving: the first and the second scan (Z, Y, X).
        fixed_grid, moving_grid: their grids.

    Returns:
        What takes a place in the first scan's world to the second's; None where SimpleITK finds none, as of scans that
        overlap from none of these, or of less than four voxels along an axis.
    """
    with quiet():
        try:
            return _found(_even(to_sitk(fixed, fixed_grid)), _even(to_sitk(moving, moving_grid)))
        except RuntimeError:
            return None


def _found(still: sitk.Image, other: sitk.Image) -> RigidTransform:
    """Return the best transform from several starts. Raises RuntimeError where none of them leads to one."""
    begun = []
    for start in _starts(still, other):
        with suppress(RuntimeError):  # the scans do not overlap from here
            begun.append(_optimise(still, other, start, shrink=(4,), blur_mm=(4.0,)))
    if not begun:
        raise RuntimeError("no start is good enough")
    _, best = min(begun, key=lambda found: found[0])
    _, found = _optimise(still, other, best, shrink=(2, 1), blur_mm=(2.0, 0.0))
    rotation = np.array(found.GetMatrix()).reshape(3, 3)
    center = np.array(found.GetCenter())
    shift = center + found.GetTranslation() - rotation @ center
    return RigidTransform(tuple(rotation.ravel().tolist()), tuple(shift.tolist()))


def _optimise(
    fixed: sitk.Image, moving: sitk.Image, start: sitk.Euler3DTransform, shrink: Sequence[int], blur_mm: Sequence[float]
) -> tuple[float, sitk.Euler3DTransform]:
    """Return the metric that is reached (the lower the better), and the transform."""
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfWorkUnits(1)  # sums of several threads differ in their last bits
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(_SAMPLES, _SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=2.0, minStep=1e-3, numberOfIterations=200, relaxationFactor=0.6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(list(shrink))
    method.SetSmoothingSigmasPerLevel(list(blur_mm))
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    transform = sitk.Euler3DTransform(start)
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(fixed, moving)
    return method.GetMetricValue(), transform


def _starts(fixed: sitk.Image, moving: sitk.Image) -> list[sitk.Euler3DTransform]:
    found = []
    for kind in (sitk.CenteredTransformInitializerFilter.GEOMETRY, sitk.CenteredTransformInitializerFilter.MOMENTS):
        started = sitk.CenteredTransformInitializer(fixed, moving, sitk.Euler3DTransform(), kind)
        found.append(sitk.Euler3DTransform(started))
    as_scanned = sitk.Euler3DTransform()
    as_scanned.SetCenter(found[0].GetCenter())
    return [as_scanned, *found]


def _even(image: sitk.Image) -> sitk.Image:
    """Resample a scan to cubic voxels of _GRID_MM."""
    size = [max(1, round(n * mm / _GRID_MM)) for n, mm in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    corner = image.TransformContinuousIndexToPhysicalPoint([_GRID_MM / mm / 2 - 0.5 for mm in image.GetSpacing()])
    grid = sitk.Image(size, sitk.sitkFloat32)
    grid.SetSpacing([_GRID_MM] * 3)
    grid.SetOrigin(corner)
    grid.SetDirection(image.GetDirection())
    smooth = image
    for axis, mm in enumerate(image.GetSpacing()):
        if mm < _GRID_MM and image.GetSize()[axis] > 4:
            smooth = sitk.RecursiveGaussian(smooth, _GRID_MM / 2, direction=axis)
    return sitk.Resample(smooth, grid, sitk.Transform(), sitk.sitkLinear, 0.0)
