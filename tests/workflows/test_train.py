"""A training that stops on the gap is finished, whether it was interrupted or not."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from consoles import Heard
from leftovers import left_by_a_killed_command
from raw_dataset import describe

from vmseg_auto.data.images.images import write_image, write_mask
from vmseg_auto.data.runs import FoldFolder
from vmseg_auto.models.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from vmseg_auto.models.final_checkpoint import load_final
from vmseg_auto.utils.console import Progress, SilentProgress
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.workflows.plan import plan_and_preprocess
from vmseg_auto.workflows.train import train

GRID = Geometry((8, 16, 16), (1.0, 1.0, 1.0))
SETTINGS = (
    "epochs=12",
    "iterations_per_epoch=14",
    "validation_share=0",
    "monitor_share=1",
    "early_stopping=true",
    "amp=false",
)
pytestmark = pytest.mark.usefixtures("one_thread")
"""What a training on noise comes to hangs on the last digits."""


@dataclass
class Listener(Heard):
    """Breaks off at a certain step."""

    breaks_at: float = math.inf
    steps: int = 0

    def progress(self, title: str, total: int, done: int = 0) -> Progress:
        return _Steps(self)


@dataclass
class _Steps(SilentProgress):
    listener: Listener

    def advance(self, steps: int = 1) -> None:
        self.listener.steps += steps
        if self.listener.steps >= self.listener.breaks_at:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four scans of noise with masks that have nothing to do with them; planned."""
    folder = tmp_path_factory.mktemp("noise")
    for number in range(4):
        rng = np.random.default_rng(number)
        corner = [int(rng.integers(1, n // 2)) for n in GRID.shape]
        mask = np.zeros(GRID.shape, dtype=np.uint8)
        mask[tuple(slice(c, c + n // 3) for c, n in zip(corner, GRID.shape, strict=True))] = 1
        image = rng.normal(100, 10, size=GRID.shape).astype(np.float32)
        write_image(folder / "imagesTr" / f"case{number}_0000.nii.gz", image, GRID)
        write_mask(folder / "labelsTr" / f"case{number}.nii.gz", mask, GRID)
    describe(folder)
    plan_and_preprocess(folder, memory_gb=0.01, jobs=1)
    return folder


def trained(dataset: Path, console: Listener, fresh: bool = False) -> FoldFolder:
    return train(
        [0], dataset=dataset, trainer="quick", settings=SETTINGS, device="cpu", jobs=1, fresh=fresh, console=console
    ).fold(0)


@pytest.fixture(scope="module")
def stopped(dataset: Path) -> tuple[FoldFolder, Listener, Checkpoint]:
    heard = Listener()
    fold = trained(dataset, heard)
    return fold, heard, load_final(fold.final)


def test_a_training_that_stops_keeps_its_best_weights(stopped: tuple[FoldFolder, Listener, Checkpoint]) -> None:
    _, heard, final = stopped
    (warning,) = [text for text in heard.warned if "by heart" in text]
    rows = final.history
    assert len(rows) < 12
    assert f"It ends here, in epoch {len(rows)} of 12, with the weights of epoch {final.epoch}," in warning
    assert rows[final.epoch - 1]["gap_val_dice"] == max(row["gap_val_dice"] for row in rows)
    assert (final.optimizer, final.best) == ({}, {})


def test_it_counts_as_finished(dataset: Path, stopped: tuple[FoldFolder, Listener, Checkpoint]) -> None:
    fold, _, _ = stopped
    assert not fold.latest.exists()
    assert (fold.validation / "metrics.csv").is_file()
    again = Listener()
    trained(dataset, again)
    assert any("already trained" in text for text in again.said)
    assert again.steps == 0


def test_weights_of_unknown_origin_are_not_taken_for_a_fold(
    dataset: Path, stopped: tuple[FoldFolder, Listener, Checkpoint], tmp_path: Path
) -> None:
    copy = shutil.copytree(dataset, tmp_path / "copy")
    (copy / stopped[0].record.relative_to(dataset)).unlink()
    with pytest.raises(InputError, match=r"not recorded what fold 0 was trained on.*--fresh"):
        trained(copy, Listener())


def test_an_interruption_changes_nothing(dataset: Path, stopped: tuple[FoldFolder, Listener, Checkpoint]) -> None:
    fold, _, final = stopped
    epochs = len(final.history)
    with pytest.raises(KeyboardInterrupt):
        trained(dataset, Listener(breaks_at=(epochs - 1) * 14 + 3), fresh=True)
    assert load_checkpoint(fold.latest).epoch == epochs - 1 > final.epoch
    assert not fold.final.exists()
    trained(dataset, Listener())
    again = load_final(fold.final)
    assert again.epoch == final.epoch
    assert all(torch.equal(tensor, final.weights[name]) for name, tensor in again.weights.items())


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def stop_between_the_renames(path: Path) -> None:
    """As if killed when the new state is whole, and the one before has its new name already."""
    path.rename(path.with_name(left_by_a_killed_command("checkpoint_latest.pt")))


@pytest.mark.parametrize("happens", [flip_a_byte, cut_in_half, stop_between_the_renames])
def test_the_state_before_is_as_good(dataset: Path, tmp_path: Path, happens: Callable[[Path], object]) -> None:
    """Averaging on; the damaged file is named, and the weights end the same in every bit."""
    settings = (
        "epochs=4",
        "iterations_per_epoch=2",
        "validation_share=0",
        "amp=false",
        "ema_decay=0.9",
        "device_augmentation=on",
    )
    copy = shutil.copytree(dataset, tmp_path / "copy")

    def run(console: Listener, fresh: bool = False) -> FoldFolder:
        return train(
            [1], dataset=copy, trainer="quick", settings=settings, device="cpu", jobs=1, fresh=fresh, console=console
        ).fold(1)

    whole = load_final(run(Listener()).final)
    with pytest.raises(KeyboardInterrupt):
        run(Listener(breaks_at=7), fresh=True)
    fold = FoldFolder(copy / "vmseg" / "runs" / "default" / "quick" / "fold_1")
    assert [load_checkpoint(path).epoch for path in (fold.latest, fold.previous)] == [3, 2]
    happens(fold.latest)
    heard = Listener()
    again = load_final(run(heard).final)
    assert any(text.startswith("Fold 1 goes on after epoch 2 of 4") for text in heard.said)
    named = [text for text in heard.warned if "checkpoint_latest.pt" in text]
    assert len(named) == (happens is not stop_between_the_renames)
    for text in named:
        assert "is damaged" in text
        assert "It is removed; the state of epoch 2, before it, is used." in text
    assert all(torch.equal(tensor, whole.weights[name]) for name, tensor in again.weights.items())
    assert not list(fold.folder.glob("*latest*")) + list(fold.folder.glob("*previous*")) + list(fold.folder.glob(".*"))


def test_where_no_state_is_whole_the_remedy_is_named(
    dataset: Path, stopped: tuple[FoldFolder, Listener, Checkpoint], tmp_path: Path
) -> None:
    copy = shutil.copytree(dataset, tmp_path / "copy")
    fold = FoldFolder(copy / stopped[0].folder.relative_to(dataset))
    save_checkpoint(fold.latest, load_final(fold.final))
    fold.final.unlink()
    cut_in_half(fold.latest)
    with pytest.raises(InputError, match=r"checkpoint_latest\.pt: the checkpoint is damaged.*again with --fresh"):
        trained(copy, Listener())
    assert fold.latest.exists(), "nothing is thrown away where nothing takes its place"
