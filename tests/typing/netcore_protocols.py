"""What a type checker knows of protocols that are built or connected; `check` is run by
`tests/unit/netcore/test_typing.py`."""

from __future__ import annotations

import asyncio
from typing import Any, assert_type

from netcore.defer import Deferred
from netcore.interfaces import IAddress, IReactorTime, IStreamClientEndpoint
from netcore.protocol import ClientCreator, ClientFactory, Factory, Protocol, ReconnectingClientFactory
from netcore.protocols.adapt import AsyncioProtocol, NetcoreProtocol, fromAsyncio, toAsyncio
from netcore.protocols.stream import Stream, StreamFactory, openStream


class Mine(Protocol):
    size = 3


class Theirs(asyncio.Protocol):
    size = 4


def check() -> None:
    """What is made without a network."""
    coming = ReconnectingClientFactory[Mine].forProtocol(Mine)
    assert_type(coming, ReconnectingClientFactory[Mine])
    address: Any = None
    assert_type(coming.buildProtocol(address), Mine | None)
    adapted = fromAsyncio(Theirs)
    assert_type(adapted, ClientFactory[AsyncioProtocol[Theirs]])
    built = adapted.buildProtocol(address)
    assert built is not None
    assert_type(built.protocol, Theirs)
    assert_type(toAsyncio(Factory.forProtocol(Mine))(), NetcoreProtocol[Any])

    async def handler(stream: Stream) -> int:
        return len(await stream.readline())

    assert_type(StreamFactory(handler).buildProtocol(address), Stream)


async def connected(reactor: IReactorTime, endpoint: IStreamClientEndpoint, address: IAddress) -> None:
    """Never called."""
    creator = ClientCreator(reactor, Mine)
    assert_type(creator.connectTCP("host", 79), Deferred[Mine])
    assert_type(await creator.connectUNIX("/socket"), Mine)
    async with await openStream(endpoint) as stream:
        assert_type(stream, Stream)
        assert_type(await stream.readline(), bytes)
        async for data in stream:
            assert_type(data, bytes)
