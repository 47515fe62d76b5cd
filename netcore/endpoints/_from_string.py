"""Endpoints from strings: for each kind of endpoint, a function that reads its arguments.

Every mistake that can be seen in the string is raised when it is read, naming the string: not when the service starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from netcore.endpoints._strings import Description, parse
from netcore.endpoints._tcp import TCP4ClientEndpoint, TCP4ServerEndpoint, TCP6ServerEndpoint
from netcore.interfaces import IReactorTCP, IStreamClientEndpoint, IStreamServerEndpoint

__all__ = ["clientFromString", "serverFromString"]

E = TypeVar("E")

_PORT_MAX = 65535  # RFC 9293, 3.1: 16 bits
_BACKLOG_MAX = 2**31 - 1  # listen(2) takes an int, and the kernel lowers it to its own limit


def _tcp_server(reactor: IReactorTCP, description: Description) -> TCP4ServerEndpoint:
    values = description.bind(("port", "interface", "backlog"))
    return TCP4ServerEndpoint(
        reactor,
        values.integer("port", 0, _PORT_MAX),
        values.integer("backlog", 0, _BACKLOG_MAX, default=50),
        values.text("interface", default=""),
    )


def _tcp6_server(reactor: IReactorTCP, description: Description) -> TCP6ServerEndpoint:
    values = description.bind(("port", "interface", "backlog"))
    return TCP6ServerEndpoint(
        reactor,
        values.integer("port", 0, _PORT_MAX),
        values.integer("backlog", 0, _BACKLOG_MAX, default=50),
        values.text("interface", default="::"),
    )


def _tcp_client(reactor: IReactorTCP, description: Description) -> TCP4ClientEndpoint:
    # "tcp:80:host=localhost" is what Twisted reads, too: with the host named, the one bare value is the port.
    positional, named = (("port",), ("host",)) if "host" in description.named else (("host", "port"), ())
    values = description.bind(positional, (*named, "timeout", "bindAddress"))
    return TCP4ClientEndpoint(
        reactor,
        values.text("host"),
        values.integer("port", 1, _PORT_MAX),
        values.seconds("timeout", default=30),
        values.text("bindAddress") if "bindAddress" in values.given else None,
    )


_SERVERS: dict[str, Callable[[Any, Description], IStreamServerEndpoint]] = {"tcp": _tcp_server, "tcp6": _tcp6_server}
_CLIENTS: dict[str, Callable[[Any, Description], IStreamClientEndpoint]] = {"tcp": _tcp_client}


def serverFromString(reactor: Any, description: str) -> IStreamServerEndpoint:
    r"""The server endpoint that *description* tells of.

    ``tcp:PORT[:interface=ADDRESS][:backlog=N]``, over IPv4; ``tcp6:``, with the same arguments, over IPv6. PORT 0 is
    any free port. The colons of an address are written ``\:`` (see `quoteStringArgument`).

    Args:
        reactor: what will listen.
    Raises: ValueError: a mistake in *description*.
    """
    return _read(reactor, description, _SERVERS, "listen on")


def clientFromString(reactor: Any, description: str) -> IStreamClientEndpoint:
    """The client endpoint that *description* tells of.

    ``tcp:HOST:PORT[:timeout=SECONDS][:bindAddress=ADDRESS]``, or with names: ``tcp:host=HOST:port=PORT``.

    Args:
        reactor: what will connect.
    Raises: ValueError: a mistake in *description*.
    """
    return _read(reactor, description, _CLIENTS, "connect to")


def _read(reactor: Any, text: str, kinds: Mapping[str, Callable[[Any, Description], E]], purpose: str) -> E:
    description = parse(text)
    read = kinds.get(description.kind)
    if read is None:
        raise description.mistake(f"there is no {description.kind!r} to {purpose}, only {', '.join(kinds)}")
    return read(reactor, description)
