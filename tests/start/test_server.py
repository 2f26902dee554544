"""What the server of the start page answers, and what it refuses: strangers, and whatever it did not list."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from consoles import Heard
from reviewing import Served, start_served
from small_cohort import small_cohort
from starting import SECONDS, export, wait_until

from vmseg_auto.data.workspace import Workspace
from vmseg_auto.start.folders import MOST
from vmseg_auto.start.jobs import Job, Jobs
from vmseg_auto.utils.atomic import write_json
from vmseg_auto.utils.console import Silent
from vmseg_auto.utils.locks import locked
from vmseg_auto.utils.owners import this_process
from vmseg_auto.workflows.plan import plan_and_preprocess

SCRIPT = "<script>window.hurt=1<"
"""Part of a folder's name."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = export(tmp_path_factory.mktemp("start"))
    (root / SCRIPT).mkdir()
    plan_and_preprocess(small_cohort(root / "mine", 3), memory_gb=0.1)
    (root / "mine" / "vmseg" / "report.html").write_text("<p>the report</p>")
    return root


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[Served]:
    with start_served(root) as running:
        yield running


def post(server: Served, path: str, told: Any, **headers: str) -> tuple[int, Any]:
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    status, said, _ = server.ask("POST", path, body, {name.replace("_", "-"): one for name, one in headers.items()})
    return status, json.loads(said)


def test_the_whole_state_is_told(server: Served, root: Path) -> None:
    status, state = post(server, "/api/state", {"dataset": ""})
    assert status == 200
    assert (state["folder"], state["dataset"], state["datasets"]) == (str(root), "mine", ["mine"])
    steps = {step["name"]: step for step in state["steps"]}
    assert steps["plan"]["state"] == "done"
    assert steps["train"]["charts"] == []
    assert steps["report"]["reports"] == ["mine/vmseg/report.html"]
    assert post(server, "/api/state", {"dataset": "gone"})[1]["dataset"] == "mine"


def test_no_plan_is_made_while_a_fold_is_trained(server: Served, root: Path) -> None:
    fold = Workspace(root / "mine" / "vmseg").run("default", "default").fold(0)
    fold.folder.mkdir(parents=True)
    with locked(fold.lock, "vmseg_train 0", Silent()):
        steps = {step["name"]: step for step in post(server, "/api/state", {"dataset": ""})[1]["steps"]}
        assert (steps["plan"]["state"], steps["plan"]["runs"], steps["check"]["runs"]) == ("done", False, True)
        assert "plan when that has ended, or stop it first" in steps["plan"]["told"]
        status, said = post(server, "/api/run/plan", {"dataset": "mine", "answers": {"planner": "default"}})
        assert status == 422
        assert said["problem"].startswith("this step can't be run just now. It is being trained on (fold")
    shutil.rmtree(fold.folder.parents[1])
    assert Jobs(root).read_all() == []


def test_strangers_are_refused(server: Served, root: Path) -> None:
    before = sorted(root.iterdir())
    for headers in (
        {"Host": "evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": ""},
        {"Sec_Fetch_Site": "cross-site"},
        {"X_Vmseg_Token": ""},
        {"X_Vmseg_Token": "wrong"},
    ):
        for path in ("/api/run/check", "/api/state", "/api/report", "/api/end", "/api/jobs/1/stop"):
            status, said = post(server, path, {"answers": {}}, **headers)
            assert status == 403
            assert set(said) == {"problem"}
    assert sorted(root.iterdir()) == before


