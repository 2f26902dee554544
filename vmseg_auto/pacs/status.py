"""What stands in a queue, for the screen. It only reads, so the node may be at work meanwhile."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from vmseg_auto.data.workspace import OutputFolder
from vmseg_auto.pacs.events import identity
from vmseg_auto.pacs.queue import ENDED, Queue
from vmseg_auto.pacs.states import SeriesState
from vmseg_auto.utils.atomic import read_stored, whole_files
from vmseg_auto.utils.console import Console, columns
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.locks import holder
from vmseg_auto.utils.text import counted

_HEAD = ("series", "phase", "images", "answers", "since (UTC)", "reason")


def show_status(folder: Path, console: Console, with_identity: bool = False) -> None:
    """Show whether a node is at work, and where each series of its queue stands.

    Args:
        folder: of the queue.
        console: where it is shown; identities go to the screen alone.
        with_identity: whether it is also told whose scan each is, as far as scans lie here.
    """
    owner = holder(OutputFolder(folder).lock)
    console.show(f"The node is at work: {owner}." if owner else "No node is at work on this queue.")
    queue, states, damaged = Queue(folder), [], 0
    for path in whole_files(folder / "states", "*.json"):
        try:
            states.append(read_stored(SeriesState, path))
        except InputError:
            damaged += 1
    states.sort(key=lambda state: state.changed)
    if damaged:
        console.warn(f"{counted(damaged, 'state')} can't be read; the node takes these series as received just now.")
    if not states:
        console.show("The queue is empty.")
        return
    phases = {state.series: _phase(state, queue) for state in states}
    rows = [(*_row(state, phases[state.series]), *_whose(queue, state.series, with_identity)) for state in states]
    console.show(columns([(*_HEAD, *(("identity",) if with_identity else ())), *rows]))
    count = Counter(phases.values())
    console.show(f"{', '.join(f'{number} {phase}' for phase, number in count.items())}.")


def _phase(state: SeriesState, queue: Queue) -> str:
    """Return where a series stands, and whether its scan and results are deleted."""
    is_gone = state.phase in ENDED and not queue.images(state.series) and not queue.to_send(state.series)
    return f"{state.phase} (deleted)" if is_gone else state.phase


def _row(state: SeriesState, phase: str) -> tuple[str, ...]:
    return (
        state.series,
        phase,
        str(state.images or ""),
        str(state.answers or ""),
        state.changed.removesuffix("+00:00").replace("T", " "),
        state.reason,
    )


def _whose(queue: Queue, series: str, wanted: bool) -> tuple[str, ...]:
    if not wanted:
        return ()
    images = queue.images(series)
    return (identity(images[0]) if images else "deleted",)
