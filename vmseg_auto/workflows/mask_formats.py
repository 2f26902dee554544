"""In which formats a mask is written, what the files are called, and how each is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from vmseg_auto import __version__
from vmseg_auto.data.dataset import Case
from vmseg_auto.data.dicom.series import Series
from vmseg_auto.data.images.images import write_mask
from vmseg_auto.data.images.registry import SEGMENTS, USUAL, ending_of, format_of
from vmseg_auto.data.images.segmentations import write_segmentation
from vmseg_auto.data.naming import DICOM_ENDINGS
from vmseg_auto.figures.slices import label_colours
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.labels import refuse_regions
from vmseg_auto.utils.text import counted

if TYPE_CHECKING:
    from vmseg_auto.data.dicom.results import Algorithm

MaskFormat = Literal["nifti", "seg.nrrd", "dicom-seg", "dicom-rtstruct", "dicom-sr", "dicom-sc"]
IMAGES: frozenset[MaskFormat] = frozenset({"nifti", "seg.nrrd"})
"""Formats that image viewers open; the others are made for DICOM series alone."""
_DICOM: dict[MaskFormat, str] = {
    "dicom-seg": ".dcm",
    "dicom-rtstruct": ".rtstruct.dcm",
    "dicom-sr": ".sr.dcm",
    "dicom-sc": ".sc.dcm",
}
_NO_MASK: frozenset[MaskFormat] = frozenset({"dicom-sr", "dicom-sc"})
"""Formats that tell of a mask, and hold none."""


def chosen_formats(given: str | Sequence[str]) -> tuple[MaskFormat, ...]:
    """Return the formats that are asked for, each once: as "nifti,seg.nrrd", or as several words.

    Those that hold no mask stand last: the first one's file is the mask that counts.

    Raises:
        InputError: there is none, or an unknown one, none that holds the mask, or a report without the DICOM SEG that
            it refers to.
    """
    words = [word.strip() for word in (given.split(",") if isinstance(given, str) else given)]
    known = get_args(MaskFormat)
    if odd := [word for word in words if word not in known]:
        problem = f"there is no format of masks named {odd[0][:40]!r}"
        raise InputError(problem, remedy=f"Give one or several of {', '.join(known)}, with commas between.")
    if not words:
        raise InputError("no format of masks is given", remedy=f"Give one or several of {', '.join(known)}.")
    formats = [cast(MaskFormat, word) for word in dict.fromkeys(words)]
    if "dicom-sr" in formats and "dicom-seg" not in formats:
        problem = "dicom-sr refers to the segments of a DICOM SEG, which is not asked for"
        raise InputError(problem, remedy="Name both, such as `--format dicom-seg,dicom-sr`.")
    if _NO_MASK.issuperset(formats):
        remedy = f"Name one beside it that does, such as `--format nifti,{formats[0]}`."
        raise InputError(f"{formats[0]} tells of a mask, and holds none", remedy=remedy)
    return tuple(sorted(formats, key=_NO_MASK.__contains__))


def require_separate_labels(formats: Sequence[MaskFormat], labels: Mapping[str, int]) -> None:
    """Refuse formats that hold each label by its own value, where labels overlap.

    Raises:
        InputError: such a format is asked for, and some label is a region.
    """
    for one in formats:
        if one not in ("nifti", "dicom-rtstruct", "dicom-sc"):
            refuse_regions(labels, f"--format {one}")


def mask_name(case: Case, written_as: MaskFormat) -> str:
    """Return what the file of a mask is called: as the case, with an ending of the format.

    An image has its scan's format, and NIfTI of a DICOM series.
    """
    ending = SEGMENTS if written_as == "seg.nrrd" else _DICOM.get(written_as) or image_ending(case)
    return f"{case.id}{ending}"


def format_of_mask(path: Path) -> MaskFormat:
    """Return the format of a mask's file, by its ending.

    >>> format_of_mask(Path("anna.sc.dcm")), format_of_mask(Path("anna.mha"))
    ('dicom-sc', 'nifti')
    """
    endings = sorted(_DICOM.items(), key=lambda known: -len(known[1]))
    dicom = next((written_as for written_as, ending in endings if path.name.lower().endswith(ending)), None)
    return dicom or ("seg.nrrd" if ending_of(path.name) == SEGMENTS else "nifti")


def image_ending(case: Case) -> str:
    """Return the ending of images on a scan's grid."""
    scan = case.images[0]
    ending = USUAL if isinstance(scan, Series) else ending_of(scan.name)
    assert ending is not None, "find_scans takes no other files"
    return ending


def map_ending(case: Case) -> str:
    """Return the ending of maps on a scan's grid, which hold fractions."""
    known = format_of(ending := image_ending(case))
    return ending if known is None or known.fractions else USUAL


