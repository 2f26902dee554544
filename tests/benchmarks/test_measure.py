"""What a command takes is measured with all that it starts."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

if not Path("/proc/self/smaps_rollup").exists():
    pytest.skip("memory is measured through Linux's /proc", allow_module_level=True)

from benchmarks.measure import CommandFailedError, measure

CHILD = "import time; held = bytearray(b'x') * (200 * 2**20); time.sleep(0.4)"


def python(script: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(script)]


def test_memory_of_a_child_is_seen(tmp_path: Path) -> None:
    usage = measure(
        python(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}], check=True)"),
        tmp_path / "log",
    )
    assert 200 <= usage.peak_mib < 300
    assert usage.wall_s >= 0.4


@pytest.mark.parametrize("sessions_of_their_own", [False, True])
def test_two_children_count_together(tmp_path: Path, sessions_of_their_own: bool) -> None:
    script = f"""
        import subprocess, sys
        alone = {sessions_of_their_own}
        both = [subprocess.Popen([sys.executable, "-c", {CHILD!r}], start_new_session=alone) for _ in range(2)]
        sys.exit(sum(one.wait() for one in both))
    """
    assert 400 <= measure(python(script), tmp_path / "log").peak_mib < 500


def test_cpu_time_of_a_child_counts_and_sleep_does_not(tmp_path: Path) -> None:
    work = "import time\nwhile time.process_time() < 0.5: pass\ntime.sleep(0.5)"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}], check=True)"
    usage = measure(python(script), tmp_path / "log")
    assert 0.5 <= usage.cpu_s < 0.9
    assert usage.wall_s >= 1.0


def test_cpu_time_of_an_orphan_counts(tmp_path: Path) -> None:
    work = "import time\nwhile time.process_time() < 0.5: pass\ntime.sleep(5)"
    script = f"""
        import subprocess, sys, time
        subprocess.Popen([sys.executable, "-c", {work!r}])
        time.sleep(2)
    """
    assert measure(python(script), tmp_path / "log").cpu_s >= 0.4


def test_a_failure_shows_the_log(tmp_path: Path) -> None:
    with pytest.raises(CommandFailedError, match=r"(?s)ended with 3.*out of luck"):
        measure(python("import sys; print('out of luck'); sys.exit(3)"), tmp_path / "log")


def test_an_end_by_timeout_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(CommandFailedError, match="ended with -9"):
        measure(python("import time; time.sleep(60)"), tmp_path / "log", timeout_s=0.2)
