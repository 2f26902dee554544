"""The page in a headless Chromium: what is drawn is what is saved, voxel by voxel."""

from __future__ import annotations

import base64
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import CHROMIUM, SECONDS, Browser
from clicking import clicked_model
from numpy.typing import NDArray
from reports import GRID, TWO, deliver, scan
from reviewing import Served, by_hand, cases_of, put_map, served
from scipy import ndimage

from vmseg_auto.data.cases import read_dataset
from vmseg_auto.data.images.images import read_image, read_mask, write_mask
from vmseg_auto.data.mask_files import mask_sha256
from vmseg_auto.preprocessing.click_channels import Click
from vmseg_auto.report.write import write_report
from vmseg_auto.review.click_model import ClickModel
from vmseg_auto.review.drafts import DraftFile
from vmseg_auto.review.predicted_cases import AddTo, PredictedCases
from vmseg_auto.review.reader_cases import ReaderCases
from vmseg_auto.utils.atomic import leftovers, read_json
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.utils.tables import read_csv

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium; install Debian's package chromium"),
    pytest.mark.slow,
]

Point = Sequence[float]
Mask = NDArray[np.uint8]


class Page:
    """The page of a server in a browser."""

    def __init__(self, browser: Browser, link: str) -> None:
        self.browser = browser
        browser.open(link)
        browser.wait_for("document.querySelectorAll('#queue button').length > 0")

    def open(self, key: int = 0) -> None:
        self.browser.run(f"document.querySelector('#queue button[data-key=\"{key}\"]').click()")
        self.drawn(key)

    def drawn(self, key: int) -> None:
        self.browser.wait_for(f"review.key === {key} && review.mask && document.getElementById('welcome').hidden")
        self.browser.wait_for("review.views.every((view) => view.canvas.dataset.drawn > 0 && !view.waiting)")

    def mask(self) -> Mask:
        text = self.browser.run(
            "new Promise((done) => { const r = new FileReader(); r.onload = () => done(r.result.split(',')[1]); "
            "r.readAsDataURL(new Blob([review.mask.data])); })"
        )
        shape = self.browser.run("review.shape")
        return np.frombuffer(base64.b64decode(text), np.uint8).reshape(shape)

    def go(self, z: int, y: int, x: int) -> None:
        self.browser.run(f"review.goTo([{z}, {y}, {x}])")

    def place(self, point: Point, view: int = 0) -> tuple[float, float]:
        """Where a point [z, y, x] is shown: the nearest whole pixel of the window."""
        x, y = self.browser.run(
            f"(v => {{ const [x, y] = v.placeOf([{','.join(map(str, point))}]); "
            f"const box = v.canvas.getBoundingClientRect(); return [x + box.x, y + box.y]; }})(review.views[{view}])"
        )
        return round(x), round(y)

    def point(self, place: tuple[float, float], view: int = 0) -> NDArray[np.float64]:
        told = self.browser.run(
            f"(v => {{ const box = v.canvas.getBoundingClientRect(); "
            f"return v.pointAt({place[0]} - box.x, {place[1]} - box.y); }})(review.views[{view}])"
        )
        return np.array(told, dtype=float)

    def stroke(self, *points: Point, view: int = 0) -> list[NDArray[np.float64]]:
        """Draw from point to point with the mouse; gives where it was, as the page sees it."""
        places = [self.place(point, view) for point in points]
        self.browser.drag(places)
        return [self.point(place, view) for place in places]

    def tool(self, name: str, radius: float = 3.0) -> None:
        self.browser.run(f"review.choose('{name}'); review.size({radius})")

    def text(self, selector: str) -> str:
        said: str = self.browser.run(f"document.querySelector('{selector}').innerText")
        return said

    def write_name(self, name: str = "Dr Ada") -> None:
        self.browser.run("document.getElementById('reader').focus()")
        self.browser.type(name)

    def decide(self, decision: str) -> None:
        self.browser.run(f"document.querySelector('#decisions button[value=\"{decision}\"]').click()")

    def quiet(self, port: int) -> None:
        """Nothing was complained of, and nothing asked for but this server."""
        assert self.browser.complaints == []
        asked = [url for url in self.browser.requests if not url.startswith(("data:", "blob:"))]
        assert [url for url in asked if not url.startswith(f"http://127.0.0.1:{port}/")] == []


