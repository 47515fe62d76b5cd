"""What a datagram port makes of each error of the socket API, over a socket that says them."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any, cast

import pytest

from netcore.error import MessageLengthError
from netcore.protocol import DatagramProtocol
from netcore.reactors import Reactor
from netcore.transports._datagram_port import READ_AT_ONCE, DatagramSocket
from tests.support.guard import Logged


class Socket:
    """*incoming* are what recvfrom() does next, *answers* what send() does; *sent* is all that was taken."""

    def __init__(self) -> None:
        self.incoming: deque[bytes | OSError] = deque()
        self.answers: deque[OSError] = deque()
        self.sent: list[bytes] = []
        self.closed = False

    def fileno(self) -> int:
        return 7

    def recvfrom(self, size: int) -> tuple[bytes, str]:
        if not self.incoming:
            raise BlockingIOError(errno.EAGAIN, "nothing there")
        result = self.incoming.popleft()
        if isinstance(result, OSError):
            raise result
        return result[:size], "sender"

    def send(self, data: bytes) -> None:
        if self.answers:
            raise self.answers.popleft()
        self.sent.append(data)

    def close(self) -> None:
        self.closed = True


class Handle:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeReactor:
    """The reactor, its loop and its watcher, of which the test takes the turns."""

    def __init__(self) -> None:
        self.loop = self._watcher = self
        self.reader: Callable[[], object] | None = None
        self.watched = 0
        self.soon: list[tuple[Handle, Callable[[], object]]] = []

    def _require_usable(self) -> None: ...

    def _keep(self, thing: object) -> None: ...

    def _drop(self, thing: object) -> None: ...

    def add_reader(self, fd: int, callback: Callable[[], object]) -> None:
        assert self.reader is None
        self.reader = callback
        self.watched += 1

    def add_no_reader(self, fd: int, callback: Callable[[], object]) -> None:
        raise ValueError("the loop has no room")

    def remove_reader(self, fd: int) -> None:
        self.reader = None

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None) -> Handle:
        context = Context() if context is None else context
        handle = Handle()
        self.soon.append((handle, lambda: context.run(callback, *args)))
        return handle

    def turn(self) -> None:
        calls, self.soon = self.soon, []
        for handle, call in calls:
            if not handle.cancelled:
                call()
        if self.reader is not None:
            self.reader()


class Noting(DatagramProtocol):
    noisy = False

    def __init__(self) -> None:
        self.told: list[Any] = []

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.told.append(datagram)

    def connectionRefused(self) -> None:
        self.told.append("refused")

    def stopProtocol(self) -> None:
        self.told.append("stopped")


class FakePort(DatagramSocket):
    def _open(self) -> Any:
        self.fake = Socket()
        return self.fake

    def _deliver(self, datagram: bytes, name: Any) -> None:
        self.protocol.datagramReceived(datagram, name)

    def write(self, packet: bytes) -> OSError | None:
        return self._send(self.fake.send, packet)


Made = tuple[FakePort, Socket, FakeReactor, list[Any]]


def made(connected: bool = False) -> Made:
    reactor, protocol = FakeReactor(), Noting()
    port = FakePort(cast(Reactor, reactor), protocol, 8192)
    port.startListening()
    port._connected = connected
    return port, port.fake, reactor, protocol.told


REFUSED = [errno.ECONNREFUSED, errno.ECONNRESET, errno.ENETRESET]
ON_ITS_WAY = [errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.ENOMEM, errno.EMSGSIZE]


@pytest.mark.parametrize("number", REFUSED)
def test_a_refusal_is_told_if_connected(number: int) -> None:
    _, sock, reactor, told = made(connected=True)
    sock.incoming += [OSError(number, "refused"), b"next"]
    reactor.turn()
    assert told == ["refused", b"next"]


@pytest.mark.parametrize("number", REFUSED)
def test_a_refusal_is_nothing_if_not_connected(number: int) -> None:
    port, sock, reactor, told = made()
    sock.incoming += [OSError(number, "refused"), b"next"]
    sock.answers += [OSError(number, "refused")]
    refusal = port.write(b"x")
    assert refusal is not None
    assert refusal.errno == number
    reactor.turn()
    assert told == [b"next"]


@pytest.mark.parametrize("number", [*REFUSED, *ON_ITS_WAY])
@pytest.mark.parametrize("connected", [True, False])
def test_a_datagram_lost_on_its_way_leaves_the_port_watched(number: int, connected: bool) -> None:
    _, sock, reactor, told = made(connected)
    for _ in range(10):
        sock.incoming.append(OSError(number, "an error"))
    sock.incoming.append(b"next")
    reactor.turn()
    assert told[-1] == b"next"
    assert reactor.reader is not None
    assert reactor.watched == 11, "anew after each: uvloop watches no longer"
    assert not sock.closed


def test_errors_count_among_what_is_read_at_once() -> None:
    _, sock, reactor, told = made()
    sock.incoming += [OSError(errno.EHOSTUNREACH, "no route")] * READ_AT_ONCE
    sock.incoming.append(b"next")
    reactor.turn()
    assert told == []
    reactor.turn()
    assert told == [b"next"]


@pytest.mark.parametrize("number", [errno.EBADF, errno.ENOTSOCK, errno.EINVAL, errno.EIO])
def test_other_errors_close_the_port(number: int, logged: Logged) -> None:
    _, sock, reactor, told = made()
    sock.incoming += [OSError(number, "it is broken"), b"next"]
    reactor.turn()
    assert told == ["stopped"]
    assert sock.closed
    assert reactor.reader is None
    (record,) = logged.take()
    assert "it is broken" in record.getMessage()


def test_an_interrupted_read_is_tried_again() -> None:
    _, sock, reactor, told = made()
    sock.incoming += [InterruptedError(errno.EINTR, "a signal"), b"next"]
    reactor.turn()
    reactor.turn()
    assert told == [b"next"]
    assert reactor.watched == 1


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS, errno.EINTR])
def test_what_the_kernel_has_no_room_for_is_dropped(number: int) -> None:
    port, sock, _, told = made()
    sock.answers.append(OSError(number, "no room"))
    assert port.write(b"dropped") is None
    assert port.write(b"sent") is None
    assert sock.sent == [b"sent"]
    assert told == []


def test_what_is_too_long_is_said_with_its_length() -> None:
    port, sock, _, _ = made()
    sock.answers.append(OSError(errno.EMSGSIZE, "too long"))
    with pytest.raises(MessageLengthError, match="3 bytes"):
        port.write(b"xxx")


def test_other_errors_of_sending_are_raised() -> None:
    port, sock, _, _ = made(connected=True)
    sock.answers.append(OSError(errno.ENETUNREACH, "no route"))
    with pytest.raises(OSError, match="no route"):
        port.write(b"x")


def test_refusals_of_sending_are_told_once_a_turn_and_not_after_the_end() -> None:
    port, sock, reactor, told = made(connected=True)
    for _ in range(2):
        sock.answers += [OSError(errno.ECONNREFUSED, "refused")] * 3
        for _ in range(3):
            port.write(b"x")
        assert "refused" not in told
        reactor.turn()
        assert told == ["refused"]
        told.clear()
    assert reactor.watched == 3
    sock.answers += [OSError(errno.ECONNREFUSED, "refused")] * 2
    port.write(b"x")
    stopped = port.stopListening()
    assert stopped is not None
    port.write(b"x")
    assert reactor.reader is None
    reactor.turn()
    assert told == ["stopped"]
    assert stopped.called
    assert sock.closed
    assert reactor.reader is None


def test_a_port_that_the_reactor_closes_forgets_what_was_to_come() -> None:
    port, sock, reactor, told = made(connected=True)
    sock.answers.append(OSError(errno.ECONNREFUSED, "refused"))
    port.write(b"x")
    stopped = port.stopListening()
    assert stopped is not None
    port._shut_down()
    assert told == ["stopped"]
    assert stopped.called
    port.startListening()
    reactor.turn()
    assert told == ["stopped"]
    assert not port.fake.closed


def test_a_socket_that_cannot_be_watched_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    reactor, protocol = FakeReactor(), Noting()
    monkeypatch.setattr(reactor, "add_reader", reactor.add_no_reader)
    port = FakePort(cast(Reactor, reactor), protocol, 8192)
    with pytest.raises(ValueError, match="no room"):
        port.startListening()
    assert port.fake.closed
    assert (protocol.told, protocol.transport) == ([], None)


def test_it_has_no_address_before_it_listened() -> None:
    port = FakePort(cast(Reactor, FakeReactor()), Noting(), 1)
    with pytest.raises(RuntimeError, match="never listened"):
        port.getHost()
    assert port.stopListening() is None
    port._shut_down()
