"""The finger service's protocol and factory, on a transport in memory, a virtual clock and a scripted store."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError, OperationalError

from asyncdb import AsyncdbError, DeadlineExceeded
from examples.finger import protocol
from examples.finger.limits import GRACE, PATIENCE, QUIET, Limits
from examples.finger.protocol import encode
from examples.finger.records import Person, Session
from examples.finger.server import FingerFactory, FingerService, reason_of
from examples.finger.tables import MOST_FOUND
from netcore.address import IPv4Address
from netcore.defer import CancelledError, Deferred, fail, succeed
from netcore.protocol import connectionDone
from netcore.task import Clock
from netcore.testing import MemoryReactorClock, StringTransport

LIMITS = Limits(answer_within=8, clients=100)
ALICE = Person("alice", "Alice Liddell", plan="Tea.")


class ScriptedStore:
    """Notes what it is asked, and answers what the test says."""

    outages = (AsyncdbError, DBAPIError, OSError)

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.closed = False
        self.answer: Any = lambda: succeed([ALICE])

    def find(self, name: str) -> Any:
        self.asked.append(name)
        return self.answer()

    def online(self) -> Any:
        self.asked.append(None)
        return self.answer()

    def install(self) -> Any:
        return self.answer()

    def close(self) -> Any:
        self.closed = True
        return succeed(None)


class Visit:
    """A client's connection to the service."""

    def __init__(self, listening: Any, number: int = 1) -> None:
        address = IPv4Address("TCP", f"192.0.2.{number}", 50000)
        self.transport = StringTransport(peerAddress=address)
        self.protocol = listening.buildProtocol(address)
        self.protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        self.protocol.dataReceived(data)

    def end(self) -> None:
        """The connection has been closed."""
        assert self.transport.disconnecting
        self.protocol.connectionLost(connectionDone)

    @property
    def answered(self) -> list[str]:
        """What the client was told before the connection was closed."""
        assert self.transport.disconnecting
        return self.transport.value().decode().splitlines()


@pytest.fixture
def store() -> ScriptedStore:
    return ScriptedStore()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def factory(store: Any, clock: Clock) -> FingerFactory:
    return FingerFactory(store, clock, LIMITS)


@pytest.fixture
def listening(clock: Clock, factory: FingerFactory) -> Any:
    """What the service listens with."""
    return LIMITS.of_listener().wrapFactory(factory, clock)


@pytest.fixture
def visit(listening: Any) -> Any:
    return lambda number=1: Visit(listening, number)


def whole(data: bytes) -> list[bytes]:
    return [data]


