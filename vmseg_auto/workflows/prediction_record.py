"""What is known of a predicted mask: the record beside it (CASE.json), and its rows of volumes.csv."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.dicom.series import Choice
from vmseg_auto.data.images.segmentations import read_labels
from vmseg_auto.data.mask_files import (
    SCHEMA,
    MaskFile,
    SavedMask,
    Standing,
    Written,
    case_files,
    mask_sha256,
    standing,
)
from vmseg_auto.data.reviews import Review, review_of
from vmseg_auto.evaluation.confidence import Calibration
from vmseg_auto.evaluation.expected_quality import Judgement
from vmseg_auto.evaluation.lesion_filter import LeftOut
from vmseg_auto.evaluation.volumetry import Size, margin_width_mm, measure
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.json_codec import Stored
from vmseg_auto.utils.label_masks import mask_of
from vmseg_auto.utils.labels import Labels

SIZE_COLUMNS = (
    "volume_ml", "voxels", "longest_diameter_mm", "axial_diameter_mm", "extent_rl_mm", "extent_ap_mm", "extent_si_mm",
    "goyal_size",
)  # fmt: skip
FILTER_COLUMNS = ("p_lesion", "left_out", "left_out_ml", "left_out_p_lesion")
"""What the lesion filter says: of a component how probable it is that it is a lesion, of a total what was left out."""
VOLUME_COLUMNS = ("case", "label", "component", *SIZE_COLUMNS, "components", "margin_width_mm", *FILTER_COLUMNS)
DAMAGED = "damaged"
_REMEDY = "Correct it, or make it anew with `vmseg_predict --overwrite-edited`."


@dataclass(frozen=True)
class InputSource:
    """Where a predicted scan is found again.

    Args:
        inputs: the scan, or the folder of scans, that was to be predicted; as seen from the output folder. Empty where
            scans were fetched and not kept.
        channels: names of the scan's channels.
        choice: which DICOM series were wanted.
        optional: names of the channels that scans may lack.
    """

    inputs: str
    channels: tuple[str, ...]
    choice: Choice = field(default_factory=Choice)
    optional: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        inputs: Path | None,
        output: Path,
        channels: tuple[str, ...],
        choice: Choice,
        optional: tuple[str, ...] = (),
    ) -> InputSource:
        """Describe where all scans of one command lie, None where they will not be kept; the way to them stays right
        where both folders are moved together.
        """
        if inputs is None:
            return cls("", channels, choice, optional)
        place = inputs.resolve()
        with contextlib.suppress(ValueError):  # on another drive, in Windows
            place = Path(os.path.relpath(place, output.resolve()))
        return cls(place.as_posix(), channels, choice, optional)

    @property
    def kept(self) -> bool:
        """Whether the scans were to lie where they were, and were not fetched for a moment."""
        return bool(self.inputs)

    def same_place(self, other: InputSource, folder: Path, scan: Path) -> bool:
        """Return whether a scan of these inputs may be the scan of the same name of another command's inputs: it lies
        where those lay, or those were fetched and not kept, and so named after their UIDs.

        Args:
            other: of the other command.
            folder: of the masks of both.
            scan: the file of the scan, now.
        """
        if not other.kept:
            return True
        before, now = (folder / other.inputs).resolve(), scan.resolve()
        return now.is_relative_to(before) or before.is_relative_to(now)


@dataclass(frozen=True)
class PredictionRecord(Stored):
    """CASE.json beside each mask: what it was made from, what it holds, and how far it can be trusted.

    Args:
        case: its id.
        made_from: hash of model and options, and of the scan's files; "" while the mask is being made.
        image_sha256: of the scan's voxels, whatever file they came from.
        masks: the files of the mask as they were written; the first is the one that counts.
        mask_sha256: of its label values, whatever file they are in.
        volumes: rows of volumes.csv.
        judgement: how far it can be trusted.
        source: where the scan is found again.
        labels: name -> value.
        grid: of the scan.
        outdated: files of earlier predictions in other formats, as they stood when this one was written.
        replaced: masks corrected by hand that `--overwrite-edited` has set aside for it, within the folder.
        in_training: whether the model was trained on this very scan; None where that is not known.
        left_out: components that the lesion filter has left out of the mask.
        backend: what computed the networks.
        saved: what a reader has saved in place of the mask; of several the first counts.
        predicted_rows: the rows of volumes.csv that the prediction had, while a saved mask stands in its place.
        reviews: what readers have decided, in the order of time; those on earlier masks too.
        maps: files of its maps as they were written, within the folder.
    """

    case: str
    made_from: str
    image_sha256: str
    masks: tuple[MaskFile, ...]
    mask_sha256: str
    volumes: tuple[dict[str, Any], ...]
    judgement: Judgement
    source: InputSource
    labels: Labels
    grid: Geometry
    outdated: tuple[MaskFile, ...] = ()
    replaced: tuple[MaskFile, ...] = ()
    in_training: bool | None = None
    left_out: tuple[LeftOut, ...] = ()
    backend: str = "torch"
    saved: tuple[SavedMask, ...] = ()
    predicted_rows: tuple[dict[str, Any], ...] = ()
    reviews: tuple[Review, ...] = ()
    maps: tuple[MaskFile, ...] = ()
    schema: int = SCHEMA

    def check(self, where: str) -> None:
        if not self.masks:
            raise InputError(f"{where} tells of no mask", remedy="Predict the scan again.")

    @property
    def model_hash(self) -> str:
        """Hash of the model and the options that the mask was made with."""
        return self.made_from.rpartition("-")[0]

    @property
    def scan_hash(self) -> str:
        """Content hash of the scan that the mask was made from."""
        return self.made_from.rpartition("-")[2]

    @property
    def empty(self) -> list[str]:
        """Labels of which nothing was found."""
        return [row["label"] for row in self.volumes if row["component"] == "all" and row["voxels"] == 0]

    @property
    def emptied(self) -> list[str]:
        """Labels of which the lesion filter has left out every component."""
        return [label for label in self.empty if any(one.label == label for one in self.left_out)]

    @property
    def written(self) -> Written:
        """By which the files of its mask are known."""
        return Written(
            self.case, self.masks, self.outdated, self.mask_sha256, self.labels, self.grid, self.saved, self.reviews
        )

    def standing(self, folder: Path) -> Standing:
        """Return what stands in a folder of its mask; raises as `data.mask_files.standing`."""
        return standing(folder, self.written)

    def corrections(self, folder: Path) -> list[Path]:
        """Return its files that were corrected by hand, or are none: `--overwrite-edited` sets them aside."""
        files = case_files(folder, self.written)
        return [*files.edited, *files.saved, *files.saved_before, *files.odd]

    def judged(self, mask_sha256: str) -> Judgement:
        """Return how far a mask of this case can be trusted, with what a reader has decided of it."""
        review = review_of(self.reviews, mask_sha256)
        return replace(self.judgement, decision=review.decision if review else None)

    def why_anew(self, there: Standing, made_from: str) -> str:
        """Describe what of a mask that is to be made anew no longer holds; empty where that is nothing.

        Args:
            there: its files.
            made_from: what the new one is made from.
        """
        scan = made_from.rpartition("-")[2]
        if there.state == "damaged":
            return DAMAGED
        if there.state == "missing":
            return "gone"
        if there.state == "edited" or self.made_from == made_from:
            return ""
        if not self.made_from:
            return "not finished"
        return "made from another file of the scan" if scan != self.scan_hash else "of another model or other options"

    def rows(self, calibration: Calibration | None) -> Iterator[dict[str, Any]]:
        """Yield the rows of volumes.csv; what concerns the whole case stands in the rows of its totals."""
        judgement = self.judgement if self.judgement.corrected else self.judged(self.mask_sha256)
        for row in self.volumes:
            if row["component"] == "all":
                told = judgement.calibrated_columns(row["label"], row["volume_ml"], calibration)
                row = row | told | judgement.columns(calibration)
            yield row

    def read(self, path: Path) -> tuple[NDArray[np.uint8], Geometry]:
        """Read the voxels of a file of this mask, [Z, Y, X], on the scan's grid.

        Raises:
            InputError: it can't be read, does not lie on that grid, or holds what is no label.
        """
        try:
            mask, own = read_labels(path, self.labels, self.grid, self.case)
        except InputError as error:
            error.remedy = _REMEDY
            raise
        if differences := own.differences(self.grid):
            problem = f"the mask does not lie on the scan's grid: {'; '.join(differences)}"
            raise InputError(problem, case=self.case, file=path, remedy=_REMEDY)
        return mask, own

    def corrected(self, mask: NDArray[np.uint8], geometry: Geometry) -> PredictionRecord:
        """Return the record of a corrected mask, as `read` gives it, measured without its scan: margin widths are not
        known.
        """
        rows = tuple(volume_rows(self.case, None, mask, geometry, self.labels))
        judgement = replace(self.judged(mask_sha256(mask)), corrected=True)
        return replace(self, volumes=rows, left_out=(), judgement=judgement)


@dataclass(frozen=True)
class InPlace:
    """A mask as it stands in its folder.

    Args:
        record: of it; of a corrected mask what was measured of that.
        there: its files.
        mask_sha256: of its label values.
    """

    record: PredictionRecord
    there: Standing
    mask_sha256: str

    @classmethod
    def of(cls, record: PredictionRecord, there: Standing) -> InPlace:
        """Describe a mask that is there, measured anew if it was corrected.

        Raises:
            InputError: as `PredictionRecord.read`.
        """
        if there.state != "edited":
            return cls(record, there, record.mask_sha256)
        mask, geometry = record.read(there.mask)
        return cls(record.corrected(mask, geometry), there, mask_sha256(mask))

    @property
    def case(self) -> str:
        return self.record.case

    @property
    def corrected(self) -> bool:
        return self.there.state == "edited"

    @property
    def review(self) -> Review | None:
        """The decision of a reader on it; None where there is none."""
        return review_of(self.record.reviews, self.mask_sha256)


def image_sha256(image: NDArray[np.float32]) -> str:
    """Return a hash of a scan's voxels [C, Z, Y, X]: equal for the same scan in files of other bytes or formats."""
    sha = hashlib.sha256(repr(image.shape).encode())
    sha.update(np.ascontiguousarray(image, np.dtype("<f4")).data)
    return sha.hexdigest()


