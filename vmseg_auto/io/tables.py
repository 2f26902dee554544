"""CSV tables, read, and written whole or not at all.

A spreadsheet takes a text that begins with = + - @ for a formula and runs it, and names come from strangers too. Such a
text is written with an apostrophe before it, which `read_csv` takes off again; numbers stay numbers.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from vmseg_auto.core.errors import InputError
from vmseg_auto.io.atomic import write_text

_AGAIN = "Delete it: the command that wrote it makes it again."
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


def read_csv(path: Path, columns: Sequence[str] = (), numbers: Sequence[str] = ()) -> list[dict[str, str]]:
    """Read the rows of a table under its header, as text, as they were given to `write_csv`.

    Args:
        path: the table.
        columns: those that it must have.
        numbers: those of them that must hold a number in each row.

    Raises:
        InputError: the file is missing or can't be read, or a column or number is missing.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [_as_given(row) for row in csv.DictReader(file)]
    except OSError as error:
        remedy = "Check the file's rights, or run the command that writes it again."
        raise InputError(f"the table can't be read ({error.strerror or error})", file=path, remedy=remedy) from error
    except (ValueError, csv.Error) as error:
        raise InputError(f"the file is no table ({error})", file=path, remedy=_AGAIN) from error
    for line, row in enumerate(rows, 2):
        if lacking := [column for column in columns if row.get(column) is None]:
            raise InputError(f"line {line} lacks {', '.join(lacking)}", file=path, remedy=_AGAIN)
        for column in numbers:
            if not _is_number(row[column]):
                raise InputError(f"line {line}: {column} is {row[column][:40]!r}, no number", file=path, remedy=_AGAIN)
    return rows


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _as_given(row: Mapping[str | None, str | None]) -> dict[str, str]:
    """A row as it was written; cells beyond the header's are dropped, and those that it lacks are None."""
    cells = ((name, cell and _WRITTEN.sub(r"\1", cell)) for name, cell in row.items() if name is not None)
    return {_WRITTEN.sub(r"\1", name): cell for name, cell in cells}  # type: ignore[misc]


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return _BARE.sub(r"\1'", value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else value
