"""results.json as tables: a short one for the screen, and the one of docs/performance.md.

    python -m benchmarks.gpu_day.table RESULTS.json

prints the second.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.gpu_day.findings import DayResults, Figure, Finding, read_results
from benchmarks.gpu_day.schedule import CHECKS


def short_table(results: DayResults) -> str:
    """A line a check, and one for each figure that does not hold."""
    lines = [f"{'check':<14}{'state':<14}{'seconds':>8}{'figures':>9}{'as wanted':>11}"]
    for name, finding in results.findings.items():
        wanted = [figure for figure in finding.figures if figure.holds is not None]
        held = f"{sum(bool(figure.holds) for figure in wanted)} of {len(wanted)}"
        lines.append(f"{name:<14}{finding.state:<14}{finding.seconds:>8.1f}{len(finding.figures):>9}{held:>11}")
        lines += [f"  {figure.name}: {figure.text()}, {figure.wanted}" for figure in wanted if not figure.holds]
        lines += [f"  | {line}" for line in finding.error.splitlines()]
    return "\n".join(lines)


def page_table(results: DayResults) -> str:
    """Markdown: the setting, then a row for each figure, in the checks' order."""
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    lines = [f"{results.device}; {results.machine.text()}. {versions}."]
    if results.toy:
        lines.append("A rehearsal at toy size: none of these figures says anything of a GPU.")
    lines += ["", "| check | figure | value | wanted | holds |", "| --- | --- | --- | --- | --- |"]
    for check in CHECKS:
        if finding := results.findings.get(check.name):
            lines += _rows(check.name, finding)
    return "\n".join(lines) + "\n"


def _rows(name: str, finding: Finding) -> list[str]:
    rows = [_row(name, figure) for figure in finding.figures]
    if finding.state != "done":
        rows.append(f"| `{name}` | {finding.state} after {finding.seconds:.0f} s | - | to come to its end | no |")
    return rows


def _row(name: str, figure: Figure) -> str:
    holds = {True: "yes", False: "no", None: ""}[figure.holds]
    wanted = figure.wanted.replace("|", "/")
    return f"| `{name}` | {figure.name} | {figure.text()} | {wanted} | {holds} |"


if __name__ == "__main__":
    print(page_table(read_results(Path(sys.argv[1]))))
