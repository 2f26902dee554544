"""failed.csv: what has no mask, and why."""

from __future__ import annotations

from pathlib import Path

from vmseg_auto.data.failures import read_failures, write_failures
from vmseg_auto.data.workspace import OutputFolder
from vmseg_auto.utils.errors import InputError


def failed(folder: Path) -> dict[str | None, str]:
    return {error.case: error.problem for error in read_failures(folder)}


def test_a_later_command_tells_of_its_own_scans_and_leaves_those_of_other_inputs(tmp_path: Path) -> None:
    anna, bert = (
        InputError("cut short", case=name, file=f"{name}.nii", remedy="Copy it.") for name in ("anna", "bert")
    )
    write_failures(tmp_path, [anna, bert], ["anna", "bert", "carl"], "../monday")
    write_failures(tmp_path, [InputError("=1+1", case="dora")], ["dora"], "../tuesday")
    assert failed(tmp_path) == {"anna": "cut short", "bert": "cut short", "dora": "=1+1"}
    assert str(read_failures(tmp_path)[0]) == "case anna, anna.nii: cut short. Copy it."
    write_failures(tmp_path, [], ["anna"], "../wednesday")  # bert stays: nobody has looked at him since
    assert failed(tmp_path) == {"bert": "cut short", "dora": "=1+1"}
    write_failures(tmp_path, [], ["carl"], "../monday")  # bert is no longer there
    write_failures(tmp_path, [], ["dora"], "../tuesday")
    assert failed(tmp_path) == {}
    assert not OutputFolder(tmp_path).failures.exists()
