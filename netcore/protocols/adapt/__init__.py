"""Protocols of asyncio's on netcore's connections, and netcore's on asyncio's.

- `fromAsyncio` makes a factory out of what ``loop.create_server`` takes, so that an `asyncio.Protocol` or
  `asyncio.BufferedProtocol` serves, and connects, on any endpoint or reactor.
- `toAsyncio` makes what ``loop.create_server`` and ``loop.create_connection`` take out of a factory, so that a
  `netcore.protocol.Protocol` is served by an asyncio program.

Either side hears and says what it is used to; `AsyncioTransport` and `NetcoreTransport` say where that differs.
"""

from netcore.protocols.adapt._asyncio_transport import AsyncioTransport
from netcore.protocols.adapt._from_asyncio import AsyncioProtocol, fromAsyncio
from netcore.protocols.adapt._netcore_transport import NetcoreTransport
from netcore.protocols.adapt._to_asyncio import NetcoreProtocol, toAsyncio

__all__ = [
    "AsyncioProtocol",
    "AsyncioTransport",
    "NetcoreProtocol",
    "NetcoreTransport",
    "fromAsyncio",
    "toAsyncio",
]
