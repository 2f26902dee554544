"""Addresses of studies in a PACS, and tables of them as spreadsheets write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmseg_auto.cli import followup, make_dataset, predict, report, review
from vmseg_auto.pacs.address import Listed, StudyKeys, parse_address, read_studies
from vmseg_auto.utils.errors import InputError

ROWS = [
    Listed(2, StudyKeys(accession="A-17", date="20260131"), "müller"),
    Listed(4, StudyKeys(study="1.2.3", accession="A-18"), "bert"),
]
TEXT = "Study;ACCESSION; Name ;study date;\r\n;A-17;müller;20260131;\r\n;;;;\r\n1.2.3;A-18;bert\r\n"


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        TEXT.replace(";", ",").encode(),
        TEXT.replace(";", "\t").replace("\r\n", "\n").encode(),
        TEXT.replace("Study;", "StudyInstanceUID;").replace("ACCESSION", "Accession Number").encode(),
    ],
    ids=["semicolons", "byte-order mark", "Unicode text", "commas", "tabs", "DICOM's names"],
)
def test_tables_are_taken_as_spreadsheets_write_them(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "studies.csv").write_bytes(data)
    assert read_studies(tmp_path / "studies.csv") == ROWS


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (TEXT.encode("latin-1"), "line 2, column name: letters are not written as UTF-8"),
        (b"study;Name\n1.2;a;b\n", "line 2 has a cell in column 3, which has no name in the header"),
        (b"study,STUDY\n1.2,1.3\n", "the column study stands twice"),
        (b'study,name\n1.2,"a\n1.3,b\n', "line 3 is no line of a table"),
        (b"PK\x03\x04xlsx", "it is a spreadsheet's own file, and no CSV. Save it in the spreadsheet as CSV UTF-8."),
        (b"study;\n;;\n", "no study is named in it. Write a row for each study"),
        (b"", "the table is empty"),
        (b"name,date\nanna,20260131\n", "no study is named in it"),
    ],
)
def test_what_is_not_clear_is_told_with_line_and_column(data: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "studies.csv").write_bytes(data)
    with pytest.raises(InputError) as error:
        read_studies(tmp_path / "studies.csv")
    assert f"studies.csv: {told}" in str(error.value)


def test_a_table_that_is_not_there_is_told_with_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no such table of studies\. Write a row for each study; it needs"):
        read_studies(tmp_path / "studies.csv")


def test_addresses_are_known_in_capitals() -> None:
    assert parse_address("PACS:Archive/Patient=4711,DATE=20260131") == (
        "Archive",
        StudyKeys(patient="4711", date="20260131"),
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("pacs:a/accession=", "nothing stands behind accession="),
        ("pacs:a/patient=17,date= ", "nothing stands behind date="),
        ("pacs:a/patient=1,patient=2", "patient= stands twice"),
        ("pacs:a/name=Doe", "what the study is known by can't be read; there are study, accession, patient, date"),
        ("pacs:/1.2", "no PACS is named"),
    ],
)
def test_what_is_wrong_with_an_address_is_said(given: str, told: str) -> None:
    with pytest.raises(InputError) as error:
        parse_address(given)
    assert str(error.value).startswith(f"{told}. Write pacs:NAME/STUDY_UID, pacs:NAME/accession=NUMBER")


@pytest.mark.parametrize(
    ("main", "arguments", "option"),
    [
        (followup.main, ["pacs:a/patient=4711", "pacs:a/patient=4711", "-o", "out"], "before"),
        (report.main, ["-i", "PACS:a/patient=4711"], "input"),
        (review.main, ["--next", "pacs:a/patient=4711"], "next"),
        (predict.main, ["-i", "scans", "-o", "pacs:a/patient=4711"], "output"),
        (make_dataset.main, ["-i", "pacs:a", "-m", "pacs:a/patient=4711", "-o", "made"], "masks"),
    ],
)
def test_a_pacs_where_files_are_wanted_is_refused(
    main: object,
    arguments: list[str],
    option: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert callable(main)
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert f"what is given as {option} names a PACS" in told
    assert "--keep-scans FOLDER`, and name FOLDER here." in told
    assert "4711" not in told
    assert not list(tmp_path.iterdir())
