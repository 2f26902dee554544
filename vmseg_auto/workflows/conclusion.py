"""What stands in a folder of masks once its scans are predicted: the tables of all of them, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vmseg_auto.data.dataset import Case
from vmseg_auto.data.sources import write_sources
from vmseg_auto.evaluation.confidence import Calibration
from vmseg_auto.evaluation.expected_quality import UNCALIBRATED, most_doubtful, traffic_lights, where_to_look
from vmseg_auto.utils.console import Console, counted, listed, quoted
from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.workflows.prediction_record import PredictionRecord
from vmseg_auto.workflows.prediction_writer import PredictionWriter
from vmseg_auto.workflows.viewers import opening_words, write_label_file


@dataclass(frozen=True)
class Conclusion:
    """The masks of one command among those that lie in the same folder.

    Args:
        writer: where they lie.
        records: records of the masks that the command has made or kept, sorted by case.
        calibration: of its model.
        model: hash of the model and its options.
    """

    writer: PredictionWriter
    records: Sequence[PredictionRecord]
    calibration: Calibration | None
    model: str

    @cached_property
    def _earlier(self) -> tuple[list[PredictionRecord], list[str], list[VmsegError]]:
        return self.writer.of_earlier_commands({record.case for record in self.records})

    @cached_property
    def _table(self) -> list[PredictionRecord]:
        return sorted([*self.records, *self._earlier[0]], key=lambda record: record.case)

    def write(self, cases: Sequence[Case], inputs: Path) -> None:
        """Write volumes.csv, sources.csv and the labels for ITK-SNAP; nothing where no mask was made or kept.

        Args:
            cases: of the command; those without a mask are left out.
            inputs: the folder or file that was given.

        Raises:
            VmsegError: a file can't be written.
        """
        if not self.records:
            return
        self.writer.write_table(self._table, self.calibration, self.model)
        own = {record.case for record in self.records}
        others, _, unmeasured = self._earlier
        standing = {one.case for one in others} | {error.case for error in unmeasured if error.case}
        with_mask = [case for case in cases if case.id in own]
        write_sources(self.writer.folder, with_mask, inputs, self.writer.source.inputs, standing)
        if self.writer.writes_images:
            write_label_file(self.writer.folder, self.writer.labels)

    def say(self, kept: int, console: Console) -> None:
        """Say what the folder holds, and which of the new masks to look at first.

        Args:
            kept: how many of the masks had been there before.
            console: where it is said.
        """
        if not self.records:
            return
        self._say_of_files(console)
        self._say_of_others(console)
        console.say(f"{counted(len(self.records), 'mask')} and volumes.csv in the folder {self.writer.folder}")
        judged = [record.judgement for record in self.records]
        if before := kept - sum(one.corrected for one in judged):
            console.say(f"{before} of them had been made before, from the same scans by the same model, and were kept.")
        if known := [record.case for record in self.records if record.in_training]:
            console.warn(
                f"the model was trained on these very scans: {listed(known)}. Their masks and scores are better than "
                "those of new patients will be."
            )
        if self.calibration is None:
            console.say(UNCALIBRATED)
            return
        if lights := traffic_lights(judged, self.calibration):
            console.say(lights)
        self._say_of_volumes(self.calibration, console)
        if doubtful := where_to_look(judged, self.calibration):
            console.warn(doubtful)

    def _say_of_volumes(self, calibration: Calibration, console: Console) -> None:
        """Of which labels no interval is told, and where nothing was found; and what validation scans tell of that."""
        for label, told in calibration.volumes.items():
            if told.found is None:
                console.say(f"No interval of the volumes of {label}: {told.why_no_interval(found=True)}.")
            if empty := [record.case for record in self.records if label in record.empty]:
                console.say(f"No {label} was found in {listed(empty)}. In cross-validation {told.nothing.text()}.")

    def say_how_to_look(self, cases: Sequence[Case], console: Console) -> None:
        """Say how the most doubtful mask is opened with its scan. No log keeps that: a path may name a patient."""
        if not self.records:
            return
        first = most_doubtful([record.judgement for record in self.records], self.calibration)
        record = next(record for record in self.records if record.case == first)
        scan = next(case for case in cases if case.id == first).images[0]
        files = [self.writer.folder / one.file for one in record.masks]
        console.show("\n".join(opening_words(first, scan, files[:1] if record.judgement.corrected else files)))
        if self.writer.writes_images:
            console.say(f"All on one page: `vmseg_report -i {quoted(self.writer.folder)}`")

    def _say_of_files(self, console: Console) -> None:
        """Name the masks that were corrected, and files that hold something else than the mask beside them."""
        folder = self.writer.folder
        if edited := [one for one in self._table if one.judgement.corrected]:
            console.warn(
                f"corrected by hand after they were predicted, and kept: {listed([one.mask for one in edited])}. "
                "volumes.csv measures them as they are, without interval, expected Dice and traffic light. "
                "--overwrite-edited makes those of the scans given anew."
            )
        if behind := [file for one in edited for file in one.files_beside(folder)]:
            console.warn(f"beside a corrected mask, and still as it was predicted: {listed(behind)}")
        if outdated := [one.file for each in self._table for one in each.outdated if (folder / one.file).is_file()]:
            console.warn(
                f"of earlier predictions in another format, and left as they are: {listed(outdated)}. They no longer "
                "count; delete what is not wanted."
            )

    def _say_of_others(self, console: Console) -> None:
        """Say what volumes.csv tells, or no longer tells, of earlier commands' masks."""
        others, gone, unmeasured = self._earlier
        if others:
            console.say(f"volumes.csv also tells of {counted(len(others), 'mask')} of earlier commands.")
        if foreign := [one.case for one in others if one.model_hash != self.model]:
            console.warn(f"made by another model, so that volumes.csv tells no interval of them: {listed(foreign)}")
        if gone:
            console.warn(f"their masks are gone, and so are their rows of volumes.csv: {listed(gone)}")
        for error in unmeasured:
            console.warn(f"not in volumes.csv: {error}")
