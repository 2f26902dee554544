"""A model's zip gives back what was put in, and nothing else gets out of one."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmseg_auto.models import zip as model_zip
from vmseg_auto.models.manifest import Manifest
from vmseg_auto.models.zip import unpacked, write_model_zip
from vmseg_auto.utils.errors import InputError

WEIGHTS = "model_0/fold_0/checkpoint_final.safetensors"
ABOUT = Manifest("ours", "CC0", "0.1", ("model_0",), None, {})


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    (tmp_path / "weights").write_bytes(bytes(range(256)) * 9)
    contents = {"card.md": "# Ours\n", "model_0/model.json": "{}", WEIGHTS: tmp_path / "weights"}
    write_model_zip(tmp_path / "m.zip", ABOUT, contents)
    return tmp_path / "m.zip"


def again(path: Path, change: Callable[[ZipFile, str, bytes], None]) -> Path:
    """The same zip, with each entry written by `change`."""
    with ZipFile(path) as source:
        entries = [(entry.filename, source.read(entry)) for entry in source.infolist()]
    with ZipFile(path, "w", ZIP_STORED) as target:
        for name, content in entries:
            change(target, name, content)
    return path


def with_more(path: Path, name: str, content: bytes = b"x", **attributes: int) -> Path:
    """The same zip with another entry."""
    info = ZipInfo("placeholder")
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    info.filename = info.orig_filename = name  # as is: the constructor would mend it
    with ZipFile(path, "a") as target:
        target.writestr(info, content)
    return path


def refusal(path: Path) -> str:
    """Why a zip is refused; nothing of it may be left, or lie outside."""
    before = sorted(path.parent.parent.rglob("*"))
    with pytest.raises(InputError) as caught, unpacked(path):
        pass
    assert sorted(path.parent.parent.rglob("*")) == before
    assert str(path) in str(caught.value)
    assert "Get it again from where it came from" in str(caught.value)
    return str(caught.value)


def test_what_was_packed_comes_back_and_is_gone_afterwards(packed: Path) -> None:
    with unpacked(packed) as (manifest, folder):
        assert (folder / WEIGHTS).read_bytes() == bytes(range(256)) * 9
        assert (folder / "card.md").read_text() == "# Ours\n"
        assert set(manifest.members) == {"card.md", "model_0/model.json", WEIGHTS}
        assert replace(manifest, members={}) == ABOUT
    assert not folder.exists()


def test_the_same_model_gives_the_same_bytes(packed: Path, tmp_path: Path) -> None:
    with unpacked(packed) as (manifest, folder):
        contents: dict[str, str | Path] = {name: folder / name for name in manifest.members}
        write_model_zip(tmp_path / "other.zip", ABOUT, contents)
    assert (tmp_path / "other.zip").read_bytes() == packed.read_bytes()


def test_an_existing_file_is_left_alone(packed: Path) -> None:
    before = packed.read_bytes()
    with pytest.raises(InputError, match="it exists already"):
        write_model_zip(packed, ABOUT, {})
    assert packed.read_bytes() == before


@pytest.mark.parametrize(
    "name",
    [
        "../evil.json", "/tmp/evil.json", "model_0/../../evil.json", "C:\\evil.json", "model_0\\model.json",
        "model_0/fold_0/../../card.md", "notes.txt", "model_0/run.py", "model_0/fold_0/network.onnx", "model_0/",
        "card.md ", "CARD.md", "model_٣/model.json", "card.md\0.txt",
    ],
)  # fmt: skip
def test_names_of_other_files_are_refused(packed: Path, name: str) -> None:
    words = refusal(with_more(packed, name))
    assert "nothing but its JSON, card.md and weights" in words or "damaged" in words


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"external_attr": 0o120777 << 16}, "which is a link"),
        ({"external_attr": 0o020644 << 16}, "which is a link or another thing than a plain file"),
        ({"external_attr": 0x10}, "another thing than a plain file"),
        ({"compress_type": ZIP_DEFLATED}, "which is compressed"),
    ],
)
def test_odd_entries_are_refused(packed: Path, attributes: dict[str, int], words: str) -> None:
    assert words in refusal(with_more(packed, "fingerprint.json", bytes(10_000), **attributes))


def test_an_encrypted_entry_is_refused(packed: Path) -> None:
    data = bytearray(packed.read_bytes())
    central = data.index(b"PK\x01\x02")
    struct.pack_into("<H", data, central + 8, 1)
    packed.write_bytes(data)
    assert "which is encrypted" in refusal(packed)


def test_two_files_of_one_name_are_refused(packed: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        with_more(packed, "card.md")
    assert "two files of one name" in refusal(packed)


def test_a_bomb_of_overlapping_files_is_refused(packed: Path) -> None:
    """Sizes are what the directory claims: all entries point at the same bytes."""
    data = bytearray(packed.read_bytes())
    huge, at = len(data), data.index(b"PK\x01\x02")
    while at != -1:
        struct.pack_into("<II", data, at + 20, huge, huge)
        at = data.find(b"PK\x01\x02", at + 4)
    packed.write_bytes(data)
    assert "larger than the zip itself" in refusal(packed)


def test_many_files_and_long_texts_are_refused(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_zip, "MAX_FILES", 3)
    assert "it holds 4 files, and a model at most 3" in refusal(packed)
    monkeypatch.setattr(model_zip, "MAX_FILES", 9)
    monkeypatch.setattr(model_zip, "MAX_TEXT_BYTES", 6)
    assert "a text of 7 bytes, where 6 are the most" in refusal(packed)


def test_a_file_that_the_manifest_does_not_name_is_refused(packed: Path) -> None:
    assert "holds fingerprint.json, which its manifest does not name" in refusal(with_more(packed, "fingerprint.json"))


def test_a_file_that_is_missing_is_named(packed: Path) -> None:
    again(packed, lambda zipped, name, content: None if name == "card.md" else zipped.writestr(name, content))
    assert "lacks card.md" in refusal(packed)


def test_changed_weights_are_named(packed: Path) -> None:
    """The zip's own checksums are right: only the manifest tells."""
    again(packed, lambda zipped, name, content: zipped.writestr(name, content.replace(b"\x07\x08", b"\x08\x07")))
    assert f"{WEIGHTS} is not what the manifest says" in refusal(packed)


