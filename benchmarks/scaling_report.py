"""docs/scaling.md, written from what benchmarks.scaling has measured."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import table
from benchmarks.results import Results, Spread, load, spread
from benchmarks.tools import SetupError
from benchmarks.workloads import OURS
from vmseg_auto.utils.atomic import write_text

AGREEMENT, THROUGHPUT = "agreement", "throughput"
COUNTS = (10_000, 1_000_000)
CORES = 64
FOLDS = 5

START = """\
# Several GPUs, machines and a cluster

Written by `python -m benchmarks.scaling`; don't edit it.

## How to start
`torchrun`, which comes with PyTorch, starts as many processes as there are GPUs or cores to share the work:

```bash
torchrun --no-python --nproc-per-node 2 vmseg_train 0          # two GPUs share fold 0's batches
torchrun --no-python --nproc-per-node 4 vmseg_predict -i scans -o masks
torchrun --nproc-per-node 2 -m vmseg_auto.cli.train 0          # the same where the command is not on PATH
```

On several machines that see the same disk, run the same line on each, with `--nnodes 2 --rdzv-backend c10d
--rdzv-endpoint FIRST_MACHINE:29500 --rdzv-id ANY_NAME`. `--max-restarts 3` starts all processes again where one fails
or is killed; they go on from the state saved last. Without a GPU, or with `--device cpu`, processes share the cores:
torchrun gives each one thread, unless OMP_NUM_THREADS says otherwise. The other commands take one process.

Five folds on five GPUs need no torchrun: start `vmseg_train 0`, `vmseg_train 1` ... side by side, as
[examples/slurm](../examples/slurm) does. It is also faster, as folds never wait for each other. Several GPUs for one
fold help up to the plan's batch size, which stays as planned; with `--memory` for one GPU.

- **Training** draws the batches that one process would draw, whatever the number of processes. Each computes its
  samples of a batch; the logits are then joined, so that the loss sees the whole batch (soft Dice over a batch
  included), and the gradients are added up. A process that has no sample of a batch follows the first one's and counts
  nothing. Validation patches, overfitting checks on whole cases and the prediction of validation cases are shared as
  well. Networks with batch normalisation or dropout are refused, as what they learn would depend on the number of
  processes.
- **Prediction** gives each process every n-th scan; the first writes `volumes.csv` for all. What an interrupted command
  has finished is kept, whatever the number of processes.
- The first process alone speaks, holds the locks and writes states and tables. Each process has its log in `logs`.
  torchrun ends with exit code 1 whenever a process does not end with 0.
