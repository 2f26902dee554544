"""The limit on open files is raised where it can be, else named."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("resource", reason="needs a limit on open files")


@pytest.mark.parametrize(("hard", "words"), [(128, "144 files must be open at once, and 128 are"), (4096, "raised")])
def test_the_limit_is_raised_or_named(hard: int, words: str) -> None:
    script = f"""
import resource
from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.utils.open_files import allow_open_files
resource.setrlimit(resource.RLIMIT_NOFILE, (128, {hard}))
try:
    allow_open_files(144)
    kept = [open("/dev/null") for _ in range(144)]
    print("raised")
except VmsegError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True)
    assert words in done.stdout
    assert "elete" not in done.stdout
