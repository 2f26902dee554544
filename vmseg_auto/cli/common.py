"""What all commands share: the parent parser, the screen, and how a command ends. Imports nothing heavy."""

from __future__ import annotations

import argparse
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmseg_auto import __version__
from vmseg_auto.data.redaction import redaction_of
from vmseg_auto.data.workspace import Workspace, workspace_root
from vmseg_auto.pacs.address import is_address
from vmseg_auto.utils.console import Progress, quoted
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.utils.logs import LOGGER, CommandLog
from vmseg_auto.utils.names import is_text
from vmseg_auto.utils.redaction import Redaction
from vmseg_auto.utils.scratch import name_spare
from vmseg_auto.utils.signals import Stopped, stoppable
from vmseg_auto.utils.streams import open_streams, write_text

if TYPE_CHECKING:
    from vmseg_auto.pacs.settings import PacsSettings

_UNKNOWN = "unrecognized arguments: "
_MAY_BE_EMPTY = ("licence", "label", "set")
_ON_WORKSPACES = re.compile(
    r"`(vmseg_(?:plan_and_preprocess|train|select|report|predict -i SCANS -o MASKS)(?: [^`]*)?)`"
)
"""A command in a text, where it is whole."""
AFTER_TRAINING = ("vmseg_report", "vmseg_predict -i SCANS -o MASKS")
"""What may come next."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors go the way of all errors: one sentence, exit code 2."""

    def error(self, message: str) -> Any:
        remedy = f"See `{self.prog} --help`."
        if message.startswith(_UNKNOWN) and "--set" in self._option_string_actions:
            from vmseg_auto.planning.training_config import TrainingConfig

            name, value, *_ = [*message.removeprefix(_UNKNOWN).replace("=", " ").split(), "VALUE"]
            field = name.lstrip("-").replace("-", "_")
            if field in TrainingConfig.__dataclass_fields__:
                remedy = f"It is a setting of the training: write --set {field}={value}."
        raise InputError(message, remedy=remedy)


def make_parser(prog: str, description: str, options: Sequence[str], epilog: str | None = None) -> Parser:
    """Make a command's parser with those of the shared options that it has.

    Args:
        options: of "dataset", "workspace", "model", "series", "echo", "spacing", "device", "backend", "jobs",
            "strict",
            "identity", "pacs", "keep_scans". --version, --debug and --quiet stand everywhere.
    """
    parser = bare_parser(prog, description, epilog)
    add_options(parser, options)
    return parser


def bare_parser(prog: str, description: str, epilog: str | None = None) -> Parser:
    """Make a command's parser, which has no option but --version."""
    parser = Parser(prog=prog, description=description, epilog=epilog)
    parser.add_argument(
        "--version", action="version", version=f"vmseg_auto {__version__}", help="show the version and end"
    )
    return parser


def add_options(parser: argparse.ArgumentParser, options: Sequence[str]) -> None:
    """Give a parser those of the shared options that it has (see `make_parser`)."""
    for name in options:
        flags, settings = _SHARED[name]
        parser.add_argument(*flags, **settings)
    parser.add_argument("--quiet", action="store_true", help="say only warnings and errors")
    parser.add_argument("--debug", action="store_true", help="show where an error came from")


def places_of(arguments: argparse.Namespace) -> dict[str, str | None]:
    """Return -d and -w, or the environment's."""
    return {
        "dataset": arguments.dataset or os.environ.get("VMSEG_DATASET") or None,
        "workspace": workspace_of(arguments),
    }


def workspace_of(arguments: argparse.Namespace) -> str | None:
    """Return -w, or the environment's."""
    return arguments.workspace or os.environ.get("VMSEG_WORKSPACE") or None


def settings_of(arguments: argparse.Namespace) -> PacsSettings:
    """Return what the settings file says that is named by --pacs or the environment, else the usual one."""
    from vmseg_auto.pacs.settings import USUAL, read_settings

    return read_settings(Path(arguments.pacs or os.environ.get("VMSEG_PACS") or USUAL))


def go_on(screen: Screen, *commands: str, joined: str = " or ") -> None:
    """Say which commands may come next."""
    screen.say(f"Go on with {joined.join(f'`{command}`' for command in commands)}.")


def in_place(text: str, arguments: argparse.Namespace) -> str:
    """Return a text in which each command that works on a workspace is given this one's -d and -w."""
    given = [(flag, getattr(arguments, name, None)) for flag, name in (("-d", "dataset"), ("-w", "workspace"))]
    places = "".join(f" {flag} {quoted(folder)}" for flag, folder in given if folder)

    def completed(found: re.Match[str]) -> str:
        told = set(found[1].split()) & {"-d", "-w", "-m"} or (found[1].startswith("vmseg_report") and "-i" in found[1])
        return found[0] if told else f"`{found[1]}{places}`"

    return _ON_WORKSPACES.sub(completed, text)


