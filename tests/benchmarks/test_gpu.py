"""The device benchmark at its smallest, on the CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.gpu import Work, count_work, main

ROOT = Path(__file__).parents[2]
TINY = ["--device", "cpu", "--memory", "0.01", "--shape", "8", "24", "24", "--spacing", "4", "1", "1", "--repeats", "2"]


def test_it_prints_json_and_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY, "--precision", "float32", "--windows", "1", "--peak", "1", "1", "100"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    training, window = json.loads(first)["rows"]
    assert (training["what"], window["what"]) == ("training step", "window")
    assert training["per_s"] > 0
    assert window["share"] == pytest.approx(window["per_s"] / window["floor_per_s"])
    assert len(lines) == 3


def test_convolutions_are_counted() -> None:
    network = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ConvTranspose3d(4, 2, 2, 2))
    work = count_work(network, torch.zeros(1, 1, 2, 3, 5))
    assert work.flops == 2 * (27 * 4 * 30 + 8 * 4 * 2 * 30)
    assert work.values == 30 * (1 + 4) + 30 * (4 + 2 * 8)


def test_the_floor_is_the_longer_of_computing_and_moving() -> None:
    assert Work(2e12, 1e9).floor_s(1, 100, 4) == 2.0
    assert Work(1e9, 1e12).floor_s(1, 100, 2) == 20.0


def test_simpleitk_is_never_loaded() -> None:
    script = "import sys, benchmarks.gpu; sys.exit('SimpleITK' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT).returncode == 0
