"""What the page asks for: the queue, a case's scan and masks, its draft, and saving a decision.

Cases are asked for by their number in the queue, so that no path and no name stands in an address. What is sent with a
mask is four bytes with the length of a JSON text, the text, and the mask's label values, a byte a voxel.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime
from importlib.resources import files
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vmseg_auto.data.mask_files import mask_sha256
from vmseg_auto.data.reviews import SAVES
from vmseg_auto.figures.slices import grey_window, label_colours
from vmseg_auto.preprocessing.click_channels import MOST_CLICKS, Click
from vmseg_auto.report.render import viewer_gz
from vmseg_auto.review.cases import DECISIONS, Cases, Given, Opened
from vmseg_auto.review.drafts import ChangedMeanwhileError, DraftFile, DraftNote
from vmseg_auto.review.planes import planes
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.logs import LOGGER
from vmseg_auto.utils.names import is_text
from vmseg_auto.workflows.add_patients import VisitsUnknownError
from vmseg_auto.workflows.patients import Visits

if TYPE_CHECKING:
    from vmseg_auto.review.click_model import ClickModel

_PAGE = "vmseg_auto.review.page"
_STATIC = {
    "review.css": "text/css", "app.js": "text/javascript", "mask.js": "text/javascript", "view.js": "text/javascript",
}  # fmt: skip
_LONGEST_TEXT = 12_000
"""Bytes of the JSON before a mask."""
_MOST_BYTES = 64 * MOST_CLICKS
"""Of clicks as JSON."""
_LONGEST_COMMENT, _LONGEST_NAME, _MOST_MINUTES = 2_000, 100, 100_000.0
_STEPS = 65_535
"""Intensities are sent in as many steps between the scan's darkest and brightest voxel."""


