"""Cases once decoded, kept uncompressed on disk for the step that follows."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.dataset import Case
from vmseg_auto.utils.disk import free_bytes
from vmseg_auto.utils.geometry import Geometry

Decoded = tuple[NDArray[np.float32], NDArray[np.uint8] | None, Geometry]
"""Image [C, Z, Y, X], mask [Z, Y, X] where there is one, and their grid."""
_ROOM = 4
"""A case is kept where this many of its size are free: the disk is not to be filled for a little time."""


class DecodeCache:
    """What `read_case` gave, case by case, so that no file is decoded twice and memory holds few cases at a time.

    A context manager: its folder, made with the first case, ends with it, as does what a killed command left there.
    It only saves time: what can't be kept (the disk is nearly full) or read back is decoded again.

    Args:
        folder: its own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: dict[str, tuple[str, Geometry]] = {}
        self._sizes: dict[str, int] = {}

    def __enter__(self) -> DecodeCache:
        shutil.rmtree(self._folder, ignore_errors=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def put(self, case: Case, content: str, decoded: Decoded) -> None:
        """Keep a case; `content` is the hash of its files."""
        image, mask, geometry = decoded
        size = image.nbytes + (mask.nbytes if mask is not None else 0)
        try:
            if free_bytes(self._folder) < _ROOM * size:
                return
            self._folder.mkdir(parents=True, exist_ok=True)
            for path, array in zip(self._paths(case), (image, mask), strict=True):
                if array is not None:
                    np.save(path, array, allow_pickle=False)
        except OSError:
            self._drop(case)
            return
        self._kept[case.id] = content, geometry
        self._sizes[case.id] = size

    @property
    def size(self) -> int:
        """Bytes on the disk now."""
        return sum(self._sizes.values())

    def content(self, case: Case) -> str | None:
        """Return the hash of a kept case's files; None where it is not kept."""
        kept = self._kept.get(case.id)
        return kept[0] if kept else None

    def take(self, case: Case) -> Decoded | None:
        """Return the case, which is no longer kept from then on; None where it was not."""
        kept = self._kept.pop(case.id, None)
        if kept is None:
            return None
        image_path, mask_path = self._paths(case)
        try:
            image = np.load(image_path)
            mask = np.load(mask_path) if case.label is not None else None
        except (OSError, ValueError, EOFError):
            return None
        finally:
            self._drop(case)
        return image, mask, kept[1]

    def _drop(self, case: Case) -> None:
        self._sizes.pop(case.id, None)
        for path in self._paths(case):
            with contextlib.suppress(OSError):
                path.unlink()

    def _paths(self, case: Case) -> tuple[Path, Path]:
        return self._folder / f"{case.id}.image.npy", self._folder / f"{case.id}.mask.npy"
