"""The same scans and model give the same files, whatever else is different."""

from __future__ import annotations

import os
from pathlib import Path

from vmseg_auto import predict


def predicted(cohort: Path, name: str, scans: Path | None = None, jobs: int = 1) -> dict[str, bytes]:
    """What a prediction writes: file -> bytes."""
    output = cohort / name
    predict(scans or cohort / "imagesTs", output, dataset=cohort, save_probabilities=True, device="cpu", jobs=jobs)
    return {str(path.relative_to(output)): path.read_bytes() for path in output.rglob("*") if path.is_file()}


def test_prediction_depends_on_nothing_but_scan_and_model(cohort: Path) -> None:
    first = predicted(cohort, "first")
    assert {"s.nii.gz", "t.nii.gz", "u.nii.gz", "s.json", "volumes.csv", "probabilities/lesion/u.nii.gz"} <= set(first)
    assert predicted(cohort, "second") == first
    assert predicted(cohort, "in_two_threads", jobs=2) == first


def test_the_order_of_scans_changes_no_mask(cohort: Path) -> None:
    first = predicted(cohort, "first")
    backwards = cohort / "backwards"
    backwards.mkdir()
    renamed = {"s": "c", "t": "b", "u": "a"}
    for old, new in renamed.items():
        os.link(cohort / "imagesTs" / f"{old}_0000.nii.gz", backwards / f"{new}_0000.nii.gz")
    second = predicted(cohort, "second", backwards)
    for old, new in renamed.items():
        for mine, theirs in (("{}.nii.gz", "{}.nii.gz"), ("probabilities/lesion/{}.nii.gz",) * 2):
            assert second[mine.format(new)] == first[theirs.format(old)]
    alone = predicted(cohort, "alone", cohort / "imagesTs" / "u_0000.nii.gz")
    assert alone["u.nii.gz"] == first["u.nii.gz"]
