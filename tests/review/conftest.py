"""Fixtures of several modules: a folder of two predictions, and the server that reviews it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from reviewing import Served, predictions, served


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return predictions(tmp_path, "anna", "bert")


@pytest.fixture
def server(folder: Path) -> Iterator[Served]:
    with served(folder) as running:
        yield running
