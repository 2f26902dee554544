"""Spoilt versions of a DICOM series, each with what a reader may make of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from benchmarks.reliability.mutations import mutate_bytes
from vmseg_auto.utils.geometry import Geometry

MAY, MUST, NEVER = "may", "must", "never"


@dataclass(frozen=True)
class Sound:
    """A series as it was.

    Args:
        files: in slice order.
        voxels: float32 [Z, Y, X].
    """

    files: tuple[Path, ...]
    voxels: NDArray[np.float32]
    geometry: Geometry


@dataclass(frozen=True)
class Wanted:
    """What may come of a spoilt series.

    Args:
        refusal: whether it MAY, MUST or NEVER be refused.
        voxels: what it holds where it is read; None where only the file itself can tell (`as_told`).
        geometry: likewise.
        free: slices whose voxels may be others: their own pixels were changed, which no reader can notice.
        names: of the files in slice order, where one of them may have become a file of another series.
    """

    refusal: str
    voxels: NDArray[np.float32] | None
    geometry: Geometry
    free: frozenset[int] = field(default_factory=frozenset)
    names: tuple[str, ...] = ("", "")


Spoil = Callable[[Path, Sound, Random], Wanted]


def spoil(folder: Path, sound: Sound, rng: Random) -> Wanted:
    """Spoil a copy of the series that lies in `folder` under the names of `sound.files`, in a way that rng draws."""
    kinds = _ONE_FILE if len(sound.files) == 1 else _MANY_FILES
    return rng.choice(kinds)(folder, sound, rng)


def _bytes(folder: Path, sound: Sound, rng: Random) -> Wanted:
    """One file with bytes changed, more often in its header than in its pixels."""
    at = rng.randrange(len(sound.files))
    path = folder / sound.files[at].name
    before = path.read_bytes()
    header = before.rfind(b"\xe0\x7f\x10\x00")
    if rng.random() < 0.7 and header > 0:
        path.write_bytes(mutate_bytes(before[:header], rng) + before[header:])
    else:
        path.write_bytes(mutate_bytes(before, rng))
    if len(sound.files) == 1:
        return Wanted(MAY, None, sound.geometry)
    free = {at} if _values_changed(sound.files[at], path) else set()
    return Wanted(MAY, sound.voxels, sound.geometry, frozenset(free), tuple(file.name for file in sound.files))


def _values_changed(before: Path, after: Path) -> bool:
    """Whether pixels, or what they are rescaled by, are other bytes than they were, or can't be known."""
    try:
        values = []
        for path in (before, after):
            data = dcmread(path, force=True)
            tags = (0x7FE00010, 0x00281052, 0x00281053)
            values.append([element.value if (element := data.get_item(tag)) else None for tag in tags])
    except Exception:  # pydicom on hostile bytes: whatever it stumbles over
        return True
    return values[0] != values[1]


_ELEMENTS: dict[str, tuple[Any, ...]] = {
    "ImagePositionPatient": (["0", "0", "0"], ["1e9", "0", "0"], ["nan", "0", "0"], ["1", "2"], "x", None),
    "ImageOrientationPatient": (
        ["1", "0", "0", "0", "1", "0"], ["0", "0", "0", "0", "0", "0"], ["1", "0", "0", "1", "0", "0"], "x", None,
        ["0", "-1", "0", "0", "0", "1"],
    ),
    "PixelSpacing": (["0.9", "0.9"], ["0", "0"], ["-1", "1"], ["1"], ["1e-9", "1"], "x", None),
    "Rows": (0, 1, 65535, None), "Columns": (0, 1, 65535, None),
    "BitsAllocated": (8, 32, 1, 0, None), "BitsStored": (1, 11, 17, 0, None), "HighBit": (0, 14, None),
    "PixelRepresentation": (0, 1, 2, None), "SamplesPerPixel": (0, 3, None),
    "PhotometricInterpretation": ("MONOCHROME1", "RGB", "", None), "NumberOfFrames": ("2", "0", "-1", "99999999", "x"),
    "SeriesInstanceUID": ("1.2.3", "", None), "StudyInstanceUID": ("1.2.3", None),
    "FrameOfReferenceUID": ("1.2.3", None), "SOPClassUID": ("1.2.840.10008.5.1.4.1.1.66.4", "1.2", None),
    "ImageType": (["ORIGINAL", "PRIMARY", "LOCALIZER"], None), "EchoTime": ("1", "1e9", "x", None),
    "RescaleSlope": ("0", "2.5", "nan", "1e300", "x", None), "RescaleIntercept": ("7", "x", None),
    "PixelData": (b"", b"\0\0", None),
}  # fmt: skip


