"""What the documentation says of commands, messages and files is so."""

from __future__ import annotations

import ast
import configparser
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
SOURCES = [path for root in ("vmseg_auto", "planners", "trainers") for path in sorted((ROOT / root).rglob("*.py"))]


def commands() -> set[str]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return {line.split("=")[0].strip() for line in config["options.entry_points"]["console_scripts"].split("\n")[1:]}


def texts(path: Path) -> Iterator[str]:
    """Every text of a source file; what is filled in while it runs is a NUL."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_the_page_of_commands_is_as_their_parsers_are() -> None:
    """`python .ci/commands.py` makes it anew."""
    script = "import runpy; print(runpy.run_path('.ci/commands.py')['page'](), end='')"
    made = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True)
    assert made.stdout.decode() == (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_their_options_exist(page: Path) -> None:
    known = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    text = page.read_text(encoding="utf-8")
    for command in set(re.findall(r"(?<![\w/])vmseg_[a-z_]+(?= [-0-9A-Za-z])", text)) & commands():
        parts = known.split(f"## {command}\n")
        assert len(parts) > 1, command
    blocks = "\n".join(re.findall(r"^```.*?^```", text, flags=re.MULTILINE | re.DOTALL))
    for line in re.findall(r"^vmseg_[a-z_]+ .*$", blocks, flags=re.MULTILINE):
        command, *words = line.partition("#")[0].split()
        assert command in commands(), line
        section = re.split(r"\n## ", known.split(f"\n## {command}\n")[1])[0]
        for option in (word for word in words if re.fullmatch(r"--?[a-z][a-z-]*", word)):
            assert re.search(rf"{option}[ ,`]", section), f"{option} of {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            name, _, anchor = target.partition("#")
            goal = (page.parent / name).resolve() if name else page
            assert goal.exists(), target
            if anchor:
                titles = re.findall(r"^#+ (.*)$", goal.read_text(encoding="utf-8"), flags=re.MULTILINE)
                assert anchor in [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles], target


def test_every_module_is_told_of_and_no_other() -> None:
    """A new one gets a line under "Every module" of docs/architecture.md."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    told = re.findall(r"^- `([\w/]+\.py)`: .", text.split("\n## Every module\n")[1], flags=re.MULTILINE)
    package = ROOT / "vmseg_auto"
    there = [path.relative_to(package).as_posix() for path in package.rglob("*.py") if path.name != "__init__.py"]
    assert sorted(told) == sorted(there)


def test_messages_in_the_faq_are_those_of_the_program() -> None:
    known = [text for path in SOURCES for text in texts(path)]
    faq = (ROOT / "docs" / "faq.md").read_text(encoding="utf-8")
    quoted = [
        words for bold in re.findall(r"\*\*(.*?)\*\*", faq, flags=re.DOTALL) for words in re.findall('"(.*?)"', bold)
    ]
    assert len(quoted) > 15
    for words in quoted:
        pattern = ".*".join(map(re.escape, " ".join(words.split()).split("...")))
        assert any(re.search(pattern, text, flags=re.DOTALL) for text in known), words


def test_the_site_is_built_by_one_command(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    docs = ROOT / "docs"
    pages = [path.relative_to(docs).with_suffix(".html") for path in PAGES if path.is_relative_to(docs)]
    assert all((tmp_path / "site" / page).is_file() for page in pages)
    page = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert not re.findall(r'(?:\bsrc=|<link[^>]*href=)"(?:https?:)?//', page), "pages are read without a network"
