"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: threads beside them would wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# On the path, not in a package: worker processes that tests spawn import their samplers from there by name.
sys.path.insert(0, str(Path(__file__).parent / "helpers"))

# A shared machine pauses tests for seconds, and the same examples each time make a failure one that can be repeated.
settings.register_profile("vmseg_auto", deadline=None, derandomize=True)
settings.load_profile("vmseg_auto")


TESTS = Path(__file__).parent
SLOW = (
    "benchmarks", "end_to_end", "extending", "reliability", "report", "workflows",
    "models/test_zip.py", "pacs/test_node.py", "pacs/test_page.py",
    "pacs/test_pull.py",
    "test_absent_card.py", "test_distribution.py", "test_imports.py", "test_small_installation.py",
    "training/test_loader.py", "training/test_loggers.py", "training/test_loop.py",
    "training/test_overfitting_alarm.py", "training/test_resume.py",
)  # fmt: skip
"""Folders and files whose tests run whole commands, trainings or other processes: `-m "not slow"` leaves them out."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    slow = [TESTS / place for place in SLOW]
    for item in items:
        if any(item.path.is_relative_to(place) for place in slow):
            item.add_marker("slow")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Torch computes with a single thread; sums over several may be rounded differently."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real test data; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("VMSEG_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"test data not found in {folder}; set VMSEG_TEST_DATA")
    return folder
