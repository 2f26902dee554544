"""What --status shows of a queue."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from vmseg_auto.pacs.queue import Queue
from vmseg_auto.pacs.states import SeriesState
from vmseg_auto.pacs.status import show_status
from vmseg_auto.utils.atomic import write_sealed
from vmseg_auto.utils.console import Silent


@dataclass
class _Screen(Silent):
    shown: list[str] = field(default_factory=list)

    def show(self, text: str) -> None:
        self.shown.append(text)


def test_what_is_predicted_now_and_what_is_deleted_are_told(tmp_path: Path) -> None:
    queue, screen = Queue(tmp_path), _Screen()
    answered = replace(SeriesState("b", "y", images=8).moved("answered"), answers=2)
    for state in (SeriesState("a", "x", images=8).moved("predicting"), answered, replace(answered, series="c")):
        write_sealed(queue.state_file(state.series), state.to_json())
    queue.scan("c").mkdir(parents=True)
    (queue.scan("c") / "1.dcm").write_bytes(b"")
    show_status(tmp_path, screen)
    _, table, count = screen.shown
    head, *rows = [" ".join(line.split()[:3]) for line in table.splitlines()]
    assert head == "series phase images"
    assert "answers" in table.splitlines()[0]
    assert sorted(rows) == ["a predicting 8", "b answered (deleted)", "c answered 8"]
    assert sorted(count.removesuffix(".").split(", ")) == ["1 answered", "1 answered (deleted)", "1 predicting"]
