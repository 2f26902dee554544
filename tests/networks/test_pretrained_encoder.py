"""A pretrained encoder in networks of other channels, kernels and depth gives what nnU-Net's networks give with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nnunet_model import PRETRAINED, SPECS, TO_TRAIN, to_train

from vmseg_auto.models.pretrained import PretrainedEncoder, read_pretrained
from vmseg_auto.networks.nnunet_weights import from_nnunet
from vmseg_auto.networks.pretrained_encoder import fitted_encoder
from vmseg_auto.networks.transfer import transfer
from vmseg_auto.networks.unet import build_network

CHANGES = {
    "same": (),
    "flat": (
        "the stem was repeated for 2 channels",
        "7 kernels averaged along an axis",
        "the deepest 1 of its 4 stages left out",
    ),
    "deep": ("the deepest 1 of 5 stages at random",),
}


@pytest.fixture(scope="module")
def encoder() -> PretrainedEncoder:
    return read_pretrained(PRETRAINED)


@pytest.mark.parametrize("kind", TO_TRAIN)
def test_the_network_gives_what_nnunets_gives_with_this_encoder(kind: str, encoder: PretrainedEncoder) -> None:
    spec, (theirs, golden) = TO_TRAIN[kind], to_train(kind)
    channels = golden["patch"].shape[1]
    network = build_network(spec, channels, 2).eval()
    own = from_nnunet(theirs, spec, channels, 2)
    fitted, changes = fitted_encoder(own, spec, encoder.weights, encoder.stages)
    merged, taken = transfer(own, fitted)
    assert changes == CHANGES[kind]
    assert (taken.parts["decoder"].taken, taken.parts["heads"].taken) == (0, 0)
    patch = torch.from_numpy(golden["patch"].astype(np.float32))
    given = []
    for weights in (own, merged):
        network.load_state_dict(weights)
        with torch.no_grad():
            given.append(network(patch))
    before, logits = (one[0] if isinstance(one, (list, tuple)) else one for one in given)
    np.testing.assert_allclose(logits.numpy(), golden["logits"], rtol=1e-4, atol=1e-4)
    assert np.abs(before.numpy() - golden["logits"]).max() > 0.1  # by the random weights alone


def test_a_stem_that_is_repeated_gives_the_same_for_the_same_image_in_each_channel(encoder: PretrainedEncoder) -> None:
    spec = TO_TRAIN["same"]
    stems = []
    for channels in (1, 3):
        network = build_network(spec, channels, 2)
        fitted, _ = fitted_encoder(network.state_dict(), spec, encoder.weights, encoder.stages)
        network.load_state_dict(transfer(network.state_dict(), fitted)[0])
        image = torch.linspace(-1, 1, 512).reshape(1, 1, 8, 8, 8).repeat(1, channels, 1, 1, 1)
        with torch.no_grad():
            stems.append(network.encoder[0][0](image))
    torch.testing.assert_close(stems[0], stems[1])


def test_what_does_not_fit_stays_as_it_is_and_is_said(encoder: PretrainedEncoder) -> None:
    own = build_network(SPECS["plain"], 1, 2).state_dict()
    fitted, changes = fitted_encoder(own, SPECS["plain"], encoder.weights, encoder.stages)
    assert (fitted, changes) == ({}, ("the deepest 1 of its 4 stages left out",))
