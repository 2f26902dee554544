"""What a prediction takes on a CPU in float32, by each way to compute it: a window, and whole commands.

    python -m benchmarks.cpu [--rounds N] [--limit CASES] [--nnunet ENVIRONMENT]

All ways take turns, a round each. Timed is CPU time, so that other work on the machine counts less. On a processor that
computes 16 bits natively, `ONEDNN_MAX_CPU_ISA=AVX512_CORE` in the environment leaves these instructions unused. With
nnU-Net's environment at hand, its own command stands beside ours.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks import data
from benchmarks.compare import add_places, take_turn
from benchmarks.measure import CommandFailedError
from benchmarks.report import write_report
from benchmarks.results import Results, our_versions, ratios, save, this_machine
from benchmarks.tools import Bench, SetupError, nnunet_versions, run_once
from benchmarks.workloads import NNUNET, OURS, imported
from vmseg_auto.data.images.images import read_image, read_mask
from vmseg_auto.inference.predictor import Predictor
from vmseg_auto.networks.openvino import OpenVinoNetwork
from vmseg_auto.networks.unet import build_network
from vmseg_auto.planning.plan import Plan
from vmseg_auto.utils.atomic import read_stored
from vmseg_auto.utils.devices import keep_freed_memory, lay_out
from vmseg_auto.utils.errors import VmsegError

NAME, CASES = "cpu", 8
CPU = torch.device("cpu")
Row = Mapping[str, object]


@dataclass(frozen=True)
class Way:
    """One way to compute a window.

    Args:
        name: for the table.
        network: ready.
        mode: in which it is called; torch's own choice of code holds everywhere but in inference mode.
    """

    name: str
    network: nn.Module
    mode: Callable[[], AbstractContextManager[object]]

    def __call__(self, window: torch.Tensor) -> torch.Tensor:
        with self.mode():
            logits: torch.Tensor = self.network(window)
        return logits


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cpu", description=__doc__.partition("\n")[0])
    add_places(parser)
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="rounds of a window (default: 7)")
    parser.add_argument("--commands", type=int, default=2, metavar="N", help="rounds of a command (default: 2)")
    parser.add_argument("--limit", type=int, default=CASES, metavar="CASES", help=f"scans of a command ({CASES})")
    parser.add_argument("--nnunet", type=Path, metavar="ENVIRONMENT", help="with nnunetv2, for its own command")
    arguments = parser.parse_args(argv)
    places = arguments.data.absolute(), arguments.work.absolute()
    bench = Bench((arguments.nnunet or Path()).absolute(), *places, limit=arguments.limit)
    try:
        rows = [*of_windows(bench, arguments.rounds), *of_commands(bench, arguments.commands)]
        versions = {OURS: our_versions(), NNUNET: nnunet_versions(bench.nnunet)}
        save(bench.work, Results(NAME, this_machine(), versions, limit=bench.limit, facts={"rows": rows}))
        write_report(bench.work, arguments.out)
    except (SetupError, CommandFailedError, VmsegError) as error:
        print(f"benchmarks.cpu: {error}", file=sys.stderr)
        return 2
    return 0


def of_windows(bench: Bench, rounds: int) -> list[Row]:
    """Time single windows on one thread: of nnU-Net's trained vmsemi53 model, and of the plan for 8 GB."""
    keep_freed_memory()
    torch.set_num_threads(1)
    model = imported(bench, bench.data / "nnunet" / "vmsemi53" / "model", bench.folder(NAME) / "model")
    small = Predictor.load(model, device="cpu", precision="float32")
    image, geometry = read_image(bench.data / "vmsemi53" / "imagesTr" / "vm_010_0000.nii.gz")
    scan = torch.from_numpy(small.preprocess(image, geometry).image)
    space = bench.folder(NAME) / "workspace"
    run_once(bench.ours("plan_and_preprocess", "-d", bench.data / "vmsemi53", "-w", space))
    plan = read_stored(Plan, space / "plans" / "default" / "plan.json")
    torch.manual_seed(0)
    networks = {
        "trained, 0.25 GB": (small.plan, small.ensemble.networks[0]),
        "random weights, 8 GB": (plan, build_network(plan.network, 1, 2).eval()),
    }
    return [row for name, (of, network) in networks.items() for row in timed(name, network, middle(scan, of), rounds)]


