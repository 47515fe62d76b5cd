"""Addresses of transports: what ``getPeer()`` and ``getHost()`` return, and what ``buildProtocol`` is given."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from netcore._interface import implementer
from netcore.interfaces import IAddress

__all__ = ["HostnameAddress", "IPv4Address", "IPv6Address", "UNIXAddress"]


@implementer(IAddress)
@dataclass(frozen=True, slots=True)
class IPv4Address:
    """One end of an IPv4 connection: *host* in dotted quads, *port* 0–65535."""

    type: Literal["TCP", "UDP"]
    host: str
    port: int


@implementer(IAddress)
@dataclass(frozen=True, slots=True)
class IPv6Address:
    """One end of an IPv6 connection: *host* in RFC 5952 form without scope, *flowInfo* and *scopeID* as in RFC 3493."""

    type: Literal["TCP", "UDP"]
    host: str
    port: int
    flowInfo: int = 0
    scopeID: int = 0


@implementer(IAddress)
@dataclass(frozen=True, slots=True)
class UNIXAddress:
    """One end of a connection over a UNIX socket.

    Args:
        name: the path, as bytes (str is encoded as file names are); on Linux, one that begins with a NUL is an abstract
            name; None: it has none, as clients as a rule.
    """

    name: bytes | None

    def __init__(self, name: str | bytes | None) -> None:
        object.__setattr__(self, "name", None if name is None or not name else os.fsencode(name))


@implementer(IAddress)
@dataclass(frozen=True, slots=True)
class HostnameAddress:
    """A place that is connected to by name: *hostname*, as bytes, and *port*."""

    hostname: bytes
    port: int
