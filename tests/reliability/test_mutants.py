"""What mutants, line counts and the page that shows them are made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.reliability import lines, mutants
from benchmarks.reliability.mutants import ROOT, Mutant, Verdict
from benchmarks.reliability.page import put

GEOMETRY = ROOT / "vmseg_auto" / "utils" / "geometry.py"


def verdict(layer: str, killed: bool, line: int = 1) -> Verdict:
    return Verdict(Mutant(f"vmseg_auto/{layer}/x.py", "core/NumberReplacer", line), killed, line, "a = 1", "a = 2")


def test_mutants_are_drawn_by_seed_and_change_what_runs() -> None:
    pytest.importorskip("cosmic_ray", reason="needs the extra reliability")
    first = mutants.sample(10, 1, [GEOMETRY])
    assert first == mutants.sample(10, 1, [GEOMETRY]) != mutants.sample(10, 2, [GEOMETRY])
    assert len(set(first)) == 10
    whole = GEOMETRY.read_text()
    for mutant in first:
        changed = mutants.mutated(mutant)
        assert changed is not None
        assert changed != whole
        compile(changed, "x", "exec")


def test_hints_of_functions_do_not_count_and_those_of_fields_do() -> None:
    def running(text: str) -> str:
        return mutants._running(text)

    assert running("def f(a: int | str) -> None:\n    b: int = a") == running("def f(a: int + str):\n    b: str = a")
    assert running("class A:\n    a: int | None") != running("class A:\n    a: int + None")
    assert running("a = 1") != running("a = 2")


def test_a_mutant_is_noticed_by_the_tests_that_name_its_module(tmp_path: Path) -> None:
    for name, text in {
        "pkg/core/a.py": "ONE = 1\n",
        "tests/core/test_a.py": "from pkg.core.a import ONE\ndef test(): assert ONE == 1\n",
        "tests/io/test_b.py": "from pkg.core.a import ONE\nfrom pkg.core.b import TWO\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "setup.cfg").write_text("[tool:pytest]\npythonpath = .\n")
    assert mutants.tests_of(tmp_path, "pkg/core/a.py") == ["tests/core/test_a.py"]
    assert mutants.tests_of(tmp_path, "pkg/core/b.py") == ["tests/io/test_b.py"]
    assert mutants.tests_of(tmp_path, "pkg/core/c.py") == []
    assert mutants.run_tests(tmp_path, []) == 0
    assert mutants.run_tests(tmp_path, ["tests/core/test_a.py"]) == 0
    (tmp_path / "pkg/core/a.py").write_text("ONE = 2\n")
    assert mutants.run_tests(tmp_path, ["tests/core/test_a.py"]) == 1


def test_mutants_that_nobody_noticed_are_listed() -> None:
    verdicts = verdict("planning", True), verdict("planning", False, 7), verdict("utils", True)
    told = list(mutants.report(verdicts, seed=3))
    assert "| planning/ | 2 | 1 | 50 % |" in told
    assert "| all | 3 | 2 | 67 % |" in told
    assert told[-1] == "- planning/x.py:7 `a = 1` as `a = 2`"
    assert sum(line.startswith("- ") for line in told) == 1


def test_lines_are_counted_by_folder() -> None:
    files = {
        "a/b.py": {"summary": {"num_statements": 30, "covered_lines": 29}},
        "a/c.py": {"summary": {"num_statements": 10, "covered_lines": 9}},
        "d/e.py": {"summary": {"num_statements": 10, "covered_lines": 2}},
    }
    assert lines.share_of(files) == 0.8
    told = list(lines.report(files))[2:]
    assert told == ["| a | 40 | 38 | 95.0 % |", "| d | 10 | 2 | 20.0 % |", "| all | 50 | 40 | 80.0 % |"]


def test_a_part_of_the_page_is_replaced_and_no_other(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    begin = "<!-- x: written by python -m benchmarks.reliability.x -->"
    page.write_text(f"Before.\n{begin}\nold\n<!-- end of x -->\nAfter.\n")
    put("x", ["new"], page)
    put("x", ["newer"], page)
    text = page.read_text()
    assert text.startswith(f"Before.\n{begin}\nnewer\n\n*vmseg_auto ")
    assert text.endswith("<!-- end of x -->\nAfter.\n")
    assert "old" not in text
    with pytest.raises(ValueError, match="lacks the marks of y"):
        put("y", ["new"], page)
