"""The entry of the desktop: it starts the same Python in the same folder, whatever their names hold."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vmseg_auto.cli.review import main
from vmseg_auto.start.shortcut import desktop_entry, install_shortcut, shell_script, windows_script
from vmseg_auto.utils.errors import InputError

ODD = "a \"b\" $HOME `c` 100 % \\d 'e'"


def values(entry: str) -> dict[str, str]:
    lines = [line.partition("=") for line in entry.splitlines()[1:]]
    return {name: value.replace("\\\\", "\\") for name, _, value in lines}


def words(command: str) -> list[str]:
    """The words of Exec, by the rules of the Desktop Entry Specification: each here stands in quotes."""
    found, rest = [], command
    while rest:
        assert rest[0] == '"'
        word, at = "", 1
        while rest[at] != '"':
            at += rest[at] == "\\"
            word, at = word + rest[at], at + 1
        found.append(word.replace("%%", "%"))
        rest = rest[at + 1 :].removeprefix(" ")
    return found


@pytest.mark.parametrize("folder", ["/home/ada/patients", f"/home/{ODD}"])
def test_a_desktop_entry_holds_folder_and_command(folder: str) -> None:
    entry = desktop_entry(Path(folder), f"/opt/{ODD}/python")
    assert entry.startswith("[Desktop Entry]\n")
    told = values(entry)
    assert (told["Path"], told["Type"], told["Terminal"]) == (folder, "Application", "true")
    assert words(told["Exec"]) == [f"/opt/{ODD}/python", "-P", "-m", "vmseg_auto.cli.review"]


@pytest.mark.skipif(not shutil.which("desktop-file-validate"), reason="desktop-file-validate is not installed")
def test_a_desktop_entry_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "vmseg_auto.desktop"
    path.write_text(desktop_entry(Path(f"/home/{ODD}"), sys.executable))
    done = subprocess.run(["desktop-file-validate", path], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.skipif(os.name != "posix", reason="there is no sh")
def test_a_script_runs_in_the_folder(tmp_path: Path) -> None:
    folder, script = tmp_path / ODD, tmp_path / "run"
    folder.mkdir()
    python = tmp_path / f"python {ODD}"
    python.write_text('#!/bin/sh\npwd\necho "$@"\n')
    python.chmod(0o755)
    script.write_text(shell_script(folder, str(python)))
    said = subprocess.run(["sh", script], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == [str(folder), "-P -m vmseg_auto.cli.review"]


def test_a_script_of_windows_quotes_what_it_must() -> None:
    script = windows_script(Path("C:/100 % patients"), r"C:\My tools\python.exe")
    assert script.splitlines()[2:4] == [
        f'cd /d "{Path("C:/100 %% patients")}"',
        r'"C:\My tools\python.exe" -P -m vmseg_auto.cli.review',
    ]
    assert script.endswith("\r\n")


def test_each_system_has_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    (tmp_path / "Desktop").mkdir()
    for platform, place in (
        ("linux", ".local/share/applications/vmseg_auto.desktop"),
        ("win32", "Desktop/vmseg_auto.cmd"),
        ("darwin", "Desktop/vmseg_auto.command"),
    ):
        assert place in install_shortcut(tmp_path, platform, tmp_path)
        assert (tmp_path / place).is_file()
    if os.name == "posix":
        assert os.access(tmp_path / "Desktop/vmseg_auto.command", os.X_OK)


def test_a_name_that_no_entry_can_hold_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a\nb").mkdir()
    with pytest.raises(InputError, match="line break"):
        install_shortcut(tmp_path / "a\nb", "linux", tmp_path)


def test_the_option_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert main(["--install-shortcut"]) == 0
    assert str(tmp_path) in capsys.readouterr().out
    assert (tmp_path / "data" / "applications" / "vmseg_auto.desktop").is_file()
