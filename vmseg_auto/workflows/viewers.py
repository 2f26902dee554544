"""How a mask is opened with its scan in 3D Slicer and in ITK-SNAP: one command for each, to be copied."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from vmseg_auto.data.dicom.series import Scan, Series
from vmseg_auto.data.images.registry import SEGMENTS
from vmseg_auto.data.mask_files import DICOM
from vmseg_auto.figures.slices import value_colour
from vmseg_auto.utils.atomic import write_text
from vmseg_auto.utils.labels import value_names

LABEL_FILE = "itksnap.label"
"""Names and colours of the labels for ITK-SNAP, beside the masks."""
_ON_WINDOWS = os.name == "nt"


def write_label_file(folder: Path, labels: Mapping[str, int]) -> None:
    """Write ITK-SNAP's label description: value, colour, opacity, two flags and name of each label."""
    lines = ["# ITK-SnAP Label Description File", "# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL"]
    lines.append('    0     0    0    0        0  0  0    "Clear Label"')
    for value, name in value_names(labels).items():
        red, green, blue = (int(value_colour(value)[at : at + 2], 16) for at in (1, 3, 5))
        quoted = name.replace('"', "'")
        lines.append(f'{value:5d} {red:5d}{green:5d}{blue:5d}        1  1  1    "{quoted}"')
    write_text(folder / LABEL_FILE, "\n".join(lines) + "\n")


def opening_words(case: str, scan: Scan, masks: Sequence[Path], windows: bool = _ON_WINDOWS) -> list[str]:
    """Describe how a mask is opened with its scan.

    Args:
        case: its id.
        scan: an image file, or a DICOM series: both programs open the series that one of its files belongs to.
        masks: files of the mask in different formats; `LABEL_FILE` lies beside them.
        windows: whether the commands are for the command line of Windows.
    """
    file = _on_disk(scan)
    if file is None:
        return [
            f"The scan of {case} lies in a zip, which neither 3D Slicer nor ITK-SNAP opens: unpack it to look at it."
        ]
    images = [path for path in masks if path.suffix.lower() != DICOM]
    if not images:
        extension = "SlicerRT" if masks[0].name.lower().endswith(".rtstruct.dcm") else "QuantitativeReporting"
        return [
            f"Look at {case} in 3D Slicer: import its series and {masks[0]} in the DICOM module (extension "
            f"{extension}). ITK-SNAP opens neither DICOM SEG nor RTSTRUCT; --format dicom-seg,nifti writes both."
        ]
    segments = next((path for path in images if path.name.lower().endswith(SEGMENTS)), images[0])
    plain = next((path for path in images if not path.name.lower().endswith(SEGMENTS)), images[0])
    scan_text, mask_text = (_literal(path, "'" if windows else '"') for path in (file, segments))
    load = f"slicer.util.loadVolume({scan_text}); slicer.util.loadSegmentation({mask_text})"
    snap = ["itksnap", "-g", _place(file), "-s", _place(plain), "-l", _place(plain.with_name(LABEL_FILE))]
    return [
        f"Look at {case} first, with its scan:",
        f"  3D Slicer: {_command(['Slicer', '--python-code', load], windows)}",
        f"  ITK-SNAP:  {_command(snap, windows)}",
    ]


def _on_disk(scan: Scan) -> Path | None:
    """Return an image file, or the first file of a series; None where that lies in a zip."""
    path = scan.source if isinstance(scan, Series) else scan
    return path if path.is_file() else None


def _place(path: Path) -> str:
    """Return a path that holds wherever the command is given."""
    return os.path.abspath(path)


def _literal(path: Path, sign: str) -> str:
    """Write a path as a text of Python between these quotes, with the slashes that it takes in Windows too."""
    text = Path(_place(path)).as_posix().replace("\\", "\\\\").replace(sign, f"\\{sign}")
    return f"{sign}{text}{sign}"


def _command(words: Sequence[str], windows: bool) -> str:
    """Write a command for a POSIX shell, or for Windows, whose names hold no double quotes."""
    if windows:
        return " ".join(f'"{word}"' if set(word) & set(" '&()^;,=") else word for word in words)
    return shlex.join(words)