def _element(folder: Path, sound: Sound, rng: Random) -> Wanted:
    """An element of one slice set to something else, or taken away."""
    at = rng.randrange(len(sound.files))
    path = folder / sound.files[at].name
    compressed = dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID.is_compressed
    keyword = rng.choice([keyword for keyword in _ELEMENTS if keyword != "PixelData" or not compressed])
    _set(path, keyword, rng.choice(_ELEMENTS[keyword]))
    changed = len(sound.files) > 1 and _values_changed(sound.files[at], path)
    if len(sound.files) == 1:
        return Wanted(MAY, None, sound.geometry)
    free, names = frozenset({at} if changed else ()), tuple(file.name for file in sound.files)
    return Wanted(MAY, sound.voxels, sound.geometry, free, names)


def _set(path: Path, keyword: str, value: Any) -> None:
    from pydicom.datadict import tag_for_keyword
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import Tag

    data = dcmread(path)
    tag = Tag(tag_for_keyword(keyword) or 0)
    data.pop(tag, None)
    if isinstance(value, int):
        raw = value.to_bytes(2, "little")
    elif value is not None:
        raw = value if isinstance(value, bytes) else "\\".join([value] if isinstance(value, str) else value).encode()
        raw += b" " * (len(raw) % 2)
    if value is not None:
        implicit = data.file_meta.TransferSyntaxUID.is_implicit_VR
        kind = "US" if isinstance(value, int) else "OW" if isinstance(value, bytes) else "LO"
        data[tag] = RawDataElement(tag, None if implicit else kind, len(raw), raw, 0, implicit, True)
    data.save_as(path)


def _shifted(folder: Path, sound: Sound, rng: Random) -> Wanted:
    """One slice moved, by far too much or by next to nothing."""
    edge = min(sound.geometry.spacing_mm)
    far = rng.random() < 0.5
    length = edge * (rng.uniform(0.4, 3) if far else rng.uniform(0, 0.05))
    direction = np.array([rng.gauss(0, 1) for _ in range(3)])
    move = length * direction / np.linalg.norm(direction)
    path = folder / rng.choice(sound.files).name
    data = dcmread(path)
    data.ImagePositionPatient = [f"{x:.9g}" for x in np.array(data.ImagePositionPatient, dtype=float) + move]
    data.save_as(path)
    return Wanted(MUST if far else NEVER, sound.voxels, sound.geometry)


def _rescaled(folder: Path, sound: Sound, rng: Random) -> Wanted:
    """Each slice with a slope of its own."""
    voxels = sound.voxels.copy()
    for number, file in enumerate(sound.files):
        data = dcmread(folder / file.name)
        old = float(data.get("RescaleSlope", 1)), float(data.get("RescaleIntercept", 0))
        slope, intercept = rng.choice((0.5, 1, 2, 4)), rng.choice((-8, 0, 16))
        voxels[number] = (voxels[number] - old[1]) / old[0] * slope + intercept
        data.RescaleSlope, data.RescaleIntercept = slope, intercept
        data.save_as(folder / file.name)
    return Wanted(NEVER, voxels, sound.geometry)


def _dropped(folder: Path, sound: Sound, rng: Random) -> Wanted:
    """A slice taken away: at an end nothing tells, and the rest is read as it is."""
    at = rng.randrange(len(sound.files))
    (folder / sound.files[at].name).unlink()
    if 0 < at < len(sound.files) - 1 or len(sound.files) <= 3:
        return Wanted(MUST, None, sound.geometry)
    keep = [number for number in range(len(sound.files)) if number != at]
    return Wanted(NEVER, sound.voxels[keep], part(sound.geometry, keep[0], len(keep)))


def part(geometry: Geometry, first: int, count: int) -> Geometry:
    normal = np.array(geometry.direction).reshape(3, 3)[:, 2]
    origin = np.array(geometry.origin_mm) + first * geometry.spacing_mm[0] * normal
    return Geometry((count, *geometry.shape[1:]), geometry.spacing_mm, tuple(origin), geometry.direction)


def _doubled(folder: Path, sound: Sound, rng: Random) -> Wanted:
    """A slice copied, or one that takes its neighbour's position."""
    at = rng.randrange(len(sound.files))
    path = folder / sound.files[at].name
    if rng.random() < 0.5:
        shutil.copyfile(path, path.with_name(f"again{path.suffix}"))
    else:
        other = dcmread(folder / sound.files[at - 1 if at else 1].name)
        data = dcmread(path)
        data.ImagePositionPatient = other.ImagePositionPatient
        data.save_as(path)
    return Wanted(MUST, None, sound.geometry)


def _turned(folder: Path, sound: Sound, rng: Random) -> Wanted:
    """One slice with rows and columns, or a direction, swapped."""
    path = folder / rng.choice(sound.files).name
    data = dcmread(path)
    old = [float(x) for x in data.ImageOrientationPatient]
    turned = rng.choice(([*old[3:], *old[:3]], [*[-x for x in old[:3]], *old[3:]], [*old[:3], *[-x for x in old[3:]]]))
    data.ImageOrientationPatient = [f"{x:.9g}" for x in turned]
    data.save_as(path)
    return Wanted(MUST, None, sound.geometry)


