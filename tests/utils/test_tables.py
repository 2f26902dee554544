"""CSV tables as spreadsheets and pandas read them."""

from __future__ import annotations

import contextlib
import csv
import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.tables import Column, Number, Text, Whole, read_csv, read_table, write_csv


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


COLUMNS: dict[str, Column] = {
    "case": Text(),
    "dice": Number(0, 1),
    "slice": Whole(1, optional=True),
    "error": Number(optional=True),
}


def table(folder: Path, *lines: str) -> Path:
    path = folder / "t.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_cells_are_read_as_what_their_columns_hold(tmp_path: Path) -> None:
    path = table(tmp_path, "\ufeffcase,other,dice,slice,error", "=a,x,0.25,7,-1e3", "b,,1,,")  # as spreadsheets save it
    first, second = read_table(path, COLUMNS, key=("case",))
    assert first == {"case": "=a", "dice": 0.25, "slice": 7, "error": -1000.0}
    assert (second["dice"], second["slice"]) == (1.0, None)
    assert math.isnan(second["error"])


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a,,3,", r"line 3, column dice: '' is not a number from 0 to 1"),
        ("a,\"0,5\",3,", r"line 3, column dice: '0,5' is not a number"),
        ("a,nan,3,", r"column dice: 'nan'"),
        ("a,inf,3,", r"column dice: 'inf'"),
        ("a,1e999,3,", r"column dice: '1e999'"),
        ("a,1_0,3,", r"column dice: '1_0'"),
        ("a,1.5,3,", r"column dice: '1\.5'"),
        ("a,0.5,0,", r"column slice: '0' is not a whole number, 1 or above"),
        ("a,0.5,3.0,", r"column slice: '3\.0'"),
        ("a,0.5," + "9" * 5000 + ",", r"column slice: '9{40}' is not"),
        ("a,0.5,3,nan", r"column error: 'nan' is not a number\."),
        (" ,0.5,3,", r"column case: ' ' is not a text"),
        ("a,0.5", r"line 3 lacks the column slice"),
        ("a,0.5,3,,7", r"line 3 has more cells than the header"),
        ("sound,0.5,3,", r"lines 2 and 3 are both of sound"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_file_line_and_column(tmp_path: Path, row: str, said: str) -> None:
    path = table(tmp_path, "case,dice,slice,error", "sound,1,1,0", row)
    with pytest.raises(InputError, match=rf"t\.csv: .*{said}.*Restore it"):
        read_table(path, COLUMNS, key=("case",), remedy="Restore it.")


def test_a_table_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lacks the column case"):
        read_table(table(tmp_path, "case;dice;slice;error", "a;1;1;1"), COLUMNS)
    with pytest.raises(InputError, match="the column 'case' stands twice"):
        read_table(table(tmp_path, "case,case", "a,b"), COLUMNS)
    with pytest.raises(InputError, match="the file is no table"):
        read_table(table(tmp_path, "case", "a", '"b', "c"), COLUMNS)
    (tmp_path / "t.csv").write_bytes(b"case\n\xff\xfe")
    with pytest.raises(InputError, match="the file is no table"):
        read_table(tmp_path / "t.csv", COLUMNS)


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_whatever_a_file_holds_is_read_or_refused(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(InputError):
        read_table(table(Path(folder), "case,dice,slice,error", text), COLUMNS, key=("case",))


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
