"""TLS as a layer between a transport and a protocol: over TCP, UNIX sockets, memory, or another protocol.

The layer is the protocol of the transport below and the transport of the protocol above. It does no input or output: an
`ssl.SSLObject` turns bytes into records and back in memory. `IReactorSSL`, ``startTLS`` and the endpoints ``ssl:`` and
``tls:`` are made of it.

What holds:

- The protocol above hears ``connectionMade`` when the transport below stands. What it writes then waits for the
  handshake; who wants to know when that is through provides `IHandshakeListener`.
- What one ``dataReceived`` of the transport brings is handed on in one piece, and what the protocol writes meanwhile is
  encrypted together, until it fills a record: as few records as can be, and a producer hears in time when to pause. (A
  read that finds nothing costs 3 µs for its exception: whether there is more is asked of the buffers, 0.1 µs.)
- ``loseConnection`` sends close_notify behind what was written, and closes the transport without waiting for the peer's
  (RFC 8446, 6.1); how long that may take is the transport's affair. During the handshake it waits for that, so that the
  peer hears of a clean end. A peer that closes without close_notify may have been cut off by somebody else: that is
  `ConnectionLost`, and not `ConnectionDone`.
- There is no half-close: most peers do not keep a direction open. ``loseWriteConnection`` is ``loseConnection``.
- Who has paused hears of nothing, not even of close_notify; a record that is wrong is told at once.
- A handshake that fails, or a record that is wrong, ends the connection with the `ssl.SSLError`; the peer is sent the
  alert. One that takes longer than ``handshakeTimeout`` is aborted.
"""

from netcore.protocols.tls._factory import TLSMemoryBIOFactory
from netcore.protocols.tls._protocol import TLSMemoryBIOProtocol

__all__ = ["TLSMemoryBIOFactory", "TLSMemoryBIOProtocol"]
