"""Connections that are read with ``await`` and ``async for``, and written to with ``await drain()``.

>>> from netcore.testing import StringTransport
>>> async def greet(stream):
...     name = await stream.readline()
...     stream.write(b"hello, " + name)
...     await stream.drain()
>>> connection = StreamFactory(greet).buildProtocol(None)
>>> connection.makeConnection(StringTransport())
>>> connection.dataReceived(b"Eve")
>>> connection.dataReceived(b"\\n")
>>> connection.transport.value()
b'hello, Eve\\n'

A server is ``endpoint.listen(StreamFactory(greet))``, a client ``stream = await openStream(endpoint)``, and a `Stream`
of one's own is the protocol of any transport. All of it works in netcore's coroutines and in asyncio's Tasks. The names
of what reads are Python's own, of files and of `asyncio.StreamReader`.

What holds:

- What was read is what ``await`` gave: a read that is cancelled, or given up by a time-out, takes nothing out of the
  buffer. So nothing is lost, and the next read finds it.
- No more is received than is wanted: when more than *limit* bytes wait and nobody reads, the transport is paused. So
  memory is bounded by *limit*, or what was asked for in ``readexactly``, and a segment of the network.
- b"" means that the peer has said that no more comes. A connection that broke is an error, after what came before; what
  was too little for a read is in the error.
- One reads at a time; while one reads, others may write.
"""

from netcore.protocols.stream._factory import StreamFactory, openStream
from netcore.protocols.stream._stream import IncompleteReadError, LimitOverrunError, Stream

__all__ = ["IncompleteReadError", "LimitOverrunError", "Stream", "StreamFactory", "openStream"]
