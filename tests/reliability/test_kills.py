"""A killed command leaves nothing that its second run does not mend; benchmarks/reliability/kills.py kills more."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.reliability.kills import Kill, digests, kill_often, report


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes left behind in /proc")
def test_commands_killed_at_any_moment_come_to_the_same_end(tmp_path: Path) -> None:
    kills = list(kill_often(tmp_path, 3, seed=1, stages=("plan", "train", "predict"), cases=2))
    assert [kill.stage for kill in kills] == ["plan", "train", "predict"]
    assert all(kill.harmless for kill in kills), kills


def test_what_would_be_lost_damaged_or_left_is_seen(tmp_path: Path) -> None:
    for name, text in (("a.json", "1"), ("b/history.csv", "epoch,seconds\n1,0.5\n"), ("vmseg.lock", "x")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    first = digests(tmp_path)
    assert first.keys() == {"a.json", "b/history.csv"}
    (tmp_path / "b" / "history.csv").write_text("epoch,seconds\n1,0.7\n")
    assert digests(tmp_path) == first
    (tmp_path / "b" / "history.csv").write_text("epoch,seconds\n2,0.5\n")
    assert digests(tmp_path)["b/history.csv"] != first["b/history.csv"]


def test_the_report_counts_every_kind_of_harm() -> None:
    harm = Kill("train", 0.5, lost=("a", "b"), damaged=("c",), left=("d",), orphans=2, error="no")
    assert not harm.harmless
    lines = list(report([Kill("plan", 0.1), harm], seed=3))
    assert "| trains | 1 | 2 | 1 | 1 | 2 | 1 |" in lines
    assert "| all | 2 | 2 | 1 | 1 | 2 | 1 |" in lines
