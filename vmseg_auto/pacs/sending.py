"""Results go to peers, and again until they are taken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vmseg_auto.pacs.events import Events
from vmseg_auto.pacs.loops import Waits
from vmseg_auto.pacs.queue import Queue
from vmseg_auto.pacs.sender import send
from vmseg_auto.pacs.settings import PacsSettings
from vmseg_auto.pacs.states import SeriesState
from vmseg_auto.utils.errors import VmsegError


class Sending:
    """Sends the results of series to each peer that is to have them.

    Args:
        settings: the settings file.
        queue: of the node.
        events: where lines go.
    """

    def __init__(self, settings: PacsSettings, queue: Queue, events: Events) -> None:
        self._settings, self._queue, self._events = settings, queue, events
        self._peers, self._waits, self._down = settings.the_node.send_to, Waits(), set[str]()

    def step(self) -> None:
        """Send what peers have not taken yet; what failed waits for its turn."""
        for state in self._queue.of("sending"):
            for peer in self._peers:
                if not self._queue.state(state.series).is_still(state):
                    break
                files = self._missing(state, peer)
                if files and self._waits.is_due(peer) and self._waits.is_due(f"{peer} {state.series}"):
                    self._send(state, peer, files)
            self._conclude(state)

    def _missing(self, state: SeriesState, peer: str) -> list[Path]:
        return [path for path in self._queue.to_send(state.series) if _sent_as(peer, path) not in state.sent]

    def _send(self, state: SeriesState, peer: str, files: list[Path]) -> None:
        def taken(path: Path) -> None:
            def noted(now: SeriesState) -> SeriesState:
                return replace(now, sent=(*now.sent, _sent_as(peer, path))) if now.is_still(state) else now

            self._queue.change(state.series, noted)

        try:
            refused = send(self._settings, peer, files, taken)
        except VmsegError as error:
            self._waits.failed(peer)
            self._note(state, error.problem)
            if peer not in self._down:
                self._down.add(peer)
                self._events.warn(f"{error.problem}; results for {peer} wait.")
            return
        except OSError:  # they are gone, as an image has come meanwhile
            self._waits.failed(f"{peer} {state.series}")
            self._note(state, "its results can't be read")
            return
        self._waits.done(peer)
        if peer in self._down:
            self._down.remove(peer)
            self._events.say(f"{peer} takes results again.")
        self._waits.done(f"{peer} {state.series}")
        if refused:
            self._waits.failed(f"{peer} {state.series}")
            reasons = ", ".join(sorted({error.problem for error in refused.values()}))
            if self._note(state, f"{len(refused)} of {len(files)} results were not taken: {reasons}"):
                self._events.warn(f"{len(refused)} of {len(files)} results were not taken: {reasons}.", state.series)

    def _note(self, state: SeriesState, reason: str) -> bool:
        """Keep what a series waits for; return whether that is new."""
        self._queue.change(state.series, lambda now: replace(now, reason=reason) if now.is_still(state) else now)
        return reason != state.reason

    def _conclude(self, state: SeriesState) -> None:
        """Note a series as answered, once each peer has taken all of its results."""

        def concluded(now: SeriesState) -> SeriesState:
            if not now.is_still(state) or any(self._missing(now, peer) for peer in self._peers):
                return now
            return replace(now.moved("answered"), answers=now.answers + 1)

        before = state.answers
        if self._queue.change(state.series, concluded).answers > before:
            self._events.say(f"answered: {', '.join(self._peers)} took all results.", state.series)


def _sent_as(peer: str, path: Path) -> str:
    return f"{peer}/{path.name}"