def test_a_link_from_the_start_page_may_be_followed_and_nothing_else(server: Served) -> None:
    link = {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Origin": ""}
    assert server.ask("GET", "/", headers=link)[0] == 200
    for other in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Dest": "iframe"}, {"Sec-Fetch-Mode": "no-cors"}):
        assert server.ask("GET", "/", headers={**link, **other})[0] == 403
    assert server.ask("GET", "/static/start.js", headers=link)[0] == 403
    assert server.ask("POST", "/api/state", b"{}", headers=link)[0] == 403


@pytest.mark.parametrize(
    ("step", "answers"),
    [
        ("pairs", {"scans": "/etc"}), ("pairs", {"scans": "../"}), ("pairs", {"masks": "export/../masks"}),
        ("pairs", {"dataset": "../elsewhere"}), ("pairs", {"name": "../elsewhere"}), ("pairs", {"other": "x"}),
        ("plan", {"planner": "os:system"}), ("train", {"folds": "0 --fresh"}), ("report", {"what": "export"}),
        ("review", {"reader": "--images=/etc"}), ("train", {"trainer": ["quick"]}), ("predict", {}), ("nothing", {}),
        ("export", {}), ("check", []),
    ],
)  # fmt: skip
def test_nothing_is_run_that_was_not_offered(server: Served, root: Path, step: str, answers: Any) -> None:
    status, said = post(server, f"/api/run/{step}", {"dataset": "mine", "answers": answers})
    assert status == 422
    assert said["problem"]
    assert Jobs(root).read_all() == []


@pytest.mark.parametrize(
    "path", ["/static/../server.py", "/static/%2e%2e/server.py", "/static/start.html", "/report/x", "/report/../etc",
             "/api/jobs/../state", "/api/jobs/-1/log", "/%00", "/api/run/train/../check"],
)  # fmt: skip
def test_no_path_of_a_request_is_opened(server: Served, path: str) -> None:
    status, body, _ = server.ask("GET", path)
    assert status == 404
    assert json.loads(body) == {"problem": "There is no such page."}


def test_bodies_are_small_objects(server: Served) -> None:
    for body, headers, status in (
        (b"[]", {}, 422),
        (b"{", {}, 422),
        (b'{"a": ' * 3000, {}, 422),
        (b" " * 30_000, {}, 413),
        (b"{}", {"Content-Length": str(10**12)}, 413),
        (b"2\r\n{}\r\n0\r\n\r\n", {"Content-Length": "", "Transfer-Encoding": "chunked"}, 411),
    ):
        assert server.ask("POST", "/api/state", body, headers)[0] == status
    assert post(server, "/api/state", {"dataset": 3})[0] == 422


def test_a_report_is_shown_once_for_a_ticket_and_reaches_nothing_here(server: Served) -> None:
    asked = {"dataset": "mine", "report": "mine/vmseg/report.html"}
    _, said = post(server, "/api/report", asked)
    status, body, headers = server.ask("GET", said["page"], headers={"X-Vmseg-Token": ""})
    assert (status, body) == (200, b"<p>the report</p>")
    assert headers["content-security-policy"] == "sandbox allow-scripts allow-downloads"
    assert server.ask("GET", said["page"])[0] == 404
    for report in ("../x", "/etc/passwd", "mine/dataset.json", "mine/vmseg/../vmseg/report.html"):
        assert post(server, "/api/report", {**asked, "report": report})[0] == 422


def test_a_command_is_told_as_it_would_be_typed(server: Served) -> None:
    asked = {"dataset": "mine", "answers": {"reader": "Dr Ada"}}
    assert post(server, "/api/command/review", asked) == (
        200, {"command": 'vmseg_review -d mine --reader "Dr Ada" --no-browser'},
    )  # fmt: skip
    asked["answers"] = {"reader": "-x"}
    assert "can't be used" in post(server, "/api/command/review", asked)[1]["problem"]


def test_folders_that_are_not_listed_are_counted(tmp_path: Path) -> None:
    for number in range(MOST + 1):
        (tmp_path / f"{number}.zip").touch()
    with start_served(tmp_path) as server:
        (problem,) = post(server, "/api/state", {})[1]["problems"]
    assert problem.startswith("1 more folders and zips")


def test_only_pairs_that_were_shown_are_confirmed(tmp_path: Path) -> None:
    jobs = Jobs(export(tmp_path))
    write_json(jobs.record(1), Job(1, "pairs", "", ("vmseg_make_dataset",), "", this_process(), 0, "now", 2).to_json())
    jobs.log(1).write_text("vmseg_make_dataset: there is no mask")
    with start_served(tmp_path) as server:
        assert post(server, "/api/jobs/1/confirm", {})[0] == 422
        assert post(server, "/api/jobs/2/confirm", {})[0] == 422
        assert post(server, "/api/jobs/2/stop", {})[0] == 422


@pytest.mark.slow
def test_pairs_that_nobody_has_seen_are_not_written(tmp_path: Path) -> None:
    export(tmp_path)
    jobs = Jobs(tmp_path)

    def end(number: int) -> str:
        wait_until(lambda: jobs.standing(jobs.read(number)) != "running")
        return jobs.standing(jobs.read(number))

    with start_served(tmp_path) as server:
        assert post(server, "/api/run/pairs", {"answers": {"tests": "0"}}) == (200, {"number": 1})
        assert end(1) == "refused"
        (tmp_path / "masks" / "Ahorn_Anna.nii.gz").unlink()
        assert post(server, "/api/jobs/1/confirm", {}) == (200, {"number": 2})
        assert end(2) == "refused"
        assert not (tmp_path / "my_patients").exists()
        assert "not those that were confirmed" in jobs.tail(2)
        assert post(server, "/api/jobs/2/confirm", {}) == (200, {"number": 3})
        assert post(server, "/api/jobs/2/confirm", {}) == (200, {"number": 3})  # pressed twice
        assert end(3) == "done"
        assert post(server, "/api/jobs/2/confirm", {}) == (200, {"number": 3})
        assert len(jobs.read_all()) == 3
    assert len(list((tmp_path / "my_patients" / "labelsTr").iterdir())) == 3
    assert jobs.read(3).command.count("--confirm") == 1


@pytest.mark.slow
def test_a_job_goes_on_without_the_server_and_is_found_again(tmp_path: Path) -> None:
    small_cohort(tmp_path / "mine", 1)
    with start_served(tmp_path) as server:
        assert post(server, "/api/run/review", {"answers": {}}) == (200, {"number": 1})
        assert post(server, "/api/run/review", {"answers": {}})[0] == 422
        wait_until(lambda: "#" in job_of(server)["link"])
    with start_served(tmp_path) as server:
        assert server.heard.said[0].startswith("At work here: `vmseg_review -d mine --no-browser`")
        assert job_of(server)["state"] == "running"
        assert post(server, "/api/jobs/1/stop", {})[0] == 200
        wait_until(lambda: job_of(server)["state"] == "stopped")
        assert job_of(server)["link"] == ""
        assert "stopped" in server.json("/api/jobs/1/log")["text"]
        assert post(server, "/api/jobs/1/again", {}) == (200, {"number": 2})
        assert job_of(server)["command"] == "vmseg_review -d mine --no-browser"
        assert post(server, "/api/jobs/2/again", {})[0] == 422
        assert post(server, "/api/jobs/2/stop", {})[0] == 200
        wait_until(lambda: job_of(server)["state"] == "stopped")


def job_of(server: Served) -> Any:
    steps = post(server, "/api/state", {})[1]["steps"]
    return next(step["job"] for step in steps if step["name"] == "review")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is a signal")
def test_the_command_without_options_shows_the_page_of_the_current_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vmseg_auto.cli.review", "--no-browser"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        server = Served(process.stdout.readline().split()[-1], Heard())
        assert post(server, "/api/state", {})[1]["folder"] == str(tmp_path)
        post(server, "/api/end", {})
        try:
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()
    assert list(tmp_path.iterdir()) == []