def confirmed(question: str) -> bool:
    """Ask at a terminal and return the answer; yes where nobody is there to be asked."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty()):
        return True
    write_text(f"{question} [y/N] ", sys.stderr, end="")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def positive_int(text: str) -> int:
    """Parse a whole number above 0, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def number(text: str) -> float:
    """Parse a number, for argparse."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number: write it without a unit, as 2 or 0.5") from None


def fold_name(text: str) -> int | str:
    """Parse a fold's number or "all", for argparse."""
    if text == "all":
        return text
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no fold: write numbers with blanks between, as 0 1 2, or all")
    return int(text)


def workspace_logs(arguments: argparse.Namespace) -> Path:
    """Return where commands with -d and -w keep their logs."""
    places = places_of(arguments)
    return Workspace(workspace_root(places["dataset"], places["workspace"])).logs


def run(
    parser: Parser,
    work: Callable[[argparse.Namespace, Screen], None],
    argv: Sequence[str] | None = None,
    logs: Callable[[argparse.Namespace], Path | None] = lambda arguments: None,
    given: Sequence[str] = (),
    fetched: str = "",
) -> int:
    """Parse, work, and turn errors into one message and an exit code (0 done, 1 failure, 2 bad use, 3 some failed,
    128 and the signal's number where one ended it).

    Args:
        logs: arguments -> the folder in which the command's log file goes, or None for no log.
        given: options that name scans, masks, or where they go. Neither these paths nor names in them stand in the log,
            unless --with-identity.
        fetched: the option that may name scans of a PACS.
    """
    open_streams()
    debug = "--debug" in (sys.argv[1:] if argv is None else argv)
    try:
        arguments = parser.parse_args(argv)
        _refuse_names_that_are_no_text(arguments)
        _refuse_empty(arguments)
        _refuse_addresses(arguments, fetched, parser.prog)
    except VmsegError as error:
        return _end(parser.prog, error, debug, None)
    options = {name: value for name, value in vars(arguments).items() if not callable(value)}
    finish = partial(in_place, arguments=arguments)
    folder = logs(arguments)
    if folder is not None:
        name_spare(folder.parent)
    redaction = _redaction(arguments, given) if folder is not None and given else None
    with stoppable(), CommandLog(folder, parser.prog, options, redaction) as log:
        screen = Screen(arguments.quiet, Inventory(getattr(arguments, "strict", False)), finish)
        try:
            work(arguments, screen)
            code = 0
        except (Exception, KeyboardInterrupt) as error:
            code = _end(parser.prog, error, debug, log, finish)
        screen.tell_left_out()
        LOGGER.info("exit code %s", code)
    return code


def _redaction(arguments: argparse.Namespace, given: Sequence[str]) -> Redaction | None:
    """Return what the log shows in place of names; None with --with-identity."""
    if arguments.with_identity:
        return None
    values = {name: getattr(arguments, name) for name in given}
    places = {
        name.upper(): [value] if isinstance(value, str) else value
        for name, value in values.items()
        if value is not None
    }
    return redaction_of(places, getattr(arguments, "series", ())) if places else None


def _refuse_names_that_are_no_text(arguments: argparse.Namespace) -> None:
    """Refuse an option that names a file by bytes that are no UTF-8: no table or log could name it."""
    for given in vars(arguments).values():
        for name in given if isinstance(given, (list, tuple)) else [given]:
            if isinstance(name, str) and not is_text(name):
                problem, remedy = "its name, or that of its folder, is not UTF-8 and can't be used", "Rename it."
                raise InputError(problem, file=name, remedy=remedy)


def _refuse_empty(arguments: argparse.Namespace) -> None:
    """Refuse what is named by nothing, as by a variable of the shell that is not set."""
    for option, given in vars(arguments).items():
        words = given if isinstance(given, (list, tuple)) else [given]
        if option not in _MAY_BE_EMPTY and any(isinstance(word, str) and not word.strip() for word in words):
            name = option.replace("_", " ")
            remedy = "Leave it out, or say what is meant: a variable of the shell may not be set."
            raise InputError(f"what is given as {name} is empty", remedy=remedy)


def _refuse_addresses(arguments: argparse.Namespace, fetched: str, prog: str) -> None:
    """Refuse an address of a PACS (pacs:NAME) where a file or folder is wanted; it is not repeated, as it may name
    a patient.
    """
    for option, given in vars(arguments).items():
        words = given if isinstance(given, (list, tuple)) else [given]
        if option != fetched and any(isinstance(word, str) and is_address(word) for word in words):
            problem = f"what is given as {option.replace('_', ' ')} names a PACS, and {prog} fetches nothing for it"
            remedy = (
                "Fetch scans with `vmseg_predict -i pacs:NAME/STUDY_UID --keep-scans FOLDER`, and name FOLDER here."
            )
            raise InputError(problem, remedy=remedy)


