"""Streams: what is read with await, however it came; a cancel loses nothing; no more is received than is wanted."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from netcore.defer import CancelledError, Deferred, ensureDeferred, inlineCallbacks
from netcore.error import ConnectionAborted, ConnectionDone, ConnectionLost
from netcore.failure import Failure
from netcore.protocols.stream import IncompleteReadError, LimitOverrunError, Stream, StreamFactory
from netcore.testing import StringTransport, connectedPair
from netcore.testing.contracts._recorder import Recorder
from tests.unit.netcore.protocols.cuts import CUTS

LOST = Failure(ConnectionLost("broken"))
DONE = Failure(ConnectionDone())


def opened(limit: int = 100) -> tuple[Stream, StringTransport]:
    stream, transport = Stream(limit), StringTransport()
    stream.makeConnection(transport)
    return stream, transport


def begun(coroutine: Coroutine[Any, Any, Any]) -> tuple[Deferred[Any], list[Any]]:
    """A coroutine that has begun, and the list in which its result will be; an exception as itself."""
    results: list[Any] = []
    deferred = ensureDeferred(coroutine)
    deferred.addBoth(lambda result: results.append(result.value if isinstance(result, Failure) else result))
    return deferred, results


def now(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of what needs not wait."""
    _, (result,) = begun(coroutine)
    try:
        if isinstance(result, BaseException):
            raise result
        return result
    finally:
        del result, coroutine  # the frame is in the traceback


@pytest.fixture(params=CUTS[:6], ids=lambda cut: cut.__name__)
def cut(request: pytest.FixtureRequest) -> Callable[[bytes], list[bytes]]:
    return request.param


# ----------------------------------------------------------------------------------------------------------- reading


def test_whatever_the_cut_the_same_is_read(cut: Any) -> None:
    stream, _ = opened()

    async def talk() -> list[bytes]:
        return [
            await stream.readline(),
            await stream.readexactly(4),
            await stream.readuntil(b"--"),
            await stream.readexactly(0),
            await stream.readline(),
            await stream.readline(),
            await stream.readline(),
        ]

    _, results = begun(talk())
    for piece in cut(b"line\nbody" + b"until-it--" + b"\n" + b"unfinished"):
        stream.dataReceived(piece)
    stream.readConnectionLost()
    assert results == [[b"line\n", b"body", b"until-it--", b"", b"\n", b"unfinished", b""]]


def test_read_gives_what_there_is_up_to_so_much() -> None:
    stream, _ = opened()
    _, results = begun(stream.read(3))
    assert results == []
    stream.dataReceived(b"abcdefg")
    assert results == [b"abc"]
    assert now(stream.read(3)) == b"def"
    assert now(stream.read(3)) == b"g"
    assert now(stream.read(0)) == b""
    stream.readConnectionLost()
    assert now(stream.read(3)) == b""
    assert now(stream.read(3)) == b""


def test_read_without_a_size_waits_for_the_end(cut: Any) -> None:
    stream, _ = opened()
    _, results = begun(stream.read())
    for piece in cut(b"all of it"):
        stream.dataReceived(piece)
    assert results == []
    stream.readConnectionLost()
    assert results == [b"all of it"]


def test_pieces_come_by_async_for() -> None:
    stream, _ = opened()

    async def collect() -> list[bytes]:
        return [data async for data in stream]

    _, results = begun(collect())
    stream.dataReceived(b"one")
    stream.dataReceived(b"two")
    stream.readConnectionLost()
    assert results == [[b"one", b"two"]]


def test_generators_can_wait_for_it_too() -> None:
    stream, _ = opened()

    @inlineCallbacks
    def talk() -> Any:
        return (yield stream.readline())

    results: list[Any] = []
    talk().addCallback(results.append)
    stream.dataReceived(b"line\n")
    assert results == [b"line\n"]


