"""Exports of scans and masks that a dataset is made of, and what stands in it then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raw_dataset import GRID, tiny_image, tiny_mask

from vmseg_auto.data.dataset_key import KeyRow, read_dataset_key
from vmseg_auto.data.images.images import write_image, write_mask
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.workflows.make_dataset import make_dataset


def export(folder: Path, *names: str, first: int = 0, grid: Geometry = GRID) -> None:
    for place, name in enumerate(names, first):
        own = Geometry(grid.shape, grid.spacing_mm, (100.0 * place, 0.0, 0.0))
        write_image(folder / "scans" / f"{name}.nii.gz", tiny_image(place, grid.shape), own)
        write_mask(folder / "masks" / f"{name}.nii.gz", tiny_mask(shape=grid.shape), own)


def run(folder: Path, **wishes: Any) -> None:
    make_dataset(folder / "scans", folder / "masks", folder / "cohort", **wishes)


def key(folder: Path) -> dict[str, KeyRow]:
    return {row.scan: row for row in read_dataset_key(folder / "cohort_key.csv")}


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted((folder / "cohort").rglob("*")) if path.is_file()}