def _end(
    prog: str,
    error: BaseException,
    debug: bool,
    log: CommandLog | None,
    finish: Callable[[str], str] = str,
) -> int:
    """Say and log what a command ended with; gives its exit code."""
    for one in (error, *getattr(error, "errors", ())):
        LOGGER.error("%s", one, exc_info=one)
    if debug and not isinstance(error, KeyboardInterrupt):
        write_text("".join(traceback.format_exception(error)), sys.stderr, end="")
    if isinstance(error, VmsegError):
        if not error.told:
            write_text(finish(f"{prog}: {error}"), sys.stderr)
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        by = f" ({error})" if isinstance(error, Stopped) else ""
        write_text(f"\n{prog}: stopped{by}. What was done is kept; the same command goes on from there.", sys.stderr)
        return error.exit_code if isinstance(error, Stopped) else 130
    where = "It came from where the lines above say" if debug else "Run it again with --debug to see where"
    if log and log.path:
        where = f"Where it came from stands in {log.path}"
    write_text(f"{prog}: unexpected {type(error).__name__}: {error}. {where}.", sys.stderr)
    return 1


class Screen:
    """The console of a terminal: words to stdout, warnings and bars to stderr, and all but bars to the log.

    Args:
        quiet: whether only warnings and errors are said.
        left: what the command does not use of its inputs; told at its end.
        finish: gives a text that is said its last form.
    """

    def __init__(self, quiet: bool, left: Inventory | None = None, finish: Callable[[str], str] = str) -> None:
        self.quiet, self.finish = quiet, finish
        self.left = left if left is not None else Inventory()

    def show(self, text: str) -> None:
        if not self.quiet:
            self._write(text, sys.stdout)

    def say(self, text: str) -> None:
        text = self.finish(text)
        LOGGER.info("%s", text)
        if not self.quiet:
            self._write(text, sys.stdout)

    def warn(self, text: str) -> None:
        text = self.finish(text)
        LOGGER.warning("%s", text)
        self._write(f"Warning: {text}", sys.stderr)

    def tell_left_out(self) -> None:
        """Name what was left out, at a command's end; of many names the screen shows the first, and the log all."""
        left = self.left if self.quiet else self.left.not_shown()
        if left.unwanted:
            LOGGER.warning("%s", left.whole_text)
            self._write(f"Warning: {left.text()}", sys.stderr)
        elif left.found:
            LOGGER.info("%s", left.whole_text)
            self.show(left.text())

    def progress(self, title: str, total: int, done: int = 0) -> Progress:
        LOGGER.info("%s: %s of %s done", title, done, total)
        from vmseg_auto.cli.bar import Bar

        return Bar(title, total, done, self.quiet)

    def _write(self, text: str, file: Any) -> None:
        from vmseg_auto.cli.bar import above_bars

        with above_bars(file=file):
            write_text(text, file)


_SHARED: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "dataset": (
        ("-d", "--dataset"),
        {"metavar": "FOLDER", "help": "dataset folder (default: $VMSEG_DATASET, else the current folder)"},
    ),
    "workspace": (
        ("-w", "--workspace"),
        {"metavar": "FOLDER", "help": "where plans and models lie (default: $VMSEG_WORKSPACE, else DATASET/vmseg)"},
    ),
    "model": (
        ("-m", "--model"),
        {
            "metavar": "MODEL",
            "help": "a model's zip, or its folder WORKSPACE/runs/PLANNER/TRAINER (default: vmseg_select's choice, "
            "else the only one)",
        },
    ),
    "series": (
        ("--series",),
        {
            "nargs": "+",
            "default": (),
            "metavar": "NAME",
            "help": "these DICOM series only, by name or SeriesDescription; patterns such as '*_T2' work too",
        },
    ),
    "echo": (
        ("--echo",),
        {
            "type": positive_int,
            "metavar": "N",
            "help": "of DICOM series with several echoes, from 1 (the shortest echo time)",
        },
    ),
    "spacing": (
        ("--spacing",),
        {
            "nargs": 3,
            "type": number,
            "metavar": ("Z", "Y", "X"),
            "help": "voxel size in mm of image files that tell none, in the order of plan.json: between slices first",
        },
    ),
    "device": (
        ("--device",),
        {
            "choices": ("auto", "cuda", "mps", "cpu"),
            "default": "auto",
            "help": "where to compute (default: a GPU if there is one)",
        },
    ),
    "backend": (
        ("--backend",),
        {
            "choices": ("torch", "openvino"),
            "default": "torch",
            "help": "what computes the networks: torch (default), or openvino (extra openvino), faster on CPUs without "
            "16-bit arithmetic; float32 on the CPU",
        },
    ),
    "jobs": (
        ("--jobs",),
        {"metavar": "N", "type": positive_int, "help": "parallel workers (default: as fits this machine)"},
    ),
    "strict": (
        ("--strict",),
        {"action": "store_true", "help": "end before any work where something of the input would not be used"},
    ),
    "identity": (
        ("--with-identity",),
        {
            "action": "store_true",
            "help": "let the log name the files and folders that were given, which may tell who a patient is",
        },
    ),
    "pacs": (
        ("--pacs",),
        {
            "metavar": "FILE",
            "help": "the settings file (default: $VMSEG_PACS, else pacs.json in the current folder)",
        },
    ),
    "keep_scans": (
        ("--keep-scans",),
        {"metavar": "FOLDER", "help": "keep what is fetched from a PACS in FOLDER, and fetch nothing twice"},
    ),
}
"""The options that several commands have: flags, and what argparse is told of them."""
