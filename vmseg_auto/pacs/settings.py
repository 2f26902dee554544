"""The settings file, pacs.json: which archives there are, how scans are fetched, and how the node answers.

JSON, as all that this program reads and people write: a wrong field is named, and no package is needed.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, fields, replace
from pathlib import Path

from vmseg_auto.utils.atomic import read_stored
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.json_codec import Stored
from vmseg_auto.workflows.mask_formats import chosen_formats

USUAL = "pacs.json"
"""What the settings file is called, in the current folder, unless it is named."""
_TITLE = re.compile(r"[ -\[\]-~]{1,16}")
"""An AE title (VR AE): 16 plain characters at most, no backslash."""
_PORTS = range(1, 65536)


@dataclass(frozen=True)
class Tls:
    """How connections are encrypted; both sides show a certificate.

    Args:
        certificate, key: this node's, PEM files.
        authority: a PEM file of the certificates that vouch for peers.
    """

    certificate: str
    key: str
    authority: str


@dataclass(frozen=True)
class Peer:
    """Another DICOM node: an archive, a scanner, a workstation; or an archive that is spoken with over DICOMweb.

    Args:
        ae_title: how it calls itself.
        host: its name or address.
        port: where it takes calls; 0 for one that only sends.
        tls: whether connections with it are encrypted.
        counts_images: whether it answers C-FIND: the node then asks it how many images a series has.
        url: of its DICOMweb, in place of all others: scans can be fetched from it, and nothing else.
    """

    ae_title: str = ""
    host: str = ""
    port: int = 0
    tls: bool = False
    counts_images: bool = False
    url: str = ""


@dataclass(frozen=True)
class NodeSettings:
    """How the node answers.

    Args:
        accept: peers that may send series; others are rejected.
        send_to: peers that get the results.
        ae_title: how the node calls itself; who calls it otherwise is rejected.
        port: where it takes calls.
        address: of this machine, at which it takes calls; all of them unless given.
        queue: folder of all that the node keeps.
        formats: of the results, as `vmseg_predict --format` has them; DICOM alone.
        series: names of the series wanted (SeriesDescription), or patterns such as "*T2*". Unless given, a series is
            refused that looks otherwise weighted than the model's channel is named.
        echo: of series with several echoes, from 1 (the shortest echo time).
        quiet_s: a series counts as complete so many seconds after its last image, if its association was released.
        patience_s: so many seconds after its last image a series is refused that lacks images or broke off, and counts
            as complete where its association is still open.
        free_gb: images are refused where less is free on the disk of the queue.
    """

    accept: tuple[str, ...]
    send_to: tuple[str, ...]
    ae_title: str = "VMSEG"
    port: int = 11112
    address: str = ""
    queue: str = "queue"
    formats: tuple[str, ...] = ("dicom-seg", "dicom-sr", "dicom-rtstruct", "dicom-sc")
    series: tuple[str, ...] = ()
    echo: int | None = None
    quiet_s: float = 30.0
    patience_s: float = 600.0
    free_gb: float = 2.0


@dataclass(frozen=True)
class PullSettings:
    """How scans are fetched from peers (`-i pacs:NAME`).

    Args:
        ae_title: how this side calls itself, which peers must know; the node's, else VMSEG, unless given.
        port: where it takes images from peers that know no C-GET but C-MOVE; 0 for C-GET alone.
        address: of this machine, at which it takes them; all of them unless given.
    """

    ae_title: str = ""
    port: int = 0
    address: str = ""


@dataclass(frozen=True)
class PacsSettings(Stored):
    """All of the settings file. Paths in the file are seen from its folder; here they are whole.

    Args:
        peers: name -> what is known of it. Commands and logs use the name.
        node: how the node answers; None where there is none.
        tls: needed where a peer's connections are encrypted.
        pull: how scans are fetched; None where nothing is said of it.
    """

    peers: dict[str, Peer]
    node: NodeSettings | None = None
    tls: Tls | None = None
    pull: PullSettings | None = None
    schema: int = 1

    def check(self, where: str) -> None:
        for name, peer in self.peers.items():
            place = f"{where}: peers.{name}"
            if peer.url:
                _require_url(peer, place)
                continue
            if not peer.host:
                raise InputError(f"{place} has neither host nor url", remedy="Give it host and ae_title, or url.")
            _require_title(peer.ae_title, f"{place}.ae_title")
            if peer.port:
                _require_port(peer.port, place)
            if peer.counts_images and not peer.port:
                raise InputError(f"{place}.counts_images is true, but it has no port", remedy="Give it its port.")
            if peer.tls and self.tls is None:
                raise InputError(f"{place}.tls is true, but the file has no tls", remedy="Name the certificates in it.")
        if self.pull is not None:
            _require_title(self.puller.ae_title, f"{where}: pull.ae_title")
            if self.pull.port:
                _require_port(self.pull.port, f"{where}: pull")
                self._require_apart(f"{where}: pull")
        if self.node is not None:
            self._check_node(self.node, f"{where}: node")

    def _require_apart(self, where: str) -> None:
        """Refuse a port for C-MOVE under the node's title: a peer would send the images to the node, which answers."""
        node, pull = self.node, self.puller
        if node and pull.port == node.port:
            raise InputError(f"{where}.port is the node's", remedy="Give pull another port.")
        if node and pull.ae_title == node.ae_title:
            problem = f"{where} takes images at a port of its own, but as {pull.ae_title}, which the node is called"
            raise InputError(problem, remedy="Give pull another ae_title, and enter it in the PACS with this port.")

    def _check_node(self, node: NodeSettings, where: str) -> None:
        _require_title(node.ae_title, f"{where}.ae_title")
        for key, names in (("accept", node.accept), ("send_to", node.send_to)):
            if not names:
                raise InputError(f"{where}.{key} names no peer", remedy="Name at least one of peers.")
            for name in names:
                if name not in self.peers:
                    known = ", ".join(self.peers) or "none"
                    raise InputError(f"{where}.{key}: there is no peer {name}", remedy=f"There are: {known}.")
                if self.peers[name].url:
                    problem = f"{where}.{key}: {name} is spoken with over DICOMweb, and the node speaks DIMSE alone"
                    raise InputError(problem, remedy="Name a peer with host, port and ae_title.")
        for name in node.send_to:
            if not self.peers[name].port:
                raise InputError(f"{where}.send_to: {name} has no port", remedy=f"Give peers.{name} its port.")
        if len({self.peers[name].tls for name in node.accept}) > 1:
            problem = f"{where}.accept: some of these peers use TLS and some don't, and the node has one port"
            raise InputError(problem, remedy="Run a node for each.")
        _require_formats(node.formats, f"{where}.formats")
        _require_port(node.port, where)
        if node.echo is not None and node.echo < 1:
            problem = f"{where}.echo is {node.echo}"
            raise InputError(problem, remedy="Echoes are counted from 1, the shortest echo time.")
        if min(node.quiet_s, node.free_gb) < 0 or node.patience_s < node.quiet_s:
            problem = f"{where}: quiet_s and free_gb must not be below 0, nor patience_s below quiet_s"
            raise InputError(problem, remedy="Mend them.")

    @property
    def the_node(self) -> NodeSettings:
        """How the node answers; raises InputError where the file does not say."""
        if self.node is None:
            raise InputError("the settings file has no node", remedy="docs/pacs.md shows one.")
        return self.node

    @property
    def puller(self) -> PullSettings:
        """How scans are fetched: as the file says, under the node's AE title or the usual one where it gives none."""
        pull = self.pull or PullSettings()
        return replace(pull, ae_title=pull.ae_title or (self.node.ae_title if self.node else NodeSettings.ae_title))

    def peer(self, name: str) -> Peer:
        """Return what is known of a peer; raises InputError where there is none of that name."""
        if name not in self.peers:
            raise InputError(f"there is no peer {name}", remedy=f"There are: {', '.join(self.peers) or 'none'}.")
        return self.peers[name]

    def tls_context(self, *, server: bool) -> ssl.SSLContext:
        """Return what encrypts connections, as the side that takes calls or the one that makes them.

        Raises:
            InputError: the certificates can't be read, or there are none.
        """
        if self.tls is None:
            raise InputError("the settings file has no tls", remedy="Name the certificates in it.")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_cert_chain(self.tls.certificate, self.tls.key)
            context.load_verify_locations(self.tls.authority)
        except (OSError, ssl.SSLError) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
            problem = f"the certificates of tls can't be used ({reason})"
            raise InputError(
                problem, file=self.tls.certificate, remedy="Name PEM files, as docs/pacs.md shows."
            ) from None
        context.verify_mode = ssl.CERT_REQUIRED
        return context


