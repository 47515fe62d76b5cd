"""The services by the reactor's methods, and those that do something again and again, without a reactor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from netcore.application import internet
from netcore.application.internet import CooperatorService, TimerService
from netcore.application.service import MultiService
from netcore.defer import Deferred, succeed
from netcore.error import CannotListenError
from netcore.task import Clock, SchedulerStopped

SERVERS = ["TCP", "SSL", "UNIX", "UDP", "Multicast", "UNIXDatagram"]
CLIENTS = ["TCP", "SSL", "UNIX", "UNIXDatagram"]


class Thing:
    """A port or connector."""

    def __init__(self) -> None:
        self.closing: Deferred[None] = Deferred()
        self.ended: list[str] = []

    def stopListening(self) -> Deferred[None]:
        self.ended.append("stopListening")
        return self.closing

    def disconnect(self) -> None:
        self.ended.append("disconnect")

    def getHost(self) -> str:
        return "here"


class Reactor:
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.things: list[Thing] = []
        self.error: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        def method(*args: Any, **kwargs: Any) -> Thing:
            self.calls.append((name, args, kwargs))
            if self.error is not None:
                raise self.error
            self.things.append(Thing())
            return self.things[-1]

        return method


def outcome(deferred: Any) -> list[Any]:
    found: list[Any] = []
    deferred.addCallbacks(found.append, lambda failure: found.append(failure.value))
    return found


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_listens_while_it_runs(kind: str) -> None:
    reactor = Reactor()
    service = getattr(internet, f"{kind}Server")(79, "factory", interface="::1", reactor=reactor)
    assert reactor.calls == []
    for start in ("privilegedStartService", "startService"):
        with pytest.raises(RuntimeError, match="does not listen"):
            service.getHost()
        getattr(service, start)()
        service.startService()
        assert service.running
        assert service.getHost() == "here"
        assert reactor.calls.pop() == (f"listen{kind}", (79, "factory"), {"interface": "::1"})
        assert reactor.calls == []
        stopped = outcome(service.stopService())
        assert not service.running
        assert stopped == []
        reactor.things[-1].closing.callback(None)
        assert stopped == [None]
    assert service.stopService() is None


@pytest.mark.parametrize("drain", [None, 5])
def test_a_server_whose_port_cannot_be_opened_raises(drain: float | None) -> None:
    reactor = Reactor()
    service = internet.TCPServer(79, "factory", reactor=reactor, drain=drain)
    reactor.error = CannotListenError("", 79, OSError())
    for _ in range(2):
        with pytest.raises(CannotListenError):
            service.startService()
        assert not service.running
    reactor.error = None
    service.startService()
    assert service.running


@pytest.mark.parametrize("kind", CLIENTS)
def test_a_client_connects_when_it_is_started(kind: str) -> None:
    reactor = Reactor()
    service = getattr(internet, f"{kind}Client")("host", 79, timeout=3, reactor=reactor)
    for _ in range(2):
        service.startService()
        assert reactor.calls.pop() == (f"connect{kind}", ("host", 79), {"timeout": 3})
        thing = reactor.things[-1]
        if kind == "UNIXDatagram":
            stopped = outcome(service.stopService())
            assert thing.ended == ["stopListening"]
            assert stopped == []
            thing.closing.callback(None)
            assert stopped == [None]
        else:
            assert service.stopService() is None
            assert thing.ended == ["disconnect"]
    assert service.stopService() is None


def test_without_a_reactor_the_current_one_is_asked_when_started(monkeypatch: pytest.MonkeyPatch) -> None:
    reactor = Reactor()
    monkeypatch.setattr("netcore.application.internet._reactor_services.current_reactor", lambda: reactor)
    internet.UDPServer(79, None).startService()
    internet.TCPClient("host", 79, None).startService()
    assert [name for name, _, _ in reactor.calls] == ["listenUDP", "connectTCP"]


def test_they_start_and_stop_with_their_parent() -> None:
    reactor, parent = Reactor(), MultiService()
    internet.TCPServer(79, None, reactor=reactor).setServiceParent(parent)
    internet.UDPServer(79, None, reactor=reactor).setServiceParent(parent)
    parent.privilegedStartService()
    parent.startService()
    assert len(reactor.things) == 2
    stopped = outcome(parent.stopService())
    for thing in reactor.things:
        assert stopped == []
        thing.closing.callback(None)
    assert stopped == [[(True, None), (True, None)]]


# -------------------------------------------------------------------------------------------------------- TimerService


class Timed:
    """A TimerService whose calls end when the test says so."""

    def __init__(self, answer: Any = None) -> None:
        self.clock = Clock()
        self.answer = answer
        self.calls: list[Any] = []
        self.service = TimerService(2, self.call, "a", b="c")
        self.service.clock = self.clock

    def call(self, *args: Any, **kwargs: Any) -> Any:
        self.calls.append((self.clock.seconds(), args, kwargs))
        return self.answer() if self.answer is not None else None


def test_a_timer_service_calls_from_its_start_to_its_end() -> None:
    timed = Timed()
    timed.service.startService()
    timed.clock.advance(1.9)
    assert timed.calls == [(0, ("a",), {"b": "c"})]
    timed.clock.advance(0.1)
    assert len(timed.calls) == 2
    assert outcome(timed.service.stopService()) == [None]
    assert timed.clock.getDelayedCalls() == []
    assert timed.service.stopService() is None
    timed.service.startService()
    assert len(timed.calls) == 3
    with pytest.raises(RuntimeError):
        timed.service.startService()
    outcome(timed.service.stopService())


def test_the_first_call_may_stop_the_service() -> None:
    timed = Timed()
    timed.answer = lambda: outcome(timed.service.stopService() or succeed(None))
    timed.service.startService()
    assert not timed.service.running
    assert timed.clock.getDelayedCalls() == []


def test_a_stop_within_the_first_call_waits_for_it() -> None:
    timed = Timed()
    making: Deferred[None] = Deferred()
    stopped: list[Any] = []

    def stop() -> Deferred[None]:
        waits = timed.service.stopService()
        assert waits is not None
        waits.addCallback(stopped.append)
        return making

    timed.answer = stop
    timed.service.startService()
    assert stopped == []
    making.callback(None)
    assert stopped == [None]


def test_a_timer_service_that_could_not_be_started_can_be_stopped() -> None:
    timed = Timed()
    timed.service.clock = object()  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        timed.service.startService()
    assert outcome(timed.service.stopService() or succeed(None)) == [None]


def test_the_first_call_may_start_the_service_again() -> None:
    timed = Timed()

    def again() -> None:
        outcome(timed.service.stopService() or succeed(None))
        timed.service.startService()

    timed.answer = again
    timed.service.startService()
    making: Deferred[None] = Deferred()
    timed.answer = lambda: making
    timed.clock.advance(0)
    assert len(timed.calls) == 2
    stopped = outcome(timed.service.stopService())
    assert stopped == []
    making.callback(None)
    assert stopped == [None]


@pytest.mark.parametrize("step", [-1, float("nan"), float("inf")])
def test_seconds_that_cannot_be_waited_for_are_refused(step: float) -> None:
    with pytest.raises(ValueError, match="step is 0 or more"):
        TimerService(step, print)


def test_stopping_a_timer_service_waits_for_the_call_being_made() -> None:
    making: Deferred[None] = Deferred()
    timed = Timed(lambda: making)
    timed.service.startService()
    stopped = outcome(timed.service.stopService())
    assert stopped == []
    making.callback(None)
    assert stopped == [None]


def test_a_timer_service_that_is_started_again_waits_for_the_last_call() -> None:
    making: Deferred[None] = Deferred()
    timed = Timed(lambda: making)
    timed.service.startService()
    stopped = outcome(timed.service.stopService())
    timed.service.startService()
    timed.clock.advance(10)
    assert len(timed.calls) == 1
    making.callback(None)
    assert stopped == [None]
    timed.answer = None
    timed.clock.advance(0)
    assert len(timed.calls) == 2
    outcome(timed.service.stopService())


def test_a_call_that_fails_is_logged_and_the_last_until_the_next_start(logged: Any) -> None:
    timed = Timed(lambda: 1 // 0)
    timed.service.startService()
    logged.take(ZeroDivisionError)
    assert timed.service.running
    timed.clock.advance(10)
    assert len(timed.calls) == 1
    assert outcome(timed.service.stopService()) == [None]
    timed.answer = None
    timed.service.startService()
    timed.clock.advance(2)
    assert len(timed.calls) == 3
    outcome(timed.service.stopService())


# --------------------------------------------------------------------------------------------------- CooperatorService


def test_a_cooperator_service_runs_iterators_while_it_runs() -> None:
    steps: list[Any] = []
    pieces: list[str] = []
    service = CooperatorService()
    service.coop._schedule = steps.append

    def work(name: str, count: int) -> Iterator[None]:
        for _ in range(count):
            pieces.append(name)
            yield

    before = outcome(service.coiterate(work("before", 1)))
    assert steps == []
    service.startService()
    assert service.running
    endless = outcome(service.coiterate(work("endless", 10**9)))
    service.coop._predicate = lambda: lambda: len(pieces) >= 5
    steps.pop(0)()
    assert pieces == ["before", *["endless"] * 4]
    assert len(before) == 1
    assert service.stopService() is None
    assert isinstance(endless[0], SchedulerStopped)
    assert isinstance(outcome(service.coiterate(work("late", 1)))[0], SchedulerStopped)
    service.startService()
    service.coiterate(work("again", 1))
    steps.pop()()
    assert pieces[-1] == "again"
