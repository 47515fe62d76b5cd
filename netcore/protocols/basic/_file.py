"""Sending files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO

from netcore.defer import Deferred
from netcore.failure import Failure
from netcore.interfaces import IConsumer, IPullProducer, implementer

__all__ = ["FileSender"]


@implementer(IPullProducer)
class FileSender:
    """Sends a file, piece by piece, as fast as its consumer takes it. One sender sends one file at a time.

    Files are read in the reactor's thread, which waits for the disk meanwhile.
    """

    CHUNK_SIZE: int = 2**14
    """How many bytes are read at once."""
    lastSent: bytes = b""
    """The last byte that was sent."""
    deferred: Deferred[bytes] | None = None
    """What `beginFileTransfer` has returned, until it has fired."""
    file: BinaryIO | None = None
    """What is being sent, or None."""

    _consumer: Any = None
    _transform: Callable[[bytes], bytes] | None = None

    def beginFileTransfer(
        self, file: BinaryIO, consumer: IConsumer, transform: Callable[[bytes], bytes] | None = None
    ) -> Deferred[bytes]:
        """Send *file* from where it stands to its end. It is not closed.

        Args:
            consumer: takes the bytes: a transport, as a rule. Nothing else must be registered with it.
            transform: what it makes of each piece is sent instead; it may be nothing.
        Returns: Deferred firing with the last byte sent, b"" if there was none, when all was given to the consumer. (A
            transport may still be sending it: ``loseConnection`` waits for that.) Cancelling it stops the transfer.
        Raises: RuntimeError: a file is being sent, or another producer is registered with *consumer*.
        Fails with: Exception: the consumer has asked to stop, since it takes nothing more. What ``file.read`` or
            *transform* raised.
        """
        if self.deferred is not None:
            raise RuntimeError(f"{self!r} sends {self.file!r}: another file needs a sender of its own")
        self.file, self._consumer, self._transform = file, consumer, transform
        self.lastSent = b""
        sent = self.deferred = Deferred(self._cancel)
        try:
            consumer.registerProducer(self, False)
        except BaseException:
            self._finish()
            raise
        return sent

    def resumeProducing(self) -> None:
        """Send the next piece, or finish. Called by the consumer."""
        if self.file is None:
            return
        try:
            piece = self._read()
        except Exception:
            failed = Failure()
            self._unregister()
            self._fire(failed)
            return
        if self.deferred is None:  # cancelled, or stopped, by *transform*
            return
        if piece:
            self.lastSent = piece[-1:]
            self._consumer.write(piece)
        else:
            self._unregister()
            self._fire(self.lastSent)

    def _read(self) -> bytes:
        """The next piece as it is to be sent; b"" at the end, or when there is nothing to be sent any more. A piece of
        which nothing is left is passed over, since a consumer asks again for having been given something."""
        while self.file is not None and (piece := self.file.read(self.CHUNK_SIZE)):
            if self._transform is not None:
                piece = self._transform(piece)
            if piece:
                return piece
        return b""

    def pauseProducing(self) -> None:
        """Does nothing: it sends only when asked to."""

    def stopProducing(self) -> None:
        """The consumer takes nothing more: the transfer has failed."""
        self._fire(Failure(Exception("the consumer asked to stop before the whole file was sent")))

    def _fire(self, result: bytes | Failure) -> None:
        sent = self._finish()
        if sent is None:
            return
        if isinstance(result, Failure):
            sent.errback(result)
        else:
            sent.callback(result)
        del sent, result  # this frame may be in the traceback of what its callbacks raise

    def _finish(self) -> Deferred[bytes] | None:
        sent, self.deferred = self.deferred, None
        self.file = self._consumer = self._transform = None
        return sent

    def _unregister(self) -> None:
        if self._consumer is not None:
            self._consumer.unregisterProducer()

    def _cancel(self, sent: Deferred[bytes]) -> None:
        self._unregister()
        self._finish()
