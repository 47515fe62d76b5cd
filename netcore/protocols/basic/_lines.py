"""Lines."""

from __future__ import annotations

from netcore.protocols.basic._buffer import _Buffered, _Pausing

__all__ = ["LineOnlyReceiver", "LineReceiver"]


class _Lines(_Buffered):
    """The search that both receivers share: before ``_searched`` there is no beginning of the delimiter ``_sought``."""

    delimiter: bytes = b"\r\n"
    """What ends a line. Never part of it."""
    MAX_LENGTH: int = 16384
    """The longest line that is accepted, in bytes, without delimiter."""

    _sought: bytes | None = None

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


class LineReceiver(_Lines, _Pausing):
    """Receives lines, and raw data in between: a header and a body, a dialogue and a file.

    It begins in line mode, where each line goes to `lineReceived`; `setRawMode` sends whatever follows to
    `rawDataReceived`, `setLineMode` goes back, both from any callback and in the middle of a segment.

    No line is delivered once ``transport.loseConnection()`` was called.
    """

    line_mode: int = 1
    """1 in line mode, 0 in raw mode. To change it call `setRawMode` or `setLineMode`."""

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
