"""contextvars: what fires later sees what was set where it was asked for, and never what somebody else has set."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

from netcore.defer import Deferred, ensureDeferred, gatherResults, inlineCallbacks
from netcore.endpoints import clientFromString, connectProtocol
from netcore.protocol import Factory, Protocol
from netcore.protocols.basic import LineReceiver
from netcore.reactors import Reactor
from netcore.task import LoopingCall, deferLater
from netcore.threads import blockingCallFromThread, deferToThread
from tests.integration.netcore.conftest import Run

REQUESTS = 50

request_id = ContextVar("request_id", default=-1)

# Each of these has *look* called later, by the way it is named after, and fires with what that returned.
Look = Callable[[], int]


def by_calllater(reactor: Reactor, look: Look) -> Deferred[int]:
    d: Deferred[int] = Deferred()
    reactor.callLater(0, lambda: d.callback(look()))
    return d


def by_a_call_that_was_put_off(reactor: Reactor, look: Look) -> Deferred[int]:
    d: Deferred[int] = Deferred()
    call = reactor.callLater(0, lambda: d.callback(look()))
    copy_context().run(lambda: (request_id.set(-2), call.reset(0.001)))  # who moves it is nobody to it
    return d


def by_deferlater(reactor: Reactor, look: Look) -> Deferred[int]:
    return deferLater(reactor, 0, look)


def by_loopingcall(reactor: Reactor, look: Look) -> Deferred[int]:
    """All turns see the same, whoever fires what a turn waits for, and whatever a turn has set."""
    seen: list[int] = []

    def turn() -> Deferred[None] | None:
        seen.append(look())
        if len(seen) == 3:
            loop.stop()
            return None
        request_id.set(-2)
        return somebody_fires(reactor)

    loop = LoopingCall(turn)
    loop.clock = reactor
    return loop.start(0.001, now=False).addCallback(lambda _: seen[0] if len(set(seen)) == 1 else -2)


def by_a_loopingcall_that_somebody_else_resets(reactor: Reactor, look: Look) -> Deferred[int]:
    d: Deferred[int] = Deferred()

    def turn() -> None:
        loop.stop()
        d.callback(look())

    loop = LoopingCall(turn)
    loop.clock = reactor
    loop.start(0.001, now=False)
    copy_context().run(lambda: (request_id.set(-2), loop.reset()))
    return d


def by_callfromthread(reactor: Reactor, look: Look) -> Deferred[int]:
    d: Deferred[int] = Deferred()
    reactor.callFromThread(lambda: d.callback(look()))
    return d


def by_callinthread(reactor: Reactor, look: Look) -> Deferred[int]:
    d: Deferred[int] = Deferred()
    reactor.callInThread(lambda: reactor.callFromThread(d.callback, look()))
    return d


def by_a_thread_and_back(reactor: Reactor, look: Look) -> Deferred[int]:
    d: Deferred[int] = Deferred()
    reactor.callInThread(reactor.callFromThread, lambda: d.callback(look()))
    return d


def by_defertothread(reactor: Reactor, look: Look) -> Deferred[int]:
    return deferToThread(look)


def by_what_follows_defertothread(reactor: Reactor, look: Look) -> Deferred[int]:
    return deferToThread(int).addCallback(lambda _: look())


def by_blockingcallfromthread(reactor: Reactor, look: Look) -> Deferred[int]:
    return deferToThread(blockingCallFromThread, reactor, look)


def by_coroutine(reactor: Reactor, look: Look) -> Deferred[int]:
    async def coroutine() -> int:
        await deferLater(reactor, 0)
        await asyncio.sleep(0)
        await asyncio.to_thread(int)
        return look()

    return ensureDeferred(coroutine())


def by_inlinecallbacks(reactor: Reactor, look: Look) -> Deferred[int]:
    @inlineCallbacks
    def generator() -> Any:
        yield deferLater(reactor, 0)
        yield deferToThread(int)
        return look()

    return generator()


def by_a_coroutine_that_somebody_else_wakes(reactor: Reactor, look: Look) -> Deferred[int]:
    async def coroutine(gate: Deferred[None]) -> int:
        await gate
        return look()

    return ensureDeferred(coroutine(somebody_fires(reactor)))


def by_a_generator_that_somebody_else_wakes(reactor: Reactor, look: Look) -> Deferred[int]:
    @inlineCallbacks
    def generator(gate: Deferred[None]) -> Any:
        yield gate
        return look()

    return generator(somebody_fires(reactor))


def somebody_fires(reactor: Reactor) -> Deferred[None]:
    gate: Deferred[None] = Deferred()
    copy_context().run(lambda: (request_id.set(-2), reactor.callLater(0, gate.callback, None)))
    return gate


def by_task(reactor: Reactor, look: Look) -> Deferred[int]:
    async def task() -> int:
        await deferLater(reactor, 0)
        return look()

    async def coroutine() -> int:
        return await asyncio.create_task(task())

    return ensureDeferred(coroutine())


def by_fromfuture(reactor: Reactor, look: Look) -> Deferred[int]:
    future = reactor.loop.create_future()
    copy_context().run(lambda: (request_id.set(-2), reactor.callLater(0, future.set_result, None)))
    return Deferred.fromFuture(future).addCallback(lambda _: look())


def by_timeout(reactor: Reactor, look: Look) -> Deferred[int]:
    return Deferred[int]().addTimeout(0, reactor, lambda failure, seconds: look())


WAYS: list[Callable[[Reactor, Look], Deferred[int]]] = [
    by_calllater,
    by_a_call_that_was_put_off,
    by_deferlater,
    by_loopingcall,
    by_a_loopingcall_that_somebody_else_resets,
    by_callfromthread,
    by_callinthread,
    by_a_thread_and_back,
    by_defertothread,
    by_what_follows_defertothread,
    by_blockingcallfromthread,
    by_coroutine,
    by_inlinecallbacks,
    by_a_coroutine_that_somebody_else_wakes,
    by_a_generator_that_somebody_else_wakes,
    by_task,
    by_fromfuture,
    by_timeout,
]


@pytest.mark.parametrize("way", WAYS)
def test_fifty_requests_at_once_keep_their_own(reactor: Reactor, run: Run, way: Any) -> None:
    async def main() -> None:
        def request(number: int) -> Deferred[int]:
            request_id.set(number)
            return way(reactor, request_id.get)  # type: ignore[no-any-return]

        asked = [copy_context().run(request, number) for number in range(REQUESTS)]
        assert await gatherResults(asked) == list(range(REQUESTS))
        assert request_id.get() == -1

    run(main)


def test_what_a_coroutine_or_generator_sets_stays_in_it(reactor: Reactor, run: Run) -> None:
    async def main() -> None:
        async def coroutine(number: int) -> int:
            request_id.set(number)
            await deferLater(reactor, 0)
            return request_id.get()

        @inlineCallbacks
        def generator(number: int) -> Any:
            request_id.set(number)
            yield deferLater(reactor, 0)
            return request_id.get()

        begun = [ensureDeferred(coroutine(number)) for number in range(REQUESTS)]
        assert request_id.get() == -1
        begun += [generator(number) for number in range(REQUESTS)]
        assert request_id.get() == -1
        assert await gatherResults(begun) == [*range(REQUESTS), *range(REQUESTS)]

    run(main)


# --------------------------------------------------------------------------------------------------------- connections


class Server(LineReceiver):
    """Answers a line with what this connection has set before it, and sets the line."""

    delimiter = b"\n"

    def connectionMade(self) -> None:
        request_id.set(0)

    def lineReceived(self, line: bytes) -> None:
        answer = request_id.get()
        request_id.set(int(line))
        self.sendLine(str(answer).encode())


class Client(LineReceiver):
    """Notes what each of its callbacks saw."""

    delimiter = b"\n"

    def __init__(self, lines: int) -> None:
        self.lines = lines
        self.answers: list[int] = []
        self.saw: list[int] = []
        self.ended: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.saw.append(request_id.get())
        self.sendLine(str(request_id.get()).encode())

    def lineReceived(self, line: bytes) -> None:
        self.saw.append(request_id.get())
        self.answers.append(int(line))
        if len(self.answers) < self.lines:
            self.sendLine(str(request_id.get()).encode())
        else:
            self.transport.loseConnection()

    def connectionLost(self, reason: Any = None) -> None:
        self.saw.append(request_id.get())
        self.ended.callback(None)


@contextlib.contextmanager
def serving(reactor: Reactor, protocol: type[Protocol]) -> Iterator[str]:
    port = reactor.listenTCP(0, Factory.forProtocol(protocol), interface="127.0.0.1")
    try:
        yield f"tcp:127.0.0.1:{port.getHost().port}"
    finally:
        port.stopListening()


def test_the_callbacks_of_fifty_connections_keep_their_own(reactor: Reactor, run: Run) -> None:
    """On a client's side what was set where it was asked for; on the server's, what the connection has set itself."""
    lines = 4

    async def main() -> None:
        with serving(reactor, Server) as address:

            def request(number: int) -> Deferred[Client]:
                request_id.set(number)
                return connectProtocol(clientFromString(reactor, address), Client(lines))

            asked = [copy_context().run(request, number) for number in range(1, REQUESTS + 1)]
            for number, client in enumerate(await gatherResults(asked), start=1):
                await client.ended
                assert client.saw == [number] * (lines + 2)
                assert client.answers == [0] + [number] * (lines - 1)
        assert request_id.get() == -1

    run(main)


# ---------------------------------------------------------------------------------------------- a request, all the way


def test_fifty_requests_keep_their_own_through_everything(reactor: Reactor, run: Run) -> None:
    """Each goes all the ways, one after the other, over a connection of its own, and is checked at every step."""

    class Request(LineReceiver):
        delimiter = b"\n"

        def lineReceived(self, line: bytes) -> None:
            request_id.set(int(line))
            ensureDeferred(self.answer()).addErrback(self.refuse)

        async def answer(self) -> None:
            seen = []
            for way in WAYS:
                seen.append(await way(reactor, request_id.get))
                seen.append(request_id.get())
            self.sendLine(" ".join(map(str, seen)).encode())

        def refuse(self, failure: Any) -> None:
            self.sendLine(failure.getErrorMessage().encode())

    class Caller(LineReceiver):
        delimiter = b"\n"

        def __init__(self, number: int) -> None:
            self.number = number
            self.answer: Deferred[bytes] = Deferred()
            self.ended: Deferred[None] = Deferred()

        def connectionMade(self) -> None:
            self.sendLine(str(self.number).encode())

        def lineReceived(self, line: bytes) -> None:
            self.answer.callback(line)
            self.transport.loseConnection()

        def connectionLost(self, reason: Any = None) -> None:
            self.ended.callback(None)

    async def main() -> None:
        with serving(reactor, Request) as address:
            callers = [Caller(number) for number in range(REQUESTS)]
            for caller in callers:
                connectProtocol(clientFromString(reactor, address), caller)
            for caller in callers:
                assert await caller.answer == " ".join([str(caller.number)] * 2 * len(WAYS)).encode()
                await caller.ended

    run(main)
