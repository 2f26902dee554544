"""The server as it runs: on a port of this machine alone, until the reader ends it."""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
import webbrowser
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from vmseg_auto.review.cases import TO_DO, Cases
from vmseg_auto.utils.console import Console, Silent
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.extras import extra
from vmseg_auto.utils.signals import Stopped
from vmseg_auto.utils.text import counted

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from vmseg_auto.review.click_model import ClickModel

PURPOSE = "The page in the browser"
_TRIES = 50
_TICK_S = 0.2
_LAST_ANSWERS_S = 5
"""For what is still being answered when the review ends."""


def review(
    cases: Cases,
    *,
    reader: str = "",
    port: int = 0,
    browser: bool = True,
    console: Console | None = None,
    clicks: ClickModel | None = None,
) -> None:
    """Serve the page until the reader ends it there, or by Ctrl-C.

    Args:
        cases: the queue.
        reader: who reviews; asked for on the page unless given.
        port: of 127.0.0.1; the next free one where it is in use. Any free one unless given.
        browser: whether the page is opened in the browser.
        console: where words go.
        clicks: the model that a reader's clicks are put to; without one the page has no such tool.

    Raises:
        InputError: the extra `review` is not installed, or no port is free.
    """
    console = console or Silent()
    with extra("review", PURPOSE):
        from vmseg_auto.review.server import ReviewServer
    todo = sum(entry.state == TO_DO for entry in cases.entries)
    unusable = sum(bool(entry.problem) for entry in cases.entries)
    console.say(f"{counted(len(cases.entries), 'case')}, {todo} of them to do.")
    if unusable:
        console.warn(f"{counted(unusable, 'case')} can't be opened; the page says why.")
    ending = "End it on the page (End the review), or by Ctrl-C here. Decisions and drafts are saved already."
    serve(lambda end: ReviewServer(cases, reader, end, clicks).app(), ending, port, browser, console)
    states = Counter(entry.state for entry in cases.entries if entry.state)
    console.say(f"Decisions: {', '.join(f'{count} {state}' for state, count in sorted(states.items()))}.")
    if conclusion := cases.conclusion():
        console.say(conclusion)


def serve(
    make: Callable[[Callable[[], None]], ASGIApp], ending: str, port: int, browser: bool, console: Console
) -> None:
    """Serve an application on this machine alone until it ends itself, or by Ctrl-C.

    Args:
        make: gives the application; is handed what ends it.
        ending: in words how it is ended.
        port: of 127.0.0.1; the next free one where it is in use. Any free one where it is 0.
        browser: whether the page is opened in the browser.
        console: is shown the link.

    Raises:
        InputError: the extra `review` is not installed, or no port is free.
        VmsegError: the server can't be started.
    """
    with extra("review", PURPOSE):
        import uvicorn

        from vmseg_auto.review.guard import Guard
    ended = threading.Event()
    with _listening(port) as listener:
        guard = Guard(make(ended.set), listener.getsockname()[1])
        config = uvicorn.Config(
            guard,
            ws="none",
            log_config=None,
            log_level="critical",
            access_log=False,
            timeout_graceful_shutdown=_LAST_ANSWERS_S,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        console.show(f"Open this page in a browser on this machine: {guard.link}")
        console.say(ending)
        if browser and not (_has_screen() and webbrowser.open(guard.link)):
            console.say("No browser could be opened here: copy the link into one.")
        try:
            while thread.is_alive() and not ended.wait(_TICK_S):
                pass
        except Stopped:
            raise
        except KeyboardInterrupt:  # as good an end as that on the page
            pass
        finally:
            server.should_exit = True
            thread.join()
    if not ended.is_set() and not server.started:
        raise VmsegError("the server could not be started", remedy="Try another --port.")


def _has_screen() -> bool:
    """Return whether a browser with windows can be opened; without a screen Python would take one of the terminal."""
    return sys.platform in ("win32", "darwin") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))


def _listening(port: int) -> socket.socket:
    """Return a socket that listens on the port, or on the next one that is free, of this machine alone.

    Raises:
        InputError: none is free.
    """
    for number in range(port, min(port + _TRIES, 65_536)):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.bind(("127.0.0.1", number))
            listener.listen()
            return listener
        except OSError as error:
            listener.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
    problem = f"no port from {port} on is free"
    raise InputError(problem, remedy="Give another --port, from 1024 to 65535.")
