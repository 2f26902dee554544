"""What a training took over from another model: init.json."""

from __future__ import annotations

from dataclasses import dataclass

from vmseg_auto.core.codec import Stored


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
    """

    parts: dict[str, PartTaken]
    left: tuple[str, ...]

    @property
    def tensors(self) -> int:
        return sum(part.taken for part in self.parts.values())

    def text(self) -> str:
        """Such as "taken: encoder 20 of 22 tensors, decoder 12 of 12; not taken: heads (3 classes there, 2 here)"."""
        counts = [f"{name} {part.taken} of {part.tensors}" for name, part in self.parts.items() if part.taken]
        taken = ", ".join([f"{counts[0]} tensors", *counts[1:]]) if counts else "nothing"
        return f"taken: {taken}" + (f"; not taken: {', '.join(self.left)}" if self.left else "")


@dataclass(frozen=True)
class Initialisation(Stored):
    """The weights that a fold's training started from.

    Args:
        model: the model's folder.
        fold: the fold of it, as a word.
        weights: hash of that fold's weights.
        seen: content hashes of the cases that these weights were trained on, those of their own start included.
        taken: what was taken of them.
    """

    model: str
    fold: str
    weights: str
    seen: tuple[str, ...]
    taken: Taken
    schema: int = 1
