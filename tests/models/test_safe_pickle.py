"""What a file of torch.save claims is compared with what it holds, before memory is taken or code is named."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import pytest
import torch

from vmseg_auto.models.safe_archive import finite_tensors, load_archive
from vmseg_auto.models.safe_pickle import MOST_PICKLE_BYTES
from vmseg_auto.utils.errors import DamagedError

Change = Callable[[dict[str, bytes]], None]


def load(path: Path) -> object:
    return load_archive(path, missing="Make it.", remedy="Get another.")


def changed(path: Path, change: Change, content: object = None) -> Path:
    """A file of torch.save whose entries were changed within a zip that is whole."""
    plain = io.BytesIO()
    torch.save({"a": torch.arange(3.0)} if content is None else content, plain)
    with ZipFile(plain) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    change(entries)
    with ZipFile(path, "w", ZIP_STORED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def pickled(old: bytes, new: bytes) -> Change:
    """Replaces bytes of data.pkl."""

    def change(entries: dict[str, bytes]) -> None:
        assert old in entries["archive/data.pkl"]
        entries["archive/data.pkl"] = entries["archive/data.pkl"].replace(old, new, 1)

    return change


def replaced(name: str, data: bytes) -> Change:
    return lambda entries: entries.update({name: data})


def test_a_file_that_was_not_changed_is_read(tmp_path: Path) -> None:
    content = {"a": torch.arange(6).reshape(2, 3)[:, 1:], "b": torch.zeros(0), "c": torch.tensor(2.0).bfloat16()}
    found = load(changed(tmp_path / "c.pt", lambda entries: None, content))
    assert isinstance(found, dict)
    assert all(torch.equal(found[name], tensor) for name, tensor in content.items())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        # three numbers are said to be 200
        (pickled(b"cpuq\x06K\x03t", b"cpuq\x06K\xc8t"), "missing or of another size"),
        (pickled(b"K\x03\x85q\x08", b"K\xc8\x85q\x08"), r"shape \(200,\) is larger"),
        (pickled(b"K\x00K\x03\x85", b"K\x01K\x03\x85"), r"shape \(3,\) is larger"),
        # a stride of 0: as many numbers as are wanted from three
        (pickled(b"K\x03\x85q\x08K\x01", b"J\x00\x00\x00\x40\x85q\x08K\x00"), "is larger than its numbers"),
        (pickled(b"K\x03\x85q\x08K\x01", b"J\xff\xff\xff\xff\x85q\x08K\x01"), r"shape \(-1,\)"),
        (lambda entries: entries.pop("archive/data/0"), "missing or of another size"),
        (replaced("archive/data/0", b"1234"), "missing or of another size"),
        (replaced("archive/../../outside", b"x"), "lies outside"),
        (replaced("elsewhere", b"x"), "lies outside"),
        (replaced("archive/data.pkl", bytes(MOST_PICKLE_BYTES + 1)), "larger than 32 MB"),
        (lambda entries: entries.pop("archive/data.pkl"), "no file of torch.save"),
        (replaced("archive/data.pkl", pickle.dumps(bytearray(9), 2)), "it holds .*bytearray"),
        (replaced("archive/data.pkl", pickle.dumps(range(10**9), 2)), "it holds .*range"),
        (replaced("archive/data.pkl", pickle.dumps(Path("x"), 4)), "its pickle has STACK_GLOBAL"),
        (replaced("archive/data.pkl", b"\x80\x02(Vls\nios\nsystem\n."), "its pickle has INST"),
        (replaced("archive/data.pkl", b"\x80\x02\x82\x01."), "its pickle has EXT1"),
        (replaced("archive/data.pkl", b"\x80\x02]r\xff\xff\xff\x7f"), "damaged"),
    ],
)
def test_claims_that_can_not_be_are_refused(tmp_path: Path, change: Change, words: str) -> None:
    path = changed(tmp_path / "c.pt", change)
    with pytest.raises(DamagedError, match=words) as caught:
        load(path)
    assert caught.value.file == path
    assert caught.value.remedy == "Get another."


def test_entries_on_the_same_bytes_are_refused(tmp_path: Path) -> None:
    """How small zips come to claim terabytes: every entry of the table stands for the same bytes."""
    path = changed(tmp_path / "c.pt", replaced("archive/data/1", bytes(10_000)))
    data = bytearray(path.read_bytes())
    end = data.rindex(b"PK\x05\x06")
    start = int.from_bytes(data[end + 16 : end + 20], "little")
    at = data.index(b"archive/data/1", start) - 46
    row = bytes(data[at : at + 46 + len(b"archive/data/1")])
    rows = b"".join(row.replace(b"data/1", f"data/{letter}".encode()) for letter in "23456789")
    data[end:end] = rows
    end += len(rows)
    count = int.from_bytes(data[end + 10 : end + 12], "little") + 8
    data[end + 8 : end + 12] = 2 * count.to_bytes(2, "little")
    data[end + 12 : end + 16] = (end - start).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(DamagedError, match="claim more bytes than the file has"):
        load(path)


def test_two_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    path = changed(tmp_path / "c.pt", lambda entries: None)
    with ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("archive/data.pkl", b"other")
    with pytest.raises(DamagedError, match="two entries of one name"):
        load(path)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "weights is missing"),
        ({"a": 1.0}, "a is no tensor"),
        ({3: torch.zeros(1)}, "3 is no tensor"),
        ({"a": torch.tensor([0.0, torch.nan])}, "a holds NaN or infinite"),
        ({"a": torch.tensor([-torch.inf])}, "a holds NaN or infinite"),
    ],
)
def test_weights_that_can_not_predict_are_refused(tmp_path: Path, found: object, words: str) -> None:
    with pytest.raises(DamagedError, match=words):
        finite_tensors(found, "weights", tmp_path, "Get another.")
    assert finite_tensors({"a": torch.zeros(2), "n": torch.tensor(3)}, "weights", tmp_path, "").keys() == {"a", "n"}


def text(word: str) -> bytes:
    return b"X" + len(word).to_bytes(4, "little") + word.encode()


def entwined(opening: bytes, closing: bytes) -> bytes:
    """Each of 60 lists or tuples holds the one before twice."""
    parts = [opening + closing + b"q\xc8"]
    parts += [
        opening + b"h" + bytes([199 + n]) + b"h" + bytes([199 + n]) + closing + b"q" + bytes([200 + n])
        for n in range(1, 50)
    ]
    return b"(" + b"".join(parts) + b"t"


LISTS = entwined(b"](", b"e")
TUPLES = entwined(b"(", b"t")
HEX = b"c_codecs\nencode\n(" * 22 + text("A" * 1000) + text("latin1") + b"tR" + (text("hex") + b"tR") * 21


@pytest.mark.parametrize(
    ("added", "words"),
    [
        (text("x") + LISTS, "refer to one another"),
        (text("x") + TUPLES, "refer to one another"),
        (TUPLES + b"N", "neither text nor number"),
        (text("x") + HEX, "hex"),
        (text("x") + b"ccollections\nOrderedDict\n(((" + TUPLES + b"Nttt" + b"R", "never takes"),
    ],
    ids=["lists", "tuples", "tuples as a key", "codecs", "a dict made of tuples"],
)
def test_a_small_pickle_that_would_grow_is_refused_at_once(tmp_path: Path, added: bytes, words: str) -> None:
    def change(entries: dict[str, bytes]) -> None:
        name = next(name for name in entries if name.endswith("data.pkl"))
        entries[name] = entries[name][:-1] + added + b"s."

    with pytest.raises(DamagedError, match=words):
        load(changed(tmp_path / "bomb.pt", change))
