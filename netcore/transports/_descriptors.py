"""Descriptors that travel over a UNIX socket, as ancillary data of the bytes beside them (unix(7), SCM_RIGHTS).

What holds:

* A descriptor that waits here is a duplicate of ours: its owner may close the original at once, and a number that has
  come to mean another file is never sent.
* Each goes with the byte that is written next after it was given here, or, if nothing is, with the last one before
  that has not been sent: so it arrives together with what is written in the same callback, in whichever order. Only if
  all is sent it waits for a next byte.
* They arrive in their order, and never after the byte that they go with.
"""

from __future__ import annotations

import array
import os
import socket
from collections import deque
from collections.abc import Iterable, Sequence

__all__ = ["MOST_AT_ONCE", "Outgoing", "close_all", "receive"]

# unix(7), SCM_MAX_FD of Linux. The others take more, as far as is known; none is reported to take fewer.
MOST_AT_ONCE = 253
_SIZE = array.array("i").itemsize
# Without the flag (macOS) there is a moment in which a process that is started elsewhere inherits what arrives.
# As plain numbers, both: to reckon with the enum's takes longer than recvmsg(2).
_CLOSE_ON_EXEC = int(getattr(socket, "MSG_CMSG_CLOEXEC", 0))
_TRUNCATED = int(getattr(socket, "MSG_CTRUNC", 0))


class Outgoing:
    """The descriptors that wait to be sent on *sock*. While there are some, all that is sent there goes through `send`.

    Threading: the reactor's thread only.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._waiting: deque[tuple[int, int]] = deque()  # the number of the byte that it goes with, and the duplicate
        self._sent = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, descriptor: int, ahead: int) -> None:
        """Have a copy of *descriptor* wait for the byte behind the *ahead* ones that are still to be sent.

        Raises: OSError: it is none, or this process can have no more of them.
        """
        self._waiting.append((self._sent + ahead, os.dup(descriptor)))

    def send(self, data: bytes | memoryview, pending: int) -> int:
        """Send *data*, the first of all *pending* bytes, and the descriptors that go with it.

        Returns: how many bytes of it the kernel took.
        Raises: OSError: it took none.
        """
        view = memoryview(data)
        begin = self._sent
        last = begin + pending - 1
        sent = 0
        try:
            while sent < len(view):
                until = self._distance(begin, last, 0, len(view))
                if until > sent:
                    piece = view[sent:until]
                    taken = self._socket.send(piece)
                else:
                    several = self._due(begin + sent, last)
                    piece = view[sent : max(sent + 1, self._distance(begin, last, len(several), len(view)))]
                    rights = array.array("i", several)
                    taken = self._socket.sendmsg([piece], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
                    close_all(self._waiting.popleft()[1] for _ in several)
                sent += taken
                if taken < len(piece):
                    break
        except OSError:
            if not sent:  # else it is met again by the next attempt
                raise
        self._sent += sent
        return sent

    def close(self) -> None:
        """Nothing more will be sent."""
        close_all(descriptor for _, descriptor in self._waiting)
        self._waiting.clear()

    def _distance(self, begin: int, last: int, index: int, limit: int) -> int:
        """How many bytes after *begin* the descriptor at *index* is due, *limit* at most."""
        if index >= len(self._waiting):
            return limit
        return min(min(self._waiting[index][0], last) - begin, limit)

    def _due(self, number: int, last: int) -> list[int]:
        """The descriptors that go with the byte of that *number*."""
        several: list[int] = []
        for position, descriptor in self._waiting:
            if min(position, last) > number or len(several) == MOST_AT_ONCE:
                break
            several.append(descriptor)
        return several


_NONE: tuple[int, ...] = ()
_ROOM = socket.CMSG_SPACE(MOST_AT_ONCE * _SIZE) if hasattr(socket, "CMSG_SPACE") else 0  # not on Windows


def receive(sock: socket.socket, size: int) -> tuple[bytes, Sequence[int], bool]:
    """Receive up to *size* bytes.

    Returns: the bytes; the descriptors that came with them, which belong to the caller and are not inherited by other
        programs; and whether some were lost because this process can have no more of them.
    Raises: OSError.
    """
    data, ancillary, flags, _ = sock.recvmsg(size, _ROOM, _CLOSE_ON_EXEC)
    if not ancillary and not flags & _TRUNCATED:
        return data, _NONE, False
    numbers = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers.frombytes(content[: len(content) - len(content) % _SIZE])
    descriptors = numbers.tolist()
    if not _CLOSE_ON_EXEC:
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
    return data, descriptors, bool(flags & _TRUNCATED)


def close_all(descriptors: Iterable[int]) -> None:
    """Close them; one that somebody else has closed already is no error."""
    for descriptor in descriptors:
        try:
            os.close(descriptor)
        except OSError:
            pass
