"""Protocols that cut a stream of bytes into lines.

How a stream is cut never depends on how the network cut it: the same bytes give the same lines whole, byte by byte, or
in any other pieces. The work is linear in the bytes received, however hostile they are, by two rules:

- Lines are found by offset, and the bytes behind them stay where they are. Splitting off one line at a time and copying
  the rest costs the square: 8.7 s for a mebibyte of empty lines.
- A line still incomplete is searched only where it was not searched before, and no further than `MAX_LENGTH` allows.

Memory is bounded by `MAX_LENGTH` and one segment of the network, unless the protocol itself feeds in more while paused.
"""

from __future__ import annotations

from typing import cast

from netcore.interfaces import IPushProducer, ITransport
from netcore.protocol import Protocol

__all__ = ["LineOnlyReceiver", "LineReceiver"]


class _Lines(Protocol):
    """The buffer and the search that both receivers share.

    ``_buffer[_offset:]`` is what was received and not handed over. ``_buffer`` is the network's own ``bytes`` while
    lines are cut out of it, and a ``bytearray``, cheap to extend and to cut at the front, while something waits for
    more. Before ``_searched`` there is no beginning of the delimiter ``_sought``.
    """

    # All state has its defaults on the class: subclasses rarely call __init__ of a protocol.
    delimiter: bytes = b"\r\n"
    """What ends a line. Never part of it."""
    MAX_LENGTH: int = 16384
    """The longest line that is accepted, in bytes, without delimiter."""

    _buffer: bytes | bytearray = b""
    _offset = 0
    _searched = 0
    _sought: bytes | None = None
    _receiving = False

    def lineReceived(self, line: bytes) -> None:
        """A line arrived: override this.

        Args:
            line: the line without its delimiter.
        """
        raise NotImplementedError(f"{type(self).__name__} must override lineReceived")

    def lineLengthExceeded(self, line: bytes) -> None:
        """A line is longer than `MAX_LENGTH`: closes the connection, unless overridden.

        Args:
            line: everything received from the beginning of that line on, delimiters included. None of it is delivered
                again.
        """
        self.transport.loseConnection()

    def sendLine(self, line: bytes) -> None:
        """Send *line*, followed by the delimiter."""
        self.transport.write(line + self.delimiter)

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

    def _deliver(self) -> bool:
        """Hand over the next line, or everything from one on that is too long. Returns whether there was one."""
        delimiter, buffer, start = self.delimiter, self._buffer, self._offset
        if delimiter != self._sought:
            if not delimiter:
                raise ValueError(f"{type(self).__name__}.delimiter is empty")
            self._sought, self._searched = delimiter, start
        limit = start + self.MAX_LENGTH + len(delimiter)
        end = buffer.find(delimiter, self._searched, limit)
        if end >= 0:
            self._offset = self._searched = end + len(delimiter)
            self.lineReceived(bytes(buffer[start:end]))
        elif len(buffer) >= limit:
            self.lineLengthExceeded(self._take(len(buffer)))
        else:
            self._searched = max(start, len(buffer) - len(delimiter) + 1)  # it may begin in the last bytes
            return False
        return True


class LineReceiver(_Lines):
    """Receives lines, and raw data in between: a header and a body, a dialogue and a file.

    It begins in line mode, where each line goes to `lineReceived`; `setRawMode` sends whatever follows to
    `rawDataReceived`, `setLineMode` goes back, both from any callback and in the middle of a segment.

    No line is delivered once ``transport.loseConnection()`` was called.
    """

    line_mode: int = 1
    """1 in line mode, 0 in raw mode. To change it call `setRawMode` or `setLineMode`."""
    paused: bool = False
    """Whether the protocol was paused by `pauseProducing`."""

    def rawDataReceived(self, data: bytes) -> None:
        """Bytes arrived in raw mode: override this to use it."""
        raise NotImplementedError(f"{type(self).__name__} must override rawDataReceived to use raw mode")

    def setRawMode(self) -> None:
        """From the next byte on deliver to `rawDataReceived`, uncut."""
        self.line_mode = 0

    def setLineMode(self, extra: bytes = b"") -> None:
        """From now on deliver lines.

        Args:
            extra: what `rawDataReceived` was given and did not need; the first line begins with it.
        """
        self.line_mode = 1
        if extra:
            self.dataReceived(extra)

    def clearLineBuffer(self) -> bytes:
        """Drop what was received and not delivered.

        Returns: what was dropped.
        """
        return self._take(len(self._buffer))

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

    def _deliver(self) -> bool:
        if self.paused:
            return False
        if self.line_mode:
            return super()._deliver()
        self.rawDataReceived(self._take(len(self._buffer)))
        return True


class LineOnlyReceiver(_Lines):
    """Receives lines and nothing else: no raw mode, no pausing.

    No line is delivered once ``transport.loseConnection()`` was called.
    """
