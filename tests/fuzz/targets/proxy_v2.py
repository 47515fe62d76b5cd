"""The PROXY protocol, version 2: headers, right and wrong, against what went into them."""

from __future__ import annotations

import socket
from random import Random
from typing import Any

from netcore.address import IPv4Address, IPv6Address, UNIXAddress
from netcore.protocols.haproxy import ProxyHeader
from tests.fuzz.frame import noise
from tests.fuzz.proxied import outcome_of
from tests.unit.netcore.protocols.haproxy.headers import SIGNATURE, v2, value, with_checksum

_KINDS = (0x01, 0x02, 0x04, 0x05, 0x20, 0x30, 0xE0, 0xEF, 0xFF)


def addresses(random: Random) -> tuple[int, bytes, Any, Any]:
    """A family, the bytes of addresses, and what they are."""
    family = random.choice((0x00, 0x11, 0x12, 0x21, 0x22, 0x31, 0x32))
    if family == 0:
        return family, b"", None, None
    if family >> 4 == 3:
        names = [noise(random, 108, b"\0ab/").rstrip(b"\0") for _ in range(2)]
        names = [name if name.startswith(b"\0") else name.partition(b"\0")[0] for name in names]
        return family, b"".join(name.ljust(108, b"\0") for name in names), *map(UNIXAddress, names)  # type: ignore[return-value]
    which, size = (socket.AF_INET, 4) if family >> 4 == 1 else (socket.AF_INET6, 16)
    hosts = [random.randbytes(size) for _ in range(2)]
    ports = [random.randrange(65536) for _ in range(2)]
    make: Any = IPv4Address if size == 4 else IPv6Address
    made = [
        make("TCP" if family & 1 else "UDP", socket.inet_ntop(which, host), port)
        for host, port in zip(hosts, ports, strict=True)
    ]
    return family, b"".join(hosts) + b"".join(port.to_bytes(2, "big") for port in ports), *made  # type: ignore[return-value]


def content(random: Random, kind: int) -> bytes:
    """What a value of that *kind* may have."""
    if kind == 0x20:
        inner = b"".join(value(random.randrange(0x21, 0x26), noise(random, 20)) for _ in range(random.randrange(4)))
        return random.randbytes(5) + inner
    return noise(random, 128 if kind == 0x05 else 300)


def one(random: Random) -> None:
    family, block, source, destination = addresses(random)
    kinds = [random.choice(_KINDS) for _ in range(random.choice((0, 0, 1, 3, 10)))]
    values = [(kind, content(random, kind)) for kind in kinds]
    encoded = b"".join(value(*each) for each in values)
    trailing = noise(random, 200)
    told, peer, heard, refused = outcome_of(random, v2(family, block, encoded) + trailing, 12)
    assert (told, heard, refused) == (ProxyHeader(2, False, source, destination, tuple(values)), trailing, False)
    assert source is None or peer == source
    if told is not None and told.tls is not None:
        assert all(text is None or isinstance(text, str) for text in (told.tls.version, told.tls.commonName))

    header = with_checksum(family, block, encoded)
    told, _, heard, refused = outcome_of(random, header + trailing, 12)
    assert told is not None
    assert (told.values[:-1], heard, refused) == (tuple(values), trailing, False)
    # One wrong bit of what the checksum is of.
    wrong = bytearray(header)
    wrong[random.randrange(16, len(header))] ^= 1 << random.randrange(8)
    told, _, _, refused = outcome_of(random, bytes(wrong), 12)
    assert refused or told is None or told.value(0x03) is None, "it waits for more, or there is no checksum any more"
    # Not all of it.
    assert outcome_of(random, header[: random.randrange(len(header))], 12)[::3] == (None, False)
    # The proxy's own.
    own = v2(random.randrange(256), noise(random, 300), command=0x20)
    assert outcome_of(random, own + trailing, 12)[::2] == (ProxyHeader(2, local=True), trailing)
    # Anything behind the signature.
    outcome_of(random, SIGNATURE + bytes((random.choice((0x20, 0x21, 0x11, 0x2F)),)) + noise(random, 600), 12)
    hostile = v2(family, block, noise(random, 600, bytes((*_KINDS, 0x03, 0, 0, 0, 1, 4))))
    outcome_of(random, hostile, 12)
