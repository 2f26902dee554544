"""Values to one HTML file that needs no network: templates filled in, with all that they use inside.

Everything that comes from a file is escaped. A content security policy names the hash of each script and of the style
sheet: a browser runs and loads nothing else.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from vmseg_auto.figures.charts import Chart
from vmseg_auto.figures.slices import MARGIN_MM
from vmseg_auto.utils.atomic import write_text
from vmseg_auto.utils.machine import versions

NONE = "\N{EN DASH}"
"""What stands where there is no value."""
_PAGE = "vmseg_auto.report.page"
_VIEWER = "niivue-0.69.0.umd.js.gz"


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        caption: what it holds.
        columns: headings; the first one's cells name their rows.
        rows: cells as texts; numbers are recognised by their form.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def without_empty_columns(self) -> Table:
        """Return the table without the columns of which all cells are empty."""
        told = [any(row[place] not in ("", NONE) for row in self.rows) for place in range(len(self.columns))]
        return replace(
            self,
            columns=tuple(itertools.compress(self.columns, told)),
            rows=tuple(tuple(itertools.compress(row, told)) for row in self.rows),
        )


@dataclass(frozen=True)
class Fact:
    """Something by its name, with a few words more."""

    name: str
    value: str
    note: str = ""


def write_page(path: Path, template: str, viewer: bool = False, **content: Any) -> int:
    """Fill a template in and write it, whole or not at all.

    Args:
        path: of the HTML file.
        template: its name without ending.
        viewer: whether the 3-D viewer is put into the page.
        content: what the template speaks of.

    Returns:
        The page's bytes.

    Raises:
        VmsegError: the file can't be written.
    """
    page = render_page(template, viewer, **content)
    write_text(path, page)
    return len(page.encode())


def render_page(template: str, viewer: bool = False, **content: Any) -> str:
    """Render the page as text; arguments as of `write_page`."""
    style, script = _text("report.css"), _text("report.js")
    scripts = [script]
    if viewer:
        scripts.append(gzip.decompress(viewer_gz()).decode())
        content["viewer"] = base64.b64encode(viewer_gz()).decode()
        content["licences"] = _text("viewer", "LICENSES.txt")
    return (
        _environment()
        .get_template(f"{template}.html.j2")
        .render(
            policy=content_policy([style], scripts),
            style=Markup(style),
            script=Markup(script),
            made_on=date.today().isoformat(),
            margin_mm=f"{MARGIN_MM:g}",
            versions=versions(),
            **content,
        )
    )


def render_chart(chart: Chart) -> str:
    """Render a chart as a figure of SVG, as it stands in a report."""
    macros: Any = _environment().get_template("macros.html.j2").module
    return str(macros.chart(chart))


def style_sheet() -> str:
    """Return the style sheet of reports."""
    return _text("report.css")


def viewer_gz() -> bytes:
    """Return the script of the 3-D viewer (NiiVue), gzipped."""
    return _bytes("viewer", _VIEWER)


def content_policy(styles: Sequence[str], scripts: Sequence[str]) -> str:
    """Return the content security policy of a page that may use these alone, and pictures that it holds itself."""
    allowed, styling = (" ".join(map(_source, texts)) for texts in (scripts, styles))
    return (
        f"default-src 'none'; script-src {allowed}; style-src {styling}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader(_PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.tests["numeric"] = _is_numeric
    return made


def _is_numeric(text: str) -> bool:
    """Return whether a cell is set as a number."""
    return text[:1].isdigit() or text[:1] in ("\N{MINUS SIGN}", "+", "<", NONE)


def _bytes(*names: str) -> bytes:
    return files(_PAGE).joinpath(*names).read_bytes()


def _text(*names: str) -> str:
    return _bytes(*names).decode()
