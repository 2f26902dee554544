"""Batches on a device are augmented as batchgenerators augments samples, and each sample for itself."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from batchgenerators.augmentations.color_augmentations import augment_contrast, augment_gamma
from batchgenerators.augmentations.resample_augmentations import augment_linear_downsampling_scipy
from batchgenerators.augmentations.spatial_transformations import augment_spatial
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import ks_2samp

from vmseg_auto.training.augmentation.config import Drawn, affine, draw
from vmseg_auto.training.augmentation.cpu import (
    NNUNET,
    STRONG,
    Chances,
    PatchAugmentation,
    bias_field,
    read_shape,
    rotates_in_plane,
)
from vmseg_auto.training.augmentation.device import (
    BatchAugmentation,
    apply_bias_field,
    blur,
    change_intensities,
    contrast,
    gamma,
    simulate_low_resolution,
    spatial_transform,
)
from vmseg_auto.utils.geometry import Shape

CUBE, FLAT = (8, 10, 12), (4, 14, 16)
NOTHING = Drawn(None, None, (), (), (), (), (), (), (), (), 0)
EVERYTHING = Drawn(
    matrix=affine((0.3, 0.1, -0.2), 1.2),
    noise_std=None,
    blur_sigma=((0, 0.8),),
    bias=((0.1,) * 9, (-0.2,) * 9),
    brightness=((1, 1.1),),
    contrast=((0, 0.9),),
    resolution=((1, 0.6),),
    inverted_gamma=((0, 1.2),),
    gamma=((1, 0.8),),
    mirrored=(0, 2),
    noise_seed=5,
)
Float = NDArray[np.float32]


def smooth(shape: tuple[int, ...], seed: int = 0) -> Float:
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.0)
    return (noise / noise.std()).astype(np.float32)


def batch_to_read(patch: Shape, size: int, channels: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples that differ, with labels 0, 1 and 7."""
    shape = read_shape(patch)
    image = np.stack([np.stack([smooth(shape, 10 * b + c) for c in range(channels)]) for b in range(size)])
    label = np.where(image[:, 0] > 1, 7, image[:, 0] > 0).astype(np.uint8)
    return torch.from_numpy(image), torch.from_numpy(label)


