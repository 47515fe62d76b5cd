"""asyncio's protocols on netcore's connections: what they hear, and what they can ask of the transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from netcore.address import IPv4Address, IPv6Address, UNIXAddress
from netcore.error import ConnectionAborted, ConnectionDone, ConnectionLost
from netcore.failure import Failure
from netcore.protocol import Protocol
from netcore.protocols.adapt import AsyncioProtocol, AsyncioTransport, fromAsyncio
from netcore.protocols.tls import TLSMemoryBIOFactory
from netcore.task import Clock
from netcore.testing import IOPump, StringTransport, connectedPair
from netcore.testing.contracts._recorder import OneProtocol, Recorder
from tests.support.certificates import HOST, client_context, server_context


class Hearing:
    """Writes down what it hears; *keeps_open* is what ``eof_received`` returns."""

    transport: AsyncioTransport
    keeps_open: Any = None

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.heard.append("made")

    def eof_received(self) -> Any:
        self.heard.append("eof")
        return self.keeps_open

    def connection_lost(self, exc: BaseException | None) -> None:
        self.heard.append(("lost", exc))

    def pause_writing(self) -> None:
        self.heard.append("pause")

    def resume_writing(self) -> None:
        self.heard.append("resume")


class Plain(Hearing, asyncio.Protocol):
    def data_received(self, data: bytes) -> None:
        self.heard.append(data)


class Buffered(Hearing, asyncio.BufferedProtocol):
    """Has a buffer of three bytes, and does *on* with each number that was put into it."""

    on: Callable[[Any], object] = staticmethod(lambda protocol: None)

    def __init__(self) -> None:
        super().__init__()
        self.buffer = bytearray(3)

    def get_buffer(self, sizehint: int) -> bytearray:
        assert sizehint > 0
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.heard.append(bytes(self.buffer[:nbytes]))
        self.on(self)


def paired(protocol: Any = None) -> tuple[Any, IOPump, Recorder]:
    """An asyncio protocol as the server, the pump, and a client that writes down what it hears."""
    protocol = protocol or Plain()
    client = Recorder()
    pump = connectedPair(fromAsyncio(lambda: protocol).buildProtocol(None), client)  # type: ignore[arg-type]
    return protocol, pump, client


def test_the_factory_builds_one_for_each_connection() -> None:
    factory = fromAsyncio(Plain)
    built: Any = factory.buildProtocol(None)  # type: ignore[arg-type]
    assert type(built) is AsyncioProtocol
    assert type(built.protocol) is Plain
    assert built.factory is factory
    assert built.logPrefix() == "Plain"
    other: Any = factory.buildProtocol(None)  # type: ignore[arg-type]
    assert other.protocol is not built.protocol


def test_bytes_go_both_ways_and_a_clean_end_is_none() -> None:
    protocol, pump, client = paired()
    client.transport.write(b"ping")
    protocol.transport.write(b"po")
    protocol.transport.writelines([b"n", bytearray(b"g")])
    pump.flush()
    assert client.received == b"pong"
    protocol.transport.close()
    assert protocol.transport.is_closing()
    assert protocol.heard == ["made", b"ping"], "never from within the call"
    pump.flush()
    assert protocol.heard == ["made", b"ping", ("lost", None)]
    assert client.reasons[0].__class__ is ConnectionDone
    assert protocol.transport.get_protocol() is None
    protocol.transport.close()
    protocol.transport.abort()


def test_what_is_not_bytes_is_refused() -> None:
    protocol, _, _ = paired()
    with pytest.raises(TypeError):
        protocol.transport.write("text")


@pytest.mark.parametrize("keeps_open", [None, False])
def test_the_peers_end_closes_unless_the_protocol_keeps_it_open(keeps_open: Any) -> None:
    protocol, pump, client = paired()
    protocol.keeps_open = keeps_open
    client.transport.loseConnection()
    pump.flush()
    assert protocol.heard == ["made", "eof", ("lost", None)]


def test_half_open_the_protocol_can_answer() -> None:
    protocol, pump, client = paired()
    protocol.keeps_open = True
    client.transport.write(b"question")
    client.transport.loseWriteConnection()
    pump.flush()
    assert protocol.heard == ["made", b"question", "eof"]
    protocol.transport.write(b"answer")
    protocol.transport.close()
    pump.flush()
    assert client.received == b"answer"
    assert protocol.heard[-1] == ("lost", None)


def test_write_eof_ends_our_direction_only() -> None:
    protocol, pump, client = paired()
    assert protocol.transport.can_write_eof()
    protocol.transport.write(b"last")
    protocol.transport.write_eof()
    protocol.transport.write_eof()
    with pytest.raises(RuntimeError, match="write_eof"):
        protocol.transport.write(b"more")
    with pytest.raises(RuntimeError, match="write_eof"):
        protocol.transport.writelines([b"more"])
    client.transport.write(b"still heard")
    pump.pump()
    assert client.received == b"last"
    assert protocol.heard == ["made", b"still heard"]


def test_abort_is_no_error_to_the_protocol() -> None:
    protocol, pump, client = paired()
    protocol.transport.write(b"dropped")
    protocol.transport.abort()
    pump.flush()
    assert protocol.heard == ["made", ("lost", None)]
    assert client.received == b""


def test_a_broken_connection_is_an_os_error() -> None:
    protocol, pump, client = paired()
    client.transport.abortConnection()
    pump.flush()
    (_, error) = protocol.heard[-1]
    assert type(error) is ConnectionResetError
    assert isinstance(error.__cause__, ConnectionLost)


def lost_with(error: BaseException) -> Any:
    """What an asyncio protocol hears when the connection is lost for *error*."""
    protocol = Plain()
    adapter = AsyncioProtocol(protocol)
    adapter.makeConnection(StringTransport())
    adapter.connectionLost(Failure(error))
    adapter.connectionLost(Failure(error))
    assert len(protocol.heard) == 2
    return protocol.heard[-1][1]


def test_the_error_is_the_sockets_own_where_it_is_known() -> None:
    cause = BrokenPipeError(32, "broken")
    assert lost_with(ConnectionLost(cause)) is cause
    assert type(lost_with(ConnectionAborted())) is ConnectionAbortedError, "it was not asked for"
    raised = KeyError()
    assert lost_with(raised) is raised
    assert lost_with(ConnectionDone()) is None


def test_what_data_received_raises_ends_the_connection_with_that() -> None:
    class Wrong(Plain):
        def data_received(self, data: bytes) -> None:
            raise KeyError(data)

    protocol, pump, client = paired(Wrong())
    client.transport.write(b"x")
    with pytest.raises(KeyError):
        pump.flush()
    assert isinstance(protocol.heard[-1][1], KeyError)


def test_pause_reading_holds_back_data_and_end() -> None:
    protocol, pump, client = paired()
    assert protocol.transport.is_reading()
    protocol.transport.pause_reading()
    protocol.transport.pause_reading()
    assert not protocol.transport.is_reading()
    client.transport.write(b"x")
    client.transport.loseConnection()
    pump.flush()
    assert protocol.heard == ["made"]
    protocol.transport.resume_reading()
    protocol.transport.resume_reading()
    pump.flush()
    assert protocol.heard == ["made", b"x", "eof", ("lost", None)]
    assert not protocol.transport.is_reading()
    protocol.transport.pause_reading()
    protocol.transport.resume_reading()


def test_writing_is_paused_and_resumed_and_told_no_more_when_closing() -> None:
    protocol, pump, client = paired()
    client.transport.pauseProducing()
    protocol.transport.write(b"x" * 100_000)
    assert protocol.heard == ["made", "pause"]
    client.transport.resumeProducing()
    pump.flush()
    assert protocol.heard == ["made", "pause", "resume"]
    protocol.transport.close()
    pump.flush()
    assert protocol.heard == ["made", "pause", "resume", ("lost", None)]


def test_who_waits_to_write_waits_no_more_after_write_eof() -> None:
    protocol, pump, client = paired()
    protocol.transport.write(b"x" * 100_000)
    protocol.transport.write_eof()
    assert protocol.heard == ["made", "pause", "resume"]
    pump.flush()
    assert len(client.received) == 100_000


def test_what_pause_writing_raises_is_logged_and_the_connection_goes_on(logged: Any) -> None:
    class Wrong(Plain):
        def pause_writing(self) -> None:
            raise KeyError("pause")

    protocol, pump, client = paired(Wrong())
    protocol.transport.write(b"x" * 100_000)
    assert len(logged.take(KeyError)) == 1
    pump.flush()
    assert len(client.received) == 100_000


def test_write_limits_are_asyncios() -> None:
    transport = StringTransport()
    adapter = AsyncioProtocol(Plain())
    adapter.makeConnection(transport)
    asyncios = adapter.protocol.transport
    assert asyncios.get_write_buffer_limits() == (0, 65536)
    for given, limits in [
        ((), (16384, 65536)),
        ((100,), (25, 100)),
        ((100, 50), (50, 100)),
        ((None, 10), (10, 40)),
        ((0,), (0, 0)),
    ]:
        asyncios.set_write_buffer_limits(*given)
        assert asyncios.get_write_buffer_limits() == limits
        assert (transport.writeLimits.low, transport.writeLimits.high) == limits
    with pytest.raises(ValueError, match="low=2"):
        asyncios.set_write_buffer_limits(1, 2)
    assert asyncios.get_write_buffer_size() == 0


def test_limits_hold_for_what_waits_already() -> None:
    # As a program of asyncio's waits until all is sent: a limit of 0, then drain().
    protocol, pump, _ = paired()
    protocol.transport.write(b"x" * 1000)
    assert protocol.heard == ["made"]
    protocol.transport.set_write_buffer_limits(0)
    assert protocol.heard == ["made", "pause"]
    pump.flush()
    assert protocol.heard == ["made", "pause", "resume"]


def test_a_maximum_that_somebody_has_set_stays() -> None:
    transport: Any = StringTransport()
    transport._maximum = 1000
    adapter = AsyncioProtocol(Plain())
    adapter.makeConnection(transport)
    adapter.protocol.transport.set_write_buffer_limits(5000)
    assert transport.writeLimits == (999, 999, 1000)


def test_the_protocol_can_be_replaced() -> None:
    protocol, pump, client = paired()
    other = Buffered()
    assert protocol.transport.get_protocol() is protocol
    protocol.transport.set_protocol(other)
    client.transport.write(b"abcd")
    client.transport.loseConnection()
    pump.flush()
    assert protocol.heard == ["made"]
    assert other.heard == [b"abc", b"d", "eof", ("lost", None)]


# ----------------------------------------------------------------------------------------------------------- buffered


def test_a_buffer_is_filled_piece_by_piece() -> None:
    protocol, pump, client = paired(Buffered())
    client.transport.write(b"abcdefgh")
    pump.flush()
    assert protocol.heard == ["made", b"abc", b"def", b"gh"]


def test_closing_in_the_middle_drops_the_rest() -> None:
    protocol, pump, client = paired(Buffered())
    protocol.on = lambda protocol: protocol.transport.close()
    client.transport.write(b"abcdefgh")
    pump.flush()
    assert protocol.heard == ["made", b"abc", ("lost", None)]


def test_pausing_in_the_middle_keeps_the_rest() -> None:
    async def main() -> None:
        protocol, pump, client = paired(Buffered())
        protocol.on = lambda protocol: protocol.transport.pause_reading()
        client.transport.write(b"abcdefgh")
        client.transport.loseConnection()
        pump.flush()
        heard = ["made", b"abc"]
        for piece in (b"def", b"gh"):
            assert protocol.heard == heard
            protocol.transport.resume_reading()
            assert protocol.heard == heard, "not from within the call"
            await asyncio.sleep(0)
            pump.flush()
            heard.append(piece)
        assert protocol.heard == heard
        protocol.transport.resume_reading()
        pump.flush()
        assert protocol.heard == [*heard, "eof", ("lost", None)]

    asyncio.run(main())


def test_replaced_in_the_middle_by_the_other_kind_the_rest_goes_there() -> None:
    plain = Plain()
    protocol, pump, client = paired(Buffered())
    protocol.on = lambda protocol: protocol.transport.set_protocol(plain)
    client.transport.write(b"abcdefgh")
    pump.flush()
    assert protocol.heard == ["made", b"abc"]
    assert plain.heard == [b"defgh"]


def test_what_is_raised_after_a_pause_ends_the_connection(logged: Any) -> None:
    async def main() -> None:
        protocol, pump, client = paired(Buffered())
        protocol.on = lambda protocol: protocol.transport.pause_reading()
        client.transport.write(b"abcdefgh")
        pump.flush()
        protocol.buffer = bytearray()
        protocol.transport.resume_reading()
        await asyncio.sleep(0)
        pump.flush()
        assert isinstance(protocol.heard[-1][1], RuntimeError)
        assert len(logged.take(RuntimeError)) == 1

    asyncio.run(main())


# ------------------------------------------------------------------------------------------------- what can be asked


def test_addresses_are_those_of_the_socket_module() -> None:
    for address, plain in [
        (IPv4Address("TCP", "192.0.2.1", 79), ("192.0.2.1", 79)),
        (IPv6Address("TCP", "fe80::1", 79, 1, 2), ("fe80::1", 79, 1, 2)),
        (UNIXAddress("/run/socket"), "/run/socket"),
        (UNIXAddress(b"\0abstract"), b"\0abstract"),
        (UNIXAddress(None), ""),
        (object(), None),
    ]:
        adapter = AsyncioProtocol(Plain())
        adapter.makeConnection(StringTransport(hostAddress=address, peerAddress=address))  # type: ignore[arg-type]
        transport = adapter.protocol.transport
        assert transport.get_extra_info("peername") == plain
        assert transport.get_extra_info("sockname") == plain


def test_there_is_no_more_than_there_is() -> None:
    protocol, pump, _ = paired()
    transport = protocol.transport
    assert transport.get_extra_info("socket", "none") == "none"
    assert transport.get_extra_info("sslcontext") is None
    assert transport.get_extra_info("nonsense", 3) == 3
    assert transport.get_extra_info("netcore_transport") is pump.serverTransport
    assert "MemoryTransport" in repr(transport)


class OverTLS:
    """A TLS connection in memory, between an asyncio protocol and a client of netcore's."""

    def __init__(self, protocol: Any) -> None:
        self.clock = Clock()
        self.client = Recorder()
        one = TLSMemoryBIOFactory(server_context(), False, fromAsyncio(lambda: protocol), self.clock)
        other = TLSMemoryBIOFactory(client_context(), True, OneProtocol(self.client), self.clock, hostname=HOST)
        self.pump = connectedPair(one.buildProtocol(None), other.buildProtocol(None))  # type: ignore[arg-type]

    def flush(self) -> None:
        for _ in range(10):
            self.pump.flush()
            self.clock.advance(0)


