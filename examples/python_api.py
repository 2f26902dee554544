"""The pipeline from Python: plan, train two folds briefly, segment a scan held in memory, score masks.

    python examples/python_api.py DATASET RESULTS

DATASET is a folder in nnU-Net's raw layout, with imagesTs and labelsTs; it is read and never written to. Everything
goes into RESULTS, a new folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import SimpleITK as sitk

import vmseg_auto


def main(dataset: Path, results: Path) -> None:
    results.mkdir(parents=True)
    place = {"dataset": dataset, "workspace": results / "workspace"}
    planned = vmseg_auto.plan_and_preprocess(**place, memory_gb=0.01)
    print("spacing (mm):", planned.plan.spacing_mm, "patch:", planned.plan.patch)

    brief = ["epochs=1", "iterations_per_epoch=2", "tile_step_size=1", "mirror_axes=[]"]
    run = vmseg_auto.train([0, 1], **place, settings=brief, device="cpu")

    predictor = vmseg_auto.Predictor.load(run.folder, device="cpu", tta=False)
    scan = next((dataset / "imagesTs").iterdir())
    prediction = predictor.predict(sitk.ReadImage(str(scan)))
    print("lesion:", prediction.mask.astype(bool).sum() * prediction.geometry.voxel_ml, "mL")

    masks = results / "masks"
    vmseg_auto.predict(dataset / "imagesTs", masks, **place, tta=False, device="cpu")
    scores = vmseg_auto.evaluate(masks, dataset / "labelsTs")
    print(scores.table[["case", "label", "dice"]])


if __name__ == "__main__":  # worker processes import this file again
    main(Path(sys.argv[1]), Path(sys.argv[2]))