def test_other_zips_are_no_models(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr("card.md", "x")
    assert "no manifest.json, so it is no model of vmseg_auto" in refusal(tmp_path / "m.zip")


@pytest.mark.parametrize("manifest", ["", "[]", "{}", "[" * 100_000, '{"format": "other"}', '{"\\ud800": 0}'])
def test_a_manifest_that_says_nothing_is_refused(packed: Path, manifest: str) -> None:
    again(packed, lambda z, name, content: z.writestr(name, manifest if name == "manifest.json" else content))
    assert refusal(packed).encode()


def test_a_missing_file_and_a_text_have_words_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no such model\. Check the name"), unpacked(tmp_path / "m.zip"):
        pass
    (tmp_path / "m.zip").write_text("no zip at all")
    assert "this is no zip of a model" in refusal(tmp_path / "m.zip")


@settings(max_examples=60)
@given(data=st.data())
def test_a_spoilt_byte_is_an_error_in_words_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever byte is changed or wherever the file ends: what is unpacked is what was packed."""
    folder = tmp_path_factory.getbasetemp() / "spoilt"
    folder.mkdir(exist_ok=True)
    path = folder / "m.zip"
    path.unlink(missing_ok=True)
    texts = {"card.md": "# Ours", "model_0/model.json": "{}", WEIGHTS: "w" * 50}
    whole = write_model_zip(path, ABOUT, texts)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    try:
        with unpacked(path) as (manifest, where):
            assert manifest.members.keys() <= whole.members.keys()
            assert (where / WEIGHTS).read_text() == texts[WEIGHTS]
    except InputError:
        pass


def test_the_manifest_is_json_for_other_programs(packed: Path) -> None:
    with ZipFile(packed) as archive:
        about = json.loads(archive.read("manifest.json"))
    assert about["members"]["card.md"] == {"sha256": sha256(b"# Ours\n").hexdigest(), "bytes": 7}


def test_an_error_about_a_file_of_it_names_the_zip(packed: Path) -> None:
    with pytest.raises(InputError) as caught, unpacked(packed) as (_, folder):
        raise InputError("it is odd", file=folder / WEIGHTS, remedy="Train again.")
    assert str(caught.value).startswith(f"{packed}/{WEIGHTS}: it is odd. Get it again from where it came from")
    with (
        pytest.raises(InputError, match=rf"^{packed}/card.md is odd\. Get it again"),
        unpacked(packed) as opened,
    ):
        raise InputError(f"{opened[1]}/card.md is odd")
    with pytest.raises(InputError, match=r"^the scan is odd\. Mend it\.$"), unpacked(packed):
        raise InputError("the scan is odd", remedy="Mend it.")