def test_what_makes_no_sense_is_refused() -> None:
    stream, _ = opened()
    with pytest.raises(ValueError, match="n must be"):
        now(stream.read(-2))
    with pytest.raises(ValueError, match="n must be"):
        now(stream.readexactly(-1))
    with pytest.raises(ValueError, match="separator"):
        now(stream.readuntil(b""))
    with pytest.raises(ValueError, match="limit"):
        Stream(0)
    with pytest.raises(ValueError, match="limit"):
        StreamFactory(limit=0)
    with pytest.raises(TypeError, match="async def"):
        StreamFactory(100)  # type: ignore[arg-type]


def test_one_reads_at_a_time() -> None:
    stream, _ = opened()
    _, results = begun(stream.readexactly(4))
    stream.dataReceived(b"ab")
    for other in (stream.read(1), stream.readline(), stream.readexactly(1), stream.readuntil(b"b"), stream.read()):
        with pytest.raises(RuntimeError, match="somebody reads"):
            now(other)
    stream.dataReceived(b"cd")
    assert results == [b"abcd"]


# --------------------------------------------------------------------------------------------------------------- ends


def test_too_little_is_in_the_error_and_is_not_read_again() -> None:
    for read, expected in [
        (lambda stream: stream.readexactly(4), 4),
        (lambda stream: stream.readuntil(b"\n"), None),
    ]:
        stream, _ = opened()
        stream.dataReceived(b"ab")
        stream.readConnectionLost()
        with pytest.raises(IncompleteReadError) as caught:
            now(read(stream))
        assert (caught.value.partial, caught.value.expected) == (b"ab", expected)
        assert caught.value.__cause__ is None
        assert isinstance(caught.value, asyncio.IncompleteReadError | EOFError)
        assert now(stream.read(1)) == b""


def test_a_connection_that_breaks_is_an_error_after_what_came_before() -> None:
    stream, _ = opened()
    stream.dataReceived(b"ab")
    stream.connectionLost(LOST)
    assert now(stream.read(10)) == b"ab"
    for _ in range(3):
        with pytest.raises(ConnectionLost, match="broken"):
            now(stream.read(10))
    with pytest.raises(ConnectionLost):
        now(stream.__anext__())


@pytest.mark.parametrize("read", ["readline", "read", "readuntil"])
def test_a_connection_that_breaks_in_the_middle_leaves_the_partial_data_and_the_reason(read: str) -> None:
    stream, _ = opened()
    _, results = begun(getattr(stream, read)())
    stream.dataReceived(b"ab")
    stream.connectionLost(LOST)
    (error,) = results
    assert isinstance(error, IncompleteReadError)
    assert error.partial == b"ab"
    assert isinstance(error.__cause__, ConnectionLost)


def test_errors_that_were_raised_keep_no_stream_alive() -> None:
    stream, transport = opened()
    transport.unregisterProducer()  # as a transport does that is lost
    stream.connectionLost(LOST)
    for _ in range(3):
        with pytest.raises(ConnectionLost) as caught:
            now(stream.read(1))
        assert caught.value is not LOST.value
    del caught
    gone = weakref.ref(stream)
    gc.collect()
    gc.disable()
    try:
        del stream
        assert gone() is None
    finally:
        gc.enable()


def test_an_error_that_cannot_be_copied_is_raised_itself() -> None:
    class Odd(Exception):
        def __init__(self, one: int, two: int) -> None:
            super().__init__(one)

    stream, _ = opened()
    stream.connectionLost(Failure(Odd(1, 2)))
    with pytest.raises(Odd):
        now(stream.read(1))


def test_after_a_close_of_ones_own_nothing_can_be_read() -> None:
    stream, transport = opened()
    stream.dataReceived(b"ab")
    _, results = begun(stream.readline())
    stream.close()
    assert isinstance(results[0], IncompleteReadError | ConnectionDone)
    assert transport.disconnecting
    assert transport.producer is None
    with pytest.raises(ConnectionDone, match="this side"):
        now(stream.read(1))
    stream.dataReceived(b"too late")
    stream.close()
    stream.connectionLost(DONE)
    with pytest.raises(ConnectionDone, match="this side"):
        now(stream.read(1))
    stream.close()
    stream.abort()


