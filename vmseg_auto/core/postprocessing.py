"""What is done to predicted masks, as decided on cross-validated predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from vmseg_auto.core.codec import decode, encode


@dataclass(frozen=True)
class PostProcessing:
    """Clean-up of predicted masks.

    Args:
        keep_largest: names of the labels of which only the largest connected component is kept.
        reasons: why or why not, in words, one for each label.
    """

    keep_largest: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    schema: int = 1

    SCHEMA: ClassVar[int] = 1

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = encode(self)
        return data

    @classmethod
    def from_json(cls, data: Any, where: str = "post-processing") -> PostProcessing:
        """Raises InputError where a field is missing, unknown or of the wrong type."""
        return decode(cls, data, where)
