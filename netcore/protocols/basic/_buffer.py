"""What was received and not handed over: the part that all receivers share."""

from __future__ import annotations

from typing import cast

from netcore.interfaces import IPushProducer, ITransport
from netcore.protocol import Protocol


class _Buffered(Protocol):
    """``_buffer[_offset:]`` is what was received and not handed over. ``_buffer`` is the network's own ``bytes`` while
    something is cut out of it, and a ``bytearray``, cheap to extend and to cut at the front, while something waits for
    more. Before ``_searched`` there is nothing that is looked for.
    """

    # All state has its defaults on the class: subclasses rarely call __init__ of a protocol.
    _buffer: bytes | bytearray = b""
    _offset = 0
    _searched = 0
    _receiving = False

    def _deliver(self) -> bool:
        """Hand over the next of what is there. Returns whether there was one."""
        raise NotImplementedError

    def dataReceived(self, data: bytes) -> None:
        """Deliver what *data* completes. Called by the transport.

        Reentrancy: called from within one of this protocol's callbacks it only adds *data*, for the call underway.
        """
        if self._buffer:
            self._add(data)
        else:
            self._buffer = data
        if self._receiving:
            return
        self._receiving = True
        try:
            while self._offset < len(self._buffer):
                transport: ITransport | None = self.transport
                if transport is not None and transport.disconnecting:  # None: fed by hand, without makeConnection
                    self._take(len(self._buffer))
                elif not self._deliver():
                    break
        finally:
            self._receiving = False
            self._settle()

    def _add(self, data: bytes) -> None:
        """Put *data* behind what is there."""
        self._settle()
        buffer = self._buffer
        if not buffer:
            self._buffer = data
        elif isinstance(buffer, bytearray):
            buffer += data
        else:
            self._buffer = bytearray(buffer)
            self._buffer += data

    def _settle(self) -> None:
        """Let go of what was handed over. Amortised no byte is copied more than a few times: a bytearray is cut at its
        front by moving a pointer."""
        buffer, offset = self._buffer, self._offset
        if offset == len(buffer):
            self._buffer = b""
        elif isinstance(buffer, bytearray):
            del buffer[:offset]
        else:
            self._buffer = bytearray(memoryview(buffer)[offset:])
        self._searched -= offset
        self._offset = 0

    def _take(self, end: int) -> bytes:
        """The bytes up to *end*, which counts as handed over."""
        taken = bytes(self._buffer[self._offset : end])
        self._offset = self._searched = end
        return taken

    def clearLineBuffer(self) -> bytes:
        """Drop what was received and not delivered. ``startTLS`` calls it: that came before TLS, or is its beginning.

        Returns: what was dropped.
        """
        return self._take(len(self._buffer))


class _Pausing(_Buffered):
    """A receiver that can be told to wait, in the middle of what it has received."""

    paused: bool = False
    """Whether the protocol was paused by `pauseProducing`."""

    def pauseProducing(self) -> None:
        """Deliver nothing until `resumeProducing`, not even what has been received; the transport stops reading."""
        self.paused = True
        cast("IPushProducer", self.transport).pauseProducing()

    def resumeProducing(self) -> None:
        """Deliver what has been received, and go on."""
        self.paused = False
        cast("IPushProducer", self.transport).resumeProducing()
        self.dataReceived(b"")

    def stopProducing(self) -> None:
        """Deliver nothing more, and close the connection."""
        self.paused = True
        cast("IPushProducer", self.transport).stopProducing()
