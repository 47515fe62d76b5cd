"""The faulty proxy with a reactor in a thread of its own: on real sockets, and before a real PostgreSQL."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from asyncdb.testing import FaultyProxy, ReactorFaultyProxy
from asyncdb.testing.postgres import Database
from netcore.error import CannotListenError
from netcore.reactors import Reactor
from tests.integration.asyncdb.running import runReactor

PATIENCE = 30.0


class Echo:
    """A server that says what it hears, to one client after the other."""

    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._server.accept()
            with connection:
                try:
                    while data := connection.recv(65536):
                        if data == b"enough":
                            return
                        connection.sendall(data)
                except ConnectionError:
                    pass

    def close(self) -> None:
        with socket.socket(self._server.family) as last:
            last.connect(self._server.getsockname())
            last.sendall(b"enough")
        self._thread.join(PATIENCE)
        self._server.close()


@pytest.fixture
def echo() -> Iterator[int]:
    server = socket.create_server(("127.0.0.1", 0))
    echo = Echo(server)
    yield int(server.getsockname()[1])
    echo.close()


def connect(proxy: FaultyProxy) -> socket.socket:
    return socket.create_connection((proxy.host, proxy.port), PATIENCE)


def test_each_fault_is_what_blocking_programs_see(echo: int) -> None:
    with FaultyProxy("127.0.0.1", echo) as proxy:
        with connect(proxy) as client:
            client.sendall(b"hello")
            assert client.recv(10) == b"hello"
            assert proxy.drop() == 1
            assert client.recv(10) == b""
        with connect(proxy) as client:
            client.sendall(b"hello")
            assert client.recv(10) == b"hello"
            assert proxy.reset() == 1
            with pytest.raises(ConnectionResetError):
                client.recv(10)
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
        proxy.heal()
        with connect(proxy) as client:
            proxy.truncate(3)
            client.sendall(b"hello")
            assert client.recv(10) == b"hel"
            with pytest.raises(ConnectionResetError):
                client.recv(10)
        proxy.heal()
        with connect(proxy) as client:
            proxy.blackHole()
            client.sendall(b"hello")
            client.settimeout(0.05)
            with pytest.raises(TimeoutError):
                client.recv(10)
            proxy.heal()
            client.settimeout(PATIENCE)
            assert client.recv(10) == b"hello"
    assert (proxy.connections, proxy.bytesToServer, proxy.bytesToClient, proxy.bytesLost) == (4, 20, 18, 2)


def test_much_goes_through_at_once_both_ways(echo: int) -> None:
    much = b"0123456789" * 300_000
    with FaultyProxy("127.0.0.1", echo) as proxy, connect(proxy) as client:
        sending = threading.Thread(target=client.sendall, args=(much,))
        sending.start()
        heard = bytearray()
        while len(heard) < len(much):
            heard += client.recv(65536)
        sending.join(PATIENCE)
        assert heard == much


def test_the_server_can_be_at_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    echo = Echo(server)
    with FaultyProxy(path) as proxy, connect(proxy) as client:
        client.sendall(b"hello")
        assert client.recv(10) == b"hello"
    echo.close()


def test_a_port_that_is_taken_is_an_error_and_leaves_nothing(echo: int) -> None:
    proxy = FaultyProxy("127.0.0.1", echo, listenPort=echo)
    with pytest.raises(CannotListenError):
        proxy.start()
    with pytest.raises(RuntimeError, match="does not run"):
        proxy.drop()
    proxy.stop()  # nothing


def test_it_can_be_used_again_after_it_was_stopped(echo: int) -> None:
    proxy = FaultyProxy("127.0.0.1", echo)
    for _ in range(2):
        with proxy, connect(proxy) as client:
            client.sendall(b"hello")
            assert client.recv(10) == b"hello"
            with pytest.raises(RuntimeError, match="listens already"):
                proxy.start()
        with pytest.raises(RuntimeError, match="does not run"):
            proxy.heal()
        assert proxy.connections == 1


def test_it_can_live_on_a_reactor_of_the_tests(echo: int) -> None:
    async def main() -> None:
        async with ReactorFaultyProxy(Reactor.current(), "127.0.0.1", echo) as proxy:
            assert proxy.drop() == 0

    runReactor(main)


def test_postgresql_behind_it_is_lost_and_found(database: Database) -> None:
    with FaultyProxy(*database.server) as proxy:
        there = database.through(proxy.host, proxy.port)
        there.execute("CREATE TABLE noted (x int)")
        connection = there.connect()
        proxy.truncate(0)
        with pytest.raises(psycopg2.OperationalError), connection.cursor() as cursor:
            cursor.execute("INSERT INTO noted VALUES (1)")
        connection.close()
        assert database.execute("SELECT x FROM noted") == [(1,)]  # the answer only was lost
        proxy.heal()
        proxy.refuse()
        with pytest.raises(psycopg2.OperationalError, match="refused"):
            there.connect()
        proxy.heal()
        assert there.execute("SELECT x FROM noted") == [(1,)]
        assert proxy.bytesToClient > 0
