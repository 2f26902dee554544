"""Signals that ask a command to end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from vmseg_auto.utils.signals import SIGNALS, Stopped, noting_signals, stoppable

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="Windows has no such signals")


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.fixture
def from_a_terminal() -> Iterator[None]:
    """As without a nohup before the tests, under which a command hears no SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.usefixtures("from_a_terminal")
def test_a_signal_ends_a_command_once(number: int) -> None:
    before = [signal.getsignal(one) for one in SIGNALS]
    with stoppable():
        with pytest.raises(Stopped, match=signal.Signals(number).name) as caught:
            send(number)
        send(number)
    assert caught.value.exit_code == 128 + number
    assert [signal.getsignal(one) for one in SIGNALS] == before


def test_a_noted_signal_ends_it_where_it_is_safe() -> None:
    done = []

    def work() -> None:
        with stoppable(), noting_signals() as noted:
            done.append(noted())
            send(signal.SIGUSR1)
            done.append(noted())

    with pytest.raises(Stopped, match="SIGUSR1"):
        work()
    assert done == [0, signal.SIGUSR1]


def test_without_a_signal_nothing_happens() -> None:
    with stoppable(), noting_signals() as noted:
        assert noted() == 0


def test_a_thread_leaves_signals_to_the_main_one() -> None:
    seen = []

    def work() -> None:
        with stoppable(), noting_signals() as noted:
            seen.append((signal.getsignal(signal.SIGTERM), noted()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(signal.getsignal(signal.SIGTERM), 0)]
