"""Masks as readers draw them: label values, or named segments of 3D Slicer's .seg.nrrd and of DICOM objects.

Slicer's file is a NRRD whose header names the segments: SegmentN_Name, SegmentN_LabelValue and SegmentN_Layer (3D
Slicer developer guide, "Segmentation labelmap file format"). Segments that overlap lie in several layers. Files of
versions before 4.11 give no label values: there each layer is one segment. Slicer numbers segments as it likes when it
saves, so that a segment is known by its name.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.codes import coded
from vmseg_auto.data.grids import place, placement
from vmseg_auto.data.images.images import read_layers, read_mask
from vmseg_auto.data.images.registry import SEGMENTS, ending_of
from vmseg_auto.utils.atomic import replacing
from vmseg_auto.utils.console import shown
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.label_masks import label_values, with_ignored
from vmseg_auto.utils.labels import IGNORE, IGNORE_LABEL, foreground_labels, labels_in_words, refuse_regions
from vmseg_auto.utils.names import key

_SEGMENT = re.compile(r"Segment(\d+)_ID")
_REPRESENTATIONS = ("Segmentation_SourceRepresentation", "Segmentation_MasterRepresentation")
_BINARY = "Binary labelmap"
_COMPRESSION = 6


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
        has_values: whether a reader may have chosen the values; those of DICOM objects are running numbers.
    """

    segments: tuple[Segment, ...]
    layers: NDArray[np.uint8]
    geometry: Geometry
    has_values: bool = True

    def where(self, segment: Segment) -> NDArray[np.bool_]:
        """Return the voxels of a segment, [Z, Y, X]."""
        inside: NDArray[np.bool_] = self.layers[segment.layer] == segment.value
        return inside

    def union(self, segments: Sequence[Segment]) -> tuple[NDArray[np.uint8], int]:
        """Return 1 where any of the segments is, uint8 [Z, Y, X]; and the number of voxels where several are."""
        count = np.zeros(self.geometry.shape, dtype=np.uint16)
        for segment in segments:
            count += self.where(segment)
        return (count > 0).astype(np.uint8), int(np.count_nonzero(count > 1))

    @property
    def labels(self) -> dict[str, int]:
        """Name -> label value; of names with the same value in several layers, all but the first get a free one."""
        return numbered((segment.name, segment.value) for segment in self.segments)

    def as_labels(self, labels: Mapping[str, int]) -> NDArray[np.uint8]:
        """Label values, uint8 [Z, Y, X].

        A segment is the label of its name (capitals make no difference). A file in which no segment has a label's name
        is read by its label values; a DICOM object, which has none, where it has one segment and there is one label.

        Args:
            labels: name -> value.

        Raises:
            InputError: a segment with voxels is none of the labels, segments of two labels overlap, or labels are
                regions.
        """
        refuse_regions(labels, "reading segments of a .seg.nrrd")
        mask = np.zeros(self.geometry.shape, dtype=np.uint8)
        for segment, value in zip(self.segments, self._values(labels), strict=True):
            inside = self.where(segment)
            if value is None and inside.any():
                raise InputError(
                    f"segment {segment.name} is no label ({labels_in_words(labels)})",
                    remedy="Rename it in 3D Slicer as the label that it is, or remove it.",
                )
            if value is None:
                continue
            if overlap := int(np.count_nonzero(inside & (mask != 0) & (mask != value))):
                raise InputError(
                    f"segment {segment.name} shares {overlap} voxels with another label's",
                    remedy='Draw them apart (in 3D Slicer, "Modify other segments: overwrite all"), and save again.',
                )
            mask[inside] = value
        return mask

    def renamed(self, labels: Mapping[str, int]) -> list[str]:
        """Say which segments are read as labels of other names."""
        names = {value: name for name, value in labels.items()}
        pairs = [
            (one.name, names[value]) for one, value in zip(self.segments, self._values(labels), strict=True) if value
        ]
        return [f"the segment {own} is read as {label}" for own, label in pairs if key(own) != key(label)]

    def _values(self, labels: Mapping[str, int]) -> list[int | None]:
        """Return the label value of each segment; None of those that are no label."""
        named = {key(name): value for name, value in labels.items() if value}
        own = [named.get(key(segment.name)) for segment in self.segments]
        if any(own):
            return own
        if own and not self.has_values and max(len(own), len(foreground_labels(labels))) > 1:
            segments = ", ".join(shown(segment.name) for segment in self.segments)
            raise InputError(
                f"no segment ({segments}) has the name of a label ({labels_in_words(labels)})",
                remedy="Rename the segments as the labels that they are; a DICOM object has no label values.",
            )
        return [segment.value if segment.value in named.values() else None for segment in self.segments]


