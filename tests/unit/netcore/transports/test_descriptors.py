"""Which byte each descriptor goes with, whatever the kernel takes at once, over a socket that notes it."""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

from netcore.transports import _descriptors
from netcore.transports._descriptors import MOST_AT_ONCE, Outgoing, close_all

DUPLICATE = 10_000  # what is added to a number by the dup() of these tests


class Socket:
    """*answers* are what it does next: take so many bytes, or raise; after those it takes everything.

    Attributes: *taken*, for each call that took something: the bytes and the descriptors.
    """

    def __init__(self) -> None:
        self.answers: deque[int | OSError] = deque()
        self.taken: list[tuple[bytes, list[int]]] = []

    def _take(self, data: memoryview, descriptors: list[int]) -> int:
        answer = self.answers.popleft() if self.answers else len(data)
        if isinstance(answer, OSError):
            raise answer
        self.taken.append((bytes(data[:answer]), descriptors))
        return len(data[:answer])

    def send(self, data: memoryview) -> int:
        return self._take(data, [])

    def sendmsg(self, pieces: list[memoryview], ancillary: Any) -> int:
        (piece,) = pieces
        ((_, _, rights),) = ancillary
        return self._take(piece, [number - DUPLICATE for number in rights])


class System:
    """Descriptors that are open."""

    def __init__(self) -> None:
        self.open: set[int] = set()

    def dup(self, number: int) -> int:
        self.open.add(number + DUPLICATE)
        return number + DUPLICATE

    def close(self, number: int) -> None:
        if number not in self.open:
            raise OSError(errno.EBADF, "bad")
        self.open.remove(number)


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    system = System()
    monkeypatch.setattr(os, "dup", system.dup)
    monkeypatch.setattr(_descriptors, "close_all", lambda numbers: [system.close(number) for number in numbers])
    yield system
    monkeypatch.undo()
    assert system.open == set(), "every duplicate is closed"


@pytest.fixture
def sock() -> Any:
    return Socket()


@pytest.fixture
def outgoing(system: System, sock: Any) -> Outgoing:
    return Outgoing(sock)


def send_all(outgoing: Outgoing, data: bytes, size: int = 1 << 20) -> None:
    """Send *data* as a transport does: at most *size* at a time."""
    while data:
        try:
            sent = outgoing.send(data[:size], len(data))
        except BlockingIOError:
            continue
        data = data[sent:]


def test_one_goes_with_the_byte_behind_those_that_wait(outgoing: Outgoing, sock: Socket) -> None:
    outgoing.add(5, 3)
    send_all(outgoing, b"abcdef")
    assert sock.taken == [(b"abc", []), (b"def", [5])]
    assert not outgoing


def test_one_goes_with_the_last_byte_if_none_follows(outgoing: Outgoing, sock: Socket) -> None:
    outgoing.add(5, 3)
    outgoing.add(6, 3)
    send_all(outgoing, b"abc")
    assert sock.taken == [(b"ab", []), (b"c", [5, 6])]


def test_several_go_with_one_byte_and_others_with_theirs(outgoing: Outgoing, sock: Socket) -> None:
    for number, ahead in ((1, 0), (2, 0), (3, 2), (4, 5)):
        outgoing.add(number, ahead)
    send_all(outgoing, b"abcdef")
    assert sock.taken == [(b"ab", [1, 2]), (b"cde", [3]), (b"f", [4])]


@pytest.mark.parametrize("size", range(1, 8))
def test_pieces_of_any_size_carry_them_at_the_same_place(outgoing: Outgoing, sock: Socket, size: int) -> None:
    for number, ahead in ((1, 0), (2, 3), (3, 3), (4, 6)):
        outgoing.add(number, ahead)
    send_all(outgoing, b"abcdefg", size)
    assert places(sock) == {1: 0, 2: 3, 3: 3, 4: 6}
    assert b"".join(data for data, _ in sock.taken) == b"abcdefg"


def places(sock: Socket) -> dict[int, int]:
    """The number of the byte that each descriptor went with."""
    found: dict[int, int] = {}
    sent = 0
    for data, descriptors in sock.taken:
        found.update(dict.fromkeys(descriptors, sent))
        sent += len(data)
    return found


@pytest.mark.parametrize("answers", [[1] * 7, [2, 1, 2, 1], [0, 3, 1], [OSError(errno.EAGAIN, "again"), 2] * 3])
def test_what_the_kernel_takes_at_once_does_not_matter(outgoing: Outgoing, sock: Socket, answers: Any) -> None:
    sock.answers.extend(answer for answer in answers if answer)
    for number, ahead in ((1, 1), (2, 4)):
        outgoing.add(number, ahead)
    send_all(outgoing, b"abcdefg")
    assert places(sock) == {1: 1, 2: 4}


def test_more_than_the_kernel_takes_go_with_the_bytes_that_follow(outgoing: Outgoing, sock: Socket) -> None:
    numbers = list(range(2 * MOST_AT_ONCE + 10))
    for number in numbers:
        outgoing.add(number, 0)
    send_all(outgoing, b"ab")
    assert [len(descriptors) for _, descriptors in sock.taken] == [MOST_AT_ONCE, MOST_AT_ONCE]
    assert len(outgoing) == 10
    send_all(outgoing, b"cd")
    assert sock.taken[2:] == [(b"cd", numbers[-10:])]


def test_one_that_is_added_while_others_wait_keeps_its_place(outgoing: Outgoing, sock: Socket) -> None:
    outgoing.add(1, 3)
    assert outgoing.send(b"abcdef"[:2], 6) == 2
    outgoing.add(2, 4)  # of "cdef", all are ahead of it
    send_all(outgoing, b"cdefgh")
    assert places(sock) == {1: 3, 2: 6}


def test_an_error_before_anything_is_sent_is_raised_and_nothing_is_lost(outgoing: Outgoing, sock: Socket) -> None:
    sock.answers.append(OSError(errno.EPIPE, "gone"))
    outgoing.add(1, 0)
    with pytest.raises(OSError, match="gone"):
        outgoing.send(b"abc", 3)
    assert len(outgoing) == 1
    outgoing.close()
    assert not outgoing


def test_an_error_after_something_was_sent_is_met_again(outgoing: Outgoing, sock: Socket) -> None:
    sock.answers.extend([2, OSError(errno.EPIPE, "gone"), OSError(errno.EPIPE, "gone")])
    outgoing.add(1, 2)
    assert outgoing.send(b"abc", 3) == 2
    with pytest.raises(OSError, match="gone"):
        outgoing.send(b"c", 1)
    outgoing.close()


def test_closing_what_is_closed_already_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    close_all([reading, writing])
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(writing)
