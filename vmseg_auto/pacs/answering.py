"""Queued series become results."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from vmseg_auto import __version__
from vmseg_auto.pacs.answer import EndedError, Model, Options, in_process, write_answer
from vmseg_auto.pacs.events import Events
from vmseg_auto.pacs.loops import Waits
from vmseg_auto.pacs.queue import Queue
from vmseg_auto.pacs.states import SeriesState
from vmseg_auto.utils.atomic import new_folder
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.json_codec import digest
from vmseg_auto.utils.text import counted

_MOST_CRASHES = 3
"""So often the prediction of a series may end without an answer, before the series is refused."""


class Answering:
    """Predicts queued series, one after another.

    Args:
        queue: of the node.
        events: where lines go.
        model: what predicts.
        options: how.
        stop: set where the node is to end.
    """

    def __init__(self, queue: Queue, events: Events, model: Model, options: Options, stop: threading.Event) -> None:
        self._queue, self._events, self._model, self._options = queue, events, model, options
        self._stop, self._waits = stop, Waits()

    def step(self) -> None:
        """Answer the series that has waited longest."""
        due = (state for state in self._queue.of("queued") if self._waits.is_due(state.series))
        if (state := next(due, None)) is None:
            return
        made_from = self._made_from(state)
        if state.answer == made_from and self._queue.to_send(state.series):
            self._events.say("answered before; the results are sent again.", state.series)
        else:
            state = self._begun(state)
            if state.phase != "predicting" or not self._predicted(state):
                return
        self._waits.done(state.series)

        def answered(now: SeriesState) -> SeriesState:
            return replace(now.moved("sending") if now.is_still(state) else now, answer=made_from)

        self._queue.change(state.series, answered)

    def _begun(self, state: SeriesState) -> SeriesState:
        """Note that a series is being predicted, unless an image has come meanwhile; returns where it stands."""

        def begun(now: SeriesState) -> SeriesState:
            return now.moved("predicting", now.reason) if now.is_still(state) else now

        return self._queue.change(state.series, begun)

    def _made_from(self, state: SeriesState) -> str:
        """Return a hash of all that decides the results."""
        options = self._options
        return digest([state.content, self._model.digest, options.formats, options.series, options.echo, __version__])

    def _predicted(self, state: SeriesState) -> bool:
        """Write the results of a series; return False where there are none, and tell why."""
        series, began = state.series, time.monotonic()
        scan, results = self._queue.scan(series), self._queue.results(series)
        self._queue.forget_answer(series)
        try:
            with new_folder(results) as output:
                notes = in_process(self._stop.is_set, write_answer, scan, output, self._model, self._options)
                if notes is None:
                    raise _GivenUpError
                if self._queue.content(series)[1] != state.content:
                    self._queue.change(series, lambda now: now.moved("receiving") if now.is_still(state) else now)
                    raise _GivenUpError
        except _GivenUpError:  # stopped, or an image has come meanwhile
            return False
        except VmsegError as error:
            self._tell_failed(state, error)
            return False
        count = counted(len(self._queue.to_send(series)), "result")
        self._events.say(f"predicted in {time.monotonic() - began:.0f} s, {count}.", series)
        for note in notes:
            self._events.warn(note.removeprefix(f"{series} "), series)
        return True

    def _tell_failed(self, state: SeriesState, error: VmsegError) -> None:
        """Refuse a series whose scan is at fault, or that ended its process again and again; else try again later."""
        crashes = state.crashes + isinstance(error, EndedError)
        is_last = isinstance(error, InputError) or crashes >= _MOST_CRASHES

        def failed(now: SeriesState) -> SeriesState:
            if not now.is_still(state):
                return now
            return replace(now.moved("refused" if is_last else "queued", error.problem), crashes=crashes)

        if self._queue.change(state.series, failed).reason != error.problem:
            return  # an image has come meanwhile, or the series was refused
        if is_last:
            self._events.warn(f"refused: {error.problem}.", state.series)
            return
        self._waits.failed(state.series)
        if error.problem != state.reason:
            self._events.warn(f"{error.problem}; it is tried again.", state.series)


class _GivenUpError(Exception):
    """Results are not wanted any more."""
