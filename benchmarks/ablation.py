"""What each ingredient of the trainers does: cross-validation on vmsemi53, the same number of steps in every row.

    python -m benchmarks.ablation                                                      # screening: every row, two folds
    python -m benchmarks.ablation --rows nnunet default --folds 0 1 2 3 4 --seeds 0 1       # the final pair
    python -m benchmarks.ablation --rows paper --folds 0 --epochs 200                             # one long run

Each fold's figures are kept as JSON in the work folder. What is finished is never trained again, and an interrupted
training goes on from its last epoch. The tables in docs/results.md are written from all that there is.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from benchmarks.ablation_report import BASELINE, write_report
from benchmarks.ablation_results import Cell, FoldResult, InputSource, Protocol, load, read_scores, save, workspace_of
from benchmarks.compare import ROOT, add_places
from benchmarks.tools import Job, SetupError, on_threads, side_by_side
from vmseg_auto.cli.common import positive_int
from vmseg_auto.data.dataset import fold_cases
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.utils.errors import InputError, VmsegError

COHORT = "vmsemi53"


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Args:
        name: also of its folders.
        settings: `field=value` for fields of the TrainingConfig, on top of the trainer's.
        trainer, planner: names of installed ones.
    """

    name: str
    settings: tuple[str, ...] = ()
    trainer: str = "nnunet"
    planner: str = "default"

    def config(self, protocol: Protocol, seed: int) -> TrainingConfig:
        """Raises SetupError where there is no such trainer, field or value."""
        from vmseg_auto.registry import load_trainer

        try:
            return load_trainer(self.trainer).config.with_settings(self.all_settings(protocol, seed))
        except InputError as error:
            raise SetupError(f"the row {self.name} can't be trained: {error}") from error

    def all_settings(self, protocol: Protocol, seed: int) -> tuple[str, ...]:
        """Its own, and those that the protocol sets in every row."""
        return (*self.settings, f"epochs={protocol.epochs}", f"iterations_per_epoch={protocol.steps}", f"seed={seed}")


ROWS = (
    Row("paper", trainer="paper"),
    Row(BASELINE),
    Row("ema_decay", ("ema_decay=0.999",)),
    Row("batch_dice", ("batch_dice=true",)),
    Row("by_lesion", ("by_lesion=true",)),
    Row("left_right_only", ("left_right_only=true",)),
    Row("copy_paste", ("copy_paste=0.5",)),
    Row("strong_augmentation", ("strong_augmentation=true",)),
    Row("soft_margin", ("boundary_label_smoothing=0.2",)),
    Row("tversky", ("tversky_alpha=0.7",)),
    Row("focal", ("focal_gamma=2",)),
    Row("adamw_onecycle", ("optimizer=adamw", "schedule=onecycle", "lr=0.003", "weight_decay=0.01")),
    Row("default", trainer="default"),
)
"""An ingredient is nnU-Net's protocol with one thing changed; a new row is one entry here."""


@dataclass(frozen=True)
class Bench:
    """One call of this script.

    Args:
        cohort: dataset folder.
        work: workspaces, logs and results.
        protocol: shared by all rows.
        rows: name -> row.
        device, jobs: where to train, and how many folds side by side.
    """

    cohort: Path
    work: Path
    protocol: Protocol
    rows: Mapping[str, Row]
    device: str
    jobs: int

    def space(self, cell: Cell) -> Workspace:
        return Workspace(workspace_of(self.work, self.protocol, cell))

    def job(self, cell: Cell) -> Job:
        """vmseg_train of one fold, on one thread."""
        row = self.rows[cell.row]
        places = ("-d", str(self.cohort), "-w", str(self.space(cell).root), "--device", self.device)
        plugins = ("--planner", row.planner, "--trainer", row.trainer)
        settings = ("--set", *row.all_settings(self.protocol, cell.seed))
        command = (sys.executable, "-m", "vmseg_auto.cli.train", str(cell.fold), *places, *plugins, *settings)
        return Job(command, on_threads(1))

    def log(self, cell: Cell) -> Path:
        name = f"{self.protocol.name}_{cell.row}_{cell.seed}_{cell.fold}.log"
        return self.work / "logs" / "ablation" / name


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=__doc__.partition("\n")[0])
    add_places(made)
    made.set_defaults(out=ROOT / "docs" / "results.md")
    made.add_argument("--rows", nargs="+", metavar="NAME", help=f"rows (default: {', '.join(r.name for r in ROWS)})")
    add_protocol(made)
    made.add_argument("--report", action="store_true", help="train nothing, only write the tables anew")
    return made


def add_protocol(made: argparse.ArgumentParser) -> None:
    """Options of how all rows are trained."""
    made.add_argument("--folds", type=int, nargs="+", default=[0, 1], metavar="N", help="folds (default: %(default)s)")
    made.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="N", help="seeds (default: %(default)s)")
    made.add_argument(
        "--memory", type=float, default=0.25, metavar="GB", help="the plan's budget (default: %(default)s)"
    )
    made.add_argument(
        "--epochs", type=positive_int, default=20, metavar="N", help="of each fold (default: %(default)s)"
    )
    made.add_argument(
        "--steps", type=positive_int, default=50, metavar="N", help="of each epoch (default: %(default)s)"
    )
    made.add_argument("--device", choices=("auto", "cuda", "mps", "cpu"), default="cpu", help="default: %(default)s")
    made.add_argument(
        "--jobs", type=positive_int, default=2, metavar="N", help="folds side by side (default: %(default)s)"
    )


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)

    def work() -> Sequence[Cell]:
        failed = [] if arguments.report else run(arguments, chosen(arguments.rows))
        write_report(arguments.work, arguments.out, [row.name for row in ROWS])
        return failed

    return finished("benchmarks.ablation", arguments.out, work)


