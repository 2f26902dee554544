"""What a step of the start page is: what it asks for, which command it runs, how it stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from vmseg_auto.start.fields import Field
from vmseg_auto.start.place import Place

Answers = dict[str, str]
State = Literal["done", "ready", "waiting"]


@dataclass(frozen=True)
class Standing:
    """How a step stands.

    Args:
        state: done, ready to be run, or waiting for another step.
        words: a sentence.
    """

    state: State
    words: str


class Step(ABC):
    """One step: its name, a title, what it does in words, and whether it runs a command."""

    name: ClassVar[str]
    title: ClassVar[str]
    words: ClassVar[str]
    runs: ClassVar[bool] = True

    @abstractmethod
    def standing(self, place: Place) -> Standing: ...

    def in_the_way(self, place: Place) -> str:
        """Return in a sentence why the command can't be run just now; empty where it can."""
        return ""

    def fields(self, place: Place) -> tuple[Field, ...]:
        return ()

    def command(self, place: Place, answers: Answers) -> list[str]:
        """Return the words of the command; none where the step has none.

        Args:
            answers: checked, to all fields.

        Raises:
            InputError: they do not go together.
        """
        return []

    def dataset(self, place: Place, answers: Answers) -> str:
        """Return the dataset that the command works on."""
        return place.dataset
