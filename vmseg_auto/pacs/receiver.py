"""The side that takes calls: C-ECHO, and C-STORE from peers on the list."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydicom import Dataset

from vmseg_auto.pacs.events import Events
from vmseg_auto.pacs.incoming import SUCCESS, SYNTAXES, RefusedError, read_incoming
from vmseg_auto.pacs.network import ANSWER_S, REJECT_CALLER, addresses, application
from vmseg_auto.pacs.queue import Queue
from vmseg_auto.pacs.settings import PacsSettings
from vmseg_auto.utils.console import shown
from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.utils.text import counted

if TYPE_CHECKING:
    from pynetdicom.association import Association
    from pynetdicom.events import Event

_TEXT_LENGTH = 64


@dataclass
class _Call:
    """One association, from its beginning to its end.

    Args:
        peer: name of the peer; empty for one that is not on the list.
        images: how many were taken of each series.
        refused: how many objects were, by status and reason.
    """

    peer: str
    images: Counter[str] = field(default_factory=Counter)
    refused: Counter[tuple[int, str]] = field(default_factory=Counter)


class Receiver:
    """Takes images into the queue. A context manager, which takes calls within.

    Args:
        settings: the settings file.
        queue: of the node.
        events: where lines go.
    """

    def __init__(self, settings: PacsSettings, queue: Queue, events: Events) -> None:
        self._settings, self._queue, self._events = settings, queue, events
        self._calls: dict[Association, _Call] = {}
        self._server: Any = None

    def __enter__(self) -> Receiver:
        """Begin to take calls.

        Raises:
            VmsegError: the port can't be opened.
        """
        from pynetdicom import AllStoragePresentationContexts, evt
        from pynetdicom.sop_class import Verification

        node = self._settings.the_node
        entity = application(node.ae_title)
        entity.require_called_aet = True
        entity.network_timeout = 2 * node.patience_s + ANSWER_S  # what has come by then is complete
        entity.add_supported_context(Verification)
        for context in AllStoragePresentationContexts:  # each object that is no scan is refused by its own status
            entity.add_supported_context(context.abstract_syntax, list(SYNTAXES))
        handlers = [
            (evt.EVT_REQUESTED, self._requested),
            (evt.EVT_REJECTED, self._rejected),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_RELEASED, self._released),
            (evt.EVT_ABORTED, self._aborted),
        ]
        encrypted = self._settings.peers[node.accept[0]].tls
        context = self._settings.tls_context(server=True) if encrypted else None
        try:
            self._server = entity.start_server(
                (node.address, node.port), block=False, ssl_context=context, evt_handlers=handlers
            )
        except OSError as error:
            problem = f"port {node.port} can't be opened ({error.strerror or error})"
            raise VmsegError(problem, remedy="End what listens there, or give the node another port.") from None
        return self

    def __exit__(self, *error: object) -> None:
        """Take no further calls, and end those that are open."""
        self._server.shutdown()
        for association in list(self._calls):
            association.abort()

    def _requested(self, event: Event) -> None:
        """Note who calls; reject whoever is on no list, by AE title and address."""
        for earlier in list(self._calls):
            if not earlier.is_alive():  # its thread has ended without a word
                self._ended(earlier, "broken")
        association = event.assoc
        title = association.requestor.primitive.calling_ae_title.strip()
        self._calls[association] = call = _Call("")
        for name in self._settings.the_node.accept:
            peer = self._settings.peers[name]
            if peer.ae_title.strip() == title and association.requestor.address in addresses(peer):
                call.peer = name
                return
        association.acse.send_reject(*REJECT_CALLER)
        association.kill()  # which waits until the rejection is sent
        self._tell_rejected(association, "no peer on the list has this AE title and address")

    def _rejected(self, event: Event) -> None:
        self._tell_rejected(event.assoc, "it called another AE title than this node's")

    def _tell_rejected(self, association: Association, why: str) -> None:
        self._calls.pop(association, None)
        title = shown(association.requestor.primitive.calling_ae_title.strip(), lines=False)
        self._events.warn(f"Rejected {title} at {association.requestor.address}: {why}.")

    def _store(self, event: Event) -> int | Dataset:
        """Take an image, and return the status for it; both are on the disk by then."""
        call, request = self._calls[event.assoc], event.request
        try:
            data = event.encoded_dataset()
            image = read_incoming(data, str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID))
            self._queue.add(image, data)
        except RefusedError as error:
            call.refused[error.status, error.reason] += 1
            answer = Dataset()
            answer.Status, answer.ErrorComment = error.status, error.reason[:_TEXT_LENGTH]
            return answer
        call.images[image.series] += 1
        return SUCCESS

    def _released(self, event: Event) -> None:
        self._ended(event.assoc, "released")

    def _aborted(self, event: Event) -> None:
        self._ended(event.assoc, "broken")

    def _ended(self, association: Association, link: Literal["released", "broken"]) -> None:
        """Tell what an association has brought, in a line for each series and each kind of refusal."""
        call = self._calls.pop(association, None)
        if call is None:
            return
        self._queue.ended(call.images, link)
        for series, count in call.images.items():
            if link == "released":
                self._events.say(f"{counted(count, 'image')} from {call.peer}.", series)
            else:
                self._events.warn(f"{counted(count, 'image')} from {call.peer}, which then broke off.", series)
        for (status, reason), count in call.refused.items():
            what = counted(count, "object")
            self._events.warn(f"Refused {what} from {call.peer} with status 0x{status:04X}: {reason}.")
