"""A headless Chromium without a network, spoken to by the DevTools protocol over two pipes."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
SECONDS = 120.0
"""Most time for one thing to happen, on a busy machine too."""

_FLAGS = (
    "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--no-first-run", "--disable-extensions",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
)  # fmt: skip

_LOOPBACK = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"
"""Takes the place of the rule above: a server on this machine can be reached, and nothing else."""
_START = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)
"""The browser reads commands from its descriptor 3 and answers on 4."""


class Browser:
    """One page; a context manager. What it asked of a network and wrote to its console is kept."""

    def __init__(self, width: int = 1280, height: int = 900, *, scripts: bool = True, loopback: bool = False) -> None:
        self.profile = tempfile.mkdtemp(prefix="chromium-")
        ours, theirs = os.pipe(), os.pipe()
        reads, writes = (fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (ours[0], theirs[1]))
        command = [sys.executable, "-S", "-c", _START, str(reads), str(writes), CHROMIUM, *_FLAGS]
        self.process = subprocess.Popen(
            [*command, f"--user-data-dir={self.profile}", *([_LOOPBACK] if loopback else [])],
            pass_fds=(reads, writes),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (reads, writes, ours[0], theirs[1]):
            os.close(end)
        self.out, self.back = ours[1], theirs[0]
        self.buffer = b""
        self.count = 0
        self.session: str | None = None
        self.asked: dict[str, str] = {}
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        if not loopback:
            none = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
            self.call("Network.emulateNetworkConditions", **none)
        self.resize(width, height)
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.process.terminate()
        self.process.wait(SECONDS)
        os.close(self.out)
        os.close(self.back)
        shutil.rmtree(self.profile, ignore_errors=True)

    @property
    def requests(self) -> list[str]:
        """What was asked for, but for what the page's own policy stopped before it was."""
        return list(self.asked.values())

    def resize(self, width: int, height: int) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def paint(self, scheme: str) -> None:
        """Be "light" or "dark"."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, page: Path | str) -> None:
        """Load a file or an address, and wait until it is there."""
        self.loaded = False
        self.call("Page.navigate", url=page if isinstance(page, str) else page.resolve().as_uri())
        self.until(lambda: self.loaded)

    def run(self, script: str) -> Any:
        """What an expression comes to; a promise is waited for."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, script: str) -> None:
        """Until an expression is true."""
        end = time.monotonic() + SECONDS
        while not self.run(script):
            assert time.monotonic() < end, f"never: {script}"
            time.sleep(0.1)

    def press(self, key: str, *, ctrl: bool = False) -> None:
        """Press and release a key: one of _KEYS, or a letter."""
        number = _KEYS.get(key, ord(key[0].upper()))
        told = {"key": key, "code": key, "windowsVirtualKeyCode": number, "modifiers": 2 * ctrl}
        text = {"text": key if key != "Enter" else "\r"} if (len(key) == 1 or key == "Enter") and not ctrl else {}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **told, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **told)

    def mouse(self, kind: str, x: float, y: float, button: str = "left", **more: Any) -> None:
        """Press ("mousePressed"), move ("mouseMoved"), release ("mouseReleased") or turn the wheel ("mouseWheel")."""
        held = {"left": 1, "right": 2, "middle": 4}[button]
        buttons = 0 if kind in ("mouseReleased", "mouseWheel") else held
        told = {"type": kind, "x": x, "y": y, "button": button, "buttons": buttons, "clickCount": 1, **more}
        self.call("Input.dispatchMouseEvent", **told)

    def drag(self, places: Sequence[tuple[float, float]], button: str = "left") -> None:
        """Press at the first place, move over all, and release at the last."""
        self.mouse("mousePressed", *places[0], button)
        for place in places[1:]:
            self.mouse("mouseMoved", *place, button)
        self.mouse("mouseReleased", *places[-1], button)

    def type(self, text: str) -> None:
        """Type a text into what has the focus."""
        self.call("Input.insertText", text=text)

    def screenshot(self, clip: Sequence[float] | None = None, *, whole: bool = False) -> bytes:
        """A PNG of the window, of the whole page, or of (x, y, width, height) on the page."""
        options: dict[str, Any] = {"captureBeyondViewport": whole or clip is not None}
        if clip is not None:
            options["clip"] = dict(zip(("x", "y", "width", "height"), clip, strict=True), scale=1)
        return base64.b64decode(self.call("Page.captureScreenshot", **options)["data"])

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Where an element lies on the page: x, y, width, height."""
        rect = self.run(
            f"(r => [r.x + scrollX, r.y + scrollY, r.width, r.height])"
            f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        )
        return rect[0], rect[1], rect[2], rect[3]

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self.count += 1
        own = self.count
        message = {"id": own, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == own:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result

    def until(self, done: Any) -> None:
        while not done():
            self._next()

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            block = os.read(self.back, 1 << 20)
            assert block, "the browser has ended"
            self.buffer += block
        text, _, self.buffer = self.buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, method: str, told: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.asked[told["requestId"]] = told["request"]["url"]
        elif method == "Network.loadingFailed" and told.get("blockedReason"):
            self.asked.pop(told["requestId"], None)
        elif method == "Page.loadEventFired":
            self.loaded = True
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(told["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.complaints.append(str([part.get("value", part.get("description")) for part in told["args"]]))
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.complaints.append(told["entry"]["text"])


_KEYS = {
    "ArrowRight": 39, "ArrowLeft": 37, "ArrowUp": 38, "ArrowDown": 40, "Tab": 9, "Enter": 13, "End": 35, "Home": 36,
    "PageUp": 33, "PageDown": 34, "Escape": 27, " ": 32, "[": 219, "]": 221,
}  # fmt: skip
