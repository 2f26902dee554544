"""Which DICOM files hold masks, by their first bytes: no package is loaded to look at many files."""

from __future__ import annotations

from pathlib import Path

from vmseg_auto.utils.folders import is_file

SEG, RTSTRUCT = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.481.3"
MASKS = {SEG: "DICOM SEG", RTSTRUCT: "RTSTRUCT"}
"""SOP classes of objects that hold masks, and what they are called."""
_PREAMBLE, _MAGIC = 128, b"DICM"
_WITHIN = 232
"""The SOP class stands among the first elements of the meta information."""


def holds_mask(path: Path) -> bool:
    """Return whether a file is a DICOM Segmentation or Structure Set."""
    if not is_file(path):  # a pipe would never end
        return False
    try:
        with path.open("rb") as file:
            head = file.read(_WITHIN)
    except OSError:
        return False
    start = _PREAMBLE + len(_MAGIC)
    return head[_PREAMBLE:start] == _MAGIC and any(f"{uid}\0".encode() in head[start:] for uid in MASKS)
