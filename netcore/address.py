"""Addresses of transports: what ``getPeer()`` and ``getHost()`` return, and what ``buildProtocol`` is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from netcore._interface import implementer
from netcore.interfaces import IAddress

__all__ = ["IPv4Address", "IPv6Address"]


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
