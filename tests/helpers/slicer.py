"""Segmentation files as 3D Slicer writes them, made by hand from its description of the format."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.utils.geometry import Geometry


def write_seg_nrrd(
    path: Path,
    layers: NDArray[np.uint8],
    geometry: Geometry,
    segments: Mapping[str, tuple[int, int]],
    **changes: Any,
) -> Path:
    """A .seg.nrrd.

    Args:
        layers: [L, Z, Y, X]; one layer makes a file of three dimensions, as in Slicer.
        segments: name -> (layer, label value).
        changes: further fields of the header, or None for those to leave out.
    """
    count, z, y, x = layers.shape
    columns = np.array(geometry.direction).reshape(3, 3) * np.array(geometry.spacing_mm[::-1])
    axes = " ".join("(" + ",".join(f"{value!r}" for value in column.tolist()) + ")" for column in columns.T)
    several = count > 1
    head = [
        "NRRD0005",
        "type: unsigned char",
        f"dimension: {3 + several}",
        "space: left-posterior-superior",
        f"sizes: {f'{count} ' if several else ''}{x} {y} {z}",
        f"space directions: {'none ' if several else ''}{axes}",
        f"kinds: {'list ' if several else ''}domain domain domain",
        "encoding: gzip",
        f"space origin: ({','.join(repr(float(value)) for value in geometry.origin_mm)})",
    ]
    fields: dict[str, Any] = {"Segmentation_SourceRepresentation": "Binary labelmap"}
    for number, (name, (layer, value)) in enumerate(segments.items()):
        fields |= {
            f"Segment{number}_ID": f"Segment_{number + 1}",
            f"Segment{number}_Name": name,
            f"Segment{number}_LabelValue": value,
            f"Segment{number}_Layer": layer,
        }
    fields |= changes
    head += [f"{key}:={value}" for key, value in fields.items() if value is not None]
    voxels = np.moveaxis(layers, 0, -1) if several else layers[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("\n".join(head).encode() + b"\n\n" + gzip.compress(np.ascontiguousarray(voxels).tobytes()))
    return path
