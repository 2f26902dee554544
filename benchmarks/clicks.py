"""What clicks add: vmsemi53 (synthetic lesions), one fold trained with them and one without, on held-out cases.

    python -m benchmarks.clicks --work WORK

Prints Dice after none, 1, 3 and 5 simulated clicks, seconds a click, and Dice of the network that was trained without.
Each next click lies in the piece of the mask's error that is the largest, at the voxel furthest from its margin.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

import vmseg_auto
from benchmarks.compare import add_places
from benchmarks.sparse import COHORT, fold_zero
from vmseg_auto.cli.common import positive_int
from vmseg_auto.data.cases import read_case, read_dataset
from vmseg_auto.data.dataset import Case, Dataset, Fold
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.evaluation.metrics.overlap import overlap
from vmseg_auto.inference.clicks import ClickedScan
from vmseg_auto.inference.predictor import Predictor
from vmseg_auto.preprocessing.click_channels import Click
from vmseg_auto.utils.atomic import new_folder, write_json
from vmseg_auto.utils.geometry import Spacing
from vmseg_auto.utils.statistics import summarise

CLICKS = (0, 1, 3, 5)
THREADS = 2
Mask = NDArray[np.uint8]


class Told(NamedTuple):
    """A case: Dice after none, one, two clicks and so on; seconds that each click and the first reading took."""

    dice: list[float]
    seconds: list[float]
    ready: float


def next_click(mask: Mask, truth: Mask, spacing: Spacing) -> Click | None:
    """Return a click in the largest piece of the error, furthest from its margin in mm; None where all is right."""
    numbered, pieces = ndimage.label(mask != truth, np.ones((3, 3, 3)))
    if not pieces:
        return None
    largest = numbered == 1 + int(np.argmax(np.bincount(numbered.ravel())[1:]))
    depth = ndimage.distance_transform_edt(np.pad(largest, 1), spacing)[1:-1, 1:-1, 1:-1]
    z, y, x = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return Click((int(z), int(y), int(x)), bool(truth[z, y, x]))


def clicked(predictor: Predictor, case: Case) -> Told:
    """Predict a case, and correct it by clicks."""
    image, truth, geometry = read_case(case)
    assert truth is not None
    mask = predictor.predict(image, geometry).mask
    start = time.perf_counter()
    scan = ClickedScan(predictor, image, geometry)
    ready, seconds = time.perf_counter() - start, []
    dice, clicks = [_dice(mask, truth)], list[Click]()
    for _ in range(max(CLICKS)):
        if (click := next_click(mask, truth, geometry.spacing_mm)) is not None:
            clicks.append(click)
            start = time.perf_counter()
            mask = scan.answer(clicks).applied(mask)
            seconds.append(time.perf_counter() - start)
        dice.append(_dice(mask, truth))
    return Told(dice, seconds, ready)


def _dice(mask: Mask, truth: Mask) -> float:
    return float(overlap(mask > 0, truth > 0, mask.size)["dice"])


def trained(dataset: Path, workspace: Path, fold: Fold, memory: float, settings: Sequence[str]) -> Predictor:
    """Train the fold of a dataset, if it is not trained yet, and load it."""
    write_json(dataset / "splits_final.json", [{"train": list(fold.train), "val": list(fold.val)}])
    vmseg_auto.plan_and_preprocess(dataset, workspace, memory_gb=memory)
    vmseg_auto.train([0], dataset=dataset, workspace=workspace, settings=settings, device="cpu")
    (run,) = Workspace(workspace).runs()
    return Predictor.load(run.folder, folds=[0], device="cpu")


def table(told: Sequence[Told], plain: Sequence[float], patients: Sequence[str]) -> str:
    """Return the table that stands in docs/results.md."""

    def row(name: str, values: Sequence[float]) -> str:
        found = summarise(np.array(values), patients)
        return f"| {name} | {found.mean:.3f} | {found.low_95:.3f} to {found.high_95:.3f} | {np.median(values):.3f} |"

    rows = [row("trained without clicks, none", plain)]
    rows += [row(f"trained with clicks, {count or 'none'}", [one.dice[count] for one in told]) for count in CLICKS]
    head = "| network, clicks | Dice | 95 % interval | median |\n|---|---|---|---|"
    seconds = [second for one in told for second in one.seconds]
    return "\n".join([
        head,
        *rows,
        "",
        f"{len(told)} held-out cases of {len(set(patients))} patients; {len(seconds)} clicks: median "
        f"{median(seconds):.2f} s a click, longest {max(seconds):.2f} s, on {THREADS} threads; before the first click "
        f"of a case median {median(one.ready for one in told):.2f} s.",
    ])  # fmt: skip


def _of(data: Dataset, names: Sequence[str]) -> list[Case]:
    return [case for case in data.cases if case.id in names]


def main(argv: Sequence[str] | None = None) -> int:
    made = argparse.ArgumentParser(prog="python -m benchmarks.clicks", description=__doc__.partition("\n")[0])
    add_places(made)
    made.add_argument("--memory", type=float, default=0.25, metavar="GB", help="the plan's (default: %(default)s)")
    made.add_argument("--epochs", type=positive_int, default=20, metavar="N", help="default: %(default)s")
    made.add_argument(
        "--steps", type=positive_int, default=20, metavar="N", help="of each epoch (default: %(default)s)"
    )
    arguments = made.parse_args(argv)
    torch.set_num_threads(THREADS)
    source, work = arguments.data / COHORT, arguments.work / "clicks"
    if not (work / "dataset").is_dir():
        with new_folder(work / "dataset") as folder:
            shutil.copytree(
                source, folder, ignore=shutil.ignore_patterns("vmseg", "splits_final.json"), dirs_exist_ok=True
            )
    data = read_dataset(work / "dataset")
    fold = fold_zero(data)
    settings = [f"epochs={arguments.epochs}", f"iterations_per_epoch={arguments.steps}"]
    without, hinted = (
        trained(work / "dataset", work / name, fold, arguments.memory, [*settings, *more])
        for name, more in (("without", []), ("with", ["clicks=true"]))
    )
    cases = _of(data, fold.val)
    told = [clicked(hinted, case) for case in cases]
    plain = []
    for case in cases:
        image, truth, geometry = read_case(case)
        assert truth is not None
        plain.append(_dice(without.predict(image, geometry).mask, truth))
    print(table(told, plain, [data.patients[case.id] for case in cases]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
