"""What packages bring, and what is told where it is broken."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from vmseg_auto.utils.entry_points import load_entry, load_entry_as
from vmseg_auto.utils.errors import InputError


def entry(value: str) -> EntryPoint:
    return EntryPoint("mine", value, "group")


def test_a_class_becomes_an_instance_and_a_value_stays_one() -> None:
    assert load_entry_as(entry("collections:OrderedDict"), dict, "table", "a page") == {}
    assert load_entry(entry("math:pi"), "number") == pytest.approx(3.14159, abs=1e-5)


@pytest.mark.parametrize("value", ["no_such_module:x", "math:no_such_name", "zipfile:ZipFile"])
def test_what_can_not_be_loaded_is_one_sentence(value: str) -> None:
    with pytest.raises(
        InputError, match=r"the metric mine of a package can't be loaded \(\w+Error: .*Repair or remove"
    ):
        load_entry(entry(value), "metric")


def test_another_type_is_refused() -> None:
    with pytest.raises(InputError, match=r"the metric mine of a package is none: math:pi is no dict\. See a page"):
        load_entry_as(entry("math:pi"), dict, "metric", "a page")
