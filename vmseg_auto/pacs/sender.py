"""The side that calls: results go to peers by C-STORE."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from pydicom.filereader import read_file_meta_info

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
        OSError: a file can't be read.
    """
    refused = {}
    with associated(settings, peer, settings.the_node.ae_title, _contexts(files)) as association:
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


def _contexts(files: Sequence[Path]) -> list[tuple[str, list[str]]]:
    """Return the SOP classes of files, and the transfer syntaxes of each."""
    found = defaultdict(set)
    for path in files:
        meta = read_file_meta_info(path)
        found[str(meta.MediaStorageSOPClassUID)].add(str(meta.TransferSyntaxUID))
    return [(kind, sorted(syntaxes)) for kind, syntaxes in found.items()]
