"""Work in the background is done in order, and its errors come up."""

from __future__ import annotations

import threading

import pytest

from vmseg_auto.utils.async_writer import AsyncWriter
from vmseg_auto.utils.errors import VmsegError


def test_all_is_done_in_order_before_the_end() -> None:
    done: list[int] = []
    with AsyncWriter() as later:
        for number in range(20):
            later.do(lambda number=number: done.append(number))  # type: ignore[misc]
    assert done == list(range(20))


def test_the_caller_goes_on_meanwhile() -> None:
    go_on = threading.Event()
    with AsyncWriter() as later:
        later.do(lambda: [go_on.wait(10)].clear())
        assert not go_on.is_set()
        go_on.set()


def test_an_error_comes_up_at_the_next_call() -> None:
    def fail() -> None:
        raise VmsegError("the disk is full")

    with AsyncWriter() as later:
        later.do(fail)
        with pytest.raises(VmsegError, match="disk is full"):
            later.do(lambda: None)


def test_an_error_of_the_last_work_comes_up_at_the_end() -> None:
    def fail() -> None:
        raise VmsegError("the disk is full")

    def last() -> None:
        with AsyncWriter() as later:
            later.do(fail)

    with pytest.raises(VmsegError, match="disk is full"):
        last()


def test_the_callers_own_error_is_not_hidden() -> None:
    def fail() -> None:
        raise VmsegError("the disk is full")

    def own() -> None:
        with AsyncWriter() as later:
            later.do(fail)
            raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        own()
