"""Reports opened in a headless Chromium that has no network."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chromium import CHROMIUM, Browser
from numpy.typing import NDArray
from PIL import Image
from reports import deliver, scan
from workspaces import cohort, finished_run

from vmseg_auto.data.images.images import read_image, read_mask, write_image, write_mask
from vmseg_auto.data.pseudonym_key import read_key
from vmseg_auto.report.write import write_report
from vmseg_auto.utils.atomic import write_json
from vmseg_auto.utils.console import Silent
from vmseg_auto.utils.tables import read_csv
from vmseg_auto.workflows.plan import plan_and_preprocess
from vmseg_auto.workflows.validate import finish_run

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium; install Debian's package chromium")

EVIL = "<script>document.title='evil'<\u2044script>\"'&<img src=x onerror=evil()>"
"""As much of a script as a file's name can hold."""


@pytest.fixture(scope="module")
def predictions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scans with two lesions each, and one without."""
    folder = tmp_path_factory.mktemp("predicted")
    masks = {name: scan(folder / "scans", name) for name in ("anna", "bert")}
    masks["carl"] = scan(folder / "scans", "carl", ())
    return write_report(deliver(folder / "scans", folder / "masks", masks))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = cohort(tmp_path_factory.mktemp("cohort"), 7)
    run = finished_run(made, "default", lambda case, mask: np.where(mask, 0.9, 0.1).astype(np.float32))
    assert finish_run(run, made.space, made.fingerprint, made.splits, made.dataset, Silent())
    return write_report(workspace=made.space.root)


@pytest.fixture
def browser() -> Iterator[Browser]:
    with Browser() as opened:
        yield opened


def assert_quiet(browser: Browser, page: Path) -> None:
    """Nothing was complained of, and nothing asked for but the page and what it holds."""
    assert browser.complaints == []
    assert [url for url in browser.requests if not url.startswith(("data:", "blob:"))] == [page.resolve().as_uri()]


def pixels(browser: Browser, selector: str) -> NDArray[np.uint8]:
    """What an element looks like, (rows, columns, 3)."""
    browser.run(f"document.querySelector('{selector}').scrollIntoView()")
    return np.asarray(Image.open(io.BytesIO(browser.screenshot(browser.box(selector)))).convert("RGB"))


def orange(picture: NDArray[np.uint8]) -> int:
    """Pixels of the colour of outlines."""
    return int((np.abs(picture.astype(int) - (255, 122, 26)).max(axis=2) < 40).sum())


def first_drawn(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.run("document.querySelector('.slices').scrollIntoView()")
    browser.wait_for("document.querySelector('.slices').dataset.drawn == 'yes'")


def test_a_workspace_opens_at_any_width_in_light_and_dark(workspace: Path, browser: Browser) -> None:
    browser.open(workspace)
    assert browser.run("document.querySelectorAll('svg image').length") >= 6
    for width in (1440, 400, 320):
        browser.resize(width, 900)
        assert browser.run("document.documentElement.scrollWidth") <= width
        assert orange(pixels(browser, ".slice svg")) > 20
    browser.paint("light")
    assert pixels(browser, "h1").mean() > 180
    browser.paint("dark")
    assert pixels(browser, "h1").mean() < 90
    assert_quiet(browser, workspace)


def test_predictions_fit_on_a_phone(predictions: Path, browser: Browser) -> None:
    browser.resize(360, 800)
    first_drawn(browser, predictions)
    assert browser.run("document.documentElement.scrollWidth") <= 360
    x, _, width, _ = browser.box(".slices canvas")
    assert x >= 0
    assert x + width <= 360


def test_slices_are_drawn_and_moved_by_keyboard_and_mouse(predictions: Path, browser: Browser) -> None:
    first_drawn(browser, predictions)
    shown = "document.querySelector('.slices output').textContent"
    picture = "document.querySelector('.slices canvas').toDataURL()"
    before, at = browser.run(picture), browser.run(shown)
    seen = pixels(browser, ".slices canvas")
    assert seen.std() > 20
    assert orange(seen) > 50
    browser.run("document.querySelector('.slices input[type=range]').focus()")
    browser.press("ArrowRight")
    assert browser.run(shown) != at
    assert browser.run(picture) != before
    browser.press("ArrowLeft")
    assert browser.run(picture) == before
    browser.run("document.querySelector('.slices .on').click()")
    assert browser.run(shown) != at
    browser.run("document.querySelectorAll('.jump')[0].click()")
    assert browser.run(shown) == at == "axial slice 3"
    browser.run("document.querySelectorAll('.jump')[1].click()")
    assert browser.run(shown) == "axial slice 7"
    browser.run("document.querySelector('.slices .outlines').click()")
    assert orange(pixels(browser, ".slices canvas")) == 0
    assert browser.run("document.querySelector('.slices input[type=range]').ariaValueText") == "axial slice 7"
    assert_quiet(browser, predictions)


def test_an_old_browser_says_so_and_shows_the_pictures(predictions: Path, browser: Browser) -> None:
    browser.call("Page.addScriptToEvaluateOnNewDocument", source="delete window.DecompressionStream")
    browser.open(predictions)
    words = browser.run("document.querySelector('.patient:has(.slices)').innerText")
    assert "too old to draw the slices" in words
    assert "Safari 16.4, Firefox 113" in words
    assert browser.run("getComputedStyle(document.querySelector('.screen')).display") == "none"
    assert orange(pixels(browser, ".slice svg")) > 20
    assert_quiet(browser, predictions)


def test_every_picture_tells_case_slice_side_and_scale(predictions: Path, browser: Browser) -> None:
    browser.resize(390, 800)
    first_drawn(browser, predictions)
    shown = browser.run("document.querySelector('.screen').innerText")
    assert shown.split() == ["P01", "10", "mm", "R", "L"]
    bar, canvas = browser.box(".screen .scale"), browser.box(".slices canvas")
    columns = browser.run("document.querySelector('.slice svg').viewBox.baseVal.width")
    assert columns > 0
    assert bar[2] == pytest.approx(10 * canvas[2] / 39, rel=0.35)
    assert canvas[2] == pytest.approx(browser.box(".screen")[2], abs=1)  # no black strip beside the picture
    assert browser.run("[...document.querySelectorAll('.slice svg')].every(one => one.querySelector('.scale'))")


def test_wide_tables_scroll_and_the_page_does_not(workspace: Path, browser: Browser) -> None:
    browser.resize(390, 800)
    browser.open(workspace)
    browser.run("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert browser.run("document.documentElement.scrollWidth") <= 390
    assert browser.run("[...document.querySelectorAll('.scroll')].some(one => one.scrollWidth > one.clientWidth + 50)")


def test_the_viewer_draws_and_closes(predictions: Path, browser: Browser) -> None:
    first_drawn(browser, predictions)
    assert browser.run("typeof niivue") == "undefined"
    for place in (0, 1):  # opening the second closes the first
        browser.run(f"document.querySelectorAll('.open')[{place}].click()")
        browser.wait_for(f"document.querySelectorAll('.viewer')[{place}].dataset.drawn == 'yes'")
        assert browser.run("document.querySelectorAll('.viewer canvas').length") == 1
    browser.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    seen = pixels(browser, ".viewer canvas")
    assert seen.std() > 15
    assert len(np.unique(seen.reshape(-1, 3), axis=0)) > 100
    reddish = (seen[..., 0].astype(int) - seen[..., 2] > 60).mean()
    assert 0.005 < reddish < 0.5
    browser.run("document.querySelectorAll('.open')[1].click()")
    assert browser.run("document.querySelectorAll('.viewer canvas').length") == 0
    assert_quiet(browser, predictions)


def test_without_scripts_the_pictures_are_there(predictions: Path) -> None:
    with Browser(scripts=False) as browser:
        browser.open(predictions)
        page = np.asarray(Image.open(io.BytesIO(browser.screenshot(whole=True))).convert("RGB"))
        assert orange(page) > 200
        assert_quiet(browser, predictions)


def test_figures_on_the_screen_are_those_of_the_table(predictions: Path, browser: Browser) -> None:
    browser.open(predictions)
    cells = "row => [...row.cells].map(cell => cell.innerText)"
    rows = browser.run(f"[...document.querySelectorAll('#overview tbody tr')].map({cells})")
    key = read_key(predictions.with_name("report_key.csv"))
    wanted = {
        key[row["case"]]: f"{float(row['volume_ml']):.2f}"
        for row in read_csv(predictions.with_name("volumes.csv"))
        if row["component"] == "all"
    }
    assert {row[0]: row[2] for row in rows} == wanted


def test_a_name_and_a_header_with_a_script_do_nothing(tmp_path: Path, browser: Browser) -> None:
    """Of predictions, shown with names."""
    name = EVIL[:80]
    masks = {name: scan(tmp_path / "scans", name)}
    path = next((tmp_path / "scans").iterdir())
    raw = tmp_path / "plain.nii"
    image, geometry = read_image(path)
    write_image(raw, image, geometry)
    header = bytearray(raw.read_bytes())
    script = b"<script>document.title='evil'</script>"
    header[148 : 148 + len(script)] = script  # the header's free text
    path.unlink()
    (tmp_path / "scans" / f"{name}.nii").write_bytes(header)
    labels = {"background": 0, "<b onclick=evil()>lesion</b>": 1}
    page = write_report(deliver(tmp_path / "scans", tmp_path / "masks", masks, labels), identity=True)
    browser.open(page)
    assert browser.run("document.querySelector('section.patient h2').innerText") == name
    assert browser.run("document.querySelectorAll('img, b, section script:not([type])').length") == 0
    assert "evil" not in browser.run("document.title")
    assert_quiet(browser, page)


def test_a_dataset_with_scripts_in_its_names_does_nothing(tmp_path: Path, browser: Browser) -> None:
    made = cohort(tmp_path / "plain", 5)
    folder = tmp_path / "evil"
    for number, case in enumerate(made.dataset.cases):
        assert case.label is not None
        name = f"{EVIL[:60]}{number}"
        write_image(folder / "imagesTr" / f"{name}_0000.nii.gz", *read_image(case.images[0]))
        write_mask(folder / "labelsTr" / f"{name}.nii.gz", *read_mask(case.label))
    about = {"name": EVIL, "channel_names": {"0": EVIL}, "labels": {"background": 0, EVIL: 1}, "file_ending": ".nii.gz"}
    write_json(folder / "dataset.json", about)
    space = plan_and_preprocess(folder, memory_gb=0.01, jobs=1).workspace
    page = write_report(workspace=space.root, identity=True)
    browser.open(page)
    assert browser.run("document.querySelector('h1').innerText") == EVIL
    assert browser.run("document.querySelectorAll('img, section script').length") == 0
    assert browser.run("document.title").startswith(EVIL)
    assert_quiet(browser, page)


def test_the_policy_stops_what_was_put_into_a_page_later(predictions: Path, tmp_path: Path, browser: Browser) -> None:
    """So even markup that had slipped through would do nothing."""
    page = tmp_path / "tampered.html"
    evil = "<script>document.title='evil'</script><img src='https://example.org/a.png' onerror='document.title=1'>"
    page.write_text(predictions.read_text().replace("<main", f"{evil}<main"))
    browser.open(page)
    assert browser.run("document.title").startswith("Predicted scans")
    assert len(browser.complaints) >= 2
    assert not any(url.startswith("http") for url in browser.requests)


def test_on_paper_there_are_pictures_and_no_controls(predictions: Path, browser: Browser) -> None:
    browser.open(predictions)
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.run("getComputedStyle(document.querySelector('.slices')).display") == "none"
    assert browser.run("getComputedStyle(document.querySelector('.slice svg')).display") == "block"
    assert browser.run("getComputedStyle(document.querySelector('nav')).display") == "none"


def test_every_picture_field_and_table_has_its_words(predictions: Path, workspace: Path, browser: Browser) -> None:
    for page in (predictions, workspace):
        browser.open(page)
        bare = "svg[role=img], canvas, input, button, [role=region]"
        named = "one => one.ariaLabel || one.innerText || one.closest('label')?.innerText"
        assert browser.run(f"[...document.querySelectorAll('{bare}')].every({named})")
        assert browser.run("[...document.querySelectorAll('table')].every(one => one.caption && one.tHead)")
        assert browser.run("[...document.querySelectorAll('th')].every(one => one.scope)")
        ids = browser.run("[...document.querySelectorAll('a[href^=\"#\"]')].every(a => document.querySelector(a.hash))")
        assert ids


def test_outlines_are_drawn_in_mm(predictions: Path, browser: Browser) -> None:
    browser.open(predictions)
    sides = browser.run("(box => [box.width, box.height])(document.querySelector('.slice .outline').getBBox())")
    assert sides == [12, 10]
