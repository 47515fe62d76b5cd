"""Addresses of transports: what ``getPeer()`` and ``getHost()`` return, and what ``buildProtocol`` is given.

And who is there, which only a UNIX socket can tell: `PeerCredentials`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from netcore._interface import implementer
from netcore.interfaces import IAddress

__all__ = ["HostnameAddress", "IPv4Address", "IPv6Address", "PeerCredentials", "UNIXAddress"]


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
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class UNIXAddress:
    """One end of a connection over a UNIX socket.

    Two are equal if their names are, or if both lead to the same file now, as a path and a link to it do.

    Args:
        name: the path, as bytes (str is encoded as file names are); on Linux, one that begins with a NUL is an abstract
            name; None: it has none, as clients as a rule.
    """

    name: bytes | None

    def __init__(self, name: str | bytes | None) -> None:
        object.__setattr__(self, "name", None if name is None or not name else os.fsencode(name))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, UNIXAddress):
            return NotImplemented
        if self.name == other.name:
            return True
        if not (self._is_path() and other._is_path()):
            return False
        try:
            return os.path.samefile(self.name or b"", other.name or b"")
        except (OSError, ValueError):  # one is not there; ValueError: it cannot be, having a NUL in it
            return False

    def __hash__(self) -> int:
        # One number for all paths. Any two may become equal, when a link is made; and that of the file would change
        # when the socket is removed, so that what is kept under the address of a port could not be found afterwards.
        return hash((UNIXAddress, None if self._is_path() else self.name))

    def _is_path(self) -> bool:
        return self.name is not None and not self.name.startswith(b"\0")

    def __repr__(self) -> str:
        return f"UNIXAddress({None if self.name is None else os.fsdecode(self.name)!r})"


@implementer(IAddress)
@dataclass(frozen=True, slots=True)
class HostnameAddress:
    """A place that is connected to by name: *hostname*, as bytes, and *port*."""

    hostname: bytes
    port: int


@dataclass(frozen=True, slots=True)
class PeerCredentials:
    """Which process has connected, and as whom, as the kernel noted it then.

    The process may have ended since, or have handed the connection to another.

    Attributes: *pid*, the process (None: this system does not say); *uid* and *gid*, its effective user and group.
    """

    pid: int | None
    uid: int
    gid: int
