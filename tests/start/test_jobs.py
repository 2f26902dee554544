"""Jobs outlive who has started them, are found again, stop when asked to, and tell how they have ended."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from small_cohort import small_cohort
from starting import wait_until

from vmseg_auto.start.jobs import KEPT, Job, Jobs
from vmseg_auto.utils.atomic import write_json
from vmseg_auto.utils.console import Silent
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.locks import holder, locked
from vmseg_auto.utils.owners import this_process

REVIEW = ("vmseg_review", "-d", "patients", "--no-browser")
"""Goes on until it is ended."""


def ended(jobs: Jobs, job: Job) -> Job:
    wait_until(lambda: jobs.standing(jobs.read(job.number)) != "running")
    return jobs.read(job.number)


def write(jobs: Jobs, job: Job) -> None:
    write_json(jobs.record(job.number), job.to_json())


@pytest.mark.slow
def test_a_command_is_run_and_its_end_is_told(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path)
    done = ended(jobs, jobs.start("train", "", ["vmseg_train", "--help"]))
    assert (done.number, done.exit_code, jobs.standing(done)) == (1, 0, "done")
    assert jobs.tail(1).startswith("usage: vmseg_train")
    if os.name == "posix":
        assert stat.S_IMODE(jobs.log(1).stat().st_mode) & 0o077 == 0
    refused = ended(jobs, jobs.start("train", "", ["vmseg_train", "0", "--nonsense"]))
    assert (refused.number, refused.exit_code, jobs.standing(refused)) == (2, 2, "refused")
    assert "--nonsense" in jobs.tail(2)
    with pytest.raises(InputError, match="no such job"):
        jobs.read(3)


@pytest.mark.slow
def test_a_job_outlives_who_started_it_and_stops_when_asked_to(tmp_path: Path) -> None:
    small_cohort(tmp_path / "patients", 1)
    jobs = Jobs(tmp_path)
    script = f"import os, pathlib, vmseg_auto.start.jobs as j; j.Jobs(pathlib.Path({str(tmp_path)!r})).start"
    script += f"('review', 'patients', {REVIEW!r}); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == -signal.SIGKILL
    (job,) = jobs.read_all()
    assert jobs.standing(job) == "running"
    wait_until(lambda: "http://127.0.0.1" in jobs.tail(1))
    with pytest.raises(InputError, match="is at work"):
        jobs.start("review", "patients", REVIEW)
    jobs.stop(job)
    job = ended(jobs, job)
    assert (job.exit_code, jobs.standing(job)) == (128 + signal.SIGTERM, "stopped")
    assert "stopped" in jobs.tail(1)


@pytest.mark.slow
def test_a_command_that_is_killed_has_failed(tmp_path: Path) -> None:
    """As by a system that has no memory left."""
    small_cohort(tmp_path / "patients", 1)
    jobs = Jobs(tmp_path)
    job = jobs.start("review", "patients", REVIEW)
    os.kill(job.process, signal.SIGKILL)
    job = ended(jobs, job)
    assert (job.exit_code, jobs.standing(job)) == (-signal.SIGKILL, "failed")


def test_a_job_whose_machine_was_switched_off_is_lost_and_blocks_nothing(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path)
    job = Job(1, "train", "", ("vmseg_train", "0"), "", "", 0)
    write(jobs, job)
    with locked(jobs.lock(1), "vmseg_train", Silent()):
        assert jobs.standing(job) == "running"
        with pytest.raises(InputError, match="is at work"):
            jobs.start("train", "", ["vmseg_train", "0"])
    jobs.lock(1).touch()  # it is left behind by who could not remove it any more
    assert jobs.standing(jobs.read(1)) == "lost"
    write(jobs, replace(job, ended="now", exit_code=0))
    assert jobs.standing(job) == "done", "a job that has ended since its record was read"


def test_without_locks_the_process_is_looked_for(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path)
    machine, process, _ = this_process().split("-")
    job = Job(1, "train", "", ("vmseg_train", "0"), "", f"{machine}-{process}-1", 0)
    write(jobs, job)
    assert jobs.standing(job) == "lost"
    assert jobs.standing(replace(job, runner=this_process())) == "running"


@pytest.mark.slow
def test_a_job_whose_runner_is_killed_is_lost(tmp_path: Path) -> None:
    small_cohort(tmp_path / "patients", 1)
    jobs = Jobs(tmp_path)
    job = jobs.start("review", "patients", REVIEW)
    runner = holder(jobs.lock(1))
    assert runner is not None
    os.kill(runner.process, signal.SIGKILL)
    os.kill(job.process, signal.SIGTERM)
    assert jobs.standing(ended(jobs, job)) == "lost"


def test_a_damaged_record_is_named_and_its_number_is_not_used_again(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path)
    write(jobs, Job(1, "plan", "", ("vmseg_plan_and_preprocess",), "", this_process(), 0, "now", 0))
    jobs.record(7).write_text("{")
    problems: list[str] = []
    assert [job.number for job in jobs.read_all(problems)] == [1]
    assert "0007.json" in problems[0]
    assert jobs._next_number() == 8


@pytest.mark.slow
def test_of_many_jobs_the_oldest_that_have_ended_are_removed(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path)
    for number in range(1, KEPT + 3):
        write(jobs, Job(number, "plan", "", ("vmseg_report",), "", this_process(), 0, "now", 0))
        jobs.log(number).touch()
    write(jobs, replace(jobs.read(1), exit_code=None, runner=this_process()))
    ended(jobs, jobs.start("train", "", ["vmseg_train", "--help"]))
    assert [job.number for job in jobs.read_all()] == [1, *range(3, KEPT + 4)]
    assert not jobs.log(2).exists()


@pytest.mark.slow
def test_a_job_that_can_not_be_started_says_so(tmp_path: Path) -> None:
    Jobs(tmp_path).folder.mkdir()
    with pytest.raises(VmsegError, match="can't be started"):
        Jobs(tmp_path)._run(1, [str(tmp_path / "missing"), "1", "train", "", "vmseg_train"])


def test_of_a_line_that_is_written_over_the_last_is_shown(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path)
    jobs.folder.mkdir()
    jobs.log(1).write_bytes("begun\r\nFold 0   0%\rFold 0  50%\rFold 0 100%\nFold ß\r".encode())
    assert jobs.tail(1) == "begun\nFold 0 100%\nFold ß"
    jobs.log(2).write_bytes(b"x" * 100_000 + b"\nlast")
    assert jobs.tail(2) == "last"
    assert jobs.tail(3) == ""
