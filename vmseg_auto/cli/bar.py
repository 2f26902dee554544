"""A running bar on the screen. Importing it loads tqdm."""

from __future__ import annotations

import sys
from threading import RLock
from types import TracebackType

from tqdm import tqdm
from tqdm.utils import disp_trim

from vmseg_auto.utils.console import shown
from vmseg_auto.utils.progress import progress_line
from vmseg_auto.utils.streams import Steady

if not hasattr(tqdm, "_lock"):
    tqdm.set_lock(RLock())  # for threads: that for processes, tqdm's own, may start a process
above_bars = tqdm.external_write_mode
"""A context in which lines are written that no running bar tears."""


class _Line(tqdm):  # type: ignore[misc]
    """tqdm's timing and refreshing, and a line of our own."""

    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        now = self.format_dict
        share = min(1.0, self.n / self.total) if self.total else 1.0
        rate = now["rate"] or ((self.n - self.initial) / now["elapsed"] if now["elapsed"] else 0)
        left = self.format_interval((self.total - self.n) / rate) if rate > 0 else "?"
        elapsed, width = self.format_interval(now["elapsed"]), now["ncols"]
        line = progress_line(self.desc, share, elapsed, left, self.notes, width, now["ascii"] is True)
        return str(disp_trim(line, width)) if width else line


class Bar:
    """One running task on stderr; a context manager."""

    def __init__(self, title: str, total: int, done: int, quiet: bool) -> None:
        # Without a terminal (a log file, Slurm) a line every half minute is enough.
        interval = 0.2 if Steady(sys.stderr).isatty() else 30.0
        self.line = _Line(
            total=total,
            initial=done,
            file=Steady(sys.stderr),
            disable=quiet,
            mininterval=interval,
            maxinterval=max(10.0, interval),
            dynamic_ncols=True,
            desc=shown(title, lines=False),
        )

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.line.close()

    def advance(self, steps: int = 1) -> None:
        self.line.update(steps)

    def note(self, *texts: str) -> None:
        self.line.notes = tuple(shown(text, lines=False) for text in texts)
