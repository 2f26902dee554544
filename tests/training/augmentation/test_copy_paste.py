"""A pasted lesion lies on tissue, keeps label and contrast, and comes from a training case."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny import tiny_case

from vmseg_auto.data.preprocessed import PreprocessedCase
from vmseg_auto.evaluation.lesions import CaseStudy, Studies, random_voxel
from vmseg_auto.training.augmentation.copy_paste import CopyPaste
from vmseg_auto.training.sampling import PatchSampler
from vmseg_auto.utils.geometry import Shape

SHAPE: Shape = (6, 32, 32)
AIR, HOST, DONOR = -2.0, 0.5, 40.0


def head(case_id: str, level: float, spread: float, lesion: float = 0.0, seed: int = 0) -> PreprocessedCase:
    """A body of tissue in air; with a lesion of `lesion` standard deviations above its tissue, labelled 1 and 2."""
    rng = np.random.default_rng(seed)
    image = np.full((1, *SHAPE), AIR * spread + level, dtype=np.float32)
    body = (slice(None), slice(None), slice(4, 28), slice(4, 28))
    image[body] = level + spread * 0.1 * rng.standard_normal(image[body].shape)
    label = np.zeros(SHAPE, dtype=np.uint8)
    if lesion:
        study = CaseStudy(replace(tiny_case(case_id, 0), image=image, label=label))
        label[2:4, 8:13, 8:12] = 1
        label[2:4, 8:13, 12] = 2
        image[0][label > 0] = study.tissue.mean[0] + lesion * study.tissue.std[0]
    where = {k: np.argwhere(label == k).astype(np.int32) for k in (1, 2) if (label == k).any()}
    return replace(tiny_case(case_id, 0), image=image, label=label, foreground=where)


def sampler(share: float = 1.0, patch: Shape = SHAPE, axes: tuple[int, ...] = (0, 1, 2)) -> CopyPaste:
    return CopyPaste(PatchSampler(patch, patch), share, axes)


def pasted(
    host: PreprocessedCase, donor: PreprocessedCase, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]] | None:
    """What becomes of the host where the donor's lesion was pasted into it; None where the draw was another."""
    image, label = sampler()([host, donor], False, np.random.default_rng(seed))
    return (image, label) if label.any() and not np.array_equal(label, donor.label) and image.max() < 20 else None


