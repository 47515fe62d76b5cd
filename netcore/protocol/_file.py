"""A file in the place of a transport."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, BinaryIO

from netcore.interfaces import IConsumer, ITransport, implementer

__all__ = ["FileWrapper"]


@implementer(ITransport, IConsumer)
class FileWrapper:
    """A transport that writes to *file*, at once: to see, or to keep, what a protocol says. It receives nothing.

    Errors of the file go to `handleException`, which drops them: override it.

    Attributes: *file*; *closed*, whether it was closed; *producer*, the one that is registered, or None;
        *streamingProducer*, whether that writes by itself.

    >>> import io
    >>> from netcore.protocols.basic import LineReceiver
    >>> protocol, kept = LineReceiver(), io.BytesIO()
    >>> protocol.makeConnection(FileWrapper(kept))
    >>> protocol.sendLine(b"hello")
    >>> kept.getvalue()
    b'hello\\r\\n'
    """

    closed: int = 0
    disconnecting: bool = False
    producer: Any = None
    streamingProducer: bool = False

    _asking = False
    _wrote = False

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def write(self, data: bytes) -> None:
        """Write *data* to the file, and ask a pull producer for more."""
        try:
            self.file.write(data)
        except Exception:
            self.handleException()
        self._wrote = True
        self._ask()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Write all pieces of *data*."""
        self.write(b"".join(data))

    def _ask(self) -> None:
        """Ask the producer for more, again and again while it writes when asked, and the file is open: not from within
        each other, or long files would need a deep stack."""
        if self._asking:
            return
        self._asking = True
        try:
            self._wrote = True
            while self._wrote and not self.closed and self.producer is not None and not self.streamingProducer:
                self._wrote = False
                self.producer.resumeProducing()
        finally:
            self._asking = False

    def loseConnection(self) -> None:
        """Close the file."""
        self.closed = 1
        self.disconnecting = True
        try:
            self.file.close()
        except OSError:
            self.handleException()

    def getPeer(self) -> Any:
        """Nothing that could be connected to."""
        return "file", "file"

    def getHost(self) -> Any:
        """As little."""
        return "file"

    def handleException(self) -> None:
        """The file has raised the exception that is being handled (`sys.exception`)."""

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Control *producer*: if it does not write by itself, it is asked for more at once, and whenever something was
        written.

        Raises: RuntimeError: another one is registered; unregister it first.
        """
        if self.producer is not None:
            raise RuntimeError(f"cannot register {producer!r}: {self.producer!r} is registered; unregister it first")
        self.producer = producer
        self.streamingProducer = streaming
        self._ask()

    def unregisterProducer(self) -> None:
        """The producer has finished."""
        self.producer = None

    def stopConsuming(self) -> None:
        """Let go of the producer, and close the file."""
        self.unregisterProducer()
        self.loseConnection()

    def pauseProducing(self) -> None:
        """Does nothing: it receives nothing. (So `resumeProducing`.)"""

    def resumeProducing(self) -> None:
        """Does nothing."""

    def stopProducing(self) -> None:
        """Close the file."""
        self.loseConnection()
