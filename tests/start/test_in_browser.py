"""The start page in a headless Chromium, by the keyboard alone: from an export to a report, at any width."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import CHROMIUM, Browser
from reviewing import Served, start_served
from small_cohort import small_cohort
from starting import export, wait_until

from vmseg_auto.data.cases import read_dataset
from vmseg_auto.data.sources import read_sources
from vmseg_auto.start.jobs import Jobs
from vmseg_auto.workflows.plan import plan_and_preprocess

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium; install Debian's package chromium"),
    pytest.mark.slow,
]

AXE = os.environ.get("AXE_CORE", "")
"""axe.min.js of axe-core, which is not part of this project: `npm pack axe-core`."""
SCRIPT = "<img src=x onerror=alert(1)>"
PHONE = (390, 844)
SERIOUS = ("serious", "critical")

CHECKS = """
(() => {
  const seen = (e) => e.checkVisibility() && !e.closest('.away, .skip');
  const name = (e) => (e.ariaLabel || (e.labels && [...e.labels].map((l) => l.textContent).join(' ')) || e.textContent).trim();
  const faults = [];
  for (const e of document.querySelectorAll('button, a, input, select, summary')) if (seen(e) && !name(e)) faults.push(`no name: ${e.outerHTML}`);
  const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) faults.push(`twice: ${id}`);
  for (const e of document.querySelectorAll('[aria-describedby], [aria-labelledby]')) {
    for (const id of `${e.getAttribute('aria-describedby') || ''} ${e.getAttribute('aria-labelledby') || ''}`.split(' ')) if (id && !document.getElementById(id)) faults.push(`no ${id}`);
  }
  const levels = [...document.querySelectorAll('h1, h2, h3')].map((e) => Number(e.tagName[1]));
  levels.forEach((level, i) => { if (level > (levels[i - 1] || 0) + 1) faults.push(`heading ${level} after ${levels[i - 1]}`); });
  if (!document.documentElement.lang || !document.title) faults.push('no language or title');
  for (const e of document.querySelectorAll('img, svg[role=img]')) if (!e.getAttribute('aria-label') && e.getAttribute('alt') === null) faults.push('picture without words');
  if (document.documentElement.scrollWidth > innerWidth) faults.push(`wider than the window: ${document.documentElement.scrollWidth}`);
  for (const e of document.querySelectorAll('button, select, input:not([type=checkbox]), summary')) if (seen(e) && e.getBoundingClientRect().height < 24) faults.push(`small: ${e.outerHTML}`);
  return faults;
})()
"""  # noqa: E501


class StartPage:
    """The page of a server in a browser, whose user has no mouse."""

    def __init__(self, browser: Browser, server: Served) -> None:
        self.browser = browser
        browser.open(server.link)
        browser.wait_for("document.querySelectorAll('section').length === 8")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.browser.press(key)

    def reach(self, selector: str) -> None:
        """Press Tab until an element has the focus."""
        here = f"document.activeElement.matches({json.dumps(selector)})"
        for _ in range(250):
            if self.browser.run(here):
                return
            self.press("Tab")
        raise AssertionError(f"Tab never leads to {selector}")

    def write(self, selector: str, text: str) -> None:
        self.reach(selector)
        self.browser.press("a", ctrl=True)
        self.browser.type(text)

    def run(self, step: str, command: str, state: str = "done") -> None:
        """Wait until a step would run this command, run it, and wait for its end."""
        section = f"#step-{step}"
        self.browser.wait_for(f"document.querySelector('{section} .command code').textContent === {command!r}")
        number = f"(start.views['{step}'].shown.job || {{number: 0}}).number"
        before = self.browser.run(number)
        self.reach(f"{section} .actions > .main")
        self.press("Enter")
        self.browser.wait_for(f"{number} > {before}")
        self.ends(step, state)

    def ends(self, step: str, state: str) -> None:
        """Wait until the job of a step stands so."""
        job = f"start.views['{step}'].shown.job"
        stands = f"{job} && {job}.state"
        self.browser.wait_for(f"{job} && ({job}.state === '{state}' || {job}.state !== 'running')")
        said = self.browser.run(f"document.querySelector('#step-{step} .job').innerText")
        assert self.browser.run(stands) == state, said

    def says(self, selector: str, words: str) -> None:
        """Wait until a part of the page holds words: it asks for them from time to time."""
        part = f"document.querySelector({json.dumps(selector)})"
        self.browser.wait_for(f"{part} && {part}.innerText.includes({json.dumps(words)})")

    def text(self, selector: str) -> str:
        said: str = self.browser.run(f"document.querySelector({json.dumps(selector)}).innerText")
        return said


def titles(browser: Browser) -> list[str]:
    """Of all windows."""
    return [one["title"] for one in browser.call("Target.getTargets")["targetInfos"]]


def quiet(browser: Browser, server: Served) -> None:
    """Nothing was complained of, and nothing asked for but this server."""
    assert browser.complaints == []
    asked = [url for url in browser.requests if not url.startswith("data:")]
    assert [url for url in asked if not url.startswith((f"http://127.0.0.1:{server.port}/", "about:"))] == []


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A start folder with a planned dataset, and a folder whose name is a script."""
    root = export(tmp_path_factory.mktemp("start"))
    (root / SCRIPT).mkdir()
    plan_and_preprocess(small_cohort(root / "mine", 3), memory_gb=0.1)
    return root


