"""What a label stands for, in codes of SNOMED CT, as DICOM SEG and 3D Slicer's segmentations carry them.

Its body of morphologies has "Vascular malformation" (783806000); with "Vein" (29092000) as the anatomic structure that
reads as a venous malformation. Labels of other things are coded as "Tissue", which asserts nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

Code = tuple[str, str, str]
"""Value, scheme and meaning."""
_LESIONS = frozenset({"lesion", "vm", "venous malformation", "vascular malformation", "malformation"})


@dataclass(frozen=True)
class Coded:
    """A label in codes.

    Args:
        category, kind: of what it is.
        structure: of the anatomy that it lies in, where that is known.
    """

    category: Code
    kind: Code
    structure: Code | None = None


_MALFORMATION = Coded(
    ("49755003", "SCT", "Morphologically Abnormal Structure"),
    ("783806000", "SCT", "Vascular malformation"),
    ("29092000", "SCT", "Vein"),
)
_TISSUE = ("85756007", "SCT", "Tissue")


def coded(label: str) -> Coded:
    """Return the codes of a label; those of a venous malformation only where its name is one for it.

    >>> coded("venous malformation").kind
    ('783806000', 'SCT', 'Vascular malformation')
    """
    plain = label.replace("_", " ").replace("-", " ").strip().lower()
    return _MALFORMATION if plain in _LESIONS else Coded(_TISSUE, _TISSUE)
