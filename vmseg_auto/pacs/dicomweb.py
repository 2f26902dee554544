"""Archives that are spoken with over DICOMweb: questions by QIDO-RS, images by WADO-RS (DICOM PS3.18).

No message repeats an address that was asked for, as it can hold what tells who a patient is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

from pydicom import Dataset, dcmwrite

from vmseg_auto.data.dicom.elements import hushed
from vmseg_auto.pacs.network import ANSWER_S, CONNECT_S, PeerError
from vmseg_auto.pacs.query import Archive, text_of
from vmseg_auto.pacs.settings import PacsSettings
from vmseg_auto.utils.extras import extra

if TYPE_CHECKING:
    from dicomweb_client.api import DICOMwebClient

_AS_STORED = (("application/dicom", "*"),)
"""Images in the transfer syntax in which they are kept."""
_FORBIDDEN, _NOT_THERE = (401, 403), (404, 405)


class WebArchive(Archive):
    """A peer that answers questions by QIDO-RS.

    Args:
        name: of the peer.
        client: for its URL.
    """

    def __init__(self, name: str, client: DICOMwebClient) -> None:
        super().__init__(name)
        self._client = client

    def _find(self, level: str, asked: dict[str, str | None]) -> Iterator[dict[str, str]]:
        wanted = {keyword: value for keyword, value in asked.items() if value}
        ask: Callable[..., list[dict[str, Any]]] = self._client.search_for_studies
        if level == "SERIES":
            study = wanted.pop("StudyInstanceUID")
            ask = lambda **more: self._client.search_for_series(study, **more)  # noqa: E731
        with telling(self.name, "a question for studies"):
            answers = ask(search_filters=wanted, fields=list(asked))
        for answer in answers:
            with hushed():
                found = Dataset.from_json(answer)
            yield {keyword: text_of(found, keyword) for keyword in asked}


def web_client(settings: PacsSettings, name: str, answer_s: float = ANSWER_S) -> DICOMwebClient:
    """Return what speaks with a peer that has a URL, and waits so long for an answer.

    Raises:
        InputError: there is no such peer, or the extra `pacs` is not installed.
    """
    with extra("pacs", "Speaking with a PACS over DICOMweb"):
        import requests
        from dicomweb_client.api import DICOMwebClient
    for chatty in ("dicomweb_client", "urllib3"):  # what they log are addresses that were asked for
        logging.getLogger(chatty).setLevel(logging.CRITICAL)
    session = requests.Session()
    if settings.tls is not None:
        session.verify = settings.tls.authority
        session.cert = settings.tls.certificate, settings.tls.key
    client = DICOMwebClient(settings.peer(name).url.rstrip("/"), session=session, timeout=(CONNECT_S, answer_s))
    client.set_http_retry_params(retry=False)
    return client


def fetch_by_web(
    settings: PacsSettings,
    name: str,
    uids: tuple[str, str],
    take: Callable[[bytes, str, str], object],
    patience_s: float,
) -> int | None:
    """Fetch the images of a series by WADO-RS.

    Args:
        settings: the settings file.
        name: of the peer.
        uids: of study and series.
        take: called with each image as a file's bytes, and its SOP class and instance UID.
        patience_s: how long to wait for the next image.

    Returns:
        0 where the archive has sent all that it wanted to; None where it broke off.

    Raises:
        PeerError: it can't be reached, or gives no images.
    """
    import requests

    client, came = web_client(settings, name, patience_s), False
    try:
        with telling(name, "a question for images"):
            for image in client.iter_series(*uids, media_types=_AS_STORED):
                with hushed():
                    take(_as_file(image), text_of(image, "SOPClassUID"), text_of(image, "SOPInstanceUID"))
                came = True
    except PeerError as error:
        if came and isinstance(error.__cause__, requests.RequestException):
            return None
        raise
    return 0


@contextmanager
def telling(name: str, what: str) -> Iterator[None]:
    """Turn what requests raises into errors that tell what to do.

    Args:
        name: of the peer.
        what: it was asked.

    Raises:
        PeerError: it can't be reached, or gives no answer.
    """
    import requests

    try:
        yield
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        remedy = "Run the command again; if that does not help, ask its administrator."
        if status in _FORBIDDEN:
            remedy = f"Ask its administrator; name and password for the host of peers.{name}.url belong into ~/.netrc."
        elif status in _NOT_THERE:
            remedy = f"Check peers.{name}.url in the settings file, such as https://HOST:8042/dicom-web."
        raise PeerError(f"{name} gives no answer to {what} (status {status})", remedy=remedy) from error
    except (requests.exceptions.InvalidJSONError, ValueError, KeyError, TypeError) as error:
        remedy = f"Check peers.{name}.url in the settings file, such as https://HOST:8042/dicom-web."
        raise PeerError(f"{name} answers {what} with what is no DICOMweb", remedy=remedy) from error
    except requests.RequestException as error:
        remedy = f"Check peers.{name}.url in the settings file, whether it runs, and its certificate."
        raise PeerError(f"{name} can't be reached", remedy=remedy) from error


def _as_file(image: Dataset) -> bytes:
    file = BytesIO()
    dcmwrite(file, image, enforce_file_format=True)
    return file.getvalue()
