"""A node in the PACS that is killed at random moments while it answers studies: none may be lost or answered twice.

    python -m benchmarks.node_kills -m MODEL [--studies 100] [--kills 20] [--seed 0]

Studies of noise are sent by C-STORE, one after another, and again where the node was killed meanwhile, as a PACS does.
A second DICOM node takes the results and counts every object that it is sent. The figures in docs/pacs.md are its last
line. Needs the extra pacs; Linux only, as it reads /proc.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from vmseg_auto.pacs.states import SeriesState
from vmseg_auto.utils.atomic import read_stored, write_json
from vmseg_auto.utils.errors import InputError

HERE, SENDER, TAKER, NODE = "127.0.0.1", "SENDER", "ARCHIVE", "VMSEG"
SHAPE = (8, 16, 16)
AHEAD = 3
"""So many studies are sent before the first of them is answered: kills meet the node while it receives, too."""
FORMATS = ("dicom-seg", "dicom-sr")


def study(number: int) -> list[Dataset]:
    """The slices of a study of noise."""
    rng, uids = np.random.default_rng(number), [generate_uid(entropy_srcs=[f"{number}/{what}"]) for what in range(3)]
    slices = []
    for place in range(SHAPE[0]):
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = MRImageStorage
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid(
            entropy_srcs=[f"{number}/slice/{place}"]
        )
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = uids
        data.PatientID, data.Modality, data.InstanceNumber, data.EchoTime = f"P{number}", "MR", place + 1, 90
        data.Rows, data.Columns = SHAPE[1:]
        data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
        data.PixelSpacing, data.SliceThickness = [1, 1], 2
        data.ImageOrientationPatient, data.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 2 * place]
        data.PixelData = rng.integers(0, 4095, SHAPE[1:]).astype("<u2").tobytes()
        slices.append(data)
    return slices


@dataclass
class Archive:
    """Takes results, and counts each object that it is sent."""

    port: int
    taken: Counter[tuple[str, str]] = field(default_factory=Counter)

    def store(self, event: Any) -> int:
        self.taken[str(event.dataset.StudyInstanceUID), str(event.request.AffectedSOPInstanceUID)] += 1
        return 0

    @contextmanager
    def running(self) -> Iterator[None]:
        from pynetdicom import AE, AllStoragePresentationContexts, evt

        entity = AE(TAKER)
        entity.supported_contexts = AllStoragePresentationContexts
        server = entity.start_server((HERE, self.port), block=False, evt_handlers=[(evt.EVT_C_STORE, self.store)])
        try:
            yield
        finally:
            server.shutdown()


@dataclass
class Node:
    """The node as a process; `peaks` are its largest memory, in MB, of each of its lives."""

    folder: Path
    model: str
    port: int
    process: subprocess.Popen[bytes] | None = None
    peaks: list[float] = field(default_factory=list)

    def start(self) -> None:
        command = [sys.executable, "-m", "vmseg_auto.cli.node", "-m", self.model, "--device", "cpu"]
        with (self.folder / "node.txt").open("ab") as out:
            self.process = subprocess.Popen(
                [*command, "--pacs", str(self.folder / "pacs.json")], stdout=out, stderr=subprocess.STDOUT
            )

    def kill(self) -> None:
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        self.peaks += [int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")]
        self.process.kill()
        self.process.wait()

    def answered(self) -> int:
        """Count the series that are answered by the queue's states."""
        found = 0
        for path in (self.folder / "queue" / "states").glob("*.json"):
            try:
                found += read_stored(SeriesState, path).phase == "answered"
            except InputError:  # replaced at this moment
                continue
        return found


def sent(slices: Sequence[Dataset], port: int) -> bool:
    """Send a study; return whether the node took all of it and released the association."""
    from pynetdicom import AE

    entity = AE(SENDER)
    entity.add_requested_context(MRImageStorage, ExplicitVRLittleEndian)
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
    association = entity.associate(HERE, port, ae_title=NODE)
    try:
        if not association.is_established:
            return False
        if not all(association.send_c_store(data).get("Status") == 0 for data in slices):
            return False
        association.release()
        return bool(association.is_released)
    except (RuntimeError, ValueError):  # the node was killed meanwhile
        return False


def measured(model: str, studies: int, kills: int, seed: int, folder: Path) -> str:
    """Run it, and return what came of it in a line."""
    from threading import Thread

    rng, began = Random(seed), time.monotonic()
    ports = free_ports(2)
    archive, node = Archive(ports[0]), Node(folder, model, ports[1])
    peers = {
        "sender": {"ae_title": SENDER, "host": HERE},
        "archive": {"ae_title": TAKER, "host": HERE, "port": ports[0]},
    }
    own = {
        "port": ports[1],
        "address": HERE,
        "accept": ["sender"],
        "send_to": ["archive"],
        "quiet_s": 1,
        "free_gb": 0.1,
        "formats": FORMATS,
    }
    write_json(folder / "pacs.json", {"peers": peers, "node": own})

    def send_all() -> None:
        for number in range(studies):
            while number - node.answered() > AHEAD:
                time.sleep(0.2)
            while not sent(study(number), ports[1]):
                time.sleep(0.5)

    with archive.running():
        node.start()
        sender = Thread(target=send_all, daemon=True)
        sender.start()
        marks = sorted(rng.uniform(0, studies - 1) for _ in range(kills))
        while marks or sender.is_alive() or node.answered() < studies:
            if marks and node.answered() >= marks[0]:
                marks.pop(0)
                time.sleep(rng.uniform(0, 8))
                node.kill()
                node.start()
            time.sleep(0.2)
        node.kill()
    objects = Counter(name for name, _ in archive.taken)
    whole = sum(count == len(FORMATS) for count in objects.values())
    again = sum(count - 1 for count in archive.taken.values())
    return (
        f"{studies} studies, {len(node.peaks) - 1} kills: {whole} answered by {len(FORMATS)} objects, "
        f"{studies - len(objects)} lost, "
        f"{sum(count > len(FORMATS) for count in objects.values())} with further objects; {again} of "
        f"{sum(archive.taken.values())} objects were sent a second time with the same UID, as a kill came before their "
        f"receipt was noted; memory of the node at most {max(node.peaks):.0f} MB, in its last life "
        f"{node.peaks[-1]:.0f} MB; {(time.monotonic() - began) / 60:.0f} minutes"
    )


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server((HERE, 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.node_kills", description=__doc__.partition("\n")[0])
    parser.add_argument("-m", "--model", required=True, help="of one channel named T2")
    parser.add_argument("--studies", type=int, default=100, metavar="N")
    parser.add_argument("--kills", type=int, default=20, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        print(measured(arguments.model, arguments.studies, arguments.kills, arguments.seed, Path(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
