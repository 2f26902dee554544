"""Results on their way to a peer: what happens to them meanwhile never ends the node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from consoles import Heard
from dicom import grid_of, numbers
from dicom_made import write_series
from pacs import HERE, free_port

from vmseg_auto.pacs.events import Events
from vmseg_auto.pacs.queue import Queue
from vmseg_auto.pacs.sending import Sending
from vmseg_auto.pacs.settings import NodeSettings, PacsSettings, Peer, Tls
from vmseg_auto.pacs.states import SeriesState
from vmseg_auto.utils.atomic import write_sealed

SHAPE = (4, 6, 7)
NODE = NodeSettings(accept=("pacs",), send_to=("pacs",))


@contextmanager
def peer(stored: Callable[[], object]) -> Iterator[Peer]:
    """An archive that takes all, and calls `stored` before it says so."""
    pynetdicom = pytest.importorskip("pynetdicom")

    def store(event: object) -> int:
        stored()
        return 0

    entity, port = pynetdicom.AE("PACS"), free_port()
    entity.supported_contexts = pynetdicom.AllStoragePresentationContexts
    handlers = [(pynetdicom.evt.EVT_C_STORE, store)]
    server = entity.start_server((HERE, port), block=False, evt_handlers=handlers)
    try:
        yield Peer("PACS", HERE, port)
    finally:
        server.shutdown()


def waiting(folder: Path) -> Queue:
    """A queue with a series whose two results are to be sent."""
    queue = Queue(folder / "queue")
    made = write_series(folder / "made", numbers(SHAPE).astype("uint16"), grid_of(SHAPE))
    queue.results("s").mkdir(parents=True)
    for path, name in zip(sorted(made.iterdir()), ("s.dcm", "s.sr.dcm"), strict=False):
        path.rename(queue.results("s") / name)
    state = replace(SeriesState("s", "t").moved("sending"), answer="x", content="y")
    write_sealed(queue.state_file("s"), state.to_json())
    queue.recover()
    return queue


def test_results_that_vanish_while_they_are_sent_leave_the_node_at_work(tmp_path: Path) -> None:
    queue, told = waiting(tmp_path), Heard()

    def late_image() -> None:
        queue.change("s", lambda state: state.moved("queued"))
        queue.forget_answer("s")

    with peer(late_image) as archive:
        sending = Sending(PacsSettings({"pacs": archive}, NODE), queue, Events(told, queue))
        sending.step()
        sending.step()
    assert (queue.state("s").phase, queue.state("s").answers, queue.state("s").reason) == ("queued", 0, "")
    assert told.warned == []


def test_a_series_that_is_refused_meanwhile_goes_to_no_further_peer(tmp_path: Path) -> None:
    queue, told = waiting(tmp_path), Heard()
    taken: list[int] = []

    def second_patient() -> None:
        queue.change("s", lambda state: state.moved("refused", "its study holds images of two patients"))

    with peer(second_patient) as first, peer(lambda: taken.append(1)) as second:
        node = replace(NODE, send_to=("pacs", "other"))
        Sending(PacsSettings({"pacs": first, "other": second}, node), queue, Events(told, queue)).step()
    assert taken == []
    assert queue.state("s").phase == "refused"
    assert told.said == []


def test_certificates_that_cannot_be_read_are_told_once_and_results_wait(tmp_path: Path) -> None:
    queue, told = waiting(tmp_path), Heard()
    tls = Tls(str(tmp_path / "no.pem"), str(tmp_path / "no.key"), str(tmp_path / "no.pem"))
    settings = PacsSettings({"pacs": Peer("PACS", HERE, free_port(), tls=True)}, NODE, tls)
    sending = Sending(settings, queue, Events(told, queue))
    sending.step()
    sending.step()
    assert queue.state("s").phase == "sending"
    (line,) = told.warned
    assert line == "the certificates of tls can't be used (No such file or directory); results for pacs wait."
