"""Masks that others have drawn, as DICOM objects: Segmentations (SEG, PS3.3, A.51) and Structure Sets (RTSTRUCT, A.19).

Both lie in the patient's coordinates, and are put on the grid of a scan as strictly as any mask: the frames of a
Segmentation must hold the scan's own voxels, and contours must lie in the planes of its slices. A voxel belongs to a
contour if its centre lies within. A contour within another is a hole, as drawing programs show it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.filereader import read_file_meta_info

from vmseg_auto.data.dicom.contours import filled
from vmseg_auto.data.dicom.elements import Tag, hushed, parsed, text
from vmseg_auto.data.dicom.files import DicomFiles
from vmseg_auto.data.dicom.pixels import IMPLICIT, LITTLE
from vmseg_auto.data.dicom.series import Series
from vmseg_auto.data.dicom.sop_class import MASKS, SEG
from vmseg_auto.data.grids import TOLERANCE, place_into, placement
from vmseg_auto.data.images.segmentations import Segment, Segmentation
from vmseg_auto.utils.console import shown
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry

_MOST_BYTES = 1 << 29
_MOST_SEGMENTS = 255
_AGAIN = "Export it again from the program that drew it."
_CLOSED, _XOR = "CLOSED_PLANAR", "CLOSEDPLANAR_XOR"


@dataclass(frozen=True)
class MaskObject:
    """A Segmentation or Structure Set.

    Args:
        path: of its file.
        kind: in words.
        names: of its segments or regions of interest, in the order of their numbers.
        series: SeriesInstanceUIDs that it refers to.
        frame_of_reference: in which it was drawn; empty where it doesn't tell.
    """

    path: Path
    kind: str
    names: tuple[str, ...]
    series: frozenset[str]
    frame_of_reference: str
    _data: Dataset

    def is_of(self, scan: Series) -> bool:
        """Return whether it was drawn on a series: it refers to it, or, where it names none, lies in its frame of
        reference.
        """
        with DicomFiles() as files:
            header = parsed(scan.files[0], files, pixels=False)
        own, frame = text(header, Tag.SERIES), text(header, Tag.FRAME_OF_REFERENCE)
        return own in self.series if self.series else bool(frame) and frame == self.frame_of_reference

    def on(self, grid: Geometry) -> Segmentation:
        """Return it on the grid of the scan that it was drawn on.

        Raises:
            InputError: its voxels are not the grid's, or contours lie in none of its planes, cross, or reach out of it.
        """
        segments: list[Segment] = []
        layers: list[NDArray[np.uint8]] = []
        try:
            drawn = _frames(self._data, grid) if self.kind == MASKS[SEG] else _contours(self._data, grid)
            for value, (name, inside) in enumerate(zip(self.names, drawn, strict=True), 1):
                free = (number for number, layer in enumerate(layers) if not (layer[inside] != 0).any())
                number = next(free, len(layers))
                if number == len(layers):
                    layers.append(np.zeros(grid.shape, dtype=np.uint8))
                layers[number][inside] = value
                segments.append(Segment(name, number, value))
        except InputError as error:
            raise InputError(error.problem, file=self.path, remedy=error.remedy) from None
        except Exception:  # pydicom on hostile bytes, and numbers of any kind: whatever they stumble over
            raise _damaged(self.path) from None
        whole = layers or [np.zeros(grid.shape, dtype=np.uint8)]
        return Segmentation(tuple(segments), np.stack(whole), grid, has_values=False)


def read_mask_object(path: Path) -> MaskObject:
    """Read a DICOM SEG or RTSTRUCT.

    Raises:
        InputError: it is none, damaged, compressed, not binary, or has no segments, or too many.
    """
    try:
        with hushed():
            meta = read_file_meta_info(path)
            kind = MASKS.get(str(meta.get("MediaStorageSOPClassUID", "")))
            if kind is None:
                raise InputError("it is neither a DICOM SEG nor an RTSTRUCT", remedy="Give the file of the mask.")
            if str(meta.TransferSyntaxUID) not in (LITTLE, IMPLICIT):
                raise InputError("it is compressed, and can't be read here", remedy="Export it uncompressed.")
            if path.stat().st_size > _MOST_BYTES:
                raise InputError(f"it is larger than {_MOST_BYTES >> 20} MB", remedy="Export fewer segments.")
            data = dcmread(path)
            if kind == MASKS[SEG]:
                names, series = _segments(data)
                frame = str(data.get("FrameOfReferenceUID", ""))
            else:
                names, series, frame = _regions(data)
        if not 0 < len(names) <= _MOST_SEGMENTS:
            raise InputError(f"it has {len(names)} segments, and 1 to {_MOST_SEGMENTS} can be read", remedy=_AGAIN)
    except InputError as error:
        raise InputError(error.problem, file=path, remedy=error.remedy) from None
    except Exception:  # pydicom on hostile bytes: whatever it stumbles over
        raise _damaged(path) from None
    return MaskObject(path, kind, tuple(shown(name, lines=False) for name in names), frozenset(series), frame, data)


def _damaged(path: Path) -> InputError:
    return InputError("the file is damaged, or lacks what tells where its mask lies", file=path, remedy=_AGAIN)


def _segments(data: Dataset) -> tuple[list[str], set[str]]:
    """Return the names of the segments of a SEG, and the series that it refers to."""
    if data.SegmentationType != "BINARY":
        problem = f"its segments are stored as {str(data.SegmentationType).lower()}, and only binary ones can be read"
        raise InputError(problem, remedy="Export it as a binary segmentation.")
    series = {str(item.SeriesInstanceUID) for item in data.get("ReferencedSeriesSequence", [])}
    return [str(one.SegmentLabel) for one in _by_number(data)], series


def _by_number(data: Dataset) -> list[Dataset]:
    return sorted(data.SegmentSequence, key=lambda one: int(one.SegmentNumber))


def _frames(data: Dataset, grid: Geometry) -> Iterator[NDArray[np.bool_]]:
    """Yield the voxels [Z, Y, X] of each segment of a SEG on the grid."""
    rows, columns, count = int(data.Rows), int(data.Columns), int(data.NumberOfFrames)
    size = rows * columns
    if len(data.PixelData) < (count * size + 7) // 8 or len(data.PerFrameFunctionalGroupsSequence) != count:
        raise InputError("it is cut short", remedy=_AGAIN)
    packed = np.frombuffer(data.PixelData, dtype=np.uint8)
    (shared,) = data.get("SharedFunctionalGroupsSequence") or [Dataset()]
    of_segment: dict[int, list[int]] = defaultdict(list)
    for number, groups in enumerate(data.PerFrameFunctionalGroupsSequence):
        of_segment[int(_group(groups, shared, "SegmentIdentificationSequence").ReferencedSegmentNumber)].append(number)
    numbers = [int(one.SegmentNumber) for one in _by_number(data)]
    if odd := set(of_segment) - set(numbers):
        raise InputError(f"it has frames of a segment {min(odd)}, which it does not describe", remedy=_AGAIN)
    for segment in numbers:
        inside = np.zeros(grid.shape, dtype=np.uint8)
        for number in of_segment[segment]:
            first = number * size
            bits = np.unpackbits(packed[first // 8 : (first + size + 7) // 8], bitorder="little")
            frame = bits[first % 8 : first % 8 + size].reshape(1, rows, columns)
            own = _frame_grid(data.PerFrameFunctionalGroupsSequence[number], shared, (rows, columns), grid)
            place_into(inside, frame, placement(own, grid))
        yield inside != 0


def _frame_grid(groups: Dataset, shared: Dataset, shape: tuple[int, int], grid: Geometry) -> Geometry:
    """Return the grid of one frame, a slice as thick as the grid's along its normal."""
    position = _group(groups, shared, "PlanePositionSequence").ImagePositionPatient
    orientation = _group(groups, shared, "PlaneOrientationSequence").ImageOrientationPatient
    cosines = np.reshape(orientation, (2, 3)).astype(float)
    spacing = _group(groups, shared, "PixelMeasuresSequence").PixelSpacing
    normal = np.cross(*cosines)
    axes = np.stack([*cosines, normal], axis=1)
    along = int(np.abs(np.array(grid.direction).reshape(3, 3).T @ normal).argmax())
    step = grid.spacing_mm[2 - along]
    where = tuple(float(number) for number in position)
    direction: Any = tuple(float(number) for number in axes.ravel())
    return Geometry((1, *shape), (step, float(spacing[0]), float(spacing[1])), where, direction)  # type: ignore[arg-type]


