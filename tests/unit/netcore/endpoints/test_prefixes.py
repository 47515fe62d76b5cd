"""What goes before other endpoint strings: ``haproxy:`` and ``wrap:``; and TLS over any endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from netcore.defer import succeed
from netcore.endpoints import (
    HostnameEndpoint,
    TCP4ServerEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
    clientFromString,
    serverFromString,
    wrapServerTLS,
)
from netcore.endpoints._strings import parse
from netcore.protocol import Factory
from netcore.protocols.haproxy import HAProxyWrappingFactory
from netcore.protocols.tls import TLSMemoryBIOFactory
from netcore.task import Clock
from tests.support.certificates import server_context, write


def factory_of(endpoint: Any) -> Any:
    """What *endpoint* has the innermost one listen with, for a factory of the test's; and that endpoint."""
    heard: list[Any] = []
    below = endpoint
    while hasattr(below, "_below"):
        outer, below = below, below._below
    outer._below = type("Below", (), {"listen": lambda self, factory: succeed(heard.append(factory))})()
    endpoint.listen(Factory[Any]())
    return heard[0], below


@pytest.mark.parametrize(
    ("text", "prefixes", "kind"),
    [
        ("outer:inner:1:a=b", [("outer", {})], ("inner", ("1",), {"a": "b"})),
        ("outer:a=b:c=d:inner:a=e", [("outer", {"a": "b", "c": "d"})], ("inner", (), {"a": "e"})),
        ("OUTER:a=b:outer:c=d:Inner", [("outer", {"a": "b"}), ("outer", {"c": "d"})], ("inner", (), {})),
        (r"outer:a=x\:y:inner:\:\:1", [("outer", {"a": "x:y"})], ("inner", ("::1",), {})),
        ("inner:outer:1", [], ("inner", ("outer", "1"), {})),
        (r"\outer:1", [("outer", {})], ("1", (), {})),
    ],
)
def test_the_grammar_of_prefixes(text: str, prefixes: Any, kind: Any) -> None:
    found, inner = parse(text, {"outer"})
    assert [(each.kind, each.named) for each in found] == prefixes
    assert (inner.kind, inner.positional, inner.named) == kind
    assert {each.text for each in [*found, inner]} == {text}


def test_there_is_a_limit_to_prefixes() -> None:
    assert len(parse("haproxy:" * 8 + "tcp:80", {"haproxy"})[0]) == 8
    for count in (9, 10_000):
        with pytest.raises(ValueError, match="more than 8 prefixes"):
            parse("haproxy:" * count + "tcp:80", {"haproxy"})


def test_haproxy_goes_before_any_server() -> None:
    clock: Any = Clock()
    factory, below = factory_of(serverFromString(clock, "haproxy:tcp:80:interface=127.0.0.1"))
    assert type(below) is TCP4ServerEndpoint
    assert (below._port, below._interface) == (80, "127.0.0.1")
    assert type(factory) is HAProxyWrappingFactory
    assert str(factory.trusted) == "private, unix"
    assert (factory.untrusted, factory.headerTimeout, factory.clock) == ("refuse", 5, clock)


def test_haproxy_has_options() -> None:
    text = r"haproxy:trusted=192.0.2.0/24,2001\:db8\:\:/32,unix:timeout=2.5:untrusted=pass:unix:/run/a:mode=600"
    factory, below = factory_of(serverFromString(Clock(), text))
    assert type(below) is UNIXServerEndpoint
    assert below._mode == 0o600
    assert str(factory.trusted) == "192.0.2.0/24, 2001:db8::/32, unix"
    assert (factory.untrusted, factory.headerTimeout) == ("pass", 2.5)


def test_the_header_comes_before_the_tls_handshake(tmp_path: Path) -> None:
    """That is where a proxy sends it."""
    certificate = write(tmp_path, "server", "localhost")
    for prefix in ("haproxy:", "haproxy:haproxy:"):
        endpoint = serverFromString(Clock(), f"{prefix}ssl:443:privateKey={certificate}")
        factory, below = factory_of(endpoint)
        assert type(below) is TCP4ServerEndpoint
        for _ in range(prefix.count("haproxy")):
            assert type(factory) is HAProxyWrappingFactory
            factory = factory.wrappedFactory
        assert type(factory) is TLSMemoryBIOFactory


