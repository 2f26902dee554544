"""Augmentation is a pure function of patch and seed, and never invents a label."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vmseg_auto.training.augmentation.cpu import NoAugmentation, PatchAugmentation, read_shape, rotates_in_plane
from vmseg_auto.utils.geometry import Shape

CUBE, FLAT, SLICE = (12, 14, 16), (5, 18, 16), (1, 18, 16)
Patch = tuple[NDArray[np.float32], NDArray[np.uint8]]


def patch_to_read(patch: Shape, channels: int = 1) -> Patch:
    shape = read_shape(patch)
    rng = np.random.default_rng(0)
    return rng.normal(size=(channels, *shape)).astype(np.float32), rng.choice([0, 1, 7], shape).astype(np.uint8)


@pytest.mark.parametrize("patch", [CUBE, FLAT, SLICE])
@pytest.mark.parametrize("channels", [1, 3])
def test_shape_type_and_labels(patch: Shape, channels: int) -> None:
    augment, given = PatchAugmentation(patch, (0, 1, 2)), patch_to_read(patch, channels)
    for seed in range(12):
        image, label = augment(given, seed)
        assert (image.shape, image.dtype) == ((channels, *patch), np.float32)
        assert (label.shape, label.dtype) == (patch, np.uint8)
        assert image.flags.c_contiguous
        assert label.flags.c_contiguous
        assert np.isfinite(image).all()
        assert set(np.unique(label)) <= {0, 1, 7}


@pytest.mark.parametrize("patch", [CUBE, FLAT])
def test_the_seed_alone_decides(patch: Shape) -> None:
    augment, given = PatchAugmentation(patch, (0, 1, 2)), patch_to_read(patch)
    first = [augment(given, seed) for seed in range(8)]
    random.seed(99)
    np.random.seed(99)
    again = [augment(given, seed) for seed in reversed(range(8))][::-1]
    for (image, label), (image_again, label_again) in zip(first, again, strict=True):
        assert np.array_equal(image, image_again)
        assert np.array_equal(label, label_again)


def test_other_seeds_give_other_patches() -> None:
    augment, given = PatchAugmentation(CUBE, (0, 1, 2)), patch_to_read(CUBE)
    images = [augment(given, seed)[0].tobytes() for seed in [*range(60), 2**31 - 1]]
    # 8 mirrorings of a patch that nothing else changed: p about .17, so some coincide, most may not
    assert len(set(images)) > 45


@pytest.mark.parametrize("patch", [CUBE, FLAT])
def test_what_is_given_is_left_alone(patch: Shape) -> None:
    image, label = patch_to_read(patch)
    image.flags.writeable = label.flags.writeable = False
    before = image.copy(), label.copy()
    for seed in range(12):
        PatchAugmentation(patch, (0, 1, 2))((image, label), seed)
    assert np.array_equal(image, before[0])
    assert np.array_equal(label, before[1])


def test_flat_patches_turn_in_plane_only() -> None:
    """Each slice has a label of its own: after any turn or zoom it may lose some to the border, but never mix."""
    shape = read_shape(FLAT)
    assert shape[0] == FLAT[0]
    label = np.broadcast_to(np.arange(1, shape[0] + 1, dtype=np.uint8)[:, None, None], shape)
    image = label[None].astype(np.float32)
    turned = 0
    for seed in range(60):
        _, out = PatchAugmentation(FLAT, ())((image, label), seed)
        for z, plane in enumerate(out):
            assert set(np.unique(plane)) <= {0, z + 1}
        turned += bool((out == 0).any())
    assert turned > 0, "no zoom reached over the border: the test tests nothing"


def test_cubes_turn_about_every_axis() -> None:
    shape = read_shape(CUBE)
    label = np.broadcast_to(np.arange(1, shape[0] + 1, dtype=np.uint8)[:, None, None], shape)
    image = label[None].astype(np.float32)
    outs = [PatchAugmentation(CUBE, ())((image, label), seed)[1] for seed in range(40)]
    assert any(len(np.unique(out[6])) > 2 for out in outs)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_mirroring_keeps_to_its_axes(axis: int) -> None:
    shape = read_shape(CUBE)
    label = np.indices(shape, dtype=np.uint8)[axis] + 1
    image = label[None].astype(np.float32)
    directions = {0: set(), 1: set(), 2: set()}
    for mirrored in directions:
        for seed in range(30):
            _, out = PatchAugmentation(CUBE, (mirrored,))((image, label), seed)
            line = np.moveaxis(out, axis, 0)[:, 7, 7].astype(int)
            line = line[line > 0]
            directions[mirrored].add(bool(line[-1] > line[0]))
    assert {mirrored: len(found) for mirrored, found in directions.items()} == {
        mirrored: 2 if mirrored == axis else 1 for mirrored in (0, 1, 2)
    }


def test_the_centre_of_what_was_read_is_the_centre_of_what_is_given() -> None:
    """The sampler centres foreground in what it reads: it has to be there afterwards, turned or not."""
    shape = read_shape(CUBE)
    label = np.zeros(shape, dtype=np.uint8)
    label[tuple(slice(n // 2 - 1, n // 2 + 2) for n in shape)] = 1
    for seed in range(40):
        _, out = PatchAugmentation(CUBE, (0, 1, 2))((label[None].astype(np.float32), label), seed)
        assert out[4:8, 5:9, 6:10].any()


@pytest.mark.parametrize(
    ("patch", "flat", "read"),
    [
        ((128, 128, 128), False, (205, 205, 205)),
        ((40, 56, 40), False, (73, 80, 64)),
        ((20, 320, 256), True, (20, 376, 376)),
        ((16, 48, 48), False, None),
        ((15, 48, 48), True, None),
        ((1, 320, 256), True, (1, 376, 376)),
        ((1, 512, 320), True, (1, 679, 376)),
    ],
)
def test_what_is_read_is_what_nnunet_reads(patch: Shape, flat: bool, read: Shape | None) -> None:
    """The sizes are those that nnU-Net's get_patch_size gives for its 30 (or 90, or 15) degrees and zoom of 0.85."""
    assert rotates_in_plane(patch) == flat
    if read is not None:
        assert read_shape(patch) == read


def test_no_augmentation_gives_what_it_gets() -> None:
    given = patch_to_read(CUBE)
    assert NoAugmentation()(given, 3) is given


def test_augmentations_travel_to_workers() -> None:
    augment = PatchAugmentation(CUBE, (1,))
    assert pickle.loads(pickle.dumps(augment)) == augment


def test_workers_need_no_torch() -> None:
    script = (
        "import sys, vmseg_auto.training.loader, vmseg_auto.training.augmentation.cpu, vmseg_auto.training.sampling\n"
        "print([name for name in ('torch', 'SimpleITK', 'batchgenerators') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
