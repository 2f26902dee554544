"""Cases as the network sees them and lie on disk: arrays that can be memory-mapped, and a record, written last."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.utils.arrays import UNREADABLE, map_array, read_arrays, write_arrays
from vmseg_auto.utils.atomic import read_stored, replacing, write_sealed
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.geometry import Box, Geometry, Shape
from vmseg_auto.utils.json_codec import Stored
from vmseg_auto.utils.open_files import TOO_MANY, too_many_files

_ANNOTATED = "annotated"
"""Name of these positions beside those of the classes."""
_REMEDY = "Delete this file and run `vmseg_plan_and_preprocess` again."


@dataclass(frozen=True)
class PreprocessedCase:
    """A case cropped, normalised and resampled.

    Args:
        id: the case's id.
        image: float32 [C, Z, Y, X], in the plan's axes and spacing; may be memory-mapped.
        label: uint8 [Z, Y, X] of class indices 0 to K - 1 (of regions the values in files), on the image's grid; IGNORE
            (255) where nobody has annotated; None without a mask.
        geometry: grid of the source files, in their own axes.
        crop_box: the part of that grid that was kept, in the files' axes.
        foreground: class index (of regions their number, from 1) -> voxel positions int32 [n, 3] in `label`, at most
            10,000 drawn at random.
        content: hash of the source files.
        annotated: positions int32 [n, 3] of voxels that are annotated, drawn alike; None where all are.
    """

    id: str
    image: NDArray[np.float32]
    label: NDArray[np.uint8] | None
    geometry: Geometry
    crop_box: Box
    foreground: dict[int, NDArray[np.int32]]
    content: str
    annotated: NDArray[np.int32] | None = None


@dataclass(frozen=True)
class _Record(Stored):
    """CASE.json: whatever of a case is no array. It stands only where all the arrays do.

    Args:
        checksums: CRC-32 of the voxels of "image" and "label"; empty in workspaces from before they were kept.
    """

    id: str
    content: str
    shape: Shape
    channels: int
    labelled: bool
    geometry: Geometry
    crop_box: Box
    checksums: dict[str, int] = field(default_factory=dict)
    schema: int = 1


class PreprocessedFolder:
    """A folder of cases preprocessed with one plan.

    CASE.npy holds the image, labels/CASE.npy the label, foreground/CASE.npz the foreground positions and
    CASE.json the rest. Labels and positions lie in folders of their own, so that no case's name can be mistaken
    for another case's label.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, case: PreprocessedCase) -> None:
        """Write a case. It counts as held only once everything is on the disk.

        Raises:
            VmsegError: the folder can't be written to, or the disk is full.
        """
        record = self._record_path(case.id)
        record.unlink(missing_ok=True)
        checksums = {"image": _save_array(self._image_path(case.id), case.image)}
        if case.label is not None:
            checksums["label"] = _save_array(self._label_path(case.id), case.label)
        positions = {str(index): found for index, found in case.foreground.items()}
        if case.annotated is not None:
            positions[_ANNOTATED] = case.annotated
        write_arrays(self._foreground_path(case.id), positions)
        _, z, y, x = case.image.shape
        about = _Record(
            id=case.id,
            content=case.content,
            shape=(z, y, x),
            channels=case.image.shape[0],
            labelled=case.label is not None,
            geometry=case.geometry,
            crop_box=case.crop_box,
            checksums=checksums,
        )
        write_sealed(record, about.to_json())

    def load(self, case_id: str) -> PreprocessedCase:
        """Read a case; its image and label are memory-mapped, read-only.

        Raises:
            InputError: the case is not preprocessed, or a file of it is missing or damaged.
        """
        path = self._record_path(case_id)
        if not path.is_file():
            raise InputError(
                "it is not preprocessed",
                case=case_id,
                file=self.folder,
                remedy="Run `vmseg_plan_and_preprocess` first.",
            )
        record = read_stored(_Record, path, _REMEDY)
        if not all(0 <= a < b <= n for (a, b), n in zip(record.crop_box, record.geometry.shape, strict=True)):
            raise InputError("its crop box lies outside of the scan", case=case_id, file=path, remedy=_REMEDY)
        image = _map_array(self._image_path(case_id), case_id, np.float32, (record.channels, *record.shape))
        label = _map_array(self._label_path(case_id), case_id, np.uint8, record.shape) if record.labelled else None
        positions = _load_positions(self._foreground_path(case_id), case_id, record.shape)
        annotated = positions.pop(_ANNOTATED, None)
        return PreprocessedCase(
            id=case_id,
            image=image,
            label=label,
            geometry=record.geometry,
            crop_box=record.crop_box,
            foreground={int(name): found for name, found in positions.items()},
            content=record.content,
            annotated=annotated,
        )

    def verify(self, case_id: str) -> None:
        """Read a case wholly and compare it with its checksums.

        Raises:
            InputError: the case is not preprocessed, or a file of it is missing or damaged.
        """
        case = self.load(case_id)
        record = read_stored(_Record, self._record_path(case_id), _REMEDY)
        arrays = {"image": (self._image_path(case_id), case.image), "label": (self._label_path(case_id), case.label)}
        for name, wanted in record.checksums.items():
            path, array = arrays[name]
            if array is None or zlib.crc32(array.data) != wanted:
                raise InputError("the file is damaged: its checksum differs", case=case_id, file=path, remedy=_REMEDY)

    def holds(self, case_id: str, content: str) -> bool:
        """Return whether the case is here, preprocessed from source files of this content."""
        return self.content(case_id) == content

    def content(self, case_id: str) -> str | None:
        """Return the hash of the source files that the case was preprocessed from; None where it is not wholly here."""
        try:
            record = read_stored(_Record, self._record_path(case_id))
        except InputError:
            return None
        paths = [self._image_path(case_id), self._foreground_path(case_id)]
        if record.labelled:
            paths.append(self._label_path(case_id))
        return record.content if all(path.is_file() for path in paths) else None

    def _record_path(self, case_id: str) -> Path:
        return self.folder / f"{case_id}.json"

    def _image_path(self, case_id: str) -> Path:
        return self.folder / f"{case_id}.npy"

    def _label_path(self, case_id: str) -> Path:
        return self.folder / "labels" / f"{case_id}.npy"

    def _foreground_path(self, case_id: str) -> Path:
        return self.folder / "foreground" / f"{case_id}.npz"


