"""Weights of a finished fold come back as they were saved, or not at all, in one message that names the file."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from tiny import PLAN
from trap import Trap

from vmseg_auto.models import final_checkpoint
from vmseg_auto.models.checkpoints import Checkpoint, save_checkpoint
from vmseg_auto.models.final_checkpoint import KEY, content_of, load_final, save_final
from vmseg_auto.networks.unet import build_network
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.utils.errors import DamagedError, InputError

Weights = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    torch.manual_seed(1)
    return Checkpoint(
        plan=PLAN,
        config=TrainingConfig(epochs=3),
        labels={"background": 0, "Läsion": 1},
        channels=("T2",),
        trainer="default",
        fold=2,
        epoch=1,
        weights={**build_network(PLAN.network, 1, 2).state_dict(), "counter": torch.tensor(7)},
        history=({"epoch": 1, "train_loss": 0.25, "val_dice": float("nan")},),
    )


@pytest.fixture
def path(tmp_path: Path, checkpoint: Checkpoint) -> Path:
    save_final(tmp_path / "checkpoint_final.safetensors", checkpoint)
    return tmp_path / "checkpoint_final.safetensors"


def told(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_final(path)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


def forged(path: Path, weights: Weights, about: Any) -> None:
    """A file with the checksum that goes with it."""
    save_file(weights, path, {KEY: json.dumps(content_of(about, weights))})


def with_header(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """The same numbers under a header that says something else."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


def test_round_trip(path: Path, checkpoint: Checkpoint) -> None:
    again = load_final(path)
    assert again.weights.keys() == checkpoint.weights.keys()
    for name, tensor in checkpoint.weights.items():
        assert again.weights[name].dtype == tensor.dtype
        assert torch.equal(again.weights[name], tensor)
    assert repr(replace(again, weights={})) == repr(replace(checkpoint, weights={}))  # NaN among it
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    network = build_network(again.plan.network, 1, 2)
    network.load_state_dict({name: tensor for name, tensor in again.weights.items() if name != "counter"})


def test_what_only_a_training_needs_is_left_out(tmp_path: Path, checkpoint: Checkpoint, path: Path) -> None:
    under_way = replace(checkpoint, optimizer={"state": {}}, live=dict(checkpoint.weights), lr_factor=0.1)
    save_final(tmp_path / "other.safetensors", under_way)
    assert (tmp_path / "other.safetensors").read_bytes() == path.read_bytes()


def test_the_same_weights_give_the_same_bytes_in_every_process(path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from vmseg_auto.models.final_checkpoint import load_final, save_final\n"
        "save_final(Path(sys.argv[2]), load_final(Path(sys.argv[1])))"
    )
    for name in ("a", "b"):
        arguments = [sys.executable, "-c", script, str(path), str(path.with_name(name))]
        subprocess.run(arguments, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=True)
        assert path.with_name(name).read_bytes() == path.read_bytes()


def test_any_layout_of_tensors_is_written(tmp_path: Path, checkpoint: Checkpoint) -> None:
    """The format knows no strides, and no two names for one tensor."""
    one = torch.arange(24.0).reshape(1, 2, 3, 2, 2)
    weights = {"last": one.to(memory_format=torch.channels_last_3d), "part": one[:, 1:], "tied": one, "again": one}
    save_final(tmp_path / "a", replace(checkpoint, weights=weights))
    again = load_final(tmp_path / "a").weights
    assert all(torch.equal(again[name], tensor) for name, tensor in weights.items())


def test_other_programs_read_it(path: Path) -> None:
    with safe_open(path, framework="np") as file:
        about = json.loads(file.metadata()[KEY])["about"]
        assert file.get_tensor("counter") == 7
    assert (about["labels"], about["trainer"]) == ({"background": 0, "Läsion": 1}, "default")


