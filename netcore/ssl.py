"""Contexts for TLS, made so that they are safe, and certificates as they are seen.

A *context factory*, wherever netcore asks for one, is an `ssl.SSLContext` or anything whose ``getContext()`` returns
one. Those made here speak TLS 1.2 and above; clients verify the server's certificate and name. (``netcore.ssl`` is
named like Twisted's module; Python's own, which does the work, is ``import ssl``.)
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from netcore._log import log_failure
from netcore.failure import Failure

__all__ = [
    "Certificate",
    "ClientTLSOptions",
    "ServerOptions",
    "ServerOptionsFromDirectory",
    "optionsForClientTLS",
    "serverOptions",
    "serverOptionsFromDirectory",
]

logger = logging.getLogger("netcore.ssl")

# What a server may be called: letters of a host name as it is sent (RFC 6066, 3). No more may get into a path.
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*", re.ASCII)
_LONGEST_NAME = 253  # RFC 1035, 3.1, as text
FALLBACK = "default"  # its certificate is for those who ask for no name, or for one that is not there


def check_context_factory(given: Any) -> None:
    """Raises: TypeError: *given* is no context factory."""
    if not isinstance(given, ssl.SSLContext) and not callable(getattr(given, "getContext", None)):
        raise TypeError(
            f"{given!r} is no ssl.SSLContext, and has no getContext() that returns one: netcore.ssl.serverOptions() "
            "and optionsForClientTLS() make what is needed"
        )


def context_of(factory: Any) -> ssl.SSLContext:
    """The context that *factory*, a context factory, has for the next connection.

    Raises: TypeError: its ``getContext`` returned something else.
    """
    if isinstance(factory, ssl.SSLContext):
        return factory
    context = factory.getContext()
    if not isinstance(context, ssl.SSLContext):
        raise TypeError(f"getContext() of {factory!r} returned no ssl.SSLContext, but {context!r}")
    return context


@dataclass(frozen=True)
class ClientTLSOptions:
    """A context factory for clients; made by `optionsForClientTLS`. Attributes: *hostname*, the server's name."""

    hostname: str
    context: ssl.SSLContext

    def getContext(self) -> ssl.SSLContext:
        """The context."""
        return self.context


@dataclass(frozen=True)
class ServerOptions:
    """A context factory for servers; made by `serverOptions`."""

    context: ssl.SSLContext

    def getContext(self) -> ssl.SSLContext:
        """The context."""
        return self.context


_Path: TypeAlias = str | os.PathLike[str]


def optionsForClientTLS(
    hostname: str,
    trustRoot: _Path | None = None,
    clientCertificate: tuple[_Path, _Path] | _Path | None = None,
    acceptableProtocols: Sequence[bytes] | None = None,
) -> ClientTLSOptions:
    """How to connect to *hostname*: its certificate must be signed by someone who is trusted, and name it.

    Args:
        hostname: the server's name, or its address; a name with other letters than ASCII's is sent in its IDNA form.
        trustRoot: a file or directory of PEM certificates that are trusted (as OpenSSL has them, ``c_rehash``);
            default: what the system trusts.
        clientCertificate: PEM files with this client's certificate and key, or one file with both.
        acceptableProtocols: what may be spoken, the best first (ALPN, RFC 7301).
    Raises: TypeError, ValueError: *hostname* is no name. OSError, ssl.SSLError: a file cannot be read, or is none.
    """
    if not isinstance(hostname, str):
        raise TypeError(f"the name of a host is a str, not {hostname!r}")
    hostname = _wire_name(hostname)
    context = _safe(ssl.PROTOCOL_TLS_CLIENT)  # verifies the certificate and the name
    if trustRoot is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _trust(context, trustRoot)
    if clientCertificate is not None:
        files = clientCertificate if isinstance(clientCertificate, tuple) else (clientCertificate, None)
        _load(context, *files)
    _set_protocols(context, acceptableProtocols)
    return ClientTLSOptions(hostname, context)


def serverOptions(
    cert: _Path,
    key: _Path | None = None,
    *,
    clientRoots: _Path | None = None,
    acceptableProtocols: Sequence[bytes] | None = None,
) -> ServerOptions:
    """How to serve with one certificate.

    Args:
        cert: a PEM file: the certificate, and those that lead from it to one that clients trust.
        key: a PEM file: its key, without a password; default: *cert* has it, too.
        clientRoots: a PEM file, or a directory as OpenSSL has them: clients must show a certificate that these have
            signed. Default: they are asked for none.
        acceptableProtocols: what may be spoken, the best first (ALPN, RFC 7301).
    Raises: OSError, ssl.SSLError: a file cannot be read, or is none, or they do not belong together.
    """
    context = _safe(ssl.PROTOCOL_TLS_SERVER)
    _load(context, cert, key)
    if clientRoots is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        _trust(context, clientRoots)
    _set_protocols(context, acceptableProtocols)
    return ServerOptions(context)


def serverOptionsFromDirectory(
    directory: _Path, *, acceptableProtocols: Sequence[bytes] | None = None
) -> ServerOptionsFromDirectory:
    """How to serve under many names (SNI, RFC 6066): see `ServerOptionsFromDirectory`."""
    return ServerOptionsFromDirectory(directory, acceptableProtocols=acceptableProtocols)


