"""How a command ends: one message, one exit code."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

from vmseg_auto import __version__
from vmseg_auto.cli import train
from vmseg_auto.cli.common import (
    Parser,
    Screen,
    fold_name,
    make_parser,
    number,
    places_of,
    positive_int,
    run,
    workspace_logs,
)
from vmseg_auto.utils.errors import DatasetError, InputError, SomeCasesFailedError, VmsegError

COMMANDS = [one for one in entry_points(group="console_scripts") if one.name.startswith("vmseg_")]
Work = Callable[[argparse.Namespace, Screen], None]


def parser() -> Parser:
    made = make_parser("vmseg_test", "It tests.", ("dataset", "workspace", "model", "device", "jobs"))
    made.add_argument("folds", nargs="*", type=fold_name)
    return made


def raising(error: BaseException) -> Work:
    def work(arguments: argparse.Namespace, screen: Screen) -> None:
        raise error

    return work


def test_nothing_wrong_is_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(parser(), lambda arguments, screen: screen.say(f"done with {arguments.folds}"), ["0", "all"]) == 0
    assert capsys.readouterr().out == "done with [0, 'all']\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (VmsegError("it failed", case="a", remedy="Try again."), 1),
        (InputError("bad input", file="x.nii.gz"), 2),
        (DatasetError("2 bad cases", [InputError("bad", case="a"), InputError("worse", case="b")]), 2),
        (SomeCasesFailedError("1 of 2 failed", [VmsegError("bad", case="a")]), 3),
    ],
)
def test_our_errors_give_their_message_and_code(
    error: VmsegError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(parser(), raising(error), []) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"vmseg_test: {error}\n"


def test_an_unexpected_error_is_1_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(parser(), raising(KeyError("oops")), []) == 1
    err = capsys.readouterr().err
    assert err == "vmseg_test: unexpected KeyError: 'oops'. Run it again with --debug to see where.\n"


def test_ctrl_c_is_130_and_says_what_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(parser(), raising(KeyboardInterrupt()), []) == 130
    assert "stopped. What was done is kept" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--colour"], "unrecognized arguments: --colour"),
        (["--device", "tpu"], "invalid choice: 'tpu'"),
        (["--jobs", "0"], "--jobs: '0' is no whole number above 0"),
        (["--jobs", "many"], "--jobs: 'many' is no whole number above 0"),
        (["--jobs"], "expected one argument"),
        (["first"], "'first' is no fold: write numbers with blanks between, as 0 1 2, or all"),
        (["²"], "'²' is no fold"),
    ],
)
def test_a_bad_option_is_2_in_one_line(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(parser(), raising(AssertionError("not reached")), arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("vmseg_test: ")
    assert words in err
    assert err.endswith("See `vmseg_test --help`.\n")
    assert err.count("\n") == 1


def test_debug_shows_where_our_errors_came_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(parser(), raising(InputError("bad input")), ["--debug"]) == 2
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert "in work" in err
    assert err.endswith("vmseg_test: bad input\n")


def test_debug_shows_where_unexpected_errors_came_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(parser(), raising(KeyError("\x1b[2J")), ["--debug"]) == 1
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert "in work" in err
    assert err.endswith("vmseg_test: unexpected KeyError: '\\x1b[2J'. It came from where the lines above say.\n")


def test_a_traceback_gives_no_orders_to_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    for error in (InputError("\x1b[2J", file="scan\u202egnp.exe"), OSError(2, "gone", "\x1b]0;x\x07")):
        run(parser(), raising(error), ["--debug"])
    err = capsys.readouterr().err
    assert all(letter.isprintable() or letter == "\n" for letter in err)
    assert err.count("\\x1b") == 4


def test_a_warning_gives_no_orders_to_a_terminal() -> None:
    script = (
        "import warnings; from vmseg_auto.cli.common import make_parser, run; "
        "run(make_parser('vmseg_test', '', ()), lambda *given: warnings.warn('\\x1b[2J'), [])"
    )
    done = subprocess.run([sys.executable, "-W", "always", "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == "<string>:1: UserWarning: \\x1b[2J\n"


def test_a_log_holds_where_errors_came_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def work(arguments: argparse.Namespace, screen: Screen) -> None:
        screen.say("reading")
        screen.warn("one is odd")
        with screen.progress("Predicting", 7):
            raise KeyError("oops")

    assert run(parser(), work, ["--quiet"], lambda arguments: tmp_path / "logs") == 1
    (path,) = (tmp_path / "logs").iterdir()
    assert capsys.readouterr().err.endswith(f"unexpected KeyError: 'oops'. Where it came from stands in {path}.\n")
    text = path.read_text()
    for words in (
        "INFO    reading", "WARNING one is odd", "Predicting: 0 of 7 done", "Traceback (most", "in work", "exit code 1",
    ):  # fmt: skip
        assert words in text


def test_a_log_holds_the_errors_of_single_cases(tmp_path: Path) -> None:
    try:
        raise InputError("bad", case="a")
    except InputError as error:
        failed = SomeCasesFailedError("1 of 2 failed", [error])
    assert run(parser(), raising(failed), [], lambda arguments: tmp_path / "logs") == 3
    (path,) = (tmp_path / "logs").iterdir()
    assert "ERROR   case a: bad\nTraceback" in path.read_text()


@pytest.mark.parametrize(
    ("command", "arguments", "folder"),
    [
        ("train", ["0", "-w", "w"], "w/logs"),
        ("plan_and_preprocess", ["-d", "d"], "d/vmseg/logs"),
        ("plan_and_preprocess", ["-d", "d", "--check-only"], None),
        ("predict", ["-i", "i", "-o", "o", "-w", "w"], "w/logs"),
        ("predict", ["-i", "i", "-o", "o", "-m", "m"], "o/logs"),
        ("evaluate", ["-p", "p", "-r", "r"], "p/logs"),
        ("evaluate", ["-p", "p", "-r", "r", "-o", "s/scores.csv"], "s/logs"),
        ("evaluate", ["-p", "p", "-r", "r", "-w", "w"], "w/logs"),
        ("demo", ["--out", "o"], "o/logs"),
        ("model", ["import", "n", "-o", "o"], "o/logs"),
        ("report", ["-w", "w"], "w/logs"),
        ("report", ["-i", "i"], "i/logs"),
    ],
)
def test_where_logs_lie(
    command: str, arguments: list[str], folder: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VMSEG_DATASET", raising=False)
    monkeypatch.delenv("VMSEG_WORKSPACE", raising=False)
    module = import_module(f"vmseg_auto.cli.{command}")
    logs = getattr(module, "logs", workspace_logs)(module.parser().parse_args(arguments))
    assert logs == (None if folder is None else Path(folder))


def test_help_is_0(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run(parser(), raising(AssertionError("not reached")), ["--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    for option in ("-d", "-w", "-m", "--device", "--jobs", "--debug", "--quiet"):
        assert option in out


def test_options_stand_only_where_they_are_asked_for() -> None:
    arguments = make_parser("x", "x", ("jobs",)).parse_args(["--jobs", "3"])
    assert vars(arguments) == {"jobs": 3, "quiet": False, "debug": False}


def test_places_come_from_options_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VMSEG_DATASET", raising=False)
    monkeypatch.delenv("VMSEG_WORKSPACE", raising=False)
    assert places_of(parser().parse_args([])) == {"dataset": None, "workspace": None}
    monkeypatch.setenv("VMSEG_DATASET", "from_env")
    monkeypatch.setenv("VMSEG_WORKSPACE", "")
    assert places_of(parser().parse_args([])) == {"dataset": "from_env", "workspace": None}
    assert places_of(parser().parse_args(["-d", "a", "-w", "b"])) == {"dataset": "a", "workspace": "b"}


def test_numbers() -> None:
    assert positive_int("12") == 12
    assert fold_name("3") == 3
    assert fold_name("all") == "all"
    assert number("0.5") == 0.5
    with pytest.raises(argparse.ArgumentTypeError, match=r"'0,5' is no number: write it without a unit"):
        number("0,5")


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "", "x"])
def test_no_positive_number(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="no whole number above 0"):
        positive_int(text)


def test_quiet_says_warnings_only(capsys: pytest.CaptureFixture[str]) -> None:
    for quiet in (True, False):
        screen = Screen(quiet)
        screen.say("words")
        screen.warn("careful")
        with screen.progress("Task", 2) as progress:
            progress.advance()
            progress.note("half")
            progress.advance()
        out, err = capsys.readouterr()
        assert out == ("" if quiet else "words\n")
        assert "Warning: careful\n" in err
        assert ("Task" in err) != quiet
        assert quiet or "100%" in err


def test_a_narrow_terminal_shows_the_time_left_and_the_most_important_note(monkeypatch: pytest.MonkeyPatch) -> None:
    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with os.fdopen(follower, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with Screen(quiet=False).progress("Fold 0", 4) as progress:
            progress.note("validation Dice 0.712", "train Dice 0.903", "epoch 1/4", "loss 0.512")
            progress.advance(4)
    shown = b""
    with contextlib.suppress(OSError):  # how a terminal that was closed ends
        while more := os.read(leader, 10_000):
            shown += more
    os.close(leader)
    lines = [line.strip() for line in shown.decode().split("\r")]
    assert "left, validation Dice 0.712, train Dice 0.903" in "".join(lines[-2:])
    assert max(map(len, lines)) <= 80


def test_words_and_bars_keep_apart(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(quiet=False)
    with screen.progress("Task", 4, done=2) as progress:
        screen.say("a line")
        progress.advance(2)
    out, err = capsys.readouterr()
    assert out == "a line\n"
    assert "50%" in err


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        ("train", ["first"], "'first' is no fold"),
        ("train", [], "the following arguments are required: FOLD"),
        ("predict", ["-i", "scans"], "the following arguments are required: -o/--output"),
        ("evaluate", ["--tolerance", "wide"], "argument --tolerance: 'wide' is no number"),
        ("plan_and_preprocess", ["--memory", "much"], "argument --memory: 'much' is no number"),
        ("demo", ["--cases", "0"], "'0' is no whole number above 0"),
        ("train", ["0", "--epochs", "5"], "--epochs 5. It is a setting of the training: write --set epochs=5."),
        ("learning_curve", ["--patients", "5", "--set", "lr=1", "--seed=3"], "write --set seed=3."),
        ("train", ["0", "--epohcs=5"], "--epohcs=5. See `vmseg_train --help`."),
    ],
)
def test_each_command_refuses_bad_use(command: str, arguments: list[str], words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"vmseg_auto.cli.{command}", *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "500"},
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_every_installed_command_tells_its_version(command: EntryPoint, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        command.load()(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"vmseg_auto {__version__}\n"


@pytest.mark.parametrize("option", ["--init", "-d", "--trainer"])
def test_an_option_that_is_given_and_empty_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`-d $DATA` would work on the current folder, where DATA is not set."""
    assert train.main(["0", option, " "]) == 2
    assert "is empty. Leave it out, or say what is meant" in capsys.readouterr().err
