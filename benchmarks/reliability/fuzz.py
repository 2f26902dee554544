"""Mutated files at the readers and through the commands: each must be read or refused in words.

    python -m benchmarks.reliability.fuzz [--mutations 20000] [--commands 400] [--seed 0] [--jobs 2] [--only checkpoint]

Linux only: it limits memory and reads processor time as this system has them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

from benchmarks.reliability.guards import Watch, limit_memory
from benchmarks.reliability.page import put
from benchmarks.reliability.subjects import Subject, prepare, subjects
from benchmarks.reliability.worker import Serve, Worker


@dataclass(frozen=True)
class Find:
    """A mutation that was neither read nor refused in words; (subject, number, seed) make it again."""

    subject: str
    number: int
    problem: str


@dataclass
class Outcome:
    """What a run of the fuzzer found.

    Args:
        tried, refused: kind of file -> mutations in all, and those that were refused.
    """

    tried: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    finds: list[Find] = field(default_factory=list)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reliability.fuzz", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--mutations", type=int, default=20_000, metavar="N", help="at the readers (default: 20000)")
    parser.add_argument("--commands", type=int, default=400, metavar="N", help="through the commands (default: 400)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="worker processes")
    parser.add_argument("--only", nargs="+", metavar="KIND", help="kinds of files; their number is not written down")
    arguments = parser.parse_args(argv)
    from benchmarks.reliability.cohort import trained_cohort

    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        cohort = Path(place) / "cohort"
        trained_cohort(cohort)
        prepare(cohort)
        tasks = plan(arguments.mutations, arguments.commands, arguments.only)
        outcome = fuzz(cohort, tasks, arguments.seed, arguments.jobs)
    counts = outcome.tried.total(), outcome.refused.total(), len(outcome.finds), (time.monotonic() - began) / 60
    print("{} mutations, {} refused, {} finds, {:.0f} min".format(*counts))
    if not arguments.only:
        put("fuzz", _report(outcome, arguments.seed))
    return 1 if outcome.finds else 0


def plan(mutations: int, commands: int, only: Sequence[str] | None = None) -> list[tuple[str, int]]:
    """(subject, number): the kinds take turns, so that the first few are of all kinds."""
    chosen = [subject for subject in subjects() if not only or subject.name in only]
    readers = [subject.name for subject in chosen if not subject.is_command]
    whole = [subject.name for subject in chosen if subject.is_command]
    tasks = []
    for names, count in ((readers, mutations), (whole, commands)):
        tasks += [(names[i % len(names)], i // len(names)) for i in range(count if names else 0)]
    return tasks


def fuzz(
    cohort: Path, tasks: Sequence[tuple[str, int]], seed: int, jobs: int = 1, serve: Serve | None = None
) -> Outcome:
    """Try all mutations in worker processes with limits.

    Args:
        cohort: a trained cohort after `prepare`; it's copied, never changed.
        tasks: (subject, number).
        seed: with subject and number it decides a mutation.
        serve: what a worker does; reads mutated files unless given.
    """
    outcome, left, lock = Outcome(), iter(tasks), threading.Lock()

    def work() -> None:
        with Worker(cohort, seed, serve or _serve) as worker:
            while True:
                with lock:
                    task = next(left, None)
                if task is None:
                    return
                result = worker.attempt(*task)
                with lock:
                    outcome.tried[task[0]] += 1
                    outcome.refused[task[0]] += result == REFUSED
                    if result not in (READ, REFUSED):
                        outcome.finds.append(Find(*task, result))
                        print(f"{task[0]} {task[1]}: {result}", flush=True)
                    if outcome.tried.total() % 500 == 0:
                        print(f"{outcome.tried.total()} of {len(tasks)}", flush=True)

    threads = [threading.Thread(target=work) for _ in range(max(1, jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcome


READ, REFUSED = "read", "refused"


def _serve(pipe: Connection, cohort: Path, place: Path, seed: int) -> None:
    """The worker's side: copy the cohort, then answer each task."""
    root = place / "inside" / "cohort"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(cohort, root)
    os.chdir(root)
    os.environ["MPLCONFIGDIR"] = str(root.parent)  # else matplotlib makes folders in the user's home
    tempfile.tempdir = str(root.parent)
    known = {subject.name: subject for subject in subjects()}
    with open(os.devnull, "w") as nowhere:  # what ITK's and HDF5's own code prints
        os.dup2(nowhere.fileno(), 2)
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "builtin type", DeprecationWarning)  # at the import of SimpleITK before 2.5.7
    limit_memory()
    written: list[str] = []
    sys.addaudithook(Watch(root, written))
    pipe.send("ready")
    while True:
        name, number = pipe.recv()
        pipe.send(attempt(known[name], number, seed, cohort, root, written))


def attempt(subject: Subject, number: int, seed: int, cohort: Path, root: Path, written: list[str]) -> str:
    """Mutate a file, read it, and undo all that was done.

    Args:
        cohort: as it was.
        root: a copy of it, which the reader sees.
        written: where a Watch notes files written outside.

    Returns:
        READ, REFUSED, or what went wrong.
    """
    (pristine,) = sorted(cohort.glob(subject.file))[:1]
    path = root / pristine.relative_to(cohort)
    path.write_bytes(subject.mutate(pristine.read_bytes(), Random(f"{seed} {subject.name} {number}")))
    written.clear()
    try:
        result = _read(subject, root, path)
    except Exception as error:
        result = f"{type(error).__name__} ({_origin(error)}): {str(error)[:700]}"
    if written:
        result = f"written outside: {', '.join(written[:3])}"
    _restore(cohort, root)
    return result


def _read(subject: Subject, root: Path, path: Path) -> str:
    from vmseg_auto.utils.errors import VmsegError

    try:
        subject.read(root)
    except VmsegError as error:
        words = str(error)
        words.encode()  # what can't be is no message for a screen
        named = path.name if subject.named is None else subject.named
        return REFUSED if named in words else f"the file isn't named: {words}"
    return READ


def _origin(error: Exception) -> str:
    """The line of code that an error comes from."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def _restore(cohort: Path, root: Path) -> None:
    """Undo whatever a command has done."""
    wanted = {path.relative_to(cohort): path for path in cohort.rglob("*") if path.is_file()}
    for path in [path for path in root.rglob("*") if path.is_file() or path.is_symlink()]:
        if path.relative_to(root) not in wanted:
            path.unlink()
    for name, source in wanted.items():
        target = root / name
        if not target.is_file() or target.stat().st_mtime_ns != source.stat().st_mtime_ns:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def _report(outcome: Outcome, seed: int) -> Iterator[str]:
    names = [subject.name for subject in subjects() if not subject.is_command]
    whole = [subject.name for subject in subjects() if subject.is_command]
    yield f"Seed {seed}; {len(outcome.finds)} finds left."
    yield ""
    yield "| at | mutations | refused | read |"
    yield "|---|--:|--:|--:|"
    for name in names:
        tried, refused = outcome.tried[name], outcome.refused[name]
        yield f"| {name} | {tried:,} | {refused:,} | {tried - refused:,} |"
    tried = sum(outcome.tried[name] for name in names)
    yield f"| all readers | {tried:,} | {sum(outcome.refused[name] for name in names):,} | |"
    yield f"| whole commands | {sum(outcome.tried[name] for name in whole):,} | | |"


if __name__ == "__main__":
    sys.exit(main())
