"""Segments are read as 3D Slicer stores them, whatever the version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from raw_dataset import GRID, tiny_mask
from slicer import write_seg_nrrd

from vmseg_auto.core.errors import InputError
from vmseg_auto.io.images import write_mask
from vmseg_auto.io.segmentations import Segment, read_segmentation

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
