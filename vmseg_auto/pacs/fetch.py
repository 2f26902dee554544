"""Images of a series come from an archive: by C-GET, by C-MOVE from one that has no C-GET, or over DICOMweb."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from vmseg_auto.pacs.incoming import MISMATCH, NO_ROOM, SCANS, SUCCESS, SYNTAXES, RefusedError, read_incoming
from vmseg_auto.pacs.network import REJECT_CALLER, PeerError, addresses, application, associated
from vmseg_auto.pacs.query import FoundSeries
from vmseg_auto.pacs.settings import PacsSettings
from vmseg_auto.utils.atomic import new_folder, replacing, sync_folder, unwritable
from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.utils.text import counted

if TYPE_CHECKING:
    from pynetdicom.events import Event

_GET, _MOVE = "1.2.840.10008.5.1.4.1.2.2.3", "1.2.840.10008.5.1.4.1.2.2.2"
"""Study Root Query/Retrieve Information Model: GET and MOVE."""
_QUESTIONS = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
_DONE = (0x0000, 0xB000)
"""Success, and some or all images failed (PS3.4, table C.4-3)."""
_PATIENCE_S = 600.0
"""How long to wait for the next image: an archive may have to get it from a slow store first."""
_LATE_S = 5.0
"""How long an image may still be on its way when C-MOVE is done, as it comes over another association."""


class IncompleteError(VmsegError):
    """An archive sends fewer images of a series than it has."""


def fetch(settings: PacsSettings, peer: str, series: FoundSeries, folder: Path, progress: Callable[[], object]) -> None:
    """Bring the images of a series into a new folder, which is whole or not there.

    Args:
        settings: the settings file.
        peer: name of the archive.
        series: as the archive has described it.
        folder: of the images; it must not exist.
        progress: called after each image.

    Raises:
        IncompleteError: fewer images came than there are.
        PeerError: the archive can't be reached, or gives no images.
        VmsegError: an image can't be written.
    """
    with new_folder(folder) as made:
        intake = _Intake(series, made, progress)
        if settings.peer(peer).url:
            from vmseg_auto.pacs.dicomweb import fetch_by_web  # loads requests

            told = fetch_by_web(settings, peer, series.uids, intake.take, _PATIENCE_S)
        else:
            told = _by_dimse(settings, peer, intake)
        intake.require_whole(peer, told)
        sync_folder(made)


class _Intake:
    """Images of one series, as they come.

    Args:
        series: what is wanted; other objects are refused.
        folder: where they go.
        progress: called after each.
    """

    def __init__(self, series: FoundSeries, folder: Path, progress: Callable[[], object]) -> None:
        self.series, self._folder, self._progress = series, folder, progress
        self._lock, self._came = threading.Condition(), set[str]()
        self._refused: Counter[str] = Counter()
        self._unwritten: VmsegError | None = None

    def store(self, event: Event) -> int:
        """Take an image by C-STORE, and return the status for it."""
        request = event.request
        return self.take(event.encoded_dataset(), str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID))

    def take(self, data: bytes, sop_class: str, instance: str) -> int:
        """Take an image as a file's bytes, which its sender says to be of this class and instance; returns the status
        for it.
        """
        try:
            image = read_incoming(data, sop_class, instance)
            if image.uids != self.series.uids:
                raise RefusedError(MISMATCH, "of another series")
            path = self._folder / f"{image.instance}.dcm"
            with replacing(path) as temporary:
                temporary.write_bytes(data)
        except RefusedError as error:
            with self._lock:
                self._refused[error.reason] += 1
            return error.status
        except (VmsegError, OSError) as error:
            with self._lock:
                self._unwritten = error if isinstance(error, VmsegError) else unwritable(path, error)
            return NO_ROOM
        with self._lock:
            self._came.add(image.instance)
            self._lock.notify_all()
        self._progress()
        return SUCCESS

    @property
    def came(self) -> int:
        with self._lock:
            return len(self._came)

    def wait(self) -> None:
        """Wait for images that are still on their way over another association."""
        with self._lock:
            self._lock.wait_for(lambda: len(self._came) >= (self.series.images or 0) or self._unwritten, _LATE_S)

    def require_whole(self, peer: str, told: int | None) -> None:
        """Raise an error unless all images are there.

        Args:
            peer: that sends them.
            told: the status that it ended with; None where it broke off.
        """
        wanted = self.series.images
        with self._lock:
            came, unwritten, refused = len(self._came), self._unwritten, dict(self._refused)
        if unwritten is not None:
            raise unwritten
        if came and came >= (wanted or came) and (told == 0 or wanted):
            return
        problem = f"{peer} sent {counted(came, 'image')} of {wanted or 'more'}"
        if told is None:
            problem += ", and then broke off"
        elif told:
            problem += f", and ended with status 0x{told:04X}"
        problem += "".join(f"; {counted(count, 'object')} refused: {why}" for why, count in sorted(refused.items()))
        remedy = "Run the command again; if that does not help, look in the PACS whether the series is whole."
        raise IncompleteError(problem, case=self.series.name, remedy=remedy)


def _by_dimse(settings: PacsSettings, peer: str, intake: _Intake) -> int | None:
    """Ask for a series by C-GET, else by C-MOVE; returns as `_by_get`."""
    try:
        return _by_get(settings, peer, intake)
    except _NoGetError:
        return _by_move(settings, peer, intake)


def _by_get(settings: PacsSettings, peer: str, intake: _Intake) -> int | None:
    """Ask for a series by C-GET; returns the status that it ended with, None where it broke off.

    Raises:
        _NoGetError: the archive has no C-GET, or refuses it.
    """
    from pynetdicom import build_role, evt

    contexts = [(_GET, _QUESTIONS), *((kind, (syntax,)) for kind in SCANS for syntax in SYNTAXES)]
    roles = [build_role(kind, scp_role=True) for kind in SCANS]
    more = {"ext_neg": roles, "evt_handlers": [(evt.EVT_C_STORE, intake.store)]}
    with associated(settings, peer, settings.puller.ae_title, contexts, _PATIENCE_S, **more) as association:
        try:
            status = _last(association.send_c_get(_asked(intake.series), _GET))
        except ValueError:  # no such context was accepted
            raise _NoGetError from None
        except RuntimeError:  # the association has ended
            return None
    if not intake.came and status not in _DONE:
        raise _NoGetError
    return status


class _NoGetError(Exception):
    """Images must come by C-MOVE."""


def _by_move(settings: PacsSettings, peer: str, intake: _Intake) -> int | None:
    """Ask for a series by C-MOVE, and take it on the port of the settings; returns as `_by_get`.

    Raises:
        PeerError: there is no port for it, or the archive has no C-MOVE either.
    """
    puller = settings.puller
    if not puller.port:
        problem = f"{peer} has no C-GET, or does not allow it to {puller.ae_title}"
        remedy = "Ask its administrator; or add a port to `pull` in the settings file for C-MOVE (docs/pacs.md)."
        raise PeerError(problem, remedy=remedy)
    contexts = [(_MOVE, _QUESTIONS)]
    with (
        _taking(settings, peer, intake),
        associated(settings, peer, puller.ae_title, contexts, _PATIENCE_S) as asking,
    ):
        try:
            return _last(asking.send_c_move(_asked(intake.series), puller.ae_title, _MOVE))
        except ValueError:  # no such context was accepted
            remedy = "Ask its administrator to let this node fetch scans."
            raise PeerError(f"{peer} has neither C-GET nor C-MOVE", remedy=remedy) from None
        except RuntimeError:  # the association has ended
            return None


@contextmanager
def _taking(settings: PacsSettings, peer: str, intake: _Intake) -> Iterator[None]:
    """Take images from a peer by C-STORE, on the port of the settings.

    Raises:
        VmsegError: the port can't be opened.
    """
    from pynetdicom import evt

    puller = settings.puller
    entity = application(puller.ae_title, _PATIENCE_S)
    entity.require_called_aet = True
    for kind in SCANS:
        entity.add_supported_context(kind, list(SYNTAXES))
    theirs = addresses(settings.peer(peer))

    def requested(event: Event) -> None:
        if event.assoc.requestor.address not in theirs:
            event.assoc.acse.send_reject(*REJECT_CALLER)
            event.assoc.kill()

    context = settings.tls_context(server=True) if settings.peer(peer).tls else None
    handlers = [(evt.EVT_REQUESTED, requested), (evt.EVT_C_STORE, intake.store)]
    try:
        server = entity.start_server(
            (puller.address, puller.port), block=False, ssl_context=context, evt_handlers=handlers
        )
    except OSError as error:
        problem = f"port {puller.port} can't be opened ({error.strerror or error})"
        raise VmsegError(problem, remedy="End what listens there, or give pull another port.") from None
    try:
        yield
        intake.wait()
    finally:
        server.shutdown()


def _asked(series: FoundSeries) -> Dataset:
    asked = Dataset()
    asked.QueryRetrieveLevel = "SERIES"
    asked.StudyInstanceUID, asked.SeriesInstanceUID = series.uids
    return asked


def _last(answers: Iterator[tuple[Dataset, Dataset | None]]) -> int | None:
    """Return the status that a transfer ended with; None where it broke off."""
    status = None
    for told, _ in answers:
        status = told.get("Status")
    return status
