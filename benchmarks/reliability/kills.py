"""Commands killed at random moments and run again: the same files must come of it, bit for bit.

    python -m benchmarks.reliability.kills [--kills 100] [--seed 0] [--stages plan train validate predict]

Linux only: it looks for processes left behind in /proc.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.measure import processes_of
from benchmarks.reliability.cohort import MEMORY_GB, SETTINGS, write_cohort
from benchmarks.reliability.page import put
from vmseg_auto.utils.errors import VmsegError

STAGES = ("plan", "train", "validate", "predict")
ORPHANS_END_S = 600.0
"""By when the workers of a killed command have ended by themselves."""
_CHILD = """
import importlib, sys
importlib.import_module("vmseg_auto.workflows." + sys.argv[1])
main = importlib.import_module("vmseg_auto.cli." + sys.argv[2]).main
print("ready", flush=True)
sys.exit(main(sys.argv[3:]))
"""
"""A command whose slow imports are over once it says so: a moment before that tells nothing."""


@dataclass(frozen=True)
class Kill:
    """One kill, and what the same command, run again, made of it.

    Args:
        stage: of STAGES.
        moment: share of an undisturbed run's time.
        lost, damaged, left: files that are missing, differ, or should not be there.
        orphans: processes that did not end.
        error: of the second run.
    """

    stage: str
    moment: float
    lost: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    orphans: int = 0
    error: str = ""

    @property
    def harmless(self) -> bool:
        return not (self.lost or self.damaged or self.left or self.orphans or self.error)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reliability.kills", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--kills", type=int, default=100, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--stages", nargs="+", default=STAGES, choices=STAGES, help="others than all: nothing is written"
    )
    arguments = parser.parse_args(argv)
    kills = []
    with tempfile.TemporaryDirectory() as place:
        for kill in kill_often(Path(place), arguments.kills, arguments.seed, arguments.stages):
            kills.append(kill)
            print(f"{len(kills)}: {kill}", flush=True)
    if set(arguments.stages) == set(STAGES):
        put("kills", report(kills, arguments.seed))
    return 0 if all(kill.harmless for kill in kills) else 1


def kill_often(place: Path, kills: int, seed: int, stages: Sequence[str] = STAGES, cases: int = 3) -> Iterator[Kill]:
    """Kill each stage's command in turn, at seeded moments; gives what became of each.

    Args:
        place: an empty folder.
        cases: to train on.
    """
    bench = _Bench(place, cases)
    rng = Random(seed)
    for number in range(kills):
        yield bench.kill(stages[number % len(stages)], rng)


class _Bench:
    """A cohort whose states before and after each stage are kept, so that any stage can be run from its beginning."""

    def __init__(self, place: Path, cases: int) -> None:
        self.place, self.cases = place, cases
        self.cohort = place / "cohort"
        self.seconds: dict[str, float] = {}
        self.wanted: dict[str, dict[str, str]] = {}
        write_cohort(self.cohort, cases, scans=2)
        for stage in STAGES:
            self._run_undisturbed(stage)

    def kill(self, stage: str, rng: Random) -> Kill:
        """Kill a stage's command, wait for its workers, run it again and compare."""
        while True:
            self._restore(stage)
            moment = rng.random()
            process = self._start(stage)
            time.sleep(moment * self.seconds[stage])
            if process.poll() is None:
                break
            process.communicate()
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()  # read to its end, it would last as long as the workers
        orphans = _wait_for_orphans(process.pid)
        again = self._start(stage)
        _, words = again.communicate()
        found, wanted = digests(self.cohort), self.wanted[stage]
        return Kill(
            stage,
            moment,
            lost=tuple(sorted(set(wanted) - set(found))),
            damaged=tuple(sorted(name for name in set(found) & set(wanted) if found[name] != wanted[name])),
            left=tuple(sorted(set(found) - set(wanted))),
            orphans=orphans,
            error=words[-800:] if again.returncode else "",
        )

    def _run_undisturbed(self, stage: str) -> None:
        if stage == "validate":
            self._forget_validation()
        shutil.copytree(self.cohort, self.place / stage)
        process = self._start(stage)
        began = time.monotonic()
        _, words = process.communicate()
        if process.returncode:
            raise RuntimeError(f"{stage} failed undisturbed: {words}")
        self.seconds[stage] = time.monotonic() - began
        self.wanted[stage] = digests(self.cohort)

    def _forget_validation(self) -> None:
        """As if training had been interrupted between the last epoch and the first validation case of each fold."""
        for folder in self.cohort.glob("vmseg/runs/*/*/*/validation"):
            shutil.rmtree(folder)
        for folder in self.cohort.glob("vmseg/runs/*/*/cross_validation"):
            shutil.rmtree(folder)
        (self.cohort / "vmseg" / "selection.json").unlink()

    def _restore(self, stage: str) -> None:
        shutil.rmtree(self.cohort)
        shutil.copytree(self.place / stage, self.cohort)

    def _start(self, stage: str) -> subprocess.Popen[str]:
        """Start a stage's command, and wait until it begins to work."""
        process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, *self._command(stage)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
            start_new_session=True,
        )
        assert process.stdout is not None
        process.stdout.readline()
        return process

    def _command(self, stage: str) -> list[str]:
        """Names of the pipeline's and the command's module, and the arguments."""
        at = ["-d", str(self.cohort), "--quiet"]
        if stage == "plan":
            return ["plan", "plan_and_preprocess", *at, "--memory", str(MEMORY_GB), "--jobs", "2"]
        if stage == "predict":
            place = ["-i", str(self.cohort / "imagesTs"), "-o", str(self.cohort / "masks"), "--save-probabilities"]
            return ["predict", "predict", *at, *place, "--device", "cpu"]
        folds = [str(number) for number in range(min(5, self.cases))]
        return ["train", "train", *folds, *at, "--device", "cpu", "--jobs", "1", "--set", *SETTINGS]


