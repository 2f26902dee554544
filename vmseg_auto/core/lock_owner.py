"""Who holds a lock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from vmseg_auto.core.codec import decode, encode


@dataclass(frozen=True)
class LockOwner:
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

    SCHEMA: ClassVar[int] = 1

    def __str__(self) -> str:
        return (
            self.command
            if not self.process
            else f"{self.command} (process {self.process} on {self.host}, since {self.since})"
        )

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = encode(self)
        return data

    @classmethod
    def from_json(cls, data: Any, where: str = "lock") -> LockOwner:
        """Raises InputError where a field is missing, unknown or of the wrong type."""
        return decode(cls, data, where)
