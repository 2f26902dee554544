"""What a checkpoint holds has one hash, whatever the order of its keys."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.models.hashes import content_hash

TEXTS = st.text(max_size=3)
CONTENT = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(a=CONTENT, b=CONTENT)
def test_equal_content_and_no_other_has_equal_hashes(a: Any, b: Any) -> None:
    assert (content_hash(a) == content_hash(b)) == (repr(a) == repr(b) or _sorted(a) == _sorted(b))


def _sorted(value: Any) -> str:
    """The same for dicts whose keys come in another order."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key!r}:{_sorted(value[key])}" for key in sorted(value, key=repr)) + "}"
    return "[" + ",".join(map(_sorted, value)) + "]" if isinstance(value, list) else repr(value)


def test_tensors_are_hashed_by_type_shape_and_value() -> None:
    ones = torch.ones(2, 3)
    others = [ones.double(), ones.reshape(3, 2), ones * 2, ones.to(torch.bfloat16), torch.ones(6), [1.0] * 6]
    assert len({content_hash(value) for value in [ones, *others]}) == 7
    assert content_hash(torch.ones(3, 2).T) == content_hash(ones)
    with pytest.raises(TypeError, match="a checkpoint holds no set"):
        content_hash({"a": {1}})
