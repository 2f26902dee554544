"""Mutated files are read or refused in words. `python -m benchmarks.reliability.fuzz` tries many more."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hostile import serve

from benchmarks.reliability.fuzz import READ, REFUSED, attempt, fuzz, plan
from benchmarks.reliability.guards import Watch
from benchmarks.reliability.kills import digests
from benchmarks.reliability.mutations import mutate_bytes
from benchmarks.reliability.subjects import Subject, subjects
from vmseg_auto.utils.errors import InputError

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory as Linux does")


def test_no_mutation_comes_out_as_anything_but_words(pristine: Path) -> None:
    tasks = plan(mutations=200, commands=6)
    outcome = fuzz(pristine, tasks, seed=2)
    assert outcome.finds == []
    assert outcome.tried.total() == 206
    assert outcome.refused.total() > 75


def test_mutations_are_functions_of_their_seed(pristine: Path) -> None:
    for subject in subjects():
        data = next(pristine.glob(subject.file)).read_bytes()
        made = [subject.mutate(data, Random(seed)) for seed in ("a", "a", "b")]
        assert made[0] == made[1]
        assert made[0] != data or made[2] != data


def test_each_kind_of_harm_is_a_find_and_undone(pristine: Path, cohort: Path) -> None:
    written: list[str] = []
    watch = Watch(cohort, written)

    def raises(root: Path) -> None:
        raise KeyError("about")

    def refuses(root: Path) -> None:
        raise InputError("no")

    def writes_outside(root: Path) -> None:
        watch("open", (str(root / ".." / ".." / "outside"), "w", os.O_WRONLY))

    def writes_inside(root: Path) -> None:
        (root / "vmseg" / "splits.json").write_text("{}")
        (root / "new").write_text("x")
        watch("os.rename", (str(root / "new"), str(root / "newer")))

    def found(read: Callable[[Path], object], named: str | None = None) -> str:
        return attempt(Subject("x", "dataset.json", mutate_bytes, read, named), 0, 0, pristine, cohort, written)

    assert found(raises).startswith("KeyError (test_fuzz.py:")
    assert found(refuses) == "the file isn't named: no"
    assert found(refuses, named="") == REFUSED
    assert found(writes_outside).startswith("written outside: ")
    assert found(writes_inside) == READ
    assert digests(cohort) == digests(pristine)


def test_a_worker_that_dies_or_never_ends_is_a_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.reliability.worker.PROCESSOR_S", 0.3)
    monkeypatch.setattr("benchmarks.reliability.worker.WAIT_S", 1.0)
    tasks = [("reads", 0), ("dies", 0), ("computes", 0), ("waits", 0), ("reads", 1)]
    outcome = fuzz(tmp_path, tasks, seed=0, serve=serve)
    assert outcome.tried.total() == 5
    problems = {find.subject: find.problem for find in outcome.finds}
    assert problems.keys() == {"dies", "computes", "waits"}
    assert problems["dies"] == "the process died (exit code -9)"
    assert problems["computes"].startswith("no end after")


def test_memory_beyond_the_limit_is_refused() -> None:
    script = "from benchmarks.reliability.guards import limit_memory\nlimit_memory()\nbytearray(3 * 2**30)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "MemoryError" in done.stderr
