"""Reading headers of the PROXY protocol: what is one, what is none, and that the outcome does not hang on the cuts."""

from __future__ import annotations

from typing import Any

import pytest

from netcore.address import IPv4Address, IPv6Address, UNIXAddress
from netcore.protocols.haproxy import InvalidProxyHeader, ProxyHeader
from netcore.protocols.haproxy._header import _crc32c, read_header
from tests.fuzz.frame import calls
from tests.unit.netcore.protocols.haproxy import headers
from tests.unit.netcore.protocols.haproxy.headers import SIGNATURE, ipv4, v2, value, with_checksum


def read_bytewise(data: bytes) -> Any:
    """What is read when *data* comes byte by byte."""
    for end in range(len(data) + 1):
        found = read_header(data[:end])
        if found is not None:
            return found
    return None


def read(data: bytes) -> ProxyHeader:
    """The header that *data* is, whole, byte by byte, and with trailing data."""
    for trailing in (b"", b"\r\n", b"PROXY", b"\0" * 70_000):
        assert read_header(data + trailing) == read_bytewise(data), "a cut changes nothing"
    found = read_header(bytearray(data))
    assert found is not None
    assert found[1] == len(data)
    return found[0]


def refused(data: bytes) -> str:
    """Why *data* is refused, whole and byte by byte."""
    with pytest.raises(InvalidProxyHeader) as caught:
        read_header(data)
    with pytest.raises(InvalidProxyHeader):
        read_bytewise(data)
    return str(caught.value)


def tcp4(source: tuple[str, int], destination: tuple[str, int]) -> dict[str, Any]:
    return {"source": IPv4Address("TCP", *source), "destination": IPv4Address("TCP", *destination)}


def tcp6(source: tuple[str, int], destination: tuple[str, int]) -> dict[str, Any]:
    return {"source": IPv6Address("TCP", *source), "destination": IPv6Address("TCP", *destination)}


@pytest.mark.parametrize(
    ("data", "header"),
    [
        (headers.V1_IPV4, ProxyHeader(1, **tcp4(("127.0.0.9", 35443), ("127.0.0.1", 21001)))),
        (headers.V1_IPV6, ProxyHeader(1, **tcp6(("::1", 57398), ("::1", 21001)))),
        (headers.V1_UNIX, ProxyHeader(1)),
        (headers.V2_IPV4, ProxyHeader(2, **tcp4(("127.0.0.9", 42073), ("127.0.0.1", 21002)))),
        (headers.V2_IPV6, ProxyHeader(2, **tcp6(("::1", 42960), ("::1", 21002)))),
        (headers.V2_UNIX, ProxyHeader(2, local=True)),
        (headers.V2_CHECK, ProxyHeader(2, local=True)),
    ],
)
def test_what_haproxy_sends(data: bytes, header: ProxyHeader) -> None:
    assert read(data) == header


def test_what_haproxy_says_of_tls() -> None:
    header = read(headers.V2_TLS)
    assert (header.alpn, header.authority, header.uniqueID) == (b"finger", "front.example", b"7F000007:88A3")
    assert header.namespace is None
    tls = header.tls
    assert tls is not None
    assert (tls.client, tls.verify, tls.verified) == (7, 0, True)
    assert (tls.version, tls.cipher, tls.commonName) == ("TLSv1.3", "TLS_AES_256_GCM_SHA384", "client.example")
    assert (tls.signatureAlgorithm, tls.keyAlgorithm) == ("RSA-SHA256", "RSA2048")
    assert read(headers.V2_CHECKSUM).uniqueID == b"7F000009:9331"
    assert read(headers.V2_IPV4).tls is None


def test_who_gave_no_certificate_was_not_verified() -> None:
    tls = read(headers.V2_TLS_ANONYMOUS).tls
    assert tls is not None
    assert (tls.verify, tls.verified, tls.commonName) == (0, False, None)


