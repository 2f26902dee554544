"""The fingerprint is a pure function of the dataset, and every bad case is named at once."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from raw_dataset import GRID, describe, raw_dataset, tiny_image, tiny_mask

from vmseg_auto.data.cases import content_hash, read_dataset
from vmseg_auto.data.images.images import write_image, write_mask
from vmseg_auto.planning.fingerprint import CaseSummary, Duplicate, Fingerprint
from vmseg_auto.preprocessing.extract_fingerprint import analyse
from vmseg_auto.preprocessing.normalise import intensity_profiles
from vmseg_auto.utils.errors import DatasetError, InputError


def test_a_cohort_is_measured(tmp_path: Path) -> None:
    dataset = read_dataset(raw_dataset(tmp_path / "cohort", test_cases=1))
    steps: list[int] = []
    found, notes = analyse(dataset, 2, lambda: steps.append(1))
    assert not notes
    assert len(steps) == 3
    assert (found.dataset, found.channels, found.labels) == ("cohort", ("T1",), {"background": 0, "lesion": 1})
    assert list(found.cases) == ["a", "b", "c"]
    case = found.cases["a"]
    assert case == CaseSummary(
        shape=(6, 9, 10),
        cropped_shape=(4, 7, 8),
        spacing_mm=case.spacing_mm,
        class_voxels={1: 18},
        content=content_hash(dataset.cases[0]),
        image_content=content_hash(replace(dataset.cases[0], label=None)),
        patient_axes=(2, 1, 0),
        profiles=case.profiles,
    )
    assert case.profiles == intensity_profiles(tiny_image(0)[None, 1:-1, 1:-1, 1:-1])
    np.testing.assert_allclose(case.spacing_mm, GRID.spacing_mm, rtol=1e-6)
    assert found.median_relative_size == pytest.approx(4 * 7 * 8 / 540)
    (stats,) = found.channel_stats
    values = np.concatenate([tiny_image(10 * n)[tiny_mask() > 0] for n in range(3)])
    assert (stats.min, stats.max) == (values.min(), values.max())
    assert stats.mean == pytest.approx(values.mean(), rel=0.01)
    assert stats.std == pytest.approx(values.std(), rel=0.02)
    assert stats.min <= stats.percentile_00_5 < stats.median < stats.percentile_99_5 <= stats.max
    assert found.duplicates == (Duplicate(("a", "imagesTs/t"), "identical"),)  # both are tiny_image(0)
    assert Fingerprint.from_json(found.to_json()) == found


def test_samples_are_drawn_as_nnunet_draws_them(tmp_path: Path) -> None:
    dataset = read_dataset(raw_dataset(tmp_path, cases=1, channels=2))
    found, _ = analyse(dataset)
    random = np.random.RandomState(1234)
    for channel, stats in enumerate(found.channel_stats):
        drawn = random.choice(tiny_image(channel)[tiny_mask() > 0], 10_000, replace=True)
        assert stats.mean == pytest.approx(float(drawn.mean(dtype=np.float64)))
        assert stats.median == pytest.approx(float(np.median(drawn)))


def test_jobs_and_order_change_nothing(tmp_path: Path) -> None:
    dataset = read_dataset(raw_dataset(tmp_path, cases=5))
    assert analyse(dataset, 1) == analyse(dataset, 4)


def test_the_hash_tells_changed_files_names_and_labels(tmp_path: Path) -> None:
    folder = raw_dataset(tmp_path)
    first, _ = analyse(read_dataset(folder))
    hashes = {first.dataset_hash}
    describe(folder, labels={"background": 0, "vm": 1})
    hashes.add(analyse(read_dataset(folder))[0].dataset_hash)
    write_image(folder / "imagesTr" / "c_0000.nii.gz", 2 * tiny_image(), GRID)
    hashes.add(analyse(read_dataset(folder))[0].dataset_hash)
    for name in ("imagesTr/{}_0000.nii.gz", "labelsTr/{}.nii.gz"):
        (folder / name.format("c")).rename(folder / name.format("d"))
    hashes.add(analyse(read_dataset(folder))[0].dataset_hash)
    assert len(hashes) == 4


def test_a_file_that_vanishes_is_named(tmp_path: Path) -> None:
    dataset = read_dataset(raw_dataset(tmp_path))
    dataset.cases[1].images[0].unlink()
    with pytest.raises(DatasetError, match=r"case b.*does not exist"):
        analyse(dataset)


def test_every_bad_case_is_listed(tmp_path: Path) -> None:
    folder = raw_dataset(tmp_path, cases=5, test_cases=2)
    images, labels = folder / "imagesTr", folder / "labelsTr"
    image = tiny_image()
    image[2, 3, 4] = np.nan
    write_image(images / "a_0000.nii.gz", image, GRID)
    write_mask(labels / "a.nii.gz", tiny_mask(3), GRID)
    data = (images / "b_0000.nii.gz").read_bytes()
    (images / "b_0000.nii.gz").write_bytes(data[: len(data) // 2])
    write_image(images / "d_0000.nii.gz", 0 * image[:, :2] + 0, GRID.__class__((6, 2, 10), GRID.spacing_mm))
    (folder / "imagesTs" / "u_0000.nii.gz").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match="4 of 7 cases can't be used") as caught:
        analyse(read_dataset(folder), 2)
    found = [(error.case, error.problem.split("(")[0].split(":")[0].strip()) for error in caught.value.errors]
    assert found == [
        ("a", "1 voxels are NaN, infinite or beyond 1e+12"),
        ("a", "the mask holds 3, which is no label"),
        ("b", "the file is damaged or cut short"),
        ("d", "the image is empty"),
        ("d", "it does not lie on the grid of d_0000.nii.gz"),
        ("u", "the file is no image that can be read"),
    ]


def test_what_is_odd_but_legal_is_noted(tmp_path: Path) -> None:
    folder = raw_dataset(tmp_path, test_cases=1)
    write_mask(folder / "labelsTr" / "b.nii.gz", tiny_mask(0), GRID)
    write_mask(folder / "labelsTr" / "c.nii.gz", tiny_mask(255), GRID)
    write_mask(folder / "labelsTs" / "t.nii.gz", tiny_mask(0), GRID)
    found, notes = analyse(read_dataset(folder), 2)
    assert notes == [
        "case b: the mask is empty",
        "case c: the mask holds 0 and 255, read as 0 and 1",
        "case t: the mask is empty",
    ]
    assert [case.class_voxels for case in found.cases.values()] == [{1: 18}, {1: 0}, {1: 18}]


def test_a_cohort_without_foreground_is_refused(tmp_path: Path) -> None:
    folder = raw_dataset(tmp_path, cases=2)
    for case in "ab":
        write_mask(folder / "labelsTr" / f"{case}.nii.gz", tiny_mask(0), GRID)
    with pytest.raises(InputError, match="no mask holds any foreground"):
        analyse(read_dataset(folder))


def test_the_same_image_is_found_whoever_reads_first(tmp_path: Path) -> None:
    folder = raw_dataset(tmp_path, cases=5)
    write_image(folder / "imagesTr" / "d_0000.nii.gz", 2 * tiny_image(10), GRID)
    found = {jobs: analyse(read_dataset(folder), jobs)[0].duplicates for jobs in (1, 4)}
    assert found[1] == found[4] == (Duplicate(("b", "d"), "nearly identical"),)


def test_real_scans_are_measured(shared_data: Path, tmp_path: Path) -> None:
    for place in ("imagesTr", "labelsTr"):
        (tmp_path / place).mkdir()
        for path in sorted((shared_data / "neck_cord" / place).iterdir())[:2]:
            shutil.copyfile(path, tmp_path / place / path.name)
    describe(tmp_path, labels={"background": 0, "white": 1, "grey": 2})
    found, notes = analyse(read_dataset(tmp_path), 2)
    assert not notes
    assert len(found.cases) == 2
    for case in found.cases.values():
        assert 2 <= case.spacing_mm[0] <= 3
        assert all(case.class_voxels.values())


def test_of_masks_annotated_in_part_the_annotated_lesions_count(tmp_path: Path) -> None:
    folder = raw_dataset(tmp_path, cases=2)
    describe(folder, labels={"background": 0, "lesion": 1, "ignore": 2}, channel_names={"0": "T1"})
    mask = tiny_mask()
    mask[:3] = 2
    write_mask(folder / "labelsTr" / "a.nii.gz", mask, GRID)
    found, notes = analyse(read_dataset(folder))
    assert found.labels == {"background": 0, "lesion": 1}
    sparse, whole = found.cases["a"], found.cases["b"]
    assert sparse.class_voxels == {1: 9}
    assert (sparse.annotated_share, whole.annotated_share) == (0.5, 1)
    assert sparse.volume_ml == pytest.approx(whole.volume_ml), "half of the slices hold half of the lesion"
    values = np.concatenate([tiny_image(0)[mask == 1], tiny_image(10)[tiny_mask() == 1]])
    (stats,) = found.channel_stats
    assert values.min() <= stats.min <= stats.max <= values.max()
    (note,) = notes
    assert note.startswith("1 of 2 masks are annotated in part (50 % to 50 % of their voxels): a;")