def test_tls_goes_above_any_server() -> None:
    below = UNIXServerEndpoint(None, "/run/a")  # type: ignore[arg-type]
    factory, found = factory_of(wrapServerTLS(server_context(), below))
    assert found is below
    assert (type(factory), factory.isClient) == (TLSMemoryBIOFactory, False)
    with pytest.raises(TypeError):
        wrapServerTLS(None, below)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("haproxy", "haproxy goes before another endpoint: haproxy:tcp:..."),
        ("haproxy:timeout=3", "haproxy goes before another endpoint"),
        ("haproxy:", "behind haproxy comes the kind of endpoint"),
        ("haproxy::tcp:80", "behind haproxy comes the kind of endpoint"),
        ("haproxy:80", "there is no '80' to listen on"),
        ("haproxy:tcp:http", "port must be a number from 0 to 65535, not 'http'"),
        ("haproxy:timeout=3:timeout=3:tcp:80", "timeout is given twice"),
        ("haproxy:timeout=0:tcp:80", "timeout must be a number of seconds above 0"),
        ("haproxy:untrusted=maybe:tcp:80", "untrusted is one of refuse, pass, not 'maybe'"),
        ("haproxy:trusted=:tcp:80", "trusted is empty"),
        ("haproxy:trusted=localhost:tcp:80", "one of private, unix, any: 'localhost' is none"),
        ("haproxy:trusted=10.0.0.1/8:tcp:80", "has host bits set"),
        ("haproxy:port=80:tcp:80", "unknown argument 'port': haproxy takes trusted, untrusted, timeout"),
    ],
)
def test_mistakes_in_server_strings(text: str, mistake: str) -> None:
    with pytest.raises(ValueError) as caught:
        serverFromString(None, text)
    assert str(caught.value).startswith(f"endpoint string {text!r}: ")
    assert mistake in str(caught.value)


def test_wrap_puts_tls_above_any_client() -> None:
    endpoint: Any = clientFromString(Clock(), "wrap:hostname=db.example:unix:/run/db")
    assert type(endpoint._below) is UNIXClientEndpoint
    assert endpoint._contexts.hostname == "db.example"
    endpoint = clientFromString(Clock(), "wrap:tcp:example.org:443:timeout=5")
    assert type(endpoint._below) is HostnameEndpoint
    assert (endpoint._contexts.hostname, endpoint._below._timeout) == ("example.org", 5)


def test_tls_races_the_servers_addresses_or_goes_over_another_endpoint() -> None:
    endpoint: Any = clientFromString(Clock(), "tls:example.org:443:timeout=5:bindAddress=127.0.0.2")
    below = endpoint._below
    assert type(below) is HostnameEndpoint
    assert (below._host, below._port, below._timeout, below._bind) == ("example.org", 443, 5, ("127.0.0.2", 0))
    endpoint = clientFromString(Clock(), r"tls:example.org:443:endpoint=unix\:/run/a")
    assert type(endpoint._below) is UNIXClientEndpoint
    assert endpoint._contexts.hostname == "example.org"


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("wrap:unix:/run/db", "hostname is missing"),
        ("wrap:process:cat", "hostname is missing"),
        ("wrap", "wrap goes before another endpoint"),
        ("wrap:hostname=:tcp:a:1", "hostname is empty"),
        ("wrap:privateKey=x:tcp:a:1", "privateKey is of use with a certificate only"),
        ("wrap:trustRoots=/nothing/there:tcp:a:1", "/nothing/there"),
        (
            "wrap:certKey=a:tcp:a:1",
            "unknown argument 'certKey': wrap takes hostname, certificate, privateKey, trustRoots",
        ),
        (r"tls:a:1:endpoint=ssh\:b", "endpoint: endpoint string 'ssh:b': there is no 'ssh' to connect to"),
    ],
)
def test_mistakes_in_client_strings(text: str, mistake: str) -> None:
    with pytest.raises(ValueError) as caught:
        clientFromString(None, text)
    assert str(caught.value).startswith(f"endpoint string {text!r}: ")
    assert mistake in str(caught.value)
