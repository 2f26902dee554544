"""The settings file: what is wrong in it is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vmseg_auto.pacs.settings import read_settings
from vmseg_auto.utils.atomic import write_json
from vmseg_auto.utils.errors import InputError

PEERS: dict[str, Any] = {
    "pacs": {"ae_title": "PACS", "host": "127.0.0.1", "port": 104},
    "scanner": {"ae_title": "MR1", "host": "127.0.0.1"},
}
NODE: dict[str, Any] = {"accept": ["pacs", "scanner"], "send_to": ["pacs"]}
TLS = {"certificate": "node.pem", "key": "node.key", "authority": "/etc/hospital.pem"}


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "pacs.json"
    write_json(path, {"peers": PEERS, "node": NODE, **changes})
    return path


def test_paths_are_seen_from_the_file(tmp_path: Path) -> None:
    settings = read_settings(written(tmp_path, tls=TLS))
    assert settings.tls is not None
    assert settings.the_node.queue == str(tmp_path / "queue")
    assert settings.tls.certificate == str(tmp_path / "node.pem")
    assert settings.tls.authority == str(tmp_path / "/etc/hospital.pem")
    assert settings.peer("scanner").port == 0


def test_a_file_without_a_node_names_archives_alone(tmp_path: Path) -> None:
    settings = read_settings(written(tmp_path, node=None))
    with pytest.raises(InputError, match="the settings file has no node"):
        settings.the_node  # noqa: B018
    with pytest.raises(InputError, match=r"there is no peer attic\. There are: pacs, scanner"):
        settings.peer("attic")


def test_scans_are_fetched_under_the_nodes_title_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    node = NODE | {"ae_title": "OURS"}
    assert read_settings(written(tmp_path, node=node)).puller.ae_title == "OURS"
    assert read_settings(written(tmp_path, node=None)).puller.ae_title == "VMSEG"
    assert read_settings(written(tmp_path, node=node, pull={"address": "127.0.0.1"})).puller.ae_title == "OURS"
    puller = read_settings(written(tmp_path, node=node, pull={"ae_title": "PULL", "port": 11113})).puller
    assert (puller.ae_title, puller.port) == ("PULL", 11113)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"node": NODE | {"accept": []}}, r"node.accept names no peer"),
        ({"node": NODE | {"send_to": ["attic"]}}, r"node.send_to: there is no peer attic. There are: pacs, scanner"),
        ({"node": NODE | {"send_to": ["scanner"]}}, r"node.send_to: scanner has no port"),
        (
            {"peers": PEERS | {"scanner": PEERS["scanner"] | {"counts_images": True}}},
            r"peers.scanner.counts_images is true, but it has no port",
        ),
        ({"node": NODE | {"ae_title": "A" * 17}}, r"node.ae_title is 'A+'. An AE title has 1 to 16"),
        ({"node": NODE | {"ae_title": "A\\B"}}, r"node.ae_title"),
        ({"node": NODE | {"formats": ["nifti", "dicom-seg"]}}, r"node.formats: only DICOM can be sent"),
        ({"node": NODE | {"formats": ["dicom-sr"]}}, r"pacs.json: node.formats: dicom-sr refers to the segments of a"),
        (
            {"node": NODE | {"formats": ["dicom"]}},
            r"pacs.json: node.formats: there is no format of masks named",
        ),
        ({"node": NODE | {"echo": 0}}, r"pacs.json: node.echo is 0. Echoes are counted from 1"),
        ({"pull": {"ae_title": " "}}, r"pacs.json: pull.ae_title is ' '"),
        ({"pull": {"port": 11113}}, r"pull takes images at a port of its own, but as VMSEG, which the node is called"),
        ({"pull": {"port": 11112, "ae_title": "PULL"}}, r"pacs.json: pull.port is the node's"),
        ({"pull": {"port": 65_536}}, r"pacs.json: pull.port is 65536"),
        ({"node": NODE | {"port": 65_536}}, r"node.port is 65536"),
        ({"node": NODE | {"quiet_s": 30, "patience_s": 10}}, r"nor patience_s below quiet_s"),
        ({"node": NODE | {"prot": 104}}, r"has an unknown field: prot"),
        ({"peers": PEERS | {"pacs": {"ae_title": "PACS"}}}, r"peers.pacs has neither host nor url"),
        (
            {"peers": PEERS | {"pacs": PEERS["pacs"] | {"tls": True}}},
            r"peers.pacs.tls is true, but",
        ),
        ({"peers": PEERS | {"pacs": PEERS["pacs"] | {"tls": True}}, "tls": TLS}, r"some of these peers use TLS"),
        ({"peers": PEERS | {"pacs": PEERS["pacs"] | {"port": -1}}}, r"peers.pacs.port is -1"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_settings(written(tmp_path, **changes))


def test_no_file_is_an_error_that_says_where_one_is_shown(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no such settings file. .*docs/pacs.md"):
        read_settings(tmp_path / "pacs.json")


def test_certificates_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"node\.pem: the certificates of tls can't be used"):
        read_settings(written(tmp_path, tls=TLS)).tls_context(server=True)