def test_abort_drops_everything() -> None:
    stream, transport = opened()
    _, results = begun(stream.read(1))
    stream.abort()
    assert transport.disconnected
    assert isinstance(results[0], ConnectionAborted)


# --------------------------------------------------------------------------------------------------------- cancelling


@pytest.mark.parametrize("read", ["readline", "read", "readuntil", "readexactly", "__anext__"])
def test_a_read_that_is_cancelled_takes_nothing(read: str) -> None:
    stream, _ = opened()
    deferred, results = begun(getattr(stream, read)(*([4] if read == "readexactly" else [])))
    if read != "__anext__":
        stream.dataReceived(b"ab")
    deferred.cancel()
    assert isinstance(results[0], CancelledError | asyncio.CancelledError)
    stream.dataReceived(b"cd")
    assert now(stream.read(10)) == (b"cd" if read == "__anext__" else b"abcd")


def test_a_task_cancelled_when_data_had_come_loses_nothing() -> None:
    async def main() -> None:
        stream, _ = opened()
        task = asyncio.create_task(stream.readline())
        await asyncio.sleep(0)
        stream.dataReceived(b"line\n")  # which wakes the task, but in its next turn only
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await stream.readline() == b"line\n"

    asyncio.run(main())


def test_a_read_that_is_given_up_by_a_time_out_takes_nothing() -> None:
    async def main() -> None:
        stream, _ = opened()
        stream.dataReceived(b"ab")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await stream.readline()
        stream.dataReceived(b"cd\n")
        assert await stream.readline() == b"abcd\n"

    asyncio.run(main())


# ------------------------------------------------------------------------------------------------------ back-pressure


def test_no_more_is_received_than_the_limit_while_nobody_reads() -> None:
    stream, transport = opened(100)
    stream.dataReceived(b"x" * 100)
    assert transport.producerState == "producing"
    stream.dataReceived(b"x")
    assert transport.producerState == "paused"
    now(stream.read(20))
    assert transport.producerState == "paused"
    now(stream.read(31))
    assert transport.producerState == "producing", "half of the limit is left"


def test_what_is_dropped_while_somebody_reads_leaves_no_trace() -> None:
    stream, _ = opened()
    _, results = begun(stream.readline())
    stream.dataReceived(b"in the clear")
    assert stream.clearLineBuffer() == b"in the clear"
    stream.dataReceived(b"one\ntwo\n")
    assert results == [b"one\n"]


def test_who_wants_more_than_the_limit_gets_it() -> None:
    stream, transport = opened(10)
    stream.dataReceived(b"x" * 11)
    assert transport.producerState == "paused"
    _, results = begun(stream.readexactly(50))
    assert transport.producerState == "producing"
    stream.dataReceived(b"x" * 38)
    assert transport.producerState == "producing"
    stream.dataReceived(b"x" * 12)
    assert results == [b"x" * 50]
    assert transport.producerState == "paused"
    assert now(stream.read(50)) == b"x" * 11


def test_a_line_may_be_as_long_as_the_limit(cut: Any) -> None:
    stream, _ = opened(10)

    async def talk() -> Any:
        first = await stream.readline()
        try:
            await stream.readline()
        except LimitOverrunError as error:
            return first, error.consumed, await stream.read(20)

    _, results = begun(talk())
    for piece in cut(b"x" * 10 + b"\n" + b"y" * 11):
        stream.dataReceived(piece)
    assert results == [(b"x" * 10 + b"\n", 10, b"y" * 11)], "which can still be read"


