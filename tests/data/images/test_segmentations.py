"""Segments are read as 3D Slicer stores them, whatever the version."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from raw_dataset import GRID, tiny_mask
from scipy.spatial.transform import Rotation
from slicer import write_seg_nrrd

from vmseg_auto.data.images.images import write_mask
from vmseg_auto.data.images.itk import to_sitk
from vmseg_auto.data.images.segmentations import Segment, read_labels, read_segmentation, write_segmentation
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry

LESION, NODE = tiny_mask(), np.roll(tiny_mask(), 2, axis=1)


def test_segments_of_one_layer_keep_names_values_and_voxels(tmp_path: Path) -> None:
    layer = np.where(LESION > 0, 3, NODE * 5).astype(np.uint8)
    path = write_seg_nrrd(tmp_path / "a.seg.nrrd", layer[None], GRID, {"lesion, left": (0, 3), "node": (0, 5)})
    read = read_segmentation(path)
    assert read.segments == (Segment("lesion, left", 0, 3), Segment("node", 0, 5))
    assert not read.geometry.differences(GRID)
    np.testing.assert_array_equal(read.union(read.segments[:1])[0], LESION)
    union, overlap = read.union(read.segments)
    np.testing.assert_array_equal(union, layer > 0)
    assert overlap == 0


def test_segments_that_overlap_lie_in_layers_and_are_counted(tmp_path: Path) -> None:
    layers = np.stack([LESION * 2, NODE])
    read = read_segmentation(write_seg_nrrd(tmp_path / "a.seg.nrrd", layers, GRID, {"a": (0, 2), "b": (1, 1)}))
    assert not read.geometry.differences(GRID)
    union, overlap = read.union(read.segments)
    np.testing.assert_array_equal(union, (LESION > 0) | (NODE > 0))
    assert overlap == int(((LESION > 0) & (NODE > 0)).sum()) > 0


def test_what_names_its_segments_is_a_mask_however_many_they_are(tmp_path: Path) -> None:
    mixed = np.random.default_rng(0).integers(0, 100, (2, *GRID.shape), dtype=np.uint8)
    names = {f"{layer} {value}": (layer, value) for layer in range(2) for value in range(1, 100)}
    read = read_segmentation(write_seg_nrrd(tmp_path / "a.seg.nrrd", mixed, GRID, names))
    np.testing.assert_array_equal(read.union(read.segments[-1:])[0], mixed[1] == 99)
    write_mask(tmp_path / "a.nii.gz", mixed[0], GRID)
    with pytest.raises(
        InputError, match="it looks like a scan or a map, not like a mask: it holds 100 different values"
    ):
        read_segmentation(tmp_path / "a.nii.gz")


def test_old_files_hold_a_segment_in_each_layer(tmp_path: Path) -> None:
    without = {f"Segment{n}_{field}": None for n in range(2) for field in ("LabelValue", "Layer")}
    old = {"Segmentation_SourceRepresentation": None, "Segmentation_MasterRepresentation": "Binary labelmap"}
    path = write_seg_nrrd(
        tmp_path / "a.seg.nrrd", np.stack([LESION, NODE]), GRID, {"a": (0, 1), "b": (1, 1)}, **without, **old
    )
    read = read_segmentation(path)
    np.testing.assert_array_equal(read.union(read.segments[1:])[0], NODE)


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_plain_masks_name_their_segments_by_value(tmp_path: Path, ending: str) -> None:
    write_mask(tmp_path / f"a{ending}", LESION * 4 + NODE * (LESION == 0), GRID)
    read = read_segmentation(tmp_path / f"a{ending}")
    assert read.segments == (Segment("1", 0, 1), Segment("4", 0, 4))
    np.testing.assert_array_equal(read.union(read.segments[1:])[0], LESION)


def test_layers_that_nothing_names_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "colours.nrrd"
    sitk.WriteImage(sitk.Image([4, 4, 4], sitk.sitkVectorUInt8), str(path))
    with pytest.raises(InputError, match="3 values a voxel, and nothing says which segments"):
        read_segmentation(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Segment0_Layer": 4}, "puts segment a at layer 4, value 1, but the file has 1 layers"),
        ({"Segment0_LabelValue": 0}, "puts segment a at layer 0, value 0"),
        ({"Segment0_LabelValue": 2}, "18 of its voxels belong to none of the segments"),
        ({"Segment0_LabelValue": "one"}, "gives segment a no whole number"),
        ({"Segmentation_SourceRepresentation": "Fractional labelmap"}, "stored as Fractional labelmap"),
    ],
)
def test_headers_that_can_not_be_followed_are_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    path = write_seg_nrrd(tmp_path / "a.seg.nrrd", LESION[None], GRID, {"a": (0, 1)}, **changes)
    with pytest.raises(InputError, match=words) as caught:
        read_segmentation(path)
    assert caught.value.file == path
    assert caught.value.remedy


def test_names_can_not_speak_to_a_terminal(tmp_path: Path) -> None:
    path = write_seg_nrrd(tmp_path / "a.seg.nrrd", LESION[None], GRID, {"L\xe4sion \x1b[31m": (0, 1)})
    assert read_segmentation(path).segments[0].name == "L\xe4sion \\x1b[31m"
    path.write_bytes(path.read_bytes().replace("L\xe4sion".encode(), b"L\xe4sion").replace(b"_Color", b"\xe4"))
    assert read_segmentation(path).segments[0].name == "L\\xe4sion \\x1b[31m"


def test_mutated_files_are_read_or_refused(tmp_path: Path) -> None:
    layers = np.stack([LESION, NODE])
    whole = write_seg_nrrd(tmp_path / "a.seg.nrrd", layers, GRID, {"a": (0, 1), "b": (1, 1)}).read_bytes()
    header, rng = whole.index(b"\n\n"), np.random.default_rng(0)
    reads, refusals = 0, []
    for _ in range(300):
        data = bytearray(whole)
        for at in rng.integers(header, size=rng.integers(1, 5)):
            data[at : at + int(rng.integers(3))] = rng.integers(256, size=rng.integers(1, 3), dtype=np.uint8).tobytes()
        (tmp_path / "m.seg.nrrd").write_bytes(data)
        try:
            read = read_segmentation(tmp_path / "m.seg.nrrd")
            reads += 1
            assert read.union(read.segments)[0].shape == read.geometry.shape
        except InputError as error:
            refusals.append(str(error))
    assert reads > 20
    assert len(refusals) > 20
    assert all(text.isprintable() for text in refusals)


def test_a_segmentation_cut_short_is_refused(tmp_path: Path) -> None:
    path = write_seg_nrrd(tmp_path / "a.seg.nrrd", np.stack([LESION, NODE]), GRID, {"a": (0, 1), "b": (1, 1)})
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="damaged or cut short"):
        read_segmentation(path)


THREE = {"background": 0, "lesion": 1, "node": 2, 'it\'s "ä" \\ n': 3}
COLOURS = {"lesion": "#D55E00", "node": "#56B4E9", 'it\'s "ä" \\ n': "#F0E442"}
OBLIQUE = Geometry(
    GRID.shape, GRID.spacing_mm, (-31.25, 12.0, 1e-3),
    tuple(Rotation.from_euler("xyz", (20, -35, 50), degrees=True).as_matrix().ravel().tolist()),
)  # fmt: skip


@pytest.mark.parametrize("grid", [GRID, OBLIQUE])
def test_what_is_written_is_what_slicer_writes(tmp_path: Path, grid: Geometry) -> None:
    mask = np.where(LESION > 0, 1, NODE * 2).astype(np.uint8)
    path = tmp_path / "a.seg.nrrd"
    write_segmentation(path, mask, grid, THREE, COLOURS)
    read = read_segmentation(path)
    assert [(one.name, one.value, one.layer) for one in read.segments] == [(n, v, 0) for n, v in THREE.items() if v]
    assert not read.geometry.differences(grid)
    np.testing.assert_array_equal(read_labels(path, THREE)[0], mask)
    image = sitk.ReadImage(str(path))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), mask)
    corner = tuple(size - 1 for size in grid.shape[::-1])
    places = [one.TransformIndexToPhysicalPoint(corner) for one in (image, to_sitk(mask, grid))]
    np.testing.assert_allclose(places[0], places[1], atol=1e-6)
    assert image.GetMetaData("Segment0_Extent") == "4 6 3 5 2 3"
    assert image.GetMetaData("Segment2_Extent") == "0 -1 0 -1 0 -1"
    assert image.GetMetaData("Segment0_Color") == "0.835294 0.368627 0"
    assert "~SCT^783806000^Vascular malformation~" in image.GetMetaData("Segment0_Tags")
    assert "~SCT^85756007^Tissue~^^~" in image.GetMetaData("Segment1_Tags")
    again = path.read_bytes()
    write_segmentation(path, mask, grid, THREE, COLOURS)
    assert path.read_bytes() == again


def test_a_segment_is_known_by_its_name_whatever_its_value(tmp_path: Path) -> None:
    layer = np.where(LESION > 0, 2, NODE).astype(np.uint8)
    path = write_seg_nrrd(tmp_path / "a.seg.nrrd", layer[None], GRID, {"Lesion": (0, 2), "node": (0, 1)})
    mask, _ = read_labels(path, {"lesion": 1, "node": 2})
    np.testing.assert_array_equal(mask, np.where(LESION > 0, 1, NODE * 2))


def test_segments_of_other_names_are_known_by_their_values_where_none_has_a_labels_name(tmp_path: Path) -> None:
    layer = np.where(LESION > 0, 2, NODE).astype(np.uint8)
    path = write_seg_nrrd(tmp_path / "a.seg.nrrd", layer[None], GRID, {"Segment_1": (0, 1), "Segment_2": (0, 2)})
    np.testing.assert_array_equal(read_labels(path, {"lesion": 2, "node": 1})[0], layer)
    path = write_seg_nrrd(tmp_path / "b.seg.nrrd", layer[None], GRID, {"lesion": (0, 1), "Segment_2": (0, 2)})
    with pytest.raises(InputError, match=r"case b.*Segment_2 is no label \(lesion 1, node 2\)"):
        read_labels(path, {"lesion": 1, "node": 2}, case="b")
    empty = write_seg_nrrd(tmp_path / "c.seg.nrrd", LESION[None], GRID, {"lesion": (0, 1), "Segment_2": (0, 2)})
    np.testing.assert_array_equal(read_labels(empty, {"lesion": 1})[0], LESION)


def test_layers_are_read_as_labels_unless_they_overlap(tmp_path: Path) -> None:
    apart = NODE * (LESION == 0)
    names = {"node": (0, 1), "lesion": (1, 1)}
    path = write_seg_nrrd(tmp_path / "a.seg.nrrd", np.stack([apart, LESION]), GRID, names)
    np.testing.assert_array_equal(read_labels(path, {"lesion": 1, "node": 2})[0], np.where(LESION > 0, 1, apart * 2))
    path = write_seg_nrrd(tmp_path / "b.seg.nrrd", np.stack([NODE, LESION]), GRID, names)
    with pytest.raises(InputError, match="segment lesion shares 6 voxels with another label's"):
        read_labels(path, {"lesion": 1, "node": 2})


def test_a_part_of_the_scans_grid_is_put_on_it_and_another_grid_refused(tmp_path: Path) -> None:
    box = np.s_[1:5, 2:8, 3:9]
    start = [edge * first for edge, first in zip(GRID.spacing_mm[::-1], (3, 2, 1), strict=True)]
    origin = tuple(float(a + b) for a, b in zip(GRID.origin_mm, start, strict=True))
    part = Geometry((4, 6, 6), GRID.spacing_mm, origin)  # type: ignore[arg-type]
    path = write_seg_nrrd(tmp_path / "a.seg.nrrd", LESION[box][None], part, {"lesion": (0, 1)})
    mask, grid = read_labels(path, {"lesion": 1}, GRID)
    assert grid == GRID
    np.testing.assert_array_equal(mask, LESION)
    with pytest.raises(InputError, match=r"case a.*shifted by parts of a voxel"):
        read_labels(path, {"lesion": 1}, replace(GRID, origin_mm=(1.3, -2.0, 3.0)), "a")
