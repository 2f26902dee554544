"""Clicks that the page sends are put to a model, and what is none is refused in a sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clicking import clicked_model
from reports import GRID
from reviewing import Served, cases_of, served

from vmseg_auto.cli.review import main
from vmseg_auto.inference.clicks import ClickedScan
from vmseg_auto.inference.predictor import Predictor
from vmseg_auto.preprocessing.click_channels import MOST_CLICKS, Click
from vmseg_auto.review.click_model import ClickModel
from vmseg_auto.utils.errors import InputError

PLACE = [2, 8, 9]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return clicked_model(tmp_path / "model")


@pytest.fixture
def clicking(folder: Path, model: Path) -> Iterator[Served]:
    with served(folder, clicks=ClickModel(model, "cpu")) as running:
        yield running


def ask(server: Served, *clicks: Any, key: int = 0) -> tuple[int, bytes, dict[str, str]]:
    return server.ask("POST", f"/api/cases/{key}/click", json.dumps({"clicks": clicks}).encode())


def test_the_answer_is_the_models(clicking: Served, folder: Path, model: Path) -> None:
    assert clicking.json("/api/cases/0")["clicks"] is True
    status, body, _ = ask(clicking, [*PLACE, True])
    assert status == 200
    size = int.from_bytes(body[:4], "little")
    told, change = json.loads(body[4 : 4 + size]), np.frombuffer(body[4 + size :], np.uint8)
    image = cases_of(folder).open(0).image
    expected = ClickedScan(Predictor.load(model, device="cpu"), image, GRID).answer([Click((2, 8, 9), True)])
    assert told == {"box": [list(ends) for ends in expected.box], "label": 1}
    assert np.array_equal(change, expected.change.ravel())


@pytest.mark.parametrize(
    "clicks",
    [[], [[2, 8]], [[2, 8, 9, 1]], [[2.5, 8, 9, True]], [[True, 8, 9, True]], ["abcd"], [None], [[2, 8, 10**9, True]]],
)
def test_what_is_no_click_is_refused(clicking: Served, clicks: list[Any]) -> None:
    status, body, _ = ask(clicking, *clicks)
    assert status == 422
    assert "click" in json.loads(body)["problem"]


def test_more_than_clicks_can_be_is_refused(clicking: Served) -> None:
    assert ask(clicking, *([[*PLACE, True]] * 10 * MOST_CLICKS))[0] == 413
    for body in (b"{", b"[]", b"[" * 5000):
        assert clicking.ask("POST", "/api/cases/0/click", body)[0] == 422
    assert clicking.ask("POST", "/api/cases/9/click", b'{"clicks": [[0, 0, 0, true]]}')[0] == 422
    assert clicking.ask("POST", "/api/cases/0/click", b"{}", {"X-Vmseg-Token": "wrong"})[0] == 403


def test_without_a_model_the_page_has_no_clicks(server: Served) -> None:
    assert server.json("/api/cases/0")["clicks"] is False
    status, body, _ = ask(server, [*PLACE, True])
    assert status == 422
    assert "vmseg_review -m MODEL" in json.loads(body)["problem"]


def test_a_model_that_knows_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="this model knows no clicks"):
        ClickModel(clicked_model(tmp_path / "plain", clicks=False), "cpu")


def test_blind_reading_takes_no_model(folder: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-i", str(folder), "-m", str(model), "--reader", "Ada", "--blind", "--no-browser"]) != 0
    assert "who reads blind sees no prediction" in capsys.readouterr().err