class ReviewServer:
    """Answers the page.

    Args:
        cases: the queue.
        reader: who reviews, if that is known before.
        end: called when the reader ends the work.
        clicks: the model that clicks are put to, if there is one.
    """

    def __init__(self, cases: Cases, reader: str, end: Callable[[], None], clicks: ClickModel | None = None) -> None:
        self._cases, self._reader, self._end, self._clicks = cases, reader, end, clicks
        self._lock = threading.Lock()
        self._opened: tuple[int, Opened] | None = None
        """The case that was opened last."""

    def app(self) -> Starlette:
        """Return the application; `Guard` is to stand before it."""
        case = "/api/cases/{key:int}"
        return Starlette(
            routes=[
                Route("/", _index),
                Route("/static/niivue.js", _niivue),
                Route("/static/{name}", _static),
                Route("/api/queue", self._queue),
                Route(case, self._case),
                Route(f"{case}/scan", self._scan),
                Route(f"{case}/mask", self._mask),
                Route(f"{case}/predicted", self._predicted),
                Route(f"{case}/overlays/{{number:int}}", self._overlay),
                Route(f"{case}/reference", self._reference),
                Route(f"{case}/draft", self._read_draft, methods=["GET"]),
                Route(f"{case}/draft", self._write_draft, methods=["PUT"]),
                Route(f"{case}/draft/{{number:int}}", self._remove_draft, methods=["DELETE"]),
                Route(f"{case}/click", self._click, methods=["POST"]),
                Route(f"{case}/decision", self._decide, methods=["POST"]),
                Route(f"{case}/add/{{visits}}", self._add, methods=["POST"]),
                Route("/api/end", self._finish, methods=["POST"]),
            ],
            exception_handlers={VmsegError: _problem, HTTPException: _http_problem, Exception: _unexpected},
        )

    def _queue(self, request: Request) -> Response:
        entries = [asdict(entry) for entry in self._cases.entries]
        return JSONResponse({"reader": self._reader, "only_reader": self._cases.reader, "cases": entries})

    def _case(self, request: Request) -> Response:
        return JSONResponse({**_about(self._open(request, anew=True)), "clicks": self._clicks is not None})

    def _scan(self, request: Request) -> Response:
        """Send the intensities as unsigned 16 bits, little endian, between the lowest and the highest."""
        image = self._open(request).image
        low, high = _range(image)
        steps = np.round((image - low) * (_STEPS / (high - low))).astype("<u2")
        return Response(steps.tobytes(), media_type="application/octet-stream")

    def _mask(self, request: Request) -> Response:
        return _bytes(self._open(request).mask)

    def _predicted(self, request: Request) -> Response:
        predicted = self._open(request).predicted
        if predicted is None:
            raise InputError("there is no prediction of this case", remedy="Load the case again.")
        return _bytes(predicted)

    def _reference(self, request: Request) -> Response:
        reference = self._open(request).reference
        if reference is None:
            raise HTTPException(404)
        return _bytes(reference)

    def _overlay(self, request: Request) -> Response:
        overlays, number = self._open(request).overlays, int(request.path_params["number"])
        if number >= len(overlays):
            raise HTTPException(404)
        return _bytes(overlays[number].read())

    def _read_draft(self, request: Request) -> Response:
        opened = self._open(request)
        found = self._draft(request).read(opened.geometry.shape)
        if found is None:
            return Response(status_code=204)
        note, mask = found
        return Response(_framed({**asdict(note), "of_this_mask": note.base == opened.base}, mask))

    async def _write_draft(self, request: Request) -> Response:
        told, mask = await self._sent(request)
        return await run_in_threadpool(self._put_draft, request, told, mask)

    def _put_draft(self, request: Request, told: dict[str, Any], mask: NDArray[np.uint8]) -> Response:
        draft = self._draft(request)
        note = DraftNote(
            number=_whole(told, "draft") + 1,
            reader=_text(told, "reader", _LONGEST_NAME),
            when=_now(),
            minutes=_minutes(told),
            comment=_text(told, "comment", _LONGEST_COMMENT),
            base=_text(told, "base", 64),
            mask_sha256=mask_sha256(mask),
        )
        if told.get("take_over") is True:
            note = replace(note, number=draft.number() + 1)
        draft.write(note, mask)
        return JSONResponse({"draft": note.number, "when": note.when})

    def _remove_draft(self, request: Request) -> Response:
        self._draft(request).remove(int(request.path_params["number"]))
        return Response(status_code=204)

    async def _click(self, request: Request) -> Response:
        body = await _body(request, _MOST_BYTES, "The request is larger than clicks can be.")
        return await run_in_threadpool(self._answer, request, _clicks_of(body))

    def _answer(self, request: Request, clicks: list[Click]) -> Response:
        if self._clicks is None:
            raise InputError("there is no model that clicks are put to", remedy="Name one with vmseg_review -m MODEL.")
        answer = self._clicks.answer(self._open(request), clicks)
        return Response(_framed({"box": answer.box, "label": answer.label}, answer.change))

    async def _decide(self, request: Request) -> Response:
        told, mask = await self._sent(request)
        return await run_in_threadpool(self._save, request, told, mask)

    def _save(self, request: Request, told: dict[str, Any], mask: NDArray[np.uint8]) -> Response:
        decision = next((one for one in DECISIONS if one == told.get("decision")), None)
        reader = _text(told, "reader", _LONGEST_NAME).strip()
        if decision is None:
            raise InputError("no decision is given", remedy="Choose one.")
        if not reader:
            raise InputError("nobody is named as reader", remedy="Write your name or sign into the field Reader.")
        comment, minutes = _text(told, "comment", _LONGEST_COMMENT).strip(), _minutes(told)
        given = Given(decision, reader, comment, minutes, _whole(told, "version"), _text(told, "base", 64))
        key = int(request.path_params["key"])
        with self._lock:
            may_be_added = self._cases.save(key, given, mask)
            self._opened = None
        if decision in SAVES:
            self._draft(request).remove(_whole(told, "draft"))
        LOGGER.info("a decision is saved: %s", decision)
        told = {"entry": asdict(self._cases.entries[key]), "may_be_added": may_be_added}
        return JSONResponse(told)

    def _add(self, request: Request) -> Response:
        answers: dict[str, Visits | None] = {"unknown": None, "join": "join", "apart": "apart"}
        visits = request.path_params["visits"]
        if visits not in answers:
            raise HTTPException(404)
        try:
            with self._lock:
                told = self._cases.add(int(request.path_params["key"]), answers[visits])
        except VmsegError as error:  # its words can name patients of the dataset, which have no place in a log
            LOGGER.error("a case is not put into the dataset: %s", type(error).__name__)
            return _told(error)
        LOGGER.info("a case is put into the dataset")
        return JSONResponse({"told": told})

    def _finish(self, request: Request) -> Response:
        self._end()
        return JSONResponse({})

    def _open(self, request: Request, anew: bool = False) -> Opened:
        key = int(request.path_params["key"])
        with self._lock:
            if anew or self._opened is None or self._opened[0] != key:
                self._opened = key, self._cases.open(key)
            return self._opened[1]

    def _draft(self, request: Request) -> DraftFile:
        return DraftFile(self._cases.folder, self._cases.case(int(request.path_params["key"])))

    async def _sent(self, request: Request) -> tuple[dict[str, Any], NDArray[np.uint8]]:
        """Read what was sent with a mask.

        Raises:
            HTTPException: it is larger than a mask can be, or tells no length.
            InputError: it is no mask of this scan.
        """
        opened = await run_in_threadpool(self._open, request)
        shape = opened.geometry.shape
        most = 4 + _LONGEST_TEXT + prod(shape)
        body = await _body(request, most, "The request is larger than a mask of this scan.")
        size = int.from_bytes(body[:4], "little")
        text, voxels = bytes(body[4 : 4 + size]), bytes(body[4 + size :])
        try:
            told = json.loads(text) if size <= _LONGEST_TEXT else None
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict) or len(voxels) != prod(shape):
            raise InputError("what was sent is no mask of this scan", remedy="Load the case again.")
        return told, np.frombuffer(voxels, np.uint8).reshape(shape)


