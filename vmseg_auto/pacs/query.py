"""Questions to archives, by C-FIND."""

from __future__ import annotations

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from vmseg_auto.pacs.network import associated
from vmseg_auto.pacs.settings import PacsSettings


def count_images(settings: PacsSettings, peer: str, uids: tuple[str, str]) -> int | None:
    """Ask a peer how many images a series has; None where it doesn't know.

    Args:
        settings: the settings file.
        peer: name of the peer.
        uids: of study and series.

    Raises:
        PeerError: it can't be reached, or rejects the association.
    """
    from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as Find

    asked = Dataset()
    asked.QueryRetrieveLevel = "SERIES"
    asked.StudyInstanceUID, asked.SeriesInstanceUID = uids
    asked.NumberOfSeriesRelatedInstances = None
    contexts = [(str(Find), (ExplicitVRLittleEndian, ImplicitVRLittleEndian))]
    with associated(settings, peer, settings.the_node.ae_title, contexts) as association:
        answers = [found for _, found in association.send_c_find(asked, Find) if found is not None]
    counts = [str(found.get("NumberOfSeriesRelatedInstances") or "") for found in answers]
    return max((int(count) for count in counts if count.isdecimal() and int(count)), default=None)
