"""Whether imported nnU-Net models give nnU-Net's own masks, in float32 and in the precision chosen here.

python -m benchmarks.agreement [--limit CASES] [--nnunet ENVIRONMENT]

With nnU-Net's environment at hand, it also trains a residual encoder, for which the test data holds no model.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import data
from benchmarks.compare import add_places
from benchmarks.nnunet_training import plan_and_preprocess
from benchmarks.report import write_report
from benchmarks.results import Results, our_versions, save, this_machine
from benchmarks.tools import Bench, SetupError, run_once
from benchmarks.workloads import OURS, imported
from vmseg_auto.data.images.images import read_mask
from vmseg_auto.utils.atomic import read_json
from vmseg_auto.utils.errors import VmsegError

NAME = "agreement"
PRECISIONS = ("float32", "auto")
COHORTS = {"hippocampus53": ("hippocampus53/imagesTs",), "vmsemi53": ("vmsemi53/imagesTr", "t2_full")}
"""nnU-Net's model in the test data -> folders of the scans that it was used on."""
RESIDUAL, RESIDUAL_PLANS, RESIDUAL_STEPS = "Dataset056_Residual", "ResidualPlans", 800


@dataclass(frozen=True)
class Sample:
    """What one of nnU-Net's models has segmented.

    Args:
        model: nnU-Net's folder of it.
        scans: folder of the scans.
        masks: nnU-Net's own masks of them.
    """

    model: Path
    scans: Path
    masks: tuple[Path, ...]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agreement", description=__doc__.partition("\n")[0])
    add_places(parser)
    parser.add_argument("--limit", type=int, metavar="CASES", help="take only so many scans of each cohort")
    parser.add_argument("--nnunet", type=Path, metavar="ENVIRONMENT", help="with nnunetv2, to train a residual encoder")
    arguments = parser.parse_args(argv)
    places = arguments.data.absolute(), arguments.work.absolute()
    bench = Bench((arguments.nnunet or Path()).absolute(), *places, limit=arguments.limit)
    samples: dict[str, Callable[[Bench], Sample]] = {cohort: partial(given, cohort) for cohort in COHORTS}
    if arguments.nnunet:
        samples["hippocampus53, residual encoder"] = residual
    rows = []
    machine = this_machine()
    try:
        for name, make in samples.items():
            sample = make(bench)
            for precision in PRECISIONS:
                used = "bfloat16" if precision == "auto" and machine.bf16 else "float32"
                rows.append({"model and scans": name, "precision": used, **agreement(bench, sample, precision)})
                print(rows[-1], flush=True)
                versions = {OURS: our_versions()}
                save(bench.work, Results(NAME, machine, versions, limit=bench.limit, facts={"rows": rows}))
        write_report(bench.work, arguments.out)
    except (SetupError, VmsegError) as error:
        print(f"benchmarks.agreement: {error}", file=sys.stderr)
        return 2
    return 0


def given(cohort: str, bench: Bench) -> Sample:
    """A model of the test data, and the masks that lie beside it."""
    source, scans = bench.data / "nnunet" / cohort, bench.folder(NAME) / cohort / "scans"
    masks = sorted((source / "expected").glob(f"*{data.ENDING}"))[: bench.limit]
    shutil.rmtree(scans, ignore_errors=True)
    scans.mkdir(parents=True)
    for path in masks:
        scan = find_scan(bench.data, cohort, path.name.removesuffix(data.ENDING))
        (scans / f"{path.name.removesuffix(data.ENDING)}_0000{data.ENDING}").symlink_to(scan)
    return Sample(source / "model", scans, tuple(masks))


def residual(bench: Bench) -> Sample:
    """A residual encoder that nnU-Net plans, trains for the better part of an hour and predicts with, once for all."""
    bench.check()
    home = bench.folder("residual")
    results = home / "results" / RESIDUAL / f"nnUNetTrainer__{RESIDUAL_PLANS}__3d_fullres"
    scans, masks, figures = home / "scans", home / "masks", home / "steps.json"
    if not figures.is_file():
        cohort = bench.data / "hippocampus53"
        plan_and_preprocess(bench, home, RESIDUAL, cohort, RESIDUAL_PLANS, 0.5, "nnUNetPlannerResEncM")
        options = ("--dataset", "56", "--plans", RESIDUAL_PLANS, "--steps", str(RESIDUAL_STEPS), "--warm-up", "0")
        run_once(
            bench.their_driver("nnunet_steps", *options, "--save", "--figures", figures, home=home, figures=figures)
        )
    data.some_of(bench.data / "hippocampus53" / "imagesTs", scans, bench.limit or 10)
    model = ("-m", results, "-f", "0", "-device", "cpu", "--disable_progress_bar")
    run_once(bench.theirs("predict_from_modelfolder", "-i", scans, "-o", masks, *model, home=home))
    return Sample(results, scans, tuple(sorted(masks.glob(f"*{data.ENDING}"))))


def agreement(bench: Bench, sample: Sample, precision: str) -> dict[str, object]:
    """Predict with the imported model; compare each mask with nnU-Net's."""
    home = sample.scans.parent
    masks = home / precision
    shutil.rmtree(masks, ignore_errors=True)
    model = imported(bench, sample.model, home / "model")
    options = ("--precision", precision, "--exhaustive", "--device", "cpu")
    run_once(bench.ours("predict", "-i", sample.scans, "-o", masks, "-m", model, *options))
    labels = [value for value in read_json(sample.model / "dataset.json")["labels"].values() if value]
    pairs = [(read_mask(masks / path.name)[0], read_mask(path)[0]) for path in sample.masks]
    voxels = [float((ours == theirs).mean()) for ours, theirs in pairs]
    scores = [dice(ours == value, theirs == value) for ours, theirs in pairs for value in labels]
    return {
        "scans": len(pairs),
        "equal voxels, least": f"{100 * min(voxels):.4f} %",
        "mean": f"{100 * float(np.mean(voxels)):.4f} %",
        "Dice, least": f"{min(scores):.5f}",
        "mean Dice": f"{float(np.mean(scores)):.5f}",
    }


def find_scan(folder: Path, cohort: str, case: str) -> Path:
    """The scan that a mask was made from.

    Raises:
        SetupError: it isn't in the test data.
    """
    for place in COHORTS[cohort]:
        for name in (f"{case}_0000{data.ENDING}", f"{case}{data.ENDING}"):
            if (path := folder / place / name).is_file():
                return path
    raise SetupError(f"the scan of {case} isn't in {folder}")


def dice(ours: data.Mask, theirs: data.Mask) -> float:
    """Overlap of two boolean masks; 1 where both are empty."""
    total = int(ours.sum()) + int(theirs.sum())
    return 2 * int((ours & theirs).sum()) / total if total else 1.0


if __name__ == "__main__":
    sys.exit(main())
