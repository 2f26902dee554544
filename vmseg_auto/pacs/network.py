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
REJECT_CALLER = (0x01, 0x01, 0x03)
"""Result, source and diagnostic of a rejection (PS3.8, 9.3.4): for good, by this program, of a caller that it does not
know.
"""
_UNKNOWN_CALLED, _UNKNOWN_CALLER = "it is not called so", "it does not know this caller"
_REJECTIONS = {(1, 3): _UNKNOWN_CALLER, (1, 7): _UNKNOWN_CALLED}
"""Source and diagnostic of a rejection, in words."""


class PeerError(VmsegError):
    """A peer can't be reached, or does not do what it is asked for."""


def require_pynetdicom() -> None:
    """Raise InputError where the extra is not installed."""
    with extra("pacs", "Speaking with a PACS"):
        import pynetdicom  # noqa: F401


def application(ae_title: str, answer_s: float = ANSWER_S) -> AE:
    """Return an application entity of this name, which waits so long for an answer, and for nobody without end."""
    from pynetdicom import AE

    made = AE(ae_title)
    made.connection_timeout, made.acse_timeout = CONNECT_S, CONNECT_S
    made.dimse_timeout, made.network_timeout = answer_s, answer_s
    return made


@contextmanager
def associated(
    settings: PacsSettings,
    name: str,
    ae_title: str,
    contexts: Sequence[tuple[str, Sequence[str]]],
    answer_s: float = ANSWER_S,
    **more: Any,
) -> Iterator[Association]:
    """Yield an association with a peer, and release it at the end.

    Args:
        settings: the settings file.
        name: of the peer in it.
        ae_title: how this side calls itself.
        contexts: SOP classes, and transfer syntaxes of which the peer takes one; a class may stand there several times.
        answer_s: how long to wait for an answer.
        more: of pynetdicom's `associate`.

    Raises:
        PeerError: the peer can't be reached, or rejects the association.
        InputError: there is no such peer, or it takes no calls.
    """
    peer = settings.peer(name)
    if not peer.port:
        raise InputError(f"the peer {name} has no port", remedy=f"Give peers.{name} its port in the settings file.")
    from pynetdicom import build_context

    entity = application(ae_title, answer_s)
    entity.requested_contexts = [build_context(sop_class, list(syntaxes)) for sop_class, syntaxes in contexts]
    tls = (settings.tls_context(server=False), peer.host) if peer.tls else None
    association = entity.associate(peer.host, peer.port, ae_title=peer.ae_title, tls_args=tls, **more)
    if not association.is_established:
        raise _refused(name, peer, ae_title, association)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def _refused(name: str, peer: Peer, ae_title: str, association: Association) -> PeerError:
    """Return the error for a peer that can't be spoken with: what it says is wrong, and what to do."""
    if not association.is_rejected:
        remedy = f"Check peers.{name} in the settings file ({peer.host}, port {peer.port}), and whether it runs."
        return PeerError(f"{name} can't be reached", remedy=remedy)
    answer = association.acceptor.primitive
    reason = _REJECTIONS.get((answer.result_source, answer.diagnostic))
    if reason == _UNKNOWN_CALLED:
        remedy = f"Mend peers.{name}.ae_title in the settings file, which is {peer.ae_title}."
    elif reason == _UNKNOWN_CALLER:
        remedy = f"Enter {ae_title} with this machine's address among the nodes that it knows."
    else:
        remedy = "Check its AE title, host and port, and whether it is busy."
    return PeerError(f"{name} rejects the association" + (f": {reason}" if reason else ""), remedy=remedy)


def addresses(peer: Peer) -> set[str]:
    """Return the addresses of a peer's host; none where its name is not known."""
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(peer.host, None)}
    except OSError:
        return set()