class ServerOptionsFromDirectory:
    """A context factory for servers with a certificate for each name.

    A client that asks for ``www.example.org`` is shown ``www.example.org.pem``, or else ``_.example.org.pem`` (for
    ``*.example.org``), or else ``default.pem``: PEM files, each with a certificate, those that lead from it to one that
    clients trust, and its key. They are looked at for each handshake, and read again when they have changed. One that
    cannot be read any more is logged, and what was read last still serves.

    Args:
        directory: where they are.
        acceptableProtocols: what may be spoken, the best first (ALPN, RFC 7301).
    Raises: NotADirectoryError: *directory* is none. ValueError: there is no certificate in it.
    """

    def __init__(self, directory: _Path, *, acceptableProtocols: Sequence[bytes] | None = None) -> None:
        self.directory = Path(directory)
        self._protocols = acceptableProtocols
        self._read: dict[str, tuple[Any, ssl.SSLContext | None]] = {}  # by name: what the file was, and what was in it
        if not self.directory.is_dir():
            raise NotADirectoryError(f"{str(directory)!r} is no directory")
        if not any(self.directory.glob("*.pem")):
            raise ValueError(f"there is no *.pem file in {str(directory)!r}")
        self._context = _safe(ssl.PROTOCOL_TLS_SERVER)
        self._context.sni_callback = self._choose
        _set_protocols(self._context, acceptableProtocols)

    def getContext(self) -> ssl.SSLContext:
        """A context that chooses among the certificates when it knows whom the client wants."""
        return self._context

    def __repr__(self) -> str:
        return f"<certificates of {str(self.directory)!r}>"

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> int | None:
        try:
            context = self._context_for(name)
        except Exception:
            log_failure(logger, Failure(), "no certificate could be found for %r", name)
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        if context is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        connection.context = context
        return None

    def _context_for(self, name: str | None) -> ssl.SSLContext | None:
        names = [FALLBACK]
        if name is not None:
            name = name.lower().rstrip(".")
            if len(name) <= _LONGEST_NAME and _NAME.fullmatch(name):
                names[:0] = [name, f"_.{name.partition('.')[2]}"]
        for each in names:
            context = self._read_again(each)
            if context is not None:
                return context
        return None

    def _read_again(self, name: str) -> ssl.SSLContext | None:
        """What is in the file for *name*, as it is now or, if it is broken, was; None if there is none."""
        path = self.directory / f"{name}.pem"
        try:
            status = path.stat()
        except OSError:
            self._read.pop(name, None)
            return None
        now = status.st_mtime_ns, status.st_size, status.st_ino
        known, context = self._read.get(name, (None, None))
        if known != now:
            try:
                context = serverOptions(path, acceptableProtocols=self._protocols).context
            except (OSError, ValueError):  # ssl.SSLError is an OSError; ValueError: the key has a password
                log_failure(logger, Failure(), "the certificate in %r cannot be used", str(path))
            self._read[name] = now, context
        return context


@dataclass(frozen=True)
class Certificate:
    """A certificate (X.509, RFC 5280), as a peer has shown it.

    Attributes: *der*, it itself; *subject*, *issuer*, whose it is and who signed it: pairs such as ``("commonName",
        "example.org")``; *notBefore*, *notAfter*, when it is valid (UTC); *serialNumber*, as hexadecimal digits;
        *names*, what it is for: ``("DNS", "example.org")``, ``("IP Address", "192.0.2.1")``.
    """

    der: bytes
    subject: tuple[tuple[str, str], ...]
    issuer: tuple[tuple[str, str], ...]
    notBefore: datetime
    notAfter: datetime
    serialNumber: str
    names: tuple[tuple[str, str], ...]

    def pem(self) -> str:
        """It as text (RFC 7468)."""
        return ssl.DER_cert_to_PEM_cert(self.der)

    @classmethod
    def of_peer(cls, connection: ssl.SSLObject) -> Certificate | None:
        """What the peer of *connection* has shown; None if it has shown none."""
        der = connection.getpeercert(True)
        if der is None:
            return None
        facts: Any = connection.getpeercert()  # empty where it was not verified: then ask for the chain
        if not facts:
            chain = connection._sslobj.get_unverified_chain()  # type: ignore[attr-defined]  # there from 3.10 on
            facts = chain[0].get_info()
        return cls(
            der,
            tuple(pair for group in facts["subject"] for pair in group),
            tuple(pair for group in facts["issuer"] for pair in group),
            _time(facts["notBefore"]),
            _time(facts["notAfter"]),
            facts["serialNumber"],
            tuple((kind, str(name)) for kind, name in facts.get("subjectAltName", ())),
        )


def _time(text: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)


def _wire_name(hostname: str) -> str:
    """*hostname* as it is sent. Raises: ValueError: it is no name, and no address."""
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(hostname)).partition("%")[0]  # the scope is this host's affair (RFC 6874, 1)
    try:
        name = hostname.rstrip(".").encode("idna").decode().lower()
    except UnicodeError as error:
        raise ValueError(f"{hostname!r} is no name of a host: {error}") from None
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        raise ValueError(f"{hostname!r} is no name of a host")
    return name


def _safe(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # OpenSSL's servers refuse it by themselves from 3.0 on, but its clients begin anew whenever a server says so.
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


def _load(context: ssl.SSLContext, cert: _Path, key: _Path | None) -> None:
    for path in (cert, key):
        if path is not None:
            open(path, "rb").close()  # an error of ssl's own would not say which file
    context.load_cert_chain(cert, key, _no_password)


def _trust(context: ssl.SSLContext, roots: _Path) -> None:
    if os.path.isdir(roots):
        context.load_verify_locations(capath=roots)
    else:
        open(roots, "rb").close()  # as above
        context.load_verify_locations(cafile=roots)


def _set_protocols(context: ssl.SSLContext, protocols: Sequence[bytes] | None) -> None:
    if protocols:
        context.set_alpn_protocols([protocol.decode("ascii") for protocol in protocols])


def _no_password() -> str:
    """OpenSSL would ask the terminal, and the loop would stand still."""
    raise ValueError("the key has a password: write it to a file without one, or make an ssl.SSLContext yourself")
