"""Whether imported nnU-Net models give nnU-Net's own masks, in float32 and in the precision chosen here.

python -m benchmarks.agreement [--limit CASES] [--only NAME ...] [--nnunet ENVIRONMENT]

With nnU-Net's environment at hand, it also trains models of which the test data holds none: a residual encoder, 2d, a
cascade, regions, and two channels.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import data
from benchmarks.compare import add_places
from benchmarks.nnunet_models import MODELS, Sample
from benchmarks.report import write_report
from benchmarks.results import Results, our_versions, save, this_machine
from benchmarks.tools import Bench, SetupError, run_once
from benchmarks.workloads import OURS, imported
from vmseg_auto.data.images.images import read_mask
from vmseg_auto.utils.errors import VmsegError

NAME = "agreement"
PRECISIONS = ("float32", "auto")
COHORTS = {"hippocampus53": ("hippocampus53/imagesTs",), "vmsemi53": ("vmsemi53/imagesTr", "t2_full")}
"""nnU-Net's model in the test data -> folders of the scans that it was used on."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agreement", description=__doc__.partition("\n")[0])
    add_places(parser)
    parser.add_argument("--limit", type=int, metavar="CASES", help="take only so many scans of each cohort")
    parser.add_argument("--nnunet", type=Path, metavar="ENVIRONMENT", help="with nnunetv2, to train the others")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="rows of the table, such as 'vmsemi53, 2d'")
    arguments = parser.parse_args(argv)
    places = arguments.data.absolute(), arguments.work.absolute()
    bench = Bench((arguments.nnunet or Path()).absolute(), *places, limit=arguments.limit)
    samples: dict[str, Callable[[Bench], Sample]] = {cohort: partial(given, cohort) for cohort in COHORTS}
    if arguments.nnunet:
        samples |= {model.name: model.sample for model in MODELS}
    rows = []
    machine = this_machine()
    try:
        if unknown := set(arguments.only or ()) - set(samples):
            raise SetupError(f"there is no row {min(unknown)!r}: {'; '.join(samples)}")
        for name, make in samples.items():
            if arguments.only and name not in arguments.only:
                continue
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
    source, home = bench.data / "nnunet" / cohort, bench.folder(NAME) / cohort
    scans = home / "scans"
    masks = sorted((source / "expected").glob(f"*{data.ENDING}"))[: bench.limit]
    shutil.rmtree(scans, ignore_errors=True)
    scans.mkdir(parents=True)
    for path in masks:
        scan = find_scan(bench.data, cohort, path.name.removesuffix(data.ENDING))
        (scans / f"{path.name.removesuffix(data.ENDING)}_0000{data.ENDING}").symlink_to(scan)
    return Sample(home, source / "model", scans, tuple(masks))


def agreement(bench: Bench, sample: Sample, precision: str) -> dict[str, object]:
    """Predict with the imported model; compare each mask with nnU-Net's."""
    masks = sample.home / precision
    shutil.rmtree(masks, ignore_errors=True)
    model = imported(bench, sample.model, sample.home / "model")
    options = ("--precision", precision, "--exhaustive", "--device", "cpu")
    run_once(bench.ours("predict", "-i", sample.scans, "-o", masks, "-m", model, *options))
    pairs = [(read_mask(masks / path.name)[0], read_mask(path)[0]) for path in sample.masks]
    voxels = [float((ours == theirs).mean()) for ours, theirs in pairs]
    values = np.unique(np.concatenate([np.unique(theirs[theirs > 0]) for _, theirs in pairs]))
    scores = [dice(ours == value, theirs == value) for ours, theirs in pairs for value in values]
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
