"""Tables that a person has made in a spreadsheet: read where what they say is clear, and refused where it is not.

Spreadsheets part cells with commas, semicolons or tabs, by the country that they are set to; put a byte-order mark
first; and leave empty rows and columns behind. None of that changes what a table says.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.tables import as_given
from vmseg_auto.utils.text import listed

_SEPARATORS = ",;\t"
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""What a spreadsheet's "Unicode text" begins with."""
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""What the files of spreadsheets themselves begin with: of today, and before 2007."""
_SAVE = "Save it in the spreadsheet as CSV UTF-8."
_NO_UTF8 = re.compile("[\udc80-\udcff]")


def read_foreign_table(
    path: Path, columns: Mapping[str, Sequence[str]], remedy: str
) -> tuple[set[str], list[tuple[int, dict[str, str]]]]:
    """Read a table with a header, whose columns are known by their names in whatever letters, blanks left out.

    Args:
        path: the table.
        columns: name -> other names that it has elsewhere.
        remedy: what to do where the header can't be understood.

    Returns:
        The columns that there are; and for each row that holds anything its line in the file, and column -> cell, empty
        where the row ends before it.

    Raises:
        InputError: the file is missing or no table, a column is unknown or stands twice, a row has a cell without a
            column, or a cell is no text. Line and column are named.
    """
    text = _text(path)
    lines = list(_lines(text, _separator(text), path))
    if not lines:
        raise InputError("the table is empty", file=path, remedy=remedy)
    (line, header), *rows = lines
    names = _columns(header, columns, line, path, remedy)
    return set(names) - {""}, [(line, _cells(row, names, line, path)) for line, row in rows]


def _text(path: Path) -> str:
    """Return what a file holds; bytes that are no UTF-8 as surrogates."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"the table can't be read ({error.strerror or error})", file=path, remedy=_SAVE) from error
    if data.startswith(_WORKBOOKS):
        raise InputError("it is a spreadsheet's own file, and no CSV", file=path, remedy=_SAVE)
    try:
        wide = data.startswith(_WIDE)
        text = data.decode("utf-16") if wide else data.decode("utf-8-sig", "surrogateescape")
    except ValueError as error:
        raise InputError(f"the file is no table ({error})", file=path, remedy=_SAVE) from error
    return text


def _separator(text: str) -> str:
    """Return the separator that the header holds most often; a comma where it holds none."""
    lines = io.StringIO(text, newline="")
    header = next((line for line in lines if line.strip() and not _is_note(line)), "")
    return max(_SEPARATORS, key=header.count)


def _lines(text: str, separator: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of each line that holds anything, without a note before the header."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for row in reader:
            cells = [as_given(cell.strip()) for cell in row]
            if any(cells) and not (reader.line_num == 1 and _is_note(cells[0])):
                yield reader.line_num, cells
    except csv.Error as error:
        problem = f"line {reader.line_num} is no line of a table ({error})"
        raise InputError(problem, file=path, remedy=_SAVE) from error


def _columns(
    header: Sequence[str], columns: Mapping[str, Sequence[str]], line: int, path: Path, remedy: str
) -> list[str]:
    """Return the names of the columns; "" where a column has none."""
    known = {_plain(other): name for name, others in columns.items() for other in (name, *others)}
    names = [known.get(_plain(_whole(cell, line, f"{number}", path)), "") for number, cell in enumerate(header, 1)]
    if unknown := [cell for cell, name in zip(header, names, strict=True) if cell and not name]:
        raise InputError(f"there is no such column: {listed(unknown)}", file=path, remedy=remedy)
    if twice := [name for place, name in enumerate(names) if name and name in names[:place]]:
        raise InputError(f"the column {twice[0]} stands twice", file=path, remedy="Take one of them out.")
    return names


def _cells(row: Sequence[str], names: Sequence[str], line: int, path: Path) -> dict[str, str]:
    cells = dict.fromkeys(filter(None, names), "")
    for number, cell in enumerate(row, 1):
        name = names[number - 1] if number <= len(names) else ""
        if name:
            cells[name] = _whole(cell, line, name, path)
        elif cell:
            problem = f"line {line} has a cell in column {number}, which has no name in the header"
            raise InputError(problem, file=path, remedy="Name the column, or take the cell out.")
    return cells


def _whole(cell: str, line: int, column: str, path: Path) -> str:
    """Return a cell; raises InputError where it is no UTF-8: what its letters are would have to be guessed."""
    if _NO_UTF8.search(cell):
        problem = f"line {line}, column {column}: letters are not written as UTF-8, so it is not known which they are"
        raise InputError(problem, file=path, remedy=_SAVE)
    return cell


def _plain(name: str) -> str:
    """Return a column's name without what people write differently.

    >>> _plain(" Study_Instance UID")
    'studyinstanceuid'
    """
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _is_note(text: str) -> bool:
    return text.startswith(("#", '"#'))
