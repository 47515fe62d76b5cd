"""StreamServerEndpointService and strports, on scripted endpoints and reactors."""

from __future__ import annotations

from typing import Any

import pytest

import netcore.application.strports as strports
from netcore.application.internet import StreamServerEndpointService
from netcore.defer import Deferred, fail, succeed
from netcore.error import CannotListenError
from netcore.protocol import Factory

IN_USE = CannotListenError("", 79, OSError(98, "Address already in use"))


class Port:
    def __init__(self) -> None:
        self.closing: Deferred[None] = Deferred()

    def stopListening(self) -> Deferred[None]:
        return self.closing


class Endpoint:
    """Answers `listen` with what it was given, and notes the factories."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.factories: list[Any] = []

    def listen(self, factory: Any) -> Any:
        self.factories.append(factory)
        return self.answers.pop(0)


class Reactor:
    """Refuses to listen, or answers with a port."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.port = Port()

    def listenTCP(self, *args: Any, **kwargs: Any) -> Any:
        if self.error is not None:
            raise self.error
        return self.port


def outcome(deferred: Any) -> list[Any]:
    results: list[Any] = []
    deferred.addBoth(results.append)
    return results


FACTORY: Any = Factory()


def test_it_listens_when_started() -> None:
    endpoint = Endpoint(succeed(Port()))
    service = StreamServerEndpointService(endpoint, FACTORY)
    assert endpoint.factories == []
    service.startService()
    assert endpoint.factories == [FACTORY]
    assert service.running


def test_it_listens_once_when_started_with_privileges_before() -> None:
    endpoint = Endpoint(succeed(Port()))
    service = StreamServerEndpointService(endpoint, FACTORY)
    service.privilegedStartService()
    service.startService()
    assert endpoint.factories == [FACTORY]


def test_stopping_waits_until_the_port_is_closed() -> None:
    port = Port()
    service = StreamServerEndpointService(Endpoint(succeed(port)), FACTORY)
    service.startService()
    results = outcome(service.stopService())
    assert results == []
    assert not service.running
    port.closing.callback(None)
    assert results == [None]


def test_it_can_be_started_again() -> None:
    ports = Port(), Port()
    endpoint = Endpoint(succeed(ports[0]), succeed(ports[1]))
    service = StreamServerEndpointService(endpoint, FACTORY)
    for port in ports:
        service.startService()
        outcome(service.stopService())
        port.closing.callback(None)
    assert endpoint.answers == []


def test_it_says_where_it_listens_while_it_does() -> None:
    port: Any = Port()
    port.getHost = lambda: "here"
    opening: Deferred[Any] = Deferred()
    service = StreamServerEndpointService(Endpoint(opening), FACTORY)
    with pytest.raises(RuntimeError, match="does not listen"):
        service.getHost()
    service.startService()
    with pytest.raises(RuntimeError, match="does not listen"):
        service.getHost()
    opening.callback(port)
    assert service.getHost() == "here"
    outcome(service.stopService())
    with pytest.raises(RuntimeError, match="does not listen"):
        service.getHost()


def test_stopping_a_stopped_one_does_nothing() -> None:
    assert StreamServerEndpointService(Endpoint(), FACTORY).stopService() is None


def test_stopping_before_the_port_is_open_cancels_it_in_silence() -> None:
    opening: Deferred[Any] = Deferred()
    service = StreamServerEndpointService(Endpoint(opening), FACTORY)
    service.startService()
    assert outcome(service.stopService()) == [None]


def test_a_port_that_cannot_be_opened_is_logged(logged: Any) -> None:
    service = StreamServerEndpointService(Endpoint(fail(IN_USE)), FACTORY)
    service.privilegedStartService()
    service.startService()
    (record,) = logged.take(CannotListenError)
    assert "cannot listen on" in record.getMessage()
    assert outcome(service.stopService()) == [None]


def test_a_service_from_strports_raises_it() -> None:
    for start in ("privilegedStartService", "startService"):
        service: Any = strports.service("tcp:79", FACTORY, reactor=Reactor(IN_USE))
        with pytest.raises(CannotListenError):
            getattr(service, start)()
        assert not service.running
        assert service.stopService() is None


def test_strports_service_listens_on_the_reactor_given() -> None:
    reactor = Reactor()
    service = strports.service("tcp:79", FACTORY, reactor=reactor)
    service.startService()
    results = outcome(service.stopService())
    reactor.port.closing.callback(None)
    assert results == [None]


def test_strports_names_the_mistake_in_a_description() -> None:
    with pytest.raises(ValueError, match="port is missing"):
        strports.service("tcp", FACTORY, reactor=Reactor())


def test_strports_asks_for_the_reactor_when_called(monkeypatch: pytest.MonkeyPatch) -> None:
    reactor = Reactor()
    monkeypatch.setattr(strports, "current_reactor", lambda: reactor)
    service: Any = strports.service("tcp:79", FACTORY)
    assert service.endpoint._reactor is reactor
    assert strports.listen("tcp:79", FACTORY) is reactor.port


def test_strports_listen_raises_what_went_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strports, "current_reactor", lambda: Reactor(IN_USE))
    with pytest.raises(CannotListenError):
        strports.listen("tcp:79", FACTORY)


def test_strports_listen_refuses_an_endpoint_that_needs_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strports, "current_reactor", Reactor)
    monkeypatch.setattr(strports, "serverFromString", lambda reactor, text: Endpoint(Deferred()))
    with pytest.raises(RuntimeError, match="make a service of it"):
        strports.listen("tcp:79", FACTORY)