def test_with_tls_connection_made_comes_after_the_handshake() -> None:
    protocol = Plain()
    over = OverTLS(protocol)
    assert protocol.heard == []
    over.flush()
    assert protocol.heard == ["made"]
    transport = protocol.transport
    assert transport.get_extra_info("ssl_object").version() == "TLSv1.3"
    assert transport.get_extra_info("sslcontext") is transport.get_extra_info("ssl_object").context
    assert transport.get_extra_info("peercert") is None
    assert len(transport.get_extra_info("cipher")) == 3
    assert transport.get_extra_info("compression") is None
    assert not transport.can_write_eof()
    with pytest.raises(NotImplementedError):
        transport.write_eof()
    over.client.transport.write(b"secret")
    over.client.transport.loseConnection()
    over.flush()
    assert protocol.heard == ["made", b"secret", "eof", ("lost", None)]


def test_with_tls_a_long_write_stays_whole_when_paused_in_its_middle() -> None:
    class Leaving(Plain):
        def pause_writing(self) -> None:
            self.transport.write(b"more")
            self.transport.close()

    protocol = Leaving()
    over = OverTLS(protocol)
    over.flush()
    protocol.transport.write(b"x" * 1_000_000)
    over.flush()
    assert over.client.received == b"x" * 1_000_000 + b"more"
    assert protocol.heard == ["made", ("lost", None)]


