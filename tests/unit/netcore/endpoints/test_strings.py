"""Endpoint strings: the grammar, what each kind of endpoint takes, and every mistake named when the string is read."""

from __future__ import annotations

import random
import sys
from typing import Any

import pytest

from netcore.endpoints import (
    HostnameEndpoint,
    StandardErrorBehavior,
    StandardIOEndpoint,
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    clientFromString,
    quoteStringArgument,
    serverFromString,
)
from netcore.endpoints._strings import parse

REACTOR: Any = object()


def server(text: str) -> tuple[Any, ...]:
    endpoint: Any = serverFromString(REACTOR, text)
    assert endpoint._reactor is REACTOR
    return type(endpoint), endpoint._port, endpoint._interface, endpoint._backlog


def client(text: str) -> tuple[Any, ...]:
    endpoint: Any = clientFromString(REACTOR, text)
    assert type(endpoint) is HostnameEndpoint
    return endpoint._host, endpoint._port, endpoint._timeout, endpoint._bind


@pytest.mark.parametrize(
    ("text", "positional", "named"),
    [
        ("tcp", (), {}),
        ("tcp:", ("",), {}),
        ("tcp:80", ("80",), {}),
        ("tcp:80:a=b", ("80",), {"a": "b"}),
        ("tcp:a=b:80", ("80",), {"a": "b"}),
        ("tcp:a=", (), {"a": ""}),
        ("tcp:=b", (), {"": "b"}),
        ("tcp:a=b=c", (), {"a": "b=c"}),
        (r"tcp:\:\:1", ("::1",), {}),
        (r"tcp:a\=b", ("a=b",), {}),
        (r"tcp:a\=b=c", (), {"a=b": "c"}),
        (r"tcp:a=\\", (), {"a": "\\"}),
        (r"tcp:\a\ ", ("a ",), {}),
        ("tcp::", ("", ""), {}),
        ("tcp:é:\0:\n", ("é", "\0", "\n"), {}),
    ],
)
def test_the_grammar(text: str, positional: tuple[str, ...], named: dict[str, str]) -> None:
    prefixes, parsed = parse(text)
    assert prefixes == []
    assert (parsed.kind, parsed.positional, parsed.named) == ("tcp", positional, named)


@pytest.mark.parametrize("text", ["", ":", ":80", "=", "a=b", "tcp=80:x", "tcp:80\\", "\\", "tcp:a=1:a=2"])
def test_what_is_not_in_the_grammar_is_an_error_that_names_the_string(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", [None, b"tcp:80", 80])
def test_only_a_string_is_an_endpoint_string(text: Any) -> None:
    with pytest.raises(TypeError, match=type(text).__name__):
        parse(text)


def test_quoting_makes_any_text_an_argument() -> None:
    alphabet = ":=\\ab /é\0"
    for seed in range(2_000):
        chance = random.Random(seed)
        value = "".join(chance.choices(alphabet, k=chance.randrange(9)))
        quoted = quoteStringArgument(value)
        _, parsed = parse(f"kind:{quoted}:name={quoted}:last")
        assert (parsed.positional, parsed.named) == ((value, "last"), {"name": value})


def test_any_text_is_parsed_or_refused_with_a_value_error() -> None:
    alphabet = "tcp:=\\:0123456789\0\n\u0663 é-"
    for seed in range(5_000):
        chance = random.Random(seed)
        text = chance.choice(["", "tcp:"]) + "".join(chance.choices(alphabet, k=chance.randrange(30)))
        for read in (serverFromString, clientFromString):
            told = repr(text)
            try:
                read(REACTOR, text)
            except ValueError as error:
                told = str(error)
            assert repr(text) in told


def test_a_long_string_takes_steps_linear_in_its_length() -> None:
    def steps(text: str) -> int:
        count = 0

        def trace(frame: Any, event: str, arg: Any) -> Any:
            nonlocal count
            count += 1
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            parse(text)
        finally:
            sys.settrace(before)
        return count

    for piece in ("\\:", ":", "=", "a"):
        assert steps("tcp:" + piece * 2_000) < 2.2 * steps("tcp:" + piece * 1_000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tcp:80", (TCP4ServerEndpoint, 80, "", 50)),
        ("TCP:80", (TCP4ServerEndpoint, 80, "", 50)),
        ("tcp:port=80", (TCP4ServerEndpoint, 80, "", 50)),
        ("tcp: 80 ", (TCP4ServerEndpoint, 80, "", 50)),
        ("tcp:0", (TCP4ServerEndpoint, 0, "", 50)),
        ("tcp:7979:interface=127.0.0.1:backlog=5", (TCP4ServerEndpoint, 7979, "127.0.0.1", 5)),
        ("tcp:backlog=5:7979:interface=127.0.0.1", (TCP4ServerEndpoint, 7979, "127.0.0.1", 5)),
        ("tcp:7979:127.0.0.1:5", (TCP4ServerEndpoint, 7979, "127.0.0.1", 5)),
        (r"tcp:80:interface=\:\:1", (TCP4ServerEndpoint, 80, "::1", 50)),
        ("tcp:80:", (TCP4ServerEndpoint, 80, "", 50)),
        ("tcp6:80", (TCP6ServerEndpoint, 80, "::", 50)),
        (r"tcp6:80:interface=\:\:1:backlog=7", (TCP6ServerEndpoint, 80, "::1", 7)),
    ],
)
def test_server_strings(text: str, expected: tuple[Any, ...]) -> None:
    assert server(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tcp:example.org:79", ("example.org", 79, 30, None)),
        ("tcp:host=example.org:port=79", ("example.org", 79, 30, None)),
        ("tcp:port=79:host=example.org", ("example.org", 79, 30, None)),
        ("tcp:example.org:port=79", ("example.org", 79, 30, None)),
        ("tcp:host=example.org:79", ("example.org", 79, 30, None)),
        ("tcp:79:host=example.org", ("example.org", 79, 30, None)),
        ("tcp:h:79:timeout=2.5:bindAddress=127.0.0.2", ("h", 79, 2.5, ("127.0.0.2", 0))),
        (r"tcp:host=\:\:1:port=79", ("::1", 79, 30, None)),
    ],
)
def test_client_strings(text: str, expected: tuple[Any, ...]) -> None:
    assert client(text) == expected


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("80", "there is no '80' to listen on, only tcp, tcp6, ssl, tls, unix, systemd, fd, stdio, haproxy"),
        ("ssh:22", "there is no 'ssh'"),
        ("ssl:443:privateKey=/nothing/there.pem", "No such file or directory: '/nothing/there.pem'"),
        ("ssl:443:privateKey=/etc/hostname", "SSLError"),
        ("ssl:443:certificates=/etc", "unknown argument 'certificates': ssl takes port, privateKey, certKey"),
        ("tls:443", "certificates is missing"),
        ("tls:443:/nothing/there", "'/nothing/there' is no directory"),
        ("tcp", "port is missing"),
        ("tcp:", "port is empty"),
        ("tcp:interface=127.0.0.1", "port is missing"),
        ("tcp:http", "port must be a number from 0 to 65535, not 'http'"),
        ("tcp:65536", "not '65536'"),
        ("tcp:-1", "not '-1'"),
        ("tcp:+1", "not '+1'"),
        ("tcp:8_0", "not '8_0'"),
        ("tcp:\u0668\u0660", "port must be a number"),
        ("tcp:" + "9" * 5000, "port must be a number"),
        ("tcp:80:backlog=many", "backlog must be a number"),
        ("tcp:80:bogus=1", "unknown argument 'bogus': tcp takes port, interface, backlog"),
        ("tcp:80:port=81", "port is given twice"),
        ("tcp:port=80:port=81", "port is given twice"),
        ("tcp:80:127.0.0.1:5:6", "'6' is one value too many"),
    ],
)
def test_mistakes_in_server_strings(text: str, mistake: str) -> None:
    with pytest.raises(ValueError) as caught:
        serverFromString(REACTOR, text)
    assert str(caught.value).startswith(f"endpoint string {text!r}: ")
    assert mistake in str(caught.value)