def test_a_separator_of_many_bytes_may_just_begin_at_the_limit() -> None:
    stream, _ = opened(10)
    _, results = begun(stream.readuntil(b"-=-"))
    stream.dataReceived(b"x" * 10 + b"-=")
    assert results == []
    stream.dataReceived(b"-")
    assert results == [b"x" * 10 + b"-=-"]


def test_everything_may_be_as_much_as_the_limit() -> None:
    stream, _ = opened(10)
    stream.dataReceived(b"x" * 11)
    with pytest.raises(LimitOverrunError):
        now(stream.read())
    assert now(stream.read(1)) == b"x"
    stream.readConnectionLost()
    assert now(stream.read()) == b"x" * 10


def test_a_line_byte_by_byte_is_searched_once() -> None:
    searched = 0

    class Counted(bytearray):
        def find(self, sub: Any, start: Any = 0, end: Any = None) -> int:
            nonlocal searched
            searched += len(self) - start
            return super().find(sub, start, end)

    stream, _ = opened(20_000)
    stream._buffer = Counted()
    _, results = begun(stream.readuntil(b"\r\n"))
    for _ in range(10_000):
        stream.dataReceived(b"\r")
    stream.dataReceived(b"\n")
    assert results == [b"\r" * 10_000 + b"\n"]
    assert searched <= 3 * 10_001


# ------------------------------------------------------------------------------------------------------------ writing


def test_drain_waits_while_too_much_waits() -> None:
    stream, transport = opened()
    stream.write(b"a")
    stream.writelines([b"b", b"c"])
    assert transport.value() == b"abc"
    assert now(stream.drain()) is None
    transport.producer.pauseProducing()
    _, one = begun(stream.drain())
    _, other = begun(stream.drain())
    assert one == other == []
    transport.producer.resumeProducing()
    assert one == other == [None]
    with pytest.raises(TypeError):
        stream.write("text")  # type: ignore[arg-type]


def test_drain_tells_that_the_connection_has_gone() -> None:
    for reason, kind in ((LOST, ConnectionLost), (DONE, ConnectionDone)):
        stream, transport = opened()
        transport.producer.pauseProducing()
        _, results = begun(stream.drain())
        stream.connectionLost(reason)
        assert type(results[0]) is kind
        with pytest.raises(kind):
            now(stream.drain())


def test_a_drain_that_is_cancelled_leaves_the_others() -> None:
    stream, transport = opened()
    transport.producer.pauseProducing()
    one, _ = begun(stream.drain())
    _, other = begun(stream.drain())
    one.cancel()
    transport.producer.resumeProducing()
    assert other == [None]
    assert stream._waiting == []


def test_one_may_read_while_another_writes() -> None:
    stream, transport = opened()
    transport.producer.pauseProducing()
    _, reading = begun(stream.readline())
    _, writing = begun(stream.drain())
    stream.dataReceived(b"x\n")
    assert (reading, writing) == ([b"x\n"], [])
    transport.producer.resumeProducing()
    assert writing == [None]


def test_end_writing_leaves_reading_open() -> None:
    stream, transport = opened()
    stream.endWriting()
    assert transport.writeDisconnecting
    assert transport.producer is None
    stream.writeConnectionLost()
    stream.dataReceived(b"answer")
    assert now(stream.read(10)) == b"answer"


# ------------------------------------------------------------------------------------------------------- async with


def test_async_with_closes_and_waits() -> None:
    stream, transport = opened()

    async def use() -> str:
        async with stream as same:
            assert same is stream
            stream.write(b"bye")
        return "closed"

    _, results = begun(use())
    assert transport.disconnecting
    assert not transport.disconnected
    assert results == []
    stream.connectionLost(DONE)
    assert results == ["closed"]


def test_async_with_aborts_after_an_exception() -> None:
    stream, transport = opened()

    async def use() -> None:
        async with stream:
            raise KeyError

    with pytest.raises(KeyError):
        now(use())
    assert transport.disconnected