def numbered(segments: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Name -> value of named values; a value that another name has already is replaced by the first free one."""
    found: dict[str, int] = {}
    for name, value in segments:
        if name not in found:
            taken = set(found.values())
            found[name] = next(number for number in (value, *range(1, 256)) if number not in taken)
    return found


def read_labels(
    path: Path,
    labels: Mapping[str, int] | None = None,
    grid: Geometry | None = None,
    case: str | None = None,
    notes: list[str] | None = None,
) -> tuple[NDArray[np.uint8], Geometry]:
    """Read a mask of any format as label values, by the one rule of all commands (utils/labels.py).

    Args:
        path: ends with one of mask_endings().
        labels: name -> value, by which segments of a .seg.nrrd are known; the mask may hold no other values. Unless
            given, all values are read, and segments by their own label values. What has the label `ignore` is read as
            IGNORE.
        grid: of the scan. A .seg.nrrd that holds a part of its voxels, as 3D Slicer may save it, is put on it; a DICOM
            SEG or RTSTRUCT can't be read without it.
        case: for messages.
        notes: where 255 is read as 1, or a DICOM object's segment as a label of another name, that is appended here.

    Returns:
        uint8 [Z, Y, X] and its grid.

    Raises:
        InputError: as `read_mask` and `read_segmentation`; values or segments that are no label; segments that
            overlap; a .seg.nrrd whose voxels are not those of the grid; every voxel is ignored.
    """
    try:
        mask, own = _read_values(path, labels, grid, case, notes)
        mask = with_ignored(mask, labels or {})
        if labels is not None and IGNORE_LABEL in labels and (mask == IGNORE).all():
            raise InputError("nobody has annotated it: every voxel is ignored", remedy="Outline slices, or remove it.")
        return mask, own
    except InputError as error:
        error.case, error.file = error.case or case, error.file or path
        raise


def _read_values(
    path: Path, labels: Mapping[str, int] | None, grid: Geometry | None, case: str | None, notes: list[str] | None
) -> tuple[NDArray[np.uint8], Geometry]:
    """Return the values as the labels give them, and their grid; see `read_labels`."""
    if ending_of(path.name) not in (SEGMENTS, None):
        voxels, own = read_mask(path, case)
        known = label_values(voxels, labels) if labels is not None else voxels
        if known is not voxels and notes is not None:
            notes.append("the mask holds 0 and 255, read as 0 and 1")
        return known, own
    read = read_segmentation(path, grid)
    named = labels if labels is not None else read.labels
    mask = read.as_labels(named)
    if notes is not None and ending_of(path.name) is None:
        notes += read.renamed(named)
    if grid is None:
        return mask, read.geometry
    return place(mask, placement(read.geometry, grid)), grid


def read_segmentation(path: Path, grid: Geometry | None = None) -> Segmentation:
    """Read a mask with the names of its segments.

    Args:
        path: an image file; any other is a DICOM SEG or RTSTRUCT.
        grid: of the scan, on which a DICOM object is put.

    Raises:
        InputError: as `read_mask`, or segments that are no binary label maps or that lie outside the file, or voxels of
            none of them; of a DICOM object without a grid, or as `read_mask_object` and `MaskObject.on`.
    """
    if ending_of(path.name) is None:
        from vmseg_auto.data.dicom.mask_objects import read_mask_object  # most masks are image files

        if grid is None:
            problem = "a DICOM object does not tell the voxels of its scan"
            raise InputError(problem, file=path, remedy="Give its scan too, or the mask as an image file.")
        return read_mask_object(path).on(grid)
    layers, geometry, texts = read_layers(path)
    numbers = sorted(int(found[1]) for field in texts if (found := _SEGMENT.fullmatch(field)))
    if numbers:
        segments = [_segment(texts, number, place, path, len(layers)) for place, number in enumerate(numbers)]
        _require_all_named(layers, segments, path)
        return Segmentation(tuple(segments), layers, geometry)
    if len(layers) > 1:
        raise InputError(
            f"the mask has {len(layers)} values a voxel, and nothing says which segments they are",
            file=path,
            remedy="Save it from 3D Slicer as .seg.nrrd, or as one label map.",
        )
    values = np.unique(layers)
    return Segmentation(tuple(Segment(str(value), 0, int(value)) for value in values if value), layers, geometry)


def segment_names(path: Path) -> list[tuple[str, int]]:
    """Return the name of each segment of a .seg.nrrd file or DICOM object, and its value.

    Raises:
        InputError: as `read_segmentation`, as far as is looked at.
    """
    if ending_of(path.name) is None:
        from vmseg_auto.data.dicom.mask_objects import read_mask_object  # most masks are image files

        return [(name, value) for value, name in enumerate(read_mask_object(path).names, 1)]
    return [(segment.name, segment.value) for segment in read_segmentation(path).segments]


def write_segmentation(
    path: Path, mask: NDArray[np.uint8], geometry: Geometry, labels: Mapping[str, int], colours: Mapping[str, str]
) -> None:
    """Write a mask as 3D Slicer writes a segmentation of one layer, whole or not at all.

    Args:
        path: ends with .seg.nrrd.
        mask: uint8 [Z, Y, X] of label values.
        geometry: the grid, of the same shape.
        labels: name -> value; 0 is the background. A label that the mask lacks is a segment without voxels.
        colours: label name -> #RRGGBB.

    Raises:
        VmsegError: the file can't be written.
    """
    if mask.shape != geometry.shape:
        raise ValueError(f"an array of {mask.shape} for a grid of {geometry.shape}")
    header = "\n".join([*_grid_fields(geometry), *_segment_fields(mask, labels, colours)])
    with replacing(path) as temporary:
        with temporary.open("wb") as file:
            file.write(header.encode() + b"\n\n")
            with gzip.GzipFile("", "wb", _COMPRESSION, file, mtime=0) as packed:  # same voxels, same bytes
                packed.write(np.ascontiguousarray(mask, dtype=np.uint8).data)
        try:
            whole = np.array_equal(read_labels(temporary, labels)[0], mask)
        except InputError as error:
            raise OSError(f"what was written can't be read back: {error.problem}") from error
        if not whole:
            raise OSError("what was written is not what can be read back")


def _grid_fields(geometry: Geometry) -> list[str]:
    steps = geometry.affine[:3, :3].T
    axes = " ".join(f"({','.join(repr(float(step)) for step in axis)})" for axis in steps)
    return [
        "NRRD0004",
        "# Complete NRRD file format specification at:",
        "# http://teem.sourceforge.net/nrrd/format.html",
        "type: unsigned char",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {' '.join(str(size) for size in geometry.shape[::-1])}",
        f"space directions: {axes}",
        "kinds: domain domain domain",
        "encoding: gzip",
        f"space origin: ({','.join(repr(float(place)) for place in geometry.origin_mm)})",
    ]


def _segment_fields(mask: NDArray[np.uint8], labels: Mapping[str, int], colours: Mapping[str, str]) -> list[str]:
    fields: dict[str, str] = {}
    drawn = sorted((value, name) for name, value in labels.items() if value)
    for number, (value, name) in enumerate(drawn):
        rgb = (int(colours[name][at : at + 2], 16) / 255 for at in (1, 3, 5))
        of_segment = {
            "Color": " ".join(f"{part:.6g}" for part in rgb),
            "ColorAutoGenerated": "0",
            "Extent": " ".join(map(str, _extent(mask == value))),
            "ID": f"Segment_{value}",
            "LabelValue": str(value),
            "Layer": "0",
            "Name": name,
            "NameAutoGenerated": "0",
            "Tags": f"Segmentation.Status:inprogress|TerminologyEntry:{_terminology(name)}|",
        }
        fields |= {f"Segment{number}_{field}": text for field, text in of_segment.items()}
    fields |= {
        "Segmentation_ContainedRepresentationNames": f"{_BINARY}|",
        "Segmentation_MasterRepresentation": _BINARY,
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
        "Segmentation_SourceRepresentation": _BINARY,
    }
    return [f"{field}:={text.replace(chr(92), chr(92) * 2)}" for field, text in fields.items()]


def _extent(inside: NDArray[np.bool_]) -> list[int]:
    """Return the first and last index along x, y and z; 0 and -1 where there is no voxel."""
    ends = []
    for axis in (2, 1, 0):
        along = np.flatnonzero(inside.any(axis=tuple(other for other in range(3) if other != axis)))
        ends += [int(along[0]), int(along[-1])] if len(along) else [0, -1]
    return ends


def _terminology(label: str) -> str:
    """Return a label's codes as Slicer's terminology entry: category, type and region, each with a modifier."""
    codes = coded(label)
    category, kind, structure = (
        "^".join((code[1], code[0], code[2])) if code else "^^"
        for code in (codes.category, codes.kind, codes.structure)
    )
    lists = "Segmentation category and type - 3D Slicer General Anatomy list", "Anatomic codes - DICOM master list"
    return "~".join((lists[0], category, kind, "^^", lists[1], structure, "^^"))


def _require_all_named(layers: NDArray[np.uint8], segments: Sequence[Segment], path: Path) -> None:
    for number, layer in enumerate(layers):
        named = [0, *(one.value for one in segments if one.layer == number)]
        if unnamed := int(np.count_nonzero(~np.isin(layer, named))):
            raise InputError(
                f"{unnamed} of its voxels belong to none of the segments that the header names",
                file=path,
                remedy="Save it again from 3D Slicer.",
            )


def _segment(texts: Mapping[str, str], number: int, place: int, path: Path, layers: int) -> Segment:
    kind = next((texts[field].strip() for field in _REPRESENTATIONS if field in texts), "")
    if kind and _BINARY.lower() not in kind.lower():
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
