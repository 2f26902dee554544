"""The table of workloads: what each shows, its targets, its inputs and the commands of both tools."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import data
from benchmarks.nnunet_training import raw_link, require_same_plan
from benchmarks.tools import Bench, Job, SetupError, chosen_by_name, run_once

OURS, NNUNET = "vmseg_auto", "nnU-Net"
Jobs = Mapping[str, Job]
"""Tool -> its part, in the order in which they take turns."""


@dataclass(frozen=True)
class Target:
    """What is aimed at.

    Args:
        figure: a field of a round, such as "wall_s".
        limit: the most it may be.
        ratio: whether it is ours / nnU-Net's that is limited; else our figure itself.
    """

    figure: str
    limit: float
    ratio: bool = True


@dataclass(frozen=True)
class Workload:
    """One thing that both tools do.

    Args:
        name: also its result file's name.
        shows: in words, for the table.
        prepare: makes the inputs, untimed, and gives the jobs.
        targets: the first is the one drawn.
        rounds: in place of the default.
        rival: workload whose rounds of nnU-Net serve, so that they aren't run again.
        cases: whether a limit to the number of cases changes it.
    """

    name: str
    shows: str
    prepare: Callable[[Bench], Jobs]
    targets: tuple[Target, ...]
    rounds: int | None = None
    rival: str | None = None
    cases: bool = True


# ------------------------------------------------------------------------------------------------------- prediction


def imported(bench: Bench, folder: Path, output: Path) -> Path:
    """An nnU-Net model turned into one of ours."""
    shutil.rmtree(output, ignore_errors=True)
    run_once(bench.ours("model", "import", folder, "-o", output))
    return output


def predict_hippocampus(bench: Bench) -> Jobs:
    home = bench.folder("predict_hippocampus")
    model = bench.data / "nnunet" / "hippocampus53" / "model"
    scans = data.some_of(bench.data / "hippocampus53" / "imagesTs", home / "scans", bench.limit)
    return _predict(bench, home, scans, imported(bench, model, home / "model"), model, ("all",))


def predict_full_size(bench: Bench) -> Jobs:
    home = bench.folder("predict_full_size")
    model = data.five_folds(bench.data / "nnunet" / "vmsemi53" / "model", home / "nnunet_model")
    ours = imported(bench, model, home / "model")
    return _predict(bench, home, full_size_scans(bench), ours, model, ("0", "1", "2", "3", "4"))


def predict_full_size_gated(bench: Bench) -> Jobs:
    if bench.gated_model is None:
        raise SetupError("predict_full_size_gated needs --gated-model, a run folder with its calibration")
    home = bench.folder("predict_full_size_gated")
    output, model = home / "ours", data.for_any_scan(bench.gated_model, home / "model")
    arguments = ("-i", full_size_scans(bench), "-o", output, "-m", model, "--device", "cpu")
    return {OURS: bench.ours("predict", *arguments, fresh=(output,))}


def full_size_scans(bench: Bench) -> Path:
    """The real full-size heads with the demo's lesions in them."""
    folder = bench.folder("full_size_scans")
    heads = data.full_size_scans(bench.data)[: bench.limit]
    made = ((name, data.with_lesions(image, grid, seed)) for seed, (name, image, grid) in enumerate(heads))
    return data.write_scans(folder, list(made))


def _predict(bench: Bench, home: Path, scans: Path, ours: Path, theirs: Path, folds: tuple[str, ...]) -> Jobs:
    """Both tools on the same scans and weights, all folds and mirrorings."""
    out, out_theirs = home / "ours", home / "theirs"
    mine = bench.ours("predict", "-i", scans, "-o", out, "-m", ours, "--exhaustive", "--device", "cpu", fresh=(out,))
    arguments: tuple[str | Path, ...] = ("-i", scans, "-o", out_theirs, "-m", theirs, "-f", *folds, "-device", "cpu")
    other = bench.theirs("predict_from_modelfolder", *arguments, home=home, fresh=(out_theirs,))
    return {OURS: mine, NNUNET: other}


# ------------------------------------------------------------------------------------------------------ preprocessing


def prepare_shared(name: str, bench: Bench) -> Jobs:
    """A cohort of the test data."""
    home = bench.folder(f"prepare_{name}")
    return _prepare(bench, home, data.subset(bench.data / name, home / "cohort", bench.limit))


def prepare_full_size(bench: Bench) -> Jobs:
    home = bench.folder("prepare_full_size")
    count = bench.limit or 12
    cohort = data.write_cohort(home / "cohort", data.full_size_cohort(bench.data, count), count)
    return _prepare(bench, home, cohort)


def _prepare(bench: Bench, home: Path, cohort: Path) -> Jobs:
    space, preprocessed = home / "workspace", home / "preprocessed"
    raw_link(home, "Dataset501_Cohort", cohort)
    mine = bench.ours("plan_and_preprocess", "-d", cohort, "-w", space, fresh=(space,))
    arguments = ("-d", "501", "-c", "3d_fullres", "--verify_dataset_integrity")
    return {OURS: mine, NNUNET: bench.theirs("plan_and_preprocess", *arguments, home=home, fresh=(preprocessed,))}


# --------------------------------------------------------------------------------------------------------- training

TRAINED, PLANS = "Dataset054_VMSemi", "nnUNetPlans_0.25"