def _group(groups: Dataset, shared: Dataset, keyword: str) -> Dataset:
    """Return the one item of a functional group: the frame's own, else that of all frames."""
    found = groups.get(keyword) or shared.get(keyword)
    item: Dataset = found[0]
    return item


def _regions(data: Dataset) -> tuple[list[str], set[str], str]:
    """Return the names of the regions of an RTSTRUCT, the series that it refers to, and its frame of reference."""
    frames = data.get("ReferencedFrameOfReferenceSequence", [])
    series = {
        str(item.SeriesInstanceUID)
        for frame in frames
        for study in frame.get("RTReferencedStudySequence", [])
        for item in study.get("RTReferencedSeriesSequence", [])
    }
    uids = {str(frame.FrameOfReferenceUID) for frame in frames}
    names = [str(one.get("ROIName") or one.ROINumber) for one in data.StructureSetROISequence]
    return names, series, uids.pop() if len(uids) == 1 else ""


def _contours(data: Dataset, grid: Geometry) -> Iterator[NDArray[np.bool_]]:
    """Yield the voxels [Z, Y, X] of each region of an RTSTRUCT on the grid."""
    drawn = {int(one.ReferencedROINumber): one.get("ContourSequence", []) for one in data.get("ROIContourSequence", [])}
    for region in data.StructureSetROISequence:
        name = shown(region.get("ROIName") or region.ROINumber, lines=False)
        slices: dict[tuple[int, int], list[NDArray[np.bool_]]] = defaultdict(list)
        crossing = False
        for contour in drawn.get(int(region.ROINumber), []):
            if contour.ContourGeometricType not in (_CLOSED, _XOR):
                problem = f"region {name} holds {str(contour.ContourGeometricType).lower()}, and no closed contour"
                raise InputError(problem, remedy="Draw closed contours, or delete the region.")
            crossing |= contour.ContourGeometricType == _XOR
            axis, number, corners = _in_plane(np.reshape(contour.ContourData, (-1, 3)).astype(float), grid, name)
            shape = tuple(size for place_, size in enumerate(grid.shape) if place_ != axis)
            slices[axis, number].append(filled(corners, (shape[0], shape[1])))
        inside = np.zeros(grid.shape, dtype=np.bool_)
        for (axis, number), parts in slices.items():
            np.moveaxis(inside, axis, 0)[number] |= _joined(parts, crossing, name, number)
        yield inside


