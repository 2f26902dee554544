"""Run the tests with every package but torch at the oldest version that setup.cfg allows: `python .ci/floors.py`.

Tools of the tests themselves (the extras test, docs and reliability) stay at constraints.txt, and so does torch, whose
older builds are as large as its newest. Further arguments go to pytest.
"""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = {"test", "docs", "reliability"}
HARMLESS = (
    "ignore:builtin type:DeprecationWarning",  # SimpleITK before 2.5.7; as an error it ends Python when it is loaded
    "ignore::DeprecationWarning:matplotlib._fontconfig_pattern",  # matplotlib before 3.10 with today's pyparsing
    "ignore::DeprecationWarning:matplotlib._mathtext",
)
"""Warnings of old packages that tell our code nothing, and that users are not shown."""


def versions() -> Iterator[tuple[str, str]]:
    """Each package that setup.cfg names, and the version to test: the oldest, or that of constraints.txt for tools."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    wanted = {"": config["options"]["install_requires"], **config["options.extras_require"]}
    for extra, text in wanted.items():
        for name, oldest in re.findall(r"^([\w-]+)>=([\d.]+)", text.lower(), re.MULTILINE):
            yield name, pinned[name] if extra in TOOLS or name == "torch" else oldest


def main() -> int:
    tested = dict(versions())
    print(", ".join(f"{name} {version}" for name, version in tested.items()), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder, "constraints.txt")
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in tested.items()))
        venv.create(Path(folder, "venv"), with_pip=True)
        programs = Path(folder, "venv", "Scripts" if os.name == "nt" else "bin")
        environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
        python = [str(programs / "python"), "-m"]
        install = [*python, "pip", "install", "--quiet", "--disable-pip-version-check", "-c", str(constraints), "-e"]
        subprocess.run([*install, ".[test]"], cwd=ROOT, check=True)
        passed_over = [argument for warning in HARMLESS for argument in ("-W", warning)]
        command = [*python, "pytest", *passed_over, *sys.argv[1:]]
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
