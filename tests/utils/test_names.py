"""Names of cases: no two sources share one, each fits into a file's name, and the name of a name is itself."""

from __future__ import annotations

import os
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vmseg_auto.utils.console import shown
from vmseg_auto.utils.labels import file_part
from vmseg_auto.utils.names import LONGEST, case_name, changed_from, close_to, distinct, is_text, key, plain, spelt_like

LONGEST_APPENDED = len("_uncertainty.nii.gz")
any_name = st.one_of(
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60),
    st.binary(min_size=1, max_size=255).map(lambda raw: os.fsdecode(raw.replace(b"/", b"x").replace(b"\0", b"x"))),
    st.text("aA._0~bé́ßS", min_size=1, max_size=12),
    st.sampled_from(["con", "metrics", ".hidden", "a_0000", "1.3.6.1.4.1." + "9" * 52, "x~" + "a" * 8]),
)


def test_plain_names_stay_as_they_are() -> None:
    for name in ("anna", "anna.2019", "anna_v2", "Ä [1] & (2)", "p.2019_0001", "-x", "患者", "1.2.840.113"):
        assert case_name([unicodedata.normalize("NFC", name)]) == unicodedata.normalize("NFC", name)
    assert case_name(["anna", "T2 TSE"]) == "anna_T2 TSE"


def test_the_two_forms_of_an_accent_are_one_name() -> None:
    assert case_name([unicodedata.normalize("NFD", "Käse")]) == case_name(["Käse"]) == "Käse"


def test_uids_keep_the_folder_in_front_and_what_is_last() -> None:
    study, series = "1.3.6.1.4.1.99999.5.2.1.7695.4164." + "5" * 30, "1.3.6.1.4.1.99999.5.2.1.7695.4164." + "7" * 30
    name = case_name(["HN-0007", study, series])
    assert name.startswith("HN-0007_1.3.6.1.4.1.99999")
    assert "777777~" in name
    assert name != case_name(["HN-0007", study, series[:-1] + "8"])
    assert len(name) <= LONGEST


def test_channels_of_one_long_name_belong_together() -> None:
    one, two = (case_name(["x" * 150, f"anna_{number}"]) for number in ("0000", "0001"))
    assert one.endswith("_0000")
    assert one.removesuffix("_0000") == two.removesuffix("_0001")


@pytest.mark.parametrize("name", [".hidden", "..", " x", "a\nb", "con", "NUL.x", "metrics", os.fsdecode(b"K\xe4se")])
def test_what_no_file_can_be_called_is_marked(name: str) -> None:
    made = case_name([name])
    assert "~" in made
    assert made.isprintable()
    assert not made.startswith((".", " "))
    assert "~" not in plain(made)


@given(st.lists(any_name, min_size=1, max_size=4))
def test_a_name_fits_is_visible_and_names_itself(parts: list[str]) -> None:
    name = case_name(parts)
    assert 0 < len(name.encode()) <= LONGEST + len("_0000")
    assert name.isprintable()
    assert name[0] not in ". "
    assert "/" not in name
    assert case_name([name]) == name


@given(st.lists(st.tuples(any_name, any_name), min_size=1, max_size=8, unique=True))
@example([("a_b", "c"), ("a", "b_c"), ("A", "B_C"), ("p", "2")])
@example([("p", "x"), ("P", "x"), ("p", "x~" + "0" * 8)])
def test_different_sources_never_share_a_name(sources: list[tuple[str, str]]) -> None:
    names = distinct([case_name(parts) for parts in sources], ["/".join(parts) for parts in sources])
    assert len({key(name) for name in names}) == len(sources)
    assert all(len(name.encode()) <= LONGEST + len("_0000") and name[0] not in ". " for name in names)
    assert [case_name([name]) for name in names] == names


def test_names_that_nobody_shares_stay() -> None:
    assert distinct(["p", "p_2"], ["p", "p_2"]) == ["p", "p_2"]
    folder, archive, visit = distinct(["p", "p", "p_2"], ["p", "p.zip", "p_2"])
    assert visit == "p_2"
    assert folder != archive
    assert plain(folder) == plain(archive) == "p"
    # The order in which they are found changes nothing.
    assert distinct(["p", "p_2", "p"], ["p.zip", "p_2", "p"]) == [archive, "p_2", folder]


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=100))
def test_every_suffix_fits_behind_the_longest_name(label: str) -> None:
    name = case_name(["x" * 300]) + "_0000"
    assert len(file_part(label).encode()) <= 255
    assert len(name) + LONGEST_APPENDED <= 255
    assert len(f"{name}-{name}_followup.png") <= 255


def test_paths_in_words() -> None:
    assert shown(os.fsdecode(b"K\xe4se"), lines=False) == "K\\xe4se"
    assert shown("a\x1b[2Jb", lines=False) == "a\\x1b[2Jb"
    assert not is_text(os.fsdecode(b"K\xe4se"))
    assert is_text("Käse")


def test_a_name_close_to_a_known_one() -> None:
    known = ("patients", "labels", "file_ending")
    for name in ("Patients", "patient", "pateints", "patientss", "fileEnding", "Labels"):
        assert close_to(name, known) is not None
    for name in ("patients", "name", "reference", "training"):
        assert close_to(name, known) is None


@pytest.mark.parametrize(
    "name",
    [
        "p_01_corrected", "p_01-Corrected", "p_01.edited", "p_01 edit", "p_01_corrected2", "p_01_corrected_v2",
        "Copy of p_01", "Kopie von p_01", "p_01 - Copy", "p_01 (1)", "p_01_corrected (2)", "corrected_p_01",
        "P_01_FINAL", "p-01_fixed",
    ],
)  # fmt: skip
def test_a_corrected_or_copied_file_is_known_by_its_name(name: str) -> None:
    assert changed_from(name, ["p_011", "p_01"]) == "p_01"


@pytest.mark.parametrize("name", ["p_01", "p_01_2", "p_01_T2", "p_01_followup", "p_02_corrected", "corrected", "edit"])
def test_other_names_are_no_corrections(name: str) -> None:
    assert changed_from(name, ["p_01"]) is None


def test_names_that_are_spelt_alike() -> None:
    for name in ("P_01", "p-01", "p 01", "p01"):
        assert spelt_like(name, ["p_011", "p_01"]) == "p_01"
    assert spelt_like("Zoe\u0308", ["zo\u00eb"]) == "zo\u00eb"
    for name in ("p_01", "p_02", "p_1", "___"):
        assert spelt_like(name, ["p_01", "__"]) is None
