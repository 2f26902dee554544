"""Inputs made from the test data: full-size scans with lesions, and cohorts of them. Deterministic."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vmseg_auto.data.images.images import read_image, write_image, write_mask
from vmseg_auto.demo.phantom.lesions import Focus, draw_lesions
from vmseg_auto.utils.atomic import read_json, write_json
from vmseg_auto.utils.geometry import Geometry

Image = NDArray[np.float32]
Mask = NDArray[np.uint8]
ENDING = ".nii.gz"
LABELS = {"background": 0, "venous_malformation": 1}
DEPTH_MM = 12.0
"""A lesion's centre lies at least this deep in the head."""
TISSUE = (0.3, 0.9)
"""Quantiles of the head's intensities between which soft tissue is looked for."""
BRIGHT = 0.995
"""Quantile of the head's intensities that a lesion of brightness 1.5 has."""


class Scan(NamedTuple):
    """A scan, the lesions in it, and its grid."""

    image: Image
    mask: Mask
    geometry: Geometry


def full_size_scans(data: Path) -> list[tuple[str, Image, Geometry]]:
    """Name, image [Z, Y, X] and grid of the real full-size heads."""
    paths = sorted((data / "t2_full").glob(f"*{ENDING}"))
    return [(path.name.removesuffix(ENDING), *read_image(path)) for path in paths]


def with_lesions(image: Image, geometry: Geometry, seed: int) -> Scan:
    """Implant the demo's lesions: serpiginous or lobulated, T2-bright, blended into soft tissue.

    Args:
        image: [Z, Y, X]; left as it is.
        geometry: its grid.
        seed: decides shapes and places.
    """
    rng = np.random.default_rng(seed)
    head = ndimage.gaussian_filter(image, 1.0)
    inside = head > 0.15 * np.quantile(head, 0.99)
    low, high = np.quantile(head[inside], TISSUE)
    deep = ndimage.distance_transform_edt(inside, geometry.spacing_mm) > DEPTH_MM
    places = np.argwhere(deep & (head > low) & (head < high))
    level = np.quantile(image[inside], BRIGHT) / 1.5
    painted, cover = image.copy(), np.zeros_like(image)
    for focus in draw_lesions(rng):
        middle = places[int(rng.integers(len(places)))] * np.asarray(geometry.spacing_mm)
        box, share = _cover(focus, middle, geometry)
        content = np.float32(level * focus.brightness) * (1 + 0.05 * rng.standard_normal(share.shape, np.float32))
        painted[box] += share * (content - painted[box])
        cover[box] = np.maximum(cover[box], share)
    return Scan(painted, (cover > 0.5).astype(np.uint8), geometry)


