"""Errors name what they are about, carry their exit code, and survive the way out of a worker process."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from vmseg_auto.utils.errors import DatasetError, InputError, SomeCasesFailedError, VmsegError

ONE = InputError("the mask is empty", case="vm_03", file=Path("labelsTr/vm_03.nii.gz"), remedy="Draw it.")
TWO = VmsegError("the disk is full")


def test_message_names_case_file_problem_and_remedy() -> None:
    assert str(ONE) == f"case vm_03, {Path('labelsTr/vm_03.nii.gz')}: the mask is empty. Draw it."
    assert str(TWO) == "the disk is full"
    assert str(VmsegError("it failed", file="a.json")) == "a.json: it failed"
    assert str(VmsegError("it failed", case="a", remedy="Try again.")) == "case a: it failed. Try again."


@pytest.mark.parametrize(
    ("kind", "code"), [(VmsegError, 1), (InputError, 2), (DatasetError, 2), (SomeCasesFailedError, 3)]
)
def test_exit_codes(kind: type[VmsegError], code: int) -> None:
    assert kind.exit_code == code


def test_all_bad_cases_are_listed_a_line_each() -> None:
    error = DatasetError("2 cases can't be used", [ONE, TWO], remedy="Mend them.")
    lines = str(error).splitlines()
    assert lines == ["2 cases can't be used. Mend them.", f"  - {ONE}", f"  - {TWO}"]
    assert str(SomeCasesFailedError("1 of 2 failed", [TWO])).splitlines() == ["1 of 2 failed", f"  - {TWO}"]


@pytest.mark.parametrize(
    "error",
    [ONE, TWO, DatasetError("bad", [ONE, TWO], remedy="Mend them."), SomeCasesFailedError("1 of 2 failed", [ONE])],
    ids=lambda error: type(error).__name__,
)
def test_pickling_keeps_everything(error: VmsegError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert (again.case, again.file, again.remedy) == (error.case, error.file, error.remedy)
