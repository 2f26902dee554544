"""What stands in a folder of masks once its scans are predicted: the tables of all of them, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vmseg_auto.data.dataset import Case
from vmseg_auto.data.failures import write_failures
from vmseg_auto.data.sources import write_sources
from vmseg_auto.evaluation.confidence import Calibration
from vmseg_auto.evaluation.expected_quality import UNCALIBRATED, most_doubtful, traffic_lights, where_to_look
from vmseg_auto.utils.console import Console, quoted
from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.utils.text import counted, listed
from vmseg_auto.workflows.prediction_record import DAMAGED, InPlace, PredictionRecord
from vmseg_auto.workflows.prediction_writer import PredictionWriter
from vmseg_auto.workflows.viewers import opening_words, write_label_file


@dataclass(frozen=True)
class Done:
    """A scan's mask that a command has made or kept.

    Args:
        mask: as it stands.
        kept: whether it was there before.
        why: what of the mask that it took the place of did not hold; empty where there was none.
        replaced: masks corrected by hand that were set aside for it, by their new places in the folder.
    """

    mask: InPlace
    kept: bool = False
    why: str = ""
    replaced: tuple[str, ...] = ()

    @property
    def case(self) -> str:
        return self.mask.case


@dataclass(frozen=True)
class Conclusion:
    """The masks of one command among those that lie in the same folder.

    Args:
        writer: where they lie.
        done: the masks that the command has made or kept, sorted by case.
        failed: why the others of its scans have none.
        calibration: of its model.
        model: hash of the model and its options.
    """

    writer: PredictionWriter
    done: Sequence[Done]
    failed: Sequence[VmsegError]
    calibration: Calibration | None
    model: str

    @cached_property
    def _earlier(self) -> tuple[list[InPlace], list[str], list[VmsegError]]:
        return self.writer.of_earlier_commands({one.case for one in self.done})

    @cached_property
    def _table(self) -> list[InPlace]:
        return sorted([*(one.mask for one in self.done), *self._earlier[0]], key=lambda mask: mask.case)

    def write(self, cases: Sequence[Case], inputs: Path) -> None:
        """Write volumes.csv, sources.csv and the labels for ITK-SNAP, where any mask was made or kept; and failed.csv.

        Args:
            cases: of the command; those without a mask are left out of sources.csv.
            inputs: the folder or file that was given.

        Raises:
            VmsegError: a file can't be written.
        """
        folder, source = self.writer.folder, self.writer.source.inputs
        write_failures(folder, self.failed, [case.id for case in cases], source)
        if not self.done:
            return
        self.writer.write_table([one.record for one in self._table], self.calibration, self.model)
        own = {one.case for one in self.done}
        others, _, unmeasured = self._earlier
        standing = {one.case for one in others} | {error.case for error in unmeasured if error.case}
        write_sources(folder, [case for case in cases if case.id in own], inputs, source, standing)
        if self.writer.writes_images:
            write_label_file(folder, self.writer.labels)

    def say(self, console: Console) -> None:
        """Say what the folder holds, and which of the new masks to look at first."""
        if not self.done:
            return
        self._say_of_changes(console)
        self._say_of_files(console)
        self._say_of_others(console)
        console.say(f"{counted(len(self.done), 'mask')} and volumes.csv in the folder {self.writer.folder}")
        records = [one.mask.record for one in self.done]
        judged = [record.judgement for record in records]
        if before := sum(one.kept and not one.mask.corrected for one in self.done):
            console.say(f"{before} of them had been made before, from the same scans by the same model, and were kept.")
        if known := [record.case for record in records if record.in_training]:
            console.warn(
                f"the model was trained on these very scans: {listed(known)}. Their masks and scores are better than "
                "those of new patients will be."
            )
        self._say_of_left_out(console)
        if self.calibration is None:
            console.say(UNCALIBRATED)
            return
        if lights := traffic_lights(judged, self.calibration):
            console.say(lights)
        self._say_of_volumes(self.calibration, console)
        if doubtful := where_to_look(judged, self.calibration):
            console.warn(doubtful)

    def _say_of_left_out(self, console: Console) -> None:
        """Say how many components the lesion filter has left out, and name the scans of which it has left nothing."""
        records = [one.mask.record for one in self.done]
        if number := sum(len(record.left_out) for record in records):
            scans = sum(bool(record.left_out) for record in records)
            console.say(
                f"The lesion filter has left out {counted(number, 'component')} in {counted(scans, 'scan')}, which "
                "are in no mask: volumes.csv tells how many and how large, and CASE.json where. "
                "`--min-lesion-probability 0` keeps all."
            )
        if emptied := [record for record in records if record.emptied]:
            console.warn(
                f"the lesion filter has left nothing of what was predicted: {''.join(map(_emptied, emptied))}\nLook at "
                "these scans: a lesion may have been left out"
            )

    def _say_of_volumes(self, calibration: Calibration, console: Console) -> None:
        """Name the labels without an interval, and where nothing was found; and what validation scans tell of that."""
        for label, told in calibration.volumes.items():
            if told.found is None:
                console.say(f"No interval of the volumes of {label}: {told.why_no_interval(found=True)}.")
            if empty := [one.case for one in self.done if label in one.mask.record.empty]:
                console.say(f"No {label} was found in {listed(empty)}. In cross-validation {told.nothing.text()}.")

    def say_how_to_look(self, cases: Sequence[Case], console: Console) -> None:
        """Say how the most doubtful mask is opened with its scan. No log keeps that: a path may name a patient."""
        if not self.done:
            return
        first = most_doubtful([one.mask.record.judgement for one in self.done], self.calibration)
        mask = next(one.mask for one in self.done if one.case == first)
        scan = next(case for case in cases if case.id == first).images[0]
        files = [mask.there.mask, *(path for path in mask.there.sound if path != mask.there.mask)]
        console.show("\n".join(opening_words(first, scan, files[:1] if mask.corrected else files)))
        if self.writer.writes_images:
            console.say(f"All on one page: `vmseg_report -i {quoted(self.writer.folder)}`")

    def _say_of_changes(self, console: Console) -> None:
        """Name the masks whose place this command's have taken, and why."""
        if replaced := [name for one in self.done for name in one.replaced]:
            console.warn(
                f"corrected by hand, and replaced as --overwrite-edited says: {listed(replaced)}. They are kept in "
                f"{self.writer.folder} under these names, and count no more."
            )
        reasons: dict[str, list[str]] = {}
        for one in self.done:
            if one.why:
                reasons.setdefault(one.why, []).append(one.mask.there.mask.name)
        for why, names in reasons.items():
            tell = console.warn if why == DAMAGED else console.say
            tell(f"made anew, as the mask that lay there was {why}: {listed(names)}")

    def _say_of_files(self, console: Console) -> None:
        """Name the masks that were corrected, and files that hold something else than the mask beside them."""
        if edited := [one.there.mask.name for one in self._table if one.corrected]:
            console.warn(
                f"corrected by hand after they were predicted, and kept: {listed(edited)}. "
                "volumes.csv measures them as they are, without interval, expected Dice and traffic light. "
                "--overwrite-edited makes those of the scans given anew."
            )
        if behind := [path.name for one in self._table for path in one.there.behind]:
            console.warn(f"beside a corrected mask, and still as it was predicted: {listed(behind)}")
        if earlier := [path.name for one in self._table for path in one.there.files.earlier]:
            console.warn(
                f"of earlier predictions in another format, and left as they are: {listed(earlier)}. They no longer "
                "count; delete what is not wanted."
            )
        if damaged := [path.name for one in self._table for path in one.there.files.damaged]:
            console.warn(
                f"damaged, while another file of the mask is whole and counts: {listed(damaged)}. Delete them, or name "
                "their format with --format to have them made anew."
            )

    def _say_of_others(self, console: Console) -> None:
        """Say what volumes.csv tells, or no longer tells, of earlier commands' masks."""
        others, gone, unmeasured = self._earlier
        if others:
            console.say(f"volumes.csv also tells of {counted(len(others), 'mask')} of earlier commands.")
        if foreign := [one.case for one in others if one.record.model_hash != self.model]:
            console.warn(f"made by another model, so that volumes.csv tells no interval of them: {listed(foreign)}")
        if gone:
            console.warn(f"their masks are gone, and so are their rows of volumes.csv: {listed(gone)}")
        told = {str(error) for error in self.failed}
        for error in unmeasured:
            if str(error) not in told:
                console.warn(f"not in volumes.csv: {error}")


def _emptied(record: PredictionRecord) -> str:
    """Describe in a line what the lesion filter has left out of a scan of which it has left nothing."""
    parts = []
    for label in record.emptied:
        gone = [one for one in record.left_out if one.label == label]
        likely = max(gone, key=lambda one: one.p_lesion)
        largest = max(one.volume_ml for one in gone)
        parts.append(
            f"{counted(len(gone), 'component')} of {label} (the largest of {largest:.2f} mL; the highest p_lesion is "
            f"{likely.p_lesion:.2f})"
        )
    return f"\n  {record.case}: {'; '.join(parts)}"