@pytest.mark.parametrize("kind", ["tcp", "ssl"])
def test_with_the_host_named_the_one_bare_value_is_the_port(kind: str) -> None:
    """As Twisted reads it; ``tls:`` does not."""
    endpoint: Any = clientFromString(REACTOR, f"{kind}:80:host=h")
    below = endpoint._below if kind == "ssl" else endpoint
    assert (below._host, below._port) == ("h", 80)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("ssh:/run/x", "there is no 'ssh' to connect to, only tcp, ssl, tls, unix, process, wrap"),
        ("tcp:example.org", "port is missing"),
        ("tcp:port=80", "host is missing"),
        ("tcp::80", "host is empty"),
        ("tcp:h:0", "port must be a number from 1 to 65535, not '0'"),
        ("tcp:h:80:5", "'5' is one value too many"),
        ("tcp:h:80:host=i", "'80' is one value too many"),
        ("tcp:h:80:timeout=soon", "timeout must be a number of seconds above 0, not 'soon'"),
        ("tcp:h:80:timeout=0", "not '0'"),
        ("tcp:h:80:timeout=nan", "not 'nan'"),
        ("tcp:h:80:timeout=inf", "not 'inf'"),
        ("tcp:h:80:bindAddress=", "bindAddress is empty"),
        ("tcp:h:80:interface=x", "unknown argument 'interface': tcp takes host, port, timeout, bindAddress"),
    ],
)
def test_mistakes_in_client_strings(text: str, mistake: str) -> None:
    with pytest.raises(ValueError) as caught:
        clientFromString(REACTOR, text)
    assert str(caught.value).startswith(f"endpoint string {text!r}: ")
    assert mistake in str(caught.value)


def test_a_program_is_read_with_its_arguments() -> None:
    endpoint: Any = clientFromString(REACTOR, r"process:/usr/bin/sort:-n:--key\=2:path=/tmp:stderr=drop")
    assert endpoint._executable == "/usr/bin/sort"
    assert endpoint._args == ["/usr/bin/sort", "-n", "--key=2"]
    assert (endpoint._path, endpoint._errFlag, endpoint._env) == ("/tmp", StandardErrorBehavior.DROP, None)
    plain: Any = clientFromString(REACTOR, "process:cat")
    assert (plain._args, plain._path, plain._errFlag) == (["cat"], None, StandardErrorBehavior.LOG)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("process", "executable is missing"),
        ("process:", "executable is empty"),
        ("process:sort:key=2", "unknown argument 'key'"),
        ("process:sort:stderr=away", "stderr is one of log, drop, not 'away'"),
    ],
)
def test_mistakes_in_strings_of_programs(text: str, mistake: str) -> None:
    with pytest.raises(ValueError) as caught:
        clientFromString(REACTOR, text)
    assert mistake in str(caught.value)


def test_the_standard_streams_have_no_arguments() -> None:
    for text in ("stdio", "stdio:"):
        assert isinstance(serverFromString(REACTOR, text), StandardIOEndpoint)
    for text in ("stdio:1", "stdio:in=0"):
        with pytest.raises(ValueError):
            serverFromString(REACTOR, text)