def volume_rows(
    case: str,
    image: NDArray[np.float32] | None,
    mask: NDArray[np.uint8],
    geometry: Geometry,
    labels: Mapping[str, int],
    p_lesion: Mapping[str, Sequence[float]] | None = None,
    left_out: Sequence[LeftOut] = (),
) -> Iterator[dict[str, Any]]:
    """Yield rows of volumes.csv: for each label its total ("all"), then its connected components, the largest first.

    Args:
        case: its id.
        image: the scan's first channel [Z, Y, X], in which margins are measured; they are not without.
        mask: label values [Z, Y, X].
        geometry: of both.
        labels: name -> value.
        p_lesion: label -> how probable it is that each component is a lesion, the largest first; labels without are
            not known.
        left_out: components that a lesion filter has left out of the mask.
    """
    for label, value in labels.items():
        if value == 0:
            continue
        chances = (p_lesion or {}).get(label)
        inside = mask_of(mask, labels, label)
        whole, pieces = measure(inside, geometry)
        total = {**_names(case, label, "all"), **_size_columns(whole), "components": len(pieces)}
        yield total if chances is None else total | _left_out_columns([one for one in left_out if one.label == label])
        for number, piece in enumerate(pieces, 1):
            row = {**_names(case, label, number), **_size_columns(piece.size)}
            if chances is not None:
                row["p_lesion"] = chances[number - 1]
            if image is not None:
                row["margin_width_mm"] = margin_width_mm(image, piece.lesion, inside, geometry.spacing_mm)
            yield row


def _names(case: str, label: str, component: str | int) -> dict[str, Any]:
    return {"case": case, "label": label, "component": component}


def _left_out_columns(left_out: Sequence[LeftOut]) -> dict[str, Any]:
    """Return how many components were left out, their volume, and the greatest probability among them."""
    columns: dict[str, Any] = {"left_out": len(left_out), "left_out_ml": sum(one.volume_ml for one in left_out)}
    return columns | ({"left_out_p_lesion": max(one.p_lesion for one in left_out)} if left_out else {})


def _size_columns(size: Size) -> dict[str, Any]:
    """Return the values of SIZE_COLUMNS."""
    return {column: getattr(size, column) for column in SIZE_COLUMNS}
