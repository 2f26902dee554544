"""vmseg_predict on DICOM: masks that lie on the scan, and nothing in any output that names the patient."""

from __future__ import annotations

import csv
import gzip
import shutil
import warnings
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from dicom import dataset, grid_of, numbers, save, series
from pydicom import dcmread
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import UID, ImplicitVRLittleEndian
from workspaces import cohort, trained_run

from vmseg_auto.cli.predict import main
from vmseg_auto.cli.report import main as write_report
from vmseg_auto.data.images.images import read_image, read_mask, write_image
from vmseg_auto.utils.atomic import read_json
from vmseg_auto.utils.errors import InputError, SomeCasesFailedError
from vmseg_auto.workflows.followup import follow_up
from vmseg_auto.workflows.predict import predict

SHAPE = (8, 16, 16)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_run(cohort(tmp_path_factory.mktemp("cohort")), "default").folder


def scan(seed: int = 0, **changes: object) -> list[Dataset]:
    """Noise; a series whose UID tells its seed."""

    def change(_: int, data: Dataset) -> None:
        data.SeriesInstanceUID = UID(f"1.2.{seed}")
        for name, value in changes.items():
            setattr(data, name, value)

    return series(numbers(SHAPE, seed), change=change)


def test_masks_are_those_of_the_same_scan_as_nifti(model: Path, tmp_path: Path) -> None:
    save(tmp_path / "dicom" / "anna", scan()[::-1])
    with ZipFile(tmp_path / "anna.zip", "w") as archive:
        for path in (tmp_path / "dicom" / "anna").iterdir():
            archive.write(path, f"T2/{path.name}")
    write_image(tmp_path / "anna.nii.gz", numbers(SHAPE).astype(np.float32), grid_of(SHAPE))
    masks = [
        predict(tmp_path / source, tmp_path / "out" / place, model=model, device="cpu", save_probabilities=True)[0]
        for source, place in (("dicom", "folder"), ("anna.zip", "zip"), ("anna.nii.gz", "nifti"))
    ]
    assert [mask.name for mask in masks] == ["anna.nii.gz", "T2.nii.gz", "anna.nii.gz"]
    (first, grid), *others = [read_mask(mask) for mask in masks]
    assert 0 < first.mean() < 1
    assert grid.differences(grid_of(SHAPE)) == []
    for mask, geometry in others:
        assert np.array_equal(mask, first)
        assert geometry.differences(grid) == []
    assert (tmp_path / "out" / "folder" / "probabilities" / "lesion" / "anna.nii.gz").is_file()
    told = [read_json(mask.with_name(mask.name.replace(".nii.gz", ".json")))["in_training"] for mask in masks]
    assert told == [None, None, False], "files of a series never are those that the model was trained on"


def test_a_mask_is_kept_while_the_series_is_the_same(model: Path, tmp_path: Path) -> None:
    paths = save(tmp_path / "in" / "anna", scan())

    def run() -> int:
        (mask,) = predict(tmp_path / "in", tmp_path / "out", model=model, device="cpu")
        return mask.stat().st_mtime_ns

    first = run()
    assert run() == first
    paths[0].rename(paths[0].with_name("renamed.dcm"))
    assert run() == first
    shutil.rmtree(tmp_path / "in")
    save(tmp_path / "in" / "anna", series(numbers(SHAPE, seed=5)))
    assert run() != first


def test_a_series_that_is_no_volume_does_not_stop_the_others(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "in" / "anna", scan(1))
    save(tmp_path / "in" / "ben", [*scan(2)[:3], *scan(2)[4:]])
    write_image(tmp_path / "in" / "carl.nii.gz", numbers(SHAPE).astype(np.float32), grid_of(SHAPE))
    with pytest.raises(SomeCasesFailedError, match=r"case ben, .*ben: 1 slice is missing"):
        predict(tmp_path / "in", tmp_path / "out", model=model, device="cpu")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.nii.gz")) == ["anna.nii.gz", "carl.nii.gz"]
    options = ["-i", str(tmp_path / "in"), "-o", str(tmp_path / "out2"), "-m", str(model), "--device", "cpu"]
    assert main([*options, "--series", "anna"]) == 0
    assert "DICOM series anna: 8 slices of 16 x 16 pixels, echo time 90 ms." in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "out2").glob("*.nii.gz")] == ["anna.nii.gz"]


def test_no_mask_takes_the_place_of_a_scan(model: Path, tmp_path: Path) -> None:
    """Image files are named as their masks would be; slices, as their DICOM SEG may be."""
    image = tmp_path / "before" / "anna.nii.gz"
    write_image(image, numbers(SHAPE).astype(np.float32), grid_of(SHAPE))
    slices = save(tmp_path / "series", scan())
    files = {path: path.read_bytes() for path in (image, *slices)}
    for inputs, output in (("before", "before"), ("before/anna.nii.gz", "before"), ("series", "before/../series")):
        with pytest.raises(InputError, match="the folder of the input is the output folder too"):
            predict(tmp_path / inputs, tmp_path / output, model=model, device="cpu")
    with pytest.raises(InputError, match=r"before: the folder of the input is the output folder too"):
        follow_up(image, image, tmp_path, model=model, device="cpu")
    assert {path: path.read_bytes() for path in files} == files
    assert predict(image, image.parent / "masks", model=model, device="cpu")[0].is_file()


