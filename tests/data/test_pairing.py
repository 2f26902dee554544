"""Masks find their images by name and grid, and say so where they do not."""

from __future__ import annotations

from vmseg_auto.data.pairing import Item, Match, pair
from vmseg_auto.utils.geometry import Geometry


def item(name: str, place: float = 0.0, spacing: float = 1.0) -> Item:
    return Item(name, tuple(name.split("/")), Geometry((4, 5, 6), (3.0, spacing, spacing), (100 * place, 0.0, 0.0)))


def images_of(masks: list[Item], images: list[Item]) -> list[str | None]:
    """Name of each mask's image, or what is wrong."""
    return [match.problem if match.image is None else images[match.image].title for match in pair(masks, images)]


def test_names_decide_where_all_lie_on_the_same_grid() -> None:
    images = [item("anna"), item("anna_2"), item("ben"), item("1"), item("10")]
    masks = [item("anna_2_seg"), item("BEN"), item("1-label"), item("10 mask"), item("anna.reader1")]
    assert images_of(masks, images) == ["anna_2", "ben", "1", "10", "anna"]
    assert all(match.by_name for match in pair(masks, images))


def test_folders_count_as_names() -> None:
    images = [item("export/anna/2019/T2"), item("export/anna/2021/T2"), item("export/ben/2019/T2")]
    masks = [item("anna/2021/Segmentation"), item("ben/2019/Segmentation"), item("anna/2019/Segmentation")]
    assert images_of(masks, images) == ["export/anna/2021/T2", "export/ben/2019/T2", "export/anna/2019/T2"]


def test_of_images_named_alike_the_one_that_the_mask_lies_on_counts() -> None:
    images = [item("anna/T1", spacing=0.5), item("anna/T2")]
    assert images_of([item("anna")], images) == ["anna/T2"]


def test_an_image_that_is_named_but_does_not_fit_is_not_replaced_by_one_that_fits() -> None:
    images = [item("anna_v1"), item("anna_v2", spacing=0.5)]
    (problem,) = images_of([item("anna_v2")], images)
    assert problem is not None
    assert problem.startswith("named as anna_v2, but its voxels are 1 x 1 x 3 mm")


def test_a_mask_that_lies_beside_its_image_is_refused() -> None:
    assert images_of([item("anna", place=5)], [item("anna")]) == ["named as anna, but it lies beside that image"]


def test_without_a_common_name_the_grid_decides_if_only_one_image_has_it() -> None:
    images = [item("a", 0), item("b", 1), item("c", 2)]
    matches = pair([item("x", 1), item("c_seg", 2)], images)
    assert [(match.image, match.by_name) for match in matches] == [(1, False), (2, True)]
    assert images_of([item("x", 7)], images) == ["no image has its name, and none its grid"]
    assert images_of([item("x")], [item("a"), item("b")]) == ["it could belong to 2 images (a, b): name it as its own"]


def test_an_image_taken_by_name_is_no_ones_by_grid() -> None:
    assert images_of([item("x"), item("a")], [item("a"), item("b", 3)]) == [
        "no image has its name, and none its grid",
        "a",
    ]


def test_what_all_images_are_called_says_nothing() -> None:
    images = [item("T2/anna", 0), item("T2/ben", 1)]
    matches = pair([item("T2", 1)], images)
    assert [(match.image, match.by_name) for match in matches] == [(1, False)]


def test_two_masks_of_one_image_are_refused_both() -> None:
    said = images_of([item("anna_reader1"), item("anna_reader2")], [item("anna"), item("ben", 1)])
    assert said == ["2 masks belong to this image: keep or merge one"] * 2


def test_nothing_to_pair() -> None:
    assert pair([], [item("a")]) == []
    assert pair([item("a")], []) == [Match(problem="no image has its name, and none its grid")]