@dataclass(frozen=True)
class FinishedMask:
    """A mask, and what its files tell beside it.

    Args:
        case: whose it is.
        mask: label values [Z, Y, X].
        geometry: of the scan.
        labels: name -> value.
        algorithm: what made it; needed for DICOM files alone.
        image: the scan's first channel [Z, Y, X]; needed for pictures alone.
        rows: of volumes.csv; needed for pictures and reports.
    """

    case: Case
    mask: NDArray[np.uint8]
    geometry: Geometry
    labels: Mapping[str, int]
    algorithm: Algorithm | None = None
    image: NDArray[np.float32] | None = None
    rows: Sequence[Mapping[str, Any]] = ()

    def write(self, path: Path, written_as: MaskFormat) -> None:
        """Write it as a file, whole or not at all.

        Raises:
            InputError: its series lacks what a DICOM file must refer to.
            VmsegError: the file can't be written.
        """
        if written_as == "nifti":
            write_mask(path, self.mask, self.geometry)
        elif written_as == "seg.nrrd":
            write_segmentation(path, self.mask, self.geometry, self.labels, label_colours(self.labels))
        else:
            self._write_dicom(path, written_as)

    def _write_dicom(self, path: Path, written_as: MaskFormat) -> None:
        """Write a DICOM file. Its modules are loaded only where it is asked for."""
        series, algorithm = self.case.images[0], self.algorithm
        assert isinstance(series, Series), "made_by takes no other scans"
        assert algorithm is not None
        match written_as:
            case "dicom-seg":
                from vmseg_auto.data.dicom.segmentation import write_dicom_seg

                write_dicom_seg(path, self.mask, self.geometry, self.labels, series, algorithm)
            case "dicom-rtstruct":
                from vmseg_auto.data.dicom.structure_set import write_rtstruct

                colours = label_colours(self.labels)
                write_rtstruct(path, self.mask, self.geometry, self.labels, colours, series, algorithm)
            case "dicom-sr":
                from vmseg_auto.data.dicom.measurements import write_measurements

                segmentation = path.with_name(mask_name(self.case, "dicom-seg"))  # written before it
                write_measurements(path, segmentation, self._totals, self.labels, self.geometry, series, algorithm)
            case "dicom-sc":
                from vmseg_auto.data.dicom.captures import write_captures
                from vmseg_auto.data.dicom.results import PURPOSE
                from vmseg_auto.figures.captures import draw_pages  # loads matplotlib

                assert self.image is not None
                words = [f"{algorithm.name} {algorithm.version}: {PURPOSE}", *map(_in_words, self._totals)]
                pages = draw_pages(self.image, self.mask, self.geometry, self.labels, words)
                write_captures(path, pages, self.geometry, series, algorithm)

    @property
    def _totals(self) -> list[Mapping[str, Any]]:
        return [row for row in self.rows if row["component"] == "all"]


def _in_words(total: Mapping[str, Any]) -> str:
    """Say a label's row of volumes.csv in a line or two."""
    if not total["voxels"]:
        return f"{total['label']}: nothing found"
    low, high = total.get("volume_low_ml"), total.get("volume_high_ml")
    interval = (
        "" if low is None or high is None else f"\nNine true volumes in ten lie between {low:.2f} and {high:.2f} mL."
    )
    lesions = counted(total["components"], "lesion")
    longest = f"longest diameter {total['longest_diameter_mm']:.0f} mm"
    return f"{total['label']}: {total['volume_ml']:.2f} mL, {lesions}, {longest}{interval}"


def made_by(model: str, cases: Sequence[Case]) -> Algorithm:
    """Return what is recorded in the DICOM files of these cases' masks.

    Args:
        model: digest of the model and its options.

    Raises:
        InputError: a scan is no DICOM series, or a case is called as another one's file.
    """
    from vmseg_auto.data.dicom.results import Algorithm

    if others := [case for case in cases if not isinstance(case.images[0], Series)]:
        raise InputError(
            f"a mask's DICOM file refers to a DICOM series, but {len(others)} of {len(cases)} scans are image files",
            case=others[0].id,
            file=others[0].file,
            remedy="Give the DICOM series they were made from, or write NIfTI (--format nifti).",
        )
    for case in cases:
        if case.id.lower().endswith(tuple(ending.removesuffix(".dcm") for ending in DICOM_ENDINGS[:-1])):
            problem = "its name ends as that of a DICOM file does, which would be taken for another case's"
            raise InputError(problem, case=case.id, file=case.file, remedy="Rename its folder.")
    return Algorithm("vmseg_auto", __version__, model)
