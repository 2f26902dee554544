"""A 2-D network predicts a stack of slices as it predicts each of them alone."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vmseg_auto.inference.ensemble import FoldEnsemble
from vmseg_auto.inference.sliding_window import predict_logits
from vmseg_auto.networks.unet import build_network
from vmseg_auto.planning.network import NetworkSpec
from vmseg_auto.utils.geometry import Shape

SLICES = NetworkSpec(
    builder="plain_unet",
    features=(4, 8, 8),
    strides=((1, 1, 1), (1, 2, 2), (1, 2, 2)),
    kernels=((1, 3, 3),) * 3,
    blocks=(2, 2, 2),
    decoder_blocks=(2, 2),
)
PATCH: Shape = (1, 16, 12)


def ensemble(networks: int, seed: int) -> FoldEnsemble:
    torch.manual_seed(seed)
    return FoldEnsemble([build_network(SLICES, 2, 3).eval() for _ in range(networks)], 3, mirror_axes=(1, 2))


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 5), st.integers(6, 30), st.integers(6, 30)),
    networks=st.integers(1, 2),
    step=st.sampled_from([0.5, 1.0]),
    seed=st.integers(0, 2**16),
)
def test_a_stack_is_its_slices(shape: Shape, networks: int, step: float, seed: int) -> None:
    models = ensemble(networks, seed)
    image = torch.randn(2, *shape, generator=torch.Generator().manual_seed(seed))
    (stack,) = predict_logits(models, image, PATCH, step=step)
    for index in range(shape[0]):
        (alone,) = predict_logits(models, image[:, index : index + 1], PATCH, step=step)
        assert torch.allclose(stack[:, index], alone[:, 0], atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 5), seed=st.integers(0, 2**16))
def test_the_network_itself_mixes_no_slices(count: int, seed: int) -> None:
    """Given as a batch of slices, the one way in which it is trained, each slice has the logits that it has alone."""
    (network,) = ensemble(1, seed).networks
    batch = torch.randn(count, 2, *PATCH, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        together, alone = network(batch), torch.cat([network(one) for one in batch.split(1)])
    assert torch.allclose(together, alone, atol=1e-4)
