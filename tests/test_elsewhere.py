"""Nothing on the main way needs POSIX: Windows and macOS spawn processes, and lack some of what Linux has."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [path for root in ("vmseg_auto", "planners", "trainers") for path in sorted((ROOT / root).rglob("*.py"))]
POSIX_MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios"}
POSIX_NAMES = {
    "fork", "forkpty", "getuid", "geteuid", "getgid", "setsid", "killpg", "mkfifo", "chown", "lchown", "nice",
    "statvfs", "sched_getaffinity", "sched_setaffinity", "sysconf", "getloadavg", "wait4", "alarm", "setitimer",
    "SIGKILL", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCHLD",
}  # fmt: skip


def guarded(tree: ast.AST, name: str) -> bool:
    """Whether a module asks first if there is such a name, or goes on without it."""
    for node in ast.walk(tree):
        asks = isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("hasattr", "getattr")
        if asks and any(isinstance(word, ast.Constant) and word.value == name for word in ast.walk(node)):
            return True
        if isinstance(node, ast.Try) and any(getattr(n, "attr", "") == name for n in ast.walk(node)):
            caught = [n.id for handler in node.handlers for n in ast.walk(handler) if isinstance(n, ast.Name)]
            if "AttributeError" in caught:
                return True
        asked = isinstance(node, ast.If) and re.search(r"os\.name|hasattr", ast.unparse(node.test))
        if asked and any(getattr(n, "attr", "") == name for n in ast.walk(node)):
            return True
    return False


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_needs_no_posix(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
        if POSIX_MODULES & {module.partition(".")[0] for module in modules}:
            assert "ImportError" in ast.unparse(tree), f"line {node.lineno}"
        if isinstance(node, ast.Attribute) and node.attr in POSIX_NAMES:
            assert guarded(tree, node.attr), f"{node.attr} in line {node.lineno}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_processes_are_spawned_and_texts_have_an_encoding(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        called = ast.unparse(node.func).rpartition(".")[2]
        options = {keyword.arg: keyword.value for keyword in node.keywords}
        if called == "get_context":
            assert [ast.unparse(argument) for argument in node.args] == ["'spawn'"]
        if called in ("ProcessPoolExecutor", "Pool"):
            assert "mp_context" in options, f"line {node.lineno}"
        assert called != "set_start_method"
        assert called != "Process" or ast.unparse(node.func) == "context.Process", f"line {node.lineno}"
        if called in ("read_text", "write_text") and isinstance(node.func, ast.Attribute):
            assert "encoding" in options, f"line {node.lineno}"
