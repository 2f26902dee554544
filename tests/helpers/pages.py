"""Code on pages of the documentation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
HARMLESS = "ignore:builtin type:DeprecationWarning"
"""Of SimpleITK before 2.5.7: as an error it ends Python when it is loaded."""


def blocks(page: str, language: str) -> list[str]:
    """The blocks of code of a language on a page of docs/, in order."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def install(project: str, modules: dict[str, str], folder: Path) -> None:
    """Lay modules and the entry points of a pyproject.toml into a folder as pip does into site-packages."""
    described = tomllib.loads(project)["project"]
    for name, code in modules.items():
        (folder / f"{name}.py").write_text(code, encoding="utf-8")
    about = folder / f"{described['name'].replace('-', '_')}-{described['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {described['name']}\nVersion: {described['version']}\n"
    )
    groups = [
        f"[{group}]\n" + "\n".join(f"{name} = {place}" for name, place in entries.items())
        for group, entries in described["entry-points"].items()
    ]
    (about / "entry_points.txt").write_text("\n".join(groups))


def run(site: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python where the packages of a folder are installed."""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)


def run_test(code: str, site: Path) -> str:
    """What pytest tells of a page's test, where the packages of a folder are installed."""
    (site / "test_of_page.py").write_text(code, encoding="utf-8")
    options = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-c", os.devnull, "-W", "error", "-W", HARMLESS)
    done = run(site, "-m", "pytest", *options, str(site))
    return done.stdout + done.stderr
