"""The header of the PROXY protocol, and how versions 1 and 2 of it are read. There is no input or output here.

Section numbers are those of HAProxy's specification,
https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt.

What holds, for `read_header`, which is given all that has come so far:

* However the bytes are cut, the outcome is the same: the header and its length, or `InvalidProxyHeader`. What does not
  begin as one is refused at the first byte that is wrong (2.1: "as soon as possible"); a line of version 1 is read when
  its end is there, and so are the addresses and values of version 2.
* While a header is incomplete, looking at it costs no more than 107 bytes' worth of work; a complete one is gone
  through once, or twice with a checksum.
* No more than 107 bytes (version 1) or 16 + 65535 (version 2) are ever waited for.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from functools import cache
from typing import Literal

from netcore.address import IPv4Address, IPv6Address, UNIXAddress

__all__ = ["InvalidProxyHeader", "ProxyHeader", "ProxyTLS", "read_header"]

Address = IPv4Address | IPv6Address | UNIXAddress
Values = tuple[tuple[int, bytes], ...]
Buffer = bytes | bytearray

_V1_PREFIX = b"PROXY "
_V1_LONGEST = 107  # 2.1, with CRLF
# 2.1: one space, addresses in canonical form, numbers without leading zeros, nothing else.
_NUMBER = rb"(0|[1-9][0-9]{0,4})"
_V1_LINE = re.compile(rb"PROXY (TCP4|TCP6) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) " + _NUMBER + b" " + _NUMBER)
_V1_UNKNOWN = b"PROXY UNKNOWN"

_V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"  # 2.2
_V2_FIXED = 16  # signature, version and command, family and protocol, length
_LOCAL, _PROXY = 0, 1
_UNSPEC, _INET, _INET6, _UNIX = range(4)
_ADDRESSES = {_UNSPEC: 0, _INET: 12, _INET6: 36, _UNIX: 216}  # bytes of both, with their ports
_UNIX_NAME = 108
_TRANSPORTS: dict[int, Literal["TCP", "UDP"] | None] = {0: None, 1: "TCP", 2: "UDP"}

# 2.2, the types of what may follow the addresses, and of what is within PP2_TYPE_SSL (2.2.6).
_ALPN, _AUTHORITY, _CRC32C, _UNIQUE_ID, _SSL, _NETNS = 0x01, 0x02, 0x03, 0x05, 0x20, 0x30
_SSL_VERSION, _SSL_CN, _SSL_CIPHER, _SSL_SIG_ALG, _SSL_KEY_ALG = range(0x21, 0x26)
_UNIQUE_ID_LONGEST = 128  # 2.2.5


class InvalidProxyHeader(ValueError):
    """What a connection begins with is no header of the PROXY protocol."""


def _first(values: Values, kind: int) -> bytes | None:
    return next((value for each, value in values if each == kind), None)


def _text(value: bytes | None) -> str | None:
    # ASCII or UTF-8 (2.2.2, 2.2.6). Some of it is the client's own choice: what is no such text is no reason to refuse.
    return None if value is None else value.decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class ProxyTLS:
    """What the proxy says of the TLS between the client and itself (2.2.6).

    Attributes: *client*, bits: 1, the client uses TLS; 2, it gave a certificate over this connection; 4, over this
        session; *verify*, 0 if it gave one that was verified; *values*, the rest, as (type, value) in their order.
    """

    client: int
    verify: int
    values: Values

    @property
    def verified(self) -> bool:
        """Whether the client has proved who it is, with a certificate."""
        return self.client & 0b110 != 0 and self.verify == 0

    @property
    def version(self) -> str | None:
        """Of TLS, such as "TLSv1.3"."""
        return _text(_first(self.values, _SSL_VERSION))

    @property
    def cipher(self) -> str | None:
        """The cipher's name."""
        return _text(_first(self.values, _SSL_CIPHER))

    @property
    def commonName(self) -> str | None:
        """That of the client's certificate."""
        return _text(_first(self.values, _SSL_CN))

    @property
    def signatureAlgorithm(self) -> str | None:
        """By which the proxy's certificate was signed, such as "SHA256"."""
        return _text(_first(self.values, _SSL_SIG_ALG))

    @property
    def keyAlgorithm(self) -> str | None:
        """Of the key of the proxy's certificate, such as "RSA2048"."""
        return _text(_first(self.values, _SSL_KEY_ALG))


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """What a proxy says of the connection that it passes on.

    Attributes: *version*, 1 or 2; *local*, whether the proxy speaks for itself (a health check, say), which only
        version 2 can say; *source* and *destination*, the client's address and the one that it connected to: None if
        the proxy does not say, and the connection's own count; *values*, what else it says (version 2), as (type,
        value) in their order.
    """

    version: int
    local: bool = False
    source: Address | None = None
    destination: Address | None = None
    values: Values = ()

    def value(self, kind: int) -> bytes | None:
        """The first value of that type, such as one of an application's own (2.2.8), or None."""
        return _first(self.values, kind)

    @property
    def alpn(self) -> bytes | None:
        """The protocol agreed upon by ALPN (2.2.1)."""
        return self.value(_ALPN)

    @property
    def authority(self) -> str | None:
        """The host name that the client asked for (2.2.2): with TLS, that of SNI."""
        return _text(self.value(_AUTHORITY))

    @property
    def uniqueID(self) -> bytes | None:
        """The proxy's name for the connection (2.2.5)."""
        return self.value(_UNIQUE_ID)

    @property
    def namespace(self) -> str | None:
        """The network namespace (2.2.7)."""
        return _text(self.value(_NETNS))

    @property
    def tls(self) -> ProxyTLS | None:
        """What is said of TLS, or None."""
        value = self.value(_SSL)
        return None if value is None else _tls(value)