def test_weights_belong_to_the_process_and_not_to_the_file(path: Path, checkpoint: Checkpoint) -> None:
    """A mapped file that is cut short would end the process without a word."""
    again = load_final(path)
    with path.open("r+b") as file:
        file.truncate(0)
    assert all(torch.equal(again.weights[name], tensor) for name, tensor in checkpoint.weights.items())


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.01, 0.3, 0.7, 0.9999])
def test_a_truncated_file_is_refused(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    words = told(path)
    assert "the checkpoint is damaged or from elsewhere" in words
    assert "--fresh" in words


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
def test_any_flipped_byte_is_refused(
    tmp_path_factory: pytest.TempPathFactory, checkpoint: Checkpoint, position: float, bits: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "flipped.safetensors"
    save_final(path, checkpoint)
    data = bytearray(path.read_bytes())
    data[int(position * len(data))] ^= bits
    path.write_bytes(data)
    try:
        again = load_final(path)
    except InputError:
        return
    assert repr(replace(again, weights={})) == repr(replace(checkpoint, weights={})), "only padding of the header"
    assert all(torch.equal(again.weights[name], tensor) for name, tensor in checkpoint.weights.items())


@pytest.mark.parametrize("said", [2**26, 2**40, 2**63, 2**64 - 1])
def test_a_huge_header_is_refused_before_it_is_read(path: Path, said: int) -> None:
    path.write_bytes(struct.pack("<Q", said) + path.read_bytes()[8:])
    assert f"its header claims {said:,} bytes" in told(path)


def test_a_long_header_that_is_there_is_refused_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(final_checkpoint, "MOST_HEADER_BYTES", 100)
    assert "its header claims" in told(path)


def test_very_many_tensors_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(final_checkpoint, "MOST_TENSORS", 5)
    assert "tensors" in told(path)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [2**40]},
        {"shape": [2**62, 2**62]},
        {"shape": [-1]},
        {"data_offsets": [0, 2**62]},
        {"data_offsets": [0, 4]},
        {"dtype": "F64"},
        {"dtype": "I32"},
        {"dtype": "Q7"},
        {"dtype": 7},
    ],
    ids=str,
)
def test_tensors_that_are_not_as_said_are_refused(path: Path, change: dict[str, Any]) -> None:
    def apply(header: dict[str, Any]) -> None:
        header[next(name for name in header if name.endswith("weight"))].update(change)

    with_header(path, apply)
    assert "the checkpoint is damaged" in told(path)


@pytest.mark.parametrize("kind", [torch.complex64, torch.float8_e4m3fn, torch.uint16])
def test_numbers_of_no_network_are_named(path: Path, kind: torch.dtype) -> None:
    save_file({"w": torch.zeros(2).to(kind)}, path, {KEY: json.dumps({"schema": 3, "sha256": "", "about": {}})})
    assert "w holds numbers of the kind" in told(path)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers_are_named(path: Path, checkpoint: Checkpoint, value: float) -> None:
    save_final(path, replace(checkpoint, weights={"w": torch.full((2,), value)}))
    assert "weights: w holds NaN or infinite numbers" in told(path)


def test_values_that_changed_are_noticed(path: Path) -> None:
    whole = path.read_bytes()
    for change in ({"epoch": 2}, {"trainer": "other"}):

        def apply(header: dict[str, Any], change: dict[str, Any] = change) -> None:
            content = json.loads(header["__metadata__"][KEY])
            content["about"] |= change
            header["__metadata__"][KEY] = json.dumps(content)

        path.write_bytes(whole)
        with_header(path, apply)
        with pytest.raises(DamagedError, match=r"its checksum is wrong\. Train this fold again with --fresh, or"):
            load_final(path)


@pytest.mark.parametrize("about", [None, [], {}, {"plan": 1}, [[]] * 3, "text"])
def test_a_forged_file_without_a_plan_is_refused(path: Path, about: Any) -> None:
    forged(path, {"w": torch.zeros(2)}, about)
    told(path)


@pytest.mark.parametrize("text", ["", "[]", "3", "{", "[" * 100_000, "{}", '{"schema": null}', '{"schema": 3}'])
def test_metadata_that_say_nothing_are_refused(path: Path, text: str) -> None:
    save_file({"w": torch.zeros(2)}, path, {KEY: text})
    told(path)


def test_a_plan_that_can_not_work_is_refused(path: Path, checkpoint: Checkpoint) -> None:
    save_final(path, replace(checkpoint, plan=replace(PLAN, batch_size=0)))
    assert "plan: this plan can't work" in told(path)


@pytest.mark.parametrize(
    ("schema", "words"), [(99, "install that version"), (2, "reads 3. Train this fold again with --fresh")]
)
def test_another_version_s_is_told_apart_from_damage(path: Path, schema: int, words: str) -> None:
    save_file({"w": torch.zeros(2)}, path, {KEY: json.dumps({"schema": schema})})
    with pytest.raises(InputError, match=f"has schema {schema}") as caught:
        load_final(path)
    assert not isinstance(caught.value, DamagedError)
    assert words in str(caught.value)


def test_another_program_s_file_is_no_checkpoint(path: Path) -> None:
    for metadata in (None, {"format": "pt"}):
        save_file({"w": torch.zeros(2)}, path, metadata)
        assert "this is no checkpoint of vmseg_auto" in told(path)


def test_no_pickle_is_ever_opened(path: Path, checkpoint: Checkpoint) -> None:
    torch.save({"weights": Trap(path.with_name("sprung"))}, path)
    assert "damaged or from elsewhere" in told(path)
    assert not path.with_name("sprung").exists()
    save_checkpoint(path, checkpoint)
    assert "damaged or from elsewhere" in told(path)


def test_a_missing_file_and_a_folder_have_words(tmp_path: Path) -> None:
    assert "does not exist. Train this fold first" in told(tmp_path / "c.safetensors")
    assert "damaged or from elsewhere" in told(tmp_path)


def test_a_file_without_rights_has_words(path: Path) -> None:
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user reads everything")
    assert "can't be read" in told(path)
