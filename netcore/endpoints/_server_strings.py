"""The endpoint strings of servers: for each kind, a function that reads its arguments."""

from __future__ import annotations

import os
import socket
from typing import Any

from netcore.endpoints._adopted import AdoptedStreamServerEndpoint, listening_family
from netcore.endpoints._from_string import Grammar, file_mistakes
from netcore.endpoints._plugins import SERVER
from netcore.endpoints._stdio import StandardIOEndpoint
from netcore.endpoints._strings import Description, Values
from netcore.endpoints._tcp import TCP4ServerEndpoint, TCP6ServerEndpoint
from netcore.endpoints._tls import SSL4ServerEndpoint, _SecureServer
from netcore.endpoints._unix import UNIXServerEndpoint
from netcore.interfaces import IReactorSocket, IReactorTCP, IReactorUNIX, IStreamServerEndpoint
from netcore.protocols.haproxy import proxyEndpoint
from netcore.protocols.haproxy._wrapper import HEADER_TIMEOUT
from netcore.ssl import serverOptions, serverOptionsFromDirectory
from netcore.systemd import ListenFDs

__all__ = ["serverFromString"]

_PORT_MAX = 65535  # RFC 9293, 3.1: 16 bits
_BACKLOG_MAX = 2**31 - 1  # listen(2) takes an int, and the kernel lowers it to its own limit
_MODE_MAX = 0o777
_DOMAINS = {name: getattr(socket, f"AF_{name}") for name in ("INET", "INET6", "UNIX") if hasattr(socket, f"AF_{name}")}


def _backlog(values: Values) -> int:
    return values.integer("backlog", 0, _BACKLOG_MAX, default=50)


def _place(values: Values, everywhere: str = "") -> dict[str, Any]:
    """Where to listen, for the endpoints of TCP."""
    return {
        "port": values.integer("port", 0, _PORT_MAX),
        "backlog": _backlog(values),
        "interface": values.text("interface", default=everywhere),
    }


def _tcp(reactor: IReactorTCP, description: Description) -> TCP4ServerEndpoint:
    return TCP4ServerEndpoint(reactor, **_place(description.bind(("port", "interface", "backlog"))))


def _tcp6(reactor: IReactorTCP, description: Description) -> TCP6ServerEndpoint:
    place = _place(description.bind(("port", "interface", "backlog")), "::")
    return file_mistakes(description, lambda: TCP6ServerEndpoint(reactor, **place))


def _ssl(reactor: IReactorTCP, description: Description) -> SSL4ServerEndpoint:
    values = description.bind(("port", "privateKey", "certKey", "interface", "backlog"))
    key = values.text("privateKey", default="server.pem")
    certificate = values.text("certKey", default=key)
    options = file_mistakes(description, lambda: serverOptions(certificate, key))
    return SSL4ServerEndpoint(reactor, sslContextFactory=options, **_place(values))


def _tls(reactor: IReactorTCP, description: Description) -> SSL4ServerEndpoint:
    values = description.bind(("port", "certificates", "interface", "backlog"))
    directory = values.text("certificates")
    options = file_mistakes(description, lambda: serverOptionsFromDirectory(directory))
    return SSL4ServerEndpoint(reactor, sslContextFactory=options, **_place(values))


def _unix(reactor: IReactorUNIX, description: Description) -> UNIXServerEndpoint:
    values = description.bind(("address", "mode", "backlog", "lockfile"))
    address = values.text("address")
    # An abstract name has no file, which could be locked, or left over.
    lock = values.choice("lockfile", ("0", "1"), default="0" if address.startswith("\0") else "1")
    mode = values.octal("mode", _MODE_MAX, default=0o666)
    return UNIXServerEndpoint(reactor, address, _backlog(values), mode, lock == "1")


def _systemd(reactor: IReactorSocket, description: Description) -> AdoptedStreamServerEndpoint:
    values = description.bind(("domain", "index"), ("name",))
    if ("index" in values.given) is ("name" in values.given):
        raise description.mistake("one of index and name says which socket it is")
    given = file_mistakes(description, ListenFDs.fromEnvironment)
    descriptors = given.inheritedDescriptors()
    if not descriptors:
        raise description.mistake(
            "systemd has passed no socket to this process: start it from a .socket unit, or by systemd-socket-activate"
        )
    if "index" in values.given:
        called = [descriptors[values.integer("index", 0, len(descriptors) - 1)]]
    else:
        name = values.text("name")
        called = given._with_name(name)
        if len(called) != 1:
            there_are = ", ".join(given.inheritedNamedDescriptors())
            raise description.mistake(f"{len(called) or 'no'} sockets are called {name!r}: the names are {there_are}")
    if not given._is_there(called[0]):  # its number may mean another file now
        raise description.mistake(f"descriptor {called[0]} is closed, or used up, which it is by listening once")
    return _inherited(reactor, values, called[0])


