"""What a command said can be read afterwards, and the log never stands in its way."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

import pytest
from small_disk import small_disk

from vmseg_auto.utils.logs import KEPT, LOGGER, CommandLog


def lines(folder: Path) -> list[str]:
    (path,) = folder.iterdir()
    return path.read_text(encoding="utf-8").splitlines()


def test_a_log_tells_of_versions_arguments_words_and_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *rest: shown.append(str(message)))
    with CommandLog(tmp_path / "logs", "vmseg_train", {"folds": [0, 1]}) as log:
        LOGGER.info("Größe 3 mL")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("a library's own", UserWarning, stacklevel=1)
        assert log.path is not None
        assert re.fullmatch(rf"vmseg_train_\d{{4}}-\d\d-\d\dT\d\d-\d\d-\d\d_{os.getpid()}\.log", log.path.name)
        assert log.path.read_text(encoding="utf-8").count("Größe 3 mL") == 1  # at once, not at the end
    assert shown == ["a library's own"]
    text = "\n".join(lines(tmp_path / "logs"))
    for words in ("command: vmseg_train", "arguments: {'folds': [0, 1]}", "Python: 3.", "torch: ", "CPU cores: "):
        assert words in text
    assert "WARNING" in text
    assert "UserWarning: a library's own" in text


def test_it_waits_for_its_folder_and_makes_none_of_its_own(tmp_path: Path) -> None:
    home = tmp_path / "vmseg"
    with CommandLog(home / "logs", "vmseg_plan_and_preprocess", {}) as log:
        LOGGER.info("before")
        assert log.path is None
        home.mkdir()
        LOGGER.info("after")
    text = "\n".join(lines(home / "logs"))
    assert text.index("arguments") < text.index("before") < text.index("after")
    with CommandLog(tmp_path / "none" / "logs", "vmseg_train", {}):
        LOGGER.info("nothing is planned")
    with CommandLog(None, "vmseg_train", {}):
        LOGGER.info("no trace")
    assert [path.name for path in tmp_path.iterdir()] == ["vmseg"]


def test_only_the_latest_are_kept_and_other_files_stay(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "notes.log").touch()
    for number in range(KEPT + 3):
        path = logs / f"vmseg_train_2026-11-25T20-15-00_{number}.log"
        path.touch()
        os.utime(path, (number, number))
    with CommandLog(logs, "vmseg_train", {}):
        LOGGER.info("one more")
    names = {path.name for path in logs.iterdir()}
    assert len(names) == KEPT + 1
    assert "notes.log" in names
    assert not {f"vmseg_train_2026-11-25T20-15-00_{number}.log" for number in range(4)} & names


def test_a_log_that_can_not_be_written_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file stands in the way")
    with CommandLog(tmp_path / "logs", "vmseg_train", {}) as log:
        LOGGER.info("words")
        assert log.path is None
    assert (tmp_path / "logs").read_text() == "a file stands in the way"


def test_a_full_disk_fails_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = list(LOGGER.handlers)
    with small_disk(tmp_path / "disk", kilobytes=256) as disk, CommandLog(disk / "logs", "vmseg_train", {}) as log:
        assert log.path is not None
        for _ in range(300):
            LOGGER.info("a line of words " * 100)
        assert log.path is None
        LOGGER.info("and more")
    assert capsys.readouterr() == ("", "")
    assert LOGGER.handlers == before