def read_settings(path: Path) -> PacsSettings:
    """Read a settings file.

    Raises:
        InputError: there is none, or something in it is wrong; the field is named.
    """
    if not path.exists():
        problem = "there is no such settings file"
        raise InputError(problem, file=path, remedy="Name it with --pacs; docs/pacs.md shows one.")
    found, folder = read_stored(PacsSettings, path, "Mend the file."), path.absolute().parent
    if found.node:
        found = replace(found, node=replace(found.node, queue=str(folder / found.node.queue)))
    if found.tls:
        places = {each.name: str(folder / getattr(found.tls, each.name)) for each in fields(Tls)}
        found = replace(found, tls=Tls(**places))
    return found


def _require_formats(formats: tuple[str, ...], where: str) -> None:
    try:
        chosen = chosen_formats(formats)
    except InputError as error:
        raise InputError(f"{where}: {error.problem}", remedy=error.remedy) from None
    if any(not each.startswith("dicom-") for each in chosen):
        raise InputError(f"{where}: only DICOM can be sent", remedy="Leave out nifti and seg.nrrd.")


def _require_url(peer: Peer, where: str) -> None:
    if not re.fullmatch(r"https?://[^\s/?#@]+[^\s?#@]*", peer.url):
        remedy = "Write it as https://HOST:8042/dicom-web; name and password belong into ~/.netrc."
        raise InputError(f"{where}.url is no address of a DICOMweb", remedy=remedy)
    if peer != Peer(url=peer.url):
        problem = f"{where} has a url, and other fields beside it"
        raise InputError(problem, remedy="A peer with a url has nothing else; give the same PACS two names.")


def _require_port(port: int, where: str) -> None:
    if port not in _PORTS:
        raise InputError(f"{where}.port is {port}", remedy="A port is a number from 1 to 65535.")


def _require_title(title: str, where: str) -> None:
    if not _TITLE.fullmatch(title) or not title.strip():
        problem = f"{where} is {title!r}" if title else f"{where} is not given"
        raise InputError(problem, remedy="An AE title has 1 to 16 plain letters and no backslash.")
