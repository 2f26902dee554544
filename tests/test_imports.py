"""Help and the bare package come at once: nothing heavy is loaded before it is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_cohort import small_cohort

ROOT = Path(__file__).parents[1]
COMMANDS = (
    "plan_and_preprocess", "train", "predict", "evaluate", "select", "demo", "model", "learning_curve", "doctor",
    "followup", "make_dataset", "report", "review", "node",
)  # fmt: skip
HEAVY = (
    "torch", "SimpleITK", "scipy", "pandas", "matplotlib", "skimage", "batchgenerators", "pydicom", "highdicom",
    "pynetdicom",
)  # fmt: skip
CPU_SECONDS = 0.6
"""Twice what is promised (0.3 s), as a busy machine counts more."""

HELP = """
import runpy, sys
sys.argv = ["{module}", "--help"]
try:
    runpy.run_module("{module}", run_name="__main__")
except SystemExit as end:
    assert end.code == 0, end.code
"""


def loaded_after(script: str, heavy: tuple[str, ...] = HEAVY) -> list[str]:
    """What of these a fresh process has loaded after a script."""
    told = f"{script}\nimport sys\nprint('loaded:', *[name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", told], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].split()[1:]


def test_the_package_loads_nothing_heavy() -> None:
    assert loaded_after("import vmseg_auto; assert 'Predictor' in dir(vmseg_auto)", ("numpy", *HEAVY)) == []


def test_light_names_of_the_api_load_nothing_heavy() -> None:
    names = "Fingerprint, Geometry, Plan, TrainingConfig, VmsegError, __version__"
    assert loaded_after(f"from vmseg_auto import {names}") == []


def test_plugins_are_listed_without_loading_torch() -> None:
    assert "torch" not in loaded_after("from vmseg_auto.registry import load_planner; load_planner('default')")


def test_networks_are_found_and_checked_without_loading_torch() -> None:
    script = (
        "from vmseg_auto.planning.network import network_family, network_names\n"
        "assert len([network_family(name) for name in network_names()]) >= 3"
    )
    assert "torch" not in loaded_after(script)


def test_planning_and_preprocessing_never_load_torch(tmp_path: Path) -> None:
    """It takes longer to load than fifty cases to prepare."""
    folder = str(small_cohort(tmp_path / "patients", 3))
    script = (
        f"from vmseg_auto.workflows.plan import plan_and_preprocess; plan_and_preprocess({folder!r}, memory_gb=0.1)"
    )
    assert "torch" not in loaded_after(script)


def test_predicting_loads_no_tables_and_no_plots() -> None:
    assert set(loaded_after("import vmseg_auto.workflows.predict")) == {"torch", "scipy"}


@pytest.mark.parametrize("module", ["training.loop", "inference.predictor", "inference.sliding_window"])
def test_training_and_predicting_arrays_need_no_reader_of_images(module: str) -> None:
    """A machine that is given preprocessed cases has no SimpleITK."""
    assert set(loaded_after(f"import vmseg_auto.{module}")) <= {"torch", "scipy"}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_loads_nothing_heavy(command: str) -> None:
    assert loaded_after(HELP.format(module=f"vmseg_auto.cli.{command}"), ("numpy", *HEAVY)) == []


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="CPU time of a child can't be measured here")
@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_there_at_once(command: str, tmp_path: Path) -> None:
    with (tmp_path / "help.txt").open("w") as out:
        process = subprocess.Popen([sys.executable, "-m", f"vmseg_auto.cli.{command}", "--help"], cwd=ROOT, stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    assert (tmp_path / "help.txt").read_text().startswith(f"usage: vmseg_{command}")
    assert usage.ru_utime + usage.ru_stime < CPU_SECONDS


def test_no_public_name_is_that_of_a_package() -> None:
    """The package would take its place as soon as it is imported."""
    import vmseg_auto

    packages = {path.parent.name for path in (ROOT / "vmseg_auto").glob("*/__init__.py")}
    assert packages > {"report", "followup"}
    assert not packages & set(vmseg_auto.__all__)


def test_every_public_name_is_there() -> None:
    import vmseg_auto

    for name in vmseg_auto.__all__:
        assert getattr(vmseg_auto, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        vmseg_auto.nonsense  # noqa: B018