def read_header(data: Buffer) -> tuple[ProxyHeader, int] | None:
    """The header that *data* begins with, and its length in bytes; None: it is not complete.

    Raises: InvalidProxyHeader: whatever comes, it will be none.
    """
    if data[:1] == b"P":
        return _read_v1(data)
    if _V2_SIGNATURE.startswith(data[: len(_V2_SIGNATURE)]):
        return _read_v2(data)
    raise _no_header(data)


def _no_header(data: Buffer) -> InvalidProxyHeader:
    return InvalidProxyHeader(f"no header of the PROXY protocol, but {bytes(data[:_V2_FIXED])!r}")


# Version 1: 2.1.


def _read_v1(data: Buffer) -> tuple[ProxyHeader, int] | None:
    if not _V1_PREFIX.startswith(data[: len(_V1_PREFIX)]):
        raise _no_header(data)
    end = data.find(b"\n", 0, _V1_LONGEST)
    if end < 0:
        if len(data) >= _V1_LONGEST:
            raise InvalidProxyHeader(f"the line of version 1 has no end within {_V1_LONGEST} bytes: {_shown(data)}")
        return None
    line = bytes(data[: end - 1])
    if data[end - 1] != ord("\r"):
        raise InvalidProxyHeader(f"the line of version 1 must end in CR LF: {_shown(data[: end + 1])}")
    if line == _V1_UNKNOWN or line.startswith(_V1_UNKNOWN + b" "):  # what follows is to be ignored
        return ProxyHeader(1), end + 1
    found = _V1_LINE.fullmatch(line)
    if found is None:
        raise InvalidProxyHeader(f"malformed line of version 1: {_shown(line)}")
    family, source, destination, source_port, destination_port = found.groups()
    try:
        header = ProxyHeader(
            1,
            source=_v1_address(family, source, source_port),
            destination=_v1_address(family, destination, destination_port),
        )
    except ValueError as error:
        raise InvalidProxyHeader(f"{error} in the line of version 1: {_shown(line)}") from None
    return header, end + 1


def _shown(line: Buffer) -> str:
    return repr(bytes(line[:_V1_LONGEST]))


def _v1_address(family: bytes, host: bytes, port: bytes) -> IPv4Address | IPv6Address:
    number = int(port)
    if number > 65535:
        raise ValueError(f"port {number} is none")
    if family == b"TCP4":
        return IPv4Address("TCP", str(ipaddress.IPv4Address(host.decode("ascii"))), number)
    return IPv6Address("TCP", _ipv6(ipaddress.IPv6Address(host.decode("ascii")).packed), number)


def _ipv6(packed: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET6, packed)  # as getpeername(2): ipaddress has ::ffff:1.2.3.4 so from 3.13 on


# Version 2: 2.2.


