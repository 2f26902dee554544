"""Small mistakes put into the packages that compute: do the tests of the module notice? Mutants are cosmic-ray's.

    python -m pip install -c constraints.txt -e ".[test,reliability]"
    python -m benchmarks.reliability.mutants [--mutants 300] [--seed 0] [--results mutants.jsonl]

A mutant is tried by the tests that name its module, in a copy of this tree. Results are kept: an interrupted run goes
on where it was. Linux only: it limits processor time as this system has it.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from benchmarks.reliability.page import put

ROOT = Path(__file__).parents[2]
PACKAGES = ("evaluation", "followup", "inference", "networks", "planning", "preprocessing", "selection", "utils")
PARTS = ("vmseg_auto", "planners", "trainers", "tests", "benchmarks", "examples", "setup.cfg")
PROCESSOR_S, CLOCK_S = 600, 6 * 3600
"""More than any module's tests take, of the processor and by the clock; what takes longer will not end."""


@dataclass(frozen=True, order=True)
class Mutant:
    """One change: (module, operator, occurrence) make it again.

    Args:
        module: path from the root of the tree.
        operator: cosmic-ray's name.
        occurrence: which of the places in the module where it applies.
    """

    module: str
    operator: str
    occurrence: int


@dataclass(frozen=True)
class Verdict:
    """Whether tests failed, and what the change was."""

    mutant: Mutant
    killed: bool
    line: int
    before: str
    after: str


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reliability.mutants", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--mutants", type=int, default=300, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=Path("mutants.jsonl"), metavar="FILE", help="kept between runs")
    arguments = parser.parse_args(argv)
    known = {verdict.mutant: verdict for verdict in read_verdicts(arguments.results)}
    chosen = sample(arguments.mutants, arguments.seed)
    with tempfile.TemporaryDirectory() as place, arguments.results.open("a", encoding="utf-8") as results:
        tree = Path(place)
        copy_tree(tree)
        for number, mutant in enumerate(chosen, 1):
            if mutant not in known:
                known[mutant] = judge(tree, mutant)
                print(json.dumps(asdict(known[mutant])), file=results, flush=True)
            print(f"{number}/{len(chosen)} {known[mutant]}", flush=True)
    put("mutants", report([known[mutant] for mutant in chosen], arguments.seed))
    return 0


def sample(count: int, seed: int, modules: Sequence[Path] | None = None) -> list[Mutant]:
    """As many mutants of the modules, drawn without replacement; those that change no code that runs are left out."""
    files = modules or sorted(path for package in PACKAGES for path in (ROOT / "vmseg_auto" / package).glob("*.py"))
    every = [mutant for path in files for mutant in mutants_of(path)]
    Random(seed).shuffle(every)
    chosen: list[Mutant] = []
    for mutant in every:
        if len(chosen) == count:
            break
        if mutated(mutant) is not None:
            chosen.append(mutant)
    return chosen


def mutants_of(path: Path) -> Iterator[Mutant]:
    """All that cosmic-ray can make of a module."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    nodes = list(ast_nodes(get_ast(path.read_text(encoding="utf-8"))))
    for name in operator_names():
        kind = get_operator(name)
        if kind.arguments():  # names of one's own choice
            continue
        operator = kind()
        places = sum(1 for node in nodes for _ in operator.mutation_positions(node))
        yield from (Mutant(str(path.relative_to(ROOT)), name, number) for number in range(places))


def mutated(mutant: Mutant) -> str | None:
    """The module's text with the change; None where it is no Python, or differs in type hints alone."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    source = (ROOT / mutant.module).read_text(encoding="utf-8")
    changed: str | None = mutate_code(source, get_operator(mutant.operator)(), mutant.occurrence)
    try:
        return changed if changed is not None and _running(changed) != _running(source) else None
    except SyntaxError:
        return None


def _running(source: str) -> str:
    return ast.dump(_WithoutHints().visit(ast.parse(source)))


class _WithoutHints(ast.NodeTransformer):
    """Takes out the type hints that nobody reads; those of classes' fields decide how JSON is read."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        for inner in ast.walk(node):
            if isinstance(inner, ast.arg):
                inner.annotation = None
            elif isinstance(inner, ast.AnnAssign):
                inner.annotation = ast.Constant(None)
        self.generic_visit(node)
        return node


def copy_tree(target: Path) -> None:
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy2(source, target / name)


def judge(tree: Path, mutant: Mutant) -> Verdict:
    """Put the change into the copy, run the tests that name the module, and take it out again."""
    path = tree / mutant.module
    whole, changed = path.read_text(encoding="utf-8"), mutated(mutant)
    assert changed is not None, "sample leaves these out"
    pairs = enumerate(zip(whole.splitlines(), changed.splitlines(), strict=False), 1)
    line, (before, after) = next((number, pair) for number, pair in pairs if pair[0] != pair[1])
    try:
        path.write_text(changed, encoding="utf-8")
        killed = run_tests(tree, tests_of(tree, mutant.module)) != 0
    finally:
        path.write_text(whole, encoding="utf-8")
    return Verdict(mutant, killed, line, before.strip(), after.strip())


def tests_of(tree: Path, module: str) -> list[str]:
    """The test files of the module's layer that name it, else all that do, else those of the modules that import it."""
    name = module.removesuffix(".py").replace("/", ".")
    layer = Path(module).parent.name
    naming = [path for path in sorted(tree.glob("tests/**/test_*.py")) if f"{name} import" in path.read_text("utf-8")]
    own = [path for path in naming if path.parent.name == layer]
    if naming:
        return [str(path.relative_to(tree)) for path in own or naming]
    users = [path for path in (tree / "vmseg_auto").rglob("*.py") if f"{name} import" in path.read_text("utf-8")]
    return sorted({test for user in users for test in tests_of(tree, str(user.relative_to(tree)))})


def run_tests(tree: Path, tests: Sequence[str]) -> int:
    """pytest's exit code, or 1 without an end; without tests 0, as nothing would be noticed."""
    if not tests:
        return 0
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, check=False, preexec_fn=_limits, timeout=CLOCK_S
        )
    except subprocess.TimeoutExpired:
        return 1
    return done.returncode


def _limits() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_S, PROCESSOR_S + 5))


def read_verdicts(path: Path) -> Iterator[Verdict]:
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            value = json.loads(line)
            yield Verdict(**{**value, "mutant": Mutant(**value["mutant"])})


def report(verdicts: Sequence[Verdict], seed: int) -> Iterator[str]:
    """For docs/reliability.md: the counts, and every mutant that no test noticed."""
    yield f"Seed {seed}."
    yield ""
    yield "| in | mutants | noticed | share |"
    yield "|---|--:|--:|--:|"
    choices: tuple[tuple[str, Callable[[Verdict], bool]], ...] = (
        *((f"{name}/", lambda verdict, name=name: f"/{name}/" in verdict.mutant.module) for name in PACKAGES),
        ("all", lambda verdict: True),
    )
    for title, belongs in choices:
        rows = [verdict for verdict in verdicts if belongs(verdict)]
        killed = sum(verdict.killed for verdict in rows)
        share = f"{100 * killed / len(rows):.0f} %" if rows else ""
        yield f"| {title} | {len(rows)} | {killed} | {share} |"
    yield ""
    for verdict in sorted((v for v in verdicts if not v.killed), key=lambda v: (v.mutant.module, v.line)):
        name = verdict.mutant.module.removeprefix("vmseg_auto/")
        yield f"- {name}:{verdict.line} `{verdict.before}` as `{verdict.after}`"


if __name__ == "__main__":
    sys.exit(main())
