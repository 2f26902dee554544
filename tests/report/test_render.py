"""The page: what comes from files is escaped, and the policy names every script and nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from html import unescape
from html.parser import HTMLParser
from importlib.resources import files

from vmseg_auto.report.render import Table, content_policy, render_page

NIIVUE = "47b896b77ec4a5be3ef1949c33ad393b6f45629921f326c279000bcf51bdb4af"
"""SHA-256 of dist/niivue.umd.js in the npm package @niivue/niivue 0.69.0."""
EVIL = "<script>document.title='evil'</script>\"'&<img src=x onerror=alert(1)>"


class Tags(HTMLParser):
    """The tags of a page with their attributes, and the text of its scripts that run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.reads = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.reads = tag == "script" and "type" not in dict(attrs)

    def handle_endtag(self, tag: str) -> None:
        self.reads = False

    def handle_data(self, data: str) -> None:
        if self.reads:
            self.scripts.append(data)


def empty_predictions(**changes: object) -> str:
    content = {
        "title": "t", "identity": False, "patients": [], "models": ["0"], "backends": ["torch"],
        "totals": Table("c", ("Scan",), ()), "failed": Table("c", ("Scan",), ()),
        "decisions": Table("c", ("Month",), ()),
        "reads": Table("c", ("Month",), ()),
    } | changes  # fmt: skip
    return render_page("predictions", viewer=True, **content)


def test_whatever_a_file_holds_is_text() -> None:
    page = empty_predictions(title=EVIL, models=[EVIL], totals=Table(EVIL, (EVIL,), ((EVIL,),)))
    tags = Tags(page)
    assert not any(tag == "img" for tag, _ in tags.tags)
    assert not any(name.startswith("on") for _, attributes in tags.tags for name in attributes)
    assert len(tags.scripts) == 1
    assert "evil" not in tags.scripts[0]
    assert unescape(page).count(EVIL) >= 5


def test_the_policy_names_each_script_and_the_style_by_its_hash() -> None:
    page = empty_predictions()
    (policy,) = [a["content"] for t, a in Tags(page).tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    parts = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert parts["default-src"] == parts["base-uri"] == parts["form-action"] == "'none'"
    assert parts["img-src"] == "data:"
    (script,) = Tags(page).scripts
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, style[1])]
    viewer = base64.b64encode(bytes.fromhex(NIIVUE)).decode()
    assert parts["script-src"].split() == [f"'sha256-{hashes[0]}'", f"'sha256-{viewer}'"]
    assert parts["style-src"] == f"'sha256-{hashes[1]}'"
    assert "unsafe" not in policy
    assert content_policy(["a"], ["b"]) != content_policy(["a"], ["c"])


def test_nothing_in_a_page_points_elsewhere_or_is_styled_in_place() -> None:
    for _, attributes in Tags(empty_predictions()).tags:
        assert "style" not in attributes
        for name in ("src", "href", "action", "srcset"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:"))


def test_the_viewer_is_the_one_that_was_pinned_and_brings_its_licence() -> None:
    page = empty_predictions()
    assert "BSD 2-Clause License" in page
    assert "Copyright (c) 2021, Niivue" in page
    folder = files("vmseg_auto.report.page").joinpath("viewer")
    assert {path.name for path in folder.iterdir()} == {"LICENSES.txt", "niivue-0.69.0.umd.js.gz"}


def test_columns_without_a_value_go() -> None:
    table = Table("c", ("a", "b", "c"), (("1", "", "\N{EN DASH}"), ("2", "", "x")))
    assert table.without_empty_columns() == Table("c", ("a", "c"), (("1", "\N{EN DASH}"), ("2", "x")))
