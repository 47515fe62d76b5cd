"""Endpoints of sockets that were open before: used up by listening once, and what is said of those that are none."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from netcore.endpoints import AdoptedStreamServerEndpoint, serverFromString
from netcore.error import AlreadyListened
from netcore.protocol import Factory
from netcore.systemd import ListenFDs


class ScriptedReactor:
    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.raises: Exception | None = None

    def adoptStreamPort(self, *args: Any) -> Any:
        if self.raises is not None:
            raise self.raises
        self.asked.append(args)
        return "the port"


def results_of(deferred: Any) -> Any:
    results: list[Any] = []
    deferred.addBoth(results.append)
    (result,) = results
    return result


@pytest.fixture
def given() -> Iterator[list[int]]:
    """Descriptors of a TCP and a UNIX socket that listen, inherited ones; what is still open is closed."""
    numbers = []
    for family, address in ((socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_UNIX, "")):
        sock = socket.socket(family)
        sock.bind(address)
        sock.listen()
        os.set_inheritable(sock.fileno(), True)
        numbers.append(sock.detach())
    yield numbers
    for number in numbers:
        try:
            os.close(number)
        except OSError:
            pass


def test_it_is_used_up_by_listening_once(given: list[int]) -> None:
    reactor: Any = ScriptedReactor()
    endpoint = AdoptedStreamServerEndpoint(reactor, given[0], socket.AF_INET)
    factory = Factory[Any]()
    reactor.raises = OSError("not yet")
    assert results_of(endpoint.listen(factory)).value is reactor.raises
    reactor.raises = None
    assert results_of(endpoint.listen(factory)) == "the port"
    assert reactor.asked == [(given[0], socket.AF_INET, factory)]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(given[0])
    assert type(results_of(endpoint.listen(factory)).value) is AlreadyListened


def test_a_number_that_another_endpoint_has_used_up_is_left_alone(given: list[int]) -> None:
    """By then it may be that of another port, or of the loop's."""
    reactor: Any = ScriptedReactor()
    first, second = (serverFromString(reactor, f"fd:{given[0]}") for _ in range(2))
    assert results_of(first.listen(Factory[Any]())) == "the port"
    assert type(results_of(second.listen(Factory[Any]())).value) is AlreadyListened
    os.dup2(given[1], given[0])
    assert type(results_of(second.listen(Factory[Any]())).value) is AlreadyListened
    assert len(reactor.asked) == 1
    os.fstat(given[0])


def test_a_descriptor_by_its_number(given: list[int]) -> None:
    reactor: Any = ScriptedReactor()
    for text, domain, number in (
        (f"fd:{given[0]}", socket.AF_INET, given[0]),
        (f"fd:number={given[1]}", socket.AF_UNIX, given[1]),
        (f"fd:{given[1]}:domain=UNIX", socket.AF_UNIX, given[1]),
    ):
        endpoint: Any = serverFromString(reactor, text)
        assert type(endpoint) is AdoptedStreamServerEndpoint
        assert (endpoint.fileno, endpoint.addressFamily, endpoint.reactor) == (number, domain, reactor)
        assert not os.get_inheritable(number)
    assert repr(endpoint) == f"<AdoptedStreamServerEndpoint fileno={given[1]} AF_UNIX>"


def fd_mistakes() -> list[tuple[str, str]]:
    return [
        ("fd", "number is missing"),
        ("fd:three", "number must be a number from 0"),
        ("fd:-1", "not '-1'"),
        ("fd:987654", "descriptor 987654 cannot be listened on: [Errno 9] Bad file descriptor"),
        ("fd:{tcp}:domain=INET6", "is a socket of domain INET, not INET6"),
        ("fd:{tcp}:domain=inet", "domain is one of INET, INET6, UNIX, not 'inet'"),
        ("fd:{file}", "cannot be listened on: [Errno 88] Socket operation on non-socket"),
        ("fd:{idle}", "cannot be listened on: it is no stream socket that listens"),
        ("fd:{datagrams}", "cannot be listened on: it is no stream socket that listens"),
    ]


