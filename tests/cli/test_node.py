"""vmseg_node as it is called: what is missing is named before anything is begun."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmseg_auto.cli.node import main
from vmseg_auto.utils.atomic import write_json

PEERS = {"pacs": {"ae_title": "PACS", "host": "127.0.0.1", "port": 104}}


@pytest.fixture
def settings(tmp_path: Path) -> str:
    write_json(tmp_path / "pacs.json", {"peers": PEERS, "node": {"accept": ["pacs"], "send_to": ["pacs"]}})
    return str(tmp_path / "pacs.json")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "no model is given. Name a model's zip or folder with -m."),
        (["--purge"], "--purge does not say how old. Give --keep-days N too; 0 deletes all."),
        (["--purge", "--keep-days", "-1"], "--keep-days must not be below 0"),
    ],
)
def test_what_is_missing_is_named(
    options: list[str], message: str, settings: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*options, "--pacs", settings]) == 2
    assert message in capsys.readouterr().err
    assert not Path(settings).with_name("queue").exists()


def test_the_settings_file_is_named_by_the_environment_too(
    settings: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path.parent)
    assert main(["--status"]) == 2
    assert "pacs.json: there is no such settings file. Name it with --pacs" in capsys.readouterr().err
    monkeypatch.setenv("VMSEG_PACS", settings)
    assert main(["--status"]) == 0
    assert capsys.readouterr().out.splitlines() == ["No node is at work on this queue.", "The queue is empty."]


def test_a_model_that_is_none_is_refused_at_once(
    settings: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pynetdicom", reason="the extra pacs is not installed")
    assert main(["-m", str(tmp_path / "model.zip"), "--pacs", settings]) == 2
    assert "model.zip" in capsys.readouterr().err
