"""A workspace beside its dataset: what was planned, and what has changed in the dataset since.

Whatever goes on from a plan reads the dataset here, so that no command mixes the cases of today with the plan, the
preprocessed cases or the masks of another day.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vmseg_auto.data.cases import content_hash, over_cases, read_dataset
from vmseg_auto.data.dataset import Case, Dataset, Splits, check_splits
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.planning.fingerprint import Fingerprint
from vmseg_auto.utils.errors import DatasetError, InputError
from vmseg_auto.utils.labels import labels_in_words
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.utils.text import listed
from vmseg_auto.workflows.paths import accepted_patients, plan_command, read_fingerprint, read_splits


@dataclass(frozen=True)
class Standing:
    """What is planned, and the dataset that it was planned for."""

    space: Workspace
    dataset: Dataset
    fingerprint: Fingerprint
    splits: Splits


@dataclass(frozen=True)
class Changes:
    """How a dataset differs from the one that was planned for; falsy where it does not.

    Args:
        altered: in words, what makes plan, preprocessed cases or folds those of another dataset.
        new: training cases that were not planned with.
        tests: test cases, as "imagesTs/ID", that are new or changed.
    """

    altered: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.altered or self.new or self.tests)

    def text(self) -> str:
        """Describe all of it."""
        left = (*self.new, *self.tests)
        return "; ".join([*self.altered, *[f"new or changed: {listed(left)}"] * bool(left)])


def read_standing(folder: Path, space: Workspace, left: Inventory) -> Standing:
    """Read what is planned and its dataset, and compare the two, every file by its content.

    Args:
        folder: of the dataset.
        left: what of the dataset is not used is noted here, cases too that were not planned with.

    Raises:
        InputError: nothing is planned; the dataset is another, or labels, channels, or cases that were planned with
            have changed since; a file of the workspace is broken.
        DatasetError: the dataset can't be read, or the split is impossible.
    """
    fingerprint, splits = read_fingerprint(space), read_splits(space)
    data = read_dataset(folder).with_patients(accepted_patients(space))
    require_same_cohort(data, fingerprint, space)
    changes = changes_since(fingerprint, data, file_hashes(data))
    if changes.altered:
        raise InputError(
            f"the dataset has changed since it was planned for ({'; '.join(changes.altered)})",
            file=folder,
            remedy=plan_again(space),
        )
    left.add_all(data.left_out)
    for case in (*changes.new, *changes.tests):
        left.add("case", case, "new or changed since the last `vmseg_plan_and_preprocess`")
    check_splits(splits, data.patients, str(space.splits))
    return Standing(space, data, fingerprint, splits)


def plan_again(space: Workspace, planner: str | None = None) -> str:
    return f"Run `{plan_command(space, planner)}` again; it does only what is due."


def require_same_cohort(data: Dataset, fingerprint: Fingerprint, space: Workspace) -> None:
    """Refuse a workspace whose fingerprint shares no case with the dataset: it is that of another."""
    if not set(fingerprint.cases) & set(data.patients):
        raise InputError(
            f"this workspace belongs to another dataset, {fingerprint.dataset}: none of its "
            f"{len(fingerprint.cases)} cases is in {data.name}",
            file=space.root,
            remedy="Name its dataset with -d, or with -w a workspace for this one. To begin anew, delete the folder.",
        )


def file_hashes(data: Dataset, jobs: int | None = None) -> dict[str, str]:
    """Return the hash of the files of every case, test cases as "imagesTs/ID".

    Raises:
        DatasetError: files that can't be read; all are listed.
    """
    jobs = jobs or min(8, os.cpu_count() or 1)

    def hashed(case: Case) -> str:
        return content_hash(case, data.mask_labels)

    training, errors = over_cases(hashed, data.cases, jobs, lambda: None)
    tests, more = over_cases(hashed, data.test_cases, jobs, lambda: None)
    if errors := [*errors, *more]:
        raise DatasetError(f"{len(errors)} cases can't be read", errors)
    return training | {f"imagesTs/{case}": content for case, content in tests.items()}


def changes_since(fingerprint: Fingerprint, data: Dataset, contents: Mapping[str, str]) -> Changes:
    """Return what has changed since the fingerprint was taken.

    Args:
        contents: of `file_hashes`; cases that it leaves out count as unchanged.
    """
    planned, there = fingerprint.cases, data.patients
    altered = []
    if fingerprint.labels != data.labels:
        altered.append(f"labels: {labels_in_words(fingerprint.labels)} then, {labels_in_words(data.labels)} now")
    if fingerprint.channels != data.channels:
        altered.append(f"channels: {', '.join(fingerprint.channels)} then, {', '.join(data.channels)} now")
    if gone := sorted(set(planned) - set(there)):
        altered.append(f"cases gone: {listed(gone)}")
    if changed := [case for case in planned if contents.get(case, planned[case].content) != planned[case].content]:
        altered.append(f"files changed: {listed(changed)}")
    tests = {case.id: contents.get(f"imagesTs/{case.id}") for case in data.test_cases}
    return Changes(
        altered=tuple(altered),
        new=tuple(sorted(set(there) - set(planned))),
        tests=tuple(
            f"imagesTs/{case}"
            for case, content in tests.items()
            if case not in fingerprint.tests or content not in (None, fingerprint.tests[case].content)
        ),
    )
