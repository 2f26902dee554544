"""What can't be written is one error that names the file; nothing unfinished stays, and what stood there remains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from raw_dataset import GRID, tiny_mask
from small_files import small_files
from tiny import PLAN

from vmseg_auto.data.images.images import write_image, write_mask
from vmseg_auto.data.images.segmentations import write_segmentation
from vmseg_auto.data.mask_deltas import write_mask_deltas
from vmseg_auto.data.probabilities import write_probabilities
from vmseg_auto.figures.plots import save_figure
from vmseg_auto.models.checkpoints import Checkpoint, save_checkpoint
from vmseg_auto.models.final_checkpoint import save_final
from vmseg_auto.models.manifest import Manifest
from vmseg_auto.models.zip import write_model_zip
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.utils.atomic import leftovers, new_folder, put_in_place, scratch_folder, write_json, write_sealed
from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.utils.tables import write_csv
from vmseg_auto.workflows.viewers import LABEL_FILE, write_label_file

NOISE = np.random.default_rng(0).integers(0, 200, GRID.shape, dtype=np.uint8)
MANY = {f"label {number}": number for number in range(200)}
CHECKPOINT = Checkpoint(
    1,
    {"w": torch.zeros(5000)},
    (),
    plan=PLAN,
    config=TrainingConfig(),
    labels={},
    channels=(),
    trainer="default",
    fold=0,
)


MANIFEST = Manifest("a", "", "1", ("model_1",), None, {})
NEW = {"model_onnx", "model.zip"}
"""What is never written over."""


def in_a_folder(path: Path) -> None:
    with new_folder(path) as made:
        (made / "network.onnx").write_bytes(NOISE.tobytes())


def from_scratch(path: Path) -> None:
    with scratch_folder(path.parent) as scratch:
        write_mask(scratch / path.name, NOISE, GRID)
        put_in_place(scratch / path.name, path)


WRITERS: dict[str, Callable[[Path], object]] = {
    "a.nii.gz": lambda path: write_mask(path, NOISE, GRID),
    "a.nii": lambda path: write_mask(path, NOISE, GRID),
    "a.mha": lambda path: write_mask(path, NOISE, GRID),
    "a.nrrd": lambda path: write_image(path, NOISE.astype(np.float32), GRID),
    "a.seg.nrrd": lambda path: write_segmentation(path, NOISE, GRID, MANY, dict.fromkeys(MANY, "#D55E00")),
    "probabilities.npz": lambda path: write_probabilities(path, NOISE[None]),
    "variants.npz": lambda path: write_mask_deltas(path, [tiny_mask(), NOISE]),
    "checkpoint.pt": lambda path: save_checkpoint(path, CHECKPOINT),
    "checkpoint.safetensors": lambda path: save_final(path, CHECKPOINT),
    "table.csv": lambda path: write_csv(path, ["a"], [{"a": "x" * 600}]),
    "plan.json": lambda path: write_json(path, ["x" * 600]),
    "model.json": lambda path: write_sealed(path, {"a": "x" * 600}),
    "picture.png": lambda path: save_figure(Figure(), path),
    "model_onnx": in_a_folder,
    "model.zip": lambda path: write_model_zip(path, MANIFEST, {"card.md": "x" * 600}),
    "b.nii.gz": from_scratch,
    LABEL_FILE: lambda path: write_label_file(path.parent, MANY),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_writer_is_whole_or_absent(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name not in NEW:
        path.write_bytes(b"old")
    with small_files(300), pytest.raises(VmsegError) as caught:
        WRITERS[name](path)
    assert name in str(caught.value)
    assert "can't be written" in str(caught.value)
    assert not leftovers(tmp_path)
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [(name, b"old")] * (name not in NEW)
    if name not in NEW:
        WRITERS[name](path)
        assert path.stat().st_size > 300