def _save_array(path: Path, array: NDArray[Any]) -> int:
    """Save an array, and return the checksum of its bytes."""
    array = np.ascontiguousarray(array)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)
    return zlib.crc32(array.data)


def _unreadable(error: Exception, case_id: str, path: Path) -> VmsegError:
    if isinstance(error, OSError) and error.errno in TOO_MANY:
        return too_many_files(f"{path} can't be opened")
    return InputError(f"the file can't be read ({error})", case=case_id, file=path, remedy=_REMEDY)


def _map_array(path: Path, case_id: str, kind: type[np.generic], shape: tuple[int, ...]) -> NDArray[Any]:
    try:
        array = map_array(path)
    except UNREADABLE as error:
        raise _unreadable(error, case_id, path) from error
    if array.dtype != kind or array.shape != shape:
        raise InputError(
            f"the file holds {array.dtype} {array.shape}, but {case_id}.json says {np.dtype(kind)} {shape}",
            case=case_id,
            file=path,
            remedy=_REMEDY,
        )
    return array


def _load_positions(path: Path, case_id: str, shape: Shape) -> dict[str, NDArray[np.int32]]:
    try:
        found = read_arrays(path, most=3 * 8 * prod(shape))
        positions = {name: array.astype(np.int32, copy=False) for name, array in found.items()}
    except UNREADABLE as error:
        raise _unreadable(error, case_id, path) from error
    outside = f"it holds positions outside of the shape that {case_id}.json says"
    for name, array in positions.items():
        placed = array.ndim == 2 and array.shape[1] == 3 and ((array >= 0) & (array < shape)).all()
        if not (placed and (name.isdecimal() or name == _ANNOTATED)):
            raise InputError(outside, case=case_id, file=path, remedy=_REMEDY)
    return positions
