"""Labels and their names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.labels import check_labels, file_part, odd_names


@given(st.text(min_size=1))
def test_a_name_never_leads_to_another_folder(name: str) -> None:
    assert not set(file_part(name)) & set("/\\:")
    assert file_part(file_part(name)) == file_part(name)
    assert len(file_part(name).encode()) <= 100
    assert file_part(name).strip(". ") == file_part(name) != ""


@pytest.mark.parametrize("name", ["lesion", "vein (left)", "l\xe4sion", "a.b", "metrics_1"])
def test_a_plain_name_stays_as_it_is(name: str) -> None:
    assert file_part(name) == name


def test_a_name_that_no_folder_can_have_gets_another() -> None:
    assert {name: file_part(name).partition("~")[0] for name in (".", "..", "a.", ".a", "con", "a/b")} == {
        ".": "_", "..": "_", "a.": "a_", ".a": "a", "con": "con", "a/b": "a_b",
    }  # fmt: skip
    assert file_part("con") != "con"
    assert odd_names(["a.", "a "]) is not None


@pytest.mark.parametrize("labels", [{"background": 0, "lesion": 1}, {"b": 1, "é / ö": 2, "..": 0}])
def test_labels_that_nnunet_takes_are_taken(labels: dict[str, int]) -> None:
    check_labels(labels, "model.json")
    assert odd_names(labels) is None


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({}, "values 0, 1, 2"),
        ({"background": 0}, "values 0, 1, 2"),
        ({"background": 0, "a": 2}, "values 0, 1, 2"),
        ({"background": 0, "a": 1, "b": 1}, "values 0, 1, 2"),
        ({str(number): number for number in range(256)}, "up to 254"),
        ({"background": 0, "lesion": 1, "ignore": 2}, "is no class that a model can have"),
        ({"background": 0, "": 1}, "1 to 100 plain letters"),
        ({"background": 0, "a" * 101: 1}, "1 to 100 plain letters"),
        ({"background": 0, "a\nb": 1}, "1 to 100 plain letters"),
        ({"background": 0, "a/b": 1, "a_b": 2}, "differ only in"),
    ],
)
def test_other_labels_are_refused_with_a_remedy(labels: dict[str, int], words: str) -> None:
    with pytest.raises(InputError, match=rf"model\.json.*{words}.*Mend the labels"):
        check_labels(labels, "model.json")
