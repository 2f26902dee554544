"""Checkpoints come back as they were saved, or not at all; no code in one ever runs."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import PLAN
from trap import Trap

from vmseg_auto.models.checkpoints import (
    FORMAT,
    SCHEMA,
    Checkpoint,
    load_checkpoint,
    load_newest,
    save_checkpoint,
)
from vmseg_auto.models.hashes import content_hash
from vmseg_auto.models.step_record import StepLog
from vmseg_auto.networks.unet import build_network
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.utils.errors import DamagedError, InputError

REFUSED = "damaged or from elsewhere|no checkpoint of vmseg_auto|does not exist|has schema"


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    torch.manual_seed(1)
    network = build_network(PLAN.network, 1, 2)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(torch.ones(1, 1, *PLAN.patch))[0].sum().backward()
    optimizer.step()
    return Checkpoint(
        plan=PLAN,
        config=TrainingConfig(epochs=3),
        labels={"background": 0, "lesion": 1},
        channels=("T2",),
        trainer="default",
        fold=2,
        epoch=1,
        weights=network.state_dict(),
        history=({"epoch": 1, "train_loss": 0.25, "val_dice": float("nan")},),
        optimizer=optimizer.state_dict(),
        best={"weight": torch.ones(2)},
        scaler={"scale": 1024.0, "_growth_tracker": 3},
        lr_factor=0.1,
        under_way=StepLog((0.5, float("nan")), (True, False), (("a",), ("a", "b"))),
    )


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return bool(a == b or (a != a and b != b))


def test_round_trip(tmp_path: Path, checkpoint: Checkpoint) -> None:
    path = tmp_path / "fold_2" / "checkpoint_latest.pt"
    save_checkpoint(path, checkpoint)
    again = load_checkpoint(path)
    assert repr(again.under_way) == repr(checkpoint.under_way)  # NaN among it
    for name in Checkpoint.__dataclass_fields__.keys() - {"under_way"}:
        assert same(getattr(checkpoint, name), getattr(again, name)), name
    assert list(path.parent.iterdir()) == [path]


def test_a_loaded_checkpoint_trains_and_predicts_on(tmp_path: Path, checkpoint: Checkpoint) -> None:
    path = tmp_path / "c.pt"
    save_checkpoint(path, checkpoint)
    again = load_checkpoint(path)
    network = build_network(again.plan.network, 1, 2)
    network.load_state_dict(again.weights)
    torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9).load_state_dict(again.optimizer)


def test_the_same_training_state_gives_the_same_bytes(tmp_path: Path, checkpoint: Checkpoint) -> None:
    save_checkpoint(tmp_path / "a.pt", checkpoint)
    save_checkpoint(tmp_path / "b.pt", checkpoint)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_fold_all_and_no_optimizer(tmp_path: Path, checkpoint: Checkpoint) -> None:
    save_checkpoint(tmp_path / "c.pt", replace(checkpoint, fold="all", optimizer={}))
    again = load_checkpoint(tmp_path / "c.pt")
    assert (again.fold, again.optimizer) == ("all", {})


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, checkpoint: Checkpoint) -> bytes:
    path = tmp_path_factory.mktemp("checkpoints") / "c.pt"
    save_checkpoint(path, checkpoint)
    return path.read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.7, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, saved: bytes, share: float) -> None:
    path = tmp_path / "c.pt"
    path.write_bytes(saved[: int(len(saved) * share)])
    with pytest.raises(InputError, match=r"damaged or from elsewhere.*--fresh") as caught:
        load_checkpoint(path)
    assert caught.value.file == path


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
def test_a_flipped_byte_is_refused_or_means_nothing(
    tmp_path: Path, saved: bytes, checkpoint: Checkpoint, position: float, bits: int
) -> None:
    """Some bytes of a zip carry nothing (dates, padding); no other may change a weight in silence."""
    data = bytearray(saved)
    data[int(position * len(data))] ^= bits
    path = tmp_path / "c.pt"
    path.write_bytes(data)
    try:
        again = load_checkpoint(path)
    except InputError:
        return
    assert same(again.weights, dict(checkpoint.weights))
    assert (again.plan, again.labels, again.epoch) == (checkpoint.plan, checkpoint.labels, checkpoint.epoch)


def test_code_in_a_foreign_pickle_does_not_run(tmp_path: Path) -> None:
    sprung, path = tmp_path / "sprung", tmp_path / "c.pt"
    torch.save({"format": FORMAT, "schema": SCHEMA, "weights": Trap(sprung)}, path)
    with pytest.raises(InputError, match=REFUSED):
        load_checkpoint(path)
    path.write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(InputError, match=REFUSED):
        load_checkpoint(path)
    assert not sprung.exists()
    pickle.loads(path.read_bytes())
    assert sprung.exists(), "the trap itself works"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"format": FORMAT, "schema": 2}, "has schema 2, and this version reads 3. Train this fold again with --fresh"),
        ({"format": FORMAT}, "has schema None"),
        ({"format": "another program's"}, "no checkpoint of vmseg_auto"),
        ({"state_dict": {}}, "no checkpoint of vmseg_auto"),
        ([1, 2], "no checkpoint of vmseg_auto"),
        (torch.ones(3), "no checkpoint of vmseg_auto"),
        ({"format": torch.ones(3)}, "no checkpoint of vmseg_auto"),
        ({"format": FORMAT, "schema": torch.ones(3)}, "has schema"),
    ],
)
def test_what_torch_reads_but_we_did_not_write(tmp_path: Path, content: Any, words: str) -> None:
    torch.save(content, tmp_path / "c.pt")
    with pytest.raises(InputError, match=words):
        load_checkpoint(tmp_path / "c.pt")


@pytest.mark.parametrize(
    "content", [b"", b"text", b"PK\x03\x04", b"\x80\x02}q\x00."], ids=["empty", "text", "zip", "pickle"]
)
def test_what_is_no_checkpoint_at_all(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.pt").write_bytes(content)
    with pytest.raises(InputError, match="damaged or from elsewhere"):
        load_checkpoint(tmp_path / "c.pt")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"does not exist\. Train this fold first"):
        load_checkpoint(tmp_path / "c.pt")


def test_a_plan_that_can_not_work_is_refused(tmp_path: Path, checkpoint: Checkpoint) -> None:
    save_checkpoint(tmp_path / "c.pt", replace(checkpoint, plan=replace(PLAN, batch_size=0)))
    with pytest.raises(InputError, match=r"c\.pt: plan: this plan can't work"):
        load_checkpoint(tmp_path / "c.pt")


def test_values_that_changed_before_they_were_stored_are_noticed(tmp_path: Path, checkpoint: Checkpoint) -> None:
    """A file whose zip is sound, and whose content is not what was saved."""
    path = tmp_path / "c.pt"
    save_checkpoint(path, checkpoint)
    whole = torch.load(path, weights_only=True)
    for name in ("weights", "optimizer", "best", "about"):
        content = copy.deepcopy(whole)
        if name == "about":
            content[name] = content[name].replace('"epoch": 1,', '"epoch": 2,')
        elif name == "optimizer":
            content[name]["state"][0]["momentum_buffer"].flatten()[0] += 1
        else:
            next(iter(content[name].values())).flatten()[0] += 1
        torch.save(content, path)
        with pytest.raises(DamagedError, match=r"its checksum is wrong\. Train this fold again with --fresh, or"):
            load_checkpoint(path)
    torch.save({name: value for name, value in whole.items() if name != "sha256"}, path)
    with pytest.raises(DamagedError, match="its checksum is wrong"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "change",
    [
        {"about": None},
        {"about": "{"},
        {"about": "[]"},
        {"about": '{"plan": 1}'},
        {"weights": [1]},
        {"weights": {"a": 1}},
        {"live": {"a": "b"}},
        {"optimizer": ...},
    ],
)
def test_a_checkpoint_with_parts_missing_or_of_another_kind_is_refused(
    tmp_path: Path, checkpoint: Checkpoint, change: dict[str, Any]
) -> None:
    """Whoever makes a file can make its checksum."""
    path = tmp_path / "c.pt"
    save_checkpoint(path, checkpoint)
    content = {**torch.load(path, weights_only=True), **change}
    content = {name: value for name, value in content.items() if value is not ... and name != "sha256"}
    torch.save({**content, "sha256": content_hash(content)}, path)
    with pytest.raises(InputError, match=r"c\.pt"):
        load_checkpoint(path)


def test_the_one_before_is_kept(tmp_path: Path, checkpoint: Checkpoint) -> None:
    latest, previous = tmp_path / "latest.pt", tmp_path / "previous.pt"
    assert load_newest([latest, previous]) == (None, [])
    for epoch in (1, 2, 3):
        save_checkpoint(latest, replace(checkpoint, epoch=epoch), keep=previous)
        found, damaged = load_newest([latest, previous])
        assert found is not None
        assert (found.epoch, damaged) == (epoch, [])
    assert load_checkpoint(previous).epoch == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest.pt", "previous.pt"]


def test_a_damaged_newest_one_gives_way_to_the_one_before(tmp_path: Path, checkpoint: Checkpoint) -> None:
    latest, previous = tmp_path / "latest.pt", tmp_path / "previous.pt"
    for epoch in (1, 2):
        save_checkpoint(latest, replace(checkpoint, epoch=epoch), keep=previous)
    whole = latest.read_bytes()
    latest.write_bytes(whole[: len(whole) // 2])
    found, (error,) = load_newest([latest, previous])
    assert found is not None
    assert found.epoch == 1
    assert error.file == latest
    previous.write_bytes(b"")
    with pytest.raises(DamagedError, match=r"latest\.pt: the checkpoint is damaged"):
        load_newest([latest, previous])


def test_one_of_a_newer_version_is_not_taken_for_damaged(tmp_path: Path, checkpoint: Checkpoint) -> None:
    latest, previous = tmp_path / "latest.pt", tmp_path / "previous.pt"
    save_checkpoint(previous, checkpoint)
    torch.save({"format": FORMAT, "schema": 99}, latest)
    with pytest.raises(InputError, match="has schema 99") as caught:
        load_newest([latest, previous])
    assert not isinstance(caught.value, DamagedError)
    assert "install that version" in str(caught.value)
    assert "--fresh" not in str(caught.value)


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="file sizes can't be limited here")
def test_a_full_disk_gives_one_clear_error_and_keeps_the_old_file(tmp_path: Path) -> None:
    """In a process of its own, whose files may not grow beyond 20 kB; ENOSPC and this limit come the same way."""
    script = """
import resource, signal, sys
from pathlib import Path
from dataclasses import replace
import torch
from tiny import PLAN
from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.models.checkpoints import Checkpoint, save_checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
path = Path(sys.argv[1])
about = {"plan": PLAN, "config": TrainingConfig(), "labels": {}, "channels": (), "trainer": "default", "fold": 0}
small = Checkpoint(1, {"w": torch.zeros(10)}, (), **about)
save_checkpoint(path, small)
before = path.read_bytes()
try:
    save_checkpoint(path, replace(small, weights={"w": torch.zeros(100_000)}))
except VmsegError as error:
    assert "can't be written" in str(error), error
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    print("refused")
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "c.pt")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "refused\n", done.stderr
