"""The PROXY protocol, version 1: lines, right and wrong, against what went into them."""

from __future__ import annotations

import ipaddress
from random import Random

from netcore.address import IPv4Address, IPv6Address
from netcore.protocols.haproxy import ProxyHeader
from tests.fuzz.frame import noise
from tests.fuzz.proxied import outcome_of

_WRONG = [
    *(b"01", b"-1", b"+1", b"65536", b"", b"x", b"1.2.3", b"1.2.3.4.5", b"256.1.1.1", b"01.2.3.4", b"::1%lo", b":::"),
    *(b"1::2::3", b"1.2.3.4 ", b"\xff", b"\0", b"\t", b"\r", b"\n", b"TCP5", b"tcp4", b"UNKNOWNS", b"PROXY", b"1_0"),
]


def valid(random: Random) -> tuple[bytes, ProxyHeader]:
    """A line, and what it says."""
    kind = random.choice((b"TCP4", b"TCP6", b"UNKNOWN"))
    if kind == b"UNKNOWN":
        ignored = bytes(each for each in noise(random, 91) if each != 0x0A)
        line = b"PROXY UNKNOWN" + (b" " + ignored if ignored else b"") + b"\r\n"
        return line, ProxyHeader(1)
    ports = [random.choice((0, 1, 79, 65535, random.randrange(65536))) for _ in range(2)]
    if kind == b"TCP4":
        hosts = [str(ipaddress.IPv4Address(random.getrandbits(32))) for _ in range(2)]
        source, destination = (IPv4Address("TCP", host, port) for host, port in zip(hosts, ports, strict=True))
        written = hosts
    else:
        ips = [ipaddress.IPv6Address(random.getrandbits(128) & random.getrandbits(128)) for _ in range(2)]
        written = [random.choice((ip.exploded, ip.compressed, ip.exploded.upper())) for ip in ips]
        source, destination = (  # type: ignore[assignment]
            IPv6Address("TCP", ip.compressed, port) for ip, port in zip(ips, ports, strict=True)
        )
    line = b"PROXY %s %s %s %d %d\r\n" % (kind, written[0].encode(), written[1].encode(), *ports)
    return line, ProxyHeader(1, source=source, destination=destination)


def one(random: Random) -> None:
    line, header = valid(random)
    trailing = noise(random, 200, b"PROXY \r\n\0x")
    told, peer, heard, refused = outcome_of(random, line + trailing, 12)
    assert (told, heard, refused) == (header, trailing, False)
    assert header.source is None or peer == header.source
    # Not all of it: it waits.
    assert outcome_of(random, line[: random.randrange(len(line))], 12)[::3] == (None, False)
    # Something in it is wrong, or all.
    words = line[:-2].split(b" ")
    words[random.randrange(len(words))] = random.choice(_WRONG)
    wrong = b" ".join(words) + random.choice((b"\r\n", b"\n", b"\r", b" \r\n", b""))
    told, _, heard, refused = outcome_of(random, wrong + trailing, 12)
    assert told is None or b"UNKNOWN" in wrong or words == line[:-2].split(b" ")
    assert not (refused and heard)
    told, _, _, refused = outcome_of(random, b"PROXY " + noise(random, 300, b"TCP46UNKOW 0123456789abcdef.:\r\n"), 12)
    assert told is None or told.source is not None or told == ProxyHeader(1)
    outcome_of(random, noise(random, 300), 12)
