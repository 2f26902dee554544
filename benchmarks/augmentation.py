"""Augmentation on a CPU, by torch in the training's process or by batchgenerators in a process beside it.

    python -m benchmarks.augmentation                # time of a sample and of a step, then Dice on vmsemi53
    python -m benchmarks.augmentation --report       # only write the section of docs/results.md anew

Both get the same patches of the same cases with the same seeds; what a seed draws differs between them. Times are taken
in turns. The folds are trained as in `benchmarks.ablation`: what is finished is never done again, and an interrupted
training goes on from its last epoch.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import ablation
from benchmarks.ablation import Row, add_protocol, finished, interrupt
from benchmarks.ablation_report import (
    case_scores,
    cohort_text,
    interval,
    mean_dice,
    paired,
    put_between,
    rows_of,
    steps_text,
)
from benchmarks.ablation_results import Cell, FoldResult, Protocol, load_all, workspace_of
from benchmarks.compare import ROOT, add_places, take_turn
from benchmarks.report import table
from benchmarks.results import Results, load, our_versions, ratios, save, spread, this_machine
from benchmarks.tools import Job
from vmseg_auto.cli.common import positive_int
from vmseg_auto.data.workspace import Workspace

BEGIN = "<!-- Written by `python -m benchmarks.augmentation` down to the next mark; don't edit it. -->"
END = "<!-- End of what `python -m benchmarks.augmentation` writes. -->"
TORCH, PROCESS = "torch", "batchgenerators"
CHOICE = {PROCESS: "device_augmentation=off", TORCH: "device_augmentation=on"}
SHORT = ("mirror_axes=[]", "tile_step_size=0.7", "monitor_cases=0", "validation_share=0")
"""Nothing is mirrored, so that validation cases are predicted in an eighth of the time; nothing is watched."""
ROWS = tuple(Row(name, (setting, *SHORT)) for name, setting in CHOICE.items())
SAMPLES, STEPS, WARM_UP = "augmentation_samples", "augmentation_steps", 5


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks.augmentation", description=__doc__.partition("\n")[0])
    add_places(made)
    add_protocol(made)
    made.set_defaults(work=ROOT / "build" / "augmentation", out=ROOT / "docs" / "results.md")
    made.set_defaults(seeds=[0, 1], memory=0.1, iterations_per_epoch=15, jobs=1)
    made.add_argument(
        "--samples", type=positive_int, default=300, metavar="N", help="timed in pairs (default: %(default)s)"
    )
    made.add_argument(
        "--rounds", type=positive_int, default=3, metavar="N", help="of timed steps (default: %(default)s)"
    )
    made.add_argument(
        "--timed-steps", type=positive_int, default=20, metavar="N", help="of a round (default: %(default)s)"
    )
    made.add_argument("--report", action="store_true", help="measure nothing, only write the section anew")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)

    def work() -> Sequence[Cell]:
        failed = [] if arguments.report else run(arguments)
        put_between(arguments.out, BEGIN, section(arguments.work), END)
        return failed

    return finished("benchmarks.augmentation", arguments.out, work)


def run(arguments: argparse.Namespace) -> list[Cell]:
    """Take what is missing of times and trainings; gives the trainings that failed."""
    from vmseg_auto.workflows.plan import plan_and_preprocess

    protocol = Protocol(arguments.memory, arguments.epochs, arguments.steps)
    work, cohort = arguments.work.absolute(), arguments.data.absolute() / ablation.COHORT
    space = Workspace(workspace_of(work, protocol, Cell(PROCESS, arguments.seeds[0], 0)))
    plan_and_preprocess(cohort, space.root, memory_gb=protocol.memory_gb)
    if load(work, SAMPLES) is None:
        save(work, time_samples(space, arguments.samples))
    if load(work, STEPS) is None:
        save(work, time_steps(space, work, arguments.rounds, arguments.timed_steps))
    return ablation.run(arguments, ROWS)


def time_samples(space: Workspace, count: int) -> Results:
    """So many samples by each, on one thread, one after the other with the same patch and seed; first calls apart."""
    import torch

    from vmseg_auto.data.preprocessed import PreprocessedFolder
    from vmseg_auto.training.augmentation.cpu import PatchAugmentation, read_shape
    from vmseg_auto.training.augmentation.device import BatchAugmentation
    from vmseg_auto.training.sampling import PatchSampler
    from vmseg_auto.workflows.paths import read_fingerprint, read_plan

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    plan, cases = read_plan(space, None), sorted(read_fingerprint(space).cases)
    folder = PreprocessedFolder(space.preprocessed(plan.voxels_hash))
    opened = [folder.load(case) for case in cases]
    sampler = PatchSampler(plan.patch, read_shape(plan.patch))
    by_process = PatchAugmentation(plan.patch, (0, 1, 2))
    by_torch = BatchAugmentation(by_process)
    took: dict[str, list[dict[str, float]]] = {PROCESS: [], TORCH: []}
    warm = 10
    for number in range(-warm, count):
        rng = np.random.default_rng(number + warm)
        image, label = sampler(opened, bool(number % 2), rng)
        began = time.perf_counter()
        by_process((image, label), number + warm)
        between = time.perf_counter()
        by_torch(torch.from_numpy(image)[None], torch.from_numpy(label)[None], (number + warm,))
        ended = time.perf_counter()
        if number >= 0:
            took[PROCESS].append({"sample_s": between - began})
            took[TORCH].append({"sample_s": ended - between})
    torch.set_num_threads(threads)
    return Results(
        SAMPLES,
        replace(this_machine(), torch_threads=1),
        {"ours": our_versions()},
        rounds={name: tuple(figures) for name, figures in took.items()},
        facts={"patch": list(plan.patch), "read": list(sampler.read_shape)},
    )


def time_steps(space: Workspace, work: Path, rounds: int, steps: int) -> Results:
    """Whole processes that start, take some steps of fold 0 and end, in turns."""
    results = Results(STEPS, this_machine(), {"ours": our_versions()}, facts={"steps": steps})
    figures = work / "steps.json"
    counts = ("--steps", str(steps), "--warm-up", str(WARM_UP), "--figures", str(figures))
    for number in range(rounds):
        for name, setting in CHOICE.items():
            places = ("-m", "benchmarks.drivers.our_steps", "--workspace", str(space.root))
            job = Job((sys.executable, *places, *counts, "--set", setting), figures=figures)
            found, memory = take_turn(job, work / "logs" / f"{STEPS}_{name}_{number}.log")
            added = (*results.rounds.get(name, ()), found)
            results = replace(results, rounds={**results.rounds, name: added}, memory={name: memory})
    return results


def section(work: Path) -> str:
    """Everything between the marks."""
    return INTRODUCTION + "".join([*_times(work), *_trained(load_all(work))])


INTRODUCTION = f"""\
## Augmentation on a CPU: by torch, or by batchgenerators
vmsemi53 by `python -m benchmarks.augmentation`. Its lesions are synthetic: no figure here is a clinical Dice.

