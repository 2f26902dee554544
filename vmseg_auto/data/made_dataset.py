"""A dataset that vmseg_make_dataset has made: its files by its key, and its dataset.json."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmseg_auto.data.dataset_json import OPTIONAL, Description, read_description
from vmseg_auto.data.dataset_key import KeyRow
from vmseg_auto.data.images.registry import USUAL
from vmseg_auto.utils.atomic import read_json, whole_files, write_json
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.labels import refuse_regions
from vmseg_auto.utils.text import listed

REGISTRATION = "registration"
"""The folder of a dataset with pictures of its further channels before and after they were registered."""
_TOLD = (".png", ".json")
_MEND = "Undo the change, or restore the file from a copy."


def key_beside(dataset: Path) -> Path:
    """Return where a dataset's key lies unless it is named."""
    return beside(dataset, "_key.csv")


def beside(dataset: Path, ending: str) -> Path:
    """Return the place beside a dataset of what is called after it.

    >>> beside(Path("data/cohort"), "_key.csv").as_posix()
    'data/cohort_key.csv'
    """
    place = dataset.resolve() if dataset.name in ("", "..") else dataset  # the current folder, or one above it
    return place.with_name(f"{dataset.resolve().name}{ending}")


@dataclass(frozen=True)
class MadeDataset:
    """What stands in the dataset's folder.

    Args:
        folder: the dataset.
        description: what dataset.json says.
    """

    folder: Path
    description: Description

    @classmethod
    def read(cls, folder: Path) -> MadeDataset:
        """Read a dataset. Raises InputError where dataset.json is missing, broken, or not as vmseg_make_dataset writes
        it.
        """
        path = folder / "dataset.json"
        if not path.is_file():
            raise InputError("the dataset has no dataset.json", file=path, remedy=_MEND)
        made = cls(folder, read_description(path))
        description = made.description
        refuse_regions(description.labels, "adding cases to a dataset")
        if description.file_ending != USUAL or len(description.classes) != 2:
            problem = f"this is no dataset of vmseg_make_dataset: one label and {USUAL} files"
            raise InputError(problem, file=path, remedy=_MEND)
        return made

    @property
    def label(self) -> str:
        return next(name for name, value in self.description.labels.items() if value == 1)

    @property
    def channel(self) -> str:
        return self.description.channels[0]

    @property
    def names(self) -> set[str]:
        """Names of cases and patients that the dataset has, whether the key knows them or not."""
        patients = self.description.patients
        masks = {path.name.removesuffix(USUAL) for path in whole_files(self.folder, f"labelsT[rs]/*{USUAL}")}
        return {*patients, *patients.values(), *masks}

    def files(self, row: KeyRow) -> tuple[Path, Path]:
        """Return image (of the first channel) and mask of a case."""
        part = "Ts" if row.set == "test" else "Tr"
        image = self.folder / f"images{part}" / f"{row.case}_0000{USUAL}"
        return image, self.folder / f"labels{part}" / f"{row.case}{USUAL}"

    def further_files(self, row: KeyRow) -> list[Path]:
        """Return the images of a case in further channels, and what tells of their registration; some may lack."""
        image, _ = self.files(row)
        further = range(1, len(self.description.channels))
        images = [image.with_name(f"{row.case}_{number:04d}{USUAL}") for number in further]
        return [*images, *(self.folder / REGISTRATION / f"{row.case}{ending}" for ending in _TOLD if images)]

    def holds(self, row: KeyRow) -> bool:
        """Return whether a case stands in the dataset as a whole."""
        return row.case in self.description.patients and all(path.is_file() for path in self.files(row))

    def all_files(self, cases: Collection[str]) -> list[Path]:
        """List what stands of these cases on either side, images before masks, and what tells of registration."""
        images = [path for path in whole_files(self.folder, f"imagesT[rs]/*{USUAL}") if path.name[:-12] in cases]
        masks = [path for path in whole_files(self.folder, f"labelsT[rs]/*{USUAL}") if path.name[:-7] in cases]
        told = whole_files(self.folder, f"{REGISTRATION}/*")
        return [*images, *masks, *(path for path in told if path.stem in cases)]

    def require_agreement(
        self, rows: Sequence[KeyRow], label: str | None, channel: str | None, further: Sequence[str] = ()
    ) -> None:
        """Raise InputError where dataset.json or files contradict the key, or another label or other channels are
        wished.
        """
        path = self.folder / "dataset.json"
        if tuple(further) != self.description.channels[1:]:
            problem = f"the channels of this dataset are {', '.join(self.description.channels)}"
            folders = " ".join(f"--channel {name}=FOLDER" for name in self.description.channels[1:])
            remedy = f"Add cases by `vmseg_make_dataset --add` with --channel {self.channel} {folders}".strip() + "."
            raise InputError(problem, file=path, remedy=remedy)
        for given, stands, what in ((label, self.label, "label"), (channel, self.channel, "channel")):
            if given not in (None, stands):
                remedy = f"Leave --{what} out."
                raise InputError(f'the {what} of this dataset is called "{stands}"', file=path, remedy=remedy)
        patients = self.description.patients
        if other := [row.case for row in rows if patients.get(row.case, row.patient) != row.patient]:
            problem = f"it gives {listed(other)} to another patient than the key does"
            raise InputError(problem, file=path, remedy=_MEND)
        for row in rows:
            if row.removed and (row.case in patients or self.all_files([row.case])):
                remedy = f"Give `vmseg_make_dataset -o {self.folder} --remove {row.patient}` again."
                raise InputError(f"{row.patient} was removed, but {row.case} is still there", file=path, remedy=remedy)
            if moved := set(self.all_files([row.case])) - {*self.files(row), *self.further_files(row)}:
                problem = f"{row.case} stands in another folder than the key says ({row.set})"
                raise InputError(problem, file=sorted(moved)[0], remedy="Move it back.")

    def describe(
        self,
        cases: Mapping[str, KeyRow | None],
        labels: Mapping[str, int] | None = None,
        optional: Collection[str] = (),
    ) -> None:
        """Take cases into dataset.json, or out of it (None), further labels, and channels that cases may lack; all else
        in it stays as it is.

        Raises:
            VmsegError: it can't be written.
        """
        path = self.folder / "dataset.json"
        data: dict[str, Any] = read_json(path)
        patients = dict(self.description.patients)
        training = {file.name.removesuffix(USUAL) for file in whole_files(self.folder, f"labelsTr/*{USUAL}")}
        for case, row in cases.items():
            patients.pop(case, None)
            training.discard(case)
            if row is not None:
                patients[case] = row.patient
                training |= {case} if row.set == "train" else set()
        known = {**self.description.labels, **(labels or {})}
        lacking = [name for name in self.description.channels if name in {*self.description.optional, *optional}]
        told = {OPTIONAL: lacking} if lacking else {}
        write_json(path, {**data, "numTraining": len(training), "patients": patients, "labels": known, **told})
