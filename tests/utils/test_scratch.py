"""Files of a moment find room where there is any, and where there is none, that is told."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from dicom import compressed, numbers, save
from small_disk import fill, small_disk

from vmseg_auto.data.dicom.read import read_series
from vmseg_auto.data.dicom.series_files import find_series
from vmseg_auto.utils import scratch as scratch_module
from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.utils.scratch import name_spare, scratch


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The system's folder, for this test alone."""
    (tmp_path / "system").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "system"))
    yield tmp_path / "system"
    scratch_module._spare.clear()


def test_the_systems_folder_is_taken_and_left_empty(own_folder: Path, tmp_path: Path) -> None:
    name_spare(tmp_path / "masks")
    with scratch(100) as folder:
        assert folder.parent == own_folder
        (folder / "a").write_bytes(b"x" * 100)
    assert not list(own_folder.iterdir())
    assert not (tmp_path / "masks").exists()


def test_where_that_is_gone_files_lie_near_the_output(own_folder: Path, tmp_path: Path) -> None:
    own_folder.rmdir()
    with (
        pytest.raises(VmsegError, match=r"system: there is no room for 100 bytes of temporary files.*TMPDIR"),
        scratch(100),
    ):
        pass
    name_spare(tmp_path / "masks" / "today")
    with scratch(100) as folder:
        assert folder.parent == tmp_path
    assert not list(tmp_path.iterdir())


def test_a_full_folder_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with small_disk(tmp_path / "disk", kilobytes=64) as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        with scratch(1000) as folder:
            assert folder.parent == disk
        fill(disk, 0)
        name_spare(tmp_path / "masks")
        with scratch(1000) as folder:
            assert folder.parent == tmp_path


def test_a_scan_is_not_called_damaged_for_want_of_room(tmp_path: Path) -> None:
    """The decoder's own process meets the limit."""
    resource = pytest.importorskip("resource")
    save(tmp_path / "scan", compressed(numbers((3, 200, 200)), tmp_path / "itk", "JPEG2000"))
    (found,) = find_series(tmp_path / "scan")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (75_000, before[1]))  # a stream is smaller, its numbers are not
    try:
        with pytest.raises(VmsegError, match=r"no room for .* of temporary files") as caught:
            read_series(found, "anna")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.case == "anna"
    assert read_series(found)[0].shape == (3, 200, 200)


NOWHERE = """
import sys, tempfile
from pathlib import Path
from vmseg_auto.utils.scratch import name_spare
tempfile._candidate_tempdir_list = lambda: ["/nonexistent"]
name_spare(Path("masks"))
print(tempfile.gettempdir())
"""


def test_a_process_gets_a_folder_where_the_system_has_none(tmp_path: Path) -> None:
    """torch and matplotlib ask for one as they are loaded."""
    words = [sys.executable, "-c", NOWHERE]
    done = subprocess.run(words, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).parent == tmp_path
    assert [path.name for path in tmp_path.iterdir()] == ["system"]


@pytest.mark.skipif(os.name != "posix", reason="elsewhere it can't be known whether a process has ended")
def test_what_a_killed_process_left_is_removed_by_the_next_and_nothing_else(own_folder: Path) -> None:
    script = (
        "import os, sys\nfrom vmseg_auto.utils.scratch import scratch\n"
        "with scratch(1) as folder:\n    (folder / 'image.dcm').touch()\n    os._exit(9)"
    )
    environment = {**os.environ, "TMPDIR": str(own_folder)}
    assert subprocess.run([sys.executable, "-c", script], env=environment, check=False).returncode == 9
    (left,) = own_folder.iterdir()
    (own_folder / "vmseg_results.zip").touch()
    (own_folder / "vmseg_notes.d").mkdir()
    with scratch(1) as folder, scratch(1) as other:
        assert {path.name for path in own_folder.iterdir()} == {
            "vmseg_results.zip", "vmseg_notes.d", folder.name, other.name,
        }  # fmt: skip
    assert not left.exists()
