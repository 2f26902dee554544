"""Examples in docstrings run, and give what they show."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOTS = {"vmseg_auto": ROOT, "vmseg_planners": ROOT / "planners", "vmseg_trainers": ROOT / "trainers"}
FILES = [(root, path) for package, root in ROOTS.items() for path in sorted((root / package).rglob("*.py"))]
WITH_EXAMPLES = [
    ".".join(path.relative_to(root).with_suffix("").parts)
    for root, path in FILES
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_of_a_module(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testmod(importlib.import_module(module), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert tried > 0
    assert failed == 0
