"""What a federation of two sites is worth: real scans in two halves, each site's own model, theirs together, one pool.

    python -m benchmarks.federated --data DATA --work WORK

Prints the table of docs/federated.md. Needs the extra `federated`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import vmseg_auto
from benchmarks.compare import ROOT, add_places
from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.utils.statistics import summarise

COHORT = "hippocampus53"
SITES = ("north", "south")
POOL = "pool"


def split(source: Path, target: Path) -> None:
    """Every other case to each site, training and test cases alike, and all of them to the pool."""
    for folder in ("imagesTr", "labelsTr", "imagesTs", "labelsTs"):
        for number, path in enumerate(sorted((source / folder).iterdir())):
            for place in (SITES[number % 2], POOL):
                (target / place / folder).mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target / place / folder)
    for place in (*SITES, POOL):
        shutil.copy(source / "dataset.json", target / place)


def federate(work: Path, rounds: int, settings: str, memory: float) -> Path:
    """Run the example as a user does."""
    model = work / "federated"
    command = [sys.executable, "one_process.py", *(str(work / site) for site in SITES), "-o", str(model)]
    command += ["--rounds", str(rounds), "--settings", settings, "--memory", str(memory)]
    subprocess.run(
        command, cwd=ROOT / "examples" / "federated", env={**os.environ, "FLWR_TELEMETRY_ENABLED": "0"}, check=True
    )
    return model


def train_alone(dataset: Path, settings: Sequence[str], memory: float) -> Path:
    if not (dataset / "vmseg" / "splits.json").is_file():
        vmseg_auto.plan_and_preprocess(dataset, memory_gb=memory)
    return vmseg_auto.train(["all"], dataset=dataset, settings=settings).folder


def score(model: Path, dataset: Path, output: Path) -> str:
    """Mean Dice over both labels of a site's test cases, with its interval over patients."""
    vmseg_auto.predict(dataset / "imagesTs", output, model=model)
    table = vmseg_auto.evaluate(output, dataset / "labelsTs").table
    dice = table.groupby("case")["dice"].mean()
    summary = summarise(dice.to_numpy(float), [str(case) for case in dice.index], (0.0, 1.0))
    return f"{summary.mean:.3f} ({summary.low_95:.3f} to {summary.high_95:.3f})"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.federated", description=__doc__.partition("\n")[0])
    add_places(parser)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5, help="of each round")
    parser.add_argument("--steps", type=int, default=20, help="of each epoch")
    parser.add_argument("--memory", type=float, default=1.0, metavar="GB", help="of the plan")
    arguments = parser.parse_args(argv)
    work = arguments.work.absolute() / "federated"
    shared = f"iterations_per_epoch={arguments.steps} validation_share=0 monitor_cases=0"
    try:
        split(arguments.data.absolute() / COHORT, work)
        models = {
            "federated": federate(work, arguments.rounds, f"epochs={arguments.epochs} {shared}", arguments.memory)
        }
        settings = [f"epochs={arguments.rounds * arguments.epochs}", *shared.split()]
        models |= {f"{place} alone": train_alone(work / place, settings, arguments.memory) for place in SITES}
        models["one pool"] = train_alone(work / POOL, settings, arguments.memory)
        print("| trained | on north's test cases | on south's test cases |\n|---|---|---|")
        for name, model in models.items():
            cells = [score(model, work / site, work / "masks" / name / site) for site in SITES]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
    except VmsegError as error:
        print(f"benchmarks.federated: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":  # worker processes import this file again
    sys.exit(main())
