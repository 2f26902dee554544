"""Files are whole or absent, and what can't be read says so."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmseg_auto.utils.atomic import (
    leftovers,
    new_folder,
    read_json,
    remove_leftovers,
    replacing,
    whole_files,
    write_json,
    write_text,
)
from vmseg_auto.utils.errors import InputError, VmsegError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner, max_size=6),
    max_leaves=40,
)


def fail_half_way(path: Path, kind: type[BaseException]) -> None:
    with replacing(path) as temporary:
        temporary.write_text("half of the new con")
        raise kind("in between")


def test_a_file_is_made_with_its_folders_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "notes.txt"
    write_text(path, "Größe\n")
    assert path.read_bytes() == "Größe\n".encode()
    assert list(path.parent.iterdir()) == [path]


def test_the_temporary_name_keeps_a_double_ending(tmp_path: Path) -> None:
    with replacing(tmp_path / "case.nii.gz") as temporary:
        assert temporary.name.endswith(".nii.gz")
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"x")


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, VmsegError])
def test_an_exception_leaves_the_old_content_and_nothing_half_written(
    tmp_path: Path, kind: type[BaseException]
) -> None:
    path = tmp_path / "plan.json"
    path.write_text("old")
    with pytest.raises(kind, match="in between"):
        fail_half_way(path, kind)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_exception_leaves_no_file_where_there_was_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="in between"):
        fail_half_way(tmp_path / "plan.json", ValueError)
    assert list(tmp_path.iterdir()) == []


def test_content_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    write_text(path, "a long old content")
    with path.open() as reader:
        write_text(path, "new")
        if os.name == "posix":  # who reads the old file goes on reading it
            assert reader.read() == "a long old content"
    assert path.read_text() == "new"


@pytest.mark.skipif(os.name != "posix", reason="rights are POSIX's")
def test_rights_are_those_of_any_new_file(tmp_path: Path) -> None:
    plain, ours = tmp_path / "plain", tmp_path / "ours"
    plain.touch()
    write_text(ours, "x")
    assert stat.S_IMODE(ours.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_folder_that_is_a_file_gives_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(VmsegError, match=r"can't be written \(.+\)\. Check the disk's free space") as caught:
        write_text(tmp_path / "file" / "plan.json", "x")
    assert caught.value.file == tmp_path / "file" / "plan.json"


def test_a_failing_write_gives_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(VmsegError, match="No space left"), replacing(tmp_path / "plan.json"):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


@given(data=JSON)
def test_json_round_trip(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "data.json"
    write_json(path, data)
    assert read_json(path) == data


def test_json_for_human_eyes(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    data = {"patch": [20, 160, 160], "reasons": ["ü" * 60, "b" * 60], "table": {1: "x" * 60, 2: "y" * 60}}
    write_json(path, data)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[1] == '  "patch": [20, 160, 160],'
    assert f'    "{"ü" * 60}",' in lines
    assert json.loads("\n".join(lines))["table"] == {"1": "x" * 60, "2": "y" * 60}


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "splits.json"
    path.write_text('{"a": 1}', encoding="utf-8-sig")
    assert read_json(path) == {"a": 1}


@pytest.mark.parametrize(
    "content",
    [b"", b'{"a": 1', b"{'a': 1}", b"\xff\xfe\x00", b"[" * 100_000, b"1" * 10_000],
    ids=["empty", "cut", "single quotes", "no text", "too deep", "too long a number"],
)
def test_what_is_no_json_names_file_and_remedy(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "dataset.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"no valid JSON .*Restore it\.") as caught:
        read_json(path, remedy="Restore it.")
    assert caught.value.file == path


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.json: the file does not exist\. Plan first\."):
        read_json(tmp_path / "nothing.json", remedy="Plan first.")
    with pytest.raises(InputError, match="it is a folder"):
        read_json(tmp_path)


def test_a_folder_is_made_whole_and_with_the_usual_rights(tmp_path: Path) -> None:
    path = tmp_path / "a" / "model"
    with new_folder(path) as temporary:
        assert not path.exists()
        (temporary / "x").write_text("x")
    assert [p.name for p in path.iterdir()] == ["x"]
    assert list(path.parent.iterdir()) == [path]
    path.with_name("plain").mkdir()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(path.with_name("plain").stat().st_mode)


def test_an_exception_leaves_nothing_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="in between"), new_folder(tmp_path / "model") as temporary:  # noqa: PT012
        (temporary / "x").write_text("x")
        raise ValueError("in between")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_already_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.mkdir()
    with pytest.raises(InputError, match=r"model: it exists already\. Choose another name"), new_folder(path):
        pass
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(VmsegError, match="it can't be written"), new_folder(tmp_path / "file" / "model"):
        pass


def unfinished(path: Path) -> Path:
    """What a command that is killed while it writes leaves."""
    script = "import os, sys\nfrom pathlib import Path\nfrom vmseg_auto.utils.atomic import replacing\n"
    script += "with replacing(Path(sys.argv[1])) as temporary:\n    temporary.write_text('half')\n    os._exit(9)"
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False).returncode == 9
    (left,) = set(path.parent.iterdir()) - {path}
    return left


def test_a_file_that_is_being_written_is_not_listed(tmp_path: Path) -> None:
    write_json(tmp_path / "b.json", 1)
    with replacing(tmp_path / "a.json"):
        assert [path.name for path in whole_files(tmp_path, "*.json")] == ["b.json"]
    assert [path.name for path in whole_files(tmp_path, "*.json")] == ["a.json", "b.json"]
    assert whole_files(tmp_path / "none", "*.json") == []


def test_what_a_killed_command_left_is_found_and_removed_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "plan.json", "whole")
    (tmp_path / ".DS_Store").touch()
    left = [unfinished(tmp_path / "a" / "plan.json"), unfinished(tmp_path / "fold_0" / "curve.png")]
    folder = tmp_path / f"{left[0].name}x"
    folder.mkdir()
    (folder / "weights").touch()
    assert set(leftovers(tmp_path)) == {*left, folder}
    remove_leftovers(tmp_path, below=lambda place: place.name != "fold_0")
    assert leftovers(tmp_path) == [left[1]]
    remove_leftovers(tmp_path / "fold_0")
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        ".DS_Store", "a", "a/plan.json", "fold_0",
    ]  # fmt: skip
    remove_leftovers(tmp_path / "nowhere")


def test_a_full_disk_loses_nothing_that_was_finished(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="needs a limit on the size of files")
    script = f"""
