"""Scans fetched from Orthanc: what comes, and what is said where nothing can come."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from consoles import Heard
from dicom import grid_of
from pacs import HERE, NODE, ORTHANC, OWN, SHAPE, T2, Orthanc, free_port, orthanc, series_of, store_studies
from pydicom import dcmread
from workspaces import cohort, trained_run

from vmseg_auto.cli.make_dataset import main as make_dataset
from vmseg_auto.cli.predict import main as predict
from vmseg_auto.cli.report import main as report
from vmseg_auto.data.dicom.series_files import find_series
from vmseg_auto.data.images.images import write_mask
from vmseg_auto.pacs.address import Listed, StudyKeys, read_studies
from vmseg_auto.pacs.fetch import IncompleteError
from vmseg_auto.pacs.network import PeerError
from vmseg_auto.pacs.pull import Pull
from vmseg_auto.pacs.settings import PacsSettings, Peer, PullSettings
from vmseg_auto.pacs.states import study_hash
from vmseg_auto.utils.atomic import write_json
from vmseg_auto.utils.errors import DatasetError, InputError
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.utils.tables import read_csv, write_csv


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    pytest.importorskip("pynetdicom", reason="the extra pacs is not installed")
    folder = tmp_path_factory.mktemp("pull")
    with orthanc(folder / "orthanc", free_port(), MaximumStorageCacheSize=0) as running:
        store_studies(running, folder)
        yield running


def settings_of(archive: Orthanc, **changes: Any) -> PacsSettings:
    peer = replace(Peer(ORTHANC, HERE, archive.port), **changes)
    return PacsSettings({"archive": peer})


@pytest.fixture
def pull(archive: Orthanc) -> Pull:
    return Pull(settings_of(archive), "archive", (), "T2", Inventory(), Heard())


def files_below(folder: Path) -> dict[str, bytes]:
    return {dcmread(path).SOPInstanceUID: dcmread(path).PixelData for path in folder.rglob("*.dcm")}


def test_a_study_comes_whole_and_only_the_series_that_its_description_allows(
    archive: Orthanc, pull: Pull, tmp_path: Path
) -> None:
    place = pull.study(StudyKeys("1.2.826.1"), tmp_path)
    (found,) = find_series(place)
    assert found.acquisition.description == "t2_tse_fs"
    sent = files_below(archive.folder.parent / "t2")
    assert files_below(place) == sent
    assert len(sent) == SHAPE[0]
    (left,) = pull.left.found
    assert left.why == "T1 by its description, not T2"
    assert found.name.startswith("series_")
    assert all("t1_tse" not in text for text in pull.console.said)  # type: ignore[attr-defined]


def test_series_are_chosen_by_name_as_in_a_folder(pull: Pull, tmp_path: Path) -> None:
    (found,) = find_series(replace(pull, series=("T1*",)).study(StudyKeys("1.2.826.1"), tmp_path))
    assert found.acquisition.description == "t1_tse"
    with pytest.raises(InputError, match=r"none of the 2 series of a study in archive is fetched \(not chosen by"):
        replace(pull, series=("stir*",)).study(StudyKeys("1.2.826.1"), tmp_path)


def test_a_study_is_known_by_patient_and_date_too(pull: Pull, tmp_path: Path) -> None:
    place = pull.study(StudyKeys(patient="4711", date="20260701"), tmp_path)
    assert {dcmread(path).StudyInstanceUID for path in place.rglob("*.dcm")} == {"1.2.826.2"}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (StudyKeys("1.2.826.9"), "archive knows no study of this StudyInstanceUID. Check it in the PACS"),
        (StudyKeys(accession="A-17"), "archive knows 3 studies of this accession number. Name the one by its Study"),
        (StudyKeys(patient="4711"), "archive knows 2 studies of this patient id. Name the one"),
        (StudyKeys(patient="471"), "archive knows no study of this patient id"),
    ],
)
def test_what_names_no_study_or_several_is_told(keys: StudyKeys, message: str, pull: Pull, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        pull.study(keys, tmp_path)
    assert str(error.value).startswith(message)
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_not_fetched_again_and_what_lacks_images_is(pull: Pull, tmp_path: Path) -> None:
    place = pull.study(StudyKeys("1.2.826.2"), tmp_path)
    written = {path: path.stat().st_mtime_ns for path in place.rglob("*.dcm")}
    pull.study(StudyKeys("1.2.826.2"), tmp_path)
    assert {path: path.stat().st_mtime_ns for path in written} == written
    next(iter(written)).unlink()
    pull.study(StudyKeys("1.2.826.2"), tmp_path)
    assert len(list(place.rglob("*.dcm"))) == SHAPE[0]


def test_images_of_two_patients_are_refused(archive: Orthanc, pull: Pull, tmp_path: Path) -> None:
    for seed, patient in enumerate(("1", "2")):
        archive.store(series_of("1.2.826.7", tmp_path / patient, seed, PatientID=patient, **T2))
    with pytest.raises(InputError, match=r"archive has images of two patients in this study\. Have it mended"):
        pull.study(StudyKeys("1.2.826.7"), tmp_path / "out")


def test_fewer_images_than_the_archive_counts_are_told(archive: Orthanc, pull: Pull, tmp_path: Path) -> None:
    archive.store(files := series_of("1.2.826.8", tmp_path / "in", 5, PatientID="9", **T2))
    uid = dcmread(files[0]).SOPInstanceUID.encode()
    stored = [path for path in (archive.folder / "storage").glob("*/*/*") if uid in path.read_bytes()]
    for path in stored:  # the index counts it still
        path.unlink()
    with pytest.raises(IncompleteError) as error:
        pull.study(StudyKeys("1.2.826.8"), tmp_path / "out")
    assert "archive sent 5 images of 6" in str(error.value)
    assert "Run the command again" in str(error.value)
    assert not list((tmp_path / "out").rglob("*.dcm"))


def test_without_the_extra_it_is_said_how_to_install_it(
    pull: Pull, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynetdicom", None)
    with pytest.raises(InputError, match=r"Speaking with a PACS needs a package .*vmseg_auto\[pacs\]"):
        pull.study(StudyKeys("1.2.826.1"), tmp_path)


def test_a_pacs_that_is_down_is_named(archive: Orthanc, pull: Pull, tmp_path: Path) -> None:
    down = replace(pull, settings=settings_of(archive, port=free_port()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # pynetdicom leaves the socket open that finds nobody
        with pytest.raises(PeerError, match=r"archive can't be reached. Check peers.archive in .* \(127"):
            down.study(StudyKeys("1.2.826.1"), tmp_path)
        gc.collect()
    with pytest.raises(InputError, match=r"there is no peer attic. There are: archive."):
        replace(pull, peer="attic").study(StudyKeys("1.2.826.1"), tmp_path)


@pytest.fixture(scope="module")
def strict_archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """It must be called by its name, knows no C-GET, and only known nodes may ask it."""
    pytest.importorskip("pynetdicom", reason="the extra pacs is not installed")
    folder, port = tmp_path_factory.mktemp("strict"), free_port()
    known = {"AET": NODE, "Host": HERE, "Port": port, "AllowGet": False}
    settings = {"DicomCheckCalledAet": True, "DicomAlwaysAllowFind": False, "DicomAlwaysAllowGet": False}
    with orthanc(folder / "orthanc", port, DicomModalities={"vmseg": known}, **settings) as running:
        running.store(series_of("1.2.826.1", folder / "t2", 0, **OWN, **T2))
        yield running


def test_a_pacs_without_c_get_is_asked_for_c_move(strict_archive: Orthanc, pull: Pull, tmp_path: Path) -> None:
    settings = settings_of(strict_archive)
    with pytest.raises(PeerError, match=r"archive has no C-GET, or does not allow it to VMSEG\. Ask .* for C-MOVE"):
        replace(pull, settings=settings).study(StudyKeys("1.2.826.1"), tmp_path)
    moving = replace(settings, pull=PullSettings(port=strict_archive.node, address=HERE))
    place = replace(pull, settings=moving).study(StudyKeys("1.2.826.1"), tmp_path)
    assert files_below(place) == files_below(strict_archive.folder.parent / "t2")


def test_wrong_titles_are_told_apart(strict_archive: Orthanc, pull: Pull, tmp_path: Path) -> None:
    wrong = replace(pull, settings=settings_of(strict_archive, ae_title="ELSE"))
    with pytest.raises(PeerError, match=r"it is not called so. Mend peers.archive.ae_title in .* which is ELSE"):
        wrong.study(StudyKeys("1.2.826.1"), tmp_path)
    stranger = replace(settings_of(strict_archive), pull=PullSettings("STRANGER"))
    with pytest.raises(PeerError, match=r"archive gives no answer to a question for studies.*Ask its administrator"):
        replace(pull, settings=stranger).study(StudyKeys("1.2.826.1"), tmp_path)


def test_folders_without_a_name_tell_no_patient_id(pull: Pull, tmp_path: Path) -> None:
    rows = [Listed(2, StudyKeys("1.2.826.1")), Listed(3, StudyKeys("1.2.826.2"))]
    for place, salt in (("a", "1.txt"), ("b", "1.txt"), ("c", "2.txt")):
        pull.table(rows, tmp_path / "studies.csv", tmp_path / place, tmp_path / salt)
    ((one,), (again,), (other,)) = ([path.name for path in (tmp_path / place).iterdir()] for place in "abc")
    assert one == again != other  # both studies are one patient's
    assert one != f"patient_{study_hash('4711')}"


def test_an_archive_that_answers_no_more_hides_no_earlier_error(
    strict_archive: Orthanc, pull: Pull, tmp_path: Path
) -> None:
    rows = [Listed(line, StudyKeys("1.2.826.1"), f"p{line}") for line in (2, 3, 4)]
    stranger = replace(settings_of(strict_archive), pull=PullSettings("STRANGER"))
    with pytest.raises(DatasetError) as error:
        replace(pull, settings=stranger).table(rows, tmp_path / "studies.csv", tmp_path, tmp_path / "salt.txt")
    told = [one.problem for one in error.value.errors]
    assert told[0].startswith("line 2: archive gives no answer")
    assert told[1:] == ["2 rows after it not tried: line 3, 4"]


@pytest.fixture
def settings_file(archive: Orthanc, tmp_path: Path) -> str:
    peer = {"ae_title": ORTHANC, "host": HERE, "port": archive.port}
    write_json(tmp_path / "pacs.json", {"peers": {"archive": peer}})
    return str(tmp_path / "pacs.json")


def test_a_study_is_predicted_and_no_trace_of_it_stays(
    archive: Orthanc,
    settings_file: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = trained_run(cohort(tmp_path / "cohort", cases=2), "default").folder
    (tmp_path / "moment").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "moment"))
    options = ["-m", str(model), "--pacs", settings_file, "--device", "cpu", "--format", "nifti,dicom-seg"]
    given = "pacs:archive/patient=4711,date=20260131"
    assert predict(["-i", given, "-o", str(tmp_path / "masks"), *options]) == 0
    said = capsys.readouterr()
    assert "t1_tse" in said.out
    assert "1 series, T1 by its description, not T2" in said.out + said.err
    assert "The scans from the PACS are deleted again" in said.out
    assert list((tmp_path / "moment").rglob("*.dcm")) == []
    (row,) = {row["case"] for row in read_csv(tmp_path / "masks" / "volumes.csv")}
    segmentation = dcmread(tmp_path / "masks" / f"{row}.dcm")
    assert (segmentation.PatientID, segmentation.StudyInstanceUID) == ("4711", "1.2.826.1")
    logs = "".join(path.read_text() for path in (tmp_path / "masks" / "logs").iterdir())
    assert not any(told in logs for told in ("4711", "20260131", "1.2.826", "Doe", "t1_tse", "t2_tse"))
    texts = [path.read_text() for path in (tmp_path / "masks").iterdir() if path.suffix in (".csv", ".json")]
    assert not any("moment" in text for text in texts)  # where the scans lie no more
    assert report(["-i", str(tmp_path / "masks")]) == 0
    assert "Predict again with --keep-scans FOLDER" in capsys.readouterr().err
    kept = tmp_path / "Doe_Jane"
    assert predict(["-i", given, "-o", str(tmp_path / "masks"), *options, "--keep-scans", str(kept)]) == 0
    assert "had been made before" in capsys.readouterr().out
    assert len(list(kept.rglob("*.dcm"))) == SHAPE[0]
    *_, log = sorted((tmp_path / "masks" / "logs").glob("vmseg_predict*"), key=lambda path: path.stat().st_mtime_ns)
    words = log.read_text()
    assert "'keep_scans': 'KEEP_SCANS'" in words
    assert "'input': 'INPUT'" in words
    assert not any(told in words for told in ("4711", "20260131", "1.2.826", "Doe", "t1_tse", "t2_tse"))
    assert report(["-i", str(tmp_path / "masks")]) == 0
    assert "not kept" not in "".join(capsys.readouterr())


def test_a_dataset_is_made_of_studies_of_a_table(
    archive: Orthanc, settings_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    masks, table = tmp_path / "masks", tmp_path / "studies.csv"
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[2:4, 5:9, 5:9] = 1
    for name in ("anna", "bert"):
        write_mask(masks / f"{name}.nii.gz", mask, grid_of(SHAPE))
    columns = ("study", "patient", "date", "name")
    rows = [{"study": "1.2.826.1", "name": "anna"}, {"patient": "4712", "name": "bert"}]
    options = ["-m", str(masks), "-o", str(tmp_path / "made"), "--pacs", settings_file]
    options += ["--studies", str(table), "--yes", "--patients", "folders"]
    write_csv(table, columns, [*rows, {"study": "1.2.826.9"}, {"study": "1.2.826.1"}])
    assert make_dataset(["-i", "pacs:archive", *options]) == 2
    told = capsys.readouterr().err
    assert "studies.csv: 2 of 4 rows can't be fetched; no image is fetched" in told
    assert "line 4: archive knows no study of this StudyInstanceUID" in told
    assert "line 5: it names the same study as line 2" in told
    write_csv(table, columns, rows)
    assert make_dataset(["-i", "pacs:archive", *options]) == 0
    assert "The scans from the PACS lie in" in capsys.readouterr().out
    key = read_csv(tmp_path / "made_key.csv")
    assert len(key) == 2
    assert len(list((tmp_path / "made_scans" / "anna").rglob("*.dcm"))) == SHAPE[0]
    assert len(list((tmp_path / "made" / "imagesTr").iterdir())) == 2
    assert make_dataset(["-i", "pacs:archive/1.2.826.1", *options]) == 2
    assert "Write -i pacs:archive --studies FILE.csv." in capsys.readouterr().err


def test_rows_without_a_study_are_all_told(tmp_path: Path) -> None:
    table = tmp_path / "studies.csv"
    write_csv(
        table, ("study", "date", "name"), [{"study": "1.2", "name": "../x"}, {"date": "20260131"}, {"study": "1*"}]
    )
    with pytest.raises(DatasetError) as error:
        read_studies(table)
    assert [one.problem for one in error.value.errors] == [
        "line 2: no folder can have this name",
        "line 3: no study is named",
        "line 4: the StudyInstanceUID has a sign that stands for others (*, ? or \\)",
    ]


def test_a_column_of_another_name_is_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "studies.csv", ("patient", "born"), [{"patient": "17", "born": "20260131"}])
    with pytest.raises(InputError, match=r"there is no such column: born\. There are study, accession"):
        read_studies(tmp_path / "studies.csv")
