"""Where streams come from: those who connect to us, and those we connect to."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from netcore._log import log_failure
from netcore.defer import Deferred, ensureDeferred
from netcore.failure import Failure
from netcore.interfaces import IAddress, IStreamClientEndpoint
from netcore.protocol import ClientFactory
from netcore.protocols.stream._stream import LIMIT, Stream

__all__ = ["StreamFactory", "openStream"]

logger = logging.getLogger("netcore.protocols")


class StreamFactory(ClientFactory[Stream]):
    """Builds streams, and has *handler* called with each when it is connected: for servers, as a rule.

    The handler runs as a coroutine of netcore's. When it returns, the connection is closed; what it raises aborts that,
    and is logged: as an error, unless it is the peer's doing: a connection that has ended, or a line that is too long
    (level INFO). That the connection has gone it hears from what it reads and writes; to be cancelled then, it does
    its work in a scope (`netcore.scope`) that is tied to ``stream.transport``.

    Args:
        handler: an ``async def``, called with the `Stream`. None: nobody is called.
        limit: of the streams.
    Raises: ValueError: *limit* is less than 1. TypeError: *handler* cannot be called.
    """

    noisy = False

    def __init__(self, handler: Callable[[Stream], Awaitable[object]] | None = None, limit: int = LIMIT) -> None:
        Stream(limit)  # raises what there is to be raised
        if handler is not None and not callable(handler):
            raise TypeError(f"a handler is an `async def` that takes a Stream, not {handler!r}")
        self.handler = handler
        self.limit = limit
        self._running: set[Deferred[None]] = set()  # or what nobody waits for would be lost

    def buildProtocol(self, addr: IAddress) -> Stream:
        """A stream, of which the handler is told when it is connected."""
        stream = Stream(self.limit)
        stream.factory = self
        if self.handler is not None:
            stream._serve = self._start
        return stream

    def _start(self, stream: Stream) -> None:
        running = ensureDeferred(self._run(stream))
        if not running.called:
            self._running.add(running)
            running.addBoth(self._ended, running)

    def _ended(self, result: object, running: Deferred[None]) -> object:
        self._running.discard(running)
        return result  # a failure: what `_run` does not handle, such as SystemExit, is not to be lost

    async def _run(self, stream: Stream) -> None:
        assert self.handler is not None
        try:
            await self.handler(stream)
        except Exception as error:
            if stream._is_the_peers_doing(error):
                logger.info("%r has left its connection: %r", self.handler, error)
            else:
                log_failure(logger, Failure(), "%r raised: its connection is aborted", self.handler)
            stream.abort()
        except BaseException:
            stream.abort()
            raise
        else:
            stream.close()


def openStream(endpoint: IStreamClientEndpoint, limit: int = LIMIT) -> Deferred[Stream]:
    """Connect to *endpoint*.

    Args:
        limit: of the stream.
    Returns: Deferred firing with the `Stream` when it is connected, as in ``async with await openStream(endpoint) as
        stream``. Cancelling it ends the attempt.
    Raises: ValueError: *limit* is less than 1.
    Fails with: what ``endpoint.connect`` fails with.
    """
    return endpoint.connect(StreamFactory(None, limit))
