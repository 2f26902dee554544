"""docs/reliability.md: what each command measured stands between two marks of its name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmarks.results import our_versions
from vmseg_auto.utils.atomic import write_text

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


def put(name: str, lines: Iterable[str], page: Path = PAGE) -> None:
    """Replace what stands between the marks of that name; the version that it was made with is told below.

    Raises:
        ValueError: the page lacks them.
    """
    begin, end = f"<!-- {name}: written by python -m benchmarks.reliability.{name} -->", f"<!-- end of {name} -->"
    text = page.read_text(encoding="utf-8")
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{page} lacks the marks of {name}")
    version = f"*vmseg_auto {our_versions()['vmseg_auto']}.*"
    write_text(page, "\n".join((before + begin, *lines, "", version, end + after)))
