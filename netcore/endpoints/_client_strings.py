"""The endpoint strings of clients: for each kind, a function that reads its arguments."""

from __future__ import annotations

from typing import Any

from netcore.endpoints._from_string import Grammar, file_mistakes
from netcore.endpoints._plugins import CLIENT
from netcore.endpoints._process import ProcessEndpoint, StandardErrorBehavior
from netcore.endpoints._strings import Description, Values
from netcore.endpoints._tcp import HostnameEndpoint, _TCPClientEndpoint
from netcore.endpoints._tls import SSL4ClientEndpoint, wrapClientTLS
from netcore.endpoints._unix import UNIXClientEndpoint
from netcore.interfaces import IReactorProcess, IReactorTCP, IReactorUNIX, IStreamClientEndpoint
from netcore.ssl import optionsForClientTLS

__all__ = ["clientFromString"]

_PORT_MAX = 65535  # RFC 9293, 3.1: 16 bits
_STDERR = {"log": StandardErrorBehavior.LOG, "drop": StandardErrorBehavior.DROP}


def _place(values: Values) -> dict[str, Any]:
    """Where to connect to, for the endpoints of TCP."""
    return {
        "host": values.text("host"),
        "port": values.integer("port", 1, _PORT_MAX),
        "timeout": values.seconds("timeout", default=30),
        "bindAddress": values.optional("bindAddress"),
    }


def _bind(description: Description, named: tuple[str, ...]) -> Values:
    """The arguments of an endpoint of TCP; those of *named* have names."""
    # "tcp:80:host=localhost" is what Twisted reads, too: with the host named, the one bare value is the port.
    if "host" in description.named:
        return description.bind(("port",), ("host", *named))
    return description.bind(("host", "port"), named)


def _tcp(reactor: IReactorTCP, description: Description) -> HostnameEndpoint:
    return HostnameEndpoint(reactor, **_place(_bind(description, ("timeout", "bindAddress"))))


def _unix(reactor: IReactorUNIX, description: Description) -> UNIXClientEndpoint:
    values = description.bind(("path",), ("timeout", "lockfile"))
    path, timeout = values.text("path"), values.seconds("timeout", default=30)
    return UNIXClientEndpoint(reactor, path, timeout, values.choice("lockfile", ("0", "1"), default="0") == "1")


def _ssl(reactor: IReactorTCP, description: Description) -> SSL4ClientEndpoint:
    values = _bind(description, ("hostname", "certKey", "privateKey", "caCertsDir", "timeout", "bindAddress"))
    contexts = _contexts(values, values.text("host"), "certKey", "caCertsDir")
    return SSL4ClientEndpoint(reactor, sslContextFactory=contexts, **_place(values))


_TLS = ("hostname", "certificate", "privateKey", "trustRoots")


def _tls(reactor: Any, description: Description) -> IStreamClientEndpoint:
    values = description.bind(("host", "port"), (*_TLS, "timeout", "bindAddress", "endpoint"))
    contexts = _contexts(values, values.text("host"), "certificate", "trustRoots")
    below: IStreamClientEndpoint = HostnameEndpoint(reactor, **_place(values))
    instead = values.optional("endpoint")
    if instead is not None:
        try:
            below = clientFromString(reactor, instead)
        except ValueError as error:
            raise description.mistake(f"endpoint: {error}") from error
    return wrapClientTLS(contexts, below, reactor)


def _wrap(reactor: Any, description: Description, endpoint: IStreamClientEndpoint) -> IStreamClientEndpoint:
    values = description.bind((), _TLS)
    host = endpoint._host if isinstance(endpoint, _TCPClientEndpoint) else None
    return wrapClientTLS(_contexts(values, host, "certificate", "trustRoots"), endpoint, reactor)


def _contexts(values: Values, host: str | None, certificate_is: str, roots_are: str) -> Any:
    """How to use TLS with a server at *host*."""
    description = values.description
    name = values.optional("hostname") or host
    if name is None:
        raise description.mistake("hostname is missing: the name that the server's certificate must be for")
    certificate = values.given.get(certificate_is)
    key = values.given.get("privateKey")
    if key is not None and certificate is None:
        raise description.mistake(f"privateKey is of use with a {certificate_is} only")
    own = (certificate, key) if certificate is not None and key is not None else certificate
    return file_mistakes(description, lambda: optionsForClientTLS(name, values.given.get(roots_are), own))


def _process(reactor: IReactorProcess, description: Description) -> ProcessEndpoint:
    # The program's arguments are as many as there are.
    arguments = tuple(f"argument {number}" for number in range(1, len(description.positional)))
    values = description.bind(("executable", *arguments), ("path", "stderr"))
    return ProcessEndpoint(
        reactor,
        values.text("executable"),
        [values.text("executable"), *description.positional[1:]],
        None,
        values.optional("path"),
        errFlag=_STDERR[values.choice("stderr", _STDERR, default="log")],
    )


_CLIENTS: Grammar[IStreamClientEndpoint] = Grammar(
    {"tcp": _tcp, "ssl": _ssl, "tls": _tls, "unix": _unix, "process": _process},
    {"wrap": _wrap},
    "connect to",
    CLIENT,
)


def clientFromString(reactor: Any, description: str) -> IStreamClientEndpoint:
    r"""The client endpoint that *description* tells of.

    ``tcp:HOST:PORT[:timeout=SECONDS][:bindAddress=ADDRESS]``, or with names: ``tcp:host=HOST:port=PORT``; over IPv6 or
    IPv4, whichever stands first (`HostnameEndpoint`). ``unix:PATH[:lockfile=1][:timeout=SECONDS]``, a UNIX socket; with
    *lockfile*, only if a live process holds its lock file.

    ``process:PROGRAM[:ARGUMENT...][:path=DIRECTORY][:stderr=drop]``, a program that is started, with this program's
    environment; a "=" in an argument is written ``\=`` (see `quoteStringArgument`).

    ``tls:HOST:PORT[:hostname=NAME][:certificate=FILE][:privateKey=FILE][:trustRoots=FILE or DIRECTORY]``, with
    *timeout* and *bindAddress* as above: with TLS (`netcore.ssl.optionsForClientTLS`). The server's certificate must
    be for NAME, which is HOST at first. *endpoint* is a string of its own, quoted, for a connection to be made
    otherwise. ``ssl:`` is the same over IPv4, but for *certKey* and *caCertsDir* in place of *certificate* and
    *trustRoots*.

    ``wrap:[hostname=NAME:][certificate=FILE:][privateKey=FILE:][trustRoots=FILE or DIRECTORY:]`` before any other one:
    that with TLS on top (`wrapClientTLS`), as in ``wrap:hostname=db.example:unix:/run/db.sock``.

    Another kind may be a plugin: an entry point of the group ``netcore.endpoints.client``, whose name is the kind, and
    which is an `IStreamClientEndpointStringParserWithReactor` or called as its ``parseStreamClient``.

    Args:
        reactor: what will connect.
    Raises: ValueError: a mistake in *description*, or a file or plugin that it names cannot be used.
    """
    return _CLIENTS.read(reactor, description)