@pytest.fixture
def page(server: Served) -> Iterator[Page]:
    with Browser(1400, 900, loopback=True) as browser:
        yield Page(browser, server.link)


def near_line(ends: Sequence[NDArray[np.float64]], radius: float, grid: Geometry = GRID) -> NDArray[np.bool_]:
    """Voxels whose centres lie within a radius in mm of a line through points [z, y, x], and those under the points."""
    spacing = np.array(grid.spacing_mm)
    centres = np.moveaxis(np.indices(grid.shape), 0, -1) * spacing
    inside = np.zeros(grid.shape, bool)
    for one, other in itertools.pairwise(ends):
        start, along = one * spacing, (other - one) * spacing
        length = float(along @ along)
        share = np.clip((centres - start) @ along / length, 0, 1) if length else np.zeros(grid.shape)
        inside |= np.square(centres - start - share[..., None] * along).sum(-1) <= radius**2
    for end in ends:
        inside[tuple(np.round(end).astype(int))] = True
    return inside


def of_slice(inside: NDArray[np.bool_], number: int, axis: int = 0) -> NDArray[np.bool_]:
    here = np.zeros_like(inside)
    here[(slice(None),) * axis + (number,)] = True
    return inside & here


def in_polygon(points: Sequence[NDArray[np.float64]], number: int) -> NDArray[np.bool_]:
    """Voxels of an axial slice whose centres lie in a polygon (even-odd rule)."""
    inside = np.zeros(GRID.shape, bool)
    rows, columns = np.indices(GRID.shape[1:])
    for one, other in zip(points, [*points[1:], points[0]], strict=True):
        crosses = (one[1] <= rows) != (other[1] <= rows)
        with np.errstate(divide="ignore", invalid="ignore"):
            where = one[2] + (rows - one[1]) / (other[1] - one[1]) * (other[2] - one[2])
        inside[number] ^= crosses & (columns <= where)
    return inside


def test_a_stroke_that_a_key_interrupts_is_one_edit(page: Page, folder: Path) -> None:
    page.open()
    before = read_mask(folder / "anna.nii.gz")[0]
    page.go(4, 20, 20)
    page.tool("brush")
    start, end = page.place((4, 30, 30)), page.place((4, 30, 38))
    page.browser.mouse("mousePressed", *start, "left")
    page.browser.mouse("mouseMoved", *end, "left")
    page.browser.run("review.choose('move')")
    page.browser.mouse("mouseReleased", *end, "left")
    assert page.browser.run("review.drawing") is False
    assert (page.mask() != before).any()
    page.browser.run("document.getElementById('undo').click()")
    np.testing.assert_array_equal(page.mask(), before)


def test_of_two_cases_asked_for_the_last_is_shown(page: Page, folder: Path) -> None:
    write_mask(folder / "bert.nii.gz", np.zeros(GRID.shape, np.uint8), GRID)
    page.browser.run("Promise.all([review.open(0), review.open(1)])")
    page.drawn(1)
    assert not page.mask().any()
    assert page.text("#name") == "bert"
    assert page.browser.run("review.unstored") is False


