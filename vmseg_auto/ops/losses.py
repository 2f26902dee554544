"""Cross-entropy plus soft Dice, with deep supervision."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class DiceCrossEntropy(nn.Module):
    """Cross-entropy minus soft Dice over the foreground classes (nnU-Net's DC_and_CE_loss).

    Args:
        batch_dice: sum over the batch before dividing, rather than a sample at a time.
        smooth: added to numerator and denominator.
    """

    def __init__(self, batch_dice: bool = False, smooth: float = 1e-5) -> None:
        super().__init__()
        self.batch_dice, self.smooth = batch_dice, smooth

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Args: logits [B, K, Z, Y, X], target [B, Z, Y, X] int64. Gives a float32 scalar."""
        logits = logits.float()  # bf16 sums stall at 256
        log_probabilities = functional.log_softmax(logits, dim=1)
        cross_entropy = functional.nll_loss(log_probabilities, target)
        probabilities = log_probabilities.exp()
        counts = []
        for label in range(1, logits.shape[1]):
            truth, guess = (target == label).float(), probabilities[:, label]
            counts.append(torch.stack([_sum(guess * truth), _sum(guess) + _sum(truth)], dim=-1))
        intersection, total = torch.stack(counts, dim=1).unbind(-1)
        if self.batch_dice:
            intersection, total = intersection.sum(0), total.sum(0)
        dice = (2 * intersection + self.smooth) / (total + self.smooth).clamp_min(1e-8)
        return cross_entropy - dice.mean()


class DeepSupervision(nn.Module):
    """A loss at every decoder level, weighted 1/2^level and normalised; the coarsest level counts 0."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, outputs: list[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        """Args: outputs [B, K, ...] for each level, the finest first; target [B, Z, Y, X] int64."""
        weights = [0.5**level for level in range(len(outputs))]
        if len(outputs) > 1:
            weights[-1] = 0.0
        total = outputs[0].new_zeros((), dtype=torch.float32)
        for weight, logits in zip(weights, outputs, strict=True):
            if weight:
                total = total + weight / sum(weights) * self.loss(logits, downsample(target, logits.shape[2:]))
        return total


def downsample(target: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """The nearest labels of [B, Z, Y, X] on a coarser grid of `shape`."""
    if target.shape[1:] == shape:
        return target
    return functional.interpolate(target[:, None].float(), size=shape, mode="nearest-exact")[:, 0].long()


def _sum(values: torch.Tensor) -> torch.Tensor:
    return values.flatten(1).sum(1)
