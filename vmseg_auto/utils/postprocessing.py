"""What is done to predicted masks, as decided on cross-validated predictions."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from vmseg_auto.utils.errors import InputError


@dataclass(frozen=True)
class PostProcessing:
    """Clean-up of predicted masks.

    Args:
        keep_largest: names of the labels of which only the largest connected component is kept.
        reasons: why or why not, in words, one for each label.
        together: whether, before that, only the largest component of all labels together is kept, as in nnU-Net.
    """

    keep_largest: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    together: bool = False
    schema: int = 1

    def require_labels(self, labels: Collection[str], where: str) -> None:
        """Raise InputError where it is about labels that a model does not have."""
        if unknown := sorted(set(self.keep_largest) - set(labels)):
            remedy = "Restore the file, or make it anew with `vmseg_select`."
            raise InputError(f"{where} is about {unknown[0]!r}, which is no label", remedy=remedy)
