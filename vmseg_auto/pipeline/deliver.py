"""What is written of a predicted scan: mask, maps, preview, a sidecar that vouches for them; and a table of all."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from vmseg_auto import __version__
from vmseg_auto.core.codec import Stored
from vmseg_auto.core.dataset import Case
from vmseg_auto.core.errors import InputError, VmsegError
from vmseg_auto.core.geometry import Geometry
from vmseg_auto.core.labels import file_part
from vmseg_auto.core.series import Choice, Series
from vmseg_auto.core.trust import Calibration
from vmseg_auto.io.atomic import read_stored, write_sealed
from vmseg_auto.io.images import ending_of, read_mask, write_image, write_mask
from vmseg_auto.io.tables import write_csv
from vmseg_auto.ops.uncertainty import undecided
from vmseg_auto.ops.volumetry import Size, margin_width_mm, measure
from vmseg_auto.pipeline.expected import CASE_COLUMNS, INTERVAL_COLUMNS, Judgement
from vmseg_auto.stages.predict import Prediction

if TYPE_CHECKING:
    from vmseg_auto.io.dicom_seg import Algorithm

_NIFTI, _DICOM_SEG = ".nii.gz", ".dcm"
"""What the mask of a DICOM series ends with."""
MaskState = Literal["as written", "edited", "damaged", "missing"]
MaskFormat = Literal["nifti", "dicom-seg"]
SIZE_COLUMNS = (
    "volume_ml", "voxels", "longest_diameter_mm", "axial_diameter_mm", "extent_rl_mm", "extent_ap_mm", "extent_si_mm",
    "goyal_size",
)  # fmt: skip
VOLUME_COLUMNS = ("case", "label", "component", *SIZE_COLUMNS, "components", "margin_width_mm")


@dataclass(frozen=True)
class Origin:
    """Where a predicted scan is found again.

    Args:
        inputs: the scan, or the folder of scans, that was to be predicted; as seen from the output folder.
        channels: names of the scan's channels.
        choice: which DICOM series were wanted.
    """

    inputs: str
    channels: tuple[str, ...]
    choice: Choice = field(default_factory=Choice)

    @classmethod
    def of(cls, inputs: Path, output: Path, channels: tuple[str, ...], choice: Choice) -> Origin:
        """That of all scans of one command; the way to them stays right where both folders are moved together."""
        place = inputs.resolve()
        with contextlib.suppress(ValueError):  # on another drive, in Windows
            place = Path(os.path.relpath(place, output.resolve()))
        return cls(place.as_posix(), channels, choice)


@dataclass(frozen=True)
class Sidecar(Stored):
    """CASE.json beside each mask: what it was made from, what it holds, and how far it can be trusted.

    `mask` is the file's name, `mask_sha256` the SHA-256 of its bytes as they were written.
    """

    case: str
    made_from: str
    mask: str
    mask_sha256: str
    volumes: tuple[dict[str, Any], ...]
    judgement: Judgement
    origin: Origin
    labels: dict[str, int]
    schema: int = 4

    @property
    def model_hash(self) -> str:
        """Hash of the model and the options that the mask was made with."""
        return self.made_from.rpartition("-")[0]

    @property
    def scan_hash(self) -> str:
        """Content hash of the scan that the mask was made from."""
        return self.made_from.rpartition("-")[2]

    def rows(self, calibration: Calibration | None) -> Iterator[dict[str, Any]]:
        """Of volumes.csv; what is said of the whole case stands in the rows of its totals."""
        for row in self.volumes:
            if row["component"] == "all":
                interval = self.judgement.interval_columns(row["label"], row["volume_ml"], calibration)
                row = row | interval | self.judgement.columns(calibration)
            yield row


def mask_state(folder: Path, sidecar: Sidecar) -> MaskState:
    """What has become of the mask that a sidecar tells of; one that can be read whole but is another was edited."""
    path = folder / Path(sidecar.mask).name
    if not path.is_file():
        return "missing"
    if _sha256(path) == sidecar.mask_sha256:
        return "as written"
    try:
        _require_whole(path)
    except InputError:
        return "damaged"
    return "edited"


def corrected(folder: Path, sidecar: Sidecar) -> Sidecar:
    """A sidecar of the edited mask that lies there, measured without its scan: margin widths are not known.

    Raises:
        InputError: it can't be measured.
    """
    path = folder / Path(sidecar.mask).name
    remedy = "Correct it, or make it anew with `vmseg_predict --overwrite-edited`."
    if path.suffix == _DICOM_SEG:
        problem = "the DICOM SEG was changed after it was predicted, and can't be measured"
        raise InputError(problem, case=sidecar.case, file=path, remedy=remedy)
    mask, geometry = read_mask(path, sidecar.case)
    if unknown := sorted(set(np.unique(mask).tolist()) - {0, *sidecar.labels.values()}):
        problem = f"the mask was changed after it was predicted, and holds {unknown[0]}, which is no label"
        raise InputError(problem, case=sidecar.case, file=path, remedy=remedy)
    rows = tuple(volume_rows(sidecar.case, None, mask, geometry, sidecar.labels))
    return replace(sidecar, volumes=rows, judgement=replace(sidecar.judgement, corrected=True))


@dataclass(frozen=True)
class Delivery:
    """Where the results of one command go, and which of them were asked for.

    Args:
        folder: of the masks.
        labels: name -> value.
        origin: of the scans.
        save_probabilities: whether each label's probability is written too.
        save_uncertainty: whether a map of how undecided the prediction is, is written too.
        previews: whether a picture of slices through the lesions is written too.
        segmentation: masks are written as DICOM SEG, made by this; as images unless given.
    """

    folder: Path
    labels: Mapping[str, int]
    origin: Origin
    save_probabilities: bool = False
    save_uncertainty: bool = False
    previews: bool = False
    segmentation: Algorithm | None = None

    @property
    def maps(self) -> int:
        """How many maps of a number a voxel are written of each scan; they are made of its probabilities."""
        return (len(self.labels) - 1) * self.save_probabilities + self.save_uncertainty

    def mask(self, case: Case) -> Path:
        """The mask is named as its case, in its scan's format; for a DICOM series in NIfTI, or as DICOM SEG."""
        return self.folder / f"{case.id}{_DICOM_SEG if self.segmentation else _ending(case)}"

    def probability(self, case: Case, label: str) -> Path:
        return self.folder / "probabilities" / f"{case.id}_{file_part(label)}{_ending(case)}"

    def uncertainty(self, case: Case) -> Path:
        return self.folder / "uncertainty" / f"{case.id}_uncertainty{_ending(case)}"

    def preview(self, case: Case) -> Path:
        return self.folder / "previews" / f"{case.id}_overlay.png"

    def sidecar(self, case: Case) -> Path:
        return self.folder / f"{case.id}.json"

    def outputs(self, case: Case) -> list[Path]:
        """All that is written of a case, but its sidecar."""
        labels = [name for name, value in self.labels.items() if value]
        soft = [self.probability(case, label) for label in labels] if self.save_probabilities else []
        undecided_map = [self.uncertainty(case)] if self.save_uncertainty else []
        pictures = [self.preview(case)] if self.previews else []
        return [self.mask(case), *soft, *undecided_map, *pictures]

    def require_apart(self, cases: Sequence[Case]) -> None:
        """Raises InputError where a scan lies in the folder itself: a mask could take its place, or pass for one."""
        here = self.folder.resolve()
        for case in cases:
            files = [path for scan in case.images for path in (scan.files if isinstance(scan, Series) else (scan,))]
            if any(path.resolve().parent == here for path in files):
                raise InputError(
                    "the scans lie in the folder that the masks are to be written to",
                    case=case.id,
                    file=self.folder,
                    remedy="Give -o a folder of its own, so that no mask takes the place of a scan.",
                )

    def in_another_format(self, cases: Sequence[Case]) -> list[Path]:
        """Masks of DICOM series that lie here as images where DICOM SEG is written, or the other way round."""
        ending = _NIFTI if self.segmentation else _DICOM_SEG
        series = [case for case in cases if isinstance(case.images[0], Series)]
        return [path for case in series if (path := self.folder / f"{case.id}{ending}").is_file()]

    def kept(self, case: Case, made_from: str) -> Sidecar | None:
        """The sidecar of what is already there and was made from the same model, scan and options."""
        path = self.sidecar(case)
        if not path.is_file() or not all(output.is_file() for output in self.outputs(case)):
            return None
        try:
            sidecar = read_stored(Sidecar, path)
        except InputError:  # another program's file of that name: the mask is made anew
            return None
        return sidecar if sidecar.made_from == made_from and mask_state(self.folder, sidecar) == "as written" else None

    def edited(self, case: Case) -> Sidecar | None:
        """The sidecar of this case, of the mask as it was edited; None where it was not.

        Raises:
            InputError: the edited mask can't be measured.
        """
        try:
            sidecar = read_stored(Sidecar, self.sidecar(case))
        except InputError:
            return None
        here = sidecar.mask == self.mask(case).name and mask_state(self.folder, sidecar) == "edited"
        return corrected(self.folder, sidecar) if here else None

    def of_earlier_commands(self, cases: Sequence[str]) -> tuple[list[Sidecar], list[str], list[VmsegError]]:
        """Other cases that lie here: their sidecars, the cases whose mask is gone, and what can't be measured."""
        found: list[Sidecar] = []
        gone: list[str] = []
        errors: list[VmsegError] = []
        for path in sorted(self.folder.glob("*.json")):
            try:
                sidecar = read_stored(Sidecar, path)
            except InputError:  # another program's file
                continue
            if sidecar.case in cases or sidecar.case != path.stem:
                continue
            try:
                match mask_state(self.folder, sidecar):
                    case "as written":
                        found.append(sidecar)
                    case "edited":
                        found.append(corrected(self.folder, sidecar))
                    case "damaged":
                        problem, remedy = "the mask is damaged", "Predict its scan again, or delete the mask."
                        raise InputError(problem, case=sidecar.case, file=self.folder / sidecar.mask, remedy=remedy)
                    case "missing":
                        gone.append(sidecar.case)
            except InputError as error:
                errors.append(error)
        return found, gone, errors

    def write(
        self, case: Case, made_from: str, image: NDArray[np.float32], prediction: Prediction, unlike: Sequence[str]
    ) -> Sidecar:
        """Write all of a case, the sidecar last.

        Args:
            case: whose it is.
            made_from: hash of model, scan and options.
            image: the scan [C, Z, Y, X].
            prediction: of it.
            unlike: what sets the scan apart from those that the model knows.

        Raises:
            VmsegError: a file can't be written.
        """
        self.sidecar(case).unlink(missing_ok=True)  # until the new mask is whole, nothing vouches for it
        geometry = prediction.geometry
        if self.maps:
            self._write_maps(case, prediction)
        self._write_mask(case, prediction)
        if self.previews:
            from vmseg_auto.ops.overlays import draw_overlay  # loads matplotlib

            draw_overlay(image[0], prediction.mask, geometry, self.labels, self.preview(case), case.id)
        rows = tuple(volume_rows(case.id, image[0], prediction.mask, geometry, self.labels))
        by_hand = geometry.spacing_mm if geometry.spacing_given else None
        judgement = Judgement(case.id, prediction.trust, tuple(unlike), spacing_given_mm=by_hand)
        mask = self.mask(case)
        sidecar = Sidecar(case.id, made_from, mask.name, _sha256(mask), rows, judgement, self.origin, dict(self.labels))
        write_sealed(self.sidecar(case), sidecar.to_json())
        return sidecar

    def _write_maps(self, case: Case, prediction: Prediction) -> None:
        assert prediction.probabilities is not None
        if self.save_probabilities:
            for index, label in enumerate(sorted(self.labels, key=lambda name: self.labels[name])):
                if index:
                    write_image(self.probability(case, label), prediction.probabilities[index], prediction.geometry)
        if self.save_uncertainty:
            write_image(self.uncertainty(case), undecided(prediction.probabilities), prediction.geometry)

    def _write_mask(self, case: Case, prediction: Prediction) -> None:
        if self.segmentation is None:
            write_mask(self.mask(case), prediction.mask, prediction.geometry)
            return
        from vmseg_auto.io.dicom_seg import write_dicom_seg  # only where it is asked for

        series = case.images[0]
        assert isinstance(series, Series), "made_by takes no other scans"
        write_dicom_seg(self.mask(case), prediction.mask, prediction.geometry, self.labels, series, self.segmentation)

    def write_table(
        self, sidecars: Sequence[Sidecar], calibration: Calibration | None, model: str | None = None
    ) -> None:
        """Write volumes.csv; the calibration is that of one model's masks, of all unless its hash is given."""
        known = {one.case: calibration if model in (None, one.model_hash) else None for one in sidecars}
        rows = (row for sidecar in sidecars for row in sidecar.rows(known[sidecar.case]))
        write_csv(self.folder / "volumes.csv", (*VOLUME_COLUMNS, *INTERVAL_COLUMNS, *CASE_COLUMNS), rows)


