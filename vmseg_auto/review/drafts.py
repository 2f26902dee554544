"""Drafts: what a reader has drawn and not yet saved, in one file a case (drafts/CASE.draft).

The first line is JSON, and the mask follows, packed by zlib. Each draft has a number one above that of the draft it
replaces: who names another number than the one that stands has not seen what stands, and is told.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.mask_files import mask_sha256
from vmseg_auto.utils.atomic import replacing
from vmseg_auto.utils.console import Silent
from vmseg_auto.utils.errors import DamagedError, InputError, VmsegError
from vmseg_auto.utils.geometry import Shape
from vmseg_auto.utils.json_codec import Stored
from vmseg_auto.utils.locks import locked

_LONGEST_LINE = 20_000
_FAST = 1
"""Level of zlib: masks are mostly zeros."""


class ChangedMeanwhileError(InputError):
    """Somebody else has saved what this would have overwritten."""


@dataclass(frozen=True)
class DraftNote(Stored):
    """What is known of a draft.

    Args:
        number: of the draft, from 1.
        reader: who draws.
        when: it was written; local time, ISO 8601.
        minutes: at work on the case up to then.
        comment: as far as it is written.
        base: hash of the mask that it was begun on.
        mask_sha256: of its own label values.
    """

    number: int
    reader: str
    when: str
    minutes: float
    comment: str
    base: str
    mask_sha256: str
    schema: int = 1


@dataclass(frozen=True)
class DraftFile:
    """Where the draft of a case lies.

    Args:
        folder: of the masks.
        case: its id.
    """

    folder: Path
    case: str

    @property
    def path(self) -> Path:
        return self.folder / "drafts" / f"{self.case}.draft"

    def read(self, shape: Shape) -> tuple[DraftNote, NDArray[np.uint8]] | None:
        """Return the draft and its label values [Z, Y, X]; None where there is none.

        Raises:
            DamagedError: the file is damaged, or of a scan of another size.
        """
        try:
            with self.path.open("rb") as file:
                note = DraftNote.from_json(json.loads(file.readline(_LONGEST_LINE)), self.path.name)
                unpacker, size = zlib.decompressobj(), prod(shape)
                mask = np.frombuffer(unpacker.decompress(file.read(2 * size + _LONGEST_LINE), size + 1), np.uint8)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, zlib.error, InputError) as error:
            raise self._damaged() from error
        if mask.size != size or mask_sha256(mask.reshape(shape)) != note.mask_sha256:
            raise self._damaged()
        return note, mask.reshape(shape)

    def write(self, note: DraftNote, mask: NDArray[np.uint8]) -> None:
        """Write a draft, whole or not at all, in place of the one numbered one less.

        Raises:
            ChangedMeanwhileError: another draft stands there.
            VmsegError: the file can't be written.
        """
        with self._alone():
            self._require(note.number - 1)
            with replacing(self.path) as temporary, temporary.open("wb") as file:
                file.write(json.dumps(note.to_json()).encode() + b"\n")
                file.write(zlib.compress(np.ascontiguousarray(mask).data, _FAST))

    def number(self) -> int:
        """Return the number of the draft that stands; 0 where there is none, or its first line is damaged."""
        try:
            with self.path.open("rb") as file:
                return DraftNote.from_json(json.loads(file.readline(_LONGEST_LINE)), self.path.name).number
        except (OSError, ValueError, InputError):
            return 0

    def remove(self, number: int) -> None:
        """Remove the draft of that number; another one stays.

        Raises:
            VmsegError: the folder can't be written to.
        """
        with self._alone():
            if self.number() == number:
                self.path.unlink(missing_ok=True)

    def _require(self, number: int) -> None:
        if (stands := self.number()) != number:
            problem = "this case is being drawn on in another window, or by another reader"
            remedy = "Load the case again to see what was drawn there. What you draw here is not stored meanwhile."
            raise ChangedMeanwhileError(f"{problem} (draft {stands}, not {number})", case=self.case, remedy=remedy)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with locked(self.path.with_suffix(".lock"), "vmseg_review", Silent()):
            yield

    def _damaged(self) -> VmsegError:
        remedy = "Delete it, or go on: the next draft takes its place."
        return DamagedError("the draft is damaged, or of another scan", case=self.case, file=self.path, remedy=remedy)
