"""docs/followup.md from rows of pairs."""

from __future__ import annotations

from pathlib import Path

from benchmarks.followup_report import by_model, by_true_masks, write_report


def row(true: int, response: str, **more: str) -> dict[str, str]:
    return {"true_percent": str(true), "percent": str(true + 1), "response": response, "beyond_error": "True", **more}


SEEN = [
    row(-60, "major", aligned="True", off_mm="0.5"),
    row(-60, "intermediate", aligned="True", off_mm="1.25"),
    row(0, "unchanged", aligned="False", off_mm="40"),
]
MODEL = [row(-60, "unchanged", beyond_error="False"), row(-60, "major"), row(0, "unchanged", beyond_error="False")]


def test_true_masks() -> None:
    assert by_true_masks(SEEN).splitlines()[2:] == [
        "| -60 % (major) | 2 | 2 | 1.25 mm | 1 |",
        "| +0 % (unchanged) | 1 | 0 | nan mm | 1 |",
    ]


def test_model() -> None:
    assert by_model(MODEL).splitlines()[2:] == [
        "| -60 % (major) | 2 | -59 % | 1 | 1 | 1 |",
        "| +0 % (unchanged) | 1 | +1 % | 0 | 1 | 1 |",
    ]


def test_the_report_says_what_it_is_of(tmp_path: Path) -> None:
    write_report(SEEN, MODEL, tmp_path / "followup.md")
    text = (tmp_path / "followup.md").read_text()
    assert "All pairs are synthetic" in text
    assert by_true_masks(SEEN) in text
    assert by_model(MODEL) in text
