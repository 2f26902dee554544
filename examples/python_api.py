"""The pipeline from Python: plan, train two folds briefly, segment a scan held in memory, score masks.

    python examples/python_api.py DATASET

DATASET is a folder in nnU-Net's raw layout, with imagesTs and labelsTs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import SimpleITK as sitk

import vmseg_auto


def main(dataset: Path) -> None:
    planned = vmseg_auto.plan_and_preprocess(dataset, memory_gb=0.01)
    print("spacing (mm):", planned.plan.spacing_mm, "patch:", planned.plan.patch)

    brief = ["epochs=1", "steps=2", "window_step=1", "mirror_axes=[]"]
    run = vmseg_auto.train([0, 1], dataset=dataset, settings=brief, device="cpu")

    predictor = vmseg_auto.Predictor.load(run.folder, device="cpu", mirror=False)
    scan = next((dataset / "imagesTs").iterdir())
    prediction = predictor.predict(sitk.ReadImage(str(scan)))
    print("lesion:", prediction.mask.astype(bool).sum() * prediction.geometry.voxel_ml, "mL")

    masks = dataset / "masks"
    vmseg_auto.predict(dataset / "imagesTs", masks, dataset=dataset, mirror=False, device="cpu")
    scores = vmseg_auto.evaluate(masks, dataset / "labelsTs")
    print(scores.table[["case", "label", "dice"]])


if __name__ == "__main__":  # worker processes import this file again
    main(Path(sys.argv[1]))
