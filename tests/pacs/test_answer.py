"""A function in a process of its own: what it returns, what it raises, and that it ends when nobody wants it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from tiny import IsKilled

from vmseg_auto.pacs.answer import EndedError, in_process
from vmseg_auto.utils.errors import InputError


def going_on() -> bool:
    return False


def test_values_and_errors_come_back() -> None:
    assert in_process(going_on, os.path.basename, "a/b") == "b"
    with pytest.raises(InputError, match="does not exist"):
        in_process(going_on, _read, Path("/no/such/file.json"))


def _read(path: Path) -> object:
    from vmseg_auto.utils.atomic import read_json

    return read_json(path)


def test_a_mistake_is_named_without_its_words() -> None:
    """They may repeat what a header says."""
    with pytest.raises(EndedError, match=r"an unexpected ValueError in .*\.py:\d+ ended the prediction") as raised:
        in_process(going_on, int, "Mustermann")
    assert "Mustermann" not in str(raised.value)


def test_a_process_that_is_killed_is_told_apart() -> None:
    with pytest.raises(EndedError, match=r"the process that predicts ended with code -?\d+"):
        in_process(going_on, IsKilled().__call__, [], False, None)


def test_a_process_that_nobody_wants_is_ended() -> None:
    began = time.monotonic()
    assert in_process(lambda: True, time.sleep, 600) is None
    assert time.monotonic() - began < 60
