"""What was carried, unpacked where the checks work; made up where nothing was."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from benchmarks.gpu_day.cohorts import NAMES, make_up, unpack

SITE, COHORTS, COMMIT = "site", "cohorts", "commit.txt"
"""In the folder that is carried: packages, cohorts, and the commit that it was made from."""


def arrive(carried: Path | None, folder: Path) -> None:
    """Put every cohort into `folder`, each in a workspace of its own. What lies there is replaced."""
    shutil.rmtree(folder / COHORTS, ignore_errors=True)
    for name in NAMES:
        if carried is None:
            make_up(folder / COHORTS / name, cases=1 if name == "head" else 6)
        else:
            unpack(carried / COHORTS / name, folder / COHORTS / name)


def environment(carried: Path | None) -> dict[str, str]:
    """This process's environment, with the packages that were carried behind those that are here."""
    paths = [os.environ.get("PYTHONPATH", ""), str(carried / SITE) if carried else ""]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def carried_commit(carried: Path | None) -> str | None:
    """The commit that a folder was made from; None where that isn't told."""
    path = carried / COMMIT if carried else None
    return path.read_text().strip() if path and path.is_file() else None
