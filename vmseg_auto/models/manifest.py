"""What lies in the zip of a model: manifest.json."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Literal

from vmseg_auto.models.selection_record import Candidate, check_threshold
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.json_codec import Stored

MANIFEST, CARD, FINGERPRINT = "manifest.json", "card.md", "fingerprint.json"
FIRST_STAGE = "first_stage"
"""Folder of a cascade's first stage within that of its second."""
_MODEL = rf"(model_[0-9]{{1,2}})/(?:{FIRST_STAGE}/)?"
_TEXT = re.compile(rf"manifest\.json|card\.md|fingerprint\.json|{_MODEL}model\.json")
_WEIGHTS = re.compile(rf"{_MODEL}fold_(?:[0-9]{{1,3}}|all)/checkpoint_final\.safetensors")


def is_text(name: str) -> bool:
    """Return whether a file of this name may lie in a model's zip, as JSON or Markdown.

    Example:
        >>> is_text("model_0/model.json"), is_text("../card.md")
        (True, False)
    """
    return _TEXT.fullmatch(name) is not None


def is_weights(name: str) -> bool:
    """Return whether a file of this name may lie in a model's zip, as a fold's weights.

    Example:
        >>> is_weights("model_0/fold_1/checkpoint_final.safetensors"), is_weights("model_0/fold_1/checkpoint_final.pth")
        (True, False)
    """
    return _WEIGHTS.fullmatch(name) is not None


@dataclass(frozen=True)
class Member:
    """One file: its SHA-256 in hex, and its size."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest(Stored):
    """A model that is given away.

    Args:
        name: of the model.
        licence: under which it is given; empty where that was not said.
        version: of the program that packed it.
        models: folders, each a model of its own; the best first.
        rule: threshold and post-processing of the mean of several models' probabilities; None for a single model.
        members: every file but this one, by name.
    """

    name: str
    licence: str
    version: str
    models: tuple[str, ...]
    rule: Candidate | None
    members: dict[str, Member]
    format: Literal["vmseg_auto model"] = "vmseg_auto model"
    schema: int = 4

    OLDER: ClassVar[str] = "Use the version that packed it, or have the model exported again where it was trained."

    def check(self, where: str) -> None:
        told = set(self.models)
        weights = {match[1] for name in self.members if (match := _WEIGHTS.fullmatch(name))}
        infos = {name.partition("/")[0] for name in self.members if name.endswith("/model.json")}
        if not told or len(told) < len(self.models) or not told == weights == infos:
            raise InputError(f"{where} and the files do not name the same models, each with its weights")
        if (self.rule is None) != (len(self.models) == 1):
            raise InputError(f"{where} does not say how its {len(self.models)} models predict together")
        if self.rule is not None:
            check_threshold(self.rule.threshold, f"{where}: threshold")
