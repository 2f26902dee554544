"""What readers have decided of a dataset's masks, in a folder beside the dataset: DATASET_reviews.

It lies outside of the dataset, as the key does: comments and sources can tell who a patient is, and no mask in it can
be taken for one of the dataset.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from vmseg_auto.data.images.registry import USUAL
from vmseg_auto.data.made_dataset import beside
from vmseg_auto.data.mask_files import READERS
from vmseg_auto.data.reviews import Review
from vmseg_auto.utils.atomic import read_stored, replacing, write_json
from vmseg_auto.utils.json_codec import Stored

EARLIER = ".earlier"
"""What the name of an earlier mask ends with: no command, and no other program, takes such a file for an image."""
_MEND = "Restore it from a copy, or delete it: then the decisions on this case are lost, and its mask stays."


@dataclass(frozen=True)
class Reviewed:
    """A reviewed prediction that a case was made of.

    Args:
        image, mask: the files or folders that it was made of.
        image_hash, mask_hash: of their bytes.
        model: hash of the model and options that predicted the mask.
    """

    image: str
    mask: str
    image_hash: str
    mask_hash: str
    model: str


@dataclass(frozen=True)
class EarlierMask:
    """A mask that a reader has saved another in place of.

    Args:
        file: in the folder `earlier`.
        mask_sha256: of its label values.
    """

    file: str
    mask_sha256: str


@dataclass(frozen=True)
class MaskHistory(Stored):
    """DATASET_reviews/CASE.json: where a training mask comes from, and what readers have decided of it.

    Args:
        case: its id.
        reviews: in the order of time; those on earlier masks too.
        earlier: masks that stood in the dataset before, in the order of time.
        made_of: the reviewed prediction that the case was made of; None of others.
    """

    case: str
    reviews: tuple[Review, ...] = ()
    earlier: tuple[EarlierMask, ...] = ()
    made_of: Reviewed | None = None
    schema: int = 1


@dataclass(frozen=True)
class DatasetReviews:
    """The folder beside a dataset.

    Args:
        folder: need not exist.
    """

    folder: Path

    @classmethod
    def beside(cls, dataset: Path) -> DatasetReviews:
        return cls(beside(dataset, "_reviews"))

    def file(self, case: str) -> Path:
        return self.folder / f"{case}.json"

    def read(self, case: str) -> MaskHistory:
        """Return what is known of a case's mask: nothing, where there is no file.

        Raises:
            InputError: the file is damaged.
        """
        path = self.file(case)
        return read_stored(MaskHistory, path, remedy=_MEND) if path.is_file() else MaskHistory(case)

    def write(self, history: MaskHistory) -> None:
        """Write what is known of a case's mask, whole or not at all.

        Raises:
            VmsegError: it can't be written.
        """
        write_json(self.file(history.case), history.to_json())

    def keep(self, history: MaskHistory, mask: Path, own: str) -> MaskHistory:
        """Keep a mask that is about to be replaced, byte for byte, unless it is kept already; return the history then.

        Args:
            history: what is known of the case's mask.
            mask: the file that stands.
            own: hash of its label values.

        Raises:
            VmsegError: it can't be written.
        """
        if history.earlier and history.earlier[-1].mask_sha256 == own:
            return history
        place = self.earlier(mask, len(history.earlier) + 1)
        with replacing(place) as temporary:
            temporary.write_bytes(mask.read_bytes())
        history = replace(history, earlier=(*history.earlier, EarlierMask(place.name, own)))
        self.write(history)
        return history

    def earlier(self, mask: Path, number: int) -> Path:
        """Return where the mask of a dataset that was the first, second, ... to be replaced is kept."""
        return self.folder / "earlier" / f"{mask.name}.{number}{EARLIER}"

    def files(self, case: str) -> list[Path]:
        """List all that lies here of a case."""
        kept = [self.folder / "earlier" / one.file for one in self.read(case).earlier]
        places = [self.folder, *self.folder.glob(f"{READERS}/*")]
        own = [path / name for path in places for name in (f"{case}.json", f"{case}{USUAL}", f"drafts/{case}.draft")]
        return [path for path in (*own, *kept) if path.is_file()]
