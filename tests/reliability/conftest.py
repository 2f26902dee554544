"""A trained cohort for all tests here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.reliability.cohort import trained_cohort
from benchmarks.reliability.subjects import prepare


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Planned, trained for a moment, and with the files that mutations need; not to be changed."""
    folder = tmp_path_factory.mktemp("pristine") / "cohort"
    trained_cohort(folder, cases=3, scans=3)
    prepare(folder)
    return folder


@pytest.fixture
def cohort(pristine: Path, tmp_path: Path) -> Path:
    """A copy of one's own."""
    return Path(shutil.copytree(pristine, tmp_path / "cohort"))
