"""What is written of a predicted scan: mask, probabilities, and a sidecar that vouches for them; and their table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from vmseg_auto import __version__
from vmseg_auto.core.codec import decode, encode
from vmseg_auto.core.dataset import Case
from vmseg_auto.core.errors import InputError
from vmseg_auto.core.geometry import Geometry
from vmseg_auto.core.series import Series
from vmseg_auto.core.trust import Calibration
from vmseg_auto.io.atomic import read_json, write_json
from vmseg_auto.io.images import ending_of, write_image, write_mask
from vmseg_auto.io.tables import write_csv
from vmseg_auto.ops.components import component_volumes
from vmseg_auto.pipeline.expected import CASE_COLUMNS, Judgement
from vmseg_auto.stages.predict import Prediction

if TYPE_CHECKING:
    from vmseg_auto.io.dicom_seg import Algorithm

MaskFormat = Literal["nifti", "dicom-seg"]
VOLUME_COLUMNS = ("case", "label", "component", "volume_ml", "voxels")


@dataclass(frozen=True)
class Sidecar:
    """CASE.json beside each mask: what it was made from, what it holds, and how far it can be trusted."""

    case: str
    made_from: str
    volumes: tuple[dict[str, Any], ...]
    judgement: Judgement
    schema: int = 1

    def rows(self, calibration: Calibration | None) -> Iterator[dict[str, Any]]:
        """Of volumes.csv; what is said of the whole case stands in the rows of its totals."""
        for row in self.volumes:
            yield row | self.judgement.columns(calibration) if row["component"] == "all" else row


@dataclass(frozen=True)
class Delivery:
    """Where the results of one command go, and which of them were asked for.

    Args:
        folder: of the masks.
        labels: name -> value.
        save_probabilities: whether each label's probability is written too.
        segmentation: masks are written as DICOM SEG, made by this; as images unless given.
    """

    folder: Path
    labels: Mapping[str, int]
    save_probabilities: bool = False
    segmentation: Algorithm | None = None

    def mask(self, case: Case) -> Path:
        """The mask is named as its case, in its scan's format; for a DICOM series in NIfTI, or as DICOM SEG."""
        return self.folder / f"{case.id}{'.dcm' if self.segmentation else _ending(case)}"

    def probability(self, case: Case, label: str) -> Path:
        return self.folder / "probabilities" / f"{case.id}_{label}{_ending(case)}"

    def sidecar(self, case: Case) -> Path:
        return self.folder / f"{case.id}.json"

    def outputs(self, case: Case) -> list[Path]:
        """All that is written of a case, but its sidecar."""
        labels = [name for name, value in self.labels.items() if value]
        soft = [self.probability(case, label) for label in labels] if self.save_probabilities else []
        return [self.mask(case), *soft]

    def kept(self, case: Case, made_from: str) -> Sidecar | None:
        """The sidecar of what is already there and was made from the same model, scan and options."""
        path = self.sidecar(case)
        if not path.is_file() or not all(output.is_file() for output in self.outputs(case)):
            return None
        try:
            sidecar = decode(Sidecar, read_json(path), str(path))
        except InputError:  # another program's file of that name: the mask is made anew
            return None
        return sidecar if sidecar.made_from == made_from else None

    def write(self, case: Case, made_from: str, prediction: Prediction, unlike: Sequence[str]) -> Sidecar:
        """Write all of a case, the sidecar last.

        Raises:
            VmsegError: a file can't be written.
        """
        self.sidecar(case).unlink(missing_ok=True)  # until the new mask is whole, nothing vouches for it
        geometry = prediction.geometry
        if prediction.probabilities is not None:
            for index, label in enumerate(sorted(self.labels, key=lambda name: self.labels[name])):
                if index:
                    write_image(self.probability(case, label), prediction.probabilities[index], geometry)
        self._write_mask(case, prediction)
        rows = tuple(volume_rows(case.id, prediction.mask, geometry, self.labels))
        sidecar = Sidecar(case.id, made_from, rows, Judgement(case.id, prediction.trust, tuple(unlike)))
        write_json(self.sidecar(case), encode(sidecar))
        return sidecar

    def _write_mask(self, case: Case, prediction: Prediction) -> None:
        if self.segmentation is None:
            write_mask(self.mask(case), prediction.mask, prediction.geometry)
            return
        from vmseg_auto.io.dicom_seg import write_dicom_seg  # only where it is asked for

        series = case.images[0]
        assert isinstance(series, Series), "made_by takes no other scans"
        write_dicom_seg(self.mask(case), prediction.mask, prediction.geometry, self.labels, series, self.segmentation)

    def write_table(self, sidecars: Sequence[Sidecar], calibration: Calibration | None) -> None:
        """Write volumes.csv."""
        rows = (row for sidecar in sidecars for row in sidecar.rows(calibration))
        write_csv(self.folder / "volumes.csv", (*VOLUME_COLUMNS, *CASE_COLUMNS), rows)


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
    case: str, mask: NDArray[np.uint8], geometry: Geometry, labels: Mapping[str, int]
) -> Iterator[dict[str, Any]]:
    """Rows of volumes.csv: for each label its total ("all"), then its connected components, the largest first."""
    for label, value in labels.items():
        if value == 0:
            continue
        sizes = component_volumes(mask == value)
        numbered: list[tuple[str | int, int]] = [("all", sum(sizes)), *enumerate(sizes, 1)]
        for component, voxels in numbered:
            volume = voxels * geometry.voxel_ml
            yield dict(zip(VOLUME_COLUMNS, (case, label, component, volume, voxels), strict=True))


def _ending(case: Case) -> str:
    scan = case.images[0]
    ending = ".nii.gz" if isinstance(scan, Series) else ending_of(scan.name)
    assert ending is not None, "find_scans takes no other files"
    return ending
