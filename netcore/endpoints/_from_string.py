"""Endpoints from strings: for each kind of endpoint, a function that reads its arguments.

Every mistake that can be seen in the string is raised when it is read, naming the string: not when the service starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from netcore.endpoints._process import ProcessEndpoint, StandardErrorBehavior
from netcore.endpoints._stdio import StandardIOEndpoint
from netcore.endpoints._strings import Description, Values, parse
from netcore.endpoints._tcp import TCP4ClientEndpoint, TCP4ServerEndpoint, TCP6ServerEndpoint
from netcore.endpoints._tls import SSL4ClientEndpoint, SSL4ServerEndpoint
from netcore.interfaces import IReactorProcess, IReactorTCP, IStreamClientEndpoint, IStreamServerEndpoint
from netcore.ssl import optionsForClientTLS, serverOptions, serverOptionsFromDirectory

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


def _ssl_server(reactor: IReactorTCP, description: Description) -> SSL4ServerEndpoint:
    values = description.bind(("port", "privateKey", "certKey", "interface", "backlog"))
    key = values.text("privateKey", default="server.pem")
    certificate = values.text("certKey", default=key)
    options = _files(description, lambda: serverOptions(certificate, key))
    return _secure_server(reactor, values, options)


def _tls_server(reactor: IReactorTCP, description: Description) -> SSL4ServerEndpoint:
    values = description.bind(("port", "certificates", "interface", "backlog"))
    directory = values.text("certificates")
    return _secure_server(reactor, values, _files(description, lambda: serverOptionsFromDirectory(directory)))


def _secure_server(reactor: IReactorTCP, values: Values, options: Any) -> SSL4ServerEndpoint:
    return SSL4ServerEndpoint(
        reactor,
        values.integer("port", 0, _PORT_MAX),
        options,
        values.integer("backlog", 0, _BACKLOG_MAX, default=50),
        values.text("interface", default=""),
    )


def _ssl_client(reactor: IReactorTCP, description: Description) -> SSL4ClientEndpoint:
    return _secure_client(reactor, description, "certKey", "caCertsDir")


def _tls_client(reactor: IReactorTCP, description: Description) -> SSL4ClientEndpoint:
    return _secure_client(reactor, description, "certificate", "trustRoots")


def _secure_client(
    reactor: IReactorTCP, description: Description, certificate_is: str, roots_are: str
) -> SSL4ClientEndpoint:
    options = ("hostname", certificate_is, "privateKey", roots_are, "timeout", "bindAddress")
    values = description.bind(("host", "port"), options)
    host = values.text("host")
    name = values.text("hostname", default=host)
    certificate = values.given.get(certificate_is)
    key = values.given.get("privateKey")
    if key is not None and certificate is None:
        raise description.mistake(f"privateKey is of use with a {certificate_is} only")
    own = (certificate, key) if certificate is not None and key is not None else certificate
    contexts = _files(description, lambda: optionsForClientTLS(name, values.given.get(roots_are), own))
    return SSL4ClientEndpoint(
        reactor,
        host,
        values.integer("port", 1, _PORT_MAX),
        contexts,
        values.seconds("timeout", default=30),
        values.text("bindAddress") if "bindAddress" in values.given else None,
    )


def _files(description: Description, read: Callable[[], E]) -> E:
    """What *read* makes of files that *description* names."""
    try:
        return read()
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise description.mistake(f"{type(error).__name__}: {error}") from error


def _stdio_server(reactor: Any, description: Description) -> StandardIOEndpoint:
    if description.positional != ("",):  # "stdio" as well as "stdio:"
        description.bind(())
    return StandardIOEndpoint(reactor)


def _process_client(reactor: IReactorProcess, description: Description) -> ProcessEndpoint:
    # The program's arguments are as many as there are.
    arguments = tuple(f"argument {number}" for number in range(1, len(description.positional)))
    values = description.bind(("executable", *arguments), ("path", "stderr"))
    return ProcessEndpoint(
        reactor,
        values.text("executable"),
        [values.text("executable"), *description.positional[1:]],
        None,
        values.text("path") if "path" in values.given else None,
        errFlag=_STDERR[values.choice("stderr", _STDERR, default="log")],
    )


_STDERR = {"log": StandardErrorBehavior.LOG, "drop": StandardErrorBehavior.DROP}
_SERVERS: dict[str, Callable[[Any, Description], IStreamServerEndpoint]] = {
    "tcp": _tcp_server,
    "tcp6": _tcp6_server,
    "ssl": _ssl_server,
    "tls": _tls_server,
    "stdio": _stdio_server,
}
_CLIENTS: dict[str, Callable[[Any, Description], IStreamClientEndpoint]] = {
    "tcp": _tcp_client,
    "ssl": _ssl_client,
    "tls": _tls_client,
    "process": _process_client,
}


def serverFromString(reactor: Any, description: str) -> IStreamServerEndpoint:
    r"""The server endpoint that *description* tells of.

    ``tcp:PORT[:interface=ADDRESS][:backlog=N]``, over IPv4; ``tcp6:``, with the same arguments, over IPv6. PORT 0 is
    any free port. The colons of an address are written ``\:`` (see `quoteStringArgument`). ``stdio:``, this program's
    standard input and output.

    ``ssl:PORT[:privateKey=FILE][:certKey=FILE]``, with *interface* and *backlog* as above: with TLS, and one
    certificate (`netcore.ssl.serverOptions`). *privateKey* is "server.pem", at first, and *certKey* the same file.

    ``tls:PORT:certificates=DIRECTORY``, with *interface* and *backlog* as above: with TLS, and a certificate for each
    name (`netcore.ssl.ServerOptionsFromDirectory`).

    Args:
        reactor: what will listen.
    Raises: ValueError: a mistake in *description*, or a file that it names cannot be used.
    """
    return _read(reactor, description, _SERVERS, "listen on")


def clientFromString(reactor: Any, description: str) -> IStreamClientEndpoint:
    r"""The client endpoint that *description* tells of.

    ``tcp:HOST:PORT[:timeout=SECONDS][:bindAddress=ADDRESS]``, or with names: ``tcp:host=HOST:port=PORT``.
    ``process:PROGRAM[:ARGUMENT...][:path=DIRECTORY][:stderr=drop]``, a program that is started, with this program's
    environment; a "=" in an argument is written ``\=`` (see `quoteStringArgument`).

    ``tls:HOST:PORT[:hostname=NAME][:certificate=FILE][:privateKey=FILE][:trustRoots=FILE or DIRECTORY]``, with
    *timeout* and *bindAddress* as above: with TLS (`netcore.ssl.optionsForClientTLS`). The server's certificate must
    be for NAME, which is HOST at first. ``ssl:`` is the same, but for *certKey* and *caCertsDir* in place of
    *certificate* and *trustRoots*.

    Args:
        reactor: what will connect.
    Raises: ValueError: a mistake in *description*, or a file that it names cannot be used.
    """
    return _read(reactor, description, _CLIENTS, "connect to")


def _read(reactor: Any, text: str, kinds: Mapping[str, Callable[[Any, Description], E]], purpose: str) -> E:
    description = parse(text)
    read = kinds.get(description.kind)
    if read is None:
        raise description.mistake(f"there is no {description.kind!r} to {purpose}, only {', '.join(kinds)}")
    return read(reactor, description)
