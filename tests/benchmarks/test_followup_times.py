"""A patient at three times as the benchmark follows them, and its section of the page."""

from __future__ import annotations

from pathlib import Path

from benchmarks.followup_report import BEGIN, END, write_report
from benchmarks.followup_times import COURSES, Row, later_times, row_of, section
from vmseg_auto.data.dataset import Case
from vmseg_auto.data.images.images import write_image, write_mask
from vmseg_auto.demo.phantom.phantom import make_phantom


def test_a_course_is_followed_and_judged_by_the_known_motion(tmp_path: Path) -> None:
    scan = make_phantom(0, 0)
    write_image(tmp_path / "a_0000.nii.gz", scan.image, scan.geometry)
    write_mask(tmp_path / "a.nii.gz", scan.mask, scan.geometry)
    case = Case("a", "a", (tmp_path / "a_0000.nii.gz",), tmp_path / "a.nii.gz")
    later = later_times(case, (-60, -30), tmp_path / "picture.png")
    row = row_of((-30, -60), later)
    assert row is not None
    assert row.classes == (True, True)
    assert row.recist == (True, True)
    assert max(row.off_mm) < 1
    assert row_of((0, 20), later) is None, "a time that was not made"
    assert [one.told.alignment.problems for one in later.values()] == [(), ()]


def test_the_section_counts_each_time(tmp_path: Path) -> None:
    rows = [
        Row(COURSES[0], (True, False), (True, True), (0.0, 1.5)),
        Row(COURSES[0], (True, True), (False, True), (0.0, 0.0)),
    ]
    lines = section(rows).splitlines()
    assert "| -30 %, then -60 % | 2 | 2, 1 | 1, 2 | 1.50 mm |" in lines


def test_the_other_tables_keep_the_section(tmp_path: Path) -> None:
    page = tmp_path / "followup.md"
    row = {"true_percent": "0", "percent": "1", "response": "unchanged", "beyond_error": "False"}
    seen, model = [row | {"aligned": "True", "off_mm": "0.5"}], [row]
    write_report(seen, model, page)
    text = page.read_text()
    assert BEGIN in text
    page.write_text(text.replace(f"{BEGIN}\n", f"{BEGIN}\nthree times\n"))
    write_report(seen, model, page)
    assert f"{BEGIN}\nthree times\n{END}" in page.read_text()
