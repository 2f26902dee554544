"""Cases, the dataset they form, and the folds they are split into."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vmseg_auto.data.dicom.series import Scan, path_of
from vmseg_auto.utils.errors import DatasetError, InputError
from vmseg_auto.utils.json_codec import Stored, decode
from vmseg_auto.utils.labels import IGNORE_LABEL, Labels, regions_of
from vmseg_auto.utils.left_out import LeftOut
from vmseg_auto.utils.names import case_name

FOLDS = 5
SPLIT_SEED = 12345
SPLIT_SHUFFLES = 300


@dataclass(frozen=True)
class Case:
    """One scan: a file or DICOM series for each channel, and its mask where there is one.

    Args:
        id: what it is called.
        patient: whose it is.
        images: in the order of the channels; the first channel is always there.
        label: its mask.
        missing: numbers of the channels that it has no image of, ascending.
    """

    id: str
    patient: str
    images: tuple[Scan, ...]
    label: Path | None
    missing: tuple[int, ...] = ()

    @property
    def file(self) -> Path:
        """The file or folder to name in a message."""
        return path_of(self.images[0])

    @property
    def channels(self) -> tuple[int, ...]:
        """The channels' numbers, of each image one."""
        every = range(len(self.images) + len(self.missing))
        return tuple(number for number in every if number not in self.missing)


@dataclass(frozen=True)
class Dataset:
    """A folder of cases in nnU-Net's raw layout.

    Args:
        name: the dataset's name.
        channels: channel names in order, such as ("T2",).
        labels: label name -> value of the classes; "background" is 0.
        cases: the training cases (imagesTr, labelsTr), sorted by id.
        test_cases: the cases of imagesTs and labelsTs, sorted by id.
        file_ending: such as ".nii.gz".
        notes: what was inferred rather than read, in words for the user.
        stated: ids of the cases whose patient the dataset's owner has named.
        left_out: what of the folder is not used.
        ignore: the value of voxels in masks that nobody has annotated; None where there is no such value.
        optional: names of the channels that a case may lack.
    """

    name: str
    channels: tuple[str, ...]
    labels: Labels
    cases: tuple[Case, ...]
    test_cases: tuple[Case, ...]
    file_ending: str
    notes: tuple[str, ...] = ()
    stated: frozenset[str] = frozenset()
    left_out: tuple[LeftOut, ...] = ()
    ignore: int | None = None
    optional: tuple[str, ...] = ()

    @property
    def mask_labels(self) -> Labels:
        """What masks may hold, as dataset.json says it: the classes, and `ignore` where there is one."""
        if self.ignore is None:
            return self.labels
        return Labels({**self.labels, IGNORE_LABEL: self.ignore}, regions_of(self.labels))

    @property
    def patients(self) -> dict[str, str]:
        """Case id -> patient, for the training cases."""
        return {case.id: case.patient for case in self.cases}

    def with_patients(self, patients: Mapping[str, str]) -> Dataset:
        """Return the same cases with these patients (case id -> patient), where the owner has named none."""

        def named(cases: tuple[Case, ...]) -> tuple[Case, ...]:
            known = {case: patient for case, patient in patients.items() if case not in self.stated}
            return tuple(replace(case, patient=known.get(case.id, case.patient)) for case in cases)

        return replace(self, cases=named(self.cases), test_cases=named(self.test_cases))


@dataclass(frozen=True)
class Fold:
    """Case ids on each side of one fold."""

    train: tuple[str, ...]
    val: tuple[str, ...]


@dataclass(frozen=True)
class Splits(Stored):
    """The folds of the cross-validation; no patient stands on both sides of one.

    Args:
        folds: fold number -> cases.
        source: where the split comes from, in words.
    """

    folds: tuple[Fold, ...]
    source: str
    schema: int = 1

    @classmethod
    def from_json(cls, data: Any, where: str = "splits.json") -> Splits:
        """Read splits.json, or the bare list of {"train", "val"} that nnU-Net's splits_final.json holds.

        Cases are called as their files are (utils/names.py), whatever the Unicode form in which the split names them.
        """
        if isinstance(data, list):
            found = cls(folds=decode(tuple[Fold, ...], data, where), source="given in nnU-Net's form")
        else:
            found = super().from_json(data, where)
        folds = (Fold(*(tuple(case_name([case]) for case in side) for side in (f.train, f.val))) for f in found.folds)
        return replace(found, folds=tuple(folds))


