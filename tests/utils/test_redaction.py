"""What may be a patient's name goes into no text, however the name and the text are written."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.utils.console import shown
from vmseg_auto.utils.redaction import Redaction, identifying, is_telling

SYLLABLES = st.sampled_from(
    ["Mül", "ler", "Nowák", "San", "tos", "Ō", "ta", "李", "小龙", "O'", "Neill", "-", ", ", "_", "."]
)
NAMES = st.lists(SYLLABLES, min_size=2, max_size=5).map("".join).map(str.strip).filter(is_telling)


@pytest.mark.parametrize(
    "name", ["T2", "t2_tse_fs_tra", "IM0001", "case_001", "patient_07", "P01", "scan", "0001", "x"]
)
def test_names_that_are_nobody_s_stay(name: str) -> None:
    assert not is_telling(name)
    assert Redaction({}, [name])(f"case {name}: bad") == f"case {name}: bad"


@pytest.mark.parametrize("name", ["Anna", "mueller_t2", "LI", "00471123", "MRN004711", "Doe^Jo", "20190304", "José"])
def test_names_and_numbers_of_persons_do_not(name: str) -> None:
    assert is_telling(name)
    assert Redaction({}, [name])(f"case {name}_T2, {name}: bad") == "case name_1_T2, name_1: bad"


@given(names=st.lists(NAMES, min_size=1, max_size=6, unique=True), form=st.sampled_from(["NFC", "NFD"]))
def test_no_name_is_left_in_any_message(names: list[str], form: str) -> None:
    redaction = Redaction({"/pacs/export": "INPUT"}, [unicodedata.normalize(form, name) for name in names])
    for name in names:
        texts = [
            f"case {name}_T2, /pacs/export/{name}/T2/IM1: bad",
            f"{name} is unlike",
            repr({"input": name}),
            shown(name),
        ]
        for text in texts:
            told = redaction(text)
            assert unicodedata.normalize("NFC", name) not in told
            assert "/pacs" not in told


def test_one_name_has_one_stand_in_and_another_name_another() -> None:
    redaction = Redaction({}, ["Anna", "Ben", "Anna_Lena"])
    assert redaction("Anna, Ben, Anna_Lena, Anna") == ", ".join(
        redaction(name) for name in ("Anna", "Ben", "Anna_Lena", "Anna")
    )
    assert len({redaction(name) for name in ("Anna", "Ben", "Anna_Lena")}) == 3


def test_a_longer_word_is_another_name() -> None:
    assert Redaction({}, ["Li"])("Lippe and Li") == "Lippe and name_1"


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["vm_001", "vm_002", "vm_010"], []),
        (["case_001", "case_002", "phantom_003", "sub-04_ses-01"], []),
        (["BraTS-GLI-00005-000", "BraTS-GLI-00008-001"], []),
        (["a3fbc812d0", "b7ee01dd4c"], []),
        (["anna"], []),
        (["mueller_v1", "mueller_v2", "huber_v1", "huber_v2"], ["mueller_v1", "mueller_v2", "huber_v1", "huber_v2"]),
        (["vm_Müller", "vm_002", "vm_003"], ["vm_Müller"]),
        (["x_1", "MUELLER^ANNA"], ["MUELLER^ANNA"]),
        (["Mueller, Anna"], ["Mueller, Anna"]),
        (["t2_19830417", "t2_17041983"], ["t2_19830417", "t2_17041983"]),
        (["a_1983-04-17", "b_17.4.1983", "c_1983-44-17", "d_1.2"], ["a_1983-04-17", "b_17.4.1983"]),
        (["00471123"], ["00471123"]),
    ],
)
def test_names_of_cases_that_may_be_patients(names: list[str], found: list[str]) -> None:
    assert identifying(names) == found
