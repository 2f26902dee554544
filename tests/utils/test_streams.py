"""A screen that is missing or fails does not end the work, and gets no orders."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vmseg_auto.utils.console import shown
from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.utils.streams import write_text

SCRIPT = """
import os, sys
from pathlib import Path
from vmseg_auto.cli.common import Screen
from vmseg_auto.utils.streams import open_streams
open_streams()
screen = Screen(False)
with screen.progress("Work", 3) as bar:
    for n in range(3):
        screen.say("ü" * 5000)
        screen.warn("w" * 5000)
        bar.advance()
assert min(os.open("data", os.O_CREAT | os.O_RDWR), 9) > 2, "no file takes the place of the screen"
Path("done").touch()
"""


@pytest.mark.parametrize(
    "redirected", [">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full", "| true", "2>&1 | true"]
)
def test_work_goes_on_where_nobody_hears_of_it(tmp_path: Path, redirected: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs a POSIX shell")
    line = f'set -o pipefail; "{sys.executable}" -c "$SCRIPT" {redirected}'
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, env={**os.environ, "SCRIPT": SCRIPT}, check=False)
    assert (tmp_path / "done").exists()
    assert done.returncode == 0


def test_a_screen_of_few_letters_is_written_to(tmp_path: Path) -> None:
    env = {**os.environ, "SCRIPT": SCRIPT, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=tmp_path, env=env, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"\\xfc" in done.stdout


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("\x1b]0;x\x07\x1b[2K\rfaked", r"\x1b]0;x\x07\x1b[2K\rfaked"),
        ("scan\u202egnp.exe", r"scan\u202egnp.exe"),
        ("Malformation veineuse\u00a0: 3 mL, 日本\nGröße\t1", "Malformation veineuse\u00a0: 3 mL, 日本\nGröße\t1"),
        ("caf\udce9", r"caf\xe9"),
        ("\x9b2J", r"\x9b2J"),
    ],
)
def test_a_text_gives_no_orders(text: str, plain: str) -> None:
    screen = io.StringIO()
    write_text(text, screen)
    assert screen.getvalue() == f"{plain}\n"
    assert shown(text) == plain


def test_a_name_can_not_fake_a_line() -> None:
    assert str(VmsegError("it is bad", file="a\nvmseg_predict: 1 mask")) == r"a\nvmseg_predict: 1 mask: it is bad"
