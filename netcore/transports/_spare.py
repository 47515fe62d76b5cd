"""A descriptor kept in reserve, with which connections can be refused when there is no other left.

Without it a peer whose connection cannot be accepted would hang: the kernel has completed it, and keeps it queued. One
is enough for all ports of a reactor, since it is lent for the time of one call. It is held while any of them listens.
"""

from __future__ import annotations

import socket

__all__ = ["Spare"]


class Spare:
    """One reactor's spare descriptor.

    Threading: the reactor's thread only. (Another thread may take a descriptor that was lent before its borrower does.)
    """

    def __init__(self) -> None:
        self._holders = 0
        self._held: socket.socket | None = None

    def hold(self) -> None:
        """One more port wants it to be there."""
        self._holders += 1
        self.refill()

    def release(self) -> None:
        """One port less does."""
        self._holders -= 1
        if not self._holders:
            self.lend()

    def lend(self) -> bool:
        """Set the descriptor free, for the next call that needs one. Returns: whether there was one."""
        held, self._held = self._held, None
        if held is None:
            return False
        held.close()
        return True

    def refill(self) -> None:
        """Have one in reserve again. If none is to be had, there is none until this is called another time."""
        if self._held is None and self._holders:
            try:
                self._held = socket.socket()  # where ports are, this needs no file system, unlike /dev/null
            except OSError:
                pass