@pytest.mark.parametrize(("text", "mistake"), fd_mistakes())
def test_descriptors_that_are_none(given: list[int], text: str, mistake: str) -> None:
    with open(os.devnull, "rb") as file, socket.socket() as idle, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        text = text.format(tcp=given[0], file=file.fileno(), idle=idle.fileno(), datagrams=datagrams.fileno())
        with pytest.raises(ValueError) as caught:
            serverFromString(None, text)
    assert str(caught.value).startswith(f"endpoint string {text!r}: ")
    assert mistake in str(caught.value)


@pytest.fixture
def from_systemd(given: list[int], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """As if systemd had passed them, as "web" and "control"."""
    found = ListenFDs(given, ["web", "control"])
    found._files = {each: (os.fstat(each).st_dev, os.fstat(each).st_ino) for each in given}
    monkeypatch.setattr(ListenFDs, "_of_this_process", found)
    return given


@pytest.mark.parametrize(
    ("text", "which"),
    [
        ("systemd:index=0", 0),
        ("systemd:domain=INET:index=0", 0),
        ("systemd:INET:0", 0),
        ("systemd:name=web", 0),
        ("systemd:domain=UNIX:index=1", 1),
        ("systemd:UNIX:name=control", 1),
    ],
)
def test_sockets_of_systemd(from_systemd: list[int], text: str, which: int) -> None:
    endpoint: Any = serverFromString(ScriptedReactor(), text)
    assert type(endpoint) is AdoptedStreamServerEndpoint
    assert endpoint.fileno == from_systemd[which]
    proxied: Any = serverFromString(ScriptedReactor(), f"haproxy:{text}")
    assert proxied._below.fileno == from_systemd[which]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("systemd", "one of index and name says which socket it is"),
        ("systemd:INET", "one of index and name says which socket it is"),
        ("systemd:index=0:name=web", "one of index and name says which socket it is"),
        ("systemd:index=2", "index must be a number from 0 to 1, not '2'"),
        ("systemd:name=mail", "no sockets are called 'mail': the names are web, control"),
        ("systemd:domain=INET6:index=0", "is a socket of domain INET, not INET6"),
        ("systemd:domain=FOO:index=0", "domain is one of INET, INET6, UNIX, not 'FOO'"),
    ],
)
def test_mistakes_about_them(from_systemd: list[int], text: str, mistake: str) -> None:
    with pytest.raises(ValueError) as caught:
        serverFromString(None, text)
    assert str(caught.value).startswith(f"endpoint string {text!r}: ")
    assert mistake in str(caught.value)


def test_a_name_that_two_have_is_none(given: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ListenFDs, "_of_this_process", ListenFDs(given, ["web", "web"]))
    with pytest.raises(ValueError, match="2 sockets are called 'web'"):
        serverFromString(None, "systemd:name=web")


def test_one_that_was_used_up_is_not_taken_for_another_with_its_number(from_systemd: list[int]) -> None:
    reactor: Any = ScriptedReactor()
    results_of(serverFromString(reactor, "systemd:index=0").listen(Factory[Any]()))
    for _ in range(2):
        with pytest.raises(ValueError, match="used up, which it is by listening once"):
            serverFromString(reactor, "systemd:index=0")
        os.dup2(from_systemd[1], from_systemd[0])


def test_without_systemd_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ListenFDs, "_of_this_process", None)
    with pytest.raises(
        ValueError, match="endpoint string 'systemd:index=0': systemd has passed no socket to this proc"
    ):
        serverFromString(None, "systemd:index=0")


def test_a_wrong_environment_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ListenFDs, "_of_this_process", None)
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "many")
    with pytest.raises(ValueError, match="endpoint string 'systemd:index=0': ValueError: LISTEN_FDS must be"):
        serverFromString(None, "systemd:index=0")
