"""CSV tables, read with the types of their columns, and written whole or not at all.

A spreadsheet takes a text that begins with = + - @ for a formula and runs it, and names come from strangers too. Such a
text is written with an apostrophe before it, which `read_csv` takes off again; numbers stay numbers.
"""

from __future__ import annotations

import contextlib
import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from vmseg_auto.utils.atomic import write_text
from vmseg_auto.utils.errors import InputError

_AGAIN = "Delete it: the command that wrote it makes it again."
_MOST_DIGITS = 16
_BEGINS = r"(^|[;\t\r\n])"
"""Where a cell begins: some spreadsheets part a line at semicolons or tabs too."""
_FORMULA = r"(?='*[=+\-@\t\r\n＝＋－＠])"  # noqa: RUF001 - in full width they count too
"""What a formula begins with, and such a text that has been written already."""
_BARE, _WRITTEN = re.compile(_BEGINS + _FORMULA), re.compile(_BEGINS + "'" + _FORMULA)


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], note: str | None = None) -> None:
    """Write rows under a header; NaN and None become empty cells, floats keep six significant digits.

    No cell holds what a spreadsheet takes for a formula.

    Args:
        note: goes into a line before the header, behind a #.
    """
    text = io.StringIO()
    if note:
        text.write(f"# {note}\n")
    # csv quotes a cell with a CR in it only if its own lines end with one.
    lines = SimpleNamespace(write=lambda line: text.write(line.removesuffix("\r\n") + "\n"))
    writer = csv.writer(lines, lineterminator="\r\n")
    writer.writerow([_cell(column) for column in columns])
    for row in rows:
        writer.writerow([_cell(row.get(column)) for column in columns])
    write_text(path, text.getvalue())


@dataclass(frozen=True)
class Text:
    """A column of texts.

    Args:
        optional: whether cells may be empty.
        among: the texts that there are; any unless given.
    """

    optional: bool = False
    among: tuple[str, ...] = ()

    def read(self, cell: str) -> str:
        """Read a cell as text. Raises ValueError, saying what a cell must be."""
        if not cell.strip() and not self.optional:
            raise ValueError("a text")
        if self.among and cell and cell not in self.among:
            raise ValueError(f"one of {', '.join(self.among)}")
        return cell


@dataclass(frozen=True)
class Number:
    """A column of finite numbers.

    Args:
        low, high: ends of what is possible.
        optional: whether cells may be empty: they are read as NaN.
    """

    low: float = -math.inf
    high: float = math.inf
    optional: bool = False

    def read(self, cell: str) -> float:
        """Read a cell as a number, NaN where it is empty. Raises ValueError, saying what a cell must be."""
        if not cell and self.optional:
            return math.nan
        with contextlib.suppress(ValueError):
            value = float(cell)
            if math.isfinite(value) and self.low <= value <= self.high and "_" not in cell:
                return value
        raise ValueError(f"a number{_range(self.low, self.high)}")


@dataclass(frozen=True)
class Whole:
    """A column of whole numbers.

    Args:
        low: the smallest possible.
        optional: whether cells may be empty: they are read as None.
    """

    low: int = 0
    optional: bool = False

    def read(self, cell: str) -> int | None:
        """Read a cell as a whole number. Raises ValueError, saying what a cell must be."""
        if not cell and self.optional:
            return None
        if cell.isascii() and cell.isdecimal() and len(cell) < _MOST_DIGITS and int(cell) >= self.low:
            return int(cell)
        raise ValueError(f"a whole number{_range(self.low, math.inf)}")


Column = Text | Number | Whole


def read_table(
    path: Path, columns: Mapping[str, Column], *, key: Sequence[str] = (), remedy: str = _AGAIN
) -> list[dict[str, Any]]:
    """Read the columns of a table that are wanted, each cell as what its column holds.

    Args:
        path: the table.
        columns: name -> what it holds.
        key: columns that tell rows apart: no two rows are alike in all of them.
        remedy: what to do where the table is damaged.

    Returns:
        The rows; of each the columns that are wanted.

    Raises:
        InputError: the file is missing or no table, or a column, cell or row is wrong; line and column are named.
    """
    rows = read_csv(path, remedy)
    found: dict[tuple[Any, ...], int] = {}
    read = []
    for line, row in enumerate(rows, 2):
        values = {}
        for name, column in columns.items():
            cell = row.get(name)
            if cell is None:
                raise InputError(f"line {line} lacks the column {name}", file=path, remedy=remedy)
            try:
                values[name] = column.read(cell)
            except ValueError as wanted:
                problem = f"line {line}, column {name}: {cell[:40]!r} is not {wanted}"
                raise InputError(problem, file=path, remedy=remedy) from None
        same = tuple(values[name] for name in key)
        if key and found.setdefault(same, line) != line:
            problem = f"lines {found[same]} and {line} are both of {', '.join(map(str, same))}"
            raise InputError(problem, file=path, remedy=remedy)
        read.append(values)
    return read


def read_csv(path: Path, remedy: str = _AGAIN) -> list[dict[str, str]]:
    """Read the rows of a table under its header, as text, as they were given to `write_csv`, whose note is passed over.

    Args:
        path: the table.
        remedy: what to do where it is damaged.

    Raises:
        InputError: the file is missing or no table, a column stands twice, or a row is longer than the header.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets put a byte-order mark first
            if not file.readline().startswith(("#", '"#')):
                file.seek(0)
            reader = csv.DictReader(file, strict=True)  # a quote without its end would swallow the rows that follow
            rows = list(reader)
            header = list(reader.fieldnames or ())
    except OSError as error:
        advice = "Check the file's rights, or run the command that writes it again."
        raise InputError(f"the table can't be read ({error.strerror or error})", file=path, remedy=advice) from error
    except (ValueError, csv.Error) as error:
        raise InputError(f"the file is no table ({error})", file=path, remedy=remedy) from error
    if twice := [name for place, name in enumerate(header) if name in header[:place]]:
        raise InputError(f"the column {twice[0][:40]!r} stands twice", file=path, remedy=remedy)
    for line, row in enumerate(rows, 2):
        if None in row:
            raise InputError(f"line {line} has more cells than the header", file=path, remedy=remedy)
    return [_row_as_given(row) for row in rows]


def _range(low: float, high: float) -> str:
    if math.isfinite(high):
        return f" from {low:g} to {high:g}"
    return f", {low:g} or above" if math.isfinite(low) else ""


def _row_as_given(row: Mapping[str, str]) -> dict[str, str]:
    """Return a row as it was given to `write_csv`; a cell that it lacks is None."""
    return {as_given(name): cell and as_given(cell) for name, cell in row.items()}


def as_given(cell: str) -> str:
    """Return a text as it was given to `write_csv`, which writes an apostrophe before what looks like a formula.

    >>> as_given("'=1"), as_given("'a")
    ('=1', "'a")
    """
    return _WRITTEN.sub(r"\1", cell)


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return _BARE.sub(r"\1'", value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else value
