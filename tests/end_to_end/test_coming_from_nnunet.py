"""docs/coming_from_nnunet.md: each of nnU-Net's commands has a row, and what stands beside it can be typed and runs."""

from __future__ import annotations

import importlib
import json
import re
import shlex
from pathlib import Path

import pytest

from benchmarks.reliability.cohort import IN_THREADS, SETTINGS, write_cohort
from vmseg_auto.data.images.images import read_mask, write_mask
from vmseg_auto.utils.tables import read_csv

PAGE = Path(__file__).parents[2] / "docs" / "coming_from_nnunet.md"
THEIRS = (
    "accumulate_crossval_results", "apply_postprocessing", "convert_MSD_dataset", "convert_old_nnUNet_dataset",
    "determine_postprocessing", "download_pretrained_model_by_url", "ensemble", "evaluate_folder", "evaluate_simple",
    "export_model_to_zip", "extract_fingerprint", "find_best_configuration", "install_pretrained_model_from_zip",
    "move_plans_between_datasets", "plan_and_preprocess", "plan_experiment", "plot_overlay_pngs", "predict",
    "predict_from_modelfolder", "preprocess", "train",
)  # fmt: skip
"""All commands of nnU-Net 2.8.1, as its package lists them."""
BRIEF = {
    "vmseg_plan_and_preprocess": ["--memory", "0.01", "--jobs", "1"],
    "vmseg_train": ["--device", "cpu", "--jobs", "1", "--set", *SETTINGS, IN_THREADS],
    "vmseg_predict": ["--device", "cpu", "--jobs", "1"],
}


def command(line: str) -> tuple[object, list[str]]:
    """A command's module, and its arguments."""
    name, *arguments = shlex.split(line)
    return importlib.import_module(f"vmseg_auto.cli.{name.removeprefix('vmseg_')}"), arguments


def test_every_command_of_nnunet_has_a_row() -> None:
    rows = re.findall(r"^\| (nnUNetv2_[^|]*) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(name for row in rows for name in re.findall(r"nnUNetv2_(\w+)", row)) == sorted(THEIRS)


def test_what_stands_beside_them_can_be_typed() -> None:
    text = PAGE.read_text(encoding="utf-8")
    lines = re.findall(r"`(vmseg_\w+ [^`]*)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    assert len(lines) > 10
    for line in lines:
        module, arguments = command(line)
        module.parser().parse_args(arguments)  # type: ignore[attr-defined]
    known = (PAGE.parent / "commands.md").read_text(encoding="utf-8")
    ours = [cell for _, cell in re.findall(r"^\| (`-[^|]*) \| ([^|]*) \|", text, re.MULTILINE)]
    for option in {option for cell in ours for option in re.findall(r"`(--[a-z-]+)", cell)}:
        assert f"`{option}" in known or f"[`{option}" in known or f", {option} " in known, option


@pytest.mark.slow
def test_the_same_day_in_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = write_cohort(tmp_path / "Task04_Balls")
    for part in ("imagesTr", "imagesTs"):
        for scan in (task / part).iterdir():
            scan.rename(scan.with_name(scan.name.replace("_0000", "")))
    described = {"name": "Balls", "modality": {"0": "MRI"}, "labels": {"0": "background", "1": "lesion"}}
    (task / "dataset.json").write_text(json.dumps(described))
    mask, geometry = read_mask(task / "labelsTr" / "a.nii.gz")
    write_mask(tmp_path / "answers" / "s.nii.gz", mask, geometry)
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    for line in block.splitlines():
        module, arguments = command(line)
        assert module.main([*arguments, *BRIEF.get(shlex.split(line)[0], [])]) == 0, line  # type: ignore[attr-defined]
    assert (tmp_path / "masks" / "s.nii.gz").is_file()
    assert (tmp_path / "masks_of_the_zip" / "s.nii.gz").is_file()
    assert [row["case"] for row in read_csv(tmp_path / "masks" / "metrics.csv", {"case": str})] == ["s"]
