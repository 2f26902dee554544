"""An archive that breaks off what it has agreed to."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pacs import HERE, ORTHANC, free_port

from vmseg_auto.pacs import fetch as fetching
from vmseg_auto.pacs.fetch import IncompleteError, fetch
from vmseg_auto.pacs.incoming import SCANS
from vmseg_auto.pacs.network import associated
from vmseg_auto.pacs.query import FoundSeries
from vmseg_auto.pacs.settings import PacsSettings, Peer, PullSettings

if TYPE_CHECKING:
    from pynetdicom.association import Association
    from pynetdicom.events import Event

GET, MOVE = "1.2.840.10008.5.1.4.1.2.2.3", "1.2.840.10008.5.1.4.1.2.2.2"
SERIES = FoundSeries(("1.2.826.1", "1.2.826.1.1"), "MR", "t2", 6)
SECONDS = 30.0
MOMENT_S = 0.5


@contextmanager
def breaking_off(service: str) -> Iterator[int]:
    """An archive that knows one way to send images, and aborts each association on which it is to do so; its port."""
    pynetdicom = pytest.importorskip("pynetdicom", reason="the extra pacs is not installed")

    def established(event: Event) -> None:
        if service in (one.abstract_syntax for one in event.assoc.accepted_contexts):
            time.sleep(MOMENT_S)  # until the other side counts it as established
            event.assoc.abort()

    entity, port = pynetdicom.AE(ORTHANC), free_port()
    for kind in (service, *SCANS):
        entity.add_supported_context(kind)
    handlers = [(pynetdicom.evt.EVT_ESTABLISHED, established)]
    server = entity.start_server((HERE, port), block=False, evt_handlers=handlers)
    try:
        yield port
    finally:
        server.shutdown()


@pytest.mark.parametrize("service", [GET, MOVE], ids=["C-GET", "C-MOVE"])
def test_an_archive_that_breaks_off_is_told_and_nothing_is_left(
    service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = []

    @contextmanager
    def seen_to_end(
        settings: PacsSettings, name: str, title: str, contexts: Sequence[tuple[str, Any]], *more: Any, **others: Any
    ) -> Iterator[Association]:
        """The association itself, once the abort has come: else it may come before or after the question."""
        with associated(settings, name, title, contexts, *more, **others) as association:
            end = time.monotonic() + SECONDS
            while contexts[0][0] == service and association.is_established:
                assert time.monotonic() < end
                time.sleep(0.01)
            ended.append(association.is_aborted)
            yield association

    monkeypatch.setattr(fetching, "associated", seen_to_end)
    with breaking_off(service) as port:
        settings = PacsSettings(
            {"archive": Peer(ORTHANC, HERE, port)}, pull=PullSettings(port=free_port(), address=HERE)
        )
        with pytest.raises(IncompleteError) as error:
            fetch(settings, "archive", SERIES, tmp_path / "out", lambda: None)
    assert error.value.problem == "archive sent 0 images of 6, and then broke off"
    assert ended == ([True] if service == GET else [False, True])
    assert list(tmp_path.iterdir()) == []