@pytest.mark.parametrize(
    ("line", "source", "destination"),
    [
        (b"TCP4 0.0.0.0 255.255.255.255 0 65535", ("0.0.0.0", 0), ("255.255.255.255", 65535)),
        (b"TCP4 255.255.255.255 255.255.255.255 65535 65535", *(2 * [("255.255.255.255", 65535)])),
        (b"TCP6 ABCD:0:0::1 fe80::2 1 2", ("abcd::1", 1), ("fe80::2", 2)),
        (b"TCP6 ::ffff:192.0.2.1 :: 1 2", ("::ffff:192.0.2.1", 1), ("::", 2)),
        (b"TCP6 " + 2 * (b"ffff:" * 7 + b"ffff ") + b"65535 65535", *(2 * [(":".join(["ffff"] * 8), 65535)])),
    ],
)
def test_lines_of_version_1(line: bytes, source: Any, destination: Any) -> None:
    assert read(b"PROXY " + line + b"\r\n") == ProxyHeader(
        1, **(tcp6 if b"TCP6" in line else tcp4)(source, destination)
    )


@pytest.mark.parametrize("ignored", [b" ", b" a", b" TCP4 1.1.1.1", b" \r\r \0\xff", b" " + b"x" * 91])
def test_what_is_unknown_may_say_anything(ignored: bytes) -> None:
    assert read(b"PROXY UNKNOWN" + ignored + b"\r\n") == ProxyHeader(1)


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"TCP4", b"UNKNOWNS", b"unknown", b"tcp4 1.2.3.4 1.2.3.4 1 2", b"UDP4 1.2.3.4 1.2.3.4 1 2"),
        *(b" TCP4 1.2.3.4 1.2.3.4 1 2", b"TCP4  1.2.3.4 1.2.3.4 1 2", b"TCP4 1.2.3.4 1.2.3.4 1 2 "),
        *(b"TCP4 1.2.3.4 1.2.3.4 1", b"TCP4 1.2.3.4 1.2.3.4 1 2 3", b"TCP4\t1.2.3.4 1.2.3.4 1 2"),
        *(b"TCP4 1.2.3.4 1.2.3.4 01 2", b"TCP4 1.2.3.4 1.2.3.4 1 02", b"TCP4 1.2.3.4 1.2.3.4 00 2"),
        *(b"TCP4 1.2.3.4 1.2.3.4 65536 2", b"TCP4 1.2.3.4 1.2.3.4 1 99999", b"TCP4 1.2.3.4 1.2.3.4 -1 2"),
        *(b"TCP4 1.2.3.4 1.2.3.4 +1 2", b"TCP4 1.2.3.4 1.2.3.4 1_0 2", b"TCP4 1.2.3.4 1.2.3.4 0x1 2"),
        *(b"TCP4 1.2.3.4 1.2.3.4 123456 2", "TCP4 1.2.3.4 1.2.3.4 \u0661 2".encode()),
        *(b"TCP4 1.2.3 1.2.3.4 1 2", b"TCP4 1.2.3.4.5 1.2.3.4 1 2", b"TCP4 1.2.3.256 1.2.3.4 1 2"),
        *(b"TCP4 01.2.3.4 1.2.3.4 1 2", b"TCP4 1.2.3.4 1.2.3.04 1 2", b"TCP4 host 1.2.3.4 1 2"),
        *(b"TCP4 ::1 ::1 1 2", b"TCP6 1.2.3.4 1.2.3.4 1 2", b"TCP6 ::1 1.2.3.4 1 2", b"TCP6 :::1 ::1 1 2"),
        *(b"TCP6 ::1%lo ::1 1 2", b"TCP6 1::2::3 ::1 1 2", b"TCP6 12345::1 ::1 1 2", b"TCP6 [::1] ::1 1 2"),
        *(b"TCP6 1:2:3:4:5:6:7 ::1 1 2", b"TCP6 1:2:3:4:5:6:7:8:9 ::1 1 2", b"TCP6 g::1 ::1 1 2"),
        *(b"TCP4 1.2.3.4\r1.2.3.4 1 2", b"TCP4 1.2.3.4 1.2.3.4 1 2\r", b"TCP4 1.2.3.4 1.2.3.4 1 2\0"),
    ],
)
def test_lines_that_are_none(line: bytes) -> None:
    assert repr(line)[2:-1] in refused(b"PROXY " + line + b"\r\n")