def finished(name: str, out: Path, work: Callable[[], Sequence[object]]) -> int:
    """Exit code of a command that does this work, which gives the trainings that failed, and writes the page `out`."""
    try:
        failed = work()
    except (SetupError, VmsegError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{name}: stopped; the same command goes on from here.", file=sys.stderr)
        return 130
    print(f"{out} is written.")
    return 1 if failed else 0


def run(arguments: argparse.Namespace, rows: Sequence[Row]) -> list[Cell]:
    """Train what is missing of these rows; gives what failed."""
    bench = Bench(
        cohort=arguments.data.absolute() / COHORT,
        work=arguments.work.absolute(),
        protocol=Protocol(arguments.memory, arguments.epochs, arguments.steps),
        rows={row.name: row for row in rows},
        device=arguments.device,
        jobs=arguments.jobs,
    )
    if not bench.cohort.is_dir():
        raise SetupError(f"{bench.cohort} isn't there: give --data or set VMSEG_TEST_DATA")
    missing = unfinished(bench, cells(list(bench.rows), arguments.seeds, arguments.folds))
    print(f"{len(missing)} folds to train, {bench.jobs} side by side.", flush=True)
    if missing:
        prepare(bench, missing)
    failed = []

    def ended(cell: Cell, code: int) -> None:
        if code:
            failed.append(cell)
            print(f"{cell.text()} failed; see {bench.log(cell)}", file=sys.stderr, flush=True)
        else:
            print(f"{cell.text()}: Dice {finish(bench, cell):.3f}", flush=True)

    side_by_side(missing, bench.jobs, lambda cell: begin(bench, cell), ended)
    return failed


def chosen(names: Sequence[str] | None) -> list[Row]:
    """The rows of those names; every row unless given. Raises SetupError where there is none of a name."""
    known = {row.name: row for row in ROWS}
    if unknown := [name for name in names or () if name not in known]:
        raise SetupError(f"there is no row {unknown[0]!r}; there are {', '.join(known)}")
    return [known[name] for name in names] if names else list(ROWS)


def cells(rows: Sequence[str], seeds: Sequence[int], folds: Sequence[int]) -> list[Cell]:
    """In this order: every row's first fold before any row's second, and one seed after another; each once."""
    return list(dict.fromkeys(Cell(row, seed, fold) for seed in seeds for fold in folds for row in rows))


def unfinished(bench: Bench, wanted: Iterable[Cell]) -> list[Cell]:
    """Those of the wanted trainings that are not finished yet.

    Raises:
        SetupError: a row can't be trained, or was begun with other settings.
    """
    missing = []
    for cell in wanted:
        row, before = bench.rows[cell.row], load(bench.work, bench.protocol, cell)
        config = row.config(bench.protocol, cell.seed)
        if before is not None and (changes := _changes(before, row, config)):
            raise SetupError(
                f"{cell.text()} was begun with other settings ({'; '.join(changes)}): "
                f"rename the row, or delete its folders in {bench.work / 'ablation'}"
            )
        if before is None or before.scores is None:
            missing.append(cell)
    return missing


def _changes(before: FoldResult, row: Row, config: TrainingConfig) -> list[str]:
    plugins = [("trainer", before.trainer, row.trainer), ("planner", before.planner, row.planner)]
    changes = [f"{kind}: {old} against {new}" for kind, old, new in plugins if old != new]
    return changes + TrainingConfig.from_json(before.config, before.cell.text()).differences(config)


def prepare(bench: Bench, wanted: Iterable[Cell]) -> None:
    """Plan and prepare the cohort in each workspace.

    Raises:
        SetupError: their splits differ, so that rows would not be trained on the same cases.
        VmsegError: the cohort can't be preprocessed, or there is no such fold.
    """
    from vmseg_auto.workflows.plan import plan_and_preprocess

    found, preprocessed = None, set()
    for cell in wanted:
        space = bench.space(cell)
        if space not in preprocessed:
            planner, memory = bench.rows[cell.row].planner, bench.protocol.memory_gb
            splits = plan_and_preprocess(bench.cohort, space.root, planner=planner, memory_gb=memory).splits
            if splits is None or (found is not None and splits.folds != found.folds):
                raise SetupError(f"{space.splits} is another split than that of the other rows: delete {space.root}")
            found = splits
            preprocessed.add(space)
        if found is not None:
            fold_cases(found, cell.fold, ())


def begin(bench: Bench, cell: Cell) -> subprocess.Popen[bytes]:
    """Write down where a training begins or goes on, and start it."""
    row = bench.rows[cell.row]
    config = row.config(bench.protocol, cell.seed)
    new = FoldResult(bench.protocol, cell, row.trainer, row.planner, row.settings, config.to_json(), ())
    before = load(bench.work, bench.protocol, cell) or new
    save(bench.work, before.begun_at(InputSource.here(bench.device, config.amp, bench.jobs)))
    job, log = bench.job(cell), bench.log(cell)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        return subprocess.Popen(
            job.command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=job.full_environment()
        )


def finish(bench: Bench, cell: Cell) -> float:
    """Keep the figures of a training that has ended; gives its mean Dice."""
    row, begun = bench.rows[cell.row], load(bench.work, bench.protocol, cell)
    if begun is None:
        raise SetupError(f"the results of {cell.text()} were taken away while it was trained")
    scores = read_scores(bench.space(cell).run(row.planner, row.trainer).fold(cell.fold))
    save(bench.work, replace(begun, scores=scores))
    return sum(scores.dice.values()) / len(scores.dice)


def interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupt)
    sys.exit(main())
