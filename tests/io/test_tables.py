"""CSV tables as spreadsheets and pandas read them."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.core.errors import InputError
from vmseg_auto.io.tables import read_csv, write_csv


def test_header_order_and_cells(tmp_path: Path) -> None:
    path = tmp_path / "volumes.csv"
    rows = [
        {"volume_ml": 1 / 3, "case": "a", "n": 2, "not asked for": 1},
        {"case": 'b, "c"', "volume_ml": math.nan, "n": None},
        {"case": "d"},
    ]
    write_csv(path, ["case", "volume_ml", "n"], rows)
    assert path.read_bytes() == b'case,volume_ml,n\na,0.333333,2\n"b, ""c""",,\nd,,\n'


def test_numpy_numbers_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_csv(path, ["a", "b", "c"], [{"a": np.float64(123456.789), "b": np.int64(7), "c": np.float64("nan")}])
    assert path.read_text().splitlines()[1] == "123457,7,"


@pytest.mark.parametrize("value", [1e-9, 123456.0, -0.25, 1e20, math.inf])
def test_six_digits_are_kept(tmp_path: Path, value: float) -> None:
    path = tmp_path / "t.csv"
    write_csv(path, ["x"], [{"x": value}])
    (row,) = csv.DictReader(path.read_text().splitlines())
    assert float(row["x"]) == pytest.approx(value, rel=1e-5)


def test_no_rows_is_a_header_alone(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", ["a", "b"], [])
    assert (tmp_path / "t.csv").read_text() == "a,b\n"


def test_what_was_written_is_read_back_as_text(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_csv(path, ["case", "dice"], [{"case": "NA", "dice": 0.5}, {"case": 'ü, "b"', "dice": math.nan}])
    assert read_csv(path) == [{"case": "NA", "dice": "0.5"}, {"case": 'ü, "b"', "dice": ""}]
    with pytest.raises(InputError, match=r"no\.csv: the table can't be read"):
        read_csv(tmp_path / "no.csv")


@pytest.mark.parametrize("text", ["=1+2", "+3", "-4", "@SUM(1)", "\t=1", "\r=1", "＝1", "'=1", "x;=1", "\t@y", "x\n+1"])  # noqa: RUF001
def test_a_text_is_no_formula_in_a_spreadsheet_and_comes_back_as_it_was(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.csv"
    write_csv(path, [text, "x"], [{text: text, "x": -0.5}])
    with path.open(newline="", encoding="utf-8") as file:
        header, row = csv.reader(file)
    for cell in (header[0], row[0]):
        assert not any(part[:1] in set("=+-@\t\r") for part in cell.replace("\n", ";").split(";")), cell
    assert row[1] == "-0.5", "a number is still one"
    assert read_csv(path) == [{text: text, "x": "-0.5"}]


@given(texts=st.lists(st.text(st.sampled_from("'=+-@;\t\r\n, \"ax＝"), max_size=6), min_size=1, max_size=4))  # noqa: RUF001
def test_every_text_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.getbasetemp() / "t.csv"
    write_csv(path, ["n", "text"], [{"n": number, "text": text} for number, text in enumerate(texts)])
    assert [row["text"] for row in read_csv(path)] == texts


def test_cells_beyond_the_header_are_dropped_and_missing_ones_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2,3\n4\n")
    assert read_csv(tmp_path / "t.csv", ["a"]) == [{"a": "1", "b": "2"}, {"a": "4", "b": None}]
    with pytest.raises(InputError, match="line 3 lacks b"):
        read_csv(tmp_path / "t.csv", ["b"])
