"""What is written of a predicted scan: mask, maps, preview, a record that vouches for them; and a table of all."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.dataset import Case
from vmseg_auto.data.dicom.series import Series
from vmseg_auto.data.images.images import write_image
from vmseg_auto.data.mask_files import MaskFile, Standing, case_files, files_of, mask_sha256
from vmseg_auto.data.set_aside import places_aside, set_aside
from vmseg_auto.evaluation.confidence import Calibration
from vmseg_auto.evaluation.expected_quality import CALIBRATED_COLUMNS, CASE_COLUMNS, Judgement
from vmseg_auto.inference.predictor import Prediction
from vmseg_auto.inference.uncertainty import undecided
from vmseg_auto.networks.transfer_record import Seen
from vmseg_auto.utils.atomic import put_in_place, read_stored, scratch_folder, whole_files, write_sealed
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.labels import Labels, file_part, foreground_labels, regions_of
from vmseg_auto.utils.tables import write_csv
from vmseg_auto.utils.text import listed
from vmseg_auto.workflows.mask_formats import IMAGES, FinishedMask, MaskFormat, map_ending, mask_name
from vmseg_auto.workflows.prediction_record import (
    VOLUME_COLUMNS,
    InPlace,
    InputSource,
    PredictionRecord,
    image_sha256,
    volume_rows,
)

if TYPE_CHECKING:
    from vmseg_auto.data.dicom.results import Algorithm

_EDITED = "Move it away, or give --overwrite-edited to replace it."


@dataclass(frozen=True)
class PredictionWriter:
    """Where the results of one command go, and which of them were asked for.

    Args:
        folder: of the masks.
        labels: name -> value.
        source: of the scans.
        save_probabilities: whether each label's probability is written too.
        save_uncertainty: whether a map of how undecided the prediction is, is written too.
        previews: whether a picture of slices through the lesions is written too.
        formats: of the masks; the first one's file is the mask that counts.
        algorithm: what is recorded in DICOM files; needed for these alone.
        overwrite_edited: whether masks that somebody has changed are made anew.
        seen: the scans that the model was trained on.
        asked_least: the probability that a user has said, below which components are left out; None where none was.
        calibration: of the model, for the intervals that pictures tell.
        backend: what computes the networks.
    """

    folder: Path
    labels: Mapping[str, int]
    source: InputSource
    save_probabilities: bool = False
    save_uncertainty: bool = False
    previews: bool = False
    formats: tuple[MaskFormat, ...] = ("nifti",)
    algorithm: Algorithm | None = None
    overwrite_edited: bool = False
    seen: Seen = field(default_factory=partial(Seen, whole=False))
    asked_least: float | None = None
    calibration: Calibration | None = None
    backend: str = "torch"

    @property
    def maps(self) -> int:
        """How many maps of a number a voxel are written of each scan; they are made of its probabilities."""
        return (len(self.labels) - 1) * self.save_probabilities + self.save_uncertainty

    @property
    def writes_images(self) -> bool:
        """Whether any mask is written that image viewers open."""
        return not IMAGES.isdisjoint(self.formats)

    def masks(self, case: Case) -> list[Path]:
        """Return a file for each format."""
        return [self.folder / mask_name(case, each) for each in self.formats]

    def probability(self, case: Case, label: str) -> Path:
        """Return the path of a label's probabilities, in a folder for each label: no two cases and labels meet in one
        name.
        """
        return self.folder / "probabilities" / file_part(label) / f"{case.id}{map_ending(case)}"

    def uncertainty(self, case: Case) -> Path:
        return self.folder / "uncertainty" / f"{case.id}_uncertainty{map_ending(case)}"

    def preview(self, case: Case) -> Path:
        return self.folder / "previews" / f"{case.id}_overlay.png"

    def record_file(self, case: Case) -> Path:
        return self.folder / f"{case.id}.json"

    def beside(self, case: Case) -> list[Path]:
        """Return all that is written of a case beside its mask and its record."""
        return [*self.map_paths(case), *([self.preview(case)] if self.previews else [])]

    def map_paths(self, case: Case) -> list[Path]:
        """Return the maps that are written of a case."""
        labels = [name for name, value in self.labels.items() if value]
        soft = [self.probability(case, label) for label in labels] if self.save_probabilities else []
        return [*soft, *([self.uncertainty(case)] if self.save_uncertainty else [])]

    def map_file(self, path: Path) -> MaskFile:
        """Return what the record tells of a map, by the file as it is."""
        return replace(MaskFile.of(path), file=self.within(path))

    def record(self, case: Case) -> PredictionRecord | None:
        """Return the record of what lies here of a case; None where there is none, or another program's file of its
        name.
        """
        try:
            found = read_stored(PredictionRecord, self.record_file(case))
        except InputError:
            return None
        return found if found.case == case.id else None

    def note_kept_scan(self, record: PredictionRecord) -> PredictionRecord:
        """Return the record of a mask that stays, written anew where its scan was not kept before and is now."""
        if record.source.kept or not self.source.kept:
            return record
        record = replace(record, source=self.source)
        write_sealed(self.folder / f"{record.case}.json", record.to_json())
        return record

    def require_known(self, case: Case) -> None:
        """Raise InputError where a mask lies here that no record tells of: somebody may have corrected it."""
        if self.overwrite_edited or self.record(case) is not None:
            return
        if there := files_of(self.folder, case.id):
            names = listed([path.name for path in there])
            raise InputError(
                f"{names} lies where its mask is to go, and no record of this program tells what it is: it may have "
                "been corrected by hand",
                case=case.id,
                file=there[0],
                remedy=_EDITED,
            )

    def standing(self, record: PredictionRecord) -> Standing:
        """Return what stands here of a mask.

        Raises:
            InputError: several of its files were changed, and they are not to be overwritten.
        """
        if self.overwrite_edited and (corrected := record.corrections(self.folder)):
            return Standing(corrected[0], "edited", case_files(self.folder, record.written))
        return record.standing(self.folder)

    def kept(self, case: Case, made_from: str) -> InPlace | None:
        """Return the mask that is already there and was made from the same model, scan and options."""
        record = self.record(case)
        if record is None or record.made_from != made_from or not all(path.is_file() for path in self.beside(case)):
            return None
        if not all(self.map_file(path) in record.maps for path in self.map_paths(case)):
            return None
        there = self.standing(record)
        asked = self.masks(case)
        if there.state != "as written" or not set(asked) <= set(there.sound):
            return None
        return InPlace(record, replace(there, mask=asked[0]), record.mask_sha256)

    def require_same_scan(self, case: Case, record: PredictionRecord, image: NDArray[np.float32]) -> None:
        """Make sure that a mask of another scan, which only has the same name, is not overwritten.

        The same voxels are the same scan, in whatever file. Others at the same place are the scan as it is now, and
        replace it; but a mask that was corrected on the scan as it was is not taken for one of this.

        Raises:
            InputError: the mask is that of another scan.
        """
        if record.image_sha256 == image_sha256(image):
            return
        there = self.standing(record)
        if there.state == "missing":
            return
        if not self.source.same_place(record.source, self.folder, case.file):
            before = (self.folder / record.source.inputs).resolve()
            raise InputError(
                f"{there.mask.name} in the output folder is the mask of another scan of the same name, from {before}",
                case=case.id,
                file=case.file,
                remedy="Give -o another folder, or move that mask away.",
            )
        if there.state == "edited" and not self.overwrite_edited:
            problem = "the mask was corrected by hand, and its scan has changed since"
            raise InputError(problem, case=case.id, file=there.mask, remedy=_EDITED)

    def of_earlier_commands(self, cases: Collection[str]) -> tuple[list[InPlace], list[str], list[VmsegError]]:
        """Return other cases that lie here: their masks, cases whose mask is gone, and what can't be measured."""
        found: list[InPlace] = []
        gone: list[str] = []
        errors: list[VmsegError] = []
        for path in whole_files(self.folder, "*.json"):
            try:
                record = read_stored(PredictionRecord, path)
            except InputError:  # another program's file
                continue
            if record.case in cases or record.case != path.stem:
                continue
            try:
                there = record.standing(self.folder)
                if there.state == "damaged":
                    problem, remedy = "the mask is damaged", "Predict its scan again, or delete the mask."
                    raise InputError(problem, case=record.case, file=there.mask, remedy=remedy)
                if there.state == "missing":
                    gone.append(record.case)
                else:
                    found.append(InPlace.of(record, there))
            except InputError as error:
                errors.append(error)
        return found, gone, errors

    def write(
        self, case: Case, made_from: str, image: NDArray[np.float32], prediction: Prediction, unlike: Sequence[str]
    ) -> PredictionRecord:
        """Write all of a case.

        The record is written before its masks get their names, and tells of the former ones too: wherever this is cut
        short, each file that lies there is known as what it is. Masks corrected by hand are set aside last of all.

        Args:
            case: whose it is.
            made_from: hash of model, scan and options.
            image: the scan [C, Z, Y, X].
            prediction: of it.
            unlike: what sets the scan apart from those that the model knows.

        Raises:
            InputError: a mask was corrected while its scan was predicted, and is not to be overwritten.
            VmsegError: a file can't be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        also: list[MaskFile] = []
        earlier = self.record(case)
        aside = places_aside(self.folder, self._corrections(case, earlier))
        if earlier:
            also = self._other_formats(case, earlier) if earlier.made_from == made_from else []
            write_sealed(
                self.record_file(case), replace(earlier, made_from="").to_json()
            )  # maps change before the mask
        if self.maps:
            self._write_maps(case, prediction)
        if self.previews:
            from vmseg_auto.figures.overlays import draw_overlay  # loads matplotlib

            draw_overlay(image[0], prediction.mask, prediction.geometry, self.labels, self.preview(case), case.id)
        record = self._record_of(case, made_from, image, prediction, unlike)
        record = replace(record, maps=self._maps(case, earlier if earlier and earlier.made_from == made_from else None))
        finished = FinishedMask(
            case,
            prediction.mask,
            prediction.geometry,
            self.labels,
            self.algorithm,
            image[0],
            tuple(record.rows(self.calibration)),
        )
        with scratch_folder(self.folder) as scratch:
            made = [scratch / path.name for path in self.masks(case)]
            for path, each in zip(made, self.formats, strict=True):
                finished.write(path, each)
            others = [path for path in files_of(self.folder, case.id) if path not in aside]
            record = replace(
                record,
                masks=(*(MaskFile.of(path) for path in made), *also),
                outdated=tuple(one for path in others if (one := MaskFile.of(path)) not in also),
                replaced=(
                    *(earlier.replaced if earlier else ()),
                    *(replace(MaskFile.of(path), file=self.within(place)) for path, place in aside.items()),
                ),
                reviews=earlier.reviews if earlier else (),
            )
            write_sealed(self.record_file(case), record.to_json())
            set_aside(aside)
            for path in made:
                put_in_place(path, self.folder / path.name)
        names = {one.file for one in record.masks}
        record = replace(record, outdated=tuple(one for one in record.outdated if one.file not in names))
        write_sealed(self.record_file(case), record.to_json())
        return record

    def within(self, path: Path) -> str:
        """Name a file of the folder by its place in it."""
        return path.relative_to(self.folder).as_posix()

    def _record_of(
        self,
        case: Case,
        made_from: str,
        image: NDArray[np.float32],
        prediction: Prediction,
        unlike: Sequence[str],
    ) -> PredictionRecord:
        """Return the record, without the files that are still to be written."""
        by_hand = prediction.geometry.spacing_mm if prediction.geometry.spacing_given else None
        record = PredictionRecord(
            case.id,
            made_from,
            image_sha256(image),
            (),
            mask_sha256(prediction.mask),
            tuple(
                volume_rows(
                    case.id,
                    image[0],
                    prediction.mask,
                    prediction.geometry,
                    self.labels,
                    prediction.p_lesion,
                    prediction.left_out,
                )
            ),
            Judgement(
                case.id,
                prediction.confidence,
                tuple(unlike),
                spacing_given_mm=by_hand,
                asked_least=self.asked_least,
            ),
            self.source,
            Labels(self.labels, regions_of(self.labels)),
            replace(prediction.geometry, forms=None, doubts=()),
        )
        seen = self.seen.holds(record.scan_hash)
        if not seen and any(isinstance(scan, Series) for scan in case.images):
            seen = None  # a dataset holds image files made of the series, whose hashes are others
        return replace(record, in_training=seen, left_out=prediction.left_out, backend=self.backend)

    def _corrections(self, case: Case, earlier: PredictionRecord | None) -> list[Path]:
        """Return the masks that are to be set aside: those corrected by hand, or that no record tells of."""
        found = earlier.corrections(self.folder) if earlier else files_of(self.folder, case.id)
        if found and not self.overwrite_edited:
            problem = "the mask was corrected by hand while its scan was being predicted, and is kept"
            raise InputError(problem, case=case.id, file=found[0], remedy=_EDITED)
        return found

    def _other_formats(self, case: Case, earlier: PredictionRecord) -> list[MaskFile]:
        """Return the files of the same mask in formats that are not asked for now, as they are.

        A report is none of them where its DICOM SEG is made anew: it refers to the former one.
        """
        asked = self.masks(case)
        if "dicom-seg" in self.formats:
            asked.append(self.folder / mask_name(case, "dicom-sr"))
        return [MaskFile.of(path) for path in case_files(self.folder, earlier.written).sound if path not in asked]

    def _maps(self, case: Case, earlier: PredictionRecord | None) -> tuple[MaskFile, ...]:
        """Return the maps that have been written, and those of an earlier command that made the same mask."""
        new = [self.map_file(path) for path in self.map_paths(case)]
        names = {one.file for one in new}
        return (*new, *(one for one in (earlier.maps if earlier else ()) if one.file not in names))

    def _write_maps(self, case: Case, prediction: Prediction) -> None:
        assert prediction.probabilities is not None
        if self.save_probabilities:
            for label, likely in zip(foreground_labels(self.labels), prediction.probabilities[1:], strict=True):
                write_image(self.probability(case, label), likely, prediction.geometry)
        if self.save_uncertainty:
            doubt = undecided(prediction.probabilities, bool(regions_of(self.labels)))
            write_image(self.uncertainty(case), doubt, prediction.geometry)

    def write_table(
        self, records: Sequence[PredictionRecord], calibration: Calibration | None, model: str | None = None
    ) -> None:
        """Write volumes.csv; the calibration is that of one model's masks, of all unless its hash is given."""
        known = {one.case: calibration if model in (None, one.model_hash) else None for one in records}
        rows = (row for record in records for row in record.rows(known[record.case]))
        write_csv(self.folder / "volumes.csv", (*VOLUME_COLUMNS, *CALIBRATED_COLUMNS, *CASE_COLUMNS), rows)
