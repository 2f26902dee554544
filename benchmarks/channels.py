"""A second sequence that lies otherwise and may be missing: registration in mm, and Dice with and without each channel.

    python -m benchmarks.channels --work WORK

Phantoms of the demo as T2, each with a second contrast made from it (synthetic, neither is a patient): bright tissue is
dark, the lesion enhances, and the patient has moved by a known rigid motion. Prints how far the second lies off before
and after it is registered, how alike it is then, and another patient's in its place; then Dice of held-out phantoms
with both channels and without each, of a network trained without and with channel dropout.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import vmseg_auto
from benchmarks.followup_pairs import draw_movement
from vmseg_auto.cli.common import positive_int
from vmseg_auto.data.cases import read_dataset
from vmseg_auto.data.images.images import read_mask, write_image, write_mask
from vmseg_auto.data.preprocessed import PreprocessedFolder
from vmseg_auto.data.runs import Run
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.demo.phantom.phantom import PhantomScan, make_phantom
from vmseg_auto.evaluation.metrics.overlap import mean_dice
from vmseg_auto.followup.alignment import align_scans
from vmseg_auto.followup.rigid import RigidTransform, local_ncc, placed, resample, voxel_map
from vmseg_auto.inference.predictor import Predictor
from vmseg_auto.planning.inference_budget import EXHAUSTIVE
from vmseg_auto.utils.atomic import write_json
from vmseg_auto.workflows.missing_channels import without_channel
from vmseg_auto.workflows.paths import read_plan

SEED = 7
HELD_OUT = 4
"""Every so many-th phantom is not trained on."""
NOISE = 30.0
ENHANCEMENT = 600.0
DROPOUT = 0.3
MEMORY_GB = 0.1
Image = NDArray[np.float32]


@dataclass(frozen=True)
class Registration:
    """How far a second scan lies off, in mm (mean over the head's voxels), and how alike it is (local NCC).

    Args:
        before_mm, after_mm: it was registered.
        ncc_before, ncc: the local NCC before and after.
        mirrored: with left and right exchanged.
        other, other_mirrored: another patient's scan in its place, brought there as well as can be.
    """

    before_mm: float
    after_mm: float
    ncc_before: float
    ncc: float
    mirrored: float
    other: float
    other_mirrored: float

    @property
    def gain(self) -> float:
        """By how much it fits better than mirrored."""
        return self.ncc - self.mirrored

    @property
    def other_gain(self) -> float:
        return self.other - self.other_mirrored


def second_contrast(scan: PhantomScan) -> Image:
    """Return another contrast of a phantom (Z, Y, X): what is bright in T2 is dark in it, and lesions enhance."""
    middle = np.median(scan.image[scan.image > np.median(scan.image)])
    level = scan.image / middle
    tissue = 1000 * np.exp(-(((level - 0.55) / 0.45) ** 2)) * (1 - np.exp(-((level / 0.15) ** 2)))
    lesion = ENHANCEMENT * ndimage.gaussian_filter(scan.mask.astype(np.float32), (0.3, 0.7, 0.7))
    contrast: Image = (tissue + lesion).astype(np.float32)
    return contrast


def second_scan(scan: PhantomScan, rng: np.random.Generator) -> tuple[Image, RigidTransform] | None:
    """Return the second contrast of a phantom that has moved, and where its places lie in it; None where no movement
    keeps the lesions in view.
    """
    motion = draw_movement(scan.mask > 0, scan.geometry, rng)
    if motion is None:
        return None
    matrix, offset = voxel_map(scan.geometry, scan.geometry, motion.inverse)
    moved = ndimage.affine_transform(second_contrast(scan), matrix, offset, order=3, mode="constant")
    noisy = np.abs(moved + rng.normal(0, NOISE, moved.shape))
    return noisy.astype(np.float32), motion


def registered(
    scan: PhantomScan, image: Image, motion: RigidTransform, other: PhantomScan
) -> tuple[Image, Registration]:
    """Return the second scan on the first one's grid, and what the registration came to.

    Args:
        other: another patient, whose second contrast does not belong here.
    """
    grid = scan.geometry
    alignment = align_scans(scan.image, grid, image, grid, 0.0)
    found = alignment.transform or RigidTransform()
    head = np.argwhere(scan.image > np.percentile(scan.image, 60))
    truth = placed(head, grid, motion)
    off = [float(np.linalg.norm(placed(head, grid, how) - truth, axis=1).mean()) for how in (RigidTransform(), found)]
    before = local_ncc(scan.image, resample(image, grid, grid, RigidTransform(), np.nan), grid.spacing_mm)
    wrong = align_scans(scan.image, grid, second_contrast(other), other.geometry, 0.0)
    alike = alignment.local_ncc, alignment.mirrored, wrong.local_ncc, wrong.mirrored
    result = Registration(off[0], off[1], before, *alike)
    return resample(image, grid, grid, found, 0.0), result


def make_cohort(folder: Path, patients: int) -> list[Registration]:
    """Write a dataset of phantoms with both channels, and a split that holds some out."""
    found, names = [], []
    for number in range(patients):
        scan = make_phantom(SEED, number)
        second = second_scan(scan, np.random.default_rng([SEED, number]))
        if second is None:
            continue
        image, result = registered(scan, *second, make_phantom(SEED, number + 1))
        found.append(result)
        names.append(f"phantom_{number:03d}")
        print(names[-1], result, flush=True)
        for channel, voxels in enumerate((scan.image, image)):
            write_image(folder / "imagesTr" / f"{names[-1]}_{channel:04d}.nii.gz", voxels, scan.geometry)
        write_mask(folder / "labelsTr" / f"{names[-1]}.nii.gz", scan.mask, scan.geometry)
    labels = {"background": 0, "lesion": 1}
    write_json(folder / "dataset.json", {"channel_names": {"0": "T2", "1": "T1"}, "labels": labels})
    split = {"train": [n for i, n in enumerate(names) if i % HELD_OUT], "val": names[::HELD_OUT]}
    write_json(folder / "splits_final.json", [split])
    return found


def dice_without(run: Run, dataset: Path, preprocessed: Path, channel: int | None) -> list[float]:
    """Return the Dice of each held-out phantom, predicted without a channel."""
    data, predictor = read_dataset(dataset), Predictor.load(run.folder, folds=[0], device="cpu", exhaustive=True)
    held = sorted(path.name.split(".")[0] for path in run.fold(0).validation.glob("*.nii.gz"))
    dice = []
    for case in (case for case in data.cases if case.id in held and case.label):
        stored = PreprocessedFolder(preprocessed).load(case.id)
        image = stored.image if channel is None else without_channel(stored.image, channel)
        prediction, _ = predictor.compare(image, stored.geometry, stored.crop_box, (EXHAUSTIVE,))
        assert case.label is not None
        dice.append(mean_dice(prediction.mask, read_mask(case.label)[0], data.labels))
    return dice


def trained(dataset: Path, workspace: Path, settings: Sequence[str]) -> tuple[Run, Path]:
    """Train fold 0, if it is not trained yet; gives the run and its preprocessed cases."""
    vmseg_auto.plan_and_preprocess(dataset, workspace, memory_gb=MEMORY_GB)
    run = vmseg_auto.train([0], dataset=dataset, workspace=workspace, trainer="quick", settings=settings, device="cpu")
    space = Workspace(workspace)
    return run, space.preprocessed(read_plan(space, None).voxels_hash)


def tell_registration(found: Sequence[Registration]) -> None:
    """Print what the registrations came to, mean (and range)."""
    print("| | mean | range |\n|---|---|---|")
    for name, title, digits in (
        ("before_mm", "off before, mm", 2),
        ("after_mm", "off after, mm", 2),
        ("ncc_before", "local NCC before", 2),
        ("ncc", "local NCC after", 2),
        ("gain", "and above that of its mirror image", 2),
        ("other", "local NCC of another patient's scan", 2),
        ("other_gain", "and above that of its mirror image", 2),
    ):
        values = [getattr(one, name) for one in found]
        print(f"| {title} | {np.mean(values):.{digits}f} | {min(values):.{digits}f} to {max(values):.{digits}f} |")


def main(argv: Sequence[str] | None = None) -> int:
    made = argparse.ArgumentParser(prog="python -m benchmarks.channels", description=__doc__.partition("\n")[0])
    made.add_argument("--work", type=Path, default=Path("channels"), help="folder for what is made")
    made.add_argument("--patients", type=positive_int, default=28, metavar="N", help="phantoms (default: %(default)s)")
    made.add_argument("--epochs", type=positive_int, default=20, metavar="N", help="default: %(default)s")
    arguments = made.parse_args(argv)
    os.nice(5)
    dataset = arguments.work / "dataset"
    if not (dataset / "dataset.json").is_file():
        tell_registration(make_cohort(dataset, arguments.patients))
    print("| trained | T2 + T1 | without T1 | without T2 |\n|---|---|---|---|")
    for name, dropout in (("without dropout", 0.0), (f"channel_dropout={DROPOUT:g}", DROPOUT)):
        settings = [f"epochs={arguments.epochs}", f"channel_dropout={dropout:g}", "monitor_cases=0"]
        run, preprocessed = trained(dataset, arguments.work / f"dropout_{dropout:g}", settings)
        scores = [dice_without(run, dataset, preprocessed, channel) for channel in (None, 1, 0)]
        print(f"| {name} | {' | '.join(f'{np.mean(dice):.3f}' for dice in scores)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
