"""Spoilt DICOM series are refused, or read as what they hold. `python -m benchmarks.reliability.dicom` tries more."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from dicom import multi_frame, numbers, save, series
from pydicom.dataset import Dataset
from pydicom.uid import UID, ImplicitVRLittleEndian, RLELossless

from benchmarks.reliability.dicom import as_told, attempt, judged, try_all
from benchmarks.reliability.dicom_mutations import MAY, MUST, NEVER, Sound, Wanted, spoil
from benchmarks.reliability.fuzz import READ, REFUSED
from vmseg_auto.data.dicom.read import read_series
from vmseg_auto.data.dicom.series_files import find_series

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory as Linux does")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Series of one file a slice, in three encodings, and one of many frames."""
    folder = tmp_path_factory.mktemp("sound")
    for number, name in enumerate(("plain", "rescaled", "rle")):

        def change(_: int, data: Dataset, name: str = name, number: int = number) -> None:
            data.SeriesInstanceUID = UID(f"1.2.{number}")
            if name == "rescaled":
                data.RescaleSlope, data.RescaleIntercept = "0.5", "-3"
            if name == "rle":
                data.compress(RLELossless, generate_instance_uid=False)

        syntax = {"syntax": ImplicitVRLittleEndian} if name == "rescaled" else {}
        save(folder / name, series(numbers(seed=number), change=change, **syntax))
    save(folder / "frames", [multi_frame(numbers(seed=9), slope=2.0)])
    return folder


def test_no_wrong_volume_is_taken_for_a_good_one(sound: Path, tmp_path: Path) -> None:
    outcome = try_all(sound, tmp_path, mutations=400, seed=5)
    assert outcome.finds == []
    assert outcome.tried.total() == 400
    assert 100 < outcome.refused.total() < 350


def test_spoilt_series_are_functions_of_their_seed(sound: Path, tmp_path: Path) -> None:
    (found,) = find_series(sound / "plain")
    whole = Sound(found.files, *read_series(found))
    contents = []
    for number, seed in enumerate(("a", "a", "b")):
        folder = shutil.copytree(sound / "plain", tmp_path / str(number))
        spoil(folder, whole, Random(seed))
        contents.append({path.name: path.read_bytes() for path in folder.rglob("*") if path.suffix == ".dcm"})
    assert contents[0] == contents[1] != contents[2]


def test_a_wrong_volume_would_be_noticed(sound: Path) -> None:
    (found,) = find_series(sound / "plain")
    voxels, geometry = read_series(found)
    wanted = Wanted(MAY, voxels, geometry)

    def said(volume: np.ndarray = voxels, wanted: Wanted = wanted, **changes: object) -> str:
        return judged([(volume, replace(geometry, **changes))], [], wanted, sound)  # type: ignore[arg-type]

    other = voxels.copy()
    other[2, 0, 0] += 1
    assert said() == ""
    assert said(other) == "slices [2] hold other voxels"
    assert said(other, replace(wanted, free=frozenset({2}))) == ""
    assert said(voxels[1:]) == "a volume of (4, 6, 7) was made of (5, 6, 7)"
    assert said(origin_mm=(10.2, -20.0, 30.0)).startswith("a corner lies 0.2 mm")
    assert said(spacing_mm=(3.1, 1.5, 0.5)).startswith("a corner lies 0.32 mm")
    assert said(wanted=replace(wanted, refusal=MUST)) == "a volume was made of what is none"
    assert judged([], [], wanted, sound) == "nothing was read, and nothing was said"
    assert judged([], ["no"], replace(wanted, refusal=NEVER), sound) == "refused, though sound: no"
    assert judged([], ["no"], wanted, sound) == ""
    assert judged([(voxels, geometry)] * 2, [], wanted, sound) == "2 volumes were made of one"


def test_a_multi_frame_file_is_compared_with_what_pydicom_makes_of_it(sound: Path) -> None:
    (found,) = find_series(sound / "frames")
    voxels, geometry = read_series(found)
    told = as_told(sound / "frames")
    assert told is not None
    assert np.array_equal(told[0], voxels)
    assert geometry.differences(told[1]) == []


def test_an_attempt_tells_what_became_of_it(sound: Path, tmp_path: Path) -> None:
    results = {attempt(sound / "plain", tmp_path / "spoilt", f"x{number}") for number in range(30)}
    assert results == {READ, REFUSED}