@pytest.fixture(scope="module")
def shown(root: Path) -> Iterator[tuple[Browser, Served]]:
    with start_served(root) as server, Browser(1280, 900, loopback=True) as browser:
        yield browser, server


@pytest.fixture
def page(shown: tuple[Browser, Served]) -> tuple[StartPage, Served]:
    browser, server = shown
    browser.resize(1280, 900)
    browser.open("about:blank")
    return StartPage(browser, server), server


def test_from_an_export_to_a_report_by_the_keyboard_alone(tmp_path: Path) -> None:
    export(tmp_path)
    with Browser(1280, 900, loopback=True) as browser:
        with start_served(tmp_path) as server:
            page = StartPage(browser, server)
            page.write("#pairs-tests", "0")
            make = "vmseg_make_dataset -i export -m masks -o my_patients --patients folders --test-share 0"
            page.run("pairs", make, "refused")
            page.says("#step-pairs pre", "Ahorn_Anna.nii.gz")
            assert not (tmp_path / "my_patients").exists()
            page.reach("#step-pairs .job .main")
            page.press("Enter")
            page.browser.wait_for("start.views.pairs.shown.job.command.includes(' --confirm ')")
            page.ends("pairs", "done")
            assert len(read_dataset(tmp_path / "my_patients").cases) == 4
            page.browser.wait_for("!document.querySelector('#step-check .command').closest('[hidden]')")
            page.run("check", "vmseg_plan_and_preprocess -d my_patients --check-only")
            page.write("#plan-memory", "0.05")
            page.run("plan", "vmseg_plan_and_preprocess -d my_patients --memory 0.05")
            page.reach("#train-folds")
            page.press("f")
            page.reach("#step-train summary")
            page.press("Enter")
            page.reach("#train-trainer")
            page.press("q")
            page.write("#train-epochs", "2")
            page.write("#train-iterations", "1")
            train = "vmseg_train 0 -d my_patients --trainer quick --set epochs=2 iterations_per_epoch=1"
            page.browser.wait_for(f"document.querySelector('#step-train .command code').textContent === {train!r}")
            page.reach("#step-train .actions > .main")
            page.press("Enter")
            page.browser.wait_for("start.views.train.shown.job")
            quiet(browser, server)
        with start_served(tmp_path) as server:  # the training goes on meanwhile
            page = StartPage(browser, server)
            page.ends("train", "done")
            page.says("#step-train .told", "1 of 4 folds are trained")
            page.browser.wait_for("document.querySelectorAll('#step-train svg[role=img]').length === 2")
            page.run("predict", "vmseg_predict -d my_patients -i new_scans -o new_masks --previews")
            assert [row["case"] for row in read_sources(tmp_path / "new_masks")] == ["Erle_Eva"]
            page.write("#review-reader", "Dr Ada")
            page.browser.wait_for("document.querySelector('#step-review .command code').textContent.includes('Ada')")
            page.reach("#step-review .actions > .main")
            page.press("Enter")
            page.browser.wait_for("start.views.review.shown.job && start.views.review.shown.job.link")
            link = page.browser.run("document.querySelector('#step-review .job a').href")
            browser.run(f"location.href = {link!r}")
            browser.wait_for("window.review && document.querySelectorAll('#queue button').length === 1")
            assert "Erle_Eva" in page.text("#queue")
            browser.open(server.link)
            browser.wait_for("document.querySelectorAll('section').length === 8")
            page.reach("#step-review .job button:not([hidden])")
            page.press("Enter")
            page.ends("review", "stopped")
            page.run("report", "vmseg_report -d my_patients -i new_masks")
            page.reach("#step-report .actions > button:not(.main)")
            assert page.text(":focus") == "Open new_masks/report.html"
            page.press("Enter")
            wait_until(lambda: any("Predicted scans" in title for title in titles(browser)))
    assert [job.exit_code for job in Jobs(tmp_path).read_all()] == [2, 0, 0, 0, 0, 0, 143, 0]