def centre(voxels: torch.Tensor, patch: Shape) -> torch.Tensor:
    z, y, x = (slice((n - p) // 2, (n - p) // 2 + p) for n, p in zip(voxels.shape[-3:], patch, strict=True))
    return voxels[..., z, y, x]


def batchgenerators_cut(
    image: Float, label: Float, patch: Shape, angles: tuple[float, ...], zoom: float
) -> tuple[Float, Float]:
    """By SpatialTransform's function, with ranges of one value; slices are channels where patches turn in-plane."""
    flat = len(angles) == 1
    x, y, z = ((angle, angle) for angle in (angles * 3 if flat else angles))
    data, seg = augment_spatial(
        *(voxels.reshape(1, -1, *voxels.shape[-2:]) if flat else voxels[None, None] for voxels in (image, label)),
        patch_size=patch[1:] if flat else patch,
        patch_center_dist_from_border=None,
        do_elastic_deform=False,
        angle_x=x,
        angle_y=y,
        angle_z=z,
        scale=(zoom, zoom),
        border_mode_data="constant",
        order_data=1,
        random_crop=False,
    )
    return data.reshape(patch), seg.reshape(patch)


@pytest.mark.parametrize(
    ("patch", "angles", "zoom"),
    [
        (CUBE, (0.3, -0.2, 0.5), 1.0),
        (CUBE, (0.0, 0.0, 0.0), 1.3),
        (CUBE, (-0.5, 0.4, 0.1), 1.4),
        (FLAT, (2.5,), 1.0),
        (FLAT, (-0.7,), 1.4),
    ],
)
def test_geometry_is_batchgenerators(patch: Shape, angles: tuple[float, ...], zoom: float) -> None:
    """Same turn, same way round, same zoom, same black border; labels may differ where two are equally near."""
    image = smooth(read_shape(patch))
    label = (image > 0).astype(np.uint8)
    expected, expected_label = batchgenerators_cut(image, label.astype(np.float32), patch, angles, zoom)
    found, found_label = spatial_transform(
        torch.from_numpy(image)[None], torch.from_numpy(label), patch, affine(angles, zoom)
    )
    assert np.abs(found.numpy()[0] - expected).max() < 1e-5
    assert np.mean(found_label.numpy() != expected_label) < 0.002
    assert found_label.dtype == torch.uint8


def test_a_zoom_below_one_enlarges() -> None:
    image = torch.zeros(1, 21, 21, 21)
    image[:, 8:13, 8:13, 8:13] = 1
    label = image[0].to(torch.uint8)
    sizes = [
        int(spatial_transform(image, label, (15, 15, 15), affine((0, 0, 0), zoom))[1].sum()) for zoom in (0.7, 1.0, 1.4)
    ]
    assert sizes == [7**3, 5**3, 3**3]


@pytest.mark.parametrize("shape", [CUBE, FLAT])
def test_the_bias_field_is_that_of_the_workers(shape: Shape) -> None:
    image = smooth(shape)
    coefficients = np.random.default_rng(3).uniform(-0.4, 0.4, 9)
    expected = (image - image.min()) * bias_field(coefficients, shape) + image.min()
    found = apply_bias_field(torch.from_numpy(image), coefficients.tolist()).numpy()
    assert np.abs(found - expected).max() < 1e-5
    assert np.abs(found - image).max() > 0.1
    assert found.min() == pytest.approx(image.min(), abs=1e-5), "air stays dark"


@pytest.mark.parametrize("sigma", [0.5, 0.77, 1.0])
@pytest.mark.parametrize("shape", [CUBE, (1, 3, 9)])
def test_blur_is_scipys(shape: Shape, sigma: float) -> None:
    volume = smooth(shape)
    assert np.abs(blur(torch.from_numpy(volume), sigma).numpy() - gaussian_filter(volume, sigma)).max() < 1e-5


@pytest.mark.parametrize("share", [0.5, 0.63, 0.9, 1.0])
@pytest.mark.parametrize("flat", [True, False])
def test_low_resolution_is_batchgenerators(share: float, flat: bool) -> None:
    volume = smooth((11, 14, 16))
    expected = augment_linear_downsampling_scipy(
        volume[None].copy(), (share, share), order_downsample=0, order_upsample=1, ignore_axes=(0,) if flat else None
    )[0]
    assert np.abs(simulate_low_resolution(torch.from_numpy(volume), share, flat).numpy() - expected).max() < 1e-5


def test_contrast_is_batchgenerators() -> None:
    volume = smooth(CUBE)
    expected = augment_contrast(volume[None].copy(), lambda: 1.2)[0]
    assert np.abs(contrast(torch.from_numpy(volume), 1.2).numpy() - expected).max() < 1e-5


@pytest.mark.parametrize("sign", [1, -1])
def test_gamma_is_batchgenerators_and_keeps_mean_and_deviation(sign: int) -> None:
    volume = smooth(CUBE)
    expected = augment_gamma(volume[None].copy(), (1.3, 1.3), sign < 0, per_channel=True, retain_stats=True)[0]
    found = sign * gamma(sign * torch.from_numpy(volume), 1.3).numpy()
    assert np.abs(found - expected).max() < 1e-5
    assert np.abs(found - volume).max() > 0.1
    assert found.mean() == pytest.approx(volume.mean(), abs=1e-5)
    assert found.std() == pytest.approx(volume.std(), abs=1e-5)
    assert torch.isfinite(gamma(torch.full(CUBE, 3.0), 0.7)).all(), "a patch of one value"


Feature = Callable[[Float, NDArray[np.uint8]], float]
FEATURES: dict[str, Feature] = {
    "mean": lambda image, label: float(image.mean()),
    "deviation": lambda image, label: float(image.std()),
    "least": lambda image, label: float(image.min()),
    "largest": lambda image, label: float(image.max()),
    "skewness": lambda image, label: float(((image - image.mean()) ** 3).mean()),
    "roughness": lambda image, label: float(np.abs(np.diff(image)).mean()),
    "voxels of a label": lambda image, label: float((label == 1).sum()),
    "its side": lambda image, label: float(label[..., : label.shape[-1] // 2].sum()),
    "border": lambda image, label: float((image == 0).mean()),
}


@pytest.mark.parametrize(("patch", "chances"), [(CUBE, NNUNET), (FLAT, NNUNET), (FLAT, STRONG)])
def test_outputs_are_distributed_as_the_workers(patch: Shape, chances: Chances) -> None:
    """One patch, 1000 seeds: every feature passes a two-sample Kolmogorov-Smirnov test."""
    workers = PatchAugmentation(patch, (0, 1, 2), chances)
    image, label = batch_to_read(patch, 1)
    # Far apart, as in a training.
    seeds = [int(seed) for seed in np.random.default_rng(1).integers(2**31, size=1000)]
    theirs = [workers((image[0].numpy(), label[0].numpy()), seed) for seed in seeds]
    ours = BatchAugmentation(workers)(image.expand(1000, -1, -1, -1, -1), label.expand(1000, -1, -1, -1), seeds)
    crop = centre(image[0], patch).numpy()
    features = {**FEATURES, "untouched but for mirroring": lambda image, label: float(np.isin(image, crop).all())}
    for name, feature in features.items():
        # Rounded: patches that are alike but for float32's last digits have to tie.
        a = [round(feature(*sample), 4) for sample in zip(*(tensor.numpy() for tensor in ours), strict=True)]
        b = [round(feature(*sample), 4) for sample in theirs]
        assert ks_2samp(a, b, method="asymp").pvalue > 0.01, name


@pytest.mark.parametrize("patch", [CUBE, FLAT])
@pytest.mark.parametrize("channels", [1, 3])
def test_shape_type_and_labels(patch: Shape, channels: int) -> None:
    image, label = batch_to_read(patch, 24, channels)
    before = image.clone(), label.clone()
    new_image, new_label = BatchAugmentation(PatchAugmentation(patch, (0, 1, 2)))(image, label, range(24))
    assert (new_image.shape, new_image.dtype) == ((24, channels, *patch), torch.float32)
    assert (new_label.shape, new_label.dtype) == ((24, *patch), torch.uint8)
    assert torch.isfinite(new_image).all()
    assert set(new_label.unique().tolist()) <= {0, 1, 7}
    assert torch.equal(image, before[0])
    assert torch.equal(label, before[1])


@pytest.mark.parametrize("patch", [CUBE, FLAT])
def test_a_samples_bits_do_not_depend_on_its_neighbours(patch: Shape) -> None:
    augment = BatchAugmentation(PatchAugmentation(patch, (0, 1, 2)))
    image, label = batch_to_read(patch, 20, channels=2)
    seeds = list(range(100, 120))
    together = augment(image, label, seeds)
    backwards = augment(image.flip(0), label.flip(0), seeds[::-1])
    torch.manual_seed(5)
    for i, seed in enumerate(seeds):
        alone = augment(image[i : i + 1], label[i : i + 1], [seed])
        for whole, reverse, one in zip(together, backwards, alone, strict=True):
            assert torch.equal(whole[i], one[0])
            assert torch.equal(reverse[-1 - i], one[0])
    other = augment(image, label, range(200, 220))[0]
    assert sum(torch.equal(a, b) for a, b in zip(together[0], other, strict=True)) < 5


def test_where_nothing_is_drawn_nothing_changes() -> None:
    """Nor does anything but the order of voxels where only mirroring is."""
    augment = BatchAugmentation(PatchAugmentation(CUBE, (0, 2)))
    image, label = batch_to_read(CUBE, 1)
    crops, met = (centre(image, CUBE), centre(label, CUBE)), set()
    for seed in range(150):
        drawn = draw(seed, 1, CUBE, (0, 2))
        if drawn.matrix is None and replace(drawn, mirrored=(), noise_seed=0) == NOTHING:
            new_image, new_label = augment(image, label, [seed])
            met.add(drawn.mirrored)
            assert torch.equal(new_image, crops[0].flip([axis + 2 for axis in drawn.mirrored]))
            assert torch.equal(new_label, crops[1].flip([axis + 1 for axis in drawn.mirrored]))
    assert met == {(), (0,), (2,), (0, 2)}


@pytest.mark.parametrize("patch", [CUBE, FLAT])
def test_image_and_label_stay_aligned(patch: Shape) -> None:
    """Where an image that equals its label is not between two values, they agree after any turn."""
    shape = read_shape(patch)
    label = torch.zeros((1, *shape), dtype=torch.uint8)
    label[0, 1 : shape[0] // 2 + 1, : shape[1] // 2, shape[2] // 4 :] = 1
    augment = BatchAugmentation(PatchAugmentation(patch, (0, 1, 2)))
    turned = 0
    for seed in range(200):
        drawn = draw(seed, 1, patch, (0, 1, 2))
        if drawn.matrix is not None and replace(drawn, matrix=None, mirrored=(), noise_seed=0) == NOTHING:
            new_image, new_label = augment(label[:, None].float(), label, [seed])
            assert torch.all(new_label[new_image[:, 0] > 1 - 1e-4] == 1)
            assert torch.all(new_label[new_image[:, 0] < 1e-4] == 0)
            turned += 1
    assert turned > 5


def test_noise_has_its_deviation_and_its_seed() -> None:
    image, generator = torch.zeros(2, 20, 30, 40), torch.Generator()
    change_intensities(image, replace(NOTHING, noise_std=0.07, noise_seed=4), False, generator)
    assert float(image.std()) == pytest.approx(0.07, rel=0.02)
    assert not torch.equal(image[0], image[1])
    again = torch.zeros_like(image)
    change_intensities(again, replace(NOTHING, noise_std=0.07, noise_seed=4), False, generator)
    assert torch.equal(image, again)


def test_each_channel_is_changed_for_itself() -> None:
    image = torch.from_numpy(np.stack([smooth(CUBE, c) for c in range(3)]))
    for step, value in [
        ("blur_sigma", 0.8), ("brightness", 1.2), ("contrast", 0.8), ("resolution", 0.6), ("inverted_gamma", 0.8),
        ("gamma", 1.4),
    ]:  # fmt: skip
        changed = image.clone()
        change_intensities(changed, replace(NOTHING, **{step: ((1, value),)}), False, torch.Generator())
        assert [torch.equal(a, b) for a, b in zip(changed, image, strict=True)] == [True, False, True], step


def test_no_step_looks_at_a_value() -> None:
    """Tensors on the device "meta" have none: to read one, or to let it decide a shape, raises."""
    image = torch.empty((2, *read_shape(CUBE)), device="meta")
    patch, label = spatial_transform(image, torch.empty(read_shape(CUBE), device="meta"), CUBE, EVERYTHING.matrix)
    change_intensities(patch, EVERYTHING, rotates_in_plane(CUBE), torch.Generator())
    assert (patch.shape, label.shape) == ((2, *CUBE), CUBE)
    with pytest.raises(RuntimeError):
        patch.sum().item()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_is_never_waited_for_and_agrees_with_the_cpu() -> None:
    augment = BatchAugmentation(PatchAugmentation(CUBE, (0, 1, 2)))
    image, label = batch_to_read(CUBE, 40)
    seeds = [seed for seed in range(60) if draw(seed, 1, CUBE, ()).noise_std is None][:40]
    expected, expected_label = augment(image, label, seeds)
    on_device = image.cuda(), label.cuda()
    augment(*on_device, seeds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it is a prototype
        torch.cuda.set_sync_debug_mode("error")
    try:
        found, found_label = augment(*on_device, seeds)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.allclose(found.cpu(), expected, atol=1e-3)
    assert float((found_label.cpu() != expected_label).float().mean()) < 0.002
