"""The embedded default: a cohort of phantom patients, and the whole pipeline run on it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vmseg_auto.data.images.images import read_image, read_mask, write_image, write_mask
from vmseg_auto.demo.phantom.phantom import make_phantom
from vmseg_auto.evaluation.evaluate import Evaluation
from vmseg_auto.figures.overlays import draw_outlines
from vmseg_auto.report.write import write_report
from vmseg_auto.utils.atomic import read_json, write_json
from vmseg_auto.utils.console import Console, Silent
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.left_out import Inventory, telling_left_out
from vmseg_auto.utils.workers import Workers, may_have_workers
from vmseg_auto.workflows.evaluate import evaluate
from vmseg_auto.workflows.locking import output_lock
from vmseg_auto.workflows.plan import plan_and_preprocess
from vmseg_auto.workflows.predict import predict
from vmseg_auto.workflows.progress import duration
from vmseg_auto.workflows.train import train

TEST_PATIENTS = 10
MEMORY_GB = 0.15
"""Small enough for five folds in minutes on two CPU cores; the planning rules are the same at any size."""
FOLD_HOURS = 85 / 3600
"""Most time for each fold, so that slow machines end within ten minutes too: they train fewer epochs."""


@dataclass(frozen=True)
class Demo:
    """What the demo made.

    Args:
        folder: holds everything below.
        dataset, workspace, masks: the cohort, its workspace, and the predicted masks of the test patients.
        picture: outlines on slices.
        reports: of the model, and of the test patients.
        evaluation: scores of the test patients.
        seconds: how long it took.
    """

    folder: Path
    dataset: Path
    workspace: Path
    masks: Path
    picture: Path
    reports: tuple[Path, Path]
    evaluation: Evaluation
    seconds: float


@telling_left_out
def run_demo(
    folder: str | Path = "vmseg_demo",
    *,
    cases: int = 53,
    seed: int = 0,
    device: str = "auto",
    jobs: int | None = None,
    left: Inventory | None = None,
    console: Console | None = None,
) -> Demo:
    """Make the phantom cohort, then plan, train five short folds, predict the test patients, score and report them.

    Every figure that comes out is one on synthetic phantoms, and says nothing of patients.

    Args:
        folder: where everything goes; what an earlier run finished is kept.
        cases: training patients, at least 5.
        seed: of the cohort.
        device: "auto", "cuda", "mps" or "cpu".
        jobs: parallel workers.
        left: what the commands did not use is noted here.
        console: where words and progress go.

    Raises:
        InputError: fewer than 5 cases, or a folder that holds another demo.
    """
    began = time.monotonic()
    console, left = console or Silent(), left or Inventory()
    root = Path(folder)
    dataset, masks = root / "dataset", root / "test_masks"
    make_cohort(dataset, cases=cases, seed=seed, jobs=jobs, console=console)
    space = plan_and_preprocess(dataset, memory_gb=MEMORY_GB, jobs=jobs, left=left, console=console).workspace
    where: dict[str, Any] = {"dataset": dataset, "device": device, "jobs": jobs, "left": left, "console": console}
    train(range(5), trainer="quick", hours=FOLD_HOURS, **where)
    predict(dataset / "imagesTs", masks, **where)
    scores = evaluate(masks, dataset / "labelsTs", root / "test_metrics.csv", jobs=jobs, left=left)
    picture = root / "test_outlines.png"
    _draw(dataset, masks, picture)
    reports = root / "report_model.html", root / "report_patients.html"
    write_report(dataset=dataset, output=reports[0], left=left, console=console)
    write_report(masks, output=reports[1], left=left, console=console)
    demo = Demo(root, dataset, space.root, masks, picture, reports, scores, time.monotonic() - began)
    console.say(_farewell(demo))
    return demo


def make_cohort(
    folder: Path, *, cases: int = 53, seed: int = 0, jobs: int | None = None, console: Console | None = None
) -> None:
    """Write phantom patients in nnU-Net's raw layout: `cases` to train on and 10 more to test on.

    Args:
        folder: the dataset's folder.
        cases: training patients, at least 5.
        seed: the same seed gives the same voxels.
        jobs: processes.
        console: where progress goes.

    Raises:
        InputError: fewer than 5 cases, or the folder holds another cohort.
    """
    console = console or Silent()
    if cases < 5:
        raise InputError(f"{cases} cases are too few for five folds", remedy="Give --cases 5 or more.")
    about = {
        "name": "phantoms",
        "description": f"synthetic venous malformations in phantom heads, seed {seed}",
        "channel_names": {"0": "T2"},
        "labels": {"background": 0, "venous_malformation": 1},
        "numTraining": cases,
        "file_ending": ".nii.gz",
    }
    record = folder / "dataset.json"
    if record.is_file():
        if read_json(record) != about:
            raise InputError("the folder holds another cohort", file=folder, remedy="Choose another --out.")
        console.say(f"Phantom cohort kept ({folder}).")
        return
    names = [(number, "Tr" if number < cases else "Ts") for number in range(cases + TEST_PATIENTS)]
    workers = min(jobs or os.cpu_count() or 1, 8)
    with output_lock(folder, "vmseg_demo", console):
        with console.progress("Making phantoms", len(names)) as progress:
            for _ in _in_processes(partial(_write_patient, folder, seed), names, workers):
                progress.advance()
        write_json(record, about)  # last: it vouches for the rest


def _in_processes(work: partial[None], items: list[tuple[int, str]], workers: int) -> Iterable[None]:
    if not may_have_workers():
        yield from map(work, items)
        return
    with Workers(workers) as pool:
        yield from pool.map(work, items, chunksize=4)


def _write_patient(folder: Path, seed: int, item: tuple[int, str]) -> None:
    number, part = item
    scan = make_phantom(seed, number)
    name = f"phantom_{number:03d}"
    write_image(folder / f"images{part}" / f"{name}_0000.nii.gz", scan.image, scan.geometry)
    write_mask(folder / f"labels{part}" / f"{name}.nii.gz", scan.mask, scan.geometry)


def _draw(dataset: Path, masks: Path, picture: Path, count: int = 6) -> None:
    panels = []
    for path in sorted(masks.glob("*.nii.gz"))[:count]:
        name = path.name.removesuffix(".nii.gz")
        image, geometry = read_image(dataset / "imagesTs" / f"{name}_0000.nii.gz")
        reference, _ = read_mask(dataset / "labelsTs" / path.name)
        mask, _ = read_mask(path)
        panels.append((name, image, geometry.spacing_mm, reference, mask))
    draw_outlines(panels, picture)


def _farewell(demo: Demo) -> str:
    files = (
        ("Cohort", demo.dataset),
        ("Plan, split, models", demo.workspace),
        ("Cross-validation", demo.workspace / "runs" / "default" / "quick" / "cross_validation"),
        ("Masks and volumes", demo.masks),
        ("Scores", demo.folder / "test_metrics.csv"),
        ("Picture", demo.picture),
        ("Report of the model", demo.reports[0]),
        ("Report of patients", demo.reports[1]),
    )
    rows = "\n".join(f"  {name:<22}{path}" for name, path in files)
    return (
        f"\nThe {TEST_PATIENTS} test phantoms (synthetic lesions: no clinical figure)\n{demo.evaluation.text()}\n\n"
        f"Where it lies\n{rows}\n\nDone in {duration(demo.seconds)}."
    )
