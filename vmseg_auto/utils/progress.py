"""The line that tells how far a task is, at any width of the screen."""

from __future__ import annotations

from collections.abc import Sequence

BAR = 20
"""Characters of a bar that has room."""
_LEAST_BAR = 5
_FULL, _FULL_ASCII = "█", "#"


def progress_line(
    title: str,
    share: float,
    elapsed: str,
    left: str,
    notes: Sequence[str] = (),
    width: int | None = None,
    ascii: bool = False,
) -> str:
    """Write title, share, time left and as many notes as fit; the bar takes the room that remains.

    The time left always stands there. Where that alone is too much the time that has passed goes.

    Args:
        share: from 0 to 1.
        elapsed, left: times in words.
        notes: the most important first.
        width: columns of the screen; as many as it takes unless given.
        ascii: whether the screen shows nothing but ASCII.

    >>> progress_line("Fold 0", 0.5, "01:00", "01:00", ["validation Dice 0.712", "epoch 2/4"], 60, ascii=True)
    'Fold 0  50%|###   | 01:00, 01:00 left, validation Dice 0.712'
    >>> progress_line("Fold 0", 0.5, "01:00", "01:00", ["validation Dice 0.712", "epoch 2/4"], 80, ascii=True)
    'Fold 0  50%|#######        | 01:00, 01:00 left, validation Dice 0.712, epoch 2/4'
    """
    head, times = f"{title} {share:4.0%}", f"{elapsed}, {left} left"
    if width is not None and len(f"{head}, {times}") > width:
        times = f"{left} left"
    for note in notes:
        if width is not None and len(f"{head}, {times}, {note}") > width:
            break
        times += f", {note}"
    room = BAR if width is None else min(BAR, width - len(f"{head}|| {times}"))
    if room < _LEAST_BAR:
        return f"{head}, {times}"
    full = (_FULL_ASCII if ascii else _FULL) * int(room * share)
    return f"{head}|{full:{room}}| {times}"
