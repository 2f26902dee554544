"""What is kept beside a dataset of its reviews."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmseg_auto.data.dataset_reviews import DatasetReviews, EarlierMask, MaskHistory
from vmseg_auto.data.made_dataset import key_beside
from vmseg_auto.data.naming import image_files
from vmseg_auto.data.reviews import Review
from vmseg_auto.utils.errors import InputError

REVIEW = Review("corrected", "Dr Ada", "2026-11-30T12:00:00+01:00", 1.5, "Übergang?", "hash", 12, 0.9, {"lesion": 1.5})


def test_a_history_comes_back_and_lies_beside_the_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reviews = DatasetReviews.beside(tmp_path / "cohort")
    assert reviews.folder == tmp_path / "cohort_reviews"
    assert reviews.read("anna") == MaskHistory("anna")
    history = MaskHistory("anna", (REVIEW,), (EarlierMask("anna.nii.gz.1.earlier", "before"),))
    reviews.write(history)
    assert reviews.read("anna") == history
    (tmp_path / "cohort").mkdir()
    monkeypatch.chdir(tmp_path / "cohort")
    assert DatasetReviews.beside(Path()).read("anna") == history
    assert key_beside(Path()) == tmp_path.resolve() / "cohort_key.csv"


@pytest.mark.parametrize("name", ["anna.nii.gz", "anna.nii", "anna.nrrd", "anna.mha"])
def test_an_earlier_mask_is_no_image(tmp_path: Path, name: str) -> None:
    kept = DatasetReviews(tmp_path).earlier(tmp_path / name, 1)
    kept.parent.mkdir()
    kept.write_bytes(b"x")
    assert image_files(kept.parent) == image_files(kept.parent, masks=True) == []


def test_a_damaged_history_is_named(tmp_path: Path) -> None:
    reviews = DatasetReviews(tmp_path)
    reviews.file("anna").write_text("{")
    with pytest.raises(InputError, match=r"anna\.json.*decisions on this case are lost"):
        reviews.read("anna")
