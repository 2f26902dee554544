"""docs/pacs.md as a reader follows it: every command in its blocks, on ports of the test's own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from dicom import grid_of, numbers
from dicom_made import write_series
from pacs import free_port
from workspaces import cohort, trained_run

from vmseg_auto.workflows.export import export_model

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "pacs.md"
PORTS = ("4242", "8042", "11112")


def commands() -> str:
    """All of its blocks but those that install, with free ports in place of the usual ones."""
    text = "\n".join(re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))
    for port in PORTS:
        assert port in text
        text = text.replace(port, str(free_port()))
    return text.replace('"quiet_s": 10', '"quiet_s": 1, "free_gb": 0')


def test_the_page_can_be_followed(tmp_path: Path) -> None:
    pytest.importorskip("pynetdicom", reason="the extra pacs is not installed")
    for program in ("bash", "curl", "/usr/sbin/Orthanc", "storescu", "echoscu"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    export_model(tmp_path / "model.zip", model=trained_run(cohort(tmp_path / "cohort"), "default").folder)
    write_series(tmp_path / "scan", numbers((8, 16, 16)).astype(np.uint16), grid_of((8, 16, 16)))
    place = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shell = subprocess.Popen(
        ["bash", "-ec", commands()],
        cwd=tmp_path,
        env={**os.environ, "PATH": place, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = shell.communicate(timeout=180)
    except subprocess.TimeoutExpired as late:
        said = f"stopped after {late.timeout} s: {late.output}"
    finally:
        with suppress(ProcessLookupError):  # what it has left, where it did not come to its end
            os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
    logs = "".join((tmp_path / name).read_text(errors="replace") for name in ("node.log", "orthanc.log"))
    assert shell.returncode == 0, said + logs
    assert "1 answered." in said
    assert "answered: orthanc took all results." in (tmp_path / "node.log").read_text()
