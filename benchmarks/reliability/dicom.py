"""Spoilt DICOM series at the reader: each must be refused in words, or read as what it truly holds.

    python -m benchmarks.reliability.dicom SERIES [--mutations 2000] [--seed 0] [--jobs 2]

SERIES is a folder of sound series, each in a folder of its own. Linux only, as benchmarks.reliability.fuzz.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread

from benchmarks.reliability.dicom_mutations import MUST, NEVER, Sound, Wanted, part, spoil
from benchmarks.reliability.fuzz import READ, REFUSED, Outcome, fuzz
from benchmarks.reliability.guards import limit_memory
from benchmarks.reliability.page import put
from vmseg_auto.data.dicom.read import read_series
from vmseg_auto.data.dicom.series_files import find_series
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.left_out import Inventory

Volume = tuple[NDArray[np.float32], Geometry]
_NEAR = 0.2
"""Of the smallest voxel edge: how far a corner of the volume may lie from where it belongs."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reliability.dicom", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("series", type=Path, metavar="SERIES", help="a folder of sound series")
    parser.add_argument("--mutations", type=int, default=2000, metavar="N", help="(default: 2000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="worker processes")
    arguments = parser.parse_args(argv)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        outcome = try_all(arguments.series, Path(place), arguments.mutations, arguments.seed, arguments.jobs)
    put("dicom", report(outcome, arguments.seed))
    counts = outcome.tried.total(), outcome.refused.total(), len(outcome.finds), (time.monotonic() - began) / 60
    print("{} mutations, {} refused, {} finds, {:.0f} min".format(*counts))
    return 1 if outcome.finds else 0


def report(outcome: Outcome, seed: int) -> Iterator[str]:
    yield f"Seed {seed}; {len(outcome.finds)} finds left."
    yield ""
    yield "| series | spoilt | refused | read |"
    yield "|---|--:|--:|--:|"
    for name, tried in sorted(outcome.tried.items()):
        yield f"| {name} | {tried:,} | {outcome.refused[name]:,} | {tried - outcome.refused[name]:,} |"
    yield f"| all | {outcome.tried.total():,} | {outcome.refused.total():,} | |"


def try_all(source: Path, place: Path, mutations: int, seed: int, jobs: int = 1) -> Outcome:
    """Spoil each of the series that can be read, in turn.

    Args:
        source: a folder of series.
        place: where copies of them may lie.
    """
    names = []
    for series in find_series(source):
        try:
            read_series(series)
        except InputError:
            continue
        names.append(series.name)
        (place / series.name).mkdir()
        for file in series.files:
            shutil.copyfile(file, place / series.name / file.name)
    tasks = [(names[number % len(names)], number // len(names)) for number in range(mutations)]
    return fuzz(place, tasks, seed, jobs, _serve)


def _serve(pipe: Connection, cohort: Path, place: Path, seed: int) -> None:
    """The worker's side."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    tempfile.tempdir = str(place)
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "builtin type", DeprecationWarning)  # at the import of SimpleITK before 2.5.7
    limit_memory()
    pipe.send("ready")
    while True:
        name, number = pipe.recv()
        pipe.send(attempt(cohort / name, place / "spoilt", f"{seed} {name} {number}"))


def attempt(pristine: Path, folder: Path, seed: str) -> str:
    """Spoil a copy of a series in `folder` and read it: READ, REFUSED, or what went wrong."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(pristine, folder)
    (series,) = find_series(pristine)
    sound = Sound(series.files, *read_series(series))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, of what it is made to write
        wanted = spoil(folder, sound, Random(seed))
    try:
        volumes, refusals = _read(folder)
    except VmsegError as error:
        volumes, refusals = [], [str(error)]
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} ({Path(frame.filename).name}:{frame.lineno}): {str(error)[:300]}"
    if problem := judged(volumes, refusals, wanted, folder):
        return problem
    return READ if volumes else REFUSED


def _read(folder: Path) -> tuple[list[Volume], list[str]]:
    """The volumes, and what was said of all else."""
    volumes: list[Volume] = []
    refusals: list[str] = []
    left = Inventory()
    for series in find_series(folder, notes=refusals, left=left):
        try:
            volumes.append(read_series(series))
        except VmsegError as error:
            refusals.append(str(error))
    return volumes, [*refusals, *(one.why for one in left.found)]


def judged(volumes: Sequence[Volume], refusals: Sequence[str], wanted: Wanted, folder: Path) -> str:
    """What is wrong with what was read; nothing if it is right."""
    if not volumes:
        if not refusals:
            return "nothing was read, and nothing was said"
        return f"refused, though sound: {refusals[0]}" if wanted.refusal == NEVER else ""
    if wanted.refusal == MUST:
        return "a volume was made of what is none"
    if len(volumes) > 1:
        return f"{len(volumes)} volumes were made of one"
    ((voxels, geometry),) = volumes
    expected, grid = wanted.voxels, wanted.geometry
    if expected is None:
        told = as_told(folder)
        if told is None:
            return ""
        expected, grid = told
    if told_of := _without_end(voxels, expected, refusals, wanted):
        expected, grid = told_of
    if voxels.shape != expected.shape:
        return f"a volume of {voxels.shape} was made of {expected.shape}"
    near = _NEAR * min(grid.spacing_mm)
    away = np.abs(_corners(geometry) - _corners(grid)).max()
    if not away <= near:
        return f"a corner lies {away:.3g} mm from where it belongs"
    changed = [n for n in range(len(voxels)) if n not in wanted.free and not np.array_equal(voxels[n], expected[n])]
    return f"slices {changed} hold other voxels" if changed else ""


def _without_end(
    voxels: NDArray[np.float32], expected: NDArray[np.float32], refusals: Sequence[str], wanted: Wanted
) -> Volume | None:
    """The volume without its first or last slice, if a file that holds one of them is named as one that can't be used.

    Its header has then become that of another series.
    """
    if len(voxels) != len(expected) - 1:
        return None
    for at, name in ((0, wanted.names[0]), (len(expected) - 1, wanted.names[-1])):
        if name and any(name in words for words in refusals):
            keep = [number for number in range(len(expected)) if number != at]
            return expected[keep], part(wanted.geometry, keep[0], len(keep))
    return None


def _corners(geometry: Geometry) -> NDArray[np.float64]:
    """World positions of the eight corner voxels, in mm."""
    far = np.array(geometry.shape[::-1]) - 1
    index = np.array([[x, y, z] for x in (0, far[0]) for y in (0, far[1]) for z in (0, far[2])])
    corners: NDArray[np.float64] = index @ geometry.affine[:3, :3].T + geometry.origin_mm
    return corners


def as_told(folder: Path) -> Volume | None:
    """What an uncompressed multi-frame file says it holds, read by pydicom's own means; None where those fail."""
    (path,) = [path for path in folder.rglob("*") if path.is_file()]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = dcmread(path, force=True)
            shared = (data.get("SharedFunctionalGroupsSequence") or [{}])[0]
            places, values = [], []
            for own, pixels in zip(data.PerFrameFunctionalGroupsSequence, data.pixel_array, strict=True):
                place = own.get("PlanePositionSequence", shared.get("PlanePositionSequence"))[0]
                turn = own.get("PlaneOrientationSequence", shared.get("PlaneOrientationSequence"))[0]
                size = own.get("PixelMeasuresSequence", shared.get("PixelMeasuresSequence"))[0].PixelSpacing
                scale = own.get("PixelValueTransformationSequence", shared.get("PixelValueTransformationSequence"))
                slope, intercept = (scale[0].RescaleSlope, scale[0].RescaleIntercept) if scale else (1, 0)
                values.append(pixels * float(slope) + float(intercept))
                places.append(np.array(place.ImagePositionPatient, dtype=float))
            row, column = np.array(turn.ImageOrientationPatient, dtype=float).reshape(2, 3)
            normal = np.cross(row, column)
    except Exception:  # pydicom on hostile bytes: whatever it stumbles over
        return None
    order = np.argsort([place @ normal for place in places])
    step = (places[order[-1]] - places[order[0]]) @ normal / (len(order) - 1)
    voxels = np.array([values[n] for n in order], dtype=np.float32)
    axes = np.stack([row, column, normal], axis=1)
    spacing = (float(step), float(size[0]), float(size[1]))
    return voxels, Geometry(voxels.shape, spacing, tuple(places[order[0]]), tuple(axes.ravel()))


if __name__ == "__main__":
    sys.exit(main())
