"""The node: takes series from peers, and answers each with what vmseg_predict makes of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vmseg_auto.pacs.answer import Options, in_process, model_facts
from vmseg_auto.pacs.answering import Answering
from vmseg_auto.pacs.events import Events
from vmseg_auto.pacs.judging import Judging
from vmseg_auto.pacs.loops import TICK_S, Loop
from vmseg_auto.pacs.network import require_pynetdicom
from vmseg_auto.pacs.queue import Queue
from vmseg_auto.pacs.receiver import Receiver
from vmseg_auto.pacs.sending import Sending
from vmseg_auto.pacs.settings import PacsSettings
from vmseg_auto.utils.console import Console
from vmseg_auto.workflows.locking import output_lock

if TYPE_CHECKING:
    from vmseg_auto.inference.predictor import Backend

_PURGE_S = 3600.0
"""How often what is old is deleted."""


def serve(
    settings: PacsSettings,
    model: str,
    *,
    device: str = "auto",
    backend: Backend = "torch",
    jobs: int | None = None,
    keep_days: float | None = None,
    with_identity: bool = False,
    console: Console,
) -> None:
    """Run a node until it is stopped, as by Ctrl-C or a signal.

    Args:
        settings: the settings file.
        model: a model's folder or zip.
        device: where to compute.
        backend: what computes the networks.
        jobs: threads that read and write.
        keep_days: scans and results are deleted so many days after the answer; kept unless given.
        with_identity: whether lines also tell whose scan it is.
        console: where lines go.

    Raises:
        InputError: the model can't be used, another node works on the queue, or the extra `pacs` is not installed.
        VmsegError: the port can't be opened.
    """
    require_pynetdicom()
    node = settings.the_node
    folder = Path(node.queue)
    with output_lock(folder, "vmseg_node", console):
        known = in_process(lambda: False, model_facts, model, device, backend)
        assert known is not None
        queue = Queue(folder, node.free_gb)
        events = Events(console, queue, with_identity)
        for series in queue.recover():
            events.warn("its state was damaged; it is taken as received just now.", series)
        stop = threading.Event()
        options = Options(node.formats, node.series, node.echo, device, backend, jobs)
        judging, sending = Judging(settings, queue, events), Sending(settings, queue, events)
        answering = Answering(queue, events, known, options, stop)
        loops = [Loop(work.step, stop) for work in (judging, answering, sending)]
        try:
            with Receiver(settings, queue, events):
                events.say(f"{node.ae_title} takes calls on port {node.port}.")
                _watch(queue, events, loops, keep_days)
        finally:
            stop.set()
            for loop in loops:
                loop.join()


def _watch(queue: Queue, events: Events, loops: Sequence[Loop], keep_days: float | None) -> None:
    """Delete old scans, until the node is stopped or one of its loops fails."""
    due = time.monotonic()
    while True:
        if keep_days is not None and time.monotonic() >= due:
            due = time.monotonic() + _PURGE_S
            purge(queue, keep_days, events)
        for loop in loops:
            if loop.error is not None:
                raise loop.error
        time.sleep(TICK_S)


def purge(queue: Queue, days: float, events: Events) -> None:
    """Delete scans and results of series that were answered or refused so many days ago, and tell of each."""
    for series in queue.purge(days):
        events.say(f"deleted, {days:g} days after it was answered or refused.", series)


def purge_now(folder: Path, days: float, console: Console) -> None:
    """Delete what `purge` does from a queue that no node works on.

    Raises:
        InputError: a node does; it takes --keep-days itself.
    """
    with output_lock(folder, "vmseg_node --purge", console):
        queue = Queue(folder)
        queue.recover()
        purge(queue, days, Events(console, queue))
