"""What wakes a loop from other threads: no call is lost, and nothing is written to a descriptor that was given back."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from netcore.error import ReactorNotRunning
from netcore.reactors import Reactor
from netcore.reactors._selector import direct_loop, watcher_of
from netcore.reactors._waker import Waker


@pytest.fixture(params=["direct", "plain"])
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    """A loop on our selector, and one on asyncio's."""
    loop = direct_loop() if request.param == "direct" else asyncio.SelectorEventLoop()
    yield loop
    loop.close()


def test_a_wake_up_calls_back_in_the_loop(loop: asyncio.AbstractEventLoop) -> None:
    called: list[int] = []

    def callback() -> None:
        called.append(threading.get_ident())
        loop.stop()

    waker = Waker(loop, callback)
    thread = threading.Thread(target=waker.wake)
    thread.start()
    loop.run_forever()
    thread.join()
    assert called == [threading.get_ident()]
    waker.close()


def test_each_wake_up_after_a_call_brings_another(loop: asyncio.AbstractEventLoop) -> None:
    calls = 0

    def callback() -> None:
        nonlocal calls
        calls += 1
        if calls == 100:
            loop.stop()
        else:
            waker.wake()

    waker = Waker(loop, callback)
    waker.wake()
    loop.run_forever()
    assert calls == 100
    waker.close()


def test_wake_ups_before_the_loop_runs_are_kept(loop: asyncio.AbstractEventLoop) -> None:
    waker = Waker(loop, loop.stop)
    waker.wake()
    waker.wake()
    loop.run_forever()
    waker.close()


def test_a_closed_loop_is_not_woken(loop: asyncio.AbstractEventLoop) -> None:
    waker = Waker(loop, lambda: None)
    loop.close()  # which gives back what the waker holds: the guard of the tests would see it
    with pytest.raises(ReactorNotRunning, match="closed"):
        waker.wake()


def test_nothing_is_written_to_whoever_has_the_number_next() -> None:
    loop = direct_loop()
    waker = Waker(loop, lambda: None)
    number = waker._descriptor
    waker.close()
    mine = os.eventfd(0, os.EFD_NONBLOCK)
    try:
        assert mine == number
        with pytest.raises(ReactorNotRunning):
            waker.wake()
        with pytest.raises(BlockingIOError):
            os.eventfd_read(mine)
        waker.close()  # again: it is not ours to close
        os.eventfd_write(mine, 1)
    finally:
        os.close(mine)
        loop.close()


def test_a_signal_handler_may_wake_while_its_thread_does() -> None:
    """The handler runs where the lock is held: between two steps of `wake`."""
    loop = direct_loop()
    woken: list[str] = []
    waker = Waker(loop, loop.stop)

    def handler(number: int, frame: FrameType | None) -> None:
        waker.wake()
        woken.append("by the handler")

    previous = signal.signal(signal.SIGUSR1, handler)
    try:
        with waker._lock:
            signal.raise_signal(signal.SIGUSR1)
        assert woken
        loop.run_forever()
    finally:
        signal.signal(signal.SIGUSR1, previous)
        waker.close()
        loop.close()


def test_calls_survive_a_keyboard_interrupt() -> None:
    """Edges are reported once: what was asked for when one leaves `run` is looked for by the next `run`."""
    reactor = Reactor("epoll")
    made: list[int] = []

    def interrupt() -> None:
        reactor.callFromThread(made.append, 1)
        reactor.callFromThread(reactor.stop)
        raise KeyboardInterrupt

    reactor.callFromThread(interrupt)
    with pytest.raises(KeyboardInterrupt):
        reactor.run(installSignalHandlers=False)
    assert made == []
    reactor.run(installSignalHandlers=False)
    assert made == [1]
    reactor.dispose()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("loop", ["direct"], indirect=True)
def test_a_wake_up_outlives_a_reader_that_leaves_the_loop(
    loop: asyncio.AbstractEventLoop, error: type[BaseException]
) -> None:
    """It was reported in the same turn, after the reader's event, and an edge is reported once."""
    watcher = watcher_of(loop)
    ours, theirs = socket.socketpair()

    def leave() -> None:
        watcher.remove_reader(ours.fileno())
        raise error

    woken: list[str] = []
    waker = Waker(loop, lambda: woken.append("woken"))
    with ours, theirs:
        watcher.add_reader(ours.fileno(), leave)
        theirs.send(b"the kernel reports this first")
        waker.wake()
        with pytest.raises(error):
            loop.run_forever()
        assert woken == []
        loop.run_until_complete(asyncio.sleep(0))
        assert woken == ["woken"]
    waker.close()


@pytest.mark.parametrize("loop", ["direct"], indirect=True)
def test_a_wake_up_outlives_a_call_that_leaves_the_loop_before_it(loop: asyncio.AbstractEventLoop) -> None:
    """A timer's call comes before those of descriptors: the loop had not looked at their events yet."""

    def leave() -> None:
        raise KeyboardInterrupt

    woken: list[str] = []
    waker = Waker(loop, lambda: woken.append("woken"))
    waker.wake()
    loop.call_soon(leave)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert woken == []
    loop.run_until_complete(asyncio.sleep(0))
    assert woken == ["woken"]
    waker.close()


def test_a_wake_up_outlives_a_signal_handler_that_raises_as_the_kernel_reports_it() -> None:
    loop = direct_loop()
    selector: Any = watcher_of(loop)
    poll = selector._poll

    def interrupted(timeout: float | None) -> None:
        selector._poll = poll
        assert poll(timeout)
        raise KeyboardInterrupt

    woken: list[str] = []
    waker = Waker(loop, lambda: woken.append("woken"))
    waker.wake()
    selector._poll = interrupted
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    loop.run_until_complete(asyncio.sleep(0))
    assert woken == ["woken"]
    waker.close()
    loop.close()