@pytest.mark.parametrize("end", [b"\n", b" \n", b"\n\r\n", b"\r\r"])
def test_a_line_ends_in_cr_lf(end: bytes) -> None:
    for line in (headers.V1_IPV4[:-2], b"PROXY UNKNOWN"):
        data = line + end
        if end == b"\r\r":  # it may still end
            assert read_bytewise(data) is None
        else:
            assert "CR LF" in refused(data)


def test_a_line_has_107_bytes_at_most() -> None:
    longest = b"PROXY UNKNOWN " + b"x" * 91
    assert len(longest + b"\r\n") == 107
    assert read(longest + b"\r\n") == ProxyHeader(1)
    assert read_header(longest + b"\r") is None
    for too_long in (longest + b"x\r\n", longest + b"x\r", longest + b"xx", b"PROXY " + b"x" * 1000 + b"\r\n"):
        assert "no end within 107 bytes" in refused(too_long)


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\n", b"\n", b"\r\nQUIT", b"PROXX", b"P ", b"proxy", b"\0", b"\r\n\r\n\0\r\nQUIT\r", b"x" * 99],
)
def test_what_begins_otherwise_is_refused_at_once(data: bytes) -> None:
    assert repr(data[:16]) in refused(data)


def test_nothing_is_no_header_yet() -> None:
    assert read_header(b"") is None


FAMILIES = {
    0x11: (ipv4("192.0.2.1", "192.0.2.2", 1, 65535), IPv4Address("TCP", "192.0.2.1", 1)),
    0x12: (ipv4("192.0.2.1", "192.0.2.2", 1, 65535), IPv4Address("UDP", "192.0.2.1", 1)),
    0x21: (bytes(15) + b"\x01" + b"\xfe\x80" + bytes(14) + b"\0\x01\0\x02", IPv6Address("TCP", "::1", 1)),
    0x22: (bytes(15) + b"\x01" + b"\xfe\x80" + bytes(14) + b"\0\x01\0\x02", IPv6Address("UDP", "::1", 1)),
    0x31: (b"/run/a".ljust(108, b"\0") + b"\0name".ljust(108, b"\0"), UNIXAddress("/run/a")),
    0x32: (b"/run/a".ljust(108, b"\0") + b"\0name".ljust(108, b"\0"), UNIXAddress("/run/a")),
    0x00: (b"", None),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_addresses_of_version_2(family: int) -> None:
    addresses, source = FAMILIES[family]
    header = read(v2(family, addresses, value(0xE1, b"one") + value(0xE1, b"") + value(0xE2, b"two")))
    assert header.source == source
    assert header.values == ((0xE1, b"one"), (0xE1, b""), (0xE2, b"two"))
    assert (header.value(0xE1), header.value(0xE2), header.value(0xE3)) == (b"one", b"two", None)


def test_destinations_of_version_2() -> None:
    told = {family: read(v2(family, addresses)).destination for family, (addresses, _) in FAMILIES.items()}
    assert told[0x11] == IPv4Address("TCP", "192.0.2.2", 65535)
    assert told[0x22] == IPv6Address("UDP", "fe80::", 2)
    assert told[0x31] == UNIXAddress("\0name")
    assert told[0x00] is None


def test_unix_names_may_be_full_or_empty() -> None:
    header = read(v2(0x31, b"/" * 108 + bytes(108)))
    assert header.source == UNIXAddress(b"/" * 108)
    assert header.destination == UNIXAddress(None)


@pytest.mark.parametrize("family", [0x01, 0x02, 0x10, 0x20, 0x30])
def test_where_one_of_both_is_unspecified_all_is_ignored(family: int) -> None:
    size = {0: 0, 1: 12, 2: 36, 3: 216}[family >> 4]
    assert read(v2(family, b"\xff" * (size + 5))) == ProxyHeader(2)


def test_of_the_proxys_own_connections_all_is_ignored() -> None:
    for family in (0x00, 0x11, 0xFF):
        for size in (0, 1, 500):
            assert read(v2(family, b"\xff" * size, command=0x20)) == ProxyHeader(2, local=True)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (SIGNATURE + b"\x01", "0x01"),
        (SIGNATURE + b"\x11", "0x11"),
        (SIGNATURE + b"\x22", "0x22"),
        (SIGNATURE + b"\x2f", "0x2f"),
        (v2(0x41, bytes(500)), "0x41"),
        (v2(0x13, bytes(500)), "0x13"),
        (v2(0x11, bytes(11)), "11 bytes are too few"),
        (v2(0x21, bytes(35)), "35 bytes are too few"),
        (v2(0x31, bytes(215)), "215 bytes are too few"),
        (v2(0x11, bytes(12), b"\x01"), "type 0x01 is longer"),
        (v2(0x11, bytes(12), b"\x01\0"), "type 0x01 is longer"),
        (v2(0x11, bytes(12), b"\x01\0\x01"), "type 0x01 is longer"),
        (v2(0x11, bytes(12), value(1, b"x") + b"\x02\xff\xffxxx"), "type 0x02 is longer"),
        (v2(0x11, bytes(12), value(5, bytes(129))), "128 bytes at most"),
        (v2(0x11, bytes(12), value(0x20, bytes(4))), "5 bytes at least"),
        (v2(0x11, bytes(12), value(0x20, bytes(5) + b"\x21\0\x09TLSv1.3")), "type 0x21 is longer"),
        (v2(0x11, bytes(12), value(3, bytes(4))), "checksum is 0x"),
        (v2(0x11, bytes(12), value(3, bytes(3))), "of 4 bytes"),
        (v2(0x11, bytes(12), value(3, b"")), "of 4 bytes"),
        (with_checksum(0x11, bytes(12), after=value(3, bytes(4))), "one checksum at most"),
    ],
)
def test_headers_of_version_2_that_are_none(data: bytes, why: str) -> None:
    assert why in refused(data)


