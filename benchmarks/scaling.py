"""Measure what several ranks come to and how fast they are, and write docs/scaling.md from it.

    python -m benchmarks.scaling [--only agreement throughput] [--rounds 3] [--price 0.05]

Each part's results are kept as JSON in the work folder, so that they can be measured at different times.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import data
from benchmarks.compare import ROOT, add_places, take_turn
from benchmarks.measure import CommandFailedError
from benchmarks.results import Results, our_versions, save, this_machine
from benchmarks.scaling_report import AGREEMENT, THROUGHPUT, write_report
from benchmarks.tools import Bench, Job, SetupError, run_once
from benchmarks.workloads import OURS, imported
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.workflows.paths import read_plan

STEPS = 20
RANKS = {AGREEMENT: (1, 2, 3), THROUGHPUT: (1, 2, 4)}
SMALL_SCANS = 8
"""Of vmsemi53, predicted by the shared processes."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__.partition("\n")[0])
    add_places(parser)
    parser.set_defaults(out=ROOT / "docs" / "scaling.md")
    parser.add_argument(
        "--only", nargs="*", choices=tuple(RANKS), default=tuple(RANKS), help="parts; none: report only"
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds of the throughput (default: 3)")
    parser.add_argument("--price", type=float, default=0.05, metavar="P", help="assumed price of a core for an hour")
    arguments = parser.parse_args(argv)
    bench = Bench(Path(), arguments.data.absolute(), arguments.work.absolute() / "scaling")
    try:
        if AGREEMENT in arguments.only:
            measure_agreement(bench)
        if THROUGHPUT in arguments.only:
            measure_throughput(bench, arguments.rounds)
        write_report(bench.work, arguments.out, arguments.price)
    except (SetupError, CommandFailedError, VmsegError) as error:
        print(f"benchmarks.scaling: {error}", file=sys.stderr)
        return 2
    return 0


def shared(ranks: int, module: str, *arguments: str | Path, fresh: tuple[Path, ...] = ()) -> Job:
    """A module run by so many processes, each with one thread; one alone is run without torchrun."""
    torchrun = ("-m", "torch.distributed.run", f"--nproc-per-node={ranks}") if ranks > 1 else ()
    command = (sys.executable, *torchrun, "-m", module, *map(str, arguments))
    return Job(command, {"OMP_NUM_THREADS": "1"}, fresh)


# -------------------------------------------------------------------------------------------------------- agreement


def measure_agreement(bench: Bench) -> None:
    """The first step's gradients and twenty losses of vmsemi53's fold 0, planned for 0.25 GB, in float32."""
    home = bench.folder(AGREEMENT)
    space = home / "workspace"
    run_once(bench.ours("plan_and_preprocess", "-d", bench.data / "vmsemi53", "-w", space, "--memory", "0.25"))
    found: dict[tuple[int, bool], dict[str, Any]] = {}
    rows: list[dict[str, Any]] = []
    for ranks in RANKS[AGREEMENT]:
        for onednn in (False, True):
            figures = home / f"steps_{ranks}.pt"
            arguments: list[str | Path] = ["--workspace", space, "--steps", str(STEPS), "--figures", figures]
            arguments += ["--onednn"] if onednn else []
            run_once(shared(ranks, "benchmarks.drivers.shared_steps", *arguments))
            found[ranks, onednn] = torch.load(figures, weights_only=True)
            rows.append({"ranks": ranks, "onednn": onednn, **compared(found[ranks, onednn], found[1, onednn])})
            print(rows[-1], flush=True)
    itself = gradient_difference(found[1, True]["gradients"], found[1, False]["gradients"])
    facts = {
        "rows": rows,
        "onednn_itself": itself,
        "steps": STEPS,
        "batch": read_plan(Workspace(space), None).batch_size,
    }
    save(bench.work, Results(AGREEMENT, this_machine(), {OURS: our_versions()}, facts=facts))


def compared(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Two results of benchmarks.drivers.shared_steps in a table's row."""
    return {
        "gradients": gradient_difference(ours["gradients"], theirs["gradients"]),
        "losses": max(abs(a - b) for a, b in zip(ours["losses"], theirs["losses"], strict=True)),
        "alike": ours["alike"],
    }


def gradient_difference(ours: Mapping[str, torch.Tensor], theirs: Mapping[str, torch.Tensor]) -> float:
    """Largest relative difference of a weight's gradient, by norms.

    A convolution's bias before a normalisation has no gradient but rounding. So what is below a millionth of the whole
    gradient in both is passed over.
    """
    least = 1e-6 * float(torch.stack([gradient.norm() for gradient in theirs.values()]).norm())
    pairs = [(ours[name], gradient) for name, gradient in theirs.items()]
    return max(float((a - b).norm() / b.norm()) for a, b in pairs if max(a.norm(), b.norm()) > least)


# ------------------------------------------------------------------------------------------------------- throughput


def measure_throughput(bench: Bench, rounds: int) -> None:
    """Predict small scans with 1, 2 and 4 ranks of one thread in turns, and full-size heads once with as many as cores.

    The same command once more finds all masks there: what it takes is its start and its bookkeeping.
    """
    home = bench.folder(THROUGHPUT)
    model = imported(bench, bench.data / "nnunet" / "vmsemi53" / "model", home / "model")
    small = data.some_of(bench.data / "vmsemi53" / "imagesTr", home / "small", SMALL_SCANS)
    large = data.write_scans(home / "large", _heads(bench))
    timed: dict[int, list[dict[str, float]]] = {ranks: [] for ranks in RANKS[THROUGHPUT]}
    for number in range(rounds):
        for ranks, figures in timed.items():
            figures.append(_timed(bench, model, small, ranks, f"{ranks}_{number}"))
            print(ranks, figures[-1], flush=True)
    heads = _timed(bench, model, large, 2, "large")
    print("full-size", heads, flush=True)
    facts = {
        "small_scans": len(list(small.iterdir())),
        "small": {str(ranks): figures for ranks, figures in timed.items()},
        "large_scans": len(list(large.iterdir())),
        "large_ranks": 2,
        "large": heads,
        "disk": {scans.name: _bytes_a_scan(scans, home / f"out_{scans.name}") for scans in (small, large)},
    }
    save(bench.work, Results(THROUGHPUT, this_machine(), {OURS: our_versions()}, facts=facts))


def _timed(bench: Bench, model: Path, scans: Path, ranks: int, name: str) -> dict[str, float]:
    """Wall time and CPU time of a prediction, and of the same once more."""
    out = bench.folder(THROUGHPUT) / f"out_{scans.name}"
    arguments = ("-i", scans, "-o", out, "-m", model, "--device", "cpu", "--jobs", "1")
    job = shared(ranks, "vmseg_auto.cli.predict", *arguments, fresh=(out,))
    logs = bench.work / "logs"
    whole, _ = take_turn(job, logs / f"scaling_{name}.log")
    again, _ = take_turn(replace(job, fresh=()), logs / f"scaling_{name}_again.log")
    return {**whole, "start_s": again["wall_s"]}


def _heads(bench: Bench) -> list[tuple[str, data.Scan]]:
    heads = data.full_size_scans(bench.data)
    return [(name, data.with_lesions(image, grid, seed)) for seed, (name, image, grid) in enumerate(heads)]


def _bytes_a_scan(scans: Path, out: Path) -> dict[str, float]:
    """Mean size of a scan, and of what is written of it."""
    count = len(list(scans.iterdir()))
    written = [path for path in out.iterdir() if path.is_file() and path.name != "volumes.csv"]
    return {
        "scan": statistics.fmean(path.stat().st_size for path in scans.iterdir()),
        "results": sum(path.stat().st_size for path in written) / count,
    }


if __name__ == "__main__":
    sys.exit(main())
