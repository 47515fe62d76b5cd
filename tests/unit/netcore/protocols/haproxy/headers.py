"""Headers of the PROXY protocol: those that a real HAProxy has sent, and a writer for others."""

from __future__ import annotations

import socket
import struct

from netcore.protocols.haproxy._header import _crc32c

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"

# What HAProxy 2.6.12 sent, recorded: clients over IPv4, IPv6 and a UNIX socket, and its own health checks.
V1_IPV4 = b"PROXY TCP4 127.0.0.9 127.0.0.1 35443 21001\r\n"
V1_IPV6 = b"PROXY TCP6 ::1 ::1 57398 21001\r\n"
V1_UNIX = b"PROXY UNKNOWN\r\n"
V1_CHECK = b"PROXY TCP4 127.0.0.1 127.0.0.1 47576 22002\r\n"
V2_IPV4 = SIGNATURE + b"!\x11\0\x0c\x7f\0\0\t\x7f\0\0\x01\xa4YR\n"
V2_IPV6 = SIGNATURE + b"!!\0$" + 2 * (15 * b"\0" + b"\x01") + b"\xa7\xd0R\n"
V2_UNIX = SIGNATURE + b" \0\0\0"
V2_CHECK = SIGNATURE + b" \0\0\0"
# proxy-v2-options crc32c,unique-id
V2_CHECKSUM = SIGNATURE + b"!\x11\0#\x7f\0\0\t\x7f\0\0\x01\x931R\x0b\x03\0\x04\x1eC\xe9\xf9\x05\0\r7F000009:9331"
# proxy-v2-options ssl,cert-cn,ssl-cipher,cert-sig,cert-key,crc32c,unique-id,authority; the client has a certificate
V2_TLS = (
    SIGNATURE
    + b"!\x11\0\x8f\x7f\0\0\x07\x7f\0\0\x01\x88\xa3R\x0c\x03\0\x04\xe15u\n\x01\0\x06finger\x02\0\rfront.example"
    b'\x05\0\r7F000007:88A3 \0P\x07\0\0\0\0!\0\x07TLSv1.3"\0\x0eclient.example%\0\x07RSA2048$\0\nRSA-SHA256#\0\x16'
    b"TLS_AES_256_GCM_SHA384"
)
# The same without one: "verify" is 0 then, too.
V2_TLS_ANONYMOUS = (
    SIGNATURE + b"!\x11\0~\x7f\0\0\x07\x7f\0\0\x01\xbe\xc9R\x0c\x03\0\x045'\xd9D\x01\0\x06finger\x02\0\rfront.example"
    b"\x05\0\r7F000007:BEC9 \0?\x01\0\0\0\0!\0\x07TLSv1.3%\0\x07RSA2048$\0\nRSA-SHA256#\0\x16TLS_AES_256_GCM_SHA384"
)
RECORDED = [
    *(V1_IPV4, V1_IPV6, V1_UNIX, V1_CHECK, V2_IPV4, V2_IPV6, V2_UNIX, V2_CHECK),
    *(V2_CHECKSUM, V2_TLS, V2_TLS_ANONYMOUS),
]


def value(kind: int, content: bytes) -> bytes:
    """One of the values behind the addresses."""
    return struct.pack("!BH", kind, len(content)) + content


def v2(family: int, addresses: bytes, values: bytes = b"", command: int = 0x21) -> bytes:
    """A header of version 2."""
    return SIGNATURE + struct.pack("!BBH", command, family, len(addresses) + len(values)) + addresses + values


def ipv4(source: str, destination: str, source_port: int, destination_port: int) -> bytes:
    return socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack("!HH", source_port, destination_port)


def with_checksum(family: int, addresses: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    """A header of version 2 with the right checksum between *before* and *after*."""
    header = v2(family, addresses, before + value(3, bytes(4)) + after)
    at = 16 + len(addresses) + len(before) + 3
    return header[:at] + _crc32c(header).to_bytes(4, "big") + header[at + 4 :]
