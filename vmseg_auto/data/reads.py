"""Masks that one reader has drawn for a comparison of readers: in readers/NAME, apart from those that count."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vmseg_auto.data.images.registry import USUAL
from vmseg_auto.data.mask_files import READERS
from vmseg_auto.data.reviews import SAVES, Review
from vmseg_auto.utils.atomic import read_stored, whole_files, write_json
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.json_codec import Stored
from vmseg_auto.utils.labels import file_part

_MEND = "Restore it from a copy. Without it nobody knows which cases were read blind."


@dataclass(frozen=True)
class Hidden(Stored):
    """readers/NAME/blind.json: which cases a reader reads blind.

    Args:
        reader: who reads.
        share: of the cases, from 0 to 1.
        seed: drawn when the reader began, so that nobody can choose the cases.
    """

    reader: str
    share: float
    seed: str
    schema: int = 1

    def check(self, where: str) -> None:
        if not 0 < self.share <= 1:
            raise InputError(f"{where}: the share is {self.share:g}", remedy="It must lie above 0 and at most at 1.")

    def hides(self, case: str) -> bool:
        """Return whether the reader reads a case blind.

        >>> Hidden("ada", 1.0, "seed").hides("anna"), Hidden("ada", 1e-9, "seed").hides("anna")
        (True, False)
        """
        return self.place(case) < self.share

    def place(self, case: str) -> float:
        """Return a number from 0 to below 1 that stands for a case: the same each time, and otherwise random."""
        return int.from_bytes(hashlib.sha256(f"{self.seed}/{case}".encode()).digest()[:6]) / 2**48


@dataclass(frozen=True)
class Read(Stored):
    """readers/NAME/CASE.json: what a reader has decided of a case, and whether blind.

    Args:
        case: its id.
        reader: who reads.
        blind: whether the reader saw neither a prediction nor any other mask before the first was saved.
        reviews: in the order of time; each Dice is that of the mask and the prediction, or of the mask that the
            reader began with.
    """

    case: str
    reader: str
    blind: bool
    reviews: tuple[Review, ...] = ()
    schema: int = 1

    @property
    def saved(self) -> Review | None:
        """The latest decision that has saved a mask."""
        return next((review for review in reversed(self.reviews) if review.decision in SAVES), None)


@dataclass(frozen=True)
class Reads:
    """The folder of one reader.

    Args:
        folder: need not exist.
    """

    folder: Path

    @classmethod
    def of(cls, masks: Path, reader: str) -> Reads:
        """Return the folder of a reader.

        Args:
            masks: the folder of the masks that count.
        """
        return cls(masks / READERS / file_part(reader))

    @classmethod
    def below(cls, masks: Path) -> Iterator[Reads]:
        """Yield the folders of all readers beside masks, in the order of their names."""
        for path in sorted(masks.glob(f"{READERS}/*/blind.json")):
            yield cls(path.parent)

    def mask(self, case: str) -> Path:
        return self.folder / f"{case}{USUAL}"

    def read(self, case: str) -> Read | None:
        """Return what a reader has decided of a case; None where that is nothing.

        Raises:
            InputError: the record is damaged.
        """
        path = self._record(case)
        return read_stored(Read, path, remedy=_MEND) if path.is_file() else None

    def write(self, read: Read) -> None:
        write_json(self._record(read.case), read.to_json())

    def all(self) -> Iterator[Read]:
        """Yield all that a reader has decided.

        Raises:
            InputError: a record is damaged.
        """
        for path in whole_files(self.folder, "*.json"):
            if path.name != "blind.json":
                yield read_stored(Read, path, remedy=_MEND)

    def begin(self, reader: str, share: float) -> Hidden:
        """Return which cases the reader reads blind, as it was drawn when the reader began.

        Raises:
            InputError: the reader began with another share, or another reader's name makes the same folder.
        """
        path = self.folder / "blind.json"
        if not path.is_file():
            hidden = Hidden(reader, share, secrets.token_hex(16))
            hidden.check("--blind-share")
            write_json(path, hidden.to_json())
            return hidden
        hidden = read_stored(Hidden, path, remedy=_MEND)
        if hidden.reader != reader:
            problem = f"the folder is that of {hidden.reader}"
            raise InputError(problem, file=self.folder, remedy="Give --reader another name.")
        if hidden.share != share:
            problem = f"{reader} began with a share of {hidden.share:g}, which can't be changed to {share:g}"
            remedy = "Give the same --blind-share (--blind is 1), or --reader another name."
            raise InputError(problem, file=path, remedy=remedy)
        return hidden

    def _record(self, case: str) -> Path:
        return self.folder / f"{case}.json"
