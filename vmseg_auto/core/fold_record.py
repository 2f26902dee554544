"""What a fold was trained on: fold.json."""

from __future__ import annotations

from dataclasses import dataclass

from vmseg_auto.core.codec import Stored
from vmseg_auto.core.console import listed
from vmseg_auto.core.recipe import Recipe


@dataclass(frozen=True)
class FoldRecord(Stored):
    """The settings and data that a fold's weights depend on.

    Args:
        recipe: the training's settings.
        plan_hash: content hash of the plan.
        train, val: case id -> hash of the case's files, on each side. The weights know nothing of the validation side,
            unless the recipe stops on the gap: then they are those that did best on it.
        init: hash of the weights that the training started from; empty where they were drawn at random.
    """

    recipe: Recipe
    plan_hash: str
    train: dict[str, str]
    val: dict[str, str]
    init: str = ""
    schema: int = 1

    def data_differences(self, other: FoldRecord) -> list[str]:
        """In words, how `other` differs in the plan and the cases that weights depend on: what makes a fold stale."""
        found = [*self._plan_change(other), *_changes("training", self.train, other.train).values()]
        if self.recipe.stop_on_gap:
            found += _changes("validation", self.val, other.val).values()
        return found

    def conflicts(self, other: FoldRecord) -> list[str]:
        """In words, those of the data's differences for which the weights can't speak for what `other` holds out.

        Another plan makes another model, and cases that are no longer trained on, or copies of them, may be held out
        now. Training cases that were added or corrected leave what the weights say of held-out cases as it is.
        """
        removed = _changes("training", self.train, other.train).get("removed")
        return [*self._plan_change(other), *([removed] if removed else [])]

    def differences(self, other: FoldRecord) -> list[str]:
        """In words, everything in which `other` would give other weights, settings included."""
        starts = [record.init or "random" for record in (self, other)]
        start = [] if starts[0] == starts[1] else [f"first weights: {starts[0]} against {starts[1]}"]
        return self.recipe.differences(other.recipe) + start + self.data_differences(other)

    def _plan_change(self, other: FoldRecord) -> list[str]:
        return ["the plan has changed"] if self.plan_hash != other.plan_hash else []


def _changes(side: str, ours: dict[str, str], theirs: dict[str, str]) -> dict[str, str]:
    """Which cases of one side were added, removed and changed, in words."""
    cases = {
        "added": sorted(set(theirs) - set(ours)),
        "removed": sorted(set(ours) - set(theirs)),
        "changed": sorted(case for case in set(ours) & set(theirs) if ours[case] != theirs[case]),
    }
    return {what: f"{side} cases {what}: {listed(names)}" for what, names in cases.items() if names}
