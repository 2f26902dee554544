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
        train, val: case id -> hash of the case's files, on each side. Weights depend on the training side alone.
    """

    recipe: Recipe
    plan_hash: str
    train: dict[str, str]
    val: dict[str, str]
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
        """In words, how the plan and the training cases of `other` differ: what makes a trained fold stale."""
        found = ["the plan has changed"] if self.plan_hash != other.plan_hash else []
        ours, theirs = self.train, other.train
        for what, cases in (
            ("added", sorted(set(theirs) - set(ours))),
            ("removed", sorted(set(ours) - set(theirs))),
            ("changed", sorted(c for c in set(ours) & set(theirs) if ours[c] != theirs[c])),
        ):
            if cases:
                found.append(f"training cases {what}: {listed(cases)}")
        return found

    def differences(self, other: FoldRecord) -> list[str]:
        """In words, everything in which `other` would give other weights, settings included."""
        return self.recipe.differences(other.recipe) + self.data_differences(other)


def listed(cases: list[str], most: int = 6) -> str:
    """The first few of many names."""
    more = f" and {len(cases) - most} more" if len(cases) > most else ""
    return ", ".join(cases[:most]) + more