def test_what_is_drawn_is_saved_measured_and_reported(page: Page, server: Served, folder: Path) -> None:
    page.open()
    mask, grid = read_mask(folder / "anna.nii.gz")
    predicted = mask.copy()
    page.go(4, 20, 20)
    page.tool("brush", 2.5)
    ends = page.stroke((4, 30, 30), (4, 30, 38), (4, 34, 38))
    mask[of_slice(near_line(ends, 2.5), 4)] = 1
    np.testing.assert_array_equal(page.mask(), mask)
    before_lasso = mask.copy()
    page.tool("lasso")
    corners = page.stroke((4, 25, 2), (4, 25, 9), (4, 36, 12), (4, 33, 3))
    mask[in_polygon(corners, 4)] = 1
    assert mask.sum() > before_lasso.sum() + 40
    np.testing.assert_array_equal(page.mask(), mask)
    page.browser.press("z", ctrl=True)
    np.testing.assert_array_equal(page.mask(), before_lasso)
    page.browser.press("z", ctrl=True)
    np.testing.assert_array_equal(page.mask(), predicted)
    page.browser.press("y", ctrl=True)
    page.browser.press("y", ctrl=True)
    np.testing.assert_array_equal(page.mask(), mask)
    page.tool("erase", 2.0)
    ends = page.stroke((4, 12, 10), (4, 18, 15))
    mask[of_slice(near_line(ends, 2.0), 4)] = 0
    page.go(6, 30, 38)
    page.tool("drop")
    page.stroke((6, 30, 38))
    mask[TWO[1]] = 0
    np.testing.assert_array_equal(page.mask(), mask)
    ml = int(mask.sum()) * grid.voxel_ml
    assert page.text("#volumes td:nth-child(2)") == f"{ml:.2f}"
    assert page.text("#changed").startswith(f"{np.count_nonzero(mask != predicted)} voxels differ")
    page.decide("corrected")
    page.browser.wait_for("!document.getElementById('message').hidden")
    assert "into the field Reader" in page.text("#message")
    page.write_name()
    page.decide("corrected")
    page.drawn(1)
    assert page.text("#progress") == "1 of 2 cases done"
    assert "corrected by Dr Ada" in page.text("#queue li:first-child")
    np.testing.assert_array_equal(read_mask(folder / "anna.nii.gz")[0], mask)
    record = read_json(folder / "anna.json")
    assert record["mask_sha256"] == mask_sha256(predicted)
    assert record["reviews"][0]["mask_sha256"] == record["saved"][0]["mask_sha256"] == mask_sha256(mask)
    assert record["reviews"][0]["minutes"] > 0
    total = next(row for row in read_csv(folder / "volumes.csv") if row["case"] == "anna")
    assert int(total["voxels"]) == mask.sum()
    assert float(total["volume_ml"]) == pytest.approx(ml, rel=1e-5)
    page.quiet(server.port)
    report = write_report(folder, identity=True)
    with Browser() as browser:
        browser.open(report)
        cells = "(row) => [...row.cells].map((cell) => cell.innerText)"
        rows = browser.run(f"[...document.querySelectorAll('#overview tbody tr')].map({cells})")
        words = browser.run("document.querySelector('section.patient').innerText")
    assert {row[0]: row[2] for row in rows}["anna"] == f"{ml:.2f}"
    assert "A reader has corrected this mask." in words
    assert "Dr Ada" in words


def test_a_brush_in_3d_and_one_for_like_intensities(page: Page, folder: Path, tmp_path: Path) -> None:
    page.open()
    mask = read_mask(folder / "anna.nii.gz")[0].copy()
    page.go(5, 30, 12)
    page.tool("brush", 4.0)
    page.browser.run("document.getElementById('three').click()")
    ends = page.stroke((5, 30, 12), (5, 33, 20))
    mask[near_line(ends, 4.0)] = 1
    assert mask[6, 30, 12] == 1
    assert mask[3, 30, 12] == 0
    np.testing.assert_array_equal(page.mask(), mask)
    page.browser.run("document.getElementById('again').click(); document.getElementById('three').click()")
    mask = read_mask(folder / "anna.nii.gz")[0].copy()
    np.testing.assert_array_equal(page.mask(), mask)
    image = read_image(tmp_path / "scans" / "anna.nii.gz")[0]
    page.tool("drop")
    page.go(4, 15, 14)
    page.stroke((4, 15, 14))
    mask[TWO[0]] = 0
    page.tool("like", 9.0)
    page.browser.run("document.getElementById('like').value = 20")
    (end,) = page.stroke((4, 15, 14))
    low, high = np.percentile(image, (0.5, 99.5))
    steps = np.round((image - image.min()) * (65_535 / (image.max() - image.min())))
    level = steps[tuple(np.round(end).astype(int))]
    reach = 0.2 * (high - low) / (image.max() - image.min()) * 65_535
    taken = of_slice(near_line([end, end], 9.0), 4)
    mask[taken & (np.abs(steps - level) <= reach)] = 1
    assert 10 < (taken & (mask == 0)).sum() < taken.sum() - 100
    np.testing.assert_array_equal(page.mask(), mask)


