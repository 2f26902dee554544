"""Orthanc, dcmtk and a node, as processes on ports of their own on this machine."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom import grid_of, numbers
from dicom_made import write_series
from pydicom import Dataset, dcmread

from vmseg_auto.pacs.states import SeriesState
from vmseg_auto.utils.atomic import read_stored, whole_files, write_json

HERE = "127.0.0.1"
ORTHANC, NODE, SENDER = "ORTHANC", "VMSEG", "STORESCU"
PATIENCE_S = 120


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HERE, 0))
        return int(listener.getsockname()[1])


def wait_for(there: Callable[[], Any], patience_s: float = PATIENCE_S, told: Callable[[], str] = str) -> Any:
    """What `there` returns, as soon as it is something."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        if found := there():
            return found
        time.sleep(0.05)
    raise AssertionError(f"nothing came in {patience_s} s; {told()}")


def program() -> str:
    """Orthanc itself; the test is skipped where it is not installed."""
    found = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
    if found is None:
        pytest.skip("Orthanc is not installed")
    return found


def of_dcmtk(program: str) -> str:
    """A program of dcmtk; pynetdicom's scripts of the same names are passed over."""
    for folder in os.environ["PATH"].split(os.pathsep):
        if (found := shutil.which(program, path=folder)) and Path(found).read_bytes()[:2] != b"#!":
            return found
    pytest.skip(f"{program} (dcmtk) is not installed")