def _read_v2(data: Buffer) -> tuple[ProxyHeader, int] | None:
    if len(data) > 12 and data[12] not in {0x20 | _LOCAL, 0x20 | _PROXY}:
        raise InvalidProxyHeader(f"version and command of a binary header are 0x20 or 0x21, not 0x{data[12]:02x}")
    if len(data) < _V2_FIXED:
        return None
    length = int.from_bytes(data[14:16], "big")
    whole = _V2_FIXED + length
    if data[12] & 0xF == _LOCAL:  # the family is ignored, as all that follows
        return (ProxyHeader(2, local=True), whole) if len(data) >= whole else None
    family, transport = data[13] >> 4, data[13] & 0xF
    if family not in _ADDRESSES or transport not in _TRANSPORTS:
        raise InvalidProxyHeader(f"0x{data[13]:02x} is no address family and protocol")
    begin = _V2_FIXED + _ADDRESSES[family]
    if whole < begin:
        raise InvalidProxyHeader(f"{length} bytes are too few for the addresses of family {family}")
    if len(data) < whole:
        return None
    if (family == _UNSPEC) is not (transport == 0):
        # One of the two is unspecified: "ignore address information"; nor is it known where that ends.
        return ProxyHeader(2), whole
    header = bytes(data[:whole])
    values = _values(header, begin)
    _check(header, values, begin)
    source, destination = _v2_addresses(header, family, _TRANSPORTS[transport])
    return ProxyHeader(2, False, source, destination, values), whole


def _v2_addresses(
    header: bytes, family: int, transport: Literal["TCP", "UDP"] | None
) -> tuple[Address, Address] | tuple[None, None]:
    if family == _UNIX:
        middle = _V2_FIXED + _UNIX_NAME
        return _unix(header[_V2_FIXED:middle]), _unix(header[middle : middle + _UNIX_NAME])
    if transport is None:
        return None, None
    size = 4 if family == _INET else 16
    middle, ports = _V2_FIXED + size, _V2_FIXED + 2 * size
    source, destination = header[_V2_FIXED:middle], header[middle:ports]
    source_port, destination_port = (
        int.from_bytes(header[ports : ports + 2], "big"),
        int.from_bytes(header[ports + 2 : ports + 4], "big"),
    )
    if family == _INET:
        return (
            IPv4Address(transport, socket.inet_ntoa(source), source_port),
            IPv4Address(transport, socket.inet_ntoa(destination), destination_port),
        )
    return (
        IPv6Address(transport, _ipv6(source), source_port),
        IPv6Address(transport, _ipv6(destination), destination_port),
    )


def _unix(name: bytes) -> UNIXAddress:
    if name.startswith(b"\0"):  # an abstract name, or none (unix(7))
        return UNIXAddress(name.rstrip(b"\0"))
    return UNIXAddress(name.partition(b"\0")[0])


def _values(data: bytes, begin: int) -> Values:
    """The (type, value) pairs that *data* has from *begin* to its end."""
    values: list[tuple[int, bytes]] = []
    while begin < len(data):
        after = begin + 3 + int.from_bytes(data[begin + 1 : begin + 3], "big")
        if begin + 3 > len(data) or after > len(data):
            raise InvalidProxyHeader(f"the value of type 0x{data[begin]:02x} is longer than what it is part of")
        values.append((data[begin], data[begin + 3 : after]))
        begin = after
    return tuple(values)


def _check(header: bytes, values: Values, begin: int) -> None:
    """Refuse what is wrong in *values*, which *header* has from *begin* on."""
    checked = False
    for kind, value in values:
        begin += 3
        if kind == _CRC32C:
            if checked or len(value) != 4:  # of two, neither could be right; nor should each cost a reckoning
                raise InvalidProxyHeader("a header has one checksum at most, of 4 bytes")
            checked = True
            told, found = int.from_bytes(value, "big"), _crc32c(header[:begin] + bytes(4) + header[begin + 4 :])
            if told != found:
                raise InvalidProxyHeader(f"the header's checksum is 0x{found:08x}, and not 0x{told:08x} as it says")
        elif kind == _UNIQUE_ID and len(value) > _UNIQUE_ID_LONGEST:
            raise InvalidProxyHeader(f"a unique ID has {_UNIQUE_ID_LONGEST} bytes at most, and not {len(value)}")
        elif kind == _SSL:
            _tls(value)
        begin += len(value)


def _tls(value: bytes) -> ProxyTLS:
    if len(value) < 5:
        raise InvalidProxyHeader(f"what is said of TLS takes 5 bytes at least, and not {len(value)}")
    return ProxyTLS(value[0], int.from_bytes(value[1:5], "big"), _values(value, 5))


@cache
def _crc_table() -> tuple[int, ...]:
    table = []
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ (0x82F63B78 if number & 1 else 0)  # Castagnoli, bits reversed: RFC 4960, Appendix B
        table.append(number)
    return tuple(table)


def _crc32c(data: bytes) -> int:
    table, crc = _crc_table(), 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
