"""What a network's outputs mean: classes that exclude each other, background first, or regions that overlap.

Of classes the greatest output wins at each voxel (softmax), a region is where its own output is above 0 (sigmoid), as
in nnU-Net. inference/thresholds.py does the same with probabilities, and preprocessing/transform.py with logits that
return to a scan's grid.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from vmseg_auto.inference.argmax import argmax


def probabilities(logits: torch.Tensor, overlap: bool) -> torch.Tensor:
    """Return the probability of each label but the background, [F, ...] of logits [K, ...].

    Args:
        overlap: whether the outputs are regions; then F is K, else K - 1.

    >>> probabilities(torch.zeros(2, 1), overlap=True)
    tensor([[0.5000],
            [0.5000]])
    """
    return logits.sigmoid() if overlap else logits.softmax(dim=0)[1:]


def with_background(logits: torch.Tensor, overlap: bool) -> torch.Tensor:
    """Return the probabilities of `probabilities` behind that of the background, [1 + F, ...] of logits [K, ...].

    Of regions it is one minus the greatest of theirs.
    """
    if not overlap:
        return logits.softmax(dim=0)
    likely = probabilities(logits, overlap)
    return torch.cat([1 - likely.amax(dim=0, keepdim=True), likely])


def foreground(logits: torch.Tensor, overlap: bool) -> torch.Tensor:
    """Return the probability that a voxel is anything but background, [...] of logits [K, ...]."""
    return logits.sigmoid().amax(dim=0) if overlap else 1 - logits.softmax(dim=0)[0]


def masks_of_logits(logits: torch.Tensor, overlap: bool) -> torch.Tensor:
    """Return where each label but the background is, bool [F, ...] of logits [K, ...].

    >>> masks_of_logits(torch.tensor([[0.2, 0.9], [0.7, 0.1]]), overlap=False)
    tensor([[ True, False]])
    """
    return logits > 0 if overlap else _each(argmax(logits), len(logits) - 1)


def masks_of_probabilities(likely: torch.Tensor, overlap: bool) -> torch.Tensor:
    """Return where each label but the background is, bool [F, ...] of what `probabilities` gave.

    >>> masks_of_probabilities(torch.tensor([[0.6, 0.6], [0.6, 0.1]]), overlap=True)
    tensor([[ True,  True],
            [ True, False]])
    """
    if overlap:
        return likely > 0.5
    return _each(argmax(torch.cat([1 - likely.sum(0, keepdim=True), likely])), len(likely))


def within(target: torch.Tensor, values: Sequence[int]) -> torch.Tensor:
    """Return where a target of label values holds one of these, bool of its shape.

    >>> within(torch.tensor([0, 1, 2]), (1, 2))
    tensor([False,  True,  True])
    """
    first, *others = values
    inside = target == first
    for value in others:
        inside |= target == value
    return inside


def _each(classes: torch.Tensor, labels: int) -> torch.Tensor:
    return torch.stack([classes == label for label in range(1, labels + 1)])
