"""The same done to Twisted's tools for tests and to ours gives the same."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet import defer as their_defer
from twisted.internet import protocol as their_protocol
from twisted.internet import testing as their_testing
from twisted.trial.unittest import SynchronousTestCase

from netcore import defer, protocol, testing
from tests.support.certificates import client_context, server_context

OURS = SimpleNamespace(
    testing=testing,
    protocol=protocol,
    defer=defer,
    results=testing,
)
THEIRS = SimpleNamespace(
    testing=their_testing,
    protocol=their_protocol,
    defer=their_defer,
    results=SynchronousTestCase(),
)
CLIENT, SERVER = client_context(), server_context()


def records(world: Any) -> dict[str, Any]:
    """What a memory reactor has kept, with factories by name."""
    reactor = world.testing.MemoryReactorClock()
    server, client = world.protocol.ServerFactory(), world.protocol.ClientFactory()
    datagrams = world.protocol.DatagramProtocol()
    names = {id(server): "server", id(client): "client", id(datagrams): "datagrams"}
    reactor.listenTCP(80, server)
    reactor.listenTCP(81, server, backlog=7, interface="127.0.0.1")
    reactor.connectTCP("server.example", 80, client)
    reactor.connectTCP("server.example", 81, client, timeout=None, bindAddress=("127.0.0.1", 5))
    reactor.listenSSL(443, server, SERVER, interface="127.0.0.1")
    reactor.connectSSL("server.example", 443, client, CLIENT, 7)
    reactor.listenUNIX("/run/test", server, mode=0o600)
    reactor.connectUNIX("/run/test", client, checkPID=True)
    reactor.adoptStreamPort(3, socket.AF_INET, server)
    reactor.adoptStreamConnection(4, socket.AF_INET6, server)
    reactor.adoptDatagramPort(5, socket.AF_INET, datagrams)
    reactor.addSystemEventTrigger("before", "shutdown", print, 1, end="")
    reactor.callWhenRunning(len, "x")
    kept = (
        *("tcpServers", "tcpClients", "sslServers", "sslClients", "unixServers", "unixClients"),
        *("adoptedPorts", "adoptedStreamConnections", "whenRunningHooks"),
    )
    found: dict[str, Any] = {
        name: [tuple(names.get(id(each), each) for each in record) for record in getattr(reactor, name)]
        for name in kept
    }
    found["triggers"] = {
        phase: events for phase, events in reactor.triggers.items() if "startup" not in events
    }  # ours has its hooks there, too
    found["destinations"] = [str(connector.getDestination()) for connector in reactor.connectors]
    found["life"] = [reactor.running, reactor.hasRun, reactor.hasStopped, reactor.hasCrashed]
    heard: list[bool] = []
    reactor.callWhenRunning(lambda: heard.append(reactor.running))
    reactor.triggers.clear()
    reactor.run()
    reactor.callWhenRunning(lambda: heard.append(reactor.running))
    found["after"] = [reactor.running, reactor.hasRun, reactor.hasStopped, reactor.hasCrashed, heard]
    return found


def test_memory_reactors_keep_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs = records(OURS), records(THEIRS)
    assert ours == theirs


def outcome(call: Any, *args: Any) -> Any:
    """The result, or whether it was refused."""
    try:
        result = call(*args)
    except AssertionError:
        return "refused"
    return type(result.value) if hasattr(result, "value") else result


def asked(world: Any) -> list[Any]:
    """What each question says of each kind of answer, and what is left afterwards."""

    async def done() -> int:
        return 3

    async def broken() -> None:
        raise KeyError("name")

    async def never() -> None:
        await world.defer.Deferred()

    def failed(deferred: Any) -> Any:
        deferred.addErrback(lambda _: "failed")
        return deferred

    makers = [
        *(done, broken, never),
        *(lambda: world.defer.succeed(3), lambda: world.defer.fail(KeyError()), world.defer.Deferred),
    ]
    questions = [
        (world.results.successResultOf,),
        (world.results.failureResultOf,),
        (world.results.failureResultOf, KeyError),
        (world.results.failureResultOf, ValueError, LookupError),
        (world.results.failureResultOf, ValueError, OSError),
        (world.results.assertNoResult,),
    ]
    found = [outcome(ask, make(), *more) for ask, *more in questions for make in makers]
    for ask, *more in questions:
        for result in (3, None):
            deferred = world.defer.succeed(result) if result else failed(world.defer.fail(KeyError()))
            outcome(ask, deferred, *more)
            left: list[Any] = []
            deferred.addBoth(left.append)
            found += left
    return found


def test_deferreds_are_asked_with_the_same_result() -> None:
    assert asked(OURS) == asked(THEIRS)
