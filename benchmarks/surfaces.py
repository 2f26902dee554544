"""How far surface distances lie from the truth, on shapes whose distances are known: `python -m benchmarks.surfaces`.

Writes the table of docs/metrics.md: found / true, mean and range over sub-voxel positions. With `--time` it tells how
long `score` takes of one large lesion, as a multiple of the distances between border voxels, paired.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vmseg_auto.evaluation.metrics.distances import surface_scores
from vmseg_auto.evaluation.metrics.score import score
from vmseg_auto.evaluation.surfaces import Mask, surface_of
from vmseg_auto.utils.geometry import Spacing

GRIDS: tuple[tuple[Spacing, float], ...] = (
    ((1.0, 1.0, 1.0), 10.0), ((3.0, 0.7, 0.7), 9.0), ((5.0, 0.5, 0.5), 15.0), ((7.0, 0.4, 0.4), 18.0),
)  # fmt: skip
POSITIONS = 6
ROUNDS = 15
NAMES = ("assd_mm", "masd_mm", "hd95_mm", "hd_mm")


def ball(radius: float, centre: NDArray[np.float64], reach: float, spacing_mm: Spacing) -> Mask:
    axes = [np.arange(-int(reach / mm) - 2, int(reach / mm) + 3) * mm for mm in spacing_mm]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    return np.asarray((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 <= radius**2)


def changes(spacing_mm: Spacing) -> Iterator[tuple[str, NDArray[np.float64], float]]:
    """Name, way (mm) and growth (mm) of the second ball."""
    slices, pixel = spacing_mm[0], spacing_mm[2]
    yield f"moved by a pixel ({pixel:g} mm)", np.array([0, 0, pixel]), 0.0
    yield f"moved by a slice ({slices:g} mm)", np.array([slices, 0, 0]), 0.0
    yield f"grown by a slice ({slices:g} mm)", np.zeros(3), slices


def border_distances(one: Mask, other: Mask, spacing_mm: Spacing) -> None:
    """What other programs do: from the border voxels of each mask to those of the other."""
    borders = [mask & ~ndimage.binary_erosion(mask) for mask in (one, other)]
    for start, goal in (borders, borders[::-1]):
        ndimage.distance_transform_edt(~goal, spacing_mm)[start].max()


def time_score() -> None:
    """Seconds of this process, so that others on the machine count less; the median of the paired ratios."""
    spacing_mm: Spacing = (1.0, 1.0, 1.0)
    one, other = (ball(50, np.array([0.0, 0.0, way]), 55, spacing_mm) for way in (0.0, 2.0))
    ratios = [
        _seconds(lambda: score(one, other, spacing_mm)) / _seconds(lambda: border_distances(one, other, spacing_mm))
        for _ in range(ROUNDS)
    ]
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    print(f"score / distances between border voxels: {middle:.1f} (middle half {low:.1f} to {high:.1f})")


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    if "--time" in sys.argv[1:]:
        time_score()
        return
    rng = np.random.default_rng(0)
    print(f"| voxel (mm), ball | change | {' | '.join(NAMES)} |\n|---|---|{'---|' * len(NAMES)}")
    for spacing_mm, radius in GRIDS:
        for name, way, growth in changes(spacing_mm):
            size = float(np.linalg.norm(way))
            truth = (size / 2, size / 2, 0.95 * size, size) if size else (growth,) * 4
            found = []
            for _ in range(POSITIONS):
                start, reach = rng.uniform(-0.5, 0.5, 3) * spacing_mm, radius + size + growth + spacing_mm[0]
                one = ball(radius, start, reach, spacing_mm)
                other = ball(radius + growth, start + way, reach, spacing_mm)
                scores = surface_scores(surface_of(one, spacing_mm), surface_of(other, spacing_mm))
                found.append([scores[metric] / true for metric, true in zip(NAMES, truth, strict=True)])
            cells = [f"{np.mean(row):.3f} ({min(row):.2f} to {max(row):.2f})" for row in np.transpose(found)]
            print(
                f"| {' x '.join(f'{mm:g}' for mm in spacing_mm)}, {radius:g} mm | {name} | {' | '.join(cells)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
