"""The sockets of a fake network beside the kernel's: what a program notices of them is the same."""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from netcore.testing.network import FakeNetwork

HERE = "127.0.0.1"
PATIENCE = 5.0  # seconds, for what the kernel does at once
READ, WRITE = 1, 2  # as `selectors` has them


class Kernel:
    """Real sockets, on the loopback interface."""

    def socket(self) -> Any:
        sock = socket.socket()
        sock.setblocking(False)
        return sock

    def wait(self, sock: Any, ready: int) -> int:
        """Until *sock* is *ready*. Returns: what it is ready for; less, if it never is."""
        poll = select.poll()
        poll.register(sock, (select.POLLIN if ready & READ else 0) | (select.POLLOUT if ready & WRITE else 0))
        deadline = time.monotonic() + PATIENCE
        found = 0
        while found & ready != ready and time.monotonic() < deadline:
            for _, event in poll.poll(PATIENCE * 1000):
                found |= (READ if event & ~select.POLLOUT else 0) | (WRITE if event & ~select.POLLIN else 0)
        return found & ready

    def close(self) -> None:
        pass


class Fake:
    """Those of a host of a fake network."""

    def __init__(self) -> None:
        self.net = FakeNetwork()
        self.host = self.net.host()

    def socket(self) -> Any:
        return self.host._new_socket(socket.AF_INET)

    def wait(self, sock: Any, ready: int) -> int:
        self.net.advance(1)
        return int(sock.readiness()) & ready

    def close(self) -> None:
        self.net.close()


class World:
    """Sockets of one of the two, and what they *said*: results, and errors by their names."""

    def __init__(self, kind: type[Kernel | Fake]) -> None:
        self._kind = kind()
        self._sockets: list[Any] = []
        self.said: list[Any] = []

    def socket(self) -> Any:
        self._sockets.append(self._kind.socket())
        return self._sockets[-1]

    def listening(self, backlog: int = 5) -> Any:
        sock = self.socket()
        sock.bind((HERE, 0))
        sock.listen(backlog)
        return sock

    def connected(self) -> tuple[Any, Any]:
        """The client's end, and the server's."""
        listening, client = self.listening(), self.socket()
        client.connect_ex(listening.getsockname())
        self.wait(client, WRITE)
        self.wait(listening, READ)
        server, _ = listening.accept()
        server.setblocking(False)
        self._sockets.append(server)
        return client, server

    def wait(self, sock: Any, ready: int) -> None:
        """Until *sock* is ready for that."""
        assert self._kind.wait(sock, ready) == ready, f"{sock!r}: not ready for {ready}"

    def say(self, call: Callable[..., Any], *args: Any) -> None:
        """Note what *call* gives."""
        try:
            self.said.append(call(*args))
        except OSError as error:
            self.said.append((type(error).__name__, errno.errorcode[error.errno or 0]))

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()
        self._kind.close()


def refused(world: World) -> None:
    with world.listening() as gone:
        name = gone.getsockname()
    client = world.socket()
    world.say(client.connect_ex, name)
    world.wait(client, READ | WRITE)
    for _ in range(2):  # once only
        world.say(client.getsockopt, socket.SOL_SOCKET, socket.SO_ERROR)
    world.say(client.getpeername)


def connecting_raises(world: World) -> None:
    listening, client = world.listening(), world.socket()
    world.say(client.connect, listening.getsockname())
    world.wait(client, WRITE)
    world.say(client.getsockopt, socket.SOL_SOCKET, socket.SO_ERROR)
    world.said.append(client.getpeername() == listening.getsockname())
    world.said.append(client.getsockname()[0])


def not_connected(world: World) -> None:
    sock = world.socket()
    for call in (sock.getpeername, lambda: sock.recv(1), lambda: sock.shutdown(socket.SHUT_RDWR)):
        world.say(call)
    world.say(sock.getsockname)
    sock.close()
    for call in (sock.getsockname, sock.getpeername, lambda: sock.recv(1), lambda: sock.send(b"x"), sock.fileno):
        world.say(call)


def nobody_waits(world: World) -> None:
    world.say(world.listening().accept)


def an_address_that_is_taken(world: World) -> None:
    listening = world.listening()
    world.say(world.socket().bind, listening.getsockname())
    world.say(world.socket().bind, ("192.0.2.1", 0))


