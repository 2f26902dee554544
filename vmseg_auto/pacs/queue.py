"""The queue on the disk: received images, results, and a state for each series.

    QUEUE/received/SERIES/*.dcm    images as they came
    QUEUE/results/SERIES/          what vmseg_predict wrote of them; whole, or not there
    QUEUE/states/SERIES.json       where the series stands

Whatever is told to others is on the disk before: an image and the state `receiving` before its sender hears of success,
results before the first of them is sent. So a node that is killed, at any moment, goes on from what lies there. Only
the node that holds the queue's lock writes; its threads share one `Queue`.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from vmseg_auto.pacs.incoming import NO_ROOM, TWO_PATIENTS, ImageHeader, RefusedError, read_received
from vmseg_auto.pacs.states import Phase, SeriesState
from vmseg_auto.utils.atomic import read_stored, remove_leftovers, replacing, sync_folder, whole_files, write_sealed
from vmseg_auto.utils.disk import free_bytes
from vmseg_auto.utils.errors import InputError, VmsegError

_GB = 1e9
ENDED = ("answered", "refused")
_MIXED = "its study holds images of two patients"
_NOBODY = ""
"""Whose the images of a study with two patients are."""


class Queue:
    """The series of one node. All of it may be called by several threads at once.

    Args:
        folder: of the queue.
        free_gb: images are refused where less is free.
    """

    def __init__(self, folder: Path, free_gb: float = 0.0) -> None:
        self.folder, self._free_gb = folder, free_gb
        self._lock = threading.RLock()
        self._states: dict[str, SeriesState] = {}
        self._patients: dict[str, str] = {}
        self._last: dict[str, float] = {}
        self._contents: dict[str, tuple[object, str]] = {}

    def scan(self, series: str) -> Path:
        """Return the folder of a series' images."""
        return self.folder / "received" / series

    def results(self, series: str) -> Path:
        return self.folder / "results" / series

    def state_file(self, series: str) -> Path:
        return self.folder / "states" / f"{series}.json"

    def images(self, series: str) -> list[Path]:
        """List the images of a series that lie here."""
        return whole_files(self.scan(series), "*.dcm")

    def to_send(self, series: str) -> list[Path]:
        """List the results of a series that are for its peers: a report after the DICOM SEG that it refers to."""
        return sorted(self.results(series).glob("*.dcm"), key=lambda path: (path.name.count("."), path.name))

    def recover(self) -> list[str]:
        """Read all states, and bring them in line with what lies here; returns series whose state was damaged.

        Call it once, with the queue's lock.
        """
        remove_leftovers(self.folder)
        damaged = []
        for path in whole_files(self.folder / "states", "*.json"):
            series = path.stem
            stored = None
            try:
                state = stored = read_stored(SeriesState, path)
            except InputError:
                damaged.append(series)
                header = self.about(series)
                state = SeriesState(series, header.study if header else "").moved("receiving")
            if state.answer and not self.to_send(series):
                state = replace(state, answer="")
            if state.phase == "predicting" or (state.phase == "sending" and not state.answer):
                state = state.moved("queued", state.reason)
            if state.phase in ("receiving", "queued") and not self.images(series):
                self._remove(series)
            else:
                self._states[series] = replace(state, link="broken") if state.link == "open" else state
                self._last[series] = time.monotonic()
                if self._states[series] != stored:
                    self._try_put(self._states[series])
        return damaged

    def all(self) -> list[SeriesState]:
        """Return every state, the one changed longest ago first."""
        with self._lock:
            return sorted(self._states.values(), key=_age)

    def state(self, series: str) -> SeriesState:
        with self._lock:
            return self._states[series]

    def of(self, phase: Phase) -> list[SeriesState]:
        """Return the states of a phase, as `all` does."""
        with self._lock:
            return sorted((state for state in self._states.values() if state.phase == phase), key=_age)

    def add(self, image: ImageHeader, data: bytes) -> None:
        """Store an image; both its file and its series' state are on the disk when this returns.

        Raises:
            RefusedError: there is no room, or the study holds images of two patients.
        """
        try:
            with self._lock:
                self._require_room(len(data))
                self._require_one_patient(image)
                self._last[image.series] = time.monotonic()
                state = self._states.get(image.series) or SeriesState(image.series, image.study).moved("receiving")
                if state.phase != "receiving":
                    state = state.moved("receiving")
                state = replace(state, link="open")
                if state != self._states.get(image.series):
                    self._put(state)
            self._write(image, data)
        except (VmsegError, OSError):
            raise RefusedError(NO_ROOM, "it can't be written to the disk of the queue") from None
        with self._lock:
            self._last[image.series] = time.monotonic()

    def ended(self, series: Iterable[str], link: Literal["released", "broken"]) -> None:
        """Note how the association has ended that brought images of these series."""
        for one in series:
            self.change(one, lambda state: replace(state, link=link))

    def change(self, series: str, change: Callable[[SeriesState], SeriesState]) -> SeriesState:
        """Change a series' state, and return what it is now; nobody changes it meanwhile.

        On a disk that is full the new state holds for this process alone, and the old one for the next.
        """
        with self._lock:
            state = change(self._states[series])
            if state != self._states[series]:
                self._states[series] = state
                self._try_put(state)
            return state

    def content(self, series: str) -> tuple[int, str]:
        """Return how many images lie here of a series, and a hash of them all."""
        images = self.images(series)
        written = tuple((path.name, path.stat().st_mtime_ns) for path in images)
        if self._contents.get(series, (None, ""))[0] != written:
            sha = hashlib.sha256()
            for path in images:
                sha.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
            self._contents[series] = written, sha.hexdigest()[:16]
        return len(images), self._contents[series][1]

    def quiet_s(self, series: str) -> float:
        """Return how many seconds ago the last image came, or the node began."""
        with self._lock:
            return time.monotonic() - self._last[series]

    def about(self, series: str) -> ImageHeader | None:
        """Return the header of one of the images of a series; None where none lies here."""
        images = self.images(series)
        return read_received(images[0]) if images else None

    def purge(self, days: float) -> list[str]:
        """Delete scans and results of series that were answered or refused so many days ago; returns their names.

        Their states stay, which tell that they were answered.
        """
        before = datetime.now(UTC) - timedelta(days=days)
        gone = []
        for state in self.all():
            if state.phase not in ENDED or datetime.fromisoformat(state.changed) > before:
                continue
            with self._lock:
                holds = state.mixed or self.images(state.series) or self.to_send(state.series)
                if self._states[state.series] == state and holds:
                    self._delete(state.series)  # first, as it makes room for the state
                    self.change(state.series, lambda now: replace(now, answer="", mixed=False))
                    self._patients.clear()
                    gone.append(state.series)
        return gone

    def forget_answer(self, series: str) -> None:
        """Delete the results of a series, which are to be made anew."""
        self.change(series, lambda state: replace(state, answer=""))
        shutil.rmtree(self.results(series), ignore_errors=True)

    def _put(self, state: SeriesState) -> None:
        """Write a state to the disk; then it holds."""
        write_sealed(self.state_file(state.series), state.to_json())
        self._states[state.series] = state

    def _try_put(self, state: SeriesState) -> None:
        """Write a state to the disk, unless that is full."""
        with suppress(VmsegError):
            self._put(state)

    def _write(self, image: ImageHeader, data: bytes) -> None:
        path = self.scan(image.series) / f"{image.instance}.dcm"
        if path.is_file() and path.read_bytes() == data:
            return
        with replacing(path) as temporary:
            temporary.write_bytes(data)
        sync_folder(path.parent)

    def _require_room(self, size: int) -> None:
        if free_bytes(self.folder) < self._free_gb * _GB + size:
            raise RefusedError(NO_ROOM, "too little is free on the disk of the queue")

    def _require_one_patient(self, image: ImageHeader) -> None:
        """Refuse an image whose study has another patient's here, and each of that study until it is purged."""
        study = image.study
        if study not in self._patients:
            known = self._patient(study)
            self._patients[study] = image.patient if known is None else known
        if self._patients[study] != image.patient:
            self._patients[study] = _NOBODY
            for state in self.all():
                if state.study == study:
                    self.change(state.series, _mixed)
            raise RefusedError(TWO_PATIENTS, _MIXED)

    def _patient(self, study: str) -> str | None:
        """Return the patient of a study's images that lie here; None where none do."""
        several = [state for state in self._states.values() if state.study == study]
        if any(state.mixed for state in several):
            return _NOBODY
        headers = (self.about(state.series) for state in several)
        return next((header.patient for header in headers if header), None)

    def _delete(self, series: str) -> None:
        for folder in (self.scan(series), self.results(series)):
            shutil.rmtree(folder, ignore_errors=True)

    def _remove(self, series: str) -> None:
        self._delete(series)
        self.state_file(series).unlink(missing_ok=True)
        self._states.pop(series, None)


def _age(state: SeriesState) -> tuple[str, str]:
    """Return what sorts states by age, oldest first."""
    return state.changed, state.series


def _mixed(state: SeriesState) -> SeriesState:
    """Return the state of a series whose study has turned out to hold two patients' images."""
    if state.mixed:
        return state
    return replace(state if state.phase == "answered" else state.moved("refused", _MIXED), mixed=True)
