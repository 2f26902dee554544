"""Names of files that commands left unfinished."""

from __future__ import annotations

from vmseg_auto.utils.owners import this_process


def left_by_a_killed_command(name: str) -> str:
    """What a command that has ended on this machine called its unfinished file of that name."""
    return f".vmseg_tmp.{this_process().rpartition('-')[0]}-1.{name}.1a2b3c4d{name[name.rindex('.') :]}"