def split_by_patient(patients: Mapping[str, str], volumes_ml: Mapping[str, float]) -> Splits:
    """Make min(5, patients) folds alike in lesion volume and number of cases; all cases of a patient stay together.

    Cases are sorted into thirds by volume, and whole patients are dealt so that each fold gets a like share of every
    third. One patient is placed after another, so the order decides: of a fixed number of shuffles, the one with the
    most even folds is taken. The result depends on nothing but the arguments, whatever their order.

    Args:
        patients: case id -> patient.
        volumes_ml: case id -> foreground in mL, for every case.

    Raises:
        InputError: fewer than two patients.

    Example:
        >>> patients = {f"case_{n}": f"patient_{n}" for n in range(4)}
        >>> len(split_by_patient(patients, dict.fromkeys(patients, 1.0)).folds)
        4
    """
    names = sorted(set(patients.values()))
    if len(names) < 2:
        raise InputError(
            f"the dataset holds {len(names)} patient, and cross-validation needs at least 2",
            remedy="Add patients, or check `patients` in dataset.json.",
        )
    ordered = sorted(patients, key=lambda case: (volumes_ml[case], case))
    thirds = {name: [0, 0, 0] for name in names}
    for place, case in enumerate(ordered):
        thirds[patients[case]][place * 3 // len(ordered)] += 1
    volumes = {name: math.fsum(volumes_ml[case] for case in ordered if patients[case] == name) for name in names}

    def unevenness(validation: Sequence[Sequence[str]]) -> float:
        cases = [float(sum(sum(thirds[name]) for name in side)) for side in validation]
        return _deviation(cases) + _deviation([math.fsum(volumes[name] for name in side) for side in validation])

    deals = [_deal(thirds, volumes, min(FOLDS, len(names)), SPLIT_SEED + n) for n in range(SPLIT_SHUFFLES)]
    return Splits(
        tuple(_fold(patients, set(side)) for side in min(deals, key=unevenness)),
        source=f"by patient, balanced by lesion volume; best of {SPLIT_SHUFFLES} shuffles from seed {SPLIT_SEED}",
    )


def extend_splits(splits: Splits, patients: Mapping[str, str]) -> Splits:
    """Fit an old split to a cohort that has grown or shrunk; every case that stays keeps its sides.

    A new case stands where its patient's other cases stand; a new patient is validated where the fewest cases are.
    """
    if not splits.folds:
        return splits
    gone_from = [Fold(tuple(_known(f.train, patients)), tuple(_known(f.val, patients))) for f in splits.folds]
    validation = [{patients[c] for c in fold.val} for fold in gone_from]
    seen = {patients[c] for fold in gone_from for c in (*fold.train, *fold.val)}
    for patient in sorted(set(patients.values()) - seen):
        min(validation, key=lambda side: sum(owner in side for owner in patients.values())).add(patient)
    placed = [{*fold.train, *fold.val} for fold in gone_from]
    everywhere = set.union(*placed)
    new = [case for case in patients if case not in everywhere]
    folds = tuple(
        Fold(
            train=tuple(sorted([*fold.train, *(c for c in new if patients[c] not in side)])),
            val=tuple(sorted([*fold.val, *(c for c in new if patients[c] in side)])),
        )
        for fold, side in zip(gone_from, validation, strict=True)
    )
    return Splits(folds, source=splits.source)


def check_splits(splits: Splits, patients: Mapping[str, str], where: str) -> None:
    """Refuse an impossible split.

    Raises:
        DatasetError: unknown cases, an empty side, a case or patient on both sides; all are listed.
    """
    errors = []
    for number, fold in enumerate(splits.folds):
        unknown = sorted({*fold.train, *fold.val} - set(patients))
        both = sorted(
            {patients[c] for c in fold.train if c in patients} & {patients[c] for c in fold.val if c in patients}
        )
        if not fold.train or not fold.val:
            errors.append(InputError(f"fold {number} has no {'training' if not fold.train else 'validation'} case"))
        if unknown:
            errors.append(InputError(f"fold {number} names cases that the dataset lacks: {', '.join(unknown)}"))
        twice = sorted(case for side in (fold.train, fold.val) for case, n in Counter(side).items() if n > 1)
        if twice:
            errors.append(InputError(f"fold {number} names cases twice on one side: {', '.join(twice)}"))
        if both:
            errors.append(InputError(f"fold {number} has patients on both sides: {', '.join(both)}"))
    if not splits.folds:
        errors.append(InputError("there is no fold"))
    if errors:
        raise DatasetError(f"{where}: this split can't be used", errors, remedy="Mend it, or delete it to split anew.")


def beside_folds(splits: Splits, cases: Iterable[str], folds: Iterable[int | str] | None = None) -> Iterator[LeftOut]:
    """Yield the cases that some of these folds neither train nor score; with all folds, those that none scores too.

    Args:
        cases: of the dataset.
        folds: names of those that count; all unless given.
    """
    known = sorted(cases)
    for number, fold in enumerate(splits.folds):
        if folds is None or number in folds:
            sides = {*fold.train, *fold.val}
            yield from (LeftOut("case", c, f"on neither side of fold {number}") for c in known if c not in sides)
    if folds is None:
        scored = {case for fold in splits.folds for case in fold.val}
        yield from (
            LeftOut("case", c, "a validation case of no fold, and so never scored") for c in known if c not in scored
        )


def fold_cases(splits: Splits, fold: int | str, cases: Sequence[str]) -> Fold:
    """Return the two sides of a fold; "all" trains on every case and validates on none.

    Raises:
        InputError: there is no such fold.

    Example:
        >>> fold_cases(Splits((Fold(("a",), ("b",)),), "example"), "all", ["a", "b"])
        Fold(train=('a', 'b'), val=())
    """
    if fold == "all":
        return Fold(train=tuple(cases), val=())
    if not isinstance(fold, int) or not 0 <= fold < len(splits.folds):
        raise InputError(
            f"there is no fold {fold}: the split has {len(splits.folds)} folds, 0 to {len(splits.folds) - 1}",
            remedy="Name one of them, or `all` to train on every case without validation.",
        )
    return splits.folds[fold]


def _deal(thirds: Mapping[str, Sequence[int]], volumes: Mapping[str, float], folds: int, seed: int) -> list[list[str]]:
    """Deal the patients out to `folds` folds, and return those of each, none of them empty.

    One after another, in shuffled order, each patient goes where the fewest cases of the same thirds are; of several
    such folds where the fewest cases are, then where the smallest volume is.

    Args:
        thirds: patient, in alphabetical order -> number of cases in each third of the volumes.
        volumes: patient -> mL.
    """
    import numpy as np  # takes longer to load than all else that a command's --help needs

    names = list(thirds)
    validation: list[list[str]] = [[] for _ in range(folds)]
    counts, totals = [[0, 0, 0] for _ in range(folds)], [0.0] * folds
    # RandomState, as numpy promises that its shuffles never change.
    for place, index in enumerate(np.random.RandomState(seed).permutation(len(names))):
        name = names[index]
        empty = [fold for fold in range(folds) if not validation[fold]]
        alike = [sum(a * b for a, b in zip(cases, thirds[name], strict=True)) for cases in counts]
        ranks = [(alike[fold], sum(counts[fold]), totals[fold], fold) for fold in range(folds)]
        best = min(ranks[fold] for fold in (empty if len(empty) == len(names) - place else range(folds)))[-1]
        validation[best].append(name)
        counts[best] = [a + b for a, b in zip(counts[best], thirds[name], strict=True)]
        totals[best] += volumes[name]
    return validation


def _deviation(amounts: Sequence[float]) -> float:
    """Return the largest relative distance from the mean; 0 where there is nothing."""
    mean = math.fsum(amounts) / len(amounts)
    return max(abs(amount / mean - 1) for amount in amounts) if mean else 0.0


def _known(cases: Sequence[str], patients: Mapping[str, str]) -> list[str]:
    return [case for case in cases if case in patients]


def _fold(patients: Mapping[str, str], validation: set[str]) -> Fold:
    return Fold(
        train=tuple(sorted(c for c, p in patients.items() if p not in validation)),
        val=tuple(sorted(c for c, p in patients.items() if p in validation)),
    )