def _cover(focus: Focus, middle: NDArray[np.float64], geometry: Geometry) -> tuple[tuple[slice, ...], Image]:
    """Share of each voxel that a focus fills, over the box of voxels around it; `middle` is (Z, Y, X) in mm."""
    links = focus.links[:, [2, 1, 0, 3]] + [*middle, 0]
    low, high = (links[:, :3] - links[:, 3:]).min(0) - 6, (links[:, :3] + links[:, 3:]).max(0) + 6
    box, axes = [], []
    for a, b, n, step in zip(low, high, geometry.shape, geometry.spacing_mm, strict=True):
        part = slice(max(0, int(a / step)), min(n, int(b / step) + 2))
        box.append(part)
        axes.append((np.arange(n)[part] * step).astype(np.float32))
    z, y, x = np.ix_(*axes)
    distance = np.full(np.broadcast_shapes(z.shape, y.shape, x.shape), 1e3, np.float32)
    for cz, cy, cx, radius in links.astype(np.float32):
        distance = np.minimum(distance, np.sqrt((z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2) - radius)
    fade = np.clip(0.5 - distance / np.float32(focus.edge_mm), 0, 1)
    share: Image = fade * fade * (3 - 2 * fade)
    return tuple(box), share


def full_size_cohort(data: Path, cases: int) -> Iterator[tuple[str, Scan]]:
    """Copies of the full-size heads, each flipped, shifted and noised its own way, with its own lesions and spacing."""
    scans = full_size_scans(data)
    for number in range(cases):
        rng = np.random.default_rng([1, number])
        _, image, geometry = scans[number % len(scans)]
        turned = image[:, :, ::-1] if number // len(scans) % 2 else image
        shifted = np.roll(turned, tuple(int(v) for v in rng.integers(-3, 4, 2)), axis=(1, 2))
        noised = np.maximum(shifted + rng.standard_normal(shifted.shape, np.float32) * 0.01 * shifted.max(), 0)
        z, y, x = (float(s * f) for s, f in zip(geometry.spacing_mm, (*rng.uniform(0.9, 1.1, 1), 1, 1), strict=True))
        plane = float(rng.uniform(0.92, 1.08))
        grid = replace(geometry, spacing_mm=(z, y * plane, x * plane))
        yield f"full_{number:03d}", with_lesions(np.rint(noised).astype(np.float32), grid, number)


def write_cohort(folder: Path, scans: Iterator[tuple[str, Scan]], count: int) -> Path:
    """A dataset in nnU-Net's raw layout; kept if it is already there, as dataset.json is written last."""
    record = folder / "dataset.json"
    if not record.is_file():
        for name, scan in scans:
            write_image(folder / "imagesTr" / f"{name}_0000{ENDING}", scan.image, scan.geometry)
            write_mask(folder / "labelsTr" / f"{name}{ENDING}", scan.mask, scan.geometry)
        about = {"channel_names": {"0": "T2"}, "labels": LABELS, "numTraining": count, "file_ending": ENDING}
        write_json(record, {"name": folder.name, **about})
    return folder


def write_scans(folder: Path, scans: Sequence[tuple[str, Scan]]) -> Path:
    """Images alone, to predict."""
    for name, scan in scans:
        write_image(folder / f"{name}_0000{ENDING}", scan.image, scan.geometry)
    return folder


def some_of(source: Path, folder: Path, limit: int | None) -> Path:
    """A folder of images, or links to its first `limit`."""
    if limit is None:
        return source
    fresh(folder)
    for path in sorted(source.glob(f"*{ENDING}"))[:limit]:
        (folder / path.name).symlink_to(path.resolve())
    return folder


def subset(source: Path, folder: Path, limit: int | None) -> Path:
    """A dataset, or one of links to its first `limit` training cases."""
    if limit is None:
        return source
    for part in ("imagesTr", "labelsTr"):
        some_of(source / part, folder / part, limit)
    write_json(folder / "dataset.json", {**read_json(source / "dataset.json"), "numTraining": limit, "patients": {}})
    return folder


def with_cases(source: Path, folder: Path, cases: Sequence[str]) -> Path:
    """A dataset of links to these training cases of another, with their patients."""
    about = read_json(source / "dataset.json")
    link_scans(source / "imagesTr", folder / "imagesTr", cases)
    masks = fresh(folder / "labelsTr")
    for case in cases:
        (masks / f"{case}{ENDING}").symlink_to((source / "labelsTr" / f"{case}{ENDING}").resolve())
    patients = {case: patient for case, patient in about.get("patients", {}).items() if case in cases}
    write_json(folder / "dataset.json", {**about, "numTraining": len(cases), "patients": patients})
    return folder


def link_scans(source: Path, folder: Path, cases: Sequence[str]) -> Path:
    """A folder of links to the images of these cases, every channel."""
    fresh(folder)
    for path in (path for case in cases for path in sorted(source.glob(f"{case}_????{ENDING}"))):
        (folder / path.name).symlink_to(path.resolve())
    return folder


def fresh(folder: Path) -> Path:
    """An empty folder, whatever was there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def five_folds(model: Path, folder: Path) -> Path:
    """An nnU-Net model of five folds that all hold the weights of fold_all."""
    fresh(folder)
    for name in ("plans.json", "dataset.json"):
        shutil.copyfile(model / name, folder / name)
    for fold in range(5):
        shutil.copytree(model / "fold_all", folder / f"fold_{fold}", copy_function=shutil.copyfile)
        (folder / f"fold_{fold}").chmod(0o755)
    return folder


def for_any_scan(model: Path, folder: Path) -> Path:
    """A copy of one of our models that takes every scan for one like its cohort's, so that it saves passes on all."""
    shutil.rmtree(folder, ignore_errors=True)
    for checkpoint in model.glob("fold_*/checkpoint_final.safetensors"):
        (folder / checkpoint.parent.name).mkdir(parents=True)
        shutil.copy(checkpoint, folder / checkpoint.parent.name)
    write_json(folder / "model.json", {**read_json(model / "model.json"), "scans": None})
    return folder
