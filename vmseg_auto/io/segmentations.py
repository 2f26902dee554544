"""Masks as readers draw them: label values, or the named segments of 3D Slicer's .seg.nrrd.

Slicer's file is a NRRD whose header names the segments: SegmentN_Name, SegmentN_LabelValue and SegmentN_Layer (3D
Slicer developer guide, "Segmentation labelmap file format"). Segments that overlap lie in several layers. Files of
versions before 4.11 give no label values: there each layer is one segment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.core.console import shown
from vmseg_auto.core.errors import InputError
from vmseg_auto.core.geometry import Geometry
from vmseg_auto.io.images import read_layers

_SEGMENT = re.compile(r"Segment(\d+)_ID")
_REPRESENTATIONS = ("Segmentation_SourceRepresentation", "Segmentation_MasterRepresentation")


@dataclass(frozen=True)
class Segment:
    """One of the structures drawn in a file.

    Args:
        name: as its reader called it; "1", "2", ... in files that hold label values alone.
        layer: where it lies in `Segmentation.layers`.
        value: its label value there.
    """

    name: str
    layer: int
    value: int


@dataclass(frozen=True)
class Segmentation:
    """What a reader has drawn on one scan.

    Args:
        segments: in the order of the file.
        layers: uint8 [L, Z, Y, X].
        geometry: the grid of each layer; it may be a part of the scan's.
    """

    segments: tuple[Segment, ...]
    layers: NDArray[np.uint8]
    geometry: Geometry

    def union(self, segments: Sequence[Segment]) -> tuple[NDArray[np.uint8], int]:
        """1 where any of the segments is, uint8 [Z, Y, X]; and the number of voxels where several are."""
        count = np.zeros(self.geometry.shape, dtype=np.uint16)
        for segment in segments:
            count += self.layers[segment.layer] == segment.value
        return (count > 0).astype(np.uint8), int(np.count_nonzero(count > 1))


def read_segmentation(path: Path) -> Segmentation:
    """Read a mask with the names of its segments.

    Raises:
        InputError: as `read_mask`, or segments that are no binary label maps or that lie outside the file.
    """
    layers, geometry, texts = read_layers(path)
    numbers = sorted(int(found[1]) for key in texts if (found := _SEGMENT.fullmatch(key)))
    if numbers:
        segments = [_segment(texts, number, place, path, len(layers)) for place, number in enumerate(numbers)]
        return Segmentation(tuple(segments), layers, geometry)
    if len(layers) > 1:
        raise InputError(
            f"the mask has {len(layers)} values a voxel, and nothing says which segments they are",
            file=path,
            remedy="Save it from 3D Slicer as .seg.nrrd, or as one label map.",
        )
    values = np.unique(layers)
    return Segmentation(tuple(Segment(str(value), 0, int(value)) for value in values if value), layers, geometry)


def _segment(texts: Mapping[str, str], number: int, place: int, path: Path, layers: int) -> Segment:
    kind = next((texts[key].strip() for key in _REPRESENTATIONS if key in texts), "")
    if kind and "binary labelmap" not in kind.lower():
        raise InputError(
            f"its segments are stored as {shown(kind, lines=False)}",
            file=path,
            remedy='In 3D Slicer\'s Segmentations module make "Binary labelmap" the source representation; save again.',
        )
    field = f"Segment{number}_"
    name = shown(texts.get(f"{field}Name") or texts[f"{field}ID"], lines=False)
    try:
        layer = int(texts.get(f"{field}Layer", place))
        value = int(texts.get(f"{field}LabelValue", 1))
    except ValueError:
        raise InputError(
            f"the header gives segment {name} no whole number as layer or label value",
            file=path,
            remedy="Save it again.",
        ) from None
    if not 0 <= layer < layers or not 0 < value < 256:
        raise InputError(
            f"the header puts segment {name} at layer {layer}, value {value}, but the file has {layers} layers "
            "and values from 0 to 255",
            file=path,
            remedy="Save it again from 3D Slicer.",
        )
    return Segment(name, layer, value)