def test_what_eof_received_raises_at_the_end_of_tls_is_logged(logged: Any) -> None:
    class Wrong(Plain):
        def eof_received(self) -> Any:
            raise KeyError

    protocol = Wrong()
    over = OverTLS(protocol)
    over.flush()
    over.client.transport.loseConnection()
    over.flush()
    assert protocol.heard == ["made", ("lost", None)]
    assert len(logged.take(KeyError)) == 1


def test_a_handshake_that_fails_is_not_heard_of() -> None:
    protocol = Plain()
    pump = connectedPair(
        TLSMemoryBIOFactory(server_context(), False, fromAsyncio(lambda: protocol), Clock()).buildProtocol(None),  # type: ignore[arg-type]
        Protocol(),
    )
    pump.client.transport.write(b"GET / HTTP/1.0\r\n\r\n")
    pump.flush()
    assert pump.client.connected
    assert protocol.heard == []


def test_streams_of_asyncios_own_work_on_it() -> None:
    async def main() -> bytes:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            line = await reader.readline()
            writer.write(line.upper())
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            ended.set()

        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        protocol = asyncio.StreamReaderProtocol(asyncio.StreamReader(loop=loop), serve, loop=loop)
        _, pump, client = paired(protocol)
        client.transport.write(b"hello\r\n")
        while not ended.is_set():
            pump.flush()
            await asyncio.sleep(0)
        return bytes(client.received)

    assert asyncio.run(main()) == b"HELLO\r\n"


def test_what_cannot_be_called_is_refused() -> None:
    protocol: Any = Plain()
    with pytest.raises(TypeError, match="called for each connection"):
        fromAsyncio(protocol)