def test_the_checksum_is_that_of_the_rfcs() -> None:
    """RFC 3720, B.4, has these."""
    assert _crc32c(bytes(32)) == 0x8A9136AA
    assert _crc32c(b"\xff" * 32) == 0x62A8AB43
    assert _crc32c(bytes(range(32))) == 0x46DD794E


def test_the_checksum_may_be_anywhere_and_is_of_all() -> None:
    good = with_checksum(0x11, bytes(12), value(4, b"abc"), value(1, b"h2"))
    assert read(good).alpn == b"h2"
    the_type = 16 + 12 + 6  # another one would be no checksum
    for position in {*range(16, len(good))} - {the_type}:
        wrong = bytearray(good)
        wrong[position] ^= 0x40
        with pytest.raises(InvalidProxyHeader):
            read_header(wrong)


def test_what_a_client_chose_need_be_no_text() -> None:
    header = read(v2(0x11, bytes(12), value(2, b"a\xff") + value(0x20, b"\x03\0\0\0\x01" + value(0x22, b"\xfe"))))
    assert header.authority == "a\\xff"
    assert header.tls is not None
    assert (header.tls.commonName, header.tls.verified) == ("\\xfe", False)


def test_waiting_for_a_long_header_costs_nothing() -> None:
    """What has come of it is not gone through again each time."""
    whole = v2(0x11, bytes(12), value(0xE0, bytes(65_520)))
    for size in (16, 100, 65_000):
        data = whole[:size]
        assert calls(lambda data=data: read_header(data)) <= 12


def test_the_work_for_a_header_is_linear_in_the_number_of_its_values() -> None:
    few, many = (v2(0x11, bytes(12), value(0xE0, b"") * count) for count in (500, 5_000))
    assert calls(lambda: read_header(many)) < 10.5 * calls(lambda: read_header(few))
