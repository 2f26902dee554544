"""Draws the pictures of docs/start.md: `python .ci/start_pictures.py`. Needs Chromium; takes some minutes.

The patients are made up: bright balls in noise, under names that nobody has.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "helpers"))

from chromium import Browser  # noqa: E402
from reviewing import Served, start_served  # noqa: E402
from starting import export, wait_until  # noqa: E402

from vmseg_auto.start.jobs import Jobs  # noqa: E402

IMAGES = ROOT / "docs" / "images"
COLOURS = 64
TRAINING = {"folds": "0 1 2", "trainer": "quick", "epochs": "60", "iterations": "4"}


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        root = export(Path(place) / "patients")
        with start_served(root) as server:
            ended(root, run(server, "pairs", {"tests": "0.25"}))
            ended(root, told(server, "/api/jobs/1/confirm", {})["number"])
            ended(root, run(server, "plan", {"memory": "0.05"}))
            number = run(server, "train", TRAINING)
            wait_until(lambda: "fold 0 has done 3" in train_state(server)["told"])
            draw(server)
            told(server, f"/api/jobs/{number}/stop", {})
            ended(root, number)


def draw(server: Served) -> None:
    with Browser(1280, 900, loopback=True) as browser:
        browser.open(server.link)
        browser.wait_for("document.querySelectorAll('#step-train svg[role=img]').length === 2")
        browser.wait_for("document.querySelector('#step-train .command code').textContent !== ''")
        for name, size, step in (("start", (1280, 860), "train"), ("start_phone", (390, 844), "pairs")):
            browser.resize(*size)
            browser.run("document.getElementById('folder').textContent = '/home/ada/patients'")
            browser.run(f"document.getElementById('step-{step}').scrollIntoView({{behavior: 'instant'}})")
            picture = Image.open(io.BytesIO(browser.screenshot()))
            picture.convert("RGB").quantize(COLOURS).save(IMAGES / f"{name}.png", optimize=True)


def run(server: Served, step: str, answers: dict[str, str]) -> int:
    number: int = told(server, f"/api/run/{step}", {"answers": answers})["number"]
    return number


def told(server: Served, path: str, sent: dict[str, object]) -> dict[str, int]:
    status, body, _ = server.ask("POST", path, json.dumps(sent).encode())
    assert status == 200, body
    return dict(json.loads(body))


def train_state(server: Served) -> dict[str, str]:
    status, body, _ = server.ask("POST", "/api/state", b"{}")
    assert status == 200, body
    return dict(next(step for step in json.loads(body)["steps"] if step["name"] == "train"))


def ended(root: Path, number: int) -> None:
    jobs = Jobs(root)
    wait_until(lambda: jobs.standing(jobs.read(number)) != "running")


if __name__ == "__main__":
    main()
