"""The side that calls: results go to peers by C-STORE."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from pydicom import dcmread

from vmseg_auto.pacs.network import PeerError, associated
from vmseg_auto.pacs.settings import PacsSettings

_TAKEN = (0x0000, 0xB000, 0xB006, 0xB007)
"""Success, and warnings with which an object is stored all the same (PS3.4, table B.2-1)."""


def send(
    settings: PacsSettings, peer: str, files: Sequence[Path], taken: Callable[[Path], object]
) -> dict[Path, PeerError]:
    """Send files to a peer, in one association.

    Args:
        settings: the settings file.
        peer: its name there.
        files: DICOM files.
        taken: called with each as soon as the peer has taken it.

    Returns:
        Those that the peer refuses, and why.

    Raises:
        PeerError: the peer can't be reached, rejects the association, or breaks it off.
    """
    contexts = defaultdict(set)
    for path in files:
        meta = dcmread(path, specific_tags=[]).file_meta
        contexts[str(meta.MediaStorageSOPClassUID)].add(str(meta.TransferSyntaxUID))
    wanted = [(kind, sorted(syntaxes)) for kind, syntaxes in contexts.items()]
    refused = {}
    with associated(settings, peer, settings.the_node.ae_title, wanted) as association:
        for path in files:
            try:
                status = association.send_c_store(path).get("Status")
            except ValueError:  # no accepted context for it
                refused[path] = PeerError(f"{peer} takes no objects of its kind")
                continue
            except RuntimeError:  # the association has ended meanwhile
                status = None
            if status is None:
                raise PeerError(f"{peer} broke the association off")
            if status in _TAKEN:
                taken(path)
            else:
                refused[path] = PeerError(f"{peer} refuses it with status 0x{status:04X}")
    return refused
