"""What a fold was trained on: fold.json."""

from __future__ import annotations

from dataclasses import dataclass, field

from vmseg_auto.data.runs import FoldFolder, FoldName, Run
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.utils.atomic import read_stored
from vmseg_auto.utils.json_codec import Stored
from vmseg_auto.utils.labels import labels_in_words
from vmseg_auto.utils.text import listed


@dataclass(frozen=True)
class FoldRecord(Stored):
    """The settings and data that a fold's weights depend on.

    Args:
        config: the training's settings.
        plan_hash: content hash of the plan.
        train, val: case id -> hash of the case's files, on each side. The weights know nothing of the validation side,
            unless the config has early stopping: then they are those that did best on it.
        labels: label name -> value, background included; the weights know nothing of the names.
        channels: channel names in order, of which the weights know nothing either.
        images: case id -> hash of the case's image files alone, on both sides.
        init: hash of the weights that the training started from; empty where they were drawn at random.
        first_stage: of a cascade, hash of the first stage's masks that the training cases were given; empty elsewhere.
        settings: `field=value` for each setting in which the config is not the trainer's own.
        patients: how many patients the training cases are of; 0 where that was not counted.
    """

    config: TrainingConfig
    plan_hash: str
    train: dict[str, str]
    val: dict[str, str]
    labels: dict[str, int] = field(default_factory=dict)
    channels: tuple[str, ...] = ()
    images: dict[str, str] = field(default_factory=dict)
    init: str = ""
    first_stage: str = ""
    settings: tuple[str, ...] = ()
    patients: int = 0
    schema: int = 6

    def data_differences(self, other: FoldRecord) -> list[str]:
        """Return in words how `other` differs in network and cases that weights depend on: what makes a fold stale."""
        found = [*self._network_changes(other), *_changes("training", self.train, other.train).values()]
        if self.config.early_stopping:
            found += _changes("validation", self.val, other.val).values()
        return found

    def conflicts(self, other: FoldRecord) -> list[str]:
        """Return in words the data's differences for which the weights can't judge the validation cases of `other`.

        Another plan, label or channel makes another model, and cases that are no longer trained on, or copies of them,
        may be validation cases now. Training cases that were added or corrected leave what the weights say of
        validation cases as it is.
        """
        removed = _changes("training", self.train, other.train).get("removed")
        return [*self._network_changes(other), *([removed] if removed else [])]

    def differences(self, other: FoldRecord) -> list[str]:
        """Return in words everything in which `other` would give other weights, settings included."""
        starts = [record.init or "random" for record in (self, other)]
        start = [] if starts[0] == starts[1] else [f"first weights: {starts[0]} against {starts[1]}"]
        masks = ["the first stage has other masks"] if self.first_stage != other.first_stage else []
        return self.config.differences(other.config) + start + masks + self.data_differences(other)

    def old_names(self, other: FoldRecord) -> list[str]:
        """Return in words the labels and channels that `other` only calls by other names."""
        if self._network_changes(other):
            return []
        ours, theirs = (sorted(record.labels, key=lambda name: record.labels[name]) for record in (self, other))
        pairs = [*zip(ours, theirs, strict=True), *zip(self.channels, other.channels, strict=True)]
        return [f"{old}, now {new}" for old, new in pairs if old != new]

    def _network_changes(self, other: FoldRecord) -> list[str]:
        found = ["the plan has changed"] if self.plan_hash != other.plan_hash else []
        if sorted(self.labels.values()) != sorted(other.labels.values()):
            found.append(f"labels: {labels_in_words(self.labels)} against {labels_in_words(other.labels)}")
        if len(self.channels) != len(other.channels):
            found.append(f"channels: {', '.join(self.channels)} against {', '.join(other.channels)}")
        return found


@dataclass(frozen=True)
class FreshStart(Stored):
    """A fold that was begun anew: fresh.json, there until the command that began it has ended.

    Args:
        command: which one. Given again, as a queue of jobs does, it goes on with the fold rather than begin once more.
    """

    command: str
    schema: int = 1


def read_record(folder: FoldFolder) -> FoldRecord | None:
    """Return what a fold on disk was trained on; None where it was never begun."""
    if not folder.record.is_file():
        return None
    return read_stored(FoldRecord, folder.record)


def settings_of(run: Run, fold: FoldName) -> tuple[str, ...]:
    """Return the settings that a fold was begun with, or else the run's first fold that was begun."""
    begun = (read_record(folder) for folder in (run.fold(fold), *run.folds()))
    return next((record.settings for record in begun if record), ())


def _changes(side: str, ours: dict[str, str], theirs: dict[str, str]) -> dict[str, str]:
    """Return in words which cases of one side were added, removed and changed.

    Example:
        >>> _changes("training", {"a": "1", "b": "2"}, {"a": "1", "c": "3"})
        {'added': 'training cases added: c', 'removed': 'training cases removed: b'}
    """
    cases = {
        "added": sorted(set(theirs) - set(ours)),
        "removed": sorted(set(ours) - set(theirs)),
        "changed": sorted(case for case in set(ours) & set(theirs) if ours[case] != theirs[case]),
    }
    return {what: f"{side} cases {what}: {listed(names)}" for what, names in cases.items() if names}