def train_step(bench: Bench) -> Jobs:
    """The same plan in both tools: vmsemi53 at 0.25 GB."""
    home = bench.folder("train_step")
    space = _planned_alike(bench, home)
    mine, theirs = home / "ours.json", home / "theirs.json"
    counts = ("--steps", str(bench.steps), "--warm-up", str(bench.warm_up))
    names = ("--dataset", TRAINED, "--plans", PLANS)
    return {
        OURS: bench.our_driver("our_steps", "--workspace", space, *counts, "--figures", mine, figures=mine),
        NNUNET: bench.their_driver("nnunet_steps", *names, *counts, "--figures", theirs, home=home, figures=theirs),
    }


def _planned_alike(bench: Bench, home: Path) -> Path:
    """Let each tool prepare vmsemi53 under the given nnU-Net plan, and check that ours is that plan.

    Raises:
        SetupError: our planner decides otherwise.
    """
    model, space = bench.data / "nnunet" / "vmsemi53" / "model", home / "workspace"
    cohort = bench.data / "vmsemi53"  # whole, whatever the limit: its size decides the plan
    run_once(bench.ours("plan_and_preprocess", "-d", cohort, "-w", space, "--memory", "0.25"))
    ready = home / "preprocessed" / TRAINED
    if not (ready / "complete").exists():
        raw_link(home, TRAINED, cohort)
        run_once(bench.theirs("extract_fingerprint", "-d", "54", home=home))
        (ready / f"{PLANS}.json").write_bytes((model / "plans.json").read_bytes())
        (ready / "dataset.json").write_bytes((cohort / "dataset.json").read_bytes())
        run_once(bench.theirs("preprocess", "-d", "54", "-plans_name", PLANS, "-c", "3d_fullres", home=home))
        (ready / "complete").touch()
    require_same_plan(space / "plans" / "default" / "plan.json", model / "plans.json")
    return space


# ------------------------------------------------------------------------------------------------------------ start


def first_step(bench: Bench) -> Jobs:
    """From the command to the end of the first training step."""
    home = bench.folder("train_step")
    space, figures = _planned_alike(bench, home), home / "first_step.json"
    ours = bench.our_driver("first_step", "0", "-w", space, "--device", "cpu", "--fresh", figures=figures)
    names = ("--dataset", TRAINED, "--plans", PLANS, "--steps", "1", "--warm-up", "0", "--figures", figures)
    theirs = bench.their_driver("nnunet_steps", *names, home=home, figures=figures)
    return {OURS: Job(ours.command), NNUNET: Job(theirs.command, theirs.environment)}


def help_of(ours: str, theirs: str | None, bench: Bench) -> Jobs:
    """What a command costs before it does anything."""
    jobs = {OURS: bench.ours(ours, "--help")}
    if theirs is not None:
        jobs[NNUNET] = bench.theirs(theirs, "-h", home=bench.folder("help"))
    return jobs


HELP = {
    "predict": "predict",
    "train": "train",
    "plan_and_preprocess": "plan_and_preprocess",
    "evaluate": "evaluate_folder",
    "demo": None,
    "model": None,
}
"""Our commands, and nnU-Net's of the same purpose."""


# ------------------------------------------------------------------------------------------------------------ table

THIRD = (Target("wall_s", 1 / 3),)
PREPARATION = (Target("wall_s", 1 / 5), Target("peak_mib", 1 / 2))

WORKLOADS = (
    Workload(
        "predict_hippocampus", "47 small T1 scans, one fold, all mirrorings (--exhaustive)", predict_hippocampus, THIRD,
    ),
    Workload(
        "predict_full_size",
        "2 full-size T2 heads, five folds (one fold's weights five times: time doesn't depend on weights), "
        "all mirrorings (--exhaustive, which still passes over windows of air alone)",
        predict_full_size,
        (*THIRD, Target("peak_mib", 1 / 2)),
    ),
    Workload(
        "predict_full_size_gated",
        "the same heads with our own calibrated five folds, passes shared out and gated, as for scans like the "
        "cohort's; nnU-Net's time is that of predict_full_size",
        predict_full_size_gated,
        (Target("wall_s", 1 / 10),),
        rival="predict_full_size",
    ),
    Workload(
        "prepare_hippocampus", "53 small T1 scans: check, plan, prepare",
        partial(prepare_shared, "hippocampus53"), PREPARATION,
    ),
    Workload(
        "prepare_vmsemi53", "53 thick-slice T2 scans: check, plan, prepare",
        partial(prepare_shared, "vmsemi53"), PREPARATION,
    ),
    Workload(
        "prepare_full_size", "12 full-size T2 heads of varied spacing: check, plan, resample",
        prepare_full_size, PREPARATION,
    ),
    Workload(
        "train_step",
        "a training step on the CPU, augmentation included: same plan (vmsemi53 at 0.25 GB), each tool's own loaders",
        train_step,
        (Target("step_s", 1 / 2), Target("wait_share", 0.03, ratio=False)),
        cases=False,
    ),
    Workload(
        "start_first_step", "from the command to the end of the first training step", first_step,
        (Target("wall_s", 8.0, ratio=False),), cases=False,
    ),
    *(
        Workload(
            f"start_help_{name}", f"vmseg_{name} --help", partial(help_of, name, other),
            (Target("cpu_s", 0.3, ratio=False),), cases=False,
        )
        for name, other in HELP.items()
    ),
)  # fmt: skip


def chosen(names: Sequence[str] | None) -> list[Workload]:
    """The workloads of these names; all for None. Raises SetupError where a name fits none."""
    return chosen_by_name(WORKLOADS, names, "workload")