`{TORCH}` augments in the training's own process (`{CHOICE[TORCH]}`), `{PROCESS}` in a process beside it
(`{CHOICE[PROCESS]}`). Both get the same patches and seeds; the distribution is the same, the draws are not. Figures are
medians with the range in brackets; a ratio is {TORCH} / {PROCESS} of the same sample or round.
"""
FIGURES = {"sample_s": 1000.0, "step_s": 1000.0, "wall_s": 1.0, "cpu_s": 1.0, "peak_mib": 1.0}
"""Figure -> what it is multiplied by to be shown."""


def _times(work: Path) -> Iterator[str]:
    for name, told in (
        (SAMPLES, {"sample_s": "a sample on one thread, ms"}),
        (
            STEPS,
            {
                "step_s": "a step, all cores, ms",
                "wall_s": "start, steps and end, s",
                "cpu_s": "their CPU time, s",
                "peak_mib": "peak memory, MiB",
            },
        ),
    ):
        if (found := load(work, name)) is None:
            continue
        rows = []
        for figure, title in told.items():
            ours, theirs = (found.values(tool, figure) for tool in (TORCH, PROCESS))
            ratio = spread(ratios(ours, theirs))
            if ratio is not None:
                cells = [_spread(values, FIGURES[figure]) for values in (ours, theirs)]
                rows.append((title, *cells, f"{ratio.median:.2f}", str(ratio.rounds)))
        facts = "; ".join(f"{name} {value}" for name, value in found.facts.items())
        yield f"\n{table(('what', TORCH, PROCESS, 'ratio', 'n'), rows)}\n"
        versions = ", ".join(f"{package} {number}" for package, number in found.versions["ours"].items())
        yield f"Measured with {facts} on {found.machine.text()}; {versions}.\n"


def _trained(found: Sequence[FoldResult]) -> Iterator[str]:
    """Dice of both on the folds and seeds that both have finished."""
    done = [result for result in found if result.scores is not None]
    for protocol in sorted({result.protocol for result in done}):
        rows = rows_of(done, protocol, (PROCESS, TORCH))
        both = set.intersection(*({(r.cell.seed, r.cell.fold) for r in rows.get(name, ())} for name in CHOICE))
        yield f"\n### Dice: {steps_text(protocol)}\n"
        if not both:
            yield "No fold is trained by both yet.\n"
            continue
        pair = {name: [r for r in rows[name] if (r.cell.seed, r.cell.fold) in both] for name in CHOICE}
        yield f"Both with `{' '.join(SHORT)}`; {cohort_text(pair[TORCH])}.\n\n"
        yield table(("folds and seeds", "cases", *CHOICE, "difference", "95 %, cases", "patients better"), _lines(pair))
        origins = {origin.text() for results in pair.values() for result in results for origin in result.made}
        yield "".join(f"\n{text}\n" for text in sorted(origins))


def _lines(pair: Mapping[str, list[FoldResult]]) -> Iterator[tuple[str, ...]]:
    """A line for each seed, and one for all together, with torch's Dice less batchgenerators'."""
    seeds = sorted({result.cell.seed for result in pair[TORCH]})
    for chosen in [[seed] for seed in seeds] + [seeds] * (len(seeds) > 1):
        some = {name: [r for r in results if r.cell.seed in chosen] for name, results in pair.items()}
        _, by_case = paired(some[TORCH], some[PROCESS])
        gains = patient_gains(some[TORCH], some[PROCESS])
        folds = sorted({result.cell.fold for result in some[TORCH]})
        which = f"folds {', '.join(map(str, folds))}; seeds {', '.join(map(str, chosen))}"
        better = f"{sum(gain > 0 for gain in gains.values())} of {len(gains)}"
        means = [mean_dice(some[name]) for name in CHOICE]
        yield which, str(by_case.n), *means, f"{by_case.mean:+.3f}", interval(by_case, "+"), better


def patient_gains(ours: Sequence[FoldResult], base: Sequence[FoldResult]) -> dict[str, float]:
    """Patient -> mean difference of the Dice over the patient's cases and the seeds."""
    mine, theirs = case_scores(ours), case_scores(base)
    patients = {case: patient for result in base if result.scores for case, patient in result.scores.patients.items()}
    gains: defaultdict[str, list[float]] = defaultdict(list)
    for case, dice in mine.items():
        gains[patients[case]].append(dice - theirs[case])
    return {patient: statistics.fmean(values) for patient, values in gains.items()}


def _spread(values: Sequence[float], scale: float) -> str:
    found = spread([scale * value for value in values])
    return "-" if found is None else f"{found.median:.3g} ({found.low:.3g} to {found.high:.3g})"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupt)
    sys.exit(main())
