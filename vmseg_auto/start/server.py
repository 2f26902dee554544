"""What the start page asks for: how all steps stand, commands and their jobs, and reports.

No path of a request is opened: a folder is one that the server has listed (start/fields.py), a job is asked for by its
number, and a report by a ticket that is good for once.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vmseg_auto.report.render import render_chart, style_sheet
from vmseg_auto.start.fields import checked
from vmseg_auto.start.jobs import End, Job, Jobs
from vmseg_auto.start.place import Place
from vmseg_auto.start.step import Step
from vmseg_auto.start.steps import STEPS, reports, step_of
from vmseg_auto.start.trainings import latest_folds, time_left, training_charts
from vmseg_auto.utils.console import quoted
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.logs import LOGGER
from vmseg_auto.workflows.make_dataset import code_in

_PAGE = "vmseg_auto.start.page"
_STATIC = {"start.css": "text/css", "start.js": "text/javascript"}
_LINK = re.compile(r"http://127\.0\.0\.1:\d+/#[\w-]+")
_MOST_BYTES = 20_000
_TICKETS = 100
_APART = {
    "Content-Security-Policy": "sandbox allow-scripts allow-downloads",
    "Cross-Origin-Opener-Policy": "unsafe-none",
}
"""A report is a page of its own, with a policy of its own, and reaches nothing of this server. Browsers refuse a page
in a sandbox that asks for an opener policy as well."""
_CUT_SHORT: tuple[End, ...] = ("stopped", "lost", "failed", "some failed")
"""After which the same command goes on."""
_WORDS: dict[End, str] = {
    "running": "It runs.",
    "done": "Done.",
    "some failed": "Done, but some cases failed: read what it says.",
    "refused": "It was refused: read what it says, and what to do.",
    "failed": "It has failed: read what it says.",
    "stopped": "Stopped. What was done is kept; the same command goes on from there.",
    "lost": "It has ended without a word, as when the machine is switched off. The same command goes on from there.",
}


class StartServer:
    """Answers the page.

    Args:
        root: the start folder.
        end: called when the page is ended.
    """

    def __init__(self, root: Path, end: Callable[[], None]) -> None:
        self._root, self._end = root, end
        self._jobs = Jobs(root)
        self._lock = threading.Lock()
        self._tickets: dict[str, Path] = {}

    def app(self) -> Starlette:
        """Return the application; `Guard` is to stand before it."""
        return Starlette(
            routes=[
                Route("/", _index),
                Route("/static/report.css", _report_style),
                Route("/static/{name}", _static),
                Route("/api/state", self._state, methods=["POST"]),
                Route("/api/command/{step}", self._command, methods=["POST"]),
                Route("/api/run/{step}", self._run, methods=["POST"]),
                Route("/api/jobs/{number:int}/log", self._log),
                Route("/api/jobs/{number:int}/confirm", self._confirm, methods=["POST"]),
                Route("/api/jobs/{number:int}/again", self._again, methods=["POST"]),
                Route("/api/jobs/{number:int}/stop", self._stop, methods=["POST"]),
                Route("/api/report", self._ask_report, methods=["POST"]),
                Route("/report/{ticket}", self._report),
                Route("/api/end", self._finish, methods=["POST"]),
            ],
            exception_handlers={VmsegError: _problem, HTTPException: _http_problem, Exception: _unexpected},
        )

    async def _state(self, request: Request) -> Response:
        told = await _sent(request)
        return await run_in_threadpool(lambda: JSONResponse(self._whole_state(told)))

    def _whole_state(self, told: Mapping[str, Any]) -> dict[str, Any]:
        problems: list[str] = []
        jobs = self._jobs.read_all(problems)
        dataset = _text(told, "dataset")
        try:
            place = Place.of(self._root, dataset, jobs)
        except InputError:  # it was moved away
            place = Place.of(self._root, None, jobs)
        if place.unlisted:
            more = f"{place.unlisted} more folders and zips lie below this folder than the page lists"
            problems.append(f"{more}. Put them together in one folder, or move them elsewhere.")
        return {
            "folder": str(self._root),
            "dataset": place.dataset,
            "datasets": place.paths("dataset"),
            "problems": problems,
            "steps": [self._step_state(step, place) for step in STEPS],
        }

    def _step_state(self, step: Step, place: Place) -> dict[str, Any]:
        standing = step.standing(place)
        own = [job for job in place.jobs if job.step == step.name]
        job = next((one for one in reversed(own) if self._jobs.standing(one) == "running"), own[-1] if own else None)
        folds = latest_folds(place.space) if step.name == "train" and place.is_planned else []
        in_the_way = step.in_the_way(place)
        return {
            "name": step.name,
            "title": step.title,
            "words": step.words,
            "state": standing.state,
            "told": " ".join(filter(None, [standing.words, in_the_way])),
            "runs": step.runs and standing.state != "waiting" and not in_the_way,
            "fields": [] if standing.state == "waiting" else [asdict(field) for field in step.fields(place)],
            "job": self._job_state(job, place) if job else None,
            "charts": [render_chart(chart) for chart in training_charts(folds)],
            "reports": reports(place) if step.name == "report" else [],
        }

    def _job_state(self, job: Job, place: Place) -> dict[str, Any]:
        standing = self._jobs.standing(job)
        unconfirmed = standing == "refused" and bool(code_in(self._jobs.tail(job.number)))
        words = "These are the pairs. Nothing is written yet." if unconfirmed else _WORDS[standing]
        if standing == "running" and job.step == "train":
            asked = [word for word in job.command[1:] if word.isdecimal() or word == "all"]
            words = f"{words} {time_left(latest_folds(place.space), asked)}".strip()
        return {
            "number": job.number,
            "command": job.text,
            "state": standing,
            "words": words,
            "began": job.began,
            "ended": job.ended,
            "confirm": unconfirmed,
            "again": standing in _CUT_SHORT,
            "link": _link_in(self._jobs.tail(job.number)) if standing == "running" else "",
        }

    async def _command(self, request: Request) -> Response:
        told = await _sent(request)
        return await run_in_threadpool(self._tell_command, request, told)

    def _tell_command(self, request: Request, told: Mapping[str, Any]) -> Response:
        """Send the command that would be run; in its place why there is none, while somebody still writes an answer."""
        try:
            return JSONResponse({"command": " ".join(map(quoted, self._asked(request, told)[1]))})
        except InputError as error:
            return JSONResponse({"problem": str(error)})

    async def _run(self, request: Request) -> Response:
        told = await _sent(request)
        return await run_in_threadpool(self._start, request, told)

    def _start(self, request: Request, told: Mapping[str, Any]) -> Response:
        dataset, command = self._asked(request, told)
        if not command:
            raise InputError("this step has no command")
        return self._started(request.path_params["step"], dataset, command)

    def _started(self, step: str, dataset: str, command: list[str], after: Job | None = None) -> Response:
        """Start a command, unless it has been started already to go on from the job `after`, as by a first press."""
        with self._lock:
            later = (one for one in self._jobs.read_all() if after and one.number > after.number and one.step == step)
            job = next(later, None)
            if job is None or job.command != tuple(command):
                job = self._jobs.start(step, dataset, command)
                LOGGER.info("job %s is started: %s", job.number, command[0])
        return JSONResponse({"number": job.number})

    def _asked(self, request: Request, told: Mapping[str, Any]) -> tuple[str, list[str]]:
        """Return the dataset that a command works on, and the command, by what the page sends."""
        step = step_of(request.path_params["step"])
        answers = told.get("answers")
        if not isinstance(answers, dict):
            raise InputError("no answers were sent", remedy="Load the page again.")
        place = Place.of(self._root, _text(told, "dataset"), self._jobs.read_all())
        if (standing := step.standing(place)).state == "waiting":
            raise InputError("it is not the turn of this step yet", remedy=standing.words)
        if in_the_way := step.in_the_way(place):
            raise InputError("this step can't be run just now", remedy=in_the_way)
        given = checked(step.fields(place), answers)
        return step.dataset(place, given), step.command(place, given)

    def _log(self, request: Request) -> Response:
        return JSONResponse({"text": self._jobs.tail(int(request.path_params["number"]))})

    def _confirm(self, request: Request) -> Response:
        """Run the same command again, confirmed for the pairs that it has shown, and for no others."""
        job = self._job(request)
        code = code_in(self._jobs.tail(job.number)) if self._jobs.standing(job) == "refused" else ""
        if not code:
            raise InputError("there is nothing to be confirmed", remedy="Look for the pairs again.")
        asked = job.command[:-2] if job.command[-2:-1] == ("--confirm",) else job.command
        return self._started(job.step, job.dataset, [*asked, "--confirm", code], job)

    def _again(self, request: Request) -> Response:
        """Run the command of a job that was cut short again: it goes on from what was done."""
        job = self._job(request)
        if self._jobs.standing(job) not in _CUT_SHORT:
            raise InputError("there is nothing to go on with", remedy="Load the page again.")
        return self._started(job.step, job.dataset, list(job.command), job)

    def _stop(self, request: Request) -> Response:
        self._jobs.stop(self._job(request))
        return JSONResponse({})

    def _job(self, request: Request) -> Job:
        return self._jobs.read(int(request.path_params["number"]))

    async def _ask_report(self, request: Request) -> Response:
        told = await _sent(request)
        return await run_in_threadpool(self._give_ticket, told)

    def _give_ticket(self, told: Mapping[str, Any]) -> Response:
        place = Place.of(self._root, _text(told, "dataset"))
        report = _text(told, "report")
        if report not in reports(place):
            raise InputError("there is no such report", remedy="Load the page again.")
        ticket = secrets.token_urlsafe(32)
        with self._lock:
            self._tickets = dict([*self._tickets.items(), (ticket, self._root / report)][-_TICKETS:])
        return JSONResponse({"page": f"/report/{ticket}"})

    def _report(self, request: Request) -> Response:
        with self._lock:
            path = self._tickets.pop(request.path_params["ticket"], None)
        if path is None:
            raise HTTPException(404)
        try:
            page = path.read_bytes()
        except OSError as error:
            raise InputError(f"the report can't be read ({error.strerror})", remedy="Write it again.") from error
        return Response(page, media_type="text/html", headers=_APART)

    def _finish(self, request: Request) -> Response:
        self._end()
        return JSONResponse({})


def _link_in(text: str) -> str:
    """Return the link to the page of another server of ours that a text shows; empty where there is none."""
    found = _LINK.search(text)
    return found[0] if found else ""


def _index(request: Request) -> Response:
    return Response(_file("start.html"), media_type="text/html")


def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _STATIC:
        raise HTTPException(404)
    return Response(_file(name), media_type=_STATIC[name])


def _report_style(request: Request) -> Response:
    return Response(style_sheet(), media_type="text/css")


def _file(name: str) -> bytes:
    return files(_PAGE).joinpath(name).read_bytes()


async def _sent(request: Request) -> dict[str, Any]:
    """Read the JSON object that was sent.

    Raises:
        HTTPException: it is too large, or tells no length.
        InputError: it is no JSON object.
    """
    length = request.headers.get("content-length", "")
    if not length.isdecimal():
        raise HTTPException(411, "The request does not tell its length.")
    if int(length) > _MOST_BYTES:
        raise HTTPException(413, "The request is too large.")
    try:
        told = json.loads(await request.body())
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise InputError("what was sent is no answer", remedy="Load the page again.")
    return told


def _text(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name, "")
    if not isinstance(value, str):
        raise InputError(f"the field {name} is no text", remedy="Load the page again.")
    return value


def _problem(request: Request, error: Exception) -> Response:
    LOGGER.error("%s", error, exc_info=error)
    return JSONResponse({"problem": str(error)}, status_code=422 if isinstance(error, InputError) else 500)


def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    told = "There is no such page." if error.status_code in (404, 405) else error.detail
    return JSONResponse({"problem": told}, status_code=error.status_code)


def _unexpected(request: Request, error: Exception) -> Response:
    LOGGER.error("unexpected %s", type(error).__name__, exc_info=error)
    return JSONResponse({"problem": f"Unexpected {type(error).__name__}: {error}."}, status_code=500)
