"""The finger client: what it is told on the command line, and what it makes of an answer."""

from __future__ import annotations

from typing import Any

import pytest

from examples.finger.client import MAX_ANSWER, NoAnswer, Target, finger
from netcore.defer import TimeoutError, ensureDeferred
from netcore.error import ConnectionLost
from netcore.failure import Failure
from netcore.protocol import connectionDone
from netcore.task import Clock
from netcore.testing import StringTransport


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("alice@localhost", Target("alice", "localhost", 79)),
        ("alice@localhost:7979", Target("alice", "localhost", 7979)),
        ("@localhost", Target("", "localhost", 79)),
        ("alice@[::1]:7979", Target("alice", "::1", 7979)),
        ("alice@[::1]", Target("alice", "::1", 79)),
        ("alice@far@near", Target("alice@far", "near", 79)),
        ("Alice Liddell@localhost", Target("Alice Liddell", "localhost", 79)),
    ],
)
def test_a_target_is_read(text: str, target: Target) -> None:
    assert Target.parse(text) == target


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice",
        "alice@",
        "alice@h:",
        "alice@h:port",
        "alice@h:0",
        "alice@h:65536",
        "alice@h:99999999",
        "alice@::1",
        "a@[::1",
        "a@h h",
        "a\r\nb@h",
    ],
)
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        Target.parse(text)
    assert repr(text) in str(caught.value)


class ScriptedReactor(Clock):
    """Connects at once; the test is the server."""

    def connectTCP(self, host: str, port: int, factory: Any, **kwargs: Any) -> Any:
        self.asked = host, port
        self.transport = StringTransport()
        self.protocol = factory.buildProtocol(None)
        self.protocol.makeConnection(self.transport)
        return self


def results_of(coroutine: Any) -> list[Any]:
    results: list[Any] = []
    ensureDeferred(coroutine).addBoth(results.append)
    return results


@pytest.mark.parametrize(("long", "question"), [(False, b"alice\r\n"), (True, b"/W alice\r\n")])
def test_it_asks_and_returns_the_whole_answer(long: bool, question: bytes) -> None:
    reactor = ScriptedReactor()
    results = results_of(finger(reactor, Target("alice", "::1", 7979), long))
    assert reactor.asked == ("::1", 7979)
    assert reactor.transport.value() == question
    for piece in (b"Login: al", b"ice\r\nPlan:\r\n", b"  tea"):
        reactor.protocol.dataReceived(piece)
    assert results == []
    reactor.protocol.connectionLost(connectionDone)
    assert results == ["Login: alice\nPlan:\n  tea\n"]
    assert reactor.getDelayedCalls() == []


def test_control_characters_of_the_server_are_not_shown() -> None:
    reactor = ScriptedReactor()
    results = results_of(finger(reactor, Target("a", "h")))
    reactor.protocol.dataReceived(b"\x1b]0;owned\x07\xff\r\n\xc2\x9b31m\r\n")
    reactor.protocol.connectionLost(connectionDone)
    assert results == ["?]0;owned?\ufffd\n?31m\n"]


def test_a_server_that_says_nothing_is_left() -> None:
    reactor = ScriptedReactor()
    results = results_of(finger(reactor, Target("a", "h"), patience=5))
    reactor.advance(5)
    assert results[0].check(TimeoutError)
    assert reactor.transport.disconnecting


def test_a_server_that_never_stops_is_left() -> None:
    reactor = ScriptedReactor()
    results_of(finger(reactor, Target("a", "h")))
    reactor.protocol.dataReceived(b"x" * (MAX_ANSWER + 1))
    assert reactor.transport.disconnecting
    reactor.protocol.connectionLost(connectionDone)
    assert reactor.getDelayedCalls() == []


def test_a_connection_that_breaks_off_is_an_error() -> None:
    reactor = ScriptedReactor()
    results = results_of(finger(reactor, Target("a", "h")))
    reactor.protocol.dataReceived(b"half an ans")
    reactor.protocol.connectionLost(Failure(ConnectionLost()))
    assert results[0].check(ConnectionLost)


def test_a_server_that_closes_without_a_word_is_an_error() -> None:
    reactor = ScriptedReactor()
    results = results_of(finger(reactor, Target("a", "h")))
    reactor.protocol.connectionLost(connectionDone)
    assert results[0].check(NoAnswer)
    assert str(results[0].value) == "the server closed the connection without an answer"
    assert reactor.getDelayedCalls() == []