- **SIGTERM and SIGUSR1**, which clusters send before they take a machine away, let a training save after the current
  step and end with exit code 143 or 138 (128 and the signal's number); the same command goes on with the next step, and
  ends with the same weights. Prediction and planning end at once; what they have finished is kept.

## Slurm
[examples/slurm/submit.sh](../examples/slurm/submit.sh) prepares a cohort once, trains the folds as a job array and then
runs `vmseg_select`. Each fold may be requeued at any time: by the cluster, which sends SIGTERM, or by its own script
five minutes before its time is up. `train_on_several_gpus.sbatch` shares a fold among nodes. The workspace has to lie
on a disk that all nodes see; which file systems pass locks on between machines stands in [formats.md](formats.md).
"""

AGREEING = """
## The same as one process
Fold 0 of a cohort of 53 thick-slice T2 scans, planned for 0.25 GB (a batch of {batch}, so that of three processes one
has no sample), {steps} steps in float32: the largest relative difference of a weight's gradient in the first step, by
norms, and the largest difference of the loss in any step.

{table}
A bias before a normalisation has no gradient but rounding, below a millionth of the whole gradient, and is passed over.
oneDNN, which computes a CPU's convolutions, takes other algorithms for other sizes of a batch; where an activation
changes its slope at zero, their rounding becomes a difference that can be seen. It is no larger than the one between
one process with oneDNN and one without it, which is {itself:.1e} here. In all cases every process ended with the same
weights as the others.

Masks predicted by several processes are those of one, byte for byte, with the same number of threads each.
"""

SPEED = """
## Throughput of prediction
{small} thick-slice head and neck scans, one fold, all mirrorings, in processes of one thread. *Start* is what the same
command takes when all masks are there already: starting the processes, loading the model, and looking at every scan.
*A scan* is (wall time - start) / {small}. Medians of {rounds} rounds, taken in turns, with their range in brackets.

{table}
There are {cores} cores here: more processes than cores share them. Two full-size heads, one to each of two processes,
took {head:.0f} s of a process each (one round).
"""

COSTS = """
## What many scans cost
Worked out from the figures above:

- processor time of a scan, *c* = processes x seconds a scan: {small_c:.2f} s for a small scan ({small_ranks} processes
  here), {large_c:.0f} s for a full-size head; {folds} folds take {folds} times as long, as all folds look at each
  window. This is the most: with a model's own calibration, windows that one fold finds empty are passed over.
- core-hours for *N* scans: *N c* / 3600.
- time on *k* cores: start + *N c* / *k*, as scans are independent and processes meet only at the end.
- price: core-hours x the price of a core for an hour, **assumed** to be {price:g} (any currency).
- disk: *N* x (scan + results), {small_disk} for a small scan and {large_disk} for a full-size head.

{table}
A million scans are best given as folders of some thousands, each a command or a task of a job array of its own: a
failure then concerns one folder, and each `volumes.csv` stays readable. A GPU is not in this table, as none was
measured.
"""


@dataclass(frozen=True)
class Load:
    """One kind of scan, as measured.

    Args:
        name: in words.
        core_s: processor time of a scan with one fold.
        start_s: of a command.
        disk: bytes of a scan and its results.
    """

    name: str
    core_s: float
    start_s: float
    disk: float


def write_report(work: Path, out: Path, price: float) -> None:
    """Write the page from the parts that there are."""
    parts = [START]
    if agreement := load(work, AGREEMENT):
        parts.append(_agreement(agreement))
    if throughput := load(work, THROUGHPUT):
        parts += [_throughput(throughput), _costs(throughput, price)]
    measured = [results for results in (agreement, throughput) if results]
    parts += [_where(measured)] if measured else []
    write_text(out, "".join(parts))


def seconds_a_scan(figures: Mapping[str, float], scans: int) -> float:
    """Of one round, without what the command takes to start."""
    return (figures["wall_s"] - figures["start_s"]) / scans


def cost_row(load: Load, folds: int, count: int, price: float) -> list[str]:
    """A row of the costs' table."""
    hours = count * load.core_s * folds / 3600
    return [
        f"{count:,}",
        load.name,
        str(folds),
        f"{hours:,.0f}",
        _days(load.start_s + hours * 3600 / 2),
        _days(load.start_s + hours * 3600 / CORES),
        f"{hours * price:,.0f}",
        _size(count * load.disk),
    ]


def _agreement(results: Results) -> str:
    facts = results.facts
    rows = [
        [str(row["ranks"]), "with" if row["onednn"] else "without", f"{row['gradients']:.1e}", f"{row['losses']:.1e}"]
        for row in facts["rows"]
        if row["ranks"] > 1
    ]
    if not all(row["alike"] for row in facts["rows"]):
        raise SetupError("the processes ended with different weights")
    head = ["processes", "oneDNN", "gradients, relative", "loss"]
    return AGREEING.format(
        batch=facts["batch"], steps=facts["steps"], itself=facts["onednn_itself"], table=table(head, rows)
    )


def _throughput(results: Results) -> str:
    facts = results.facts
    scans = facts["small_scans"]
    alone = statistics.median(seconds_a_scan(figures, scans) for figures in facts["small"]["1"])
    rows = []
    for ranks, rounds in facts["small"].items():
        each = [seconds_a_scan(figures, scans) for figures in rounds]
        rows.append(
            [
                ranks,
                _spread([figures["wall_s"] for figures in rounds]),
                _spread([figures["start_s"] for figures in rounds]),
                _spread(each, 2),
                f"{3600 / statistics.median(each):,.0f}",
                f"{alone / statistics.median(each):.2f}",
                f"{statistics.median(figures['peak_mib'] for figures in rounds):.0f}",
            ]
        )
    head = ["processes", "wall (s)", "start (s)", "a scan (s)", "scans an hour", "speed-up", "peak memory, all (MiB)"]
    return SPEED.format(
        small=scans,
        rounds=len(facts["small"]["1"]),
        table=table(head, rows),
        cores=results.machine.cores,
        head=_loads(results)[1].core_s,
    )


def _loads(results: Results) -> tuple[Load, Load]:
    """Small scans at the best number of processes for the cores here, and full-size heads."""
    facts, ranks = results.facts, _full(results)
    small = facts["small"][str(ranks)]
    each = statistics.median(seconds_a_scan(figures, facts["small_scans"]) for figures in small)
    start = statistics.median(figures["start_s"] for figures in small)
    large = facts["large_ranks"] * seconds_a_scan(facts["large"], facts["large_scans"])
    disk = {name: sizes["scan"] + sizes["results"] for name, sizes in facts["disk"].items()}
    return (
        Load("small", ranks * each, start, disk["small"]),
        Load("full-size head", large, facts["large"]["start_s"], disk["large"]),
    )


def _full(results: Results) -> int:
    """The most processes that have a core each."""
    return max(int(ranks) for ranks in results.facts["small"] if int(ranks) <= results.machine.cores)


def _costs(results: Results, price: float) -> str:
    small, large = _loads(results)
    rows = [cost_row(load, folds, count, price) for count in COUNTS for load in (small, large) for folds in (1, FOLDS)]
    head = ["scans", "kind", "folds", "core-hours", "on 2 cores", f"on {CORES} cores", "price", "disk"]
    return COSTS.format(
        small_c=small.core_s,
        small_ranks=_full(results),
        large_c=large.core_s,
        folds=FOLDS,
        price=price,
        small_disk=_size(small.disk),
        large_disk=_size(large.disk),
        table=table(head, rows),
    )


def _where(measured: Sequence[Results]) -> str:
    places: dict[str, None] = {}
    for results in measured:
        versions = ", ".join(f"{name} {number}" for name, number in results.versions[OURS].items())
        places[f"- {results.workload}: {results.machine.text()}; {versions}."] = None
    return "\n## Where it was measured\n" + "\n".join(places) + "\n"


def _spread(values: Sequence[float], digits: int = 1) -> str:
    found: Spread | None = spread(values)
    assert found is not None
    span = f" ({found.low:.{digits}f} to {found.high:.{digits}f})" if found.rounds > 1 else ""
    return f"{found.median:.{digits}f}{span}"


def _days(seconds: float) -> str:
    for unit, length, limit in (("min", 60, 90), ("h", 3600, 48), ("days", 86400, 730)):
        if seconds / length < limit:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds / 86400 / 365.25:,.1f} years"


def _size(size: float) -> str:
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000:
            return f"{size:.3g} {unit}"
    return f"{size / 1000:.3g} TB"