@pytest.mark.parametrize("size", [(1280, 900), PHONE])
def test_controls_have_names_and_a_place_at_any_width(page: tuple[StartPage, Served], size: tuple[int, int]) -> None:
    browser = page[0].browser
    browser.resize(*size)
    browser.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert browser.run(CHECKS) == []
    assert browser.run("document.querySelectorAll('main img').length") == 0  # a folder's name is no script
    assert SCRIPT in page[0].text("#pairs-scans")
    quiet(browser, page[1])


@pytest.mark.skipif(not AXE, reason="AXE_CORE names no axe.min.js (`npm pack axe-core`)")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(page: tuple[StartPage, Served], scheme: str) -> None:
    browser = page[0].browser
    browser.paint(scheme)
    for size in ((1280, 900), PHONE):
        browser.resize(*size)
        browser.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        browser.run(f"{Path(AXE).read_text()};0")
        found: list[Any] = browser.run(
            "axe.run().then((told) => told.violations.map((one) => [one.impact, one.id, one.nodes.map((n) => n.html)]))"
        )
        assert [fault for fault in found if fault[0] in SERIOUS] == []


def test_each_control_is_reached_in_its_order_and_seen(page: tuple[StartPage, Served]) -> None:
    browser = page[0].browser
    places = []
    for _ in range(60):
        page[0].press("Tab")
        told = browser.run(
            "(e => e === document.body ? null : [[...document.querySelectorAll('*')].indexOf(e), "
            "getComputedStyle(e).outlineStyle, parseFloat(getComputedStyle(e).outlineWidth)])(document.activeElement)"
        )
        if told is None:
            break
        places.append(told[0])
        assert told[1] == "solid"
        assert told[2] >= 2
    assert len(places) > 25
    assert places == sorted(places)


def test_what_is_being_written_stays_while_the_page_is_brought_up_to_date(
    page: tuple[StartPage, Served], root: Path
) -> None:
    start, _ = page
    start.write("#train-hours", "1.5")
    (root / "later").mkdir()
    start.browser.run("start.load()")
    start.browser.wait_for("document.getElementById('pairs-scans').innerText.includes('later')")
    assert start.browser.run("document.activeElement.id") == "train-hours"
    assert start.browser.run("document.activeElement.value") == "1.5"
    start.browser.wait_for("document.querySelector('#step-train .command code').textContent.includes('--hours 1.5')")


def test_who_ends_the_page_is_told_that_jobs_go_on(page: tuple[StartPage, Served], tmp_path: Path) -> None:
    with start_served(tmp_path) as server:
        other = StartPage(page[0].browser, server)
        other.reach("#end")
        other.press("Enter")
        other.browser.wait_for("document.getElementById('message').innerText.includes('goes on')")
