"""What a training took over from another model: init.json."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vmseg_auto.utils.json_codec import Stored
from vmseg_auto.utils.text import counted


@dataclass(frozen=True)
class PartTaken:
    """How many tensors of one part of a network were taken, of how many it has."""

    taken: int
    tensors: int


@dataclass(frozen=True)
class Taken:
    """What of another model's weights a network took.

    Args:
        parts: encoder, decoder, heads (or a network's own parts) -> how much was taken.
        left: in words, what was not taken, and why.
        changed: in words, how it was changed to fit.
    """

    parts: dict[str, PartTaken]
    left: tuple[str, ...]
    changed: tuple[str, ...] = ()

    @property
    def tensors(self) -> int:
        return sum(part.taken for part in self.parts.values())

    def text(self) -> str:
        """Return it in words.

        Example:
            >>> parts = {"encoder": PartTaken(20, 22), "decoder": PartTaken(12, 12)}
            >>> Taken(parts, ("heads (3 classes there, 2 here)",)).text()
            'taken: encoder 20 of 22 tensors, decoder 12 of 12; not taken: heads (3 classes there, 2 here)'
        """
        counts = [f"{name} {part.taken} of {part.tensors}" for name, part in self.parts.items() if part.taken]
        taken = ", ".join([f"{counts[0]} tensors", *counts[1:]]) if counts else "nothing"
        changed = f"; to fit, {', '.join(self.changed)}" if self.changed else ""
        return f"taken: {taken}" + (f"; not taken: {', '.join(self.left)}" if self.left else "") + changed


@dataclass(frozen=True)
class Seen:
    """The scans that weights were trained on, those of their own first weights included.

    Args:
        images: content hashes of the scans' image files, in order, each once.
        whole: whether these are all; False where a training did not record its cases, as in imported models.
        patients: how many patients they are of; None where that is not known.
    """

    images: tuple[str, ...] = ()
    whole: bool = True
    patients: int | None = None

    @classmethod
    def of(cls, several: Iterable[Seen]) -> Seen:
        """Return what any of several weights was trained on.

        The patients of several are not counted: they may be the same.

        Example:
            >>> Seen.of([Seen(("a",), True, 1), Seen(("a", "b"), False)])
            Seen(images=('a', 'b'), whole=False, patients=None)
        """
        known = list(dict.fromkeys(several))
        images = sorted({image for seen in known for image in seen.images})
        patients = known[0].patients if len(known) == 1 else None
        return cls(tuple(images), all(seen.whole for seen in known), patients)

    def holds(self, image: str) -> bool | None:
        """Return whether the scan with this content hash is among them; None where that is not known."""
        return True if image in self.images else False if self.whole else None

    def text(self) -> str:
        """Return it in words; "scans that are not recorded" where nothing is known.

        Example:
            >>> Seen(("a", "b", "c"), patients=2).text()
            '3 scans of 2 patients'
        """
        more = [] if self.whole else ["scans that are not recorded"]
        known = [counted(len(self.images), "scan")] if self.images or self.whole else []
        if known and self.patients:
            known = [f"{known[0]} of {counted(self.patients, 'patient')}"]
        return " and ".join(known + more)


@dataclass(frozen=True)
class Initialisation(Stored):
    """The weights that a fold's training started from.

    Args:
        model: the model's folder or zip, or the file of a pretrained encoder.
        name: its planner and trainer, such as default/nnunet; of an encoder what its network is called.
        dataset: name of the dataset that it was trained on; empty where that is not known.
        fold: the fold of it, as a word; empty of an encoder.
        weights: hash of that fold's weights, or of the encoder's.
        seen: what these weights were trained on.
        tests: test cases of this workspace that they had seen, or another scan of whose patient, when training began.
        taken: what was taken of them.
    """

    model: str
    name: str
    dataset: str
    fold: str
    weights: str
    seen: Seen
    tests: tuple[str, ...]
    taken: Taken
    schema: int = 2

    @property
    def origin(self) -> str:
        """Where the weights come from, in words.

        Example:
            >>> Initialisation("x.pth", "ResEncL", "", "", "ab12", Seen(whole=False), (), Taken({}, ())).origin
            'ResEncL (hash ab12)'
            >>> Initialisation("x", "default/nnunet", "lgg", "0", "ab12", Seen(), (), Taken({}, ())).origin
            'default/nnunet (dataset lgg, fold 0, hash ab12)'
        """
        known = {"dataset": self.dataset, "fold": self.fold, "hash": self.weights}
        return f"{self.name} ({', '.join(f'{what} {value}' for what, value in known.items() if value)})"
