"""The part of a reactor that looks after descriptors of the application's own."""

from __future__ import annotations

from netcore.interfaces import IReadDescriptor, IWriteDescriptor
from netcore.reactors._fdset import READ, WRITE, FDSet
from netcore.reactors._part import Part

__all__ = ["Descriptors"]


class Descriptors(Part):
    """`IReactorFDSet`. Ports and connections of netcore's are not among these readers and writers.

    A descriptor that went bad is removed, and its object's ``connectionLost`` called: with
    `netcore.error.ConnectionFdescWentAway` if it is closed, if its object's ``fileno()`` gives another number now, or
    if it is of a kind that cannot be waited for, such as a regular file; if the other side hung up and nothing is left
    to read, with `ConnectionDone`, or `ConnectionLost` for what only writes. A shutdown, and `dispose`, end all of them
    with `ConnectionLost`.

    Remove a descriptor *before* it is closed. One that is closed first is noticed, on some loops after a second; on
    uvloop, which watches a duplicate, its other side sees it closed only then.
    """

    _fdset: FDSet

    def addReader(self, reader: IReadDescriptor) -> None:
        """Call *reader*'s ``doRead``, in the caller's context (contextvars), whenever its descriptor is readable.

        What it raises is logged; that, or an exception it returns, ends it: it is removed, and its ``connectionLost``
        called with it. Adding it twice is adding it once.

        Raises: TypeError: it has no ``fileno`` or ``doRead``. ValueError: another reader has that descriptor. OSError:
            the loop cannot watch a number so large, or an asyncio program has it watched already.
        """
        self._require_usable()
        self._fdset.add(reader, READ)

    def addWriter(self, writer: IWriteDescriptor) -> None:
        """Call *writer*'s ``doWrite``, in the caller's context (contextvars), whenever its descriptor is writable.

        What it raises is logged; that, or an exception it returns, ends it: it is removed, and its ``connectionLost``
        called with it. Adding it twice is adding it once.

        Raises: TypeError: it has no ``fileno`` or ``doWrite``. ValueError: another writer has that descriptor. OSError:
            the loop cannot watch a number so large, or an asyncio program has it watched already.
        """
        self._require_usable()
        self._fdset.add(writer, WRITE)

    def removeReader(self, reader: IReadDescriptor) -> None:
        """Look at *reader* no more. Does nothing if it was not added, or was removed."""
        self._fdset.remove(reader, READ)

    def removeWriter(self, writer: IWriteDescriptor) -> None:
        """Look at *writer* no more. Does nothing if it was not added, or was removed."""
        self._fdset.remove(writer, WRITE)

    def removeAll(self) -> list[IReadDescriptor | IWriteDescriptor]:
        """Remove all readers and writers that were added, and nothing of netcore's own.

        Returns: them, each once. Nobody's ``connectionLost`` is called.
        """
        return self._fdset.remove_all()

    def getReaders(self) -> list[IReadDescriptor]:
        """The readers that were added."""
        return self._fdset.watched_for(READ)

    def getWriters(self) -> list[IWriteDescriptor]:
        """The writers that were added."""
        return self._fdset.watched_for(WRITE)