def test_other_planes_and_slices_between_outlined_ones(page: Page, folder: Path) -> None:
    page.open()
    page.tool("erase", 40.0)
    page.browser.run("document.getElementById('three').click()")
    page.stroke((4, 20, 20))
    assert not page.mask().any()
    page.browser.run("document.getElementById('three').click()")
    page.go(2, 20, 20)
    page.tool("brush", 6.0)
    first = of_slice(near_line(page.stroke((2, 15, 15), (2, 15, 20)), 6.0), 2)
    page.go(7, 20, 20)
    page.browser.run("review.size(4)")
    ends = page.stroke((7, 24, 22), (7, 24, 22))
    last = of_slice(near_line(ends, 4.0), 7)
    page.browser.run("document.getElementById('between').click()")
    signed = [
        ndimage.distance_transform_edt(one, sampling=(1, 1)) - ndimage.distance_transform_edt(~one, sampling=(1, 1))
        for one in (first[2], last[7])
    ]
    wanted = (first | last).astype(np.uint8)
    for slice_ in range(3, 7):
        share = (slice_ - 2) / 5
        wanted[slice_] = (1 - share) * signed[0] + share * signed[1] > 0
    np.testing.assert_array_equal(page.mask(), wanted)
    page.go(4, 12, 30)
    page.tool("brush", 5.0)
    ends = page.stroke((4, 12, 30), (7, 12, 40), view=1)
    wanted[of_slice(near_line(ends, 5.0), 12, axis=1)] = 1
    np.testing.assert_array_equal(page.mask(), wanted)
    assert page.browser.run("review.views.map((v) => v.plane.plane)") == ["axial", "coronal", "sagittal"]


def test_the_wheel_the_window_and_the_zoom(page: Page) -> None:
    page.open()
    x, y = page.place((4, 20, 24))
    page.browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=100)
    page.browser.wait_for("review.cursor[0] === 5")
    page.browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=-100, modifiers=2)
    page.browser.wait_for("review.views[0].zoom > 1.1")
    np.testing.assert_allclose(page.point((x, y)), page.point(page.place(page.point((x, y)))), atol=0.1)
    before = page.browser.run("review.window")
    page.browser.drag([(x, y), (x + 100, y + 40)], "right")
    low, high = page.browser.run("review.window")
    assert high - low < before[1] - before[0]
    assert low + high > sum(before)
    page.browser.drag([(x, y), (x + 50, y)], "middle")
    assert page.browser.run("review.views[0].middle[1]") < 23
    assert page.mask().sum() == 632


def test_the_keyboard_alone_is_enough(page: Page, folder: Path) -> None:
    browser = page.browser
    mask = read_mask(folder / "anna.nii.gz")[0].copy()
    reached: list[str] = []
    for _ in range(60):
        browser.press("Tab")
        reached.append(browser.run("document.activeElement.id || document.activeElement.dataset.key || ''"))
        if reached[-1] == "0":
            break
    browser.press("Enter")
    page.drawn(0)
    z, y, x = browser.run("review.cursor")
    for _ in range(60):
        if browser.run("document.activeElement.tagName") == "CANVAS":
            break
        browser.press("Tab")
    for key in ("PageDown", "ArrowDown", "ArrowRight", "ArrowRight", "b", "[", "[", " "):
        browser.press(key)
    at = np.array([z + 1, y + 1, x + 2], float)
    assert browser.run("review.cursor") == at.tolist()
    mask[of_slice(near_line([at, at], 2.0), z + 1)] = 1
    np.testing.assert_array_equal(page.mask(), mask)
    browser.press("l")
    for steps in ("ArrowDown", "ArrowRight", "ArrowUp"):
        browser.press(" ")
        for _ in range(12):
            browser.press(steps)
    browser.press(" ")
    browser.press("Enter")
    mask[z + 1, y + 1 : y + 13, x + 2 : x + 15] = 1
    np.testing.assert_array_equal(page.mask(), mask)
    page.write_name()
    for _ in range(80):
        browser.press("Tab")
        if browser.run("document.activeElement.value === 'corrected'"):
            break
    browser.press("Enter")
    page.drawn(1)
    np.testing.assert_array_equal(read_mask(folder / "anna.nii.gz")[0], mask)