def byte_by_byte(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


@pytest.mark.parametrize("cut", [whole, byte_by_byte])
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
@pytest.mark.parametrize("trailing", [b"", b"bob\r\n", b"x" * 2000])
def test_a_line_is_answered_and_the_rest_ignored(
    visit: Any, store: ScriptedStore, cut: Any, end: bytes, trailing: bytes
) -> None:
    client = visit()
    for piece in cut(b"alice" + end + trailing):
        client.send(piece)
    assert store.asked == ["alice"]
    assert client.answered == ["Login: alice                    Name: Alice Liddell", "Not logged on"]


@pytest.mark.parametrize(
    ("line", "asked", "first"),
    [
        (b"\r\n", [None], "Login  Name"),
        (b"/W \r\n", [None], "Login: alice"),
        (b"/W alice\r\n", ["alice"], "Login: alice"),
        (b"alice@elsewhere\r\n", [], protocol.REFUSED),
        (b"@\r\n", [], protocol.REFUSED),
    ],
)
def test_each_form_of_query_is_asked_of_the_store(
    visit: Any, store: ScriptedStore, line: bytes, asked: list[Any], first: str
) -> None:
    client = visit()
    client.send(line)
    assert store.asked == asked
    assert client.answered[0].startswith(first)


@pytest.mark.parametrize("line", [b"\r\n", b"same\r\n", b"/W same\r\n"])
def test_of_too_many_the_first_are_told_and_that_there_are_more(visit: Any, store: ScriptedStore, line: bytes) -> None:
    session = Session("pts/0", "a.example", datetime(2026, 5, 4, tzinfo=UTC))
    crowd = [Person(f"p{number:03}", "Same Name", sessions=(session,)) for number in range(MOST_FOUND + 2)]
    for found, more in ((crowd[:MOST_FOUND], False), (crowd[: MOST_FOUND + 1], True), (crowd, True)):
        store.answer = lambda found=found: succeed(found)
        client = visit()
        client.send(line)
        assert (client.answered[-1] == protocol.MORE) is more
        assert sum("Same Name" in answer for answer in client.answered) == MOST_FOUND


def test_the_long_form_has_the_plan(visit: Any) -> None:
    short, long = visit(), visit()
    short.send(b"alice\r\n")
    long.send(b"/W alice\r\n")
    assert "  Tea." not in short.answered
    assert "  Tea." in long.answered


@pytest.mark.parametrize("cut", [whole, byte_by_byte])
def test_the_longest_line_is_read_and_a_longer_one_refused(visit: Any, store: ScriptedStore, cut: Any) -> None:
    client = visit()
    for piece in cut(b"x" * 511 + b"\r\n"):
        client.send(piece)
    assert store.asked == ["x" * 511]
    client = visit()
    for piece in cut(b"x" * 512 + b"\r\n"):
        if not client.transport.disconnecting:
            client.send(piece)
    assert client.answered == [protocol.TOO_LONG]
    assert len(store.asked) == 1


@pytest.mark.parametrize("ends", [True, False])
def test_the_rest_of_a_line_that_is_too_long_is_let_pass_for_a_moment(visit: Any, clock: Clock, ends: bool) -> None:
    client = visit()
    for _ in range(3):
        client.send(b"x" * 400)
    assert not client.transport.disconnecting, "closing now could cost the client its answer"
    if ends:
        client.send(b"x\r\n")
    else:
        clock.advance(GRACE)
    assert client.answered == [protocol.TOO_LONG]
    client.end()
    assert clock.getDelayedCalls() == []


def test_who_does_not_ask_in_time_is_sent_away(visit: Any, clock: Clock) -> None:
    client = visit()
    client.send(b"ali")
    clock.advance(PATIENCE - 1)
    client.send(b"c")
    assert not client.transport.disconnecting
    clock.advance(1)
    assert client.answered == [protocol.TOO_SLOW]


def test_who_says_nothing_is_sent_away(visit: Any, clock: Clock) -> None:
    client = visit()
    clock.advance(PATIENCE)
    assert client.answered == [protocol.TOO_SLOW]


def test_who_has_asked_is_answered_when_the_store_answers(visit: Any, store: ScriptedStore, clock: Clock) -> None:
    asking: Deferred[Any] = Deferred()
    store.answer = lambda: asking
    client = visit()
    client.send(b"alice\r\n")
    clock.advance(LIMITS.answer_within - 0.1)
    assert not client.transport.disconnecting
    asking.callback([ALICE])
    assert client.answered[0].startswith("Login: alice")
    client.end()
    assert clock.getDelayedCalls() == []


def test_a_store_that_never_answers_costs_a_client_its_answer_in_time(
    visit: Any, store: ScriptedStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    cancelled: list[Any] = []
    store.answer = lambda: Deferred(cancelled.append)
    client = visit()
    client.send(b"alice\r\n")
    clock.advance(LIMITS.answer_within)
    assert client.answered == [protocol.UNAVAILABLE]
    assert len(cancelled) == 1
    client.end()
    assert clock.getDelayedCalls() == []
    assert "database is not available: TimeoutError" in caplog.records[0].getMessage()


def test_clients_beyond_the_limit_are_told_so_and_may_say_what_they_like(
    visit: Any, store: ScriptedStore, clock: Clock
) -> None:
    store.answer = Deferred
    served = [visit(number % 2) for number in range(LIMITS.clients)]
    for client in served:
        client.send(b"alice\r\n")
    beyond = visit(2)
    for piece in byte_by_byte(b"alice\r\n"):
        beyond.send(piece)
    assert beyond.transport.value() == encode([protocol.BUSY])
    assert beyond.transport.writeDisconnecting
    assert not beyond.transport.disconnecting, "it may not have read that yet"
    assert len(store.asked) == LIMITS.clients
    clock.advance(1)
    assert beyond.transport.disconnected
    served[0].protocol.connectionLost(connectionDone)
    store.answer = lambda: succeed([ALICE])
    client = visit(2)
    client.send(b"alice\r\n")
    assert client.answered[0].startswith("Login: alice")


def test_one_address_takes_half_of_the_room(visit: Any, listening: Any) -> None:
    for _ in range(LIMITS.clients // 2):
        visit(1)
    assert visit(1).transport.value() == encode([protocol.BUSY])
    assert visit(2).transport.value() == b""


def test_reading_stops_with_the_question_so_that_a_half_closed_client_is_answered(
    visit: Any, store: ScriptedStore
) -> None:
    store.answer = Deferred
    client = visit()
    client.send(b"alice\r\n")
    assert client.transport.producerState == "paused"


def test_a_client_that_leaves_takes_its_question_along(visit: Any, store: ScriptedStore, clock: Clock) -> None:
    cancelled: list[Any] = []
    store.answer = lambda: Deferred(cancelled.append)
    client = visit()
    client.send(b"alice\r\n")
    client.protocol.connectionLost(connectionDone)
    assert len(cancelled) == 1
    assert client.transport.value() == b""
    silent = visit()
    silent.protocol.connectionLost(connectionDone)
    assert clock.getDelayedCalls() == []


OUTAGES = [
    DeadlineExceeded("no connection within 3 s"),
    OperationalError("SELECT", {}, sqlite3.OperationalError("gone")),
    ConnectionResetError("reset"),
]


@pytest.mark.parametrize("error", OUTAGES, ids=lambda error: type(error).__name__)
def test_an_outage_is_told_in_a_line_and_logged_once(
    visit: Any, store: ScriptedStore, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    store.answer = lambda: fail(error)
    for _ in range(3):
        client = visit()
        client.send(b"alice\r\n")
        assert client.answered == [protocol.UNAVAILABLE]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "database is not available" in record.getMessage()
    assert type(error).__name__ in record.getMessage()
    assert "\n" not in record.getMessage()


def test_the_end_of_an_outage_is_logged_and_nothing_has_to_be_done_for_it(
    visit: Any, store: ScriptedStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="finger")
    store.answer = lambda: fail(OUTAGES[0])
    visit().send(b"alice\r\n")
    store.answer = lambda: succeed([ALICE])
    for _ in range(2):
        client = visit()
        client.send(b"alice\r\n")
        assert client.answered[0].startswith("Login: alice")
    assert [record.getMessage() for record in caplog.records][1:] == ["the database is available again"]


def test_a_database_that_comes_and_goes_is_logged_once_a_minute(
    visit: Any, store: ScriptedStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="finger")

    def flicker() -> int:
        for answer in (lambda: fail(OUTAGES[0]), lambda: succeed([ALICE])) * 20:
            store.answer = answer
            client = visit()
            client.send(b"alice\r\n")
            client.end()
        return len(caplog.records)

    assert flicker() == 2
    clock.advance(QUIET)
    assert flicker() == 4


def test_a_mistake_of_ours_is_told_and_logged_with_its_traceback(
    visit: Any, store: ScriptedStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.answer = lambda: succeed([None])  # which has no login
    client = visit()
    client.send(b"alice\r\n")
    assert client.answered == [protocol.UNAVAILABLE]
    assert "AttributeError" in caplog.records[0].getMessage()


def test_installing_may_fail_until_there_is_a_database(
    factory: FingerFactory, store: ScriptedStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.answer = lambda: fail(OUTAGES[0])
    results: list[Any] = []
    factory.install().addBoth(results.append)
    store.answer = lambda: succeed(None)
    factory.install().addBoth(results.append)
    assert results == [None, None]
    assert len(caplog.records) == 1


def test_the_reason_is_told_in_one_line_with_its_causes() -> None:
    error = DeadlineExceeded("no connection\nwithin 3 s")
    error.__cause__ = ConnectionRefusedError("refused")
    assert reason_of(error) == "DeadlineExceeded: no connection within 3 s; because of ConnectionRefusedError: refused"
    assert reason_of(CancelledError()) == "CancelledError:"


def test_a_reason_is_told_once_and_without_the_statement() -> None:
    refused = sqlite3.OperationalError("database\nis locked\n")
    wrapped = OperationalError("SELECT 1", {}, refused)
    wrapped.__cause__ = refused
    assert reason_of(wrapped) == "OperationalError: database is locked"
    late = DeadlineExceeded("no connection; connecting fails: OperationalError: database is locked")
    late.__cause__ = refused
    assert reason_of(late) == "DeadlineExceeded: no connection; connecting fails: OperationalError: database is locked"


class TestStopping:
    """What becomes of clients when the service stops; it finds their protocols behind the limits."""

    @pytest.fixture
    def clock(self) -> MemoryReactorClock:
        return MemoryReactorClock()

    @pytest.fixture
    def service(self, store: Any, clock: MemoryReactorClock) -> Iterator[Any]:
        service = FingerService(clock, store, 79, "", LIMITS)
        service.startService()
        yield service
        assert clock.getDelayedCalls() == []

    @pytest.fixture
    def listening(self, service: Any, clock: Any) -> Any:
        return clock.tcpServers[0].factory

    def stop(self, service: Any) -> list[Any]:
        stopped: list[Any] = []
        service.stopService().addBoth(stopped.append)
        return stopped

    def test_who_has_not_asked_is_not_waited_for(self, service: Any, store: Any, visit: Any) -> None:
        idle = visit()
        idle.send(b"al")
        stopped = self.stop(service)
        assert idle.answered == []
        assert not store.closed
        idle.end()
        assert stopped == [None]
        assert store.closed

    def test_who_has_asked_is_answered(self, service: Any, store: Any, visit: Any) -> None:
        finding: Deferred[Any] = Deferred()
        store.answer = lambda: finding
        busy = visit()
        busy.send(b"alice\n")
        stopped = self.stop(service)
        assert not busy.transport.disconnecting
        finding.callback([ALICE])
        assert busy.answered[0].startswith("Login: alice")
        busy.end()
        assert stopped == [None]

    def test_a_line_that_is_too_long_is_let_pass(self, service: Any, visit: Any, clock: Clock) -> None:
        long = visit()
        long.send(b"x" * 600)
        self.stop(service)
        assert not long.transport.disconnecting, "closing now could cost the client its answer"
        clock.advance(GRACE)
        assert long.answered == [protocol.TOO_LONG]
        long.end()

    def test_who_is_being_told_that_it_is_too_slow_is_told(self, service: Any, visit: Any, clock: Clock) -> None:
        slow = visit()
        clock.advance(PATIENCE)
        stopped = self.stop(service)
        assert slow.answered == [protocol.TOO_SLOW]
        slow.end()
        assert stopped == [None]
