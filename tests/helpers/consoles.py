"""A console that remembers."""

from __future__ import annotations

from dataclasses import dataclass, field

from vmseg_auto.utils.console import Silent


@dataclass
class Heard(Silent):
    """Keeps what a command says and warns of."""

    said: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.warned.append(text)
