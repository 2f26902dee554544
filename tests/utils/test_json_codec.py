"""JSON and back without loss, and every wrong field named."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.json_codec import decode, digest, encode, parse_setting

FINITE = st.floats(allow_nan=False, allow_infinity=False)
WHOLE = st.integers(-(2**63) + 1, 2**63 - 1)


@dataclass(frozen=True)
class Inner:
    number: float
    pair: tuple[int, str]
    flag: bool = False


@dataclass(frozen=True)
class Outer:
    name: str
    count: int
    mode: Literal["fast", "slow"]
    inners: tuple[Inner, ...]
    table: dict[str, float]
    by_value: dict[int, Inner]
    maybe: int | None = None


INNERS = st.builds(Inner, number=FINITE, pair=st.tuples(WHOLE, st.text()), flag=st.booleans())
OUTERS = st.builds(
    Outer,
    name=st.text(),
    count=WHOLE,
    mode=st.sampled_from(("fast", "slow")),
    inners=st.lists(INNERS, max_size=3).map(tuple),
    table=st.dictionaries(st.text(), FINITE, max_size=3),
    by_value=st.dictionaries(WHOLE, INNERS, max_size=2),
    maybe=st.none() | WHOLE,
)
GOOD: dict[str, Any] = {
    "name": "a",
    "count": 3,
    "mode": "fast",
    "inners": [{"number": 1.5, "pair": [1, "x"]}],
    "table": {"a": 1.0},
    "by_value": {"7": {"number": 0.0, "pair": [2, "y"], "flag": True}},
}


@given(OUTERS)
def test_round_trip_through_json(value: Outer) -> None:
    assert decode(Outer, json.loads(json.dumps(encode(value))), "the file") == value


def test_defaults_fill_what_is_absent() -> None:
    value = decode(Outer, GOOD, "the file")
    assert value.maybe is None
    assert value.inners == (Inner(1.5, (1, "x")),)
    assert value.by_value == {7: Inner(0.0, (2, "y"), True)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": 3}, ("the file: name", "a text", "3")),
        ({"count": 1.5}, ("the file: count", "a whole number", "1.5")),
        ({"count": True}, ("the file: count", "a whole number", "True")),
        ({"count": "3"}, ("the file: count", "a whole number", "'3'")),
        ({"count": float("inf")}, ("the file: count", "a whole number")),
        ({"count": None}, ("the file: count", "a whole number", "None")),
        ({"mode": "medium"}, ("the file: mode", "medium", "fast, slow")),
        ({"mode": ["fast"]}, ("the file: mode", "fast, slow")),
        ({"inners": {}}, ("the file: inners", "a list")),
        ({"inners": "ab"}, ("the file: inners", "a list")),
        ({"inners": [3]}, ("the file: inners[0]", "an object", "3")),
        ({"inners": [{"number": True, "pair": [1, "x"]}]}, ("the file: inners[0]: number", "a number", "True")),
        ({"inners": [{"number": float("nan"), "pair": [1, "x"]}]}, ("inners[0]: number", "a finite number")),
        ({"inners": [{"number": 10**400, "pair": [1, "x"]}]}, ("inners[0]: number", "a finite number")),
        ({"inners": [{"number": 1, "pair": [1]}]}, ("the file: inners[0]: pair", "a list of 2 values")),
        ({"inners": [{"number": 1, "pair": ["x", "x"]}]}, ("the file: inners[0]: pair[0]", "a whole number")),
        ({"inners": [{"number": 1, "pair": [1, "x"], "flag": 1}]}, ("inners[0]: flag", "true or false", "1")),
        ({"inners": [{"pair": [1, "x"]}]}, ("the file: inners[0]", "lacks the field number")),
        ({"table": []}, ("the file: table", "an object")),
        ({"table": {"deep": "x"}}, ("the file: table.deep", "a number", "'x'")),
        ({"by_value": {"x": {}}}, ("the file: by_value.x", "a whole number as key")),
        ({"by_value": {"1": {}}}, ("the file: by_value.1", "lacks the field number")),
        ({"maybe": "x"}, ("the file: maybe", "a whole number")),
        ({"extra": 1, "other": 2}, ("the file", "unknown field", "extra, other")),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as caught:
        decode(Outer, {**GOOD, **change}, "the file")
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("field", GOOD)
def test_a_missing_field_is_named(field: str) -> None:
    with pytest.raises(InputError, match=f"the file lacks the field {field}"):
        decode(Outer, {key: value for key, value in GOOD.items() if key != field}, "the file")


@pytest.mark.parametrize("data", [None, 3, "x", [1], []])
def test_no_object_at_all(data: Any) -> None:
    with pytest.raises(InputError, match="the file must be an object"):
        decode(Outer, data, "the file")


def test_a_long_wrong_value_is_cut() -> None:
    with pytest.raises(InputError) as caught:
        decode(Outer, {**GOOD, "count": "x" * 1000}, "the file")
    assert len(str(caught.value)) < 200


def test_whole_floats_are_whole_numbers_and_the_other_way() -> None:
    value = decode(Outer, {**GOOD, "count": 4.0, "inners": [{"number": 2, "pair": [1, "x"]}]}, "the file")
    assert (value.count, type(value.count)) == (4, int)
    assert (value.inners[0].number, type(value.inners[0].number)) == (2.0, float)


@given(st.dictionaries(st.text(), st.integers() | FINITE | st.text(), min_size=1))
def test_digest_ignores_order_only(value: dict[str, Any]) -> None:
    assert digest(value) == digest(dict(reversed(value.items())))
    assert len(digest(value)) == 16
    assert digest(value) != digest({**value, "one more key": 1})


def test_digest_of_dataclass_is_that_of_its_json() -> None:
    value = decode(Outer, GOOD, "the file")
    assert digest(value) == digest(json.loads(json.dumps(encode(value))))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (int, "5", 5),
        (int, "1e2", 100),
        (float, "3", 3.0),
        (float, "1e-3", 0.001),
        (bool, "true", True),
        (bool, "False", False),
        (str, "adamw", "adamw"),
        (str, "5", "5"),
        (Literal["sgd", "adamw"], "adamw", "adamw"),
        (tuple[int, ...], "[0, 2]", (0, 2)),
        (tuple[int, ...], "[]", ()),
        (int | None, "None", None),
        (int | None, "null", None),
    ],
)
def test_settings_as_people_write_them(kind: Any, text: str, value: Any) -> None:
    parsed = parse_setting(kind, text, "the setting x")
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"), [(int, "many"), (int, "1.5"), (int, ""), (float, "NaN"), (bool, "1"), (tuple[int, ...], "0")]
)
def test_a_setting_that_can_not_be(kind: Any, text: str) -> None:
    with pytest.raises(InputError, match="the setting x must be"):
        parse_setting(kind, text, "the setting x")