def _fd(reactor: IReactorSocket, description: Description) -> AdoptedStreamServerEndpoint:
    values = description.bind(("number",), ("domain",))
    return _inherited(reactor, values, values.integer("number", 0, _BACKLOG_MAX))


def _inherited(reactor: IReactorSocket, values: Values, descriptor: int) -> AdoptedStreamServerEndpoint:
    """For a descriptor that is open already; "domain" may say what it must be."""
    description = values.description
    try:
        family = listening_family(descriptor)
    except (OSError, ValueError) as error:  # ValueError: a family that Python knows no name of
        raise description.mistake(f"descriptor {descriptor} cannot be listened on: {error}") from error
    domains = {number: name for name, number in _DOMAINS.items()}
    if family not in domains:
        raise description.mistake(f"descriptor {descriptor} is a socket of {family!r}, not of {', '.join(_DOMAINS)}")
    wanted = values.choice("domain", _DOMAINS, default=domains[family])
    if wanted != domains[family]:
        raise description.mistake(f"descriptor {descriptor} is a socket of domain {domains[family]}, not {wanted}")
    os.set_inheritable(descriptor, False)  # it was handed to us, not to what we start
    return AdoptedStreamServerEndpoint(reactor, descriptor, family)


def _stdio(reactor: Any, description: Description) -> StandardIOEndpoint:
    if description.positional != ("",):  # "stdio" as well as "stdio:"
        description.bind(())
    return StandardIOEndpoint(reactor)


def _haproxy(reactor: Any, description: Description, endpoint: IStreamServerEndpoint) -> IStreamServerEndpoint:
    values = description.bind((), ("trusted", "untrusted", "timeout"))
    trusted = values.optional("trusted")
    options: dict[str, Any] = {
        "trusted": None if trusted is None else trusted.split(","),
        "untrusted": values.choice("untrusted", ("refuse", "pass"), default="refuse"),
        "headerTimeout": values.seconds("timeout", default=HEADER_TIMEOUT),
        "clock": reactor,
    }

    def wrap(below: IStreamServerEndpoint) -> IStreamServerEndpoint:
        return file_mistakes(description, lambda: proxyEndpoint(below, **options))

    # A proxy sends the header in front of the TLS that it passes on, or speaks itself.
    return endpoint.over(wrap) if isinstance(endpoint, _SecureServer) else wrap(endpoint)


_SERVERS: Grammar[IStreamServerEndpoint] = Grammar(
    {
        "tcp": _tcp,
        "tcp6": _tcp6,
        "ssl": _ssl,
        "tls": _tls,
        "unix": _unix,
        "systemd": _systemd,
        "fd": _fd,
        "stdio": _stdio,
    },
    {"haproxy": _haproxy},
    "listen on",
    SERVER,
)


def serverFromString(reactor: Any, description: str) -> IStreamServerEndpoint:
    r"""The server endpoint that *description* tells of.

    ``tcp:PORT[:interface=ADDRESS][:backlog=N]``, over IPv4; ``tcp6:``, with the same arguments, over IPv6. PORT 0 is
    any free port. The colons of an address are written ``\:`` (see `quoteStringArgument`). ``stdio:``, this program's
    standard input and output.

    ``unix:PATH[:mode=660][:lockfile=0][:backlog=N]``, a UNIX socket. Everybody may connect, unless *mode* says who. A
    lock file beside it keeps others away, and tells that what a process left there that has ended may be replaced.

    ``systemd:index=N`` or ``systemd:name=NAME``, with ``domain=INET``, ``INET6`` or ``UNIX`` if you want: a socket that
    systemd has passed to this process (`netcore.systemd`), the N-th, from 0, or the one with that name
    (FileDescriptorName=). ``fd:NUMBER[:domain=INET]``, a socket that a parent process has left open. It listens already
    and is used up by listening once.

    ``ssl:PORT[:privateKey=FILE][:certKey=FILE]``, with *interface* and *backlog* as above: with TLS, and one
    certificate (`netcore.ssl.serverOptions`). *privateKey* is "server.pem", at first, and *certKey* the same file.

    ``tls:PORT:certificates=DIRECTORY``, with *interface* and *backlog* as above: with TLS, and a certificate for each
    name (`netcore.ssl.ServerOptionsFromDirectory`).

    ``haproxy:[trusted=NETWORK,...:][untrusted=pass:][timeout=SECONDS:]`` before any of these, for connections that come
    through a proxy (`netcore.protocols.haproxy.proxyEndpoint`): ``haproxy:tcp:80``,
    ``haproxy:trusted=192.0.2.0/24,private:tcp:80``. With ``ssl:`` and ``tls:``, the header comes before the handshake.

    Another kind may be a plugin: an entry point of the group ``netcore.endpoints.server``, whose name is the kind, and
    which is an `IStreamServerEndpointStringParser` or called as its ``parseStreamServer``.

    Args:
        reactor: what will listen.
    Raises: ValueError: a mistake in *description*, or a file, socket or plugin that it names cannot be used.
    """
    return _SERVERS.read(reactor, description)
