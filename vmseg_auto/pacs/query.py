"""Questions to archives: by C-FIND, or over DICOMweb (pacs/dicomweb.py)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from vmseg_auto.data.dicom.elements import hushed
from vmseg_auto.pacs.address import StudyKeys
from vmseg_auto.pacs.network import PeerError, associated
from vmseg_auto.pacs.settings import PacsSettings
from vmseg_auto.pacs.states import pseudonym
from vmseg_auto.utils.errors import InputError

if TYPE_CHECKING:
    from pynetdicom.association import Association

_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
"""Study Root Query/Retrieve Information Model - FIND."""
_CONTEXTS = [(_FIND, (ExplicitVRLittleEndian, ImplicitVRLittleEndian))]
_PENDING = (0xFF00, 0xFF01)
_KEYS = {
    "study": "StudyInstanceUID", "accession": "AccessionNumber", "patient": "PatientID", "date": "StudyDate",
}  # fmt: skip


@dataclass(frozen=True)
class FoundSeries:
    """A series of a study, as its archive describes it.

    Args:
        uids: of study and series.
        modality: such as MR.
        description: SeriesDescription, which can name a patient.
        images: how many it has; None where the archive doesn't tell.
    """

    uids: tuple[str, str]
    modality: str
    description: str
    images: int | None

    @property
    def name(self) -> str:
        """Its pseudonym, by which it is known in messages and folders."""
        return pseudonym(*self.uids)


@dataclass(frozen=True)
class FoundStudy:
    """A study, as its archive describes it.

    Args:
        uid: StudyInstanceUID.
        patient: PatientID; empty where the archive doesn't tell.
        series: in the order of their numbers.
    """

    uid: str
    patient: str
    series: tuple[FoundSeries, ...]


class Archive(ABC):
    """A peer that answers questions.

    Args:
        name: of the peer.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def find_study(self, keys: StudyKeys) -> FoundStudy:
        """Find the one study that is known by these keys, and its series.

        Raises:
            InputError: there is none, or several; or it is two patients'.
            PeerError: the archive gives no answer.
        """
        asked = {keyword: getattr(keys, name) or None for name, keyword in _KEYS.items()}
        found = [
            told for told in self._find("STUDY", asked) if all(told[key] == asked[key] for key in asked if asked[key])
        ]
        studies = {told["StudyInstanceUID"]: told for told in found}
        if not studies:
            problem = f"{self.name} knows no study of {keys.words()}"
            raise InputError(problem, remedy="Check it in the PACS, letter by letter.")
        if len(studies) > 1:
            problem = f"{self.name} knows {len(studies)} studies of {keys.words()}"
            raise InputError(problem, remedy="Name the one by its StudyInstanceUID, or add patient and date.")
        if len({told["PatientID"] for told in found}) > 1:
            problem = f"{self.name} has images of two patients in this study"
            raise InputError(problem, remedy="Have it mended in the PACS.")
        ((uid, told),) = studies.items()
        return FoundStudy(uid, told["PatientID"], self._series(uid))

    def _series(self, study: str) -> tuple[FoundSeries, ...]:
        asked = {
            "StudyInstanceUID": study, "SeriesInstanceUID": None, "SeriesNumber": None, "Modality": None,
            "SeriesDescription": None, "NumberOfSeriesRelatedInstances": None,
        }  # fmt: skip
        found = {
            told["SeriesInstanceUID"]: told
            for told in self._find("SERIES", asked)
            if told["SeriesInstanceUID"] and told["StudyInstanceUID"] in ("", study)
        }
        in_order = sorted(found.items(), key=lambda one: (int(_whole(one[1]["SeriesNumber"]) or 0), one[0]))
        return tuple(
            FoundSeries(
                (study, uid),
                told["Modality"],
                told["SeriesDescription"],
                _whole(told["NumberOfSeriesRelatedInstances"]),
            )
            for uid, told in in_order
        )

    def count_images(self, uids: tuple[str, str]) -> int | None:
        """Ask how many images a series has; None where the archive doesn't know.

        Raises:
            PeerError: it gives no answer.
        """
        study, series = uids
        asked = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "NumberOfSeriesRelatedInstances": None}
        counts = (_whole(told["NumberOfSeriesRelatedInstances"]) for told in self._find("SERIES", asked))
        return max((count for count in counts if count), default=None)

    @abstractmethod
    def _find(self, level: str, asked: dict[str, str | None]) -> Iterator[dict[str, str]]:
        """Yield each answer: keyword -> text, empty where nothing is told.

        Args:
            level: STUDY or SERIES.
            asked: keyword -> the text that it must have; None where that is asked for.
        """


class DimseArchive(Archive):
    """A peer that answers by C-FIND, while the association with it is open.

    Args:
        name: of the peer.
        association: with it.
    """

    def __init__(self, name: str, association: Association) -> None:
        super().__init__(name)
        self._association = association

    def _find(self, level: str, asked: dict[str, str | None]) -> Iterator[dict[str, str]]:
        question = Dataset()
        question.QueryRetrieveLevel = level
        for keyword, value in asked.items():
            setattr(question, keyword, value)
        if not all(str(value).isascii() for value in asked.values()):
            question.SpecificCharacterSet = "ISO_IR 192"
        try:
            answers = list(self._association.send_c_find(question, _FIND))
        except (ValueError, RuntimeError):  # no such context was accepted, or the association has ended
            answers = []
        status = answers[-1][0].get("Status") if answers else None
        if status != 0:
            how = f" (status 0x{status:04X})" if status else ""
            remedy = "Ask its administrator whether this node may ask for studies (C-FIND, study root)."
            raise PeerError(f"{self.name} gives no answer to a question for studies{how}", remedy=remedy)
        for told, found in answers:
            if told.Status in _PENDING and found is not None:
                yield {keyword: text_of(found, keyword) for keyword in asked}


@contextmanager
def finding(settings: PacsSettings, peer: str) -> Iterator[Archive]:
    """Yield a peer that answers questions.

    Raises:
        PeerError: it can't be reached, or rejects the association.
        InputError: there is no such peer, or it takes no calls.
    """
    if settings.peer(peer).url:
        from vmseg_auto.pacs.dicomweb import WebArchive, web_client  # loads requests

        yield WebArchive(peer, web_client(settings, peer))
        return
    with associated(settings, peer, settings.puller.ae_title, _CONTEXTS) as association:
        yield DimseArchive(peer, association)


def count_images(settings: PacsSettings, peer: str, uids: tuple[str, str]) -> int | None:
    """Ask a peer how many images a series has; None where it doesn't know.

    Args:
        settings: the settings file.
        peer: name of the peer.
        uids: of study and series.

    Raises:
        PeerError: it can't be reached, rejects the association, or gives no answer.
    """
    with associated(settings, peer, settings.the_node.ae_title, _CONTEXTS) as association:
        return DimseArchive(peer, association).count_images(uids)


def text_of(found: Dataset, keyword: str) -> str:
    """Return an element's text; empty where there is none, or it can't be read."""
    try:
        with hushed():
            return str(found.get(keyword) or "").strip()
    except Exception:  # pydicom on hostile bytes: whatever it stumbles over
        return ""


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and int(text) else None
