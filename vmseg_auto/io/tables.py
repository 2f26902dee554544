"""CSV tables, read, and written whole or not at all."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vmseg_auto.core.errors import InputError
from vmseg_auto.io.atomic import write_text


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], note: str | None = None) -> None:
    """Write rows under a header; NaN and None become empty cells, floats keep six significant digits.

    Args:
        note: goes into a line before the header, behind a #.
    """
    text = io.StringIO()
    if note:
        text.write(f"# {note}\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(column)) for column in columns])
    write_text(path, text.getvalue())


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read the rows of a table under its header, as text.

    Raises:
        InputError: the file is missing or can't be read.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise InputError(f"the table can't be read ({error.strerror or error})", file=path) from error


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else value
