"""Worker processes run nothing but what they are given, and where there can be none, the cause is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

WORK = """
import multiprocessing
from vmseg_auto.utils.workers import Workers, may_have_workers

def daemon(place):
    open(place, "w").write(str(may_have_workers()))

if __name__ == "__main__":
    with Workers(1) as pool:
        print(pool.submit(abs, -3).result())
    process = multiprocessing.get_context("spawn").Process(target=daemon, args=("may",), daemon=True)
    process.start()
    process.join()
"""


def run(place: Path, *words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], cwd=place, input=given, capture_output=True, text=True, check=False, timeout=120
    )


def test_a_worker_runs_no_code_of_the_current_folder_and_a_daemon_has_none(tmp_path: Path) -> None:
    script = tmp_path / "script" / "work.py"
    script.parent.mkdir()
    script.write_text(WORK)
    for name in ("multiprocessing", "numpy", "pickle"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w').close()\nraise SystemExit")
    done = run(tmp_path, "-P", str(script))
    assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr
    assert not (tmp_path / "ran").exists()
    assert (tmp_path / "may").read_text() == "False"


@pytest.mark.parametrize("guarded", [True, False])
def test_a_piped_script_is_named_as_the_cause(tmp_path: Path, guarded: bool) -> None:
    script = WORK if guarded else "from vmseg_auto.utils.workers import Workers\nWorkers(1)"
    done = run(tmp_path, "-", given=script)
    assert done.returncode == 1
    assert "piped into python" in done.stderr.splitlines()[-1]
    assert "__main__" in done.stderr.splitlines()[-1]
