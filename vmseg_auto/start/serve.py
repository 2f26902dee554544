"""The start page as it runs."""

from __future__ import annotations

from pathlib import Path

from vmseg_auto.review.serve import PURPOSE, serve
from vmseg_auto.start.jobs import Jobs
from vmseg_auto.utils.console import Console, Silent
from vmseg_auto.utils.extras import extra


def start_page(root: Path, *, port: int = 0, browser: bool = True, console: Console | None = None) -> None:
    """Serve the start page of a folder until it is ended there, or by Ctrl-C; jobs go on.

    Args:
        root: the start folder: what lies below can be chosen, and jobs are run in it.
        port: of 127.0.0.1; the next free one where it is in use. Any free one unless given.
        browser: whether the page is opened in the browser.
        console: where words go.

    Raises:
        InputError: the extra `review` is not installed, or no port is free.
    """
    console = console or Silent()
    with extra("review", PURPOSE):
        from vmseg_auto.start.server import StartServer
    jobs = Jobs(root)
    for job in jobs.read_all():
        if jobs.standing(job) == "running":
            console.say(f"At work here: `{job.text}`, since {job.began}.")
    ending = "End it on the page (End this page), or by Ctrl-C here. What it has started goes on."
    serve(lambda end: StartServer(root, end).app(), ending, port, browser, console)
