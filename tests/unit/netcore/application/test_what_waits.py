"""When SIGUSR1 prints, and where it is left alone; in processes, it is tried by
tests/integration/netcore/test_debug_runner.py."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from netcore.application._what_waits import Printer, printing_what_waits
from netcore.error import ReactorNotRunning
from tests.support.guard import Logged


class FakeReactor:
    """Makes calls when it is told to."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []
        self.disposed = False

    def callFromThread(self, callable: Callable[[], object]) -> None:
        if self.disposed:
            raise ReactorNotRunning
        self.calls.append(callable)

    def turn(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


@pytest.fixture
def reactor() -> FakeReactor:
    return FakeReactor()


@pytest.fixture(autouse=True)
def signal_as_it_was() -> Iterator[None]:
    before = signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGUSR1, before)


def serve(printer: Printer, reactor: FakeReactor) -> None:
    printer.serve(cast("Any", reactor))


def reports(capsys: pytest.CaptureFixture[str]) -> int:
    text = capsys.readouterr().err
    return text.count("waiting: ") + text.count("nothing waits")


def ask() -> None:
    signal.raise_signal(signal.SIGUSR1)


def test_it_prints_in_a_turn_of_the_reactor_and_not_before(
    reactor: FakeReactor, capsys: pytest.CaptureFixture[str]
) -> None:
    with printing_what_waits() as printer:
        serve(printer, reactor)
        for _ in range(2):
            ask()
            assert reports(capsys) == 0
            reactor.turn()
            assert reports(capsys) == 1


def test_several_before_the_turn_are_one(reactor: FakeReactor, capsys: pytest.CaptureFixture[str]) -> None:
    with printing_what_waits() as printer:
        serve(printer, reactor)
        for _ in range(50):
            ask()
        reactor.turn()
    assert reports(capsys) == 1


def test_one_from_before_there_is_a_reactor_is_kept(reactor: FakeReactor, capsys: pytest.CaptureFixture[str]) -> None:
    with printing_what_waits() as printer:
        ask()
        ask()
        serve(printer, reactor)
        reactor.turn()
    assert reports(capsys) == 1


def test_when_it_is_over_it_is_ignored(reactor: FakeReactor) -> None:
    with printing_what_waits() as printer:
        serve(printer, reactor)
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN


def test_a_reactor_that_was_disposed_of_is_not_asked(reactor: FakeReactor) -> None:
    with printing_what_waits() as printer:
        serve(printer, reactor)
        reactor.disposed = True
        ask()
    assert reactor.calls == []


def test_a_platform_without_the_signal_does_without(reactor: FakeReactor, monkeypatch: pytest.MonkeyPatch) -> None:
    number = signal.SIGUSR1
    monkeypatch.delattr(signal, "SIGUSR1")
    with printing_what_waits() as printer:
        serve(printer, reactor)
        assert signal.getsignal(number) is signal.SIG_DFL
    monkeypatch.undo()


@pytest.mark.parametrize("there", [signal.SIG_IGN, lambda *_: None], ids=["ignored", "handled"])
def test_what_stands_there_stays(reactor: FakeReactor, there: Any) -> None:
    signal.signal(signal.SIGUSR1, there)
    with printing_what_waits() as printer:
        serve(printer, reactor)
        assert signal.getsignal(signal.SIGUSR1) is there
    assert signal.getsignal(signal.SIGUSR1) is there


def test_a_handler_set_meanwhile_stays() -> None:
    def own(*_: object) -> None:
        """The application's."""

    with printing_what_waits():
        signal.signal(signal.SIGUSR1, own)
    assert signal.getsignal(signal.SIGUSR1) is own


def test_what_cannot_be_printed_is_logged(
    reactor: FakeReactor, monkeypatch: pytest.MonkeyPatch, logged: Logged
) -> None:
    class Closed:
        def write(self, text: str) -> None:
            raise ValueError("I/O operation on closed file")

    with printing_what_waits() as printer:
        serve(printer, reactor)
        for _ in range(2):  # the next one is tried again
            ask()
            monkeypatch.setattr(sys, "stderr", Closed())
            reactor.turn()
            monkeypatch.undo()
    assert [record.getMessage() for record in logged.take()] == [
        "what waits could not be printed: I/O operation on closed file"
    ] * 2
