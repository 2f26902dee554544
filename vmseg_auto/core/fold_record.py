"""What a fold was trained on: fold.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from vmseg_auto.core.codec import decode, encode
from vmseg_auto.core.recipe import Recipe


@dataclass(frozen=True)
class FoldRecord:
    """The settings and data that a fold's weights depend on.

    Args:
        recipe: the training's settings.
        plan_hash: content hash of the plan.
        train, val: case id -> hash of the case's files, on each side.
        init: hash of the weights that the training started from; empty where they were drawn at random.
    """

    recipe: Recipe
    plan_hash: str
    train: dict[str, str]
    val: dict[str, str]
    init: str = ""
    schema: int = 1

    SCHEMA: ClassVar[int] = 1

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = encode(self)
        return data

    @classmethod
    def from_json(cls, data: Any, where: str = "fold.json") -> FoldRecord:
        """Raises InputError where a field is missing, unknown or of the wrong type."""
        return decode(cls, data, where)

    def data_differences(self, other: FoldRecord) -> list[str]:
        """In words, how the plan and the cases of `other` differ: what makes a trained fold stale."""
        found = ["the plan has changed"] if self.plan_hash != other.plan_hash else []
        for side, ours, theirs in (("training", self.train, other.train), ("validation", self.val, other.val)):
            for what, cases in (
                ("added", sorted(set(theirs) - set(ours))),
                ("removed", sorted(set(ours) - set(theirs))),
                ("changed", sorted(c for c in set(ours) & set(theirs) if ours[c] != theirs[c])),
            ):
                if cases:
                    found.append(f"{side} cases {what}: {_listed(cases)}")
        return found

    def differences(self, other: FoldRecord) -> list[str]:
        """In words, everything in which `other` differs, settings included."""
        starts = [record.init or "random" for record in (self, other)]
        start = [] if starts[0] == starts[1] else [f"first weights: {starts[0]} against {starts[1]}"]
        return self.recipe.differences(other.recipe) + start + self.data_differences(other)


def _listed(cases: list[str], most: int = 6) -> str:
    more = f" and {len(cases) - most} more" if len(cases) > most else ""
    return ", ".join(cases[:most]) + more
