"""Examples in docstrings run, and give what they show; what a function does begins with a verb."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
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


NOUNS = re.compile(
    r"(?i)(the|an?|what|whether|how|why|where|which|who|whose|of|in|those|each|all|every|as|raises|gives)\b"
)
"""How a docstring begins that names a thing or a condition, where it should say what the function does."""


def _is_property(function: ast.FunctionDef) -> bool:
    return any("property" in ast.unparse(decorator) for decorator in function.decorator_list)


def test_what_a_function_does_begins_with_a_verb() -> None:
    found = []
    for _, path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and not _is_property(node):
                first = (ast.get_docstring(node) or "").partition("\n")[0]
                if NOUNS.match(first):
                    found.append(f"{path.name}:{node.lineno} {node.name}: {first}")
    assert found == []
