"""UNIX endpoints on a scripted reactor: what they ask of it, and how their strings are read."""

from __future__ import annotations

from typing import Any

import pytest

from netcore.endpoints import UNIXClientEndpoint, UNIXServerEndpoint, clientFromString, serverFromString
from netcore.error import CannotListenError, UserError
from netcore.failure import Failure
from netcore.protocol import Factory
from netcore.testing import StringTransport


class ScriptedReactor:
    """Notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.raises: Exception | None = None

    def listenUNIX(self, *args: Any, **kwargs: Any) -> Any:
        self.asked.append((args, kwargs))
        if self.raises is not None:
            raise self.raises
        return "the port"

    def connectUNIX(self, path: str, factory: Any, **kwargs: Any) -> Any:
        self.asked.append((path, kwargs))
        self.factory = factory
        factory.startedConnecting(self)
        return self

    def disconnect(self) -> None:
        self.factory.clientConnectionFailed(self, Failure(UserError()))


def results_of(deferred: Any) -> list[Any]:
    results: list[Any] = []
    deferred.addBoth(results.append)
    return results


def test_listen_asks_the_reactor() -> None:
    reactor: Any = ScriptedReactor()
    factory = Factory[Any]()
    assert results_of(UNIXServerEndpoint(reactor, "/run/a").listen(factory)) == ["the port"]
    assert results_of(UNIXServerEndpoint(reactor, "/run/a", 7, 0o600, True).listen(factory)) == ["the port"]
    assert reactor.asked == [
        (("/run/a", factory), {"backlog": 50, "mode": 0o666, "wantPID": False}),
        (("/run/a", factory), {"backlog": 7, "mode": 0o600, "wantPID": True}),
    ]
    reactor.raises = CannotListenError("", "/run/a", OSError("in use"))
    (failure,) = results_of(UNIXServerEndpoint(reactor, "/run/a").listen(factory))
    assert failure.value is reactor.raises


def test_connect_asks_the_reactor_and_fires_with_the_protocol() -> None:
    from netcore.protocol import Protocol

    reactor: Any = ScriptedReactor()
    connecting = UNIXClientEndpoint(reactor, "/run/a", 5, True).connect(Factory[Any].forProtocol(Protocol))
    results = results_of(connecting)
    assert reactor.asked == [("/run/a", {"timeout": 5, "checkPID": True})]
    reactor.factory.buildProtocol(None).makeConnection(StringTransport())
    assert type(results[0]) is Protocol


def test_cancelling_ends_the_attempt() -> None:
    reactor: Any = ScriptedReactor()
    connecting = UNIXClientEndpoint(reactor, "/run/a").connect(Factory[Any]())
    results = results_of(connecting)
    connecting.cancel()
    assert [type(each.value).__name__ for each in results] == ["CancelledError"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unix:/run/a", ("/run/a", 50, 0o666, True)),
        ("unix:address=/run/a:mode=660:lockfile=0:backlog=5", ("/run/a", 5, 0o660, False)),
        ("unix:/run/a:0600:9", ("/run/a", 9, 0o600, True)),
        ("unix:/run/a:660:50:0", ("/run/a", 50, 0o660, False)),
        ("unix:\0name", ("\0name", 50, 0o666, False)),
        (r"unix:C\:/a\=b", ("C:/a=b", 50, 0o666, True)),
    ],
)
def test_server_strings(text: str, expected: Any) -> None:
    endpoint: Any = serverFromString(None, text)
    assert type(endpoint) is UNIXServerEndpoint
    assert (endpoint._address, endpoint._backlog, endpoint._mode, endpoint._want_pid) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unix:/run/a", ("/run/a", 30, False)),
        ("unix:path=/run/a:lockfile=1:timeout=2.5", ("/run/a", 2.5, True)),
        ("unix:\0name:lockfile=0", ("\0name", 30, False)),
    ],
)
def test_client_strings(text: str, expected: Any) -> None:
    endpoint: Any = clientFromString(None, text)
    assert type(endpoint) is UNIXClientEndpoint
    assert (endpoint._path, endpoint._timeout, endpoint._check_pid) == expected


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("unix:", "address is empty"),
        ("unix:mode=660", "address is missing"),
        ("unix:a:mode=", "mode must be an octal number up to 777, such as 660, not ''"),
        ("unix:a:mode=888", "not '888'"),
        ("unix:a:mode=1777", "not '1777'"),
        ("unix:a:mode=0o660", "not '0o660'"),
        ("unix:a:mode=-660", "not '-660'"),
        ("unix:a:mode=" + "0" * 5000, "mode must be"),
        ("unix:a:lockfile=yes", "lockfile is one of 0, 1, not 'yes'"),
        ("unix:a:path=b", "unknown argument 'path': unix takes address, mode, backlog, lockfile"),
    ],
)
def test_mistakes(text: str, mistake: str) -> None:
    with pytest.raises(ValueError) as caught:
        serverFromString(None, text)
    assert str(caught.value).startswith(f"endpoint string {text!r}: ")
    assert mistake in str(caught.value)


def test_they_say_what_they_are() -> None:
    assert repr(serverFromString(None, "unix:/a:mode=600")) == "<UNIXServerEndpoint '/a' mode=600 lockfile=1>"
    assert repr(clientFromString(None, "unix:/a")) == "<UNIXClientEndpoint '/a' timeout=30 lockfile=0>"
