"""Associations with other DICOM nodes, by pynetdicom, which the extra `pacs` brings."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vmseg_auto.pacs.settings import PacsSettings, Peer
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.extras import extra

if TYPE_CHECKING:
    from pynetdicom import AE
    from pynetdicom.association import Association

CONNECT_S, ANSWER_S = 10.0, 60.0
"""How long to wait for a connection, and for an answer to what was sent."""
_NAME = "vmseg_auto"


class PeerError(VmsegError):
    """A peer can't be reached, or does not do what it is asked for."""


def require_pynetdicom() -> None:
    """Raise InputError where the extra is not installed."""
    with extra("pacs", "Speaking with a PACS"):
        import pynetdicom  # noqa: F401


def application(ae_title: str) -> AE:
    """Return an application entity of this name, which waits for nobody without end."""
    from pynetdicom import AE

    made = AE(ae_title)
    made.connection_timeout, made.acse_timeout = CONNECT_S, CONNECT_S
    made.dimse_timeout, made.network_timeout = ANSWER_S, ANSWER_S
    return made


@contextmanager
def associated(
    settings: PacsSettings, name: str, ae_title: str, contexts: Sequence[tuple[str, Sequence[str]]], **more: Any
) -> Iterator[Association]:
    """Yield an association with a peer, and release it at the end.

    Args:
        settings: the settings file.
        name: of the peer in it.
        ae_title: how this side calls itself.
        contexts: SOP classes, and the transfer syntaxes for each.
        more: of pynetdicom's `associate`.

    Raises:
        PeerError: the peer can't be reached, or rejects the association.
        InputError: there is no such peer, or it takes no calls.
    """
    peer = settings.peer(name)
    if not peer.port:
        raise InputError(f"the peer {name} has no port", remedy=f"Give peers.{name} its port in the settings file.")
    entity = application(ae_title)
    for sop_class, syntaxes in contexts:
        entity.add_requested_context(sop_class, list(syntaxes))
    tls = (settings.tls_context(server=False), peer.host) if peer.tls else None
    association = entity.associate(peer.host, peer.port, ae_title=peer.ae_title, tls_args=tls, **more)
    if not association.is_established:
        why = "rejects the association" if association.is_rejected else "can't be reached"
        raise PeerError(f"{name} {why}", remedy="Check its AE title, host and port, and whether it runs.")
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def addresses(peer: Peer) -> set[str]:
    """Return the addresses of a peer's host; none where its name is not known."""
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(peer.host, None)}
    except OSError:
        return set()
