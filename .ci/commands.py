"""Writes docs/commands.md from the commands' own parsers: `python .ci/commands.py`."""

from __future__ import annotations

import argparse
import configparser
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "commands.md"
HEAD = """# Commands

Made from the commands' own help by `python .ci/commands.py`; don't edit it. Every command ends with exit code 0 (done),
1 (failure), 2 (bad input or use) or 3 (done, but some cases failed or want attention).
"""


def modules() -> list[str]:
    """Those of all commands that setup.cfg installs."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = config["options.entry_points"]["console_scripts"].strip().splitlines()
    return [line.partition("=")[2].strip().removesuffix(":main") for line in lines]


def section(parser: argparse.ArgumentParser, level: int = 2) -> Iterator[str]:
    """A parser's part of the page, and those of its sub-commands."""
    yield f"{'#' * level} {parser.prog}\n"
    yield f"{parser.description}\n"
    if parser.epilog:
        yield f"{parser.epilog}\n"
    rows, deeper = [], []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            deeper += action.choices.values()
        elif action.help != argparse.SUPPRESS and not isinstance(action, argparse._HelpAction):
            rows.append(f"| {name(action)} | {text(action.help or '')} |")
    if rows:
        yield "\n".join(["| option | meaning |", "|---|---|", *rows, ""])
    for one in deeper:
        yield from section(one, level + 1)


def name(action: argparse.Action) -> str:
    """Such as `-o, --output OUT`; in brackets what may be left out."""
    values = action.metavar or "|".join(map(str, action.choices or ()))
    if isinstance(values, tuple):
        return text(f"[`{' '.join((*action.option_strings, *values))}`]")
    value = "" if action.nargs == 0 else f" {values or action.dest.upper()}"
    value += " ..." if action.nargs in ("+", "*") or (isinstance(action.nargs, int) and action.nargs > 1) else ""
    shown = f"{', '.join(action.option_strings)}{value}".strip()
    return text(f"`{shown}`" if action.required or not action.option_strings else f"[`{shown}`]")


def text(words: str) -> str:
    return " ".join(words.replace("%%", "%").split()).replace("|", r"\|")


def page() -> str:
    """The whole of it."""
    parts = [HEAD]
    for module in modules():
        parts += section(import_module(module).parser())
    return "\n".join(parts)


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8", newline="\n")
