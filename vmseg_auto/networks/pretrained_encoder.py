"""Fit a pretrained encoder to a network of other channels, kernels or depth.

The rule is that of nnU-Net's main branch (DynamicPretrainedTrainer; nnunetv2 2.8.1 has none): stem and stages are
taken, decoder and heads are not. A stem of one channel is repeated for each image channel, and divided by their number.
Where a kernel is one voxel wide along an axis, it gets the pretrained one's mean along it. Of stages and blocks those
count that both have.
"""

from __future__ import annotations

import torch

from vmseg_auto.networks.nnunet_weights import nnunet_name
from vmseg_auto.networks.transfer import Weights
from vmseg_auto.planning.network import NetworkSpec
from vmseg_auto.utils.text import counted

_STEM = "encoder.stem."


def fitted_encoder(
    own: Weights, spec: NetworkSpec, encoder: Weights, stages: int
) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    """Return a pretrained encoder under the names of `own`, and in words how it was changed to fit.

    Args:
        own: state dict of the network to train.
        spec: of that network.
        encoder: stem and stages, by nnU-Net's names.
        stages: that they have.

    Raises:
        InputError: nnU-Net has no network of this kind.
    """
    fitted: dict[str, torch.Tensor] = {}
    flattened, channels = 0, 0
    for name, wanted in own.items():
        theirs = nnunet_name(name, spec)
        if theirs not in encoder:
            continue
        tensor = encoder[theirs]
        if tensor.ndim == wanted.ndim == 5:
            if theirs.startswith(_STEM) and tensor.shape[1] == 1 < wanted.shape[1]:
                channels = wanted.shape[1]
                tensor = tensor.repeat(1, channels, 1, 1, 1) / channels
            if flat := [axis for axis in (2, 3, 4) if wanted.shape[axis] == 1 < tensor.shape[axis]]:
                tensor = tensor.mean(dim=flat, keepdim=True)
                flattened += 1
        fitted[name] = tensor
    changes = (
        f"the stem was repeated for {channels} channels" * bool(channels),
        f"{counted(flattened, 'kernel')} averaged along an axis" * bool(flattened),
        _depth(stages, len(spec.features)),
    )
    return fitted, tuple(filter(None, changes))


def _depth(there: int, here: int) -> str:
    if there > here:
        return f"the deepest {there - here} of its {there} stages left out"
    return f"the deepest {here - there} of {here} stages at random" if there < here else ""