def made_by(model: str, cases: Sequence[Case]) -> Algorithm:
    """What is recorded in the DICOM SEG of these cases.

    Args:
        model: digest of the model and its options.

    Raises:
        InputError: a scan is no DICOM series.
    """
    from vmseg_auto.io.dicom_seg import Algorithm

    if others := [case for case in cases if not isinstance(case.images[0], Series)]:
        raise InputError(
            f"a DICOM SEG refers to a DICOM series, but {len(others)} of {len(cases)} scans are image files",
            case=others[0].id,
            file=others[0].file,
            remedy="Give the DICOM series they were made from, or write NIfTI (--format nifti).",
        )
    return Algorithm("vmseg_auto", __version__, model)


def volume_rows(
    case: str, image: NDArray[np.float32] | None, mask: NDArray[np.uint8], geometry: Geometry, labels: Mapping[str, int]
) -> Iterator[dict[str, Any]]:
    """Rows of volumes.csv: for each label its total ("all"), then its connected components, the largest first.

    Args:
        case: its id.
        image: the scan's first channel [Z, Y, X], in which margins are measured; they are not without.
        mask: label values [Z, Y, X].
        geometry: of both.
        labels: name -> value.
    """
    for label, value in labels.items():
        if value == 0:
            continue
        inside = mask == value
        whole, pieces = measure(inside, geometry)
        yield {**_names(case, label, "all"), **_size_columns(whole), "components": len(pieces)}
        for number, piece in enumerate(pieces, 1):
            row = {**_names(case, label, number), **_size_columns(piece.size)}
            if image is not None:
                row["margin_width_mm"] = margin_width_mm(image, piece.lesion, inside, geometry.spacing_mm)
            yield row


def _names(case: str, label: str, component: str | int) -> dict[str, Any]:
    return {"case": case, "label": label, "component": component}


def _size_columns(size: Size) -> dict[str, Any]:
    """SIZE_COLUMNS."""
    return {column: getattr(size, column) for column in SIZE_COLUMNS}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require_whole(path: Path) -> None:
    """Raises InputError where a mask can't be read whole."""
    if path.suffix != _DICOM_SEG:
        read_mask(path)
        return
    from vmseg_auto.io.dicom_seg import require_whole

    require_whole(path)


def _ending(case: Case) -> str:
    scan = case.images[0]
    ending = _NIFTI if isinstance(scan, Series) else ending_of(scan.name)
    assert ending is not None, "find_scans takes no other files"
    return ending