import resource
from pathlib import Path
from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.utils.atomic import write_text
path = Path({str(tmp_path)!r}) / "plan.json"
write_text(path, "old")
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, {resource.RLIM_INFINITY}))
try:
    write_text(path, "new" * 1000)
except VmsegError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "plan.json: it can't be written (File too large)" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]
    assert (tmp_path / "plan.json").read_text() == "old"


def test_what_stood_there_goes_on_under_another_name(tmp_path: Path) -> None:
    path, keep = tmp_path / "latest", tmp_path / "previous"
    for text in ("1", "2", "3"):
        with replacing(path, keep) as temporary:
            temporary.write_text(text)
            assert keep.exists() == (text == "3"), "nothing moves before the new file is whole"
    assert (path.read_text(), keep.read_text()) == ("3", "2")
    with pytest.raises(ValueError, match="in between"), replacing(path, keep):
        raise ValueError("in between")
    assert (path.read_text(), keep.read_text()) == ("3", "2")
    assert len(list(tmp_path.iterdir())) == 2


def test_what_a_running_command_writes_is_left_alone(tmp_path: Path) -> None:
    with replacing(tmp_path / "mask.nii.gz") as ours, new_folder(tmp_path / "model") as folder:
        (folder / "weights").touch()
        other = tmp_path / ".vmseg_tmp.0123abcd-1-1.mask.nii.gz.1a2b3c4d.nii.gz"
        for path in (ours, other):
            path.write_text("half")
        assert leftovers(tmp_path) == []
        remove_leftovers(tmp_path)
        assert ours.exists()
        assert (folder / "weights").exists()
        assert other.exists(), "of another machine, and just written"
        os.utime(other, (0, 0))
        assert leftovers(tmp_path) == [other]


@pytest.mark.skipif(os.name != "posix", reason="rights are POSIX's")
def test_rights_are_the_systems_to_give_and_stay_with_the_file(tmp_path: Path) -> None:
    group = tmp_path / "group"
    group.mkdir()
    group.chmod(0o2775)
    (group / "plain").mkdir()
    with new_folder(group / "model"):
        pass
    assert (group / "model").stat().st_mode == (group / "plain").stat().st_mode, "the group's folder hands on its group"
    key = group / "key.csv"
    write_text(key, "1")
    key.chmod(0o600)
    write_text(key, "2")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600, "who has closed it to others wants it to stay so"


@pytest.mark.skipif(os.name != "posix", reason="rights are POSIX's")
def test_threads_that_write_at_once_leave_the_umask_alone(tmp_path: Path) -> None:
    script = f"""
import os, sys, threading
from pathlib import Path
from vmseg_auto.utils.atomic import write_text
os.umask(0o027)
sys.setswitchinterval(1e-6)
work = lambda n: [write_text(Path({str(tmp_path)!r}, f"{{n}}_{{turn}}"), "x") for turn in range(30)]
threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
[one.start() for one in threads]
[one.join() for one in threads]
sys.exit(os.umask(0) != 0o027)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o640}