def bytes_and_the_end(world: World) -> None:
    client, server = world.connected()
    world.say(server.recv, 10)
    world.say(client.send, b"hello")
    world.wait(server, READ)
    world.say(server.recv, 2)
    world.say(server.recv, 10)
    world.say(client.shutdown, socket.SHUT_WR)
    world.wait(server, READ)
    for _ in range(2):
        world.say(server.recv, 10)
    world.say(client.send, b"x")
    world.say(server.send, b"the other way")
    world.wait(client, READ)
    buffer = bytearray(20)
    world.say(client.recv_into, buffer)
    world.said.append(bytes(buffer))


def several_pieces(world: World) -> None:
    client, server = world.connected()
    world.say(client.sendmsg, [b"one,", b"two,", memoryview(b"three")])
    world.wait(server, READ)
    world.say(server.recv, 100)


def a_window(world: World) -> None:
    client, server = world.connected()
    sent = 0
    try:
        for _ in range(10_000):
            sent += client.send(bytes(10_000))
    except BlockingIOError:
        world.said.append("full")
    received = 0
    while received < sent:
        world.wait(server, READ)
        received += len(server.recv(1 << 20))
    world.said.append(received == sent)
    world.wait(client, WRITE)
    world.say(client.send, b"again")


def a_close_with_unread_bytes(world: World) -> None:
    client, server = world.connected()
    world.say(client.send, b"unread")
    world.say(server.send, b"read")
    world.wait(server, READ)
    world.wait(client, READ)
    server.close()
    world.wait(client, READ | WRITE)
    for _ in range(3):
        world.say(client.recv, 10)
    world.say(client.send, b"x")


def a_reset(world: World) -> None:
    client, server = world.connected()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    server.close()
    world.wait(client, READ | WRITE)
    world.say(client.send, b"x")
    world.say(client.send, b"x")
    world.say(client.recv, 10)
    world.say(client.getpeername)
    world.say(client.shutdown, socket.SHUT_RDWR)


def sending_to_who_has_left(world: World) -> None:
    client, server = world.connected()
    server.close()
    world.wait(client, READ)
    world.say(client.recv, 10)
    world.say(client.send, b"x")
    if isinstance(world._kind, Kernel):
        poll = select.poll()
        poll.register(client, 0)
        assert poll.poll(PATIENCE * 1000)  # an error, or both directions have ended
    else:
        world.wait(client, READ | WRITE)
    world.say(client.send, b"x")
    world.say(client.recv, 10)


def a_listener_that_closes(world: World) -> None:
    listening, client = world.listening(), world.socket()
    client.connect_ex(listening.getsockname())
    world.wait(client, WRITE)
    world.wait(listening, READ)
    listening.close()
    world.wait(client, READ)
    world.say(client.recv, 10)


def options(world: World) -> None:
    client, _ = world.connected()
    world.say(client.getsockopt, socket.IPPROTO_TCP, socket.TCP_NODELAY)
    world.say(client.setsockopt, socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
    world.say(client.getsockopt, socket.IPPROTO_TCP, socket.TCP_NODELAY)
    world.say(client.getsockopt, socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    world.say(world.listening().getsockopt, socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    world.said += [client.family, client.type, client.gettimeout()]


SCRIPTS = [
    *(refused, connecting_raises, not_connected, nobody_waits, an_address_that_is_taken, bytes_and_the_end),
    *(several_pieces, a_window, a_close_with_unread_bytes, a_reset, sending_to_who_has_left, a_listener_that_closes),
    options,
]


def said(kind: type[Kernel | Fake], script: Callable[[World], None]) -> list[Any]:
    world = World(kind)
    try:
        script(world)
    finally:
        world.close()
    return world.said


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_both_say_the_same(script: Callable[[World], None]) -> None:
    assert said(Fake, script) == said(Kernel, script)


@pytest.fixture
def fake() -> Iterator[Fake]:
    fake = Fake()
    yield fake
    fake.close()


def test_what_a_fake_one_cannot_do(fake: Fake) -> None:
    with fake.socket() as sock:
        with pytest.raises(NotImplementedError, match="time would stand still"):
            sock.setblocking(True)
        assert "fake socket 0.0.0.0:0, new" in repr(sock)
