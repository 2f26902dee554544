"""The key to pseudonyms on the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmseg_auto.data.pseudonym_key import keep_key, read_key
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.tables import read_csv


def test_the_key_grows_and_forgets_nobody(tmp_path: Path) -> None:
    path = tmp_path / "report_key.csv"
    first = keep_key(path, {"anna": "anna"})
    second = keep_key(path, {"bert": "bert"})
    assert read_key(path) == {**first.cases, **second.cases}
    assert {row["patient"] for row in read_csv(path)} == {"anna", "bert"}


def test_another_table_is_not_taken_for_a_key(tmp_path: Path) -> None:
    path = tmp_path / "report_key.csv"
    path.write_text("case,volume_ml\nanna,3\n")
    with pytest.raises(InputError, match="no key to pseudonyms"):
        keep_key(path, {"anna": "anna"})
    assert path.read_text() == "case,volume_ml\nanna,3\n"