def test_a_second_window_is_told_and_nothing_is_overwritten(page: Page, server: Served, folder: Path) -> None:
    page.open()
    predicted = page.mask()
    with Browser(1400, 900, loopback=True) as browser:
        second = Page(browser, server.link)
        second.open()
        page.tool("brush")
        page.stroke((4, 30, 30), (4, 30, 36))
        page.browser.wait_for("review.draft === 1")
        first = page.mask()
        second.tool("erase")
        second.stroke((4, 15, 12), (4, 15, 16))
        browser.wait_for("!document.getElementById('message').hidden")
        assert "drawn on in another window" in second.text("#message")
        note, kept = DraftFile(folder, "anna").read(GRID.shape) or (None, None)
        assert note is not None
        np.testing.assert_array_equal(kept, first)
        browser.run("document.querySelector('#message button').click()")
        browser.wait_for("review.draft === 1 && !review.blocked")
        np.testing.assert_array_equal(second.mask(), first)
        second.write_name("Dr Bell")
        second.decide("corrected")
        second.drawn(1)
        page.write_name()
        page.decide("no lesion")
        page.browser.wait_for("!document.getElementById('message').hidden")
        assert "Dr Bell has saved this case meanwhile" in page.text("#message")
        np.testing.assert_array_equal(read_mask(folder / "anna.nii.gz")[0], first)
        page.browser.run("document.querySelector('#message button').click()")
        page.browser.wait_for("review.about.version === 1 && document.getElementById('message').hidden")
        assert "corrected, by Dr Bell" in page.text("#notes")
    assert predicted.sum() != first.sum()


