"""Received series become complete, or are refused."""

from __future__ import annotations

from dataclasses import replace

from vmseg_auto.pacs.completeness import judged
from vmseg_auto.pacs.events import Events
from vmseg_auto.pacs.query import count_images
from vmseg_auto.pacs.queue import Queue
from vmseg_auto.pacs.settings import PacsSettings
from vmseg_auto.pacs.states import SeriesState
from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.utils.text import counted


class Judging:
    """Queues series that are complete, and refuses those that lack images and get no more.

    Args:
        settings: the settings file.
        queue: of the node.
        events: where lines go.
    """

    def __init__(self, settings: PacsSettings, queue: Queue, events: Events) -> None:
        self._settings, self._node, self._queue, self._events = settings, settings.the_node, queue, events
        self._counts: dict[str, tuple[int, int | None]] = {}

    def step(self) -> None:
        """Look at each series of which images may still come."""
        for state in self._queue.of("receiving"):
            self._judge(state)

    def _judge(self, state: SeriesState) -> None:
        series, quiet_s = state.series, self._queue.quiet_s(state.series)
        announced = self._announced(series, quiet_s)
        if announced is None and quiet_s < self._node.quiet_s:
            return
        images = len(self._queue.images(series))
        if not images:  # the first one could not be written
            return

        def unchanged() -> bool:
            return self._queue.content(series)[1] == state.content

        phase, reason = judged(state, images, announced, unchanged, quiet_s, self._node)
        if phase == "receiving":
            return
        wanted = replace(state.moved(phase, reason), images=images)
        if phase == "queued":
            images, content = self._queue.content(series)
            wanted = replace(wanted, images=images, content=content, sent=(), crashes=0)
        if self._queue.change(series, lambda now: wanted if now == state else now) is not wanted:
            return  # an image has come meanwhile, or the series was refused
        if phase == "queued":
            self._events.say(f"complete, {counted(images, 'image')}.", series)
        else:
            self._events.warn(f"refused: {reason}.", series)

    def _announced(self, series: str, quiet_s: float) -> int | None:
        """Return how many images a series has, as its headers tell, or else a peer that knows it."""
        header = self._queue.about(series)
        if header is None or header.announced is not None:
            return header.announced if header else None
        peers = [name for name in self._node.accept if self._settings.peers[name].counts_images]
        if not peers or quiet_s < self._node.quiet_s:
            return None
        here = len(self._queue.images(series))
        if self._counts.get(series, (0, None))[0] != here:
            self._counts[series] = here, self._asked(series, peers, header.uids)
        return self._counts[series][1]

    def _asked(self, series: str, peers: list[str], uids: tuple[str, str]) -> int | None:
        known = []
        for peer in peers:
            try:
                known.append(count_images(self._settings, peer, uids))
            except VmsegError as error:
                self._events.warn(f"how many images it has is not known: {error.problem}.", series)
        return max((count for count in known if count is not None), default=None)
