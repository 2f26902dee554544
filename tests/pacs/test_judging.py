"""Received series are judged: what a peer can't answer never ends the node, and each line is told once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from consoles import Heard
from dicom import grid_of, numbers
from dicom_made import write_series
from pacs import HERE, free_port
from pydicom import dcmread

from vmseg_auto.pacs.events import Events
from vmseg_auto.pacs.incoming import read_incoming
from vmseg_auto.pacs.judging import Judging
from vmseg_auto.pacs.queue import Queue
from vmseg_auto.pacs.settings import NodeSettings, PacsSettings, Peer, Tls

SHAPE = (4, 6, 7)
NODE = NodeSettings(accept=("pacs",), send_to=("pacs",), quiet_s=0, patience_s=0)


def received(folder: Path, queue: Queue, **texts: str) -> str:
    """Add a series to a queue, and return its name there."""
    made = write_series(folder, numbers(SHAPE).astype("uint16"), grid_of(SHAPE), **texts)
    for path in made.iterdir():
        header = dcmread(path)
        image = read_incoming(path.read_bytes(), header.SOPClassUID, header.SOPInstanceUID)
        queue.add(image, path.read_bytes())
    return image.series


def test_certificates_that_cannot_be_read_are_told_and_the_series_is_complete_by_quiet(tmp_path: Path) -> None:
    queue, told = Queue(tmp_path / "queue"), Heard()
    series = received(tmp_path / "in", queue)
    tls = Tls(str(tmp_path / "no.pem"), str(tmp_path / "no.key"), str(tmp_path / "no.pem"))
    archive = Peer("PACS", HERE, free_port(), tls=True, counts_images=True)
    Judging(PacsSettings({"pacs": archive}, NODE, tls), queue, Events(told, queue)).step()
    assert queue.state(series).phase == "queued"
    (line,) = told.warned
    assert line.endswith("is not known: the certificates of tls can't be used (No such file or directory).")


def test_a_series_that_is_refused_meanwhile_is_not_told_again(tmp_path: Path) -> None:
    pynetdicom = pytest.importorskip("pynetdicom")
    queue, told = Queue(tmp_path / "queue"), Heard()
    series = received(tmp_path / "in", queue)

    def asked(event: object) -> Iterator[tuple[int, None]]:
        queue.change(series, lambda state: state.moved("refused", "its study holds images of two patients"))
        yield 0x0000, None

    entity, port = pynetdicom.AE("PACS"), free_port()
    entity.supported_contexts = pynetdicom.QueryRetrievePresentationContexts
    server = entity.start_server((HERE, port), block=False, evt_handlers=[(pynetdicom.evt.EVT_C_FIND, asked)])
    try:
        archive = Peer("PACS", HERE, port, counts_images=True)
        Judging(PacsSettings({"pacs": archive}, NODE), queue, Events(told, queue)).step()
    finally:
        server.shutdown()
    assert queue.state(series).phase == "refused"
    assert (told.said, told.warned) == ([], [])
