"""A dataset of a folder of the Medical Segmentation Decathlon: scans of several channels in one file become one file a
channel.
"""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

from vmseg_auto.data.dataset_json import Description, read_description
from vmseg_auto.data.images.formats.nifti import parse_header
from vmseg_auto.data.images.packed import damaged, file_bytes, unpacked
from vmseg_auto.data.images.registry import USUAL
from vmseg_auto.data.naming import image_files, note_unpaired, raw_stem
from vmseg_auto.utils.atomic import new_folder, read_json, write_json
from vmseg_auto.utils.console import Console, Silent, quoted
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.folders import require_apart
from vmseg_auto.utils.labels import refuse_regions
from vmseg_auto.utils.left_out import Inventory, telling_left_out
from vmseg_auto.utils.text import counted
from vmseg_auto.workflows.locking import output_lock
from vmseg_auto.workflows.paths import PathLike

_HEADER = 352
_DIMENSIONS, _BITS, _VOXEL_SIZES = 40, 72, 76
"""Where dim, bitpix and pixdim stand in a NIfTI-1 header."""
_MOST = 2**33
"""Bytes of the voxels of one file."""


@telling_left_out
def dataset_from_msd(
    folder: PathLike, output: PathLike, *, left: Inventory | None = None, console: Console | None = None
) -> Path:
    """Make a dataset in nnU-Net's raw layout of one of the Medical Segmentation Decathlon (Task04_Hippocampus).

    Cases keep their names, as the Decathlon is public; voxels and the rest of their headers stay as they are. A
    training scan without a mask, or a mask without a scan, is left out.

    Args:
        folder: with dataset.json, imagesTr, labelsTr and, where there are test scans, imagesTs; left as it is.
        output: the dataset's folder to make.
        left: what of the folder is not used is noted here; a strict one ends the work before it begins.
        console: where words and progress go.

    Raises:
        InputError: no such folder, the output exists, or a scan has another number of channels than dataset.json names.
        DatasetError: dataset.json can't be used.
    """
    console, left, source, target = console or Silent(), left or Inventory(), Path(folder), Path(output)
    stated = source / "dataset.json"
    if not stated.is_file():
        remedy = "Name the unpacked folder of one task, such as Task04_Hippocampus."
        raise InputError("there is no dataset.json, so this is no folder of the Decathlon", file=source, remedy=remedy)
    require_apart(target, [source])
    told, description = read_json(stated), read_description(stated)
    refuse_regions(description.labels, "vmseg_make_dataset --from-msd")
    parts = _parts(source, description, left)
    left.require_nothing()
    if not parts["imagesTr"]:
        problem = f"there is no case: no file of this name that ends with {USUAL} lies in imagesTr and labelsTr"
        raise InputError(problem, file=source, remedy="Unpack it.")
    with output_lock(target.parent, "vmseg_make_dataset", console), new_folder(target) as made:
        with console.progress("Copying", sum(map(len, parts.values()))) as progress:
            for part, files in parts.items():
                (made / part).mkdir()
                for file in files:
                    channels = 0 if part == "labelsTr" else len(description.channels)
                    _copy(file, made / part, channels)
                    progress.advance()
        about = {key: told[key] for key in ("description", "reference", "licence", "release") if key in told}
        copied = {raw_stem(file) for part in ("imagesTr", "imagesTs") for file in parts[part]}
        if patients := {case: patient for case, patient in description.patients.items() if case in copied}:
            about["patients"] = patients
        named = {"name": description.name or source.name, "numTraining": len(parts["labelsTr"]), "file_ending": USUAL}
        channel_names = {str(number): name for number, name in enumerate(description.channels)}
        labels = dict(description.labels)
        write_json(made / "dataset.json", {**named, "channel_names": channel_names, "labels": labels, **about})
    cases = counted(len(parts["imagesTr"]), "training case")
    console.say(f"{target}: {cases}. Go on with `vmseg_plan_and_preprocess -d {quoted(target)}`.")
    return target


def _parts(source: Path, description: Description, left: Inventory) -> dict[str, list[Path]]:
    """Return the files to copy by folder; what is not copied is noted."""
    parts = {name: image_files(source / name, USUAL, left) for name in ("imagesTr", "labelsTr", "imagesTs")}
    for key in description.unused:
        left.add("key", key, "unknown in dataset.json")
    there = {raw_stem(file) for part in ("imagesTr", "imagesTs") for file in parts[part]}
    for listed in description.listed:
        if raw_stem(Path(listed)) not in there:
            left.add("file", listed, "listed in dataset.json, and not there")
    scans, masks = ({raw_stem(file): file for file in parts[part]} for part in ("imagesTr", "labelsTr"))
    paired = scans.keys() & masks.keys()
    for what, files, why in (
        ("scan", scans, "without a mask in labelsTr"),
        ("mask", masks, "without a scan in imagesTr"),
    ):
        alone = {name: file for name, file in files.items() if name not in paired}
        note_unpaired(what, alone, paired, why, left)
    for part, files in (("imagesTr", scans), ("labelsTr", masks)):
        parts[part] = [file for name, file in files.items() if name in paired]
    return parts


def _copy(file: Path, folder: Path, channels: int) -> None:
    """Copy a scan, a file for each channel, or with none a mask as it is."""
    name = raw_stem(file)
    if not channels:
        (folder / file.name).write_bytes(file_bytes(file))
        return
    try:
        blocks = _split(file_bytes(file), channels)
    except InputError as error:
        error.case, error.file = name, file
        raise
    for number, block in enumerate(blocks):
        path = folder / f"{name}_{number:04d}{USUAL}"
        with path.open("wb") as file_of_channel, gzip.GzipFile("", "wb", 1, file_of_channel, mtime=0) as packed:
            packed.write(block)


def _split(packed: bytes, channels: int) -> list[bytes]:
    """Return the 3-D NIfTI file of each channel: channels lie one behind the other, so that no voxel is touched.

    Raises:
        InputError: the file is damaged, or has another number of channels.
    """
    head = unpacked(packed, _HEADER, whole=False)
    header = parse_header(head)
    if header is None or header.size != 348 or not header.in_one_file:
        raise InputError("it is no NIfTI-1 file of one piece", remedy="Download it again.")
    dimensions = struct.unpack_from(f"{header.order}8h", head, _DIMENSIONS)
    count, sizes = dimensions[0], dimensions[1:]
    found = sizes[3] if count >= 4 else 1
    if count not in (3, 4) or found != channels or min(sizes[:3]) < 1:
        problem = f"it has {found} channels in {count} dimensions, and dataset.json names {channels}"
        raise InputError(problem, remedy="Correct modality in dataset.json, or take the scan out.")
    (bits,) = struct.unpack_from(f"{header.order}h", head, _BITS)
    start, size = int(header.start), sizes[0] * sizes[1] * sizes[2] * bits // 8
    if not _HEADER <= start <= 2**20 or not 0 < size * channels <= _MOST:
        raise damaged()
    data = unpacked(packed, start + size * channels + 2**20)
    if len(data) < start + size * channels:
        raise damaged(f"{start + size * channels - len(data)} bytes are missing")
    alone = bytearray(data[:start])
    struct.pack_into(f"{header.order}h", alone, _DIMENSIONS, 3)
    struct.pack_into(f"{header.order}h", alone, _DIMENSIONS + 8, 1)
    struct.pack_into(f"{header.order}f", alone, _VOXEL_SIZES + 16, 0.0)
    return [bytes(alone) + data[start + size * n : start + size * (n + 1)] for n in range(channels)]
