"""Scans fetched from Orthanc over DICOMweb: the same images as by DIMSE, and what is said where none come."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from consoles import Heard
from pacs import HERE, ORTHANC, Orthanc, free_port, orthanc, store_studies
from pydicom import dcmread
from workspaces import cohort, trained_run

from vmseg_auto.cli.predict import main as predict
from vmseg_auto.pacs.address import StudyKeys
from vmseg_auto.pacs.fetch import IncompleteError
from vmseg_auto.pacs.network import PeerError
from vmseg_auto.pacs.pull import Pull
from vmseg_auto.pacs.settings import PacsSettings, Peer, read_settings
from vmseg_auto.utils.atomic import write_json
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.left_out import Inventory

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    pytest.importorskip("dicomweb_client", reason="the extra pacs is not installed")
    if not PLUGIN.exists():
        pytest.skip("orthanc-dicomweb is not installed")
    folder = tmp_path_factory.mktemp("web")
    with orthanc(folder / "orthanc", free_port(), Plugins=[str(PLUGIN)]) as running:
        store_studies(running, folder)
        yield running


def pulling(url: str) -> Pull:
    return Pull(PacsSettings({"archive": Peer(url=url)}), "archive", (), "T2", Inventory(), Heard())


def address(archive: Orthanc) -> str:
    return f"http://{HERE}:{archive.http}/dicom-web"


def voxels(folder: Path) -> dict[str, bytes]:
    return {dcmread(path).SOPInstanceUID: dcmread(path).PixelData for path in folder.rglob("*.dcm")}


def test_the_same_images_come_as_by_dimse(archive: Orthanc, tmp_path: Path) -> None:
    web = pulling(address(archive))
    place = web.study(StudyKeys("1.2.826.1"), tmp_path / "web")
    dimse = PacsSettings({"archive": Peer(ORTHANC, HERE, archive.port)})
    other = Pull(dimse, "archive", (), "T2", Inventory(), Heard()).study(StudyKeys("1.2.826.1"), tmp_path / "dimse")
    assert place.name == other.name
    assert voxels(place) == voxels(other) == voxels(archive.folder.parent / "t2")
    assert [path.name for path in sorted(place.rglob("*.dcm"))] == [path.name for path in sorted(other.rglob("*.dcm"))]
    (left,) = web.left.found
    assert left.why == "T1 by its description, not T2"


@pytest.mark.parametrize(
    ("keys", "study"),
    [
        (StudyKeys(patient="4711", date="20260701"), "1.2.826.2"),
        (StudyKeys(accession="A-17", patient="4712"), "1.2.826.3"),
    ],
)
def test_a_study_is_known_by_other_keys_too(archive: Orthanc, keys: StudyKeys, study: str, tmp_path: Path) -> None:
    place = pulling(address(archive) + "/").study(keys, tmp_path)
    assert {dcmread(path).StudyInstanceUID for path in place.rglob("*.dcm")} == {study}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (StudyKeys("1.2.826.9"), "archive knows no study of this StudyInstanceUID"),
        (StudyKeys(accession="A-17"), "archive knows 3 studies of this accession number|knows 2 studies"),
    ],
)
def test_none_and_several_are_refused(archive: Orthanc, keys: StudyKeys, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        pulling(address(archive)).study(keys, tmp_path)


def test_an_archive_that_is_not_there_or_elsewhere(archive: Orthanc, tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="archive can't be reached"):
        pulling(f"http://{HERE}:{free_port()}/dicom-web").study(StudyKeys(patient="4711"), tmp_path)
    with pytest.raises(PeerError, match=r"status 404\).*Check peers.archive.url") as refused:
        pulling(f"http://{HERE}:{archive.http}/nothing").study(StudyKeys(patient="4711"), tmp_path)
    assert "4711" not in str(refused.value)


class Odd(BaseHTTPRequestHandler):
    """Answers by its path: a page, no rights, or half of an image."""

    def do_GET(self) -> None:
        if self.path.startswith("/page"):
            self._say(200, "text/html", b"<html>a page of login</html>")
        elif self.path.startswith("/closed"):
            self._say(401, "text/plain", b"")
        else:
            self._say(200, "application/dicom+json", b"[{}]")

    def _say(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *told: object) -> None:
        pass


@pytest.fixture
def odd() -> Iterator[str]:
    server = HTTPServer((HERE, 0), Odd)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://{HERE}:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("page", "what is no DICOMweb"),
        ("closed", r"gives no answer to a question for studies \(status 401\).*belong into ~/.netrc"),
        ("empty", "archive knows no study"),
    ],
)
def test_odd_answers_are_told(odd: str, path: str, message: str, tmp_path: Path) -> None:
    pytest.importorskip("dicomweb_client", reason="the extra pacs is not installed")
    with pytest.raises((PeerError, InputError), match=message) as refused:
        pulling(f"{odd}/{path}").study(StudyKeys(patient="4711"), tmp_path)
    assert "4711" not in str(refused.value)


def test_a_series_that_lost_images_since_it_was_found_is_not_whole(
    archive: Orthanc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull = pulling(address(archive))
    found = Pull._wanted

    def one_more(self: Pull, study: object) -> list[object]:
        return [replace(one, images=(one.images or 0) + 1) for one in found(self, study)]  # type: ignore[arg-type]

    monkeypatch.setattr(Pull, "_wanted", one_more)
    with pytest.raises(IncompleteError, match="archive sent 6 images of 7"):
        pull.study(StudyKeys("1.2.826.1"), tmp_path)
    assert not list(tmp_path.rglob("*.dcm"))


def test_a_study_is_predicted_and_no_log_names_it(
    archive: Orthanc, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    model = trained_run(cohort(tmp_path / "cohort", cases=2), "default").folder
    write_json(tmp_path / "pacs.json", {"peers": {"archive": {"url": address(archive)}}})
    options = ["-m", str(model), "--pacs", str(tmp_path / "pacs.json"), "--device", "cpu"]
    with caplog.at_level(logging.DEBUG):
        given = "pacs:archive/patient=4711,date=20260131"
        assert predict(["-i", given, "-o", str(tmp_path / "masks"), *options]) == 0
    assert "The scans from the PACS are deleted again" in capsys.readouterr().out
    logs = "".join(path.read_text() for path in (tmp_path / "masks" / "logs").iterdir())
    assert not any(told in logs for told in ("4711", "20260131", "1.2.826", "t2_tse"))
    chatty = [record for record in caplog.records if record.name.partition(".")[0] in ("dicomweb_client", "urllib3")]
    assert not chatty


@pytest.mark.parametrize(
    ("peer", "message"),
    [
        ({"url": "ftp://x"}, "peers.archive.url is no address of a DICOMweb"),
        ({"url": "http://me:secret@x/dicom-web"}, "peers.archive.url is no address"),
        ({"url": "https://x", "port": 104}, "has a url, and other fields beside it"),
        ({"ae_title": "X"}, "has neither host nor url"),
    ],
)
def test_odd_peers_are_refused(tmp_path: Path, peer: dict[str, object], message: str) -> None:
    write_json(tmp_path / "pacs.json", {"peers": {"archive": peer}})
    with pytest.raises(InputError, match=message) as refused:
        read_settings(tmp_path / "pacs.json")
    assert "secret" not in str(refused.value)


def test_the_node_speaks_with_no_url(tmp_path: Path) -> None:
    settings = {"peers": {"web": {"url": "https://x/y"}}, "node": {"accept": ["web"], "send_to": ["web"]}}
    write_json(tmp_path / "pacs.json", settings)
    with pytest.raises(InputError, match=r"node.accept: web is spoken with over DICOMweb"):
        read_settings(tmp_path / "pacs.json")
