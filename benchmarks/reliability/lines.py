"""Which lines of the program the tests run, those that commands and workers run in processes of their own included.

python -m pip install -c constraints.txt -e ".[test,reliability]"
python -m benchmarks.reliability.lines [pytest's arguments]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.reliability.page import put

ROOT = Path(__file__).parents[2]
WANTED = 0.92
_SETTINGS = """
[run]
source = vmseg_auto, vmseg_planners, vmseg_trainers
parallel = true
concurrency = multiprocessing, thread
patch = subprocess, _exit
disable_warnings = no-data-collected, module-not-imported

[report]
exclude_also =
    if TYPE_CHECKING:
    \\.\\.\\.$
"""


def main(argv: Sequence[str] | None = None) -> int:
    tests = sys.argv[1:] if argv is None else argv
    with tempfile.TemporaryDirectory() as place:
        settings, out = Path(place, "settings"), Path(place, "lines.json")
        settings.write_text(_SETTINGS)
        environment = {**os.environ, "COVERAGE_FILE": str(Path(place, "data"))}

        def coverage(verb: str, *words: str | Path) -> int:
            command = [sys.executable, "-m", "coverage", verb, f"--rcfile={settings}", *map(str, words)]
            return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode

        failed = coverage("run", "-m", "pytest", "-q", "-n", "auto", "--dist", "worksteal", *tests)
        if coverage("combine", "--quiet", place) or coverage("json", "--quiet", "-o", out):
            return 1
        files = json.loads(out.read_text(encoding="utf-8"))["files"]
    lines = list(report(files))
    print("\n".join(lines))
    if not tests:
        put("lines", lines)
    return 1 if failed or share_of(files) < WANTED else 0


def share_of(files: Mapping[str, Any]) -> float:
    """Of coverage's "files": lines run of all there are."""
    summaries = [file["summary"] for file in files.values()]
    return float(sum(s["covered_lines"] for s in summaries) / sum(s["num_statements"] for s in summaries))


def report(files: Mapping[str, Any]) -> Iterator[str]:
    """The table for docs/reliability.md: a line a folder."""
    known: Counter[str] = Counter()
    run: Counter[str] = Counter()
    for name, file in files.items():
        for folder in (str(Path(name).parent), "all"):
            known[folder] += file["summary"]["num_statements"]
            run[folder] += file["summary"]["covered_lines"]
    yield "| in | lines | run | share |"
    yield "|---|--:|--:|--:|"
    for folder in sorted(+known, key=lambda name: (name == "all", name)):
        yield f"| {folder} | {known[folder]:,} | {run[folder]:,} | {100 * run[folder] / known[folder]:.1f} % |"


if __name__ == "__main__":
    sys.exit(main())
