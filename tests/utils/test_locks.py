"""One command at a time, whose name is known, and whose death frees the way."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from consoles import Heard

from vmseg_auto.utils.console import Silent
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.lock_owner import LockOwner
from vmseg_auto.utils.locks import holder, locked

HOLD = """
import sys, time
from pathlib import Path
from vmseg_auto.utils.console import Silent
from vmseg_auto.utils.locks import locked
with locked(Path(sys.argv[1]), "vmseg_train 3", Silent()):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def test_a_lock_is_there_while_it_is_held_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "w" / "workspace.lock"
    with locked(path, "vmseg_select", Silent()) as held:
        assert held
        owner = holder(path)
        assert owner is not None
        assert (owner.command, owner.process, owner.host) == ("vmseg_select", os.getpid(), platform.node())
    assert holder(path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_else_stays(tmp_path: Path) -> None:
    with locked(tmp_path / "w" / "workspace.lock", "x", Silent()):
        (tmp_path / "w" / "plan.json").touch()
    assert [path.name for path in (tmp_path / "w").iterdir()] == ["plan.json"]


def test_a_held_lock_names_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "fold_3.lock"
    with another_process(path) as process:
        message = (
            rf"fold_3\.lock: vmseg_train 3 \(process {process.pid} on .+, since 20.+\) is at work here\. Wait until"
        )
        with pytest.raises(InputError, match=message), locked(path, "vmseg_train 3 4", Silent(), patience_s=0.2):
            raise AssertionError("not reached")
        assert path.exists()
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
    with locked(path, "vmseg_train 3 4", Silent(), patience_s=0.2) as held:
        assert held


def test_the_system_frees_the_lock_of_a_killed_command(tmp_path: Path) -> None:
    path = tmp_path / "fold_3.lock"
    with another_process(path) as process:
        process.kill()
        process.wait()
    assert path.exists()
    assert holder(path) is None
    with locked(path, "x", Silent()):  # a shorter text than the one that stands there
        assert str(holder(path)).startswith("x (process")
    assert not path.exists()


def test_who_waits_is_told_for_whom_and_comes_next(tmp_path: Path) -> None:
    path, heard = tmp_path / "workspace.lock", Heard()
    with another_process(path) as process:
        kill = f"import time, os; time.sleep(3); os.kill({process.pid}, 9)"
        with subprocess.Popen([sys.executable, "-c", kill]), locked(path, "vmseg_select", heard, patience_s=60):
            process.wait()
    assert len(heard.said) == 1
    assert heard.said[0].startswith("Waiting for vmseg_train 3 (process ")


def test_many_take_turns_without_losing_a_count(tmp_path: Path) -> None:
    """The lock file is removed by each owner: nobody may hold the lock of a file that is gone."""
    count = tmp_path / "count"
    count.write_text("0")
    script = """
import sys, time
from pathlib import Path
from vmseg_auto.utils.console import Silent
from vmseg_auto.utils.locks import locked
for _ in range(25):
    with locked(Path(sys.argv[1]) / "lock", "x", Silent(), patience_s=300):
        path = Path(sys.argv[1]) / "count"
        number = int(path.read_text())
        time.sleep(0.001)
        path.write_text(str(number + 1))
"""
    workers = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) for _ in range(4)]
    assert [worker.wait() for worker in workers] == [0] * 4
    assert count.read_text() == "100"


def test_an_owner_that_has_not_signed_is_another_command(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path, "x", Silent()):
        os.truncate(path, 0)
        assert str(holder(path)) == "another command"


def test_what_can_not_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(VmsegError, match="it can't be written"), locked(tmp_path / "file" / "lock", "x", Silent()):
        raise AssertionError("not reached")


def test_owner_round_trip() -> None:
    owner = LockOwner("vmseg_train 0", 12, "ward3", "2026-11-25 20:15:00")
    assert LockOwner.from_json(json.loads(json.dumps(owner.to_json()))) == owner
    assert str(owner) == "vmseg_train 0 (process 12 on ward3, since 2026-11-25 20:15:00)"
