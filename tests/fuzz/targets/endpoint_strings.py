"""Endpoint strings: what was put in comes out; everything else is refused with the string's name; for linear work."""

from __future__ import annotations

from random import Random
from typing import Any

from netcore.endpoints import clientFromString, quoteStringArgument, serverFromString
from netcore.endpoints._strings import parse
from tests.fuzz.frame import calls, noise

_PIECES = [
    *("tcp", "tcp6", "unix", "systemd", "fd", "stdio", "ssl", "tls", "haproxy", "wrap", "process", "nothing", ":", "="),
    *("\\", "\\:", "port", "interface", "backlog", "mode", "lockfile", "index", "name", "domain", "trusted", "timeout"),
    *("untrusted", "host", "bindAddress", "hostname", "endpoint", "80", "0", "-1", "65536", "99999999", "127.0.0.1"),
    *("10.0.0.0/8", "private", "unix", "pass", "660", "INET", "é", "\0", " ", "\n", "٣", "1e999", "nan", ""),
]
_REACTOR: Any = object()


def one(random: Random) -> None:
    # What is quoted stays one value, whatever it is.
    values = [noise(random, 30, b"ab:=\\\0 \n9").decode() for _ in range(random.randrange(5))]
    named = {f"n{at}": noise(random, 30, b"ab:=\\\0 \n9").decode() for at in range(random.randrange(4))}
    written = [quoteStringArgument(each) for each in values]
    written += [f"{name}={quoteStringArgument(each)}" for name, each in named.items()]
    random.shuffle(written)
    prefixes = random.randrange(9)
    text = ":".join(["outer:a=b"] * prefixes + ["kind", *written])
    found, description = parse(text, {"outer"})
    assert [each.named for each in found] == [{"a": "b"}] * prefixes
    assert sorted(description.positional) == sorted(values)
    assert description.named == named

    # Anything, and each beginning of it: "byte by byte"; what follows is no endpoint of its own.
    text = "".join(random.choices(_PIECES, k=random.choice((1, 3, 6, 12))))
    text = random.choice(("", "tcp:", "haproxy:", "wrap:", "unix:", "fd:", "systemd:")) + text
    for end in range(len(text) + 1):
        for read in (serverFromString, clientFromString):
            refuse_or_read(read, text[:end])
    for trailing in ("\\", ":", ":x=y", "\0"):
        refuse_or_read(serverFromString, text + trailing)

    piece = random.choice(_PIECES)
    many = random.choice(("", "outer:", "tcp:")) + piece * random.randint(0, 300)
    assert calls(lambda: attempt(many)) <= 12 * len(many) + 100
    assert repr(many) in (attempt(many) or repr(many))


def attempt(text: str) -> str | None:
    """Take *text* apart. Returns: what is wrong with it."""
    try:
        parse(text, {"outer"})
    except ValueError as error:
        return str(error)
    return None


def refuse_or_read(read: Any, text: str) -> None:
    endpoint, told = None, ""
    try:
        endpoint = read(_REACTOR, text)
    except ValueError as error:
        told = str(error)
    if endpoint is None:
        assert told.startswith(f"endpoint string {text!r}: ")
    else:
        assert hasattr(endpoint, "listen") or hasattr(endpoint, "connect")