@contextmanager
def started(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command as a process of its own; yields it and its link."""
    command = [sys.executable, "-m", "vmseg_auto.cli.review", "-i", str(folder), "--no-browser", "--reader", "Dr Ada"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, next(line.split()[-1] for line in process.stdout if "http://" in line)
        finally:
            process.kill()


def test_a_killed_server_loses_at_most_the_last_seconds(folder: Path) -> None:
    generator = np.random.default_rng(0)
    stored: Mask = read_mask(folder / "anna.nii.gz")[0]
    written = (folder / "anna.nii.gz").read_bytes()
    for _ in range(2):
        with started(folder) as (process, link), Browser(1400, 900, loopback=True) as browser:
            page = Page(browser, link)
            page.open()
            np.testing.assert_array_equal(page.mask(), stored)
            page.tool("brush", 2.0)
            drawn = [stored]
            for _ in range(int(generator.integers(3, 6))):
                row, column = generator.integers(3, 36, 2)
                page.stroke((4, row, column), (4, row + 2, column))
                drawn.append(page.mask())
            time.sleep(float(generator.uniform(0, 4)))
            process.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
            process.wait(SECONDS)
            page.stroke((4, 2, 2))
            browser.run("review.store().catch((error) => review.told(error))")
            assert "does not answer" in page.text("#message")
        assert (folder / "anna.nii.gz").read_bytes() == written
        found = DraftFile(folder, "anna").read(GRID.shape)
        stored = found[1] if found else stored
        assert any(np.array_equal(stored, one) for one in drawn)
    with started(folder) as (process, link), Browser(1400, 900, loopback=True) as browser:
        page = Page(browser, link)
        page.open()
        np.testing.assert_array_equal(page.mask(), stored)
        page.decide("corrected")
        page.drawn(1)
        np.testing.assert_array_equal(read_mask(folder / "anna.nii.gz")[0], stored)
        browser.run("document.getElementById('end').click()")
        browser.wait_for("document.getElementById('welcome').innerText.includes('has ended')")
        assert process.wait(SECONDS) == 0
    assert leftovers(folder, lambda below: below.name == "drafts") == []
    logs = "".join(path.read_text() for path in (folder / "logs").iterdir())
    assert "a decision is saved: corrected" in logs
    assert "anna" not in logs
    assert link.partition("#")[2] not in logs


def test_the_mask_in_3d(page: Page, server: Served) -> None:
    page.open()
    page.browser.run("document.getElementById('solid').click()")
    page.browser.wait_for("document.querySelector('#render canvas')?.dataset.drawn === 'yes'")
    page.browser.run("document.getElementById('solid').click()")
    assert page.browser.run("document.querySelectorAll('#render canvas').length") == 0
    page.quiet(server.port)


def test_a_case_is_added_to_the_dataset(tmp_path: Path) -> None:
    masks = {name: scan(tmp_path / "scans", name) for name in ("erika", "alba_v2")}
    folder = deliver(tmp_path / "scans", tmp_path / "masks", masks)
    dataset = by_hand(tmp_path, "alba_v1", "bo")
    cases = PredictedCases(folder, None, Inventory(), AddTo(dataset))
    with served(cases, reader="Dr Ada") as server, Browser(1400, 900, loopback=True) as browser:
        page = Page(browser, server.link)
        page.open(0)
        assert browser.run("document.getElementById('add').hidden")
        page.decide("accepted")
        page.drawn(1)
        assert page.text("#message").startswith("alba_v2 is saved as accepted.")
        browser.run("document.querySelector('#message button').focus()")
        browser.press("Enter")
        browser.wait_for("document.querySelectorAll('#message button').length === 2")
        assert "a visit of alba_v1" in page.text("#message")
        browser.run("document.querySelector('#message button').focus()")
        browser.press("Enter")
        browser.wait_for("document.querySelector('#message p').innerText.startsWith('alba_v2 is now')")
        assert "vmseg_plan_and_preprocess" in page.text("#message")
        page.decide("accepted")
        page.drawn(1)
        browser.wait_for("!document.getElementById('add').hidden")
        browser.run("document.getElementById('add').click()")
        browser.wait_for("document.querySelector('#message p').innerText.startsWith('erika is now')")
        assert browser.run("document.getElementById('add').hidden")
    assert {case.id: case.patient for case in read_dataset(dataset).cases} == {
        "alba_v1": "alba_v1", "alba_v2": "alba_v1", "bo": "bo", "erika": "erika",
    }  # fmt: skip


def test_who_reads_blind_draws_on_an_empty_mask_and_then_sees_all(folder: Path) -> None:
    with (
        served(ReaderCases(cases_of(folder), "Dr Ada", 1.0), reader="Dr Ada") as server,
        Browser(1400, 900, loopback=True) as browser,
    ):
        page = Page(browser, server.link)
        page.open(0)
        case = page.text("#name")
        assert not page.mask().any()
        assert browser.run("document.getElementById('reader').readOnly")
        assert "You read this case blind" in page.text("#notes")
        for hidden in ("second", "maps", "add"):
            assert browser.run(f"document.getElementById('{hidden}').hidden")
        offered = "[...document.querySelectorAll('#decisions button:not(:disabled)')].map((one) => one.value)"
        assert browser.run(offered) == ["corrected", "no lesion", "unsure"]
        assert browser.run("document.getElementById('again').disabled")
        assert "Dice" not in browser.run("document.body.innerText")
        page.tool("brush", 3.0)
        page.stroke((5, 15, 10), (5, 15, 18))
        drawn = page.mask()
        page.decide("corrected")
        page.drawn(1)
        page.open(0)
        np.testing.assert_array_equal(page.mask(), drawn)
        assert browser.run(offered) == []
        assert "not changed any more" in page.text("#notes")
        assert not browser.run("document.getElementById('second').hidden")
        assert page.text("#changed").endswith("voxels differ from the prediction.")
        page.quiet(server.port)
    np.testing.assert_array_equal(read_mask(folder / "readers" / "Dr Ada" / f"{case}.nii.gz")[0], drawn)


def test_the_prediction_as_an_outline_and_a_map_over_the_scan(page: Page, folder: Path) -> None:
    values = np.zeros(GRID.shape, np.float32)
    values[4, 20, 20] = 0.6
    put_map(folder, "anna", values)
    page.open(1)
    assert page.browser.run("document.getElementById('maps').hidden")
    page.open(0)
    page.go(4, 20, 20)
    page.tool("brush", 3.0)
    page.stroke((4, 30, 30))
    page.browser.run("document.querySelector('canvas').focus()")
    for key in ("p", "u"):
        page.browser.press(key)
    page.browser.wait_for("review.overlay !== null && !review.views[0].waiting")
    for control in ("predicted", "mapped"):
        assert page.browser.run(f"document.getElementById('{control}').checked")
    assert "uncertainty 0.60" in page.text("#position")
    assert "uncertainty 0.60" in page.browser.run("review.views[0].canvas.ariaLabel")
    outlined = page.browser.run("Object.values(review.views[0].outlines)[0].length / 4")
    assert outlined == 2 * (10 + 12)
    drawn = "review.views[0].map.getContext('2d').getImageData(20, 20, 2, 1).data"
    assert page.browser.run(f"[...{drawn}]")[3::4] == [round(153 * 0.6), 0]
    page.browser.run(
        "(c => { c.value = 1; c.dispatchEvent(new Event('input')); })(document.getElementById('map-opacity'))"
    )
    page.browser.wait_for(f"{drawn}[3] === 153")
    page.browser.press("u")
    assert page.browser.run("review.overlay") is None
    assert "uncertainty" not in page.text("#position")


def test_names_do_nothing_and_controls_have_names(tmp_path: Path) -> None:
    name = "<img src=x onerror=document.title=1>"
    masks = {name: scan(tmp_path / "scans", name), "a": scan(tmp_path / "scans", "a")}
    labels = {"background": 0, "<b>lesion": 1}
    with (
        served(deliver(tmp_path / "scans", tmp_path / "masks", masks, labels)) as server,
        Browser(1400, 900, loopback=True) as browser,
    ):
        page = Page(browser, server.link)
        page.open(next(key for key, case in enumerate(server.json("/api/queue")["cases"]) if case["case"] == name))
        assert page.text("#name") == name
        assert page.text("#volumes td") == "<b>lesion"
        assert browser.run("document.querySelectorAll('img, #volumes b').length") == 0
        assert browser.run("[document.title, location.href]") == ["vmseg_review", f"http://127.0.0.1:{server.port}/"]
        browser.run("document.getElementById('filter').value = 'to do'; review.tellQueue()")
        bare = "[...document.querySelectorAll('button, input, select, textarea, canvas')]"
        named = "one.ariaLabel || one.innerText || one.labels?.[0]?.innerText"
        assert browser.run(f"{bare}.filter((one) => !({named})).map((one) => one.outerHTML)") == []
        for width in (1400, 400):
            browser.resize(width, 900)
            assert browser.run("document.documentElement.scrollWidth") <= width
        page.quiet(server.port)


def test_a_link_without_its_token_shows_no_patient(server: Served) -> None:
    with Browser(loopback=True) as browser:
        browser.open(server.link.partition("#")[0])
        browser.wait_for("!document.getElementById('message').hidden")
        text: Any = browser.run("document.body.innerText")
        assert "The link is not that of this server" in text
        assert "anna" not in text


def test_a_click_asks_the_model_and_is_one_edit(folder: Path, tmp_path: Path) -> None:
    """By the keys alone, and undone and redone as a stroke."""
    model = ClickModel(clicked_model(tmp_path / "model"), "cpu")
    with served(folder, clicks=model) as server, Browser(1400, 900, loopback=True) as browser:
        page = Page(browser, server.link)
        page.open()
        assert not browser.run("document.querySelector('label.hint').hidden")
        before, place = page.mask(), (3, 9, 11)
        page.go(*place)
        browser.run("review.views[0].canvas.focus()")
        browser.press("c")
        browser.press(" ")
        browser.wait_for("document.getElementById('hinted').textContent.includes('changed by the click')")
        answer = model.answer(cases_of(folder).open(0), [Click(place, True)])
        after = page.mask()
        assert np.array_equal(after, answer.applied(before))
        assert after[place] == 1
        assert browser.run("review.mask.clicks") == [[*place, True]]
        browser.run("document.getElementById('undo').click()")
        assert np.array_equal(page.mask(), before)
        assert browser.run("review.mask.clicks") == []
        browser.run("document.getElementById('redo').click()")
        assert np.array_equal(page.mask(), after)
        page.quiet(server.port)


def test_without_a_model_there_is_no_such_tool(page: Page) -> None:
    page.open()
    assert page.browser.run("[...document.querySelectorAll('label.hint')].every((label) => label.hidden)")
    page.browser.run("document.activeElement.blur()")
    page.browser.press("c")
    assert page.browser.run("review.tool") == "move"
