"""docs/extending/loss.md: its loss passes its own test, and a fold is trained with it."""

from __future__ import annotations

from pathlib import Path

from pages import blocks, install, run, run_test
from small_cohort import small_cohort

from vmseg_auto.workflows.plan import plan_and_preprocess

PAGE = "extending/loss.md"
MODULE, TEST = blocks(PAGE, "python")
(PROJECT,) = blocks(PAGE, "toml")
SHORT = (
    "epochs=1",
    "iterations_per_epoch=1",
    "validation_share=0",
    "monitor_cases=0",
    "mirror_axes=[]",
    "tile_step_size=1",
)


def test_the_pages_own_test_passes(tmp_path: Path) -> None:
    install(PROJECT, {"vmseg_focal": MODULE}, tmp_path)
    assert "1 passed" in run_test(TEST, tmp_path)


def test_a_fold_is_trained_with_it(tmp_path: Path) -> None:
    site, dataset = tmp_path / "site", small_cohort(tmp_path / "patients", 5)
    site.mkdir()
    install(PROJECT, {"vmseg_focal": MODULE}, site)
    plan_and_preprocess(dataset, memory_gb=0.05, jobs=1)
    command = ("-m", "vmseg_auto.cli.train", "0", "-d", str(dataset), "--trainer", "focal", "--device", "cpu")
    done = run(site, *command, "--jobs", "1", "--set", *SHORT)
    assert done.returncode == 0, done.stderr
    assert (dataset / "vmseg" / "runs" / "default" / "focal" / "fold_0" / "checkpoint_final.safetensors").is_file()
