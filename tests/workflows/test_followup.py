"""The same patients at two times, from files to files: changes that are known, and what can go wrong."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from consoles import Heard
from dicom import save, series
from matplotlib.image import imread
from workspaces import cohort, trained_run

from benchmarks.followup_pairs import Pair, make_pair
from vmseg_auto.data.images.images import read_image, read_mask, write_image, write_mask
from vmseg_auto.demo.phantom.phantom import PhantomScan, make_phantom
from vmseg_auto.followup.records import FollowUps
from vmseg_auto.followup.response import Volume, response_to
from vmseg_auto.utils.atomic import read_stored
from vmseg_auto.utils.errors import InputError, SomeCasesFailedError, VmsegError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.utils.tables import read_csv, write_csv
from vmseg_auto.workflows.followup import follow_up

CHANGES = (-60, -30, -15, 0, 20)


@dataclass(frozen=True)
class Folders:
    """Scans and masks of two times."""

    root: Path

    @property
    def scans(self) -> tuple[Path, Path]:
        return self.root / "scans_1", self.root / "scans_2"

    @property
    def masks(self) -> tuple[Path, Path]:
        return self.root / "masks_1", self.root / "masks_2"

    def add(self, name: str, first: PhantomScan | Pair, second: PhantomScan | Pair) -> None:
        for scan, images, masks in zip((first, second), self.scans, self.masks, strict=True):
            write_image(images / f"{name}_0000.nii.gz", scan.image, scan.geometry)
            write_mask(masks / f"{name}.nii.gz", scan.mask, scan.geometry)


def name_of(percent: int) -> str:
    return f"by_{percent}" if percent >= 0 else f"by_minus_{-percent}"


def later(scan: PhantomScan, percent: int, seed: int = 0) -> Pair:
    pair = make_pair(scan.image, scan.mask, scan.geometry, percent, np.random.default_rng([seed, percent + 100]))
    assert pair is not None
    return pair


def check_classes(folders: Folders, found: FollowUps) -> None:
    """Every change is told as what it is, from scans that were brought together."""
    for one, percent in zip(found.pairs, sorted(CHANGES, key=name_of), strict=True):
        (change,) = one.changes.values()
        assert change.percent == pytest.approx(percent, abs=1)
        assert change.response == response_to(percent)
        assert change.beyond_error == (percent != 0)
        assert one.alignment.problems == ()
        assert any(lesion.fate in ("same", "split", "merged", "regrouped") for lesion in one.lesions)
        assert {lesion.fate for lesion in one.lesions} & {"new", "out of view"} == set()


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> tuple[Folders, FollowUps, Heard]:
    """A phantom with each change, compared."""
    folders, heard = Folders(tmp_path_factory.mktemp("phantoms")), Heard()
    scan = make_phantom(0, 1)
    for percent in CHANGES:
        folders.add(name_of(percent), scan, later(scan, percent))
    out = folders.root / "out"
    return folders, follow_up(*folders.scans, out, masks=folders.masks, error_percent=5, console=heard), heard


def test_known_changes_of_phantoms(phantoms: tuple[Folders, FollowUps, Heard]) -> None:
    check_classes(*phantoms[:2])


def test_known_changes_in_real_heads(shared_data: Path, tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    for number, percent in enumerate(CHANGES):
        name = f"vm_{7 * number:03d}"
        image, geometry = read_image(shared_data / "vmsemi53" / "imagesTr" / f"{name}_0000.nii.gz")
        scan = PhantomScan(image, read_mask(shared_data / "vmsemi53" / "labelsTr" / f"{name}.nii.gz")[0], geometry)
        folders.add(name_of(percent), scan, later(scan, percent, seed=number))
    check_classes(folders, follow_up(*folders.scans, tmp_path / "out", masks=folders.masks, error_percent=5))


def test_what_is_written(phantoms: tuple[Folders, FollowUps, Heard]) -> None:
    folders, found, heard = phantoms
    out = folders.root / "out"
    assert read_stored(FollowUps, out / "followup.json") == found
    totals = {row["case"]: row for row in read_csv(out / "followup.csv") if row["component"] == "all"}
    assert float(totals["by_minus_30"]["change_percent"]) == pytest.approx(-30, abs=1)
    assert totals["by_0"]["beyond_error"] == "no"
    for one in found.pairs:
        picture = imread(out / f"{one.case}_followup.png")[..., :3]
        for colour in ((0x56, 0xB4, 0xE9), (0xD5, 0x5E, 0x00)):
            assert (np.abs(picture - np.array(colour) / 255).max(axis=-1) < 0.02).sum() > 200
    told = "\n".join(heard.said)
    assert "by_minus_60: by_minus_60 -> by_minus_60" in told
    assert "major response" in told
    assert "picture of each pair" in told
    assert heard.warned == []


def test_two_files_belong_together_whatever_their_names(
    phantoms: tuple[Folders, FollowUps, Heard], tmp_path: Path
) -> None:
    folders, _, _ = phantoms
    scans, masks = (
        [shutil.copy(next(folder.glob("by_20*")), tmp_path / f"{kind}_{n}.nii.gz") for n, folder in enumerate(both)]
        for kind, both in (("anna", folders.scans), ("mask", folders.masks))
    )
    heard = Heard()
    (one,) = follow_up(*scans, tmp_path / "out", masks=(masks[0], masks[1]), console=heard).pairs
    assert (one.case, one.before, one.after) == ("anna_0-anna_1", "anna_0", "anna_1")
    (change,) = one.changes.values()
    assert (change.response, change.beyond_error) == ("worse", None)
    assert "--error" in heard.said[0]


@pytest.fixture
def small(tmp_path: Path) -> Folders:
    """A scan in which nothing moved, and two lesions of which one shrinks."""
    scan = make_phantom(0, 0)
    image, geometry = scan.image[4:12, :32, :32], scan.geometry
    geometry = replace(geometry, shape=image.shape)
    first, second = (np.zeros(image.shape, dtype=np.uint8) for _ in range(2))
    first[2:6, 4:10, 4:10] = 1
    first[2:6, 20:24, 20:24] = 2
    second[2:6, 4:10, 4:10] = 1
    second[2:4, 20:24, 20:24] = 2
    noise = np.random.default_rng(0).normal(0, 0.03 * np.ptp(image), image.shape)
    again = (image + noise).astype(np.float32)
    folders = Folders(tmp_path)
    folders.add("anna", PhantomScan(image, first, geometry), PhantomScan(again, second, geometry))
    return folders


def test_masks_of_other_patients_are_no_pair(small: Folders) -> None:
    for folder in (*small.scans, *small.masks):
        (anna,) = folder.iterdir()
        shutil.copy(anna, folder / anna.name.replace("anna", "bea"))
    (small.masks[0] / "bea.nii.gz").unlink()
    (small.masks[1] / "anna.nii.gz").unlink()
    with pytest.raises(InputError, match="no scan has a mask at both times"):
        follow_up(*small.scans, small.root / "out", masks=small.masks)


def test_dicom_series_are_compared_as_the_same_scans_in_nifti_are(small: Folders) -> None:
    exports = small.root / "export_1", small.root / "export_2"
    for scans, export in zip(small.scans, exports, strict=True):
        image, geometry = read_image(scans / "anna_0000.nii.gz")
        image = np.rint(image - image.min())
        write_image(scans / "anna_0000.nii.gz", image, geometry)
        save(export / "anna", series(image.astype(np.int64), geometry)[::-1])
    dicom, nifti = (
        follow_up(*scans, small.root / name, masks=small.masks, error_percent=5).pairs[0]
        for name, scans in (("out", exports), ("nifti", small.scans))
    )
    assert dicom.alignment.problems == ()
    for label, change in nifti.changes.items():
        assert dicom.changes[label].after.ml == pytest.approx(change.after.ml)  # NIfTI keeps spacing in float32
        assert dicom.changes[label].response == change.response
    assert [lesion.fate for lesion in dicom.lesions] == [lesion.fate for lesion in nifti.lesions] == ["same", "same"]
    assert dicom.lesions[1].label == "label_2"
    assert (small.root / "out" / "anna_followup.png").is_file()


def write_table(folder: Path, voxels: tuple[int, int]) -> None:
    rows: list[dict[str, object]] = [
        {"label": "vm", "component": "all", "voxels": voxels[0], "volume_low_ml": 3, "volume_high_ml": 12},
        {"label": "vm", "component": 1, "voxels": voxels[0]},
        {"label": "haematoma", "component": "all", "voxels": voxels[1]},
    ]
    write_csv(folder / "volumes.csv", ("case", *rows[0]), ({"case": "anna", **row} for row in rows))


def test_intervals_come_from_the_table_beside_the_masks(small: Folders) -> None:
    for folder, second in zip(small.masks, (64, 32), strict=True):
        write_table(folder, (144, second))
    (one,) = follow_up(*small.scans, small.root / "out", masks=small.masks).pairs
    assert list(one.changes) == ["vm", "haematoma"]
    assert (one.changes["vm"].before.low_ml, one.changes["vm"].after.high_ml) == (3, 12)
    assert (one.changes["vm"].response, one.changes["vm"].beyond_error) == ("unchanged", False)
    assert one.changes["haematoma"].percent == pytest.approx(-50)
    assert one.changes["haematoma"].beyond_error is None
    assert [(lesion.label, lesion.fate) for lesion in one.lesions] == [("vm", "same"), ("haematoma", "same")]


def test_a_mask_corrected_by_hand_has_no_interval(small: Folders) -> None:
    heard = Heard()
    write_table(small.masks[0], (144, 64))
    write_table(small.masks[1], (150, 32))
    (one,) = follow_up(*small.scans, small.root / "out", masks=small.masks, console=heard).pairs
    assert one.changes["vm"].before.low_ml == 3
    assert one.changes["vm"].after == Volume(one.changes["vm"].before.ml)
    (warning,) = heard.warned
    assert "144 voxels of vm" in warning
    assert "150" in warning


def test_scans_that_do_not_belong_together(small: Folders) -> None:
    heard = Heard()
    image, geometry = read_image(small.scans[1] / "anna_0000.nii.gz")
    noise = np.random.default_rng(0).normal(100, 30, image.shape).astype(np.float32)
    write_image(small.scans[1] / "anna_0000.nii.gz", noise, geometry)
    (one,) = follow_up(*small.scans, small.root / "out", masks=small.masks, error_percent=5, console=heard).pairs
    assert one.alignment.problems
    assert one.lesions == ()
    assert one.changes["label_2"].percent == pytest.approx(-50)
    assert one.changes["label_2"].response is None
    assert any("no response is called" in words for words in heard.warned)
    assert "could not be aligned" in heard.said[0]
    assert not list((small.root / "out").glob("*.png"))
    assert "followup.csv" in heard.said[-1]
    assert "picture" not in heard.said[-1]


def test_one_scan_given_twice_is_named_and_no_response_called(small: Folders) -> None:
    """In other axes, as another type and on another scale it is the same scan."""
    image, geometry = read_image(small.scans[0] / "anna_0000.nii.gz")
    cosines = np.array(geometry.direction).reshape(3, 3)
    corner = np.array(geometry.origin_mm) + cosines[:, 0] * geometry.spacing_mm[2] * (image.shape[2] - 1)
    x, y, z = corner.tolist()
    turned = Geometry(
        geometry.shape,
        geometry.spacing_mm,
        (x, y, z),
        tuple((cosines * [-1, 1, 1]).ravel().tolist()),  # type: ignore[arg-type]
    )
    heard = Heard()
    write_image(small.scans[1] / "anna_0000.nii.gz", np.rint(2 * image[:, :, ::-1] + 3), turned)
    mask, _ = read_mask(small.masks[1] / "anna.nii.gz")
    write_mask(small.masks[1] / "anna.nii.gz", mask[:, :, ::-1], turned)
    (one,) = follow_up(*small.scans, small.root / "out", masks=small.masks, error_percent=5, console=heard).pairs
    assert not one.sound
    assert any("same image" in words for words in heard.warned)
    assert one.changes["label_2"].response is None


def test_a_mirrored_scan_is_named(phantoms: tuple[Folders, FollowUps, Heard], tmp_path: Path) -> None:
    _, found, _ = phantoms
    assert all(one.sound and one.alignment.mirrored < one.alignment.local_ncc for one in found.pairs)
    folders, heard = Folders(tmp_path), Heard()
    scan = make_phantom(0, 1)
    second = later(scan, -30)
    folders.add("anna", scan, replace(second, image=second.image[:, :, ::-1], mask=second.mask[:, :, ::-1]))
    (one,) = follow_up(*folders.scans, tmp_path / "out", masks=folders.masks, error_percent=5, console=heard).pairs
    assert "left and right may have been exchanged" in heard.warned[0]
    assert one.lesions == ()
    assert one.changes["lesion"].response is None


def test_slices_of_another_thickness_are_named(small: Folders) -> None:
    image, geometry = read_image(small.scans[1] / "anna_0000.nii.gz")
    mask, _ = read_mask(small.masks[1] / "anna.nii.gz")
    z, y, x = geometry.spacing_mm
    shape = (4, *image.shape[1:])
    thick = Geometry(shape, (2 * z, y, x), geometry.origin_mm, geometry.direction)
    write_image(small.scans[1] / "anna_0000.nii.gz", image[::2], thick)
    write_mask(small.masks[1] / "anna.nii.gz", mask[::2], thick)
    (one,) = follow_up(*small.scans, small.root / "out", masks=small.masks, error_percent=5).pairs
    assert any(note.startswith("The slices differ") for note in one.notes)
    assert one.changes["label_2"].grid_percent is not None


def test_pairs_whose_headers_contradict_are_refused_each_by_itself(small: Folders, tmp_path: Path) -> None:
    image, geometry = read_image(small.scans[0] / "anna_0000.nii.gz")
    stored = np.rint(image - image.min()).astype(np.int64)
    mask, _ = read_mask(small.masks[0] / "anna.nii.gz")
    exports, days = (tmp_path / "export_1", tmp_path / "export_2"), {"anna": "2019", "berta": "2024", "carla": "2019"}
    for export, masks, year in zip(exports, small.masks, ("2021", None), strict=True):
        for name, first in days.items():
            later_id = "Q" if name == "carla" and year is None else "P"
            day = f"{year or {'2019': '2022', '2024': '2020'}[first]}0101"
            save(export / name, series(stored, geometry, StudyDate=day, PatientID=later_id))
            write_mask(masks / f"{name}.nii.gz", mask, geometry)
    with pytest.raises(SomeCasesFailedError, match="2 of 3 pairs") as failed:
        follow_up(*exports, tmp_path / "out", masks=small.masks)
    told = str(failed.value)
    for words in ("berta", "earlier day", "carla", "two patients"):
        assert words in told
    assert {row["case"] for row in read_csv(tmp_path / "out" / "followup.csv")} == {"anna"}
    assert "20200101" not in (tmp_path / "out" / "followup.json").read_text()
    single = (exports[0] / "berta", exports[1] / "berta")
    masks = tuple(folder / "berta.nii.gz" for folder in small.masks)
    with pytest.raises(InputError, match="earlier day"):
        follow_up(*single, tmp_path / "one", masks=(masks[0], masks[1]))
    assert follow_up(*single, tmp_path / "one", masks=(masks[0], masks[1]), order_as_given=True).pairs


def test_lesions_outside_the_other_scan_are_named(small: Folders) -> None:
    for folder, name in ((small.scans[1], "anna_0000.nii.gz"), (small.masks[1], "anna.nii.gz")):
        read, write = (read_image, write_image) if folder == small.scans[1] else (read_mask, write_mask)
        array, geometry = read(folder / name)
        cropped = array[:, :, :22]
        write(folder / name, cropped, replace(geometry, shape=cropped.shape))
    (one,) = follow_up(*small.scans, small.root / "out", masks=small.masks, error_percent=5).pairs
    assert any("first scan's label_2 lies outside the other scan" in note for note in one.notes)


def test_masks_of_0_and_255(small: Folders) -> None:
    for folder in small.masks:
        mask, geometry = read_mask(folder / "anna.nii.gz")
        write_mask(folder / "anna.nii.gz", np.where(mask == 1, 255, 0).astype(np.uint8), geometry)
    (one,) = follow_up(*small.scans, small.root / "out", masks=small.masks, error_percent=5).pairs
    assert one.changes["lesion"].percent == 0
    assert one.changes["lesion"].before.ml > 0


def test_what_can_not_be_paired(small: Folders, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="measurement error"):
        follow_up(*small.scans, tmp_path / "out", masks=small.masks, error_percent=-1)
    with pytest.raises(InputError, match="no such file"):
        follow_up(tmp_path / "nowhere", small.scans[1], tmp_path / "out", masks=small.masks)
    scan, mask = next(small.scans[1].iterdir()), next(small.masks[1].iterdir())
    for name in ("berta", "carla"):
        write_image(small.scans[1] / f"{name}.nii.gz", *read_image(scan))
        write_mask(small.masks[1] / f"{name}.nii.gz", *read_mask(mask))
    left = Inventory()
    assert len(follow_up(*small.scans, tmp_path / "out", masks=small.masks, left=left).pairs) == 1
    assert "2 scans, there at one time only: berta, carla" in left.text()
    assert (
        f"2 masks in {small.masks[1]}, without a scan at this time that has a partner: berta.nii.gz, carla"
        in left.text()
    )
    for path in (scan, mask):
        path.unlink()
    with pytest.raises(InputError, match="name of one after"):
        follow_up(*small.scans, tmp_path / "out", masks=small.masks)
    with pytest.raises(InputError, match="name of one after"):  # before anything is predicted, or a model looked for
        follow_up(*small.scans, tmp_path / "out", model=tmp_path / "no model")
    (small.scans[1] / "berta.nii.gz").rename(scan)
    for path in small.masks[1].glob("*"):
        path.rename(path.with_name(f"x{path.name}"))
    with pytest.raises(InputError, match="mask of the same name"):
        follow_up(*small.scans, tmp_path / "out", masks=small.masks)


def test_only_scans_with_a_partner_are_predicted(small: Folders, tmp_path: Path) -> None:
    model = trained_run(cohort(tmp_path / "cohort"), "default").folder
    for folder, name in zip(small.scans, ("berta", "carla"), strict=True):
        shutil.copy(folder / "anna_0000.nii.gz", folder / f"{name}.nii.gz")
    out, left = tmp_path / "out", Inventory()
    follow_up(*small.scans, out, model=model, device="cpu", left=left)
    assert [path.relative_to(out).as_posix() for path in sorted(out.glob("*/*.nii.gz"))] == [
        "after/anna.nii.gz",
        "before/anna.nii.gz",
    ]
    assert "2 scans, there at one time only: berta, carla" in left.text()


def test_further_channels_are_no_scans_of_their_own(small: Folders, tmp_path: Path) -> None:
    for folder in small.scans:
        shutil.copy(folder / "anna_0000.nii.gz", folder / "anna_0001.nii.gz")
    heard = Heard()
    (one,) = follow_up(*small.scans, tmp_path / "out", masks=small.masks, error_percent=5, console=heard).pairs
    assert (one.case, heard.warned) == ("anna", [])


def test_a_pair_that_fails_does_not_stop_the_others(small: Folders, tmp_path: Path) -> None:
    image, geometry = read_image(small.scans[0] / "anna_0000.nii.gz")
    mask, _ = read_mask(small.masks[0] / "anna.nii.gz")
    for images, masks in zip(small.scans, small.masks, strict=True):
        write_image(images / "berta.nii.gz", image, geometry)
        write_mask(masks / "berta.nii.gz", mask[:, :, :20], replace(geometry, shape=mask[:, :, :20].shape))
    with pytest.raises(SomeCasesFailedError, match="1 of 2 pairs") as failed:
        follow_up(*small.scans, tmp_path / "out", masks=small.masks)
    assert "berta" in str(failed.value)
    assert {row["case"] for row in read_csv(tmp_path / "out" / "followup.csv")} == {"anna"}


def test_a_scan_that_can_not_be_segmented_costs_its_pair_alone(small: Folders, tmp_path: Path) -> None:
    model = trained_run(cohort(tmp_path / "cohort"), "default").folder
    for folder in small.scans:
        shutil.copy(folder / "anna_0000.nii.gz", folder / "berta.nii.gz")
    cut = small.scans[1] / "berta.nii.gz"
    cut.write_bytes(cut.read_bytes()[:-40])
    out, left = tmp_path / "out", Inventory()
    with pytest.raises(SomeCasesFailedError, match=r"1 of 2 pairs could not be compared\n.*berta.*cut short"):
        follow_up(*small.scans, out, model=model, device="cpu", left=left)
    assert {row["case"] for row in read_csv(out / "followup.csv")} == {"anna"}
    assert left.found == ()
    (small.scans[1] / "anna_0000.nii.gz").write_bytes(b"")
    with pytest.raises(VmsegError, match=r"anna"):
        follow_up(*small.scans, tmp_path / "other", model=model, device="cpu")
