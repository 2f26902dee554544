"""The count of lines that tests run. `python -m benchmarks.reliability.lines` makes it of the whole suite."""

from __future__ import annotations

import pytest

from benchmarks.reliability.lines import report, share_of


def file(lines: int, run: int) -> dict[str, dict[str, int]]:
    return {"summary": {"num_statements": lines, "covered_lines": run}}


def test_lines_are_summed_by_folder() -> None:
    files = {"a/x.py": file(30, 20), "a/y.py": file(10, 10), "a/b/z.py": file(60, 60), "c/__init__.py": file(0, 0)}
    assert share_of(files) == pytest.approx(0.9)
    assert list(report(files))[2:] == [
        "| a | 40 | 30 | 75.0 % |",
        "| a/b | 60 | 60 | 100.0 % |",
        "| all | 100 | 90 | 90.0 % |",
    ]
