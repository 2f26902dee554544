"""A further sequence of the same patients: found by name, laid onto the first one's grid, refused where it does not
fit.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from consoles import Heard
from matplotlib.image import imread
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vmseg_auto.cli import make_dataset as cli
from vmseg_auto.data.cases import read_case, read_dataset
from vmseg_auto.data.dataset_key import read_dataset_key
from vmseg_auto.data.images.images import read_image, write_image, write_mask
from vmseg_auto.demo.phantom.phantom import PhantomScan, make_phantom
from vmseg_auto.followup.rigid import RigidTransform, placed, resample
from vmseg_auto.utils.atomic import read_json
from vmseg_auto.utils.errors import InputError, SomeCasesFailedError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.workflows.make_dataset import make_dataset
from vmseg_auto.workflows.remove_patient import remove_patient

PATIENTS = {"anna": 0, "ben": 1, "cora": 2}
SCANS = {name: make_phantom(5, number) for name, number in PATIENTS.items()}


def inverted(scan: PhantomScan) -> NDArray[np.float32]:
    """Another contrast: bright tissue is dark, and air stays dark."""
    top = np.percentile(scan.image, 99)
    level = np.clip(scan.image / top, 0, 1)
    return (1000 * level * (1.3 - level)).astype(np.float32)


def lying_otherwise(scan: PhantomScan) -> tuple[NDArray[np.float32], Geometry]:
    """The other contrast on a grid of its own, the patient turned by 5 degrees and moved by 9 mm."""
    middle = placed((np.array(scan.geometry.shape)[None] - 1) / 2, scan.geometry, RigidTransform())[0]
    turn = Rotation.from_euler("xyz", (2, -3, 4), degrees=True).as_matrix()
    there = RigidTransform(tuple(turn.ravel().tolist()), tuple((middle - turn @ middle + (5, -6, 4)).tolist()))
    finer = Geometry((20, 56, 56), (5.0, 2.8, 2.8), scan.geometry.origin_mm, scan.geometry.direction)
    return resample(inverted(scan), scan.geometry, finer, there.inverse, 0.0), finer


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """T2 and masks of three patients, T1 of two of them."""
    folder = tmp_path_factory.mktemp("export")
    for name, scan in SCANS.items():
        write_image(folder / "t2" / f"{name}.nii.gz", scan.image, scan.geometry)
        write_mask(folder / "masks" / f"{name}.nii.gz", scan.mask, scan.geometry)
        if name != "cora":
            write_image(folder / "t1" / f"{name}.nii.gz", *lying_otherwise(scan))
    return folder


@pytest.fixture(scope="module")
def made(export: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Heard, str]:
    """The dataset, and what was said and shown."""
    folder, heard, shown = tmp_path_factory.mktemp("made") / "cohort", Heard(), list[str]()
    make_dataset(
        export / "t2",
        export / "masks",
        folder,
        further_channels={"T1": export / "t1"},
        confirm=lambda table: not shown.append(table),
        console=heard,
    )
    return folder, heard, shown[0]


def cases(folder: Path) -> dict[str, str]:
    return {row.scan: row.case for row in read_dataset_key(folder.with_name("cohort_key.csv"))}


def test_the_further_channel_lies_on_the_first_ones_grid(made: tuple[Path, Heard, str]) -> None:
    data = read_dataset(made[0])
    assert data.channels == ("T2", "T1")
    assert not data.left_out
    known = cases(made[0])
    for case in data.cases:
        name = next(name for name, own in known.items() if own == case.id)
        image, mask, _ = read_case(case, data.mask_labels)
        np.testing.assert_array_equal(image[0], SCANS[name].image)  # the first channel is never resampled
        np.testing.assert_array_equal(mask, SCANS[name].mask)
        if name == "cora":
            assert case.missing == (1,)
            continue
        inside = SCANS[name].image > np.percentile(SCANS[name].image, 50)
        alike = np.corrcoef(image[1][inside], inverted(SCANS[name])[inside])[0, 1]
        unmoved = resample(*lying_otherwise(SCANS[name]), SCANS[name].geometry, RigidTransform(), 0.0)
        assert alike > np.corrcoef(unmoved[inside], inverted(SCANS[name])[inside])[0, 1] + 0.15


def test_who_lacks_it_is_shown_written_and_told(made: tuple[Path, Heard, str]) -> None:
    folder, heard, table = made
    assert 'Channels "T2", "T1", label "lesion"' in table
    (line,) = (line for line in table.splitlines() if " cora " in line)
    assert " missing " in line
    assert read_json(folder / "dataset.json")["optional_channels"] == ["T1"]
    assert any("some cases lack T1" in text and "--set channel_dropout=0.3" in text for text in heard.warned)


def test_before_and_after_are_pictures_with_figures(made: tuple[Path, Heard, str]) -> None:
    known = cases(made[0])
    pictures = made[0] / "registration"
    assert sorted(path.stem for path in pictures.glob("*.png")) == sorted(known[name] for name in ("anna", "ben"))
    for name in ("anna", "ben"):
        assert imread(pictures / f"{known[name]}.png").shape[:2] > (400, 600)
        (told,) = read_json(pictures / f"{known[name]}.json")
        assert told["channel"] == "T1"
        assert told["degrees"] == pytest.approx(5.4, abs=1)
        assert told["local_ncc"] > told["local_ncc_before"] + 0.1


def test_a_scan_of_another_patient_is_refused_by_name(export: Path, tmp_path: Path) -> None:
    shutil.copytree(export, tmp_path, dirs_exist_ok=True)
    stranger = make_phantom(5, 17)
    write_image(tmp_path / "t1" / "cora.nii.gz", inverted(stranger), stranger.geometry)
    with pytest.raises(SomeCasesFailedError) as refused:
        make_dataset(tmp_path / "t2", tmp_path / "masks", tmp_path / "cohort", further_channels={"T1": tmp_path / "t1"})
    (error,) = refused.value.errors
    assert str(error.file).endswith("cora.nii.gz")
    assert "the scan of T1 does not fit on that of the first channel" in error.problem
    data = read_dataset(tmp_path / "cohort")
    assert len(data.cases) == 2
    assert data.optional == ()


def test_further_patients_enter_and_leave_with_all_channels(made: tuple[Path, Heard, str], tmp_path: Path) -> None:
    shutil.copytree(made[0].parent, tmp_path, dirs_exist_ok=True)
    folder, new = tmp_path / "cohort", make_phantom(5, 3)
    write_image(tmp_path / "t2" / "dora.nii.gz", new.image, new.geometry)
    write_image(tmp_path / "t1" / "dora.nii.gz", *lying_otherwise(new))
    write_mask(tmp_path / "masks" / "dora.nii.gz", new.mask, new.geometry)
    with pytest.raises(InputError, match=r"the channels of this dataset are T2, T1"):
        make_dataset(tmp_path / "t2", tmp_path / "masks", folder, add=True)
    make_dataset(tmp_path / "t2", tmp_path / "masks", folder, add=True, further_channels={"T1": tmp_path / "t1"})
    dora = cases(folder)["dora"]
    own = [path for path in folder.rglob("*") if path.name.startswith(dora)]
    assert len(own) == 5  # two images, a mask, a picture and its figures
    assert read_dataset(folder).optional == ("T1",)
    remove_patient(folder, "patient_04")
    assert not [path for path in folder.rglob("*") if path.name.startswith(dora)]


def test_scans_of_nobody_and_two_of_one_are_named(export: Path, tmp_path: Path) -> None:
    shutil.copytree(export, tmp_path, dirs_exist_ok=True)
    for name in ("anna_again", "zoe"):
        shutil.copy(export / "t1" / "anna.nii.gz", tmp_path / "t1" / f"{name}.nii.gz")
    left = Inventory()
    with pytest.raises(SomeCasesFailedError, match="1 masks or scans can't be used") as refused:
        make_dataset(
            tmp_path / "t2",
            tmp_path / "masks",
            tmp_path / "cohort",
            further_channels={"T1": tmp_path / "t1"},
            left=left,
        )
    assert "anna is left out: 2 scans of T1 belong to it: anna, anna_again" in refused.value.errors[0].problem
    assert [(one.what, one.where) for one in left.found] == [("scan", "zoe")]


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        (["T2=x"], "the scans of the first channel are those of -i"),
        (["T2", "T1"], "the further channel 'T1' needs a name and the folder of its scans"),
        (["T2", "=t1"], "the further channel '' needs a name"),
        (["T2", "T2=t1"], "the channel T2 is named twice"),
        (["T2", "T1=nowhere"], "there is no such folder of the channel T1"),
        (["T2", "T1=."], "lie within one another"),
    ],
)
def test_odd_channels_are_refused(
    export: Path,
    tmp_path: Path,
    channels: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(export)
    named = [option for channel in channels for option in ("--channel", channel)]
    assert cli.main(["-i", "t2", "-m", "masks", "-o", f"{tmp_path / 'cohort'}", "--yes", *named]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "cohort").exists()


def test_as_it_is_typed(export: Path, tmp_path: Path) -> None:
    (tmp_path / "t2").mkdir()
    shutil.copy(export / "t2" / "anna.nii.gz", tmp_path / "t2")
    folder = tmp_path / "cohort"
    options = ["--channel", "T2 TIRM", "--channel", f"T1={export / 't1'}", "--yes", "--quiet"]
    assert cli.main(["-i", f"{tmp_path / 't2'}", "-m", f"{export / 'masks'}", "-o", f"{folder}", *options]) == 3
    image, _ = read_image(folder / "imagesTr" / "case_001_0001.nii.gz")
    assert image.any()
    assert read_dataset(folder).channels == ("T2 TIRM", "T1")