def _mixed(folder: Path, sound: Sound, rng: Random) -> Wanted:
    """Slices of another examination with the same UID among them, between or beyond its own."""
    source = dcmread(folder / rng.choice(sound.files).name)
    normal = np.array(sound.geometry.direction).reshape(3, 3)[:, 2]
    for number in range(rng.randint(1, 3)):
        place = np.array(source.ImagePositionPatient, dtype=float)
        place = place + normal * sound.geometry.spacing_mm[0] * (rng.randint(-9, 9) + rng.choice((0, 0.5)))
        source.ImagePositionPatient = [f"{x:.9g}" for x in place]
        source.FrameOfReferenceUID = "1.2.3.4.5"
        source.save_as(folder / f"other_{number}{sound.files[0].suffix}")
    return Wanted(MUST, None, sound.geometry)


def _cut(folder: Path, sound: Sound, rng: Random) -> Wanted:
    """One file cut short."""
    path = folder / rng.choice(sound.files).name
    content = path.read_bytes()
    path.write_bytes(content[: rng.choice((0, rng.randrange(len(content)), len(content) - rng.randint(1, 200)))])
    return Wanted(MAY, sound.voxels, sound.geometry)


def _elsewhere(folder: Path, sound: Sound, rng: Random) -> Wanted:
    """Files renamed, shuffled and spread over folders, among files that are none of theirs."""
    order = rng.sample(range(len(sound.files)), len(sound.files))
    for number, file in zip(order, sound.files, strict=True):
        place = folder / rng.choice(("a", "a", "b"))
        place.mkdir(exist_ok=True)
        (folder / file.name).rename(place / f"{number}{rng.choice(('.dcm', '.ima'))}")
    (folder / "README.txt").write_text("a viewer")
    (folder / ".DS_Store").write_bytes(b"\0" * 99)
    (folder / "scan.nii.gz").write_bytes(b"")
    return Wanted(NEVER, sound.voxels, sound.geometry)


def _zipped(folder: Path, sound: Sound, rng: Random) -> Wanted:
    """All files in a zip, whose bytes may be changed."""
    archive_path = folder / "all.zip"
    with ZipFile(archive_path, "w", ZIP_DEFLATED, compresslevel=1) as archive:
        for file in rng.sample(sound.files, len(sound.files)):
            archive.write(folder / file.name, file.name)
            (folder / file.name).unlink()
    if rng.random() < 0.2:
        return Wanted(NEVER, sound.voxels, sound.geometry)
    archive_path.write_bytes(mutate_bytes(archive_path.read_bytes(), rng))
    return Wanted(MAY, sound.voxels, sound.geometry)


def _frames(folder: Path, sound: Sound, rng: Random) -> Wanted:
    """Frames of a multi-frame file in another order, doubled, moved or lost."""
    path = folder / sound.files[0].name
    data = dcmread(path)
    frames = list(data.PerFrameFunctionalGroupsSequence)
    size = len(data.PixelData) // len(frames)
    pixels = [data.PixelData[size * n : size * (n + 1)] for n in range(len(frames))]
    order: Sequence[int] = rng.sample(range(len(frames)), len(frames))
    wanted = Wanted(NEVER, sound.voxels, sound.geometry)
    what = rng.randrange(4)
    if what == 1:
        order = [*order[:-1], order[0]]
        wanted = Wanted(MUST, None, sound.geometry)
    elif what == 2:
        _move(frames[rng.randrange(1, len(frames) - 1)], min(sound.geometry.spacing_mm))
        wanted = Wanted(MUST, None, sound.geometry)
    elif what == 3:
        missing = data.get("NumberOfFrames", 0)
        data.NumberOfFrames = missing - 1
        wanted = Wanted(MUST, None, sound.geometry)
    data.PerFrameFunctionalGroupsSequence = [frames[n] for n in order]
    data.PixelData = b"".join(pixels[n] for n in order)
    data.save_as(path)
    return wanted


def _move(frame: Dataset, by_mm: float) -> None:
    place = frame.PlanePositionSequence[0]
    place.ImagePositionPatient = [f"{float(x) + by_mm:.9g}" for x in place.ImagePositionPatient]


_MANY_FILES: tuple[Spoil, ...] = (
    _bytes, _bytes, _bytes, _bytes, _element, _element, _element, _shifted, _rescaled, _dropped, _doubled, _turned,
    _mixed, _cut, _elsewhere, _zipped,
)  # fmt: skip
_ONE_FILE: tuple[Spoil, ...] = (_bytes, _bytes, _bytes, _element, _frames, _frames, _cut, _zipped)