def dcmtk(program: str, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a program of dcmtk; the test is skipped where it is not installed."""
    done = subprocess.run(
        [of_dcmtk(program), *map(str, arguments)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=300,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


@dataclass
class Orthanc:
    """An archive with a storage of its own.

    Args:
        folder: of its storage and its settings.
        node: port of the node that it knows as "vmseg".
        settings: of its own, in place of those below.
    """

    folder: Path
    node: int
    settings: dict[str, Any] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    http: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        storage = str(self.folder / "storage")
        settings = {
            "StorageDirectory": storage, "IndexDirectory": storage, "HttpPort": self.http, "DicomPort": self.port,
            "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "DicomAet": ORTHANC, "Plugins": [],
            "DicomModalities": {"vmseg": [NODE, HERE, self.node]}, "DicomAlwaysAllowStore": True,
            "DicomAlwaysAllowGet": True, "DicomAlwaysAllowMove": True, "DicomAlwaysAllowFind": True,
            "OverwriteInstances": False, "DicomAssociationCloseDelay": 0, **self.settings,
        }  # fmt: skip
        write_json(self.folder / "orthanc.json", settings)
        with (self.folder / "orthanc.log").open("ab") as log:
            self.process = subprocess.Popen([program(), str(self.folder / "orthanc.json")], stdout=log, stderr=log)
        wait_for(self._answers, told=lambda: (self.folder / "orthanc.log").read_text(errors="replace"))

    def _answers(self) -> bool:
        try:
            self.get("/system")
        except OSError:
            return False
        return True

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)
            self.process = None

    def kill(self) -> None:
        """End it at once, in the middle of whatever it does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(60)
        self.process = None

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://{HERE}:{self.http}{path}", timeout=30) as answer:
            data: bytes = answer.read()
        return json.loads(data) if data[:1] in b"[{" else data

    def post(self, path: str, body: Any) -> Any:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{HERE}:{self.http}{path}", data, method="POST")
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.loads(answer.read())

    def store(self, files: Sequence[Path]) -> str:
        """Put files into the archive; returns its name of their study."""
        answers = [self.post("/instances", path.read_bytes()) for path in files]
        (study,) = {answer["ParentStudy"] for answer in answers}
        return str(study)

    def push(self, study: str) -> None:
        """Send a study to the node, as a user of Orthanc does."""
        self.post("/modalities/vmseg/store", {"Resources": [study], "Synchronous": True})

    def objects(self, modality: str = "*") -> list[Dataset]:
        """All objects of a modality, such as SEG."""
        return [dcmread(BytesIO(self.get(f"/instances/{one}/file"))) for one in self._instances(modality)]

    def rendered(self, modality: str) -> list[bytes]:
        """Each frame of the objects of a modality, as the archive draws it: PNG."""
        return [
            self.get(f"/instances/{one}/frames/{frame}/preview")
            for one in self._instances(modality)
            for frame in self.get(f"/instances/{one}/frames")
        ]

    def _instances(self, modality: str) -> list[str]:
        found: list[str] = self.post("/tools/find", {"Level": "Instance", "Query": {"Modality": modality}})
        return found


@contextmanager
def orthanc(folder: Path, node: int, **settings: Any) -> Iterator[Orthanc]:
    """Run an archive; the test is skipped where Orthanc is not installed."""
    program()
    folder.mkdir(parents=True, exist_ok=True)
    archive = Orthanc(folder, node, settings)
    archive.start()
    try:
        yield archive
    finally:
        archive.stop()


def write_settings(path: Path, port: int, archive: int, **node: Any) -> Path:
    """A settings file: STORESCU and the archive may send, and the archive gets results."""
    settings = {
        "peers": {
            "archive": {"ae_title": ORTHANC, "host": HERE, "port": archive},
            "scanner": {"ae_title": SENDER, "host": HERE},
        },
        "node": {
            "ae_title": NODE, "port": port, "address": HERE, "accept": ["archive", "scanner"], "send_to": ["archive"],
            "quiet_s": 1.0, "patience_s": 4.0, "free_gb": 0.01, **node,
        },
    }  # fmt: skip
    write_json(path, settings)
    return path


@dataclass
class Node:
    """A node as a process."""

    settings: Path
    model: Path
    port: int
    options: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def queue(self) -> Path:
        return self.settings.parent / "queue"

    @property
    def log(self) -> str:
        """All that it has said since its first start."""
        path = self.settings.with_name("node.txt")
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

    def start(self) -> None:
        before = self.log.count("takes calls")
        with self.settings.with_name("node.txt").open("ab") as out:
            command = [
                sys.executable, "-m", "vmseg_auto.cli.node", "-m", self.model, "--pacs", self.settings,
                "--device", "cpu", *self.options,
            ]  # fmt: skip
            self.process = subprocess.Popen(
                list(map(str, command)),
                stdout=out,
                stderr=out,
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
            )
        wait_for(
            lambda: self.log.count("takes calls") > before or self.process is None or self.process.poll(),
            told=lambda: self.log,
        )
        assert self.process is not None
        assert self.process.poll() is None, self.log

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End it as a service manager does; returns its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60)

    def restart_with(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Stop it, change its settings, and start it again."""
        self.stop()
        settings = json.loads(self.settings.read_text(encoding="utf-8"))
        change(settings)
        write_json(self.settings, settings)
        self.start()

    def states(self) -> list[SeriesState]:
        return [read_stored(SeriesState, path) for path in whole_files(self.queue / "states", "*.json")]

    def all_are(self, phase: str, count: int = 1) -> bool:
        return [state.phase for state in self.states()] == [phase] * count

    def wait_until(self, phase: str, count: int = 1) -> list[SeriesState]:
        """Wait until all of so many series are in a phase; returns their states."""
        wait_for(lambda: self.all_are(phase, count), told=lambda: self.log)
        return self.states()

    def wait_for_line(self, text: str, times: int = 1) -> None:
        wait_for(lambda: self.log.count(text) >= times, told=lambda: self.log)


@contextmanager
def node(
    folder: Path, model: Path, archive: int, *options: str, port: int | None = None, **settings: Any
) -> Iterator[Node]:
    """Run a node whose settings file and queue lie in a folder."""
    pytest.importorskip("pynetdicom", reason="the extra pacs is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    made = Node(write_settings(folder / "pacs.json", port, archive, **settings), model, port, options)
    made.start()
    try:
        yield made
    finally:
        if made.process is not None and made.process.poll() is None:
            made.kill()


def store(
    folder: Path, port: int, *, title: str = SENDER, called: str = NODE, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Send all files of a folder by storescu."""
    return dcmtk("storescu", "-d", "-aet", title, "-aec", called, "+sd", HERE, port, folder, check=check)


def start_storing(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Begin to send all files of a folder by storescu."""
    command = [of_dcmtk("storescu"), "-aet", SENDER, "-aec", NODE, "+sd", HERE, str(port), str(folder)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


SHAPE = (6, 16, 16)
T2 = {"SeriesDescription": "t2_tse_fs", "RepetitionTime": "4000", "EchoTime": "90"}
T1 = {"SeriesDescription": "t1_tse", "RepetitionTime": "500", "EchoTime": "10"}
OWN = {"PatientID": "4711", "AccessionNumber": "A-17", "StudyDate": "20260131"}


def series_of(study: str, folder: Path, seed: int, **texts: str) -> list[Path]:
    """Write a series of a study that several have in common."""
    image = numbers(SHAPE, seed).astype(np.uint16)
    return sorted(write_series(folder, image, grid_of(SHAPE), StudyInstanceUID=study, **texts).iterdir())


def store_studies(archive: Orthanc, folder: Path) -> None:
    """Store a patient with two studies, one with a T1 beside the T2; and two studies of one accession number."""
    archive.store(series_of("1.2.826.1", folder / "t2", 0, **OWN, **T2))
    archive.store(series_of("1.2.826.1", folder / "t1", 1, **OWN, **T1))
    archive.store(series_of("1.2.826.2", folder / "later", 2, **OWN | {"StudyDate": "20260701"}, **T2))
    archive.store(series_of("1.2.826.3", folder / "other", 3, PatientID="4712", AccessionNumber="A-17", **T2))