async def _body(request: Request, most: int, too_large: str) -> bytes:
    """Read what was sent.

    Args:
        most: bytes that it may have.
        too_large: is said where it has more.

    Raises:
        HTTPException: it is larger, or tells no length.
    """
    length = request.headers.get("content-length", "")
    if not length.isdecimal():
        raise HTTPException(411, "The request does not tell its length.")
    if int(length) > most:
        raise HTTPException(413, too_large)
    body = bytearray()
    async for block in request.stream():
        body += block
        if len(body) > most:
            raise HTTPException(413, too_large)
    return bytes(body)


def _clicks_of(body: bytes) -> list[Click]:
    """Return the clicks that the page has sent: {"clicks": [[z, y, x, whether on lesion], ...]}.

    Raises:
        InputError: these are none.
    """
    try:
        told = json.loads(body)["clicks"]
        clicks = [Click((z, y, x), foreground) for z, y, x, foreground in told]
    except (ValueError, RecursionError, KeyError, TypeError):
        clicks = []
    places = [at for click in clicks for at in click.place]
    if not clicks or not all(type(at) is int for at in places) or not all(type(c.foreground) is bool for c in clicks):
        raise InputError("what was sent are no clicks", remedy="Load the case again.")
    return clicks


def _about(opened: Opened) -> dict[str, Any]:
    """Return all of a case but its voxels, as the page is told it."""
    geometry, review = opened.geometry, opened.review
    colours = label_colours(opened.labels)
    low, high = _range(opened.image)
    drawn = [(name, value) for name, value in opened.labels.items() if value]
    return {
        "case": opened.case,
        "shape": geometry.shape,
        "spacing_mm": geometry.spacing_mm,
        "affine": geometry.affine.ravel().tolist(),
        "planes": planes(geometry),
        "labels": [{"name": name, "value": value, "colour": colours[name]} for name, value in drawn],
        "low": low,
        "high": high,
        "window": grey_window(opened.image),
        "version": opened.version,
        "base": opened.base,
        "has_prediction": opened.predicted is not None,
        "reference": _reference(opened),
        "reference_name": opened.reference_name,
        "review": asdict(review) if review else None,
        "notes": opened.notes,
        "decisions": opened.decisions,
        "may_be_added": opened.may_be_added,
        "start": opened.start,
        "overlays": [overlay.name for overlay in opened.overlays],
    }


def _reference(opened: Opened) -> str | None:
    """Return under which name the mask is sent that the reader's work is measured against."""
    known = {"mask": opened.mask, "predicted": opened.predicted}
    same = next((name for name, voxels in known.items() if voxels is opened.reference), "reference")
    return None if opened.reference is None else same


def _index(request: Request) -> Response:
    return Response(_file("index.html"), media_type="text/html")


def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _STATIC:
        raise HTTPException(404, "There is no such page.")
    return Response(_file(name), media_type=_STATIC[name])


def _niivue(request: Request) -> Response:
    return Response(viewer_gz(), media_type="text/javascript", headers={"Content-Encoding": "gzip"})


def _file(name: str) -> bytes:
    return files(_PAGE).joinpath(name).read_bytes()


def _bytes(voxels: NDArray[np.uint8]) -> Response:
    return Response(np.ascontiguousarray(voxels).tobytes(), media_type="application/octet-stream")


def _framed(told: dict[str, Any], mask: NDArray[np.uint8]) -> bytes:
    text = json.dumps(told).encode()
    return len(text).to_bytes(4, "little") + text + np.ascontiguousarray(mask).tobytes()


def _range(image: NDArray[np.float32]) -> tuple[float, float]:
    low, high = float(image.min()), float(image.max())
    return low, high if high > low else low + 1.0


def _text(told: dict[str, Any], name: str, most: int) -> str:
    value = told.get(name)
    if not isinstance(value, str) or len(value) > most or not is_text(value):
        raise InputError(f"the field {name} is no text of at most {most} letters", remedy="Shorten it.")
    return value


def _whole(told: dict[str, Any], name: str) -> int:
    value = told.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise InputError(f"the field {name} is no whole number", remedy="Load the case again.")
    return value


def _minutes(told: dict[str, Any]) -> float:
    value = told.get("minutes")
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= _MOST_MINUTES:
        raise InputError("the field minutes is no number of minutes", remedy="Load the case again.")
    return float(value)


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


def _problem(request: Request, error: Exception) -> Response:
    LOGGER.error("%s", error, exc_info=error)
    return _told(error)


def _told(error: Exception) -> Response:
    status = 409 if isinstance(error, ChangedMeanwhileError) else 422 if isinstance(error, InputError) else 500
    asks = {"asks_visits": True} if isinstance(error, VisitsUnknownError) else {}
    return JSONResponse({"problem": str(error), **asks}, status_code=status)


def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    told = "There is no such page." if error.status_code in (404, 405) else error.detail
    return JSONResponse({"problem": told}, status_code=error.status_code)


def _unexpected(request: Request, error: Exception) -> Response:
    LOGGER.error("unexpected %s", type(error).__name__, exc_info=error)
    told = f"Unexpected {type(error).__name__}: {error}. The draft of what was drawn is kept."
    return JSONResponse({"problem": told}, status_code=500)
