"""Descriptors that an application has the reactor watch (`IReactorFDSet`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netcore._interface import Interface
from netcore.interfaces._protocol import ILoggingContext

if TYPE_CHECKING:
    from netcore.failure import Failure

__all__ = ["IFileDescriptor", "IReadDescriptor", "IReadWriteDescriptor", "IWriteDescriptor"]


class IFileDescriptor(ILoggingContext, Interface):
    """Something with a file descriptor."""

    def fileno(self) -> int:
        """The descriptor; -1 if it is closed."""
        ...

    def connectionLost(self, reason: Failure) -> None:
        """The descriptor went bad, or `doRead` or `doWrite` said or raised so: it has been removed from the reactor."""


class IReadDescriptor(IFileDescriptor, Interface):
    """Something that can be read from."""

    def doRead(self) -> Exception | None:
        """The descriptor is readable: read.

        Returns: None, or an exception: the descriptor is done with, for that reason.
        """
        ...


class IWriteDescriptor(IFileDescriptor, Interface):
    """Something that can be written to."""

    def doWrite(self) -> Exception | None:
        """The descriptor is writable: write.

        Returns: None, or an exception: the descriptor is done with, for that reason.
        """
        ...


class IReadWriteDescriptor(IReadDescriptor, IWriteDescriptor, Interface):
    """Something for both."""
