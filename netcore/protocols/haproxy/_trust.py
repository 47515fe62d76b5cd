"""From whom a header is accepted: who may say that a connection comes from somebody else."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from netcore.address import IPv4Address, IPv6Address, UNIXAddress

__all__ = ["Source", "Trusted", "as_trusted"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Source = Network | ipaddress.IPv4Address | ipaddress.IPv6Address

_DEFAULT = ("private", "unix")

# Loopback; RFC 1918 (IPv4) and RFC 4193 (IPv6), private; RFC 3927 and RFC 4291, 2.5.6, of one link only.
_PRIVATE = ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16")
_PRIVATE_6 = ("::1/128", "fc00::/7", "fe80::/10")
_NAMED: dict[str, tuple[str, ...]] = {"private": _PRIVATE + _PRIVATE_6, "unix": (), "any": ()}


class Trusted:
    """A set of sources.

    Args:
        sources: networks or addresses ("10.1.0.0/16", "::1", or objects of `ipaddress`), and names: "private", loopback
            and the networks that are not routed in the Internet; "unix", UNIX sockets, which have permissions of their
            own; "any", everybody.
    Raises: ValueError: one is none of these, or there is none. TypeError: *sources* is one string.
    """

    def __init__(self, sources: Iterable[str | Source]) -> None:
        if isinstance(sources, str):
            raise TypeError(f"trusted sources are several strings, and not one: [{sources!r}]")
        self._sources = tuple(sources)
        if not self._sources:
            raise ValueError("without a source that is trusted, nobody can send a header")
        self._any = "any" in self._sources
        self._unix = "unix" in self._sources
        networks = [_network(each) for source in self._sources for each in _NAMED.get(str(source), (source,))]
        self._networks = {
            version: tuple(network for network in networks if network.version == version) for version in (4, 6)
        }

    def __contains__(self, address: object) -> bool:
        if self._any:
            return True
        if isinstance(address, UNIXAddress):
            return self._unix
        if not isinstance(address, IPv4Address | IPv6Address):
            return False  # a pipe, say
        try:
            ip = ipaddress.ip_address(address.host)
        except ValueError:
            return False  # a name, which anybody may give himself
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:  # a port for both families: ipv6(7)
            ip = ip.ipv4_mapped
        return any(ip in network for network in self._networks[ip.version])

    def __str__(self) -> str:
        return ", ".join(map(str, self._sources))


def _network(source: str | Source) -> Network:
    try:
        if not isinstance(source, str | Source):  # a number or bytes would be read as an address
            raise TypeError(f"{type(source).__name__} is no str")
        network = ipaddress.ip_network(source)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"a trusted source is a network, an address, or one of {', '.join(_NAMED)}: {source!r} is none ({error})"
        ) from None
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if mapped is None or network.prefixlen < 96:
        return network
    return ipaddress.ip_network((mapped, network.prefixlen - 96))  # as the addresses that are looked for


def as_trusted(sources: Iterable[str | Source] | Trusted | None) -> Trusted:
    """*sources* as a set; None: the default.

    Raises: as `Trusted`.
    """
    if isinstance(sources, Trusted):
        return sources
    return Trusted(_DEFAULT if sources is None else sources)
