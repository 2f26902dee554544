"""Who stands on which side of every experiment on whole cohorts."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the benchmarks measure through Linux's /proc", allow_module_level=True)

from benchmarks.cohort_splits import EXPERIMENTS, Experiment, folds_of, from_to, patients_of
from benchmarks.tools import SetupError
from vmseg_auto.data.cases import read_dataset

BY_NAME = {experiment.name: experiment for experiment in EXPERIMENTS}


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.name)
def test_no_patient_stands_on_both_sides_and_each_is_tested_once(experiment: Experiment, shared_data: Path) -> None:
    patients = patients_of(read_dataset(shared_data / experiment.cohort))
    folds = folds_of(experiment, shared_data)
    tested = [case for fold in folds for case in fold.val]
    assert len(tested) == len(set(tested))
    for fold in folds:
        assert not {patients[case] for case in fold.train} & {patients[case] for case in fold.val}
        if len(folds) > 1:
            assert {*fold.train, *fold.val} == set(tested)


def test_hospitals_of_lgg53(shared_data: Path) -> None:
    """CS is on the test side of one experiment, which is reserved, and nowhere else."""
    inside = folds_of(BY_NAME["lgg53_du"], shared_data)
    assert len(inside) == 5
    assert {case[:3] for fold in inside for case in (*fold.train, *fold.val)} == {"DU_"}
    assert len({case for fold in inside for case in fold.val}) == 45
    (across,) = folds_of(BY_NAME["lgg53_du_to_cs"], shared_data)
    assert {case[:3] for case in across.train} == {"DU_"}
    assert {case[:3] for case in across.val} == {"CS_"}
    assert (len(across.train), len(across.val)) == (45, 8)
    assert [experiment.name for experiment in EXPERIMENTS if experiment.reserved] == ["lgg53_du_to_cs"]
    assert not any(e.millimetres for e in EXPERIMENTS if e.cohort == "lgg53")


def test_scanners_of_vmsemi53(shared_data: Path) -> None:
    patients = patients_of(read_dataset(shared_data / "vmsemi53"))
    (there,) = folds_of(BY_NAME["vmsemi53_ms_to_neck"], shared_data)
    (back,) = folds_of(BY_NAME["vmsemi53_neck_to_ms"], shared_data)
    assert {patients[case].partition("_")[0] for case in there.train} == {"ms"}
    assert {patients[case].partition("_")[0] for case in there.val} == {"neck"}
    assert (back.train, back.val) == (there.val, there.train)


def test_a_limit_takes_one_case_of_each_patient(shared_data: Path) -> None:
    patients = patients_of(read_dataset(shared_data / "vmsemi53"))
    for fold in folds_of(BY_NAME["vmsemi53_all"], shared_data, limit=2):
        assert (len(fold.train), len(fold.val)) == (2, 2)
        assert len({patients[case] for case in fold.train}) == 2


def test_a_patient_on_both_sides_is_refused(shared_data: Path) -> None:
    mixed = replace(BY_NAME["lgg53_du"], split=lambda folder: from_to(folder, "DU_", "DU_5849"))
    with pytest.raises(SetupError, match="lgg53_du, fold 0: DU_5849 on both sides"):
        folds_of(mixed, shared_data)


def test_a_cohort_or_side_that_is_missing_is_named(tmp_path: Path, shared_data: Path) -> None:
    with pytest.raises(SetupError, match="lgg53 isn't there: give --data"):
        folds_of(BY_NAME["lgg53_du"], tmp_path)
    with pytest.raises(SetupError, match=r"XX_\.\.\."):
        from_to(shared_data / "lgg53", "DU_", "XX_")
