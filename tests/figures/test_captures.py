"""Pages of a scan: one that sums up, and its slices with outlines."""

from __future__ import annotations

import numpy as np

from vmseg_auto.figures.captures import MOST_SLICES, PIXELS, draw_pages
from vmseg_auto.figures.overlays import overlay_figure
from vmseg_auto.figures.slices import VERMILLION
from vmseg_auto.utils.geometry import Geometry

LABELS = {"background": 0, "lesion": 1}


def pages_of(slices: int, first: int, last: int) -> np.ndarray:
    geometry = Geometry((slices, 20, 24), (4.0, 1.0, 1.0))
    image = np.random.default_rng(0).normal(100, 5, geometry.shape).astype(np.float32)
    mask = np.zeros(geometry.shape, np.uint8)
    mask[first:last, 5:12, 6:14] = 1
    return draw_pages(image, mask, geometry, LABELS, ["vmseg_auto", "lesion: 1 mL"])


def is_outlined(page: np.ndarray) -> bool:
    colour = [int(VERMILLION[at : at + 2], 16) for at in (1, 3, 5)]
    return bool((np.abs(page.astype(int) - colour).max(axis=2) < 8).sum() > 100)


def test_each_slice_with_a_lesion_is_a_page() -> None:
    pages = pages_of(6, 2, 4)
    assert pages.shape == (1 + 2, PIXELS, PIXELS, 3)
    assert all(is_outlined(page) for page in pages)


def test_a_small_lesion_has_its_pages_beside_a_large_one() -> None:
    geometry = Geometry((10, 20, 24), (4.0, 1.0, 1.0))
    mask = np.zeros(geometry.shape, np.uint8)
    mask[0, 3, 3] = 1
    mask[4:9, 2:18, 2:20] = 1
    assert len(draw_pages(mask.astype(np.float32), mask, geometry, LABELS, ["vmseg_auto"])) == 1 + 6


def test_of_an_empty_mask_there_is_the_first_page_alone() -> None:
    (page,) = pages_of(4, 0, 0)
    assert not is_outlined(page)
    assert (page > 200).any()


def test_the_first_page_has_several_lines_above_it() -> None:
    geometry = Geometry((4, 20, 24), (4.0, 1.0, 1.0))
    empty = np.zeros(geometry.shape, np.uint8)
    figure = overlay_figure(empty.astype(np.float32), empty, geometry, LABELS, "one\ntwo", (8.0, 8.0))
    assert figure.get_suptitle() == "one\ntwo"


def test_of_very_many_slices_some_are_shown() -> None:
    assert len(pages_of(MOST_SLICES + 6, 0, MOST_SLICES + 6)) == 1 + MOST_SLICES