def _wait_for_orphans(session: int) -> int:
    """Wait until a killed command's workers have ended; gives how many did not."""
    for _ in range(int(ORPHANS_END_S / 0.1)):  # not by the clock: all may be stopped for a while
        if not list(processes_of(session)):
            break
        time.sleep(0.1)
    return len(list(processes_of(session)))


def digests(root: Path, unreadable: bool = False) -> dict[str, str]:
    """File -> hash of what it says: tensors of checkpoints, JSON and CSV without timings; logs and locks left out.

    Args:
        unreadable: take the bytes of a checkpoint that can't be read.
    """
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        if path.is_file() and "logs" not in name.parts and path.suffix != ".lock":
            found[str(name)] = hashlib.sha256(_content(path, unreadable)).hexdigest()
    return found


def _content(path: Path, unreadable: bool) -> bytes:
    if path.suffix in (".pt", ".safetensors"):
        with contextlib.suppress(*((VmsegError,) if unreadable else ())):
            return _checkpoint(path)
    if path.suffix == ".png":
        return b"a picture"
    if path.suffix == ".csv":
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
        timed = [index for index, name in enumerate(rows[0]) if name == "seconds"]
        return repr([[cell for index, cell in enumerate(row) if index not in timed] for row in rows]).encode()
    return path.read_bytes()


def _checkpoint(path: Path) -> bytes:
    from vmseg_auto.models.checkpoints import load_checkpoint
    from vmseg_auto.models.final_checkpoint import load_final
    from vmseg_auto.models.hashes import weights_hash

    checkpoint = load_checkpoint(path) if path.suffix == ".pt" else load_final(path)
    history = [{name: str(value) for name, value in row.items() if name != "seconds"} for row in checkpoint.history]
    about: list[Any] = [checkpoint.plan.to_json(), checkpoint.config.to_json(), checkpoint.epoch, history]
    return json.dumps([about, weights_hash(checkpoint.weights), weights_hash(checkpoint.live)]).encode()


def report(kills: Sequence[Kill], seed: int) -> Iterator[str]:
    """The table for docs/reliability.md."""
    yield f"Seed {seed}."
    yield ""
    yield "| killed while it | kills | files lost | damaged | left behind | workers left | second run failed |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    words = {
        "plan": "plans and prepares",
        "train": "trains",
        "validate": "validates and selects",
        "predict": "predicts",
    }
    for names, title in (*(((stage,), words[stage]) for stage in STAGES), (STAGES, "all")):
        rows = [kill for kill in kills if kill.stage in names]
        counts = (
            len(rows), *(sum(len(getattr(k, what)) for k in rows) for what in ("lost", "damaged", "left")),
            sum(k.orphans for k in rows), sum(bool(k.error) for k in rows),
        )  # fmt: skip
        yield f"| {title} | {' | '.join(map(str, counts))} |"


if __name__ == "__main__":
    sys.exit(main())
