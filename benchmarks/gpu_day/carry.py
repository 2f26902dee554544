"""Makes the folder that is carried to a GPU machine without a network: nnU-Net's packages, and preprocessed cohorts.

    python -m benchmarks.gpu_day.carry FOLDER [--data FOLDER]

Packages are pure Python, so that they serve any version and system. All else that nnU-Net imports must be there, or has
stand-ins (benchmarks/gpu_day/nnunet.py). Prints the command to run there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import data
from benchmarks.gpu_day.arrival import COHORTS, COMMIT, SITE
from benchmarks.gpu_day.cohorts import pack
from benchmarks.results import our_versions
from benchmarks.tools import NNUNET_VERSION, Job, SetupError, run_once
from vmseg_auto.utils.atomic import new_folder

PACKAGES = (
    f"nnunetv2=={NNUNET_VERSION}", "dynamic_network_architectures==0.4.4", "batchgeneratorsv2==0.3.6",
    "batchgenerators==0.25.5", "acvl_utils==0.2.6", "fft_conv_pytorch==1.2.0",
)  # fmt: skip
"""What nnU-Net's trainer, network, loss and predictor import."""
MOST_BYTES = 56 * 2**20
HEADS = 6
"""In the cohort that the head's plan is made for; one of them is carried."""
SOURCES = ".:planners:trainers"
"""Where Python finds vmseg_auto, its planners and its trainers in the repository's folder."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_day.carry", description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="to be made; it must not be there yet")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("VMSEG_TEST_DATA", "../shared/data")))
    arguments = parser.parse_args(argv)
    try:
        with new_folder(arguments.folder) as folder, tempfile.TemporaryDirectory() as scratch:
            fill(folder, arguments.data, Path(scratch))
    except SetupError as error:
        sys.exit(f"Error: {error}")
    print(told(arguments.folder))
    return 0


def fill(folder: Path, source: Path, scratch: Path) -> None:
    """Put packages, cohorts and the commit into a folder.

    Raises:
        SetupError: something is not there, or the folder has become too large.
    """
    if not source.is_dir():
        raise SetupError(f"no test data in {source}: give --data or set VMSEG_TEST_DATA")
    fetch(PACKAGES, folder / SITE, scratch)
    for name in ("vmsemi53", "lgg53"):
        pack(preprocessed(source / name, scratch / name), folder / COHORTS / name)
    heads = data.write_cohort(scratch / "heads", data.full_size_cohort(source, HEADS), HEADS)
    pack(preprocessed(heads, scratch / "head"), folder / COHORTS / "head", cases=["full_000"])
    (folder / COMMIT).write_text(our_versions()["vmseg_auto"] + "\n")
    if (size := folder_bytes(folder)) > MOST_BYTES:
        raise SetupError(f"the folder is {size / 2**20:.1f} MiB, more than {MOST_BYTES >> 20}")


def fetch(packages: Sequence[str], site: Path, scratch: Path) -> None:
    """Download packages without what they ask for, and unpack them.

    Raises:
        SetupError: one can't be downloaded, or is not pure Python.
    """
    wheels = scratch / "wheels"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheels), *packages]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SetupError(f"pip can't download {', '.join(packages)}: {done.stderr.splitlines()[-1]}")
    for path in sorted(wheels.iterdir()):
        if path.name.endswith("-none-any.whl"):
            with zipfile.ZipFile(path) as wheel:
                wheel.extractall(site)
        elif path.name.endswith(".tar.gz"):
            unpack_sources(path, site, scratch)
        else:
            raise SetupError(f"{path.name} is not pure Python")


def unpack_sources(path: Path, site: Path, scratch: Path) -> None:
    """The package of a source distribution, which is a folder of the distribution's name."""
    with tarfile.open(path) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # not in Debian 12's Python
        archive.extractall(scratch)
    root = scratch / path.name.removesuffix(".tar.gz")
    name = path.name.rpartition("-")[0]
    if any(root.rglob("*.c")) or not (root / name).is_dir():
        raise SetupError(f"{path.name} is not pure Python, or holds no {name}")
    shutil.copytree(root / name, site / name)


def preprocessed(cohort: Path, workspace: Path) -> Path:
    """A workspace of a cohort, by the installed command and its default plan."""
    arguments = ("-d", str(cohort), "-w", str(workspace))
    run_once(Job((sys.executable, "-m", "vmseg_auto.cli.plan_and_preprocess", *arguments)))
    return workspace


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def told(folder: Path) -> str:
    """What to do with the folder."""
    return (
        f"{folder}: {folder_bytes(folder) / 2**20:.1f} MiB. Take it and the repository to the machine; in the "
        f"repository's folder there:\n"
        f"PYTHONPATH={SOURCES} python -m benchmarks.gpu_day --device cuda --carried {folder} --out gpu_day"
    )


if __name__ == "__main__":
    sys.exit(main())