def test_an_echo_is_chosen_and_a_thickness_that_disagrees_is_told(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    early, late = scan(1, EchoTime=12, SliceThickness=2), scan(1, EchoTime=90, SliceThickness=2)
    save(tmp_path / "anna", [*early, *late])
    options = ["-i", str(tmp_path / "anna"), "-o", str(tmp_path / "out"), "-m", str(model), "--device", "cpu"]
    assert main(options) == 2
    assert "echo 1: 12 ms, 8 slices; echo 2: 90 ms, 8 slices" in capsys.readouterr().err
    assert main([*options, "--echo", "2"]) == 0
    assert "SliceThickness says 2 mm, but the slices lie 3 mm apart, which counts" in capsys.readouterr().err
    assert (tmp_path / "out" / "anna_echo_2.nii.gz").is_file()


EXTRAS = ("--save-probabilities", "--save-uncertainty", "--previews")
NAME, NUMBER, DATE, PLACE = "MUSTERMANN", "4711081500", "19700230", "2.25.987123"
PLANTED = (NAME, NUMBER, DATE, PLACE)
_PLANTS = {
    "PN": f"{NAME}^Erika", "DA": DATE, "DT": f"{DATE}101500", "TM": "101500.123", "UI": f"{PLACE}.1", "AS": "055Y",
    "IS": NUMBER, "DS": NUMBER, "CS": NAME, "AE": NAME, "SH": f"{NAME}{NUMBER}"[:16], "UR": f"http://{NAME}.example",
    **dict.fromkeys(("LO", "LT", "ST", "UT", "UC"), f"{NAME} {NUMBER} {DATE}"),
}  # fmt: skip
_NEEDED = {
    "SpecificCharacterSet", "SOPClassUID", "SeriesInstanceUID", "StudyInstanceUID", "ImageType", "EchoTime",
    "PhotometricInterpretation", "NumberOfFrames", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
    "RescaleSlope", "RescaleIntercept", "SliceThickness",
}  # fmt: skip
"""What makes them a scan; those of text among them hold a name in `strays`."""
_SEQUENCES = (
    "OtherPatientIDsSequence", "RequestAttributesSequence", "ReferencedStudySequence", "ReferencedImageSequence",
    "SourceImageSequence", "PatientSpeciesCodeSequence", "PerformedProtocolCodeSequence",
)  # fmt: skip


def planted(datasets: list[Dataset]) -> list[Dataset]:
    """A name, a number, a date and a UID in every text element, also of sequences, in private ones and in the meta."""
    for data in datasets:
        _plant(data)
        for keyword in _SEQUENCES:
            item, deeper = Dataset(), Dataset()
            _plant(item, (0x8, 0x10))
            _plant(deeper, (0x8, 0x10))
            item.IssuerOfPatientIDQualifiersSequence = Items([deeper])
            setattr(data, keyword, Items([item]))
        data.private_block(0x1001, NAME, create=True).add_new(1, "LO", f"{NAME} {NUMBER}")
        data.SeriesInstanceUID, data.StudyInstanceUID = UID(f"{PLACE}.7"), UID(f"{PLACE}.8")
        data.file_meta.SourceApplicationEntityTitle = NAME
        data.file_meta.ImplementationVersionName = NAME
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    return datasets


def _plant(data: Dataset, groups: Container[int] | None = None) -> None:
    for tag, (kind, _, _, _, keyword) in DicomDictionary.items():
        group = tag >> 16
        wanted = group not in (0, 2, 4) if groups is None else group in groups
        if wanted and kind in _PLANTS and keyword and keyword not in _NEEDED:
            data.add_new(tag, kind, _PLANTS[kind])


def strays() -> Iterator[tuple[str, Callable[[Dataset], object]]]:
    """Names where numbers and terms belong: each makes a series that is refused, or warnings of pydicom."""
    texts = {
        "SpecificCharacterSet": NAME, "ImageType": [NAME, NAME], "PhotometricInterpretation": NAME, "Modality": NAME,
        "ImagePositionPatient": [NAME, "0", "0"], "PixelSpacing": [NAME, "1"], "EchoTime": NAME, "RescaleSlope": NAME,
        "NumberOfFrames": NAME, "SOPClassUID": f"{PLACE}.{NAME}", "SeriesNumber": NAME, "SliceThickness": NAME,
    }  # fmt: skip
    for keyword, text in texts.items():

        def plant(data: Dataset, keyword: str = keyword, text: str | list[str] = text) -> None:
            kind = (
                data[keyword].VR
                if keyword in data
                else next(entry[0] for entry in DicomDictionary.values() if entry[4] == keyword)
            )
            raw = "\\".join(text) if isinstance(text, list) else text
            data.add_new(keyword, "LO" if kind in ("DS", "IS") else kind, raw)

        yield keyword, plant
    yield "syntax", lambda data: setattr(data.file_meta, "TransferSyntaxUID", UID(f"{PLACE}.9"))


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, of what can't be a number
        return write_identities(tmp_path_factory.mktemp("identities") / "in")


def write_identities(root: Path) -> Path:
    """A sound series, one with a gap, one for each stray, a damaged one, and objects that are left out."""
    save(root / "sound", planted(scan(1)))
    save(root / "gap", _of_series(planted([*scan(2)[:3], *scan(2)[4:]]), 20))
    for number, (keyword, plant) in enumerate(strays()):
        spoilt = _of_series(planted(scan(3)), 30 + number)
        for data in spoilt:
            data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
            plant(data)
        folder = root / f"stray_{keyword}"
        folder.mkdir()
        for place, data in enumerate(spoilt):
            data.preamble = b"\0" * 128
            data.save_as(folder / f"{place}.dcm", implicit_vr=True, little_endian=True)
    cut = save(root / "cut", _of_series(planted(scan(4)), 60))
    cut[0].write_bytes(cut[0].read_bytes()[:2000])
    report = planted([dataset(numbers()[0], SOPClassUID=UID("1.2.840.10008.5.1.4.1.1.88.11"))])
    save(root / "report", _of_series(report, 70))
    return root


def _of_series(datasets: list[Dataset], number: int) -> list[Dataset]:
    for data in datasets:
        data.SeriesInstanceUID = UID(f"{PLACE}.{number}")
    return datasets


def test_no_output_tells_who_the_patient_is(
    model: Path, identities: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    options = ["-i", str(identities), "-o", str(out), "-m", str(model), "--device", "cpu", *EXTRAS]
    assert main([*options, "--debug"]) == 3
    assert main(["-i", str(identities / "gap"), "-o", str(tmp_path / "more"), "-m", str(model)]) == 2
    assert write_report(["-i", str(out), "--debug"]) == 3
    said = "".join(capfd.readouterr())
    assert "1 slice is missing" in said
    assert f"1 file in {identities}, no scan but a report: report/IM1.dcm" in said
    assert said.count("is damaged") > 3
    written = [path for path in (*out.rglob("*"), *(tmp_path / "more").rglob("*")) if path.is_file()]
    assert {"sound.nii.gz", "sound.json", "volumes.csv", "itksnap.label", "report.html"} <= {
        path.name for path in written
    }
    assert out / "probabilities" / "lesion" / "sound.nii.gz" in written
    assert any(path.suffix == ".log" for path in written)
    for path in written:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        for secret in PLANTED:
            assert secret.encode() not in content, path.name
            assert secret not in path.name
    # SeriesDescription is shown where a study holds several series, on the screen alone.
    said = "\n".join(line for line in said.splitlines() if not line.rstrip().endswith(_PLANTS["LO"]))
    for secret in PLANTED:
        assert secret not in said
    header = gzip.decompress((out / "sound.nii.gz").read_bytes())[:352]
    texts = [header[148:228], header[228:252], header[328:344], header[4:14], header[14:32]]
    assert not any(text.strip(b"\0") for text in texts)  # descrip, aux_file, intent_name, data_type, db_name
    with (out / "volumes.csv").open(newline="") as file:
        assert "sound" in {row["case"] for row in csv.DictReader(file)}


def test_what_is_planted_is_in_the_scan(identities: Path) -> None:
    """Else the test above would find nothing whatever the program did."""
    path = next((identities / "sound").iterdir())
    assert all(path.read_bytes().count(secret.encode()) > 5 for secret in PLANTED)
    (item,) = dcmread(path).OtherPatientIDsSequence
    assert all(secret in str(item) for secret in PLANTED)
    assert NAME in item.IssuerOfPatientIDQualifiersSequence[0].PatientName
    image, _ = read_image_of(identities / "sound")
    assert np.array_equal(image, numbers(SHAPE, 1))


def read_image_of(folder: Path) -> tuple[np.ndarray, object]:
    from vmseg_auto.data.dicom.read import read_series
    from vmseg_auto.data.dicom.series_files import find_series

    (found,) = find_series(folder)
    return read_series(found)


def test_real_series_is_segmented(shared_data: Path, tmp_path: Path) -> None:
    """With the model that nnU-Net trained; the mask lies on the scan."""
    from vmseg_auto.workflows.model import import_nnunet

    trained = import_nnunet(shared_data / "nnunet" / "vmsemi53" / "model", tmp_path / "model")
    source = shared_data / "dicom" / "t2_series"
    (mask,) = predict(source, tmp_path / "out", model=trained, device="cpu", tta=False, step=1.0)
    found, grid = read_mask(mask)
    image, geometry = read_image_of(source)
    assert mask.name == "t2_series.nii.gz"
    assert grid.differences(geometry) == []  # type: ignore[arg-type]
    assert 0 < found.mean() < 0.2
    assert image[found > 0].mean() > 1.5 * image[image > 0].mean()
    assert read_image(mask)[0].shape == image.shape