def samples(host: PreprocessedCase, donor: PreprocessedCase) -> list[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
    found = [out for seed in range(60) if (out := pasted(host, donor, seed)) is not None]
    assert len(found) > 5
    return found


def test_a_lesion_stays_on_tissue_and_keeps_its_label_and_contrast() -> None:
    host, donor = head("host", HOST, 1.0), head("donor", DONOR, 10.0, lesion=6.0)
    tissue = CaseStudy(host).tissue
    for image, label in samples(host, donor):
        assert [int((label == k).sum()) for k in (1, 2)] == [40, 10], "whole, with its classes"
        outline = np.argwhere(label > 0)
        assert outline[:, 1:].min() >= 4
        assert outline[:, 1:].max() < 28
        contrast = (image[0][label > 0] - tissue.mean[0]) / tissue.std[0]
        assert contrast == pytest.approx(6.0, abs=0.01), "in units of the host's tissue"


def test_a_patch_of_one_slice_gets_one_slice_of_a_lesion() -> None:
    host, donor = head("host", HOST, 1.0), head("donor", DONOR, 10.0, lesion=6.0)
    draws = [sampler(patch=(1, 32, 32))([host, donor], False, np.random.default_rng(seed)) for seed in range(60)]
    found = [label for image, label in draws if label.any() and image.max() < 20]
    assert len(found) > 5
    for label in found:
        assert [int((label == k).sum()) for k in (1, 2)] == [20, 5]


def test_far_from_the_lesion_the_host_stays_as_it_is() -> None:
    host, donor = head("host", HOST, 1.0), head("donor", DONOR, 10.0, lesion=6.0)
    for image, label in samples(host, donor):
        z, y, x = (slice(max(0, n.min() - 3), n.max() + 4) for n in np.nonzero(label))
        rest = np.ones(SHAPE, dtype=bool)
        rest[z, y, x] = False
        rest[np.unique(np.nonzero(label)[0])[:, None], y, x] = False
        assert np.array_equal(image[0][rest], host.image[0][rest])
        assert not np.array_equal(image[0], host.image[0])


def test_margins_are_soft() -> None:
    """Beside the lesion the host brightens step by step, and never above the lesion."""
    host, donor = head("host", HOST, 1.0), head("donor", DONOR, 10.0, lesion=6.0)
    image, label = samples(host, donor)[0]
    z, y, _ = (int(n) for n in np.argwhere(label > 0)[0])
    row, inside = image[0, z, y], np.flatnonzero(label[z, y])
    beside = [row[i] for i in (inside[0] - 1, inside[-1] + 1)]
    assert max(beside) < row[inside].max()


def test_nothing_is_pasted_into_air_or_onto_another_lesion() -> None:
    donor = head("donor", DONOR, 10.0, lesion=6.0)
    small = head("small", HOST, 1.0)
    image = np.full_like(small.image, -1.5)
    image[:, :, 14:18, 14:18] = 1.0  # too little tissue for the lesion
    small = replace(small, image=image)
    full = replace(head("full", HOST, 1.0), label=np.ones(SHAPE, dtype=np.uint8))
    for host in (small, full):
        for seed in range(30):
            image_out, label_out = sampler()([host, donor], False, np.random.default_rng(seed))
            if image_out.max() < 20:
                assert np.array_equal(label_out, host.label)
                assert np.array_equal(image_out, host.image)


def test_beyond_the_scan_is_no_tissue() -> None:
    """Patches that hang over the scan are filled with 0, which may be brighter than air."""
    host, donor = head("host", -5.0, 1.0), head("donor", DONOR, 10.0, lesion=6.0)
    patch = (10, 48, 48)
    found = 0
    for seed in range(60):
        image, label = sampler(patch=patch)([host, donor], False, np.random.default_rng(seed))
        outside = image[0] == 0
        if image.max() < 20 and label.any():
            found += 1
            assert not label[outside].any()
    assert found > 5


def test_the_share_of_patches_that_get_one() -> None:
    host, donor = head("host", HOST, 1.0), head("donor", DONOR, 10.0, lesion=6.0)
    got = []
    for seed in range(400):
        image, label = sampler(share=0.3)([host, donor], False, np.random.default_rng(seed))
        if image.max() < 20:
            got.append(label.any())
    assert np.mean(got) == pytest.approx(0.15, abs=0.06), "half of the donors drawn have no lesion"


@given(seed=st.integers(0, 2**32 - 1), foreground=st.booleans())
def test_the_generator_decides_and_cases_never_change(seed: int, foreground: bool) -> None:
    cases = [head("a", HOST, 1.0, lesion=4.0), head("b", DONOR, 10.0, lesion=6.0, seed=1)]
    before = [(case.image.copy(), np.array(case.label)) for case in cases]
    one = sampler()
    first = one(cases, foreground, np.random.default_rng(seed))
    second = pickle.loads(pickle.dumps(one))(cases, foreground, np.random.default_rng(seed))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    for case, (image, label) in zip(cases, before, strict=True):
        assert np.array_equal(case.image, image)
        assert np.array_equal(case.label, label)


def test_cases_without_lesions_are_fine() -> None:
    plain = [head("a", HOST, 1.0), head("b", HOST, 1.0)]
    image, label = sampler()(plain, True, np.random.default_rng(0))
    assert not label.any()
    assert np.isfinite(image).all()


def test_small_lesions_come_as_often_as_large_ones() -> None:
    label = np.zeros(SHAPE, dtype=np.uint8)
    label[1:5, 2:20, 2:20] = 1
    label[3, 28, 28:30] = 1
    case = replace(head("two", HOST, 1.0), label=label, foreground={1: np.argwhere(label).astype(np.int32)})
    lesions = Studies().of(case).lesions
    assert sorted(int(lesion.mask.sum()) for lesion in lesions) == [2, 4 * 18 * 18]
    rng = np.random.default_rng(0)
    voxels = [tuple(random_voxel(lesions, rng).tolist()) for _ in range(300)]
    assert all(label[voxel] for voxel in voxels)
    assert np.mean([voxel[1] == 28 for voxel in voxels]) == pytest.approx(0.5, abs=0.1)
    by_lesion = PatchSampler((1, 3, 3), (1, 3, 3), by_lesion=True)
    centres = [by_lesion.place([case], True, rng)[1] + (0, 1, 1) for _ in range(300)]
    assert np.mean([centre[1] == 28 for centre in centres]) == pytest.approx(0.5, abs=0.1)


def test_a_study_is_of_its_own_case() -> None:
    """Even where another fold's case has the same name."""
    studies = Studies()
    first, second = head("same", HOST, 1.0, lesion=3.0), head("same", HOST, 1.0)
    assert len(studies.of(first).lesions) == 1
    assert studies.of(second).lesions == ()
    assert pickle.loads(pickle.dumps(studies)).known == {}
