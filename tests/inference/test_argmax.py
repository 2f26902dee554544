"""The argmax class of each voxel."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.inference.argmax import argmax


@given(classes=st.integers(2, 5), seed=st.integers(0, 2**16), ties=st.booleans())
def test_it_is_argmax_and_the_first_on_a_tie(classes: int, seed: int, ties: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(classes, 2, 3, 4, generator=generator)
    if ties:
        values = values.round()
    expected = values.numpy().argmax(axis=0)  # numpy promises the first
    found = argmax(values)
    assert found.dtype == torch.uint8
    assert (found.numpy() == expected).all()


def test_it_takes_any_layout_and_leaves_the_values_alone() -> None:
    values = torch.randn(2, 3, 4, 5).movedim(1, 0)
    before = values.clone()
    assert torch.equal(argmax(values).long(), values.argmax(0))
    assert torch.equal(values, before)
