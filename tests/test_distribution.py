"""sdist and wheel are whole: built, installed into an environment of their own, and used from another folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from nnunet_model import golden, nnunet_model
from raw_dataset import GRID, raw_dataset

from vmseg_auto.data.images.images import write_image
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.workflows.export import export_model
from vmseg_auto.workflows.model import import_nnunet

ROOT = Path(__file__).parents[1]
BUILD = "from setuptools.build_meta import build_{kind}; print(build_{kind}({target!r}))"


def build(kind: str, source: Path, target: Path) -> Path:
    script = BUILD.format(kind=kind, target=str(target))
    done = subprocess.run([sys.executable, "-c", script], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what git tracks, so that nothing is found by chance."""
    folder = tmp_path_factory.mktemp("source")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("the sources are no checkout of git")
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/images/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    return build("sdist", folder, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the sdist alone, as pip does where there is no wheel."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # not in Debian 12's Python
        archive.extractall(folder)
    (unpacked,) = folder.iterdir()
    return build("wheel", unpacked, tmp_path_factory.mktemp("wheel"))


def test_every_module_and_data_file_is_in_the_wheel(wheel: Path) -> None:
    roots = {"vmseg_auto": ROOT, "vmseg_planners": ROOT / "planners", "vmseg_trainers": ROOT / "trainers"}
    listed = subprocess.run(["git", "ls-files", "-z", *roots, "planners", "trainers"], cwd=ROOT, capture_output=True)
    tracked = [Path(name) for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]
    wanted = {
        path.relative_to(path.parts[0]) if path.parts[0] in ("planners", "trainers") else path for path in tracked
    }
    with zipfile.ZipFile(wheel) as archive:
        found = {Path(name) for name in archive.namelist() if Path(name).parts[0] in roots}
    assert found == wanted
    assert all(Path(package, "py.typed") in found for package in roots)


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds the wheel, and finds what it depends on where it is installed here."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    told = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.run([python, "-c", told], capture_output=True, text=True, check=True).stdout.strip())
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site, wheel]
    subprocess.run(install, check=True, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    others = [path for path in sys.path if path.endswith("-packages") and Path(path).is_dir()]
    (site / "dependencies.pth").write_text("\n".join(others), encoding="utf-8")
    return python


def run(python: Path, folder: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([python, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_is_installed_works_in_another_folder(elsewhere: Path, tmp_path: Path) -> None:
    where = run(elsewhere, tmp_path, "-c", "import vmseg_auto; print(vmseg_auto.__file__)")
    assert Path(where.strip()).is_relative_to(elsewhere.parents[1])
    dataset = raw_dataset(tmp_path / "patients", cases=3, grid=replace(GRID, shape=(12, 24, 24)))
    plan = ("-m", "vmseg_auto.cli.plan_and_preprocess", "-d", str(dataset), "--memory", "0.02")
    assert "3 cases preprocessed" in run(elsewhere, tmp_path, *plan)
    for kind, name in (("planners", "residual"), ("trainers", "nnunet"), ("loggers", "tensorboard")):
        listed = f"from vmseg_auto.registry import names; print(names('vmseg_auto.{kind}'))"
        assert name in run(elsewhere, tmp_path, "-c", listed)


def test_a_model_given_away_predicts_there_byte_for_byte(elsewhere: Path, tmp_path: Path) -> None:
    model = import_nnunet(nnunet_model(tmp_path / "theirs", folds=(0, 1)), tmp_path / "ours")
    export_model(tmp_path / "away" / "ours.zip", model=model)
    arrays = golden("plain")
    grid = Geometry(arrays["mask"].shape, tuple(map(float, arrays["spacing_mm"])))
    for channel, image in enumerate(arrays["image"]):
        write_image(tmp_path / "away" / "scans" / f"a_{channel:04d}.nii.gz", image.astype("float32"), grid)
    predict = ("-m", "vmseg_auto.cli.predict", "-i", "scans", "--device", "cpu", "--save-probabilities")
    run(elsewhere, tmp_path / "away", *predict, "-m", "ours.zip", "-o", "there")
    run(Path(sys.executable), tmp_path / "away", *predict, "-m", str(model), "-o", "here")
    there, here = (
        sorted(p for p in (tmp_path / "away" / name).rglob("a*") if p.is_file()) for name in ("there", "here")
    )
    assert [path.name for path in there] == [path.name for path in here]
    assert len(there) == 4
    assert [path.read_bytes() for path in there] == [path.read_bytes() for path in here]


def test_every_command_is_installed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        text = archive.read(name).decode()
    commands = text.split("[console_scripts]")[1].split("[")[0].split()
    modules = {
        path.stem for path in (ROOT / "vmseg_auto" / "cli").glob("*.py") if "\ndef main(" in path.read_text("utf-8")
    }
    assert {word.removesuffix(":main").rpartition(".")[2] for word in commands if ":main" in word} == modules


def test_the_image_for_servers_takes_files_that_are_there() -> None:
    text = (ROOT / "examples" / "docker" / "Dockerfile").read_text(encoding="utf-8")
    copied = [word for line in text.splitlines() if line.startswith("COPY") for word in line.split()[1:-1]]
    assert len(copied) >= 6
    assert all((ROOT / word).exists() for word in copied)
