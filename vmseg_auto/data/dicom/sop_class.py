"""Which DICOM files hold masks, by their first bytes: no package is loaded to look at many files."""

from __future__ import annotations

from pathlib import Path

from vmseg_auto.utils.folders import is_file

SEG, RTSTRUCT = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.481.3"
MASKS = {SEG: "DICOM SEG", RTSTRUCT: "RTSTRUCT"}
"""SOP classes of objects that hold masks, and what they are called."""
_PREAMBLE, _MAGIC = 128, b"DICM"
_KIND = b"\x02\x00\x02\x00UI"
"""The element MediaStorageSOPClassUID of the meta information (PS3.10, 7.1): tag and VR, then its length in 2 bytes."""
_WITHIN = 232
"""It stands among the first elements."""


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
    if head[_PREAMBLE:start] != _MAGIC:
        return False
    _, _, rest = head[start:].partition(_KIND)
    length = int.from_bytes(rest[:2], "little")
    return rest[2 : 2 + length].rstrip(b"\0 ").decode("ascii", "replace") in MASKS
