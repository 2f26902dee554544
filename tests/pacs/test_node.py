"""A node beside Orthanc, both as processes: what is sent there comes back as results in the same study."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom import grid_of, numbers
from dicom_made import by_highdicom, by_pydicom, measured, write_series
from pacs import HERE, NODE, ORTHANC, Orthanc, dcmtk, free_port, node, orthanc, start_storing, store, wait_for
from pydicom import Dataset, dcmread
from pydicom.uid import CTImageStorage
from skimage.io import imread
from workspaces import cohort, trained_run

from vmseg_auto.cli.node import main
from vmseg_auto.data.dicom.results import PURPOSE
from vmseg_auto.data.images.images import read_mask
from vmseg_auto.utils.tables import read_csv
from vmseg_auto.workflows.predict import predict

SHAPE = (8, 16, 16)
MODALITIES = ["OT", "RTSTRUCT", "SEG", "SR"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_run(cohort(tmp_path_factory.mktemp("cohort"), cases=2), "default").folder


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Orthanc]:
    with orthanc(tmp_path / "orthanc", free_port()) as running:
        yield running


def scan(folder: Path, seed: int = 0, **texts: str) -> Path:
    return write_series(folder, numbers(SHAPE, seed).astype(np.uint16), grid_of(SHAPE), **texts)


def cropped(source: Path, folder: Path, size: int = 40) -> Path:
    """The middle of each slice of a series, to be predicted fast; all else of its headers as it is."""
    folder.mkdir()
    for path in source.glob("*.dcm"):
        data = dcmread(path)
        rows, columns = (slice((length - size) // 2, (length + size) // 2) for length in data.pixel_array.shape)
        data.PixelData = data.pixel_array[rows, columns].tobytes()
        data.Rows = data.Columns = size
        data.save_as(folder / path.name)
    return folder


def results(archive: Orthanc) -> list[Dataset]:
    """What the archive holds beside MR images."""
    return [data for data in archive.objects() if data.Modality != "MR"]


def test_a_series_pushed_from_orthanc_comes_back_as_its_results(
    model: Path, archive: Orthanc, shared_data: Path, tmp_path: Path
) -> None:
    source = cropped(shared_data / "dicom" / "t2_series", tmp_path / "t2")
    study = archive.store(sorted(source.iterdir()))
    with node(tmp_path / "node", model, archive.port, port=archive.node) as running:
        archive.push(study)
        (state,) = running.wait_until("answered")
        running.wait_for_line(f"{state.series}: answered: archive took all results.")
        log = running.log
    sent, pages = results(archive), archive.rendered("OT")
    assert sorted(data.Modality for data in sent) == MODALITIES
    first = dcmread(next(source.iterdir()))
    for data in sent:
        assert data.StudyInstanceUID == first.StudyInstanceUID
        assert data.PatientID == first.PatientID
        assert PURPOSE in data.SeriesDescription
    (mask,) = predict(source, tmp_path / "masks", model=model, device="cpu")
    wanted, geometry = read_mask(mask)
    files = {data.Modality: tmp_path / f"{data.Modality}.dcm" for data in sent}
    for data in sent:
        data.save_as(files[data.Modality], enforce_file_format=True)
    assert wanted.any()
    assert np.array_equal(by_pydicom(files["SEG"], geometry), wanted)
    assert np.array_equal(by_highdicom(files["SEG"], geometry), wanted)
    (total,) = [row for row in read_csv(tmp_path / "masks" / "volumes.csv") if row["component"] == "all"]
    assert measured(files["SR"])["Volume"] == pytest.approx(float(total["volume_ml"]), abs=1e-3)
    (capture,) = [data for data in sent if data.Modality == "OT"]
    frames = capture.pixel_array.reshape(-1, capture.Rows, capture.Columns, 3)
    assert len(pages) == len(frames)
    assert all(np.array_equal(imread(BytesIO(png)), frame) for png, frame in zip(pages, frames, strict=True))
    for told in (first.PatientID, first.StudyInstanceUID, str(first.PatientName)):
        assert not told or told not in log


def test_peers_off_the_list_and_wrong_titles_are_rejected(model: Path, archive: Orthanc, tmp_path: Path) -> None:
    source = scan(tmp_path / "in")
    with node(tmp_path / "node", model, archive.port) as running:
        dcmtk("echoscu", "-aet", "STORESCU", "-aec", NODE, HERE, running.port)
        unknown = store(source, running.port, title="STRANGER", check=False)
        wrong = store(source, running.port, called="OTHER", check=False)
        elsewhere = dcmtk("echoscu", "-aet", "ELSEWHERE", "-aec", NODE, HERE, running.port, check=False)
        assert 0 not in (unknown.returncode, wrong.returncode, elsewhere.returncode)
        assert "Calling AE Title Not Recognized" in unknown.stderr + unknown.stdout
        assert "Called AE Title Not Recognized" in wrong.stderr + wrong.stdout
        running.wait_for_line("Rejected", 3)
        assert running.states() == []
        assert running.log.count("Rejected STRANGER at 127.0.0.1") == 1


def test_a_title_on_the_list_from_another_address_is_rejected(model: Path, archive: Orthanc, tmp_path: Path) -> None:
    with node(tmp_path / "node", model, archive.port) as running:
        running.restart_with(lambda settings: settings["peers"]["scanner"].update(host="192.0.2.7"))
        done = dcmtk("echoscu", "-aet", "STORESCU", "-aec", NODE, HERE, running.port, check=False)
        assert done.returncode != 0
        assert "Calling AE Title Not Recognized" in done.stderr + done.stdout
        dcmtk("echoscu", "-aet", ORTHANC, "-aec", NODE, HERE, running.port)


def test_a_series_sent_again_is_answered_without_computing(model: Path, archive: Orthanc, tmp_path: Path) -> None:
    source = scan(tmp_path / "in")
    with node(tmp_path / "node", model, archive.port) as running:
        store(source, running.port)
        (state,) = running.wait_until("answered")
        first = {data.SOPInstanceUID for data in results(archive)}
        written = {path: path.stat().st_mtime_ns for path in (running.queue / "results").rglob("*.dcm")}
        store(source, running.port)
        wait_for(lambda: [one.answers for one in running.states()] == [2], told=lambda: running.log)
        assert {data.SOPInstanceUID for data in results(archive)} == first
        assert {path: path.stat().st_mtime_ns for path in written} == written
        assert running.log.count("predicted in") == 1
        assert f"{state.series}: answered before; the results are sent again." in running.log


def test_results_made_anew_are_the_same_objects(model: Path, archive: Orthanc, tmp_path: Path) -> None:
    source = scan(tmp_path / "in")
    with node(tmp_path / "node", model, archive.port) as running:
        store(source, running.port)
        running.wait_until("answered")
        first = {data.SOPInstanceUID for data in results(archive)}
        running.stop()
        assert main(["--pacs", str(running.settings), "--purge", "--keep-days", "0"]) == 0
        assert not list(running.queue.rglob("*.dcm"))
        running.start()
        store(source, running.port)
        wait_for(lambda: [one.answers for one in running.states()] == [2], told=lambda: running.log)
        assert running.log.count("predicted in") == 2
    assert len(first) == 4
    assert {data.SOPInstanceUID for data in results(archive)} == first


def test_a_node_killed_at_random_moments_loses_nothing_and_sends_nothing_twice(
    model: Path, archive: Orthanc, tmp_path: Path
) -> None:
    rng, sources = random.Random(0), [scan(tmp_path / f"in_{number}", number) for number in range(3)]
    with node(tmp_path / "node", model, archive.port) as running:
        for kill in range(3):
            sending = start_storing(sources[kill], running.port)
            time.sleep(rng.uniform(0, 10))
            running.kill()
            sending.wait()
            running.start()
        for source in sources:
            store(source, running.port)
        running.wait_until("answered", 3)
    found = Counter((str(data.StudyInstanceUID), str(data.Modality)) for data in results(archive))
    studies = {dcmread(next(source.iterdir())).StudyInstanceUID for source in sources}
    assert found == {(study, modality): 1 for study in studies for modality in MODALITIES}


def test_a_destination_that_is_down_gets_its_results_later(model: Path, archive: Orthanc, tmp_path: Path) -> None:
    with node(tmp_path / "node", model, archive.port) as running:
        archive.stop()
        for number in range(2):
            store(scan(tmp_path / f"in_{number}", number), running.port)
        running.wait_until("sending", 2)
        running.wait_for_line("archive can't be reached; results for archive wait.")
        archive.start()
        running.wait_until("answered", 2)
        assert running.log.count("can't be reached") == 1
        assert running.log.count("archive takes results again.") == 1
    assert sorted(data.Modality for data in results(archive)) == sorted(2 * MODALITIES)


def test_an_archive_that_ends_while_it_takes_results_has_each_once(model: Path, tmp_path: Path) -> None:
    slow = tmp_path / "slow.lua"
    slow.write_text("function ReceivedInstanceFilter() os.execute('sleep 0.5') return true end\n")
    with orthanc(tmp_path / "orthanc", free_port(), LuaScripts=[str(slow)]) as archive:
        with node(tmp_path / "node", model, archive.port) as running:
            store(scan(tmp_path / "in"), running.port)
            wait_for(lambda: any(state.sent for state in running.states()), told=lambda: running.log)
            archive.kill()
            running.wait_for_line("results for archive wait.")
            assert 0 < len(running.states()[0].sent) < len(MODALITIES)
            archive.start()
            running.wait_until("answered")
            assert running.log.count("predicted in") == 1
        assert sorted(data.Modality for data in results(archive)) == MODALITIES


def test_an_archive_that_ends_while_it_sends_a_series_sends_it_again(
    model: Path, archive: Orthanc, tmp_path: Path
) -> None:
    image = numbers((400, 16, 16)).astype(np.uint16)
    study = archive.store(sorted(write_series(tmp_path / "in", image, grid_of(image.shape)).iterdir()))
    with node(tmp_path / "node", model, archive.port, port=archive.node) as running:
        archive.post("/modalities/vmseg/store", {"Resources": [study], "Asynchronous": True})
        wait_for(lambda: running.states(), told=lambda: running.log)
        archive.kill()
        (state,) = running.wait_until("refused")
        assert state.images < len(image)
        assert "which then broke off." in running.log
        archive.start()
        archive.push(study)
        (state,) = running.wait_until("answered")
        assert state.images == len(image)
        assert running.log.count("predicted in") == 1
    assert sorted(data.Modality for data in results(archive)) == MODALITIES


def test_an_association_that_breaks_off_leaves_no_half_answer(model: Path, archive: Orthanc, tmp_path: Path) -> None:
    pynetdicom = pytest.importorskip("pynetdicom")
    source = scan(tmp_path / "in")
    files = sorted(source.iterdir())
    with node(tmp_path / "node", model, archive.port) as running:
        entity = pynetdicom.AE("STORESCU")
        entity.requested_contexts = pynetdicom.StoragePresentationContexts[:0]
        entity.add_requested_context(dcmread(files[0]).SOPClassUID)
        association = entity.associate(HERE, running.port, ae_title=NODE)
        for path in files[:3]:
            assert association.send_c_store(dcmread(path)).Status == 0
        association.abort()
        (state,) = running.wait_until("refused")
        assert state.reason == "its association broke off after 3 images, and no more for 4 s; send it again"
        assert running.log.count("3 images from scanner, which then broke off.") == 1
        store(source, running.port)
        (state,) = running.wait_until("answered")
        assert state.images == len(files)
        assert running.log.count("predicted in") == 1


def test_half_a_series_waits_for_the_rest(model: Path, archive: Orthanc, tmp_path: Path) -> None:
    source = scan(tmp_path / "in", NumberOfSeriesRelatedInstances="8")
    rest = tmp_path / "rest"
    rest.mkdir()
    for path in sorted(source.iterdir())[:3]:
        path.rename(rest / path.name)
    with node(tmp_path / "node", model, archive.port, quiet_s=0.5, patience_s=2.0) as running:
        store(source, running.port)
        (state,) = running.wait_until("refused")
        assert state.reason == "5 of 8 images came, and no more for 2 s; send it again"
        store(rest, running.port)
        running.wait_until("answered")
    assert sorted(data.Modality for data in results(archive)) == MODALITIES


def test_the_number_of_images_is_asked_of_the_archive(model: Path, archive: Orthanc, tmp_path: Path) -> None:
    source = scan(tmp_path / "in")
    archive.store(sorted(source.iterdir()))
    rest = tmp_path / "rest"
    rest.mkdir()
    for path in sorted(source.iterdir())[:3]:
        path.rename(rest / path.name)
    with node(tmp_path / "node", model, archive.port, quiet_s=0.5, patience_s=2.0) as running:
        running.restart_with(lambda settings: settings["peers"]["archive"].update(counts_images=True))
        store(source, running.port)
        (state,) = running.wait_until("refused")
        assert state.reason == "5 of 8 images came, and no more for 2 s; send it again"
        store(rest, running.port)
        running.wait_until("answered")


def test_a_study_of_two_patients_is_not_answered(model: Path, archive: Orthanc, tmp_path: Path) -> None:
    source = scan(tmp_path / "in")
    other = tmp_path / "other"
    shutil.copytree(source, other)
    for path in other.iterdir():
        data = dcmread(path)
        data.PatientID, data.SeriesInstanceUID = "18", "1.2.3.4"
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.4.{data.InstanceNumber}"
        data.save_as(path)
    with node(tmp_path / "node", model, archive.port, quiet_s=3.0) as running:
        store(source, running.port)
        done = store(other, running.port, check=False)
        assert "0xc001" in (done.stdout + done.stderr).lower()
        (state,) = running.wait_until("refused")
        assert state.reason == "its study holds images of two patients"
        running.wait_for_line("with status 0xC001: its study holds images of two patients.")
    assert results(archive) == []


def test_what_is_no_mr_image_is_refused(model: Path, archive: Orthanc, tmp_path: Path) -> None:
    source = scan(tmp_path / "in")
    for path in source.iterdir():
        data = dcmread(path)
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = CTImageStorage
        data.save_as(path)
    with node(tmp_path / "node", model, archive.port) as running:
        done = store(source, running.port, check=False)
        assert "0x0122" in done.stdout + done.stderr
        running.wait_for_line("from scanner with status 0x0122: no MR image.")
        assert running.states() == []


def test_a_scan_that_the_model_refuses_is_told_once(model: Path, archive: Orthanc, tmp_path: Path) -> None:
    lacking = scan(tmp_path / "lacking")
    by_place = sorted(lacking.iterdir(), key=lambda path: float(dcmread(path).InstanceNumber))
    by_place[3].unlink()
    other = scan(tmp_path / "other", EchoTime="10", RepetitionTime="500")
    with node(tmp_path / "node", model, archive.port) as running:
        for source in (lacking, other):
            store(source, running.port)
        states = running.wait_until("refused", 2)
        reasons = sorted(state.reason for state in states)
        assert "1 slice is missing" in reasons[0]
        assert reasons[1] == "it looks T1-weighted (TR 500 ms, TE 10 ms), and the model wants T2"
        assert running.log.count("refused: ") == 2
    assert results(archive) == []


def test_a_full_disk_is_out_of_resources(model: Path, archive: Orthanc, tmp_path: Path) -> None:
    source = scan(tmp_path / "in")
    with node(tmp_path / "node", model, archive.port, free_gb=1e6) as running:
        done = store(source, running.port, check=False)
        assert "0xa700" in (done.stdout + done.stderr).lower()
        running.wait_for_line("with status 0xA700: too little is free on the disk of the queue.")


def test_two_nodes_on_one_queue_and_what_the_queue_shows(
    model: Path, archive: Orthanc, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with node(tmp_path / "node", model, archive.port) as running:
        store(scan(tmp_path / "in", PatientID="4711"), running.port)
        (state,) = running.wait_until("answered")
        settings = ["--pacs", str(running.settings)]
        assert main(["-m", str(model), *settings, "--device", "cpu"]) == 2
        assert "vmseg_node" in (told := capsys.readouterr().err)
        assert "is at work here" in told
        assert main([*settings, "--purge", "--keep-days", "0"]) == 2
        capsys.readouterr()
        assert main([*settings, "--status"]) == 0
        shown = capsys.readouterr().out
        assert "The node is at work: vmseg_node" in shown
        assert f"{state.series}  answered" in shown
        assert "4711" not in shown
        assert main([*settings, "--status", "--with-identity"]) == 0
        assert "PatientID 4711" in capsys.readouterr().out
        running.wait_for_line("answered: archive took all results.")
        assert running.stop() == 128 + 15
        logs = "".join(path.read_text() for path in (running.queue / "logs").glob("vmseg_node_*.log"))
        assert "answered: archive took all results." in logs
        assert "4711" not in logs
    assert main([*settings, "--status"]) == 0
    assert "No node is at work on this queue." in capsys.readouterr().out


def test_identities_are_told_where_that_is_wanted(model: Path, archive: Orthanc, tmp_path: Path) -> None:
    with node(tmp_path / "node", model, archive.port, "--with-identity", "--keep-days", "0") as running:
        store(scan(tmp_path / "in", PatientID="4711"), running.port)
        running.wait_for_line("(PatientID 4711, PatientName Doe^Jo, AccessionNumber 5): complete, 8 images.")
        running.wait_until("answered")


def encrypted(settings: dict[str, Any]) -> None:
    settings["tls"] = {"certificate": "cert.pem", "key": "key.pem", "authority": "cert.pem"}
    for peer in settings["peers"].values():
        peer["tls"] = True


def test_connections_are_encrypted_where_that_is_wanted(model: Path, archive: Orthanc, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path / "node"
    folder.mkdir()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    with node(folder, model, archive.port) as running:
        running.restart_with(encrypted)
        certificates = ["+tls", folder / "key.pem", folder / "cert.pem", "+cf", folder / "cert.pem"]
        dcmtk("echoscu", *certificates, "-aet", "STORESCU", "-aec", NODE, HERE, running.port)
        assert dcmtk("echoscu", "-aet", "STORESCU", "-aec", NODE, HERE, running.port, check=False).returncode != 0
