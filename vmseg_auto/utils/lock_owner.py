"""Who holds a lock."""

from __future__ import annotations

from dataclasses import dataclass

from vmseg_auto.utils.json_codec import Stored


@dataclass(frozen=True)
class LockOwner(Stored):
    """What a lock file says of the command that holds it.

    Args:
        command: such as "vmseg_train 0 1".
        process: its number on that machine; 0 where nothing but that there is one is known.
        host: the machine's name.
        since: local date and time.
    """

    command: str
    process: int
    host: str
    since: str
    schema: int = 1

    def __str__(self) -> str:
        return (
            self.command
            if not self.process
            else f"{self.command} (process {self.process} on {self.host}, since {self.since})"
        )