def test_cancelled_while_it_closes_it_aborts() -> None:
    stream, transport = opened()

    async def use() -> None:
        async with stream:
            pass

    deferred, results = begun(use())
    assert not transport.disconnected
    deferred.cancel()
    assert transport.disconnected
    assert len(results) == 1


def test_async_with_on_a_connection_that_has_gone() -> None:
    stream, _ = opened()
    stream.connectionLost(LOST)

    async def use() -> None:
        async with stream:
            pass

    assert now(use()) is None


# ------------------------------------------------------------------------------------------------------------ serving


def served(handler: Any, limit: int = 100) -> Any:
    """A pump between a stream that is served by *handler*, and a client that writes down what it hears."""
    return connectedPair(StreamFactory(handler, limit).buildProtocol(None), Recorder())  # type: ignore[arg-type]


def test_a_handler_is_called_with_each_connection_which_is_closed_when_it_returns() -> None:
    async def echo(stream: Stream) -> None:
        async for data in stream:
            stream.write(data)
            await stream.drain()

    pump = served(echo)
    pump.client.transport.write(b"hello")
    pump.flush()
    assert pump.client.received == b"hello"
    pump.client.transport.loseWriteConnection()
    pump.flush()
    assert type(pump.client.reasons[0]) is ConnectionDone
    assert pump.server.factory._running == set()


def test_what_a_handler_raises_is_logged_and_aborts(logged: Any) -> None:
    async def wrong(stream: Stream) -> None:
        stream.write(b"half of it")
        await stream.readline()
        raise KeyError

    pump = served(wrong)
    pump.client.transport.write(b"x\n")
    pump.flush()
    assert type(pump.client.reasons[0]) is ConnectionLost
    assert len(logged.take(KeyError)) == 1


def test_what_a_handler_does_not_raise_as_an_error_is_not_lost_either(logged: Any) -> None:
    async def leaving(stream: Stream) -> None:
        await stream.readline()
        raise SystemExit

    pump = served(leaving)
    factory = pump.server.factory
    pump.client.transport.write(b"x\n")
    pump.flush()
    gc.collect()
    assert type(pump.client.reasons[0]) is ConnectionLost
    assert factory._running == set()
    assert len(logged.take(SystemExit)) == 1


@pytest.mark.parametrize("end", ["loseConnection", "abortConnection"])
def test_a_peer_that_leaves_or_floods_is_no_error_of_the_handlers(end: str, caplog: pytest.LogCaptureFixture) -> None:
    async def lines(stream: Stream) -> None:
        while True:
            await stream.readuntil(b"\n")

    caplog.set_level(logging.INFO, "netcore.protocols")
    pump = served(lines)
    pump.client.transport.write(b"x\nunfini")
    pump.flush()
    getattr(pump.client.transport, end)()
    pump.flush()
    assert "IncompleteReadError" in caplog.text
    pump = served(lines)
    pump.client.transport.write(b"x" * 1000)
    pump.flush()
    assert "LimitOverrunError" in caplog.text
    assert type(pump.client.reasons[0]) is ConnectionLost
    assert {record.levelname for record in caplog.records} == {"INFO"}


def test_an_error_of_another_connection_is_one_of_the_handlers(logged: Any) -> None:
    async def wrong(stream: Stream) -> None:
        raise ConnectionLost("the database's")

    pump = served(wrong)
    pump.flush()
    assert len(logged.take(ConnectionLost)) == 1


def test_a_handler_that_waits_for_something_else_is_kept() -> None:
    fired: list[Deferred[None]] = []

    async def waiting(stream: Stream) -> None:
        deferred = Deferred[None]()
        fired.append(deferred)
        await deferred

    pump = served(waiting)
    gc.collect()
    assert len(pump.server.factory._running) == 1
    fired[0].callback(None)
    pump.flush()
    assert pump.server.factory._running == set()
    assert type(pump.client.reasons[0]) is ConnectionDone
