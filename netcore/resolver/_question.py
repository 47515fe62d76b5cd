"""What is asked of a resolver, checked; and what getaddrinfo(3) says, as addresses."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from netcore.address import IPv4Address, IPv6Address
from netcore.interfaces import IAddress

__all__ = ["Address", "Question", "is_ipv4_literal"]

Address = IPv4Address | IPv6Address

_FAMILIES: dict[type[Any], socket.AddressFamily] = {IPv4Address: socket.AF_INET, IPv6Address: socket.AF_INET6}
_KINDS: dict[Any, socket.SocketKind] = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}


@dataclass(frozen=True, slots=True)
class Question:
    """The arguments of ``resolveHostName``.

    Attributes: *families*, of the addresses that are wanted; *semantics*, "TCP" or "UDP".
    """

    name: str
    port: int
    families: frozenset[socket.AddressFamily]
    semantics: Any

    @classmethod
    def of(
        cls, hostName: str, portNumber: int, addressTypes: Sequence[type[IAddress]] | None, transportSemantics: str
    ) -> Question:
        """The question that is asked with these arguments.

        Raises: ValueError: other *addressTypes* than the two, or none; other *transportSemantics*. TypeError:
            *hostName* is no str.
        """
        if not isinstance(hostName, str):
            raise TypeError(f"the name of a host is a str, not {hostName!r}")
        if transportSemantics not in _KINDS:
            raise ValueError(f'addresses are for "TCP" or "UDP", not for {transportSemantics!r}')
        types = list(_FAMILIES) if addressTypes is None else list(addressTypes)
        if not types or not _FAMILIES.keys() >= set(types):
            raise ValueError(f"the types of addresses are IPv4Address, IPv6Address or both, not {addressTypes!r}")
        return cls(hostName, portNumber, frozenset(_FAMILIES[each] for each in types), transportSemantics)

    @property
    def family(self) -> socket.AddressFamily:
        """For getaddrinfo(3): the one that is wanted, or AF_UNSPEC."""
        return next(iter(self.families)) if len(self.families) == 1 else socket.AF_UNSPEC

    @property
    def kind(self) -> socket.SocketKind:
        """For getaddrinfo(3): the type of the socket."""
        return _KINDS[self.semantics]

    def literal(self, text: str | None = None) -> list[Address] | None:
        """What *text*, by default the name, is if it is an address: that, or nothing, if it is not wanted. None if it
        is a name. Never blocks."""
        try:
            found = socket.getaddrinfo(
                self.name if text is None else text, self.port, type=self.kind, flags=socket.AI_NUMERICHOST
            )
        except (socket.gaierror, ValueError):  # ValueError: it cannot be encoded, or has a NUL in it
            return None
        return self.addresses(found)

    def addresses(self, found: Iterable[tuple[Any, ...]]) -> list[Address]:
        """What getaddrinfo() *found*, as far as it is wanted."""
        return [
            (IPv6Address if family == socket.AF_INET6 else IPv4Address)(self.semantics, name[0], self.port, *name[2:])
            for family, _, _, _, name in found
            if family in self.families
        ]


def is_ipv4_literal(text: str) -> bool:
    """Whether *text* is an address in dotted quads, all four of them."""
    try:
        socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):
        return False
    return True
