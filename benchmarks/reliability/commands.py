"""Whole commands that read a mutated file, and what each is held to."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from benchmarks.reliability.mutations import (
    Mutation,
    mutate_archive,
    mutate_json,
    mutate_model_zip,
    mutate_nifti,
    mutate_table,
    mutate_weights,
)
from vmseg_auto.cli import evaluate, model, plan_and_preprocess, predict, report, select, train

MODEL = "vmseg/runs/default/default"
FOLD = f"{MODEL}/fold_0"


_NO_NUMBER = re.compile(r"\b(?:nan|inf)(?: mL| mm| %| GB| to )")
"""What stands in a text where a number was lost on the way."""


class CommandError(Exception):
    """A command ended otherwise than with its exit codes and in plain words."""


def run_command(
    main: Callable[[list[str]], int],
    *arguments: object,
    makes: Path | None = None,
    check: Callable[[Path], None] = lambda path: None,
) -> None:
    """Run a command's own entry, in this process, and hold it to its exit codes.

    Args:
        main: the entry.
        arguments: on its command line.
        makes: a file that is there, whole, once the command has done its work, and else is not.
        check: looks at that file; raises CommandError where it is not as it should be.

    Raises:
        CommandError: another exit code, a traceback, an error that was not foreseen, or a wrong file.
    """
    code, words = command_words(main, *arguments)
    if code not in (0, 1, 2, 3) or "Traceback" in words or ": unexpected " in words:
        raise CommandError(f"exit code {code}: {words[-600:]}")
    if makes is None:
        return
    if makes.exists() != (code == 0):
        raise CommandError(f"exit code {code}, and {makes.name} is {'there' if makes.exists() else 'missing'}")
    if code == 0:
        check(makes)


def _check_report(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    if not text.rstrip().endswith("</html>"):
        raise CommandError(f"{page.name} has no end")
    check_page(text.partition('<script type="text/plain" id="viewer">')[0])


def _check_zip(path: Path) -> None:
    from vmseg_auto.workflows.export import model_info

    model_info(path)  # reads every byte, and compares it with the manifest


def command_words(main: Callable[[list[str]], int], *arguments: object) -> tuple[int, str]:
    """A command's exit code, and all that it says."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        code = main([str(argument) for argument in arguments])
    return code, shown.getvalue()


def check_page(text: str) -> None:
    """Raises CommandError where a number is shown that is none."""
    if found := _NO_NUMBER.search(text):
        raise CommandError(f"it shows {text[max(0, found.start() - 100) : found.end() + 20]!r}")


def plan(root: Path) -> None:
    run_command(plan_and_preprocess.main, "-d", root, "--jobs", 1)


def train_again(root: Path) -> None:
    from benchmarks.reliability.cohort import IN_THREADS, SETTINGS  # loads torch

    place = ("-d", root, "-w", root / "vmseg")
    run_command(train.main, 0, *place, "--device", "cpu", "--jobs", 1, "--set", *SETTINGS, IN_THREADS)


def segment(root: Path) -> None:
    place = ("-d", root, "-w", root / "vmseg")
    run_command(
        predict.main, "-i", root / "imagesTs", "-o", root / "out", *place, "--device", "cpu", "--jobs", 1,
        "--save-probabilities",
    )  # fmt: skip


def segment_with_zip(root: Path) -> None:
    place = ("-i", root / "imagesTs", "-o", root / "out", "-m", root / "model.zip")
    run_command(predict.main, *place, "--device", "cpu", "--jobs", 1)


def choose(root: Path) -> None:
    run_command(select.main, "-d", root, "--jobs", 1)


def score(root: Path) -> None:
    copied = shutil.copytree(root / "labelsTr", root / "out", dirs_exist_ok=True)
    run_command(evaluate.main, "-p", copied, "-r", root / "labelsTr", "-o", root / "out.csv")


def report_workspace(root: Path) -> None:
    run_command(report.main, "-d", root, "-o", root / "out.html", makes=root / "out.html", check=_check_report)


def report_predictions(root: Path) -> None:
    output = root / "out.html"
    run_command(report.main, "-i", root / "masks", "-o", output, makes=output, check=_check_report)


def info(root: Path) -> None:
    run_command(model.main, "info", root / MODEL)


def info_of_zip(root: Path) -> None:
    run_command(model.main, "info", root / "model.zip")


def export(root: Path) -> None:
    output = root / "out.zip"
    run_command(model.main, "export", "-m", root / MODEL, "-o", output, makes=output, check=_check_zip)


ON_COMMANDS: tuple[tuple[str, Mutation, Callable[[Path], None]], ...] = (
    ("imagesTr/a_0000.nii.gz", mutate_nifti, plan), ("labelsTr/a.nii.gz", mutate_nifti, plan),
    ("dataset.json", mutate_json, plan), ("vmseg/splits.json", mutate_json, plan),
    ("vmseg/fingerprint.json", mutate_json, plan), ("vmseg/plans/default/plan.json", mutate_json, plan),
    ("vmseg/plans/default/plan.json", mutate_json, train_again), ("vmseg/splits.json", mutate_json, train_again),
    ("vmseg/fingerprint.json", mutate_json, train_again), (f"{FOLD}/fold.json", mutate_json, train_again),
    (f"{FOLD}/validation/cases.json", mutate_json, train_again),
    (f"{FOLD}/validation/budgets.json", mutate_json, train_again),
    ("imagesTs/s_0000.nii.gz", mutate_nifti, segment),
    ("vmseg/runs/default/default/model.json", mutate_json, segment), ("vmseg/selection.json", mutate_json, segment),
    (f"{FOLD}/checkpoint_final.safetensors", mutate_weights, segment),
    ("model.zip", mutate_model_zip, segment_with_zip),
    ("labelsTr/a.nii.gz", mutate_nifti, score),
    (f"{FOLD}/validation/probabilities/*.npz", mutate_archive, choose), ("dataset.json", mutate_json, score),
    (f"{MODEL}/cross_validation/metrics.csv", mutate_table, report_workspace),
    (f"{MODEL}/cross_validation/label_check.csv", mutate_table, report_workspace),
    (f"{MODEL}/cross_validation/volumes.csv", mutate_table, report_workspace),
    (f"{FOLD}/history.csv", mutate_table, report_workspace),
    (f"{MODEL}/cross_validation/metrics.json", mutate_json, report_workspace),
    (f"{MODEL}/model.json", mutate_json, report_workspace), ("vmseg/selection.json", mutate_json, report_workspace),
    ("masks/volumes.csv", mutate_table, report_predictions), ("masks/s.json", mutate_json, report_predictions),
    ("masks/s.nii.gz", mutate_nifti, report_predictions), (f"{MODEL}/model.json", mutate_json, info),
    (f"{MODEL}/cross_validation/metrics.json", mutate_json, info), ("model.zip", mutate_model_zip, info_of_zip),
    (f"{FOLD}/checkpoint_final.safetensors", mutate_weights, export), (f"{MODEL}/model.json", mutate_json, export),
    (f"{MODEL}/cross_validation/metrics.json", mutate_json, export),
    ("vmseg/fingerprint.json", mutate_json, export),
)  # fmt: skip
"""File, what makes another version of it, and the command that reads it."""