def middle(scan: torch.Tensor, plan: Plan) -> torch.Tensor:
    """The window [1, C, Z, Y, X] in the middle of a scan, with zeros around where it is smaller."""
    window = torch.zeros(1, len(scan), *plan.patch)
    source, target = scan[None], window
    for axis, (there, wanted) in enumerate(zip(scan.shape[1:], plan.patch, strict=True), 2):
        length = min(there, wanted)
        source = source.narrow(axis, (there - length) // 2, length)
        target = target.narrow(axis, (wanted - length) // 2, length)
    target.copy_(source)
    return window


def ways(network: nn.Module, window: torch.Tensor) -> list[Way]:
    """torch as it is, ours before oneDNN was asked for everything, ours, and OpenVINO."""
    plain = copy.deepcopy(network)
    for weight in plain.parameters():
        weight.data = weight.data.contiguous()
    _, channels, z, y, x = window.shape
    return [
        Way("torch", plain, torch.no_grad),
        Way("torch, weights laid out as for training", lay_out(copy.deepcopy(plain), CPU, trains=True), torch.no_grad),
        Way("ours", lay_out(copy.deepcopy(plain), CPU), torch.inference_mode),
        Way("ours, OpenVINO", OpenVinoNetwork(plain, channels, (z, y, x)), torch.inference_mode),
    ]


def timed(name: str, network: nn.Module, window: torch.Tensor, rounds: int) -> list[Row]:
    """A row for each way; shares are of the first one's time in the same round."""
    found = ways(network, window)
    masks = [way(window).argmax(1) for way in found]  # which also warms each up
    times: list[list[float]] = [[] for _ in found]
    for _ in range(rounds):
        for way, own in zip(found, times, strict=True):
            began = time.process_time()
            way(window)
            own.append(time.process_time() - began)
    size = " x ".join(map(str, window.shape[2:]))
    changed = [int((mask != masks[0]).sum()) for mask in masks]
    rows = [
        row(f"window {size} ({name})", way.name, own, times[0], f"{count} of {masks[0].numel():,}")
        for way, own, count in zip(found, times, changed, strict=True)
    ]
    return rows


def of_commands(bench: Bench, rounds: int) -> list[Row]:
    """Time whole exhaustive predictions of hippocampus53 with nnU-Net's weights; nnU-Net's first, where it is there."""
    home, theirs = bench.folder(NAME), bench.data / "nnunet" / "hippocampus53" / "model"
    scans = data.some_of(bench.data / "hippocampus53" / "imagesTs", home / "scans", bench.limit)
    model, jobs = imported(bench, theirs, home / "hippocampus"), {}
    if nnunet_versions(bench.nnunet):
        bench.check()
        out = home / NNUNET
        places = ("-i", scans, "-o", out, "-m", theirs)
        options = ("-f", "all", "-device", "cpu")
        jobs[NNUNET] = bench.theirs("predict_from_modelfolder", *places, *options, home=home, fresh=(out,))
    for name, backend in (("ours", "torch"), ("ours, OpenVINO", "openvino")):
        out = home / backend
        places = ("-i", scans, "-o", out, "-m", model)
        chosen = ("--exhaustive", "--device", "cpu", "--precision", "float32", "--backend", backend)
        jobs[name] = bench.ours("predict", *places, *chosen, fresh=(out,))
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(rounds):
        for name, job in jobs.items():
            figures, _ = take_turn(job, bench.work / "logs" / f"cpu_{number}_{name.replace(', ', '_')}.log")
            times[name].append(figures["cpu_s"])
    first = next(iter(jobs))
    changed = {name: other_voxels(jobs[first].fresh[0], job.fresh[0]) for name, job in jobs.items()}
    work = f"vmseg_predict of {len(list(scans.iterdir()))} small scans"
    return [row(work, name, own, times[first], changed[name]) for name, own in times.items()]


def other_voxels(one: Path, other: Path) -> str:
    """How many voxels of two folders' masks differ."""
    pairs = [(read_mask(path)[0], read_mask(other / path.name)[0]) for path in sorted(one.glob(f"*{data.ENDING}"))]
    return f"{sum(int((a != b).sum()) for a, b in pairs)} of {sum(int(np.size(a)) for a, _ in pairs):,}"


def row(work: str, way: str, own: Sequence[float], first: Sequence[float], changed: str) -> Row:
    """A row of the table, which is printed too."""
    shares = ratios(own, first)
    made = {
        "work": work,
        "computed by": way,
        "CPU time (s)": f"{statistics.median(own):.3g}",
        "share of the first": f"{statistics.median(shares):.3f} ({min(shares):.3f} to {max(shares):.3f})",
        "other voxels": changed,
        "rounds": len(own),
    }
    print(made, flush=True)
    return made


if __name__ == "__main__":
    sys.exit(main())