def _in_plane(points_mm: NDArray[np.float64], grid: Geometry, name: str) -> tuple[int, int, NDArray[np.float64]]:
    """Return in which plane of the grid a contour lies: across which axis (of Z, Y, X), its number, and the corners
    [N, 2] as columns and rows of that plane, in voxels.

    Raises:
        InputError: in none, or not within the scan.
    """
    homogeneous = np.column_stack([points_mm, np.ones(len(points_mm))])
    indices = (homogeneous @ np.linalg.inv(grid.affine).T)[:, 2::-1]  # in the order (Z, Y, X)
    spacing = np.array(grid.spacing_mm)
    for axis in range(3):
        off_mm = np.abs(indices[:, axis] - np.rint(indices[0, axis])).max() * spacing[axis]
        if off_mm <= TOLERANCE * spacing.min():
            break
    else:
        problem = f"contours of region {name} lie in no plane of this scan's slices"
        raise InputError(problem, remedy="Give the scan that they were drawn on.")
    low, high = indices.min(axis=0), indices.max(axis=0)
    if (low < -0.5 - TOLERANCE).any() or (high > np.array(grid.shape) - 0.5 + TOLERANCE).any():
        problem = f"contours of region {name} reach out of this scan"
        raise InputError(problem, remedy="Check that mask and scan belong together.")
    down, right = (other for other in range(3) if other != axis)
    return axis, int(np.rint(indices[0, axis])), indices[:, [right, down]]


def _joined(parts: list[NDArray[np.bool_]], crossing: bool, name: str, number: int) -> NDArray[np.bool_]:
    """Return the voxels of the contours of one slice: those within an odd number of them.

    Args:
        crossing: whether the file says that contours may cross.
    """
    whole = np.zeros_like(parts[0])
    for place_, part in enumerate(parts):
        for other in parts[:place_]:
            both = np.count_nonzero(part & other)
            if both and not crossing and both not in (np.count_nonzero(part), np.count_nonzero(other)):
                problem = f"contours of region {name} cross in slice {number + 1}, and nobody can know what is meant"
                raise InputError(problem, remedy="Merge them in the program that drew them.")
        if crossing or not any(np.array_equal(part, other) for other in parts[:place_]):
            whole ^= part
    return whole
