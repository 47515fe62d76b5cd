"""Where SIGUSR1 is left alone; in processes, it is tried by tests/integration/netcore/test_debug_runner.py."""

from __future__ import annotations

import signal
from typing import Any, cast

import pytest

from netcore.application._what_waits import printing_what_waits


class FakeReactor:
    """Runs the triggers at once."""

    def __init__(self) -> None:
        self.loop = self
        self.handled: list[int] = []

    def callWhenRunning(self, callable: Any, *args: Any) -> None:
        callable(*args)

    def add_signal_handler(self, number: int, callback: Any) -> None:
        self.handled.append(number)
        signal.signal(number, lambda *_: callback())

    def remove_signal_handler(self, number: int) -> None:
        """What was there is put back by who took it."""


@pytest.fixture
def reactor() -> FakeReactor:
    return FakeReactor()


def printing(reactor: FakeReactor) -> Any:
    return printing_what_waits(cast("Any", reactor))


def test_a_platform_without_the_signal_does_without(reactor: FakeReactor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(signal, "SIGUSR1")
    with printing(reactor):
        assert reactor.handled == []


def test_it_is_taken_where_nobody_else_has_and_put_back(reactor: FakeReactor) -> None:
    with printing(reactor):
        assert reactor.handled == [signal.SIGUSR1]
        assert signal.getsignal(signal.SIGUSR1) is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


@pytest.mark.parametrize("there", [signal.SIG_IGN, lambda *_: None], ids=["ignored", "handled"])
def test_what_stands_there_stays(reactor: FakeReactor, there: Any) -> None:
    before = signal.signal(signal.SIGUSR1, there)
    try:
        with printing(reactor):
            assert signal.getsignal(signal.SIGUSR1) is there
        assert signal.getsignal(signal.SIGUSR1) is there
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert reactor.handled == []


def test_a_handler_set_meanwhile_stays(reactor: FakeReactor) -> None:
    def own(*_: object) -> None:
        """The application's."""

    try:
        with printing(reactor):
            signal.signal(signal.SIGUSR1, own)
        assert signal.getsignal(signal.SIGUSR1) is own
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)


def test_what_cannot_be_printed_is_logged(
    reactor: FakeReactor, monkeypatch: pytest.MonkeyPatch, logged: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise OSError("closed")

    monkeypatch.setattr("netcore.application._what_waits.printPending", fail)
    with printing(reactor):
        signal.raise_signal(signal.SIGUSR1)
    (record,) = logged.take()
    assert record.getMessage() == "what waits could not be printed: closed"
