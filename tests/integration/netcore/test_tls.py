"""TLS over loopback, with peers of Python's own: from the first byte on, and from some moment on."""

from __future__ import annotations

import asyncio
import gc
import smtplib
import socket
import ssl
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from netcore.defer import Deferred, maybeDeferred
from netcore.endpoints import TCP4ClientEndpoint, clientFromString, connectProtocol, serverFromString, wrapClientTLS
from netcore.error import ConnectionAborted, ConnectionDone, ConnectionLost
from netcore.failure import Failure
from netcore.interfaces import INegotiated, provides
from netcore.protocol import ClientFactory, Factory
from netcore.protocols.basic import Int16StringReceiver, LineOnlyReceiver, LineReceiver, NetstringReceiver
from netcore.reactors import Reactor
from netcore.ssl import ClientTLSOptions
from tests.integration.netcore.tcp_peers import BIG, Instead, Recorder
from tests.support import certificates
from tests.support.certificates import HOST, client_context, server_context

Run = Callable[..., Any]


class OneOf(Factory[Any]):
    noisy = False

    def __init__(self, protocol: Any) -> None:
        self.made = protocol

    def buildProtocol(self, addr: Any) -> Any:
        return self.made


class Caller(ClientFactory[Any]):
    """*told* fires with how it went."""

    noisy = False

    def __init__(self, protocol: Any) -> None:
        self.made = protocol
        self.told: Deferred[BaseException] = Deferred()

    def buildProtocol(self, addr: Any) -> Any:
        return self.made

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        self.told.callback(reason.value)

    clientConnectionFailed = clientConnectionLost


class Ports:
    """Ports of a test's reactor."""

    def __init__(self, reactor: Reactor) -> None:
        self.reactor = reactor
        self.open: list[Any] = []

    def secure(self, protocol: Any, contexts: Any = None) -> int:
        port = self.reactor.listenSSL(0, OneOf(protocol), contexts or server_context(), interface="127.0.0.1")
        self.open.append(port)
        return port.getHost().port

    def plain(self, protocol: Any) -> int:
        port = self.reactor.listenTCP(0, OneOf(protocol), interface="127.0.0.1")
        self.open.append(port)
        return port.getHost().port

    async def close(self) -> None:
        for port in self.open:
            await maybeDeferred(port.stopListening)


@pytest.fixture
def ports(reactor: Reactor) -> Iterator[Ports]:
    ports = Ports(reactor)
    yield ports
    for port in ports.open:
        port.stopListening()


# -------------------------------------------------------------------------------------------------- from the first byte


def test_a_server_serves_a_client_of_pythons(ports: Ports, run: Run) -> None:
    def ask(port: int) -> tuple[bytes, str | None]:
        with (
            socket.create_connection(("127.0.0.1", port), 20) as plain,
            client_context().wrap_socket(plain, server_hostname=HOST) as secure,
        ):
            secure.sendall(b"ping" * 5_000)
            answer = b""
            while len(answer) < 20_000:
                answer += secure.recv(65536)
            version = secure.version()
            secure.unwrap()
            return answer, version

    async def main() -> None:
        server = Recorder()
        server.on_data = lambda recorder, data: recorder.transport.write(data)
        answer, version = await asyncio.to_thread(ask, ports.secure(server))
        assert answer == b"ping" * 5_000
        assert version == "TLSv1.3"
        assert type(await server.lost) is ConnectionDone

    run(main)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_calls_a_server_of_pythons(reactor: Reactor, run: Run, version: ssl.TLSVersion) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificates.authority().issue_cert(HOST).configure_cert(context)
    context.maximum_version = version
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> bytes:
        with listening:
            listening.settimeout(20)
            plain, _ = listening.accept()
        with plain, context.wrap_socket(plain, server_side=True) as secure:
            heard = b""
            while len(heard) < len(BIG):
                heard += secure.recv(65536)
            secure.sendall(b"thanks")
            assert secure.recv(1) == b"", "close_notify"
            return heard

    async def main() -> None:
        client = Recorder()
        client.on_made = lambda recorder: recorder.transport.write(BIG)
        client.on_data = lambda recorder, data: recorder.transport.loseConnection()
        caller = Caller(client)
        serving = asyncio.ensure_future(asyncio.to_thread(serve))
        options = ClientTLSOptions(HOST, client_context())
        reactor.connectSSL("127.0.0.1", listening.getsockname()[1], caller, options)
        assert await serving == BIG
        assert type(await caller.told) is ConnectionDone
        assert client.received == b"thanks"

    run(main)


def test_the_name_that_is_called_is_the_one_that_is_expected(ports: Ports, run: Run, reactor: Reactor) -> None:
    async def main() -> None:
        server, caller = Recorder(), Caller(Recorder())
        server.on_made = lambda recorder: recorder.transport.write(b"welcome")
        caller.made.on_data = lambda recorder, data: recorder.transport.loseConnection()
        reactor.connectSSL("127.0.0.1", ports.secure(server), caller, client_context())
        assert type(await caller.told) is ConnectionDone
        assert caller.made.received == b"welcome"

    run(main)


def test_why_a_handshake_failed_is_told_to_the_factory_too(ports: Ports, run: Run, reactor: Reactor) -> None:
    async def main() -> None:
        server, caller = Recorder(), Caller(Recorder())
        options = ClientTLSOptions("somebody.else", client_context())
        reactor.connectSSL("127.0.0.1", ports.secure(server), caller, options)
        reason = await caller.told
        assert isinstance(reason, ssl.SSLCertVerificationError)
        assert caller.made.reasons == [reason]
        assert isinstance(await server.lost, ssl.SSLError)  # the alert

    run(main)


def test_a_client_without_tls_is_no_client(ports: Ports, run: Run, reactor: Reactor) -> None:
    async def main() -> None:
        server, client = Recorder(), Recorder()
        client.on_made = lambda recorder: recorder.transport.write(b"GET / HTTP/1.0\r\n\r\n")
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", ports.secure(server)), client)
        assert isinstance(await server.lost, ssl.SSLError)
        assert type(await client.lost) in (ConnectionDone, ConnectionLost)

    run(main)


def test_endpoints_from_strings(run: Run, reactor: Reactor, tmp_path: Any) -> None:
    certificates.write(tmp_path, HOST)
    roots = certificates.write_authority(tmp_path)
    one_file = tmp_path / f"{HOST}.pem"
    many = tmp_path / "many"
    many.mkdir()
    certificates.write(many, HOST)

    async def main() -> None:
        for description in (f"ssl:0:privateKey={one_file}:interface=127.0.0.1", f"tls:0:{many}:interface=127.0.0.1"):
            served = OneOf(None)
            port: Any = await serverFromString(reactor, description).listen(served)
            for kind, roots_are in (("ssl", "caCertsDir"), ("tls", "trustRoots")):
                served.made, client = Recorder(), Recorder()
                served.made.on_made = lambda recorder: recorder.transport.write(b"welcome")
                text = f"{kind}:127.0.0.1:{port.getHost().port}:{roots_are}={roots}:hostname={HOST}"
                assert await connectProtocol(clientFromString(reactor, text), client) is client
                await client.got(7)
                client.transport.loseConnection()
                assert type(await client.lost) is type(await served.made.lost) is ConnectionDone
            await maybeDeferred(port.stopListening)

    run(main)


def test_tls_on_top_of_any_endpoint(ports: Ports, run: Run, reactor: Reactor) -> None:
    async def main() -> None:
        server, client = Recorder(), Recorder()
        server.on_made = lambda recorder: recorder.transport.write(b"welcome")
        below = TCP4ClientEndpoint(reactor, "127.0.0.1", ports.secure(server))
        await connectProtocol(wrapClientTLS(ClientTLSOptions(HOST, client_context()), below), client)
        await client.got(7)
        client.transport.loseConnection()
        await client.lost

    run(main)


# -------------------------------------------------------------------------------------------------- from some moment on


class Mail(LineReceiver):
    """As much of SMTP as `smtplib` needs (RFC 5321, and RFC 3207 for STARTTLS)."""

    def __init__(self) -> None:
        self.mail: list[bytes] = []
        self.in_mail = False
        self.secure_from: bytes | None = None
        self.lost: Deferred[BaseException] = Deferred()

    def connectionMade(self) -> None:
        self.sendLine(b"220 ready")

    def lineReceived(self, line: bytes) -> None:
        if self.in_mail:
            if line == b".":
                self.in_mail = False
                self.sendLine(b"250 taken")
            else:
                self.mail.append(line)
            return
        match line.split()[0].upper():
            case b"EHLO":
                self.sendLine(b"250-here\r\n250 STARTTLS")
            case b"STARTTLS":
                self.sendLine(b"220 go ahead")
                self.transport.startTLS(server_context())  # type: ignore[attr-defined]
            case b"DATA":
                self.in_mail = True
                self.sendLine(b"354 go ahead")
            case b"QUIT":
                self.sendLine(b"221 bye")
                self.transport.loseConnection()
            case _:
                self.sendLine(b"250 fine")

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.lost.callback(reason.value)


def test_a_dialogue_that_becomes_secure_with_smtplib(ports: Ports, run: Run) -> None:
    def send(port: int) -> str:
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as smtp:
            smtp._host = HOST  # type: ignore[attr-defined]  # whose certificate is expected
            smtp.starttls(context=client_context())
            assert isinstance(smtp.sock, ssl.SSLSocket)
            version = smtp.sock.version()
            smtp.sendmail("me@example.org", ["you@example.org"], "Subject: hello\n\nhello\n")
            return str(version)

    async def main() -> None:
        server = Mail()
        assert await asyncio.to_thread(send, ports.plain(server)) == "TLSv1.3"
        assert type(await server.lost) is ConnectionDone
        assert server.mail[-1] == b"hello"
        assert provides(server.transport, INegotiated)

    run(main)


class Begins(LineReceiver):
    """Begins with TLS at the line "tls"."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.lines: list[bytes] = []
        self.enough = Deferred[None]()
        self.lost = Deferred[BaseException]()

    def lineReceived(self, line: bytes) -> None:
        self.lines.append(line)
        if line == b"tls":
            self.transport.startTLS(self.context)  # type: ignore[attr-defined]
        elif line == b"enough":
            self.enough.callback(None)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.lost.callback(reason.value)


def test_what_was_written_before_is_sent_as_it_was_and_what_came_behind_the_line_is_tls(
    ports: Ports, run: Run, reactor: Reactor
) -> None:
    """Much is still to be sent; and the other side has sent its first record together with the line."""

    async def main() -> None:
        server, client = Begins(server_context()), Recorder()
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", ports.plain(server)), client)
        plain = b"x" * (1 << 22)
        server_line = server.lineReceived

        def answer(line: bytes) -> None:
            if line == b"tls":
                server.transport.write(plain)
            server_line(line)
            if line == b"tls":
                server.transport.write(b"secret")

        server.lineReceived = answer  # type: ignore[method-assign]
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client_context().wrap_bio(to_client, to_server, server_hostname=HOST)
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        client.transport.write(b"before\r\ntls\r\n" + to_server.read())
        await client.got(len(plain) + 1)
        heard: list[bytes] = []
        done = Deferred[None]()

        def records(recorder: Recorder, data: bytes) -> None:
            to_client.write(data)
            try:
                if tls.version() is None or not heard:
                    tls.do_handshake()
                    recorder.transport.write(to_server.read())
                heard.append(tls.read())
                done.callback(None)
            except ssl.SSLWantReadError:
                recorder.transport.write(to_server.read())

        assert client.received.startswith(plain)
        first = bytes(client.received[len(plain) :])
        client.on_data = records
        records(client, first)
        await done
        tls.write(b"after\r\nenough\r\n")
        client.transport.write(to_server.read())
        await server.enough
        assert heard == [b"secret"]
        assert server.lines == [b"before", b"tls", b"after", b"enough"]
        client.transport.abortConnection()
        await server.lost

    run(main)


def test_lines_that_somebody_slipped_in_behind_the_last_plain_one_are_not_heard(
    ports: Ports, run: Run, reactor: Reactor
) -> None:
    async def main() -> None:
        server, client = Begins(server_context()), Recorder()
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", ports.plain(server)), client)
        client.transport.write(b"tls\r\nslipped in\r\n")
        assert isinstance(await server.lost, ssl.SSLError)
        assert server.lines == [b"tls"]
        await client.lost

    run(main)


@pytest.mark.parametrize(
    ("kind", "begin"),
    [(NetstringReceiver, b"3:tls,"), (Int16StringReceiver, b"\0\3tls"), (LineOnlyReceiver, b"tls\r\n")],
)
def test_no_receiver_takes_for_encrypted_what_was_not(
    kind: Any, begin: bytes, ports: Ports, run: Run, reactor: Reactor
) -> None:
    """CVE-2011-0411."""

    class BeginsToo(kind):  # type: ignore[misc]
        heard: list[bytes]

        def connectionMade(self) -> None:
            self.heard = []
            self.lost = Deferred[BaseException]()

        def lineReceived(self, string: bytes) -> None:
            self.heard.append(string)
            self.transport.startTLS(server_context())

        stringReceived = lineReceived

        def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
            self.lost.callback(reason.value)

    async def main() -> None:
        server, client = BeginsToo(), Recorder()
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", ports.plain(server)), client)
        client.transport.write(begin * 2)
        await client.lost
        assert isinstance(await server.lost, ssl.SSLError)
        assert server.heard == [b"tls"]

    run(main)


def test_the_roles_may_be_the_other_way_round(ports: Ports, run: Run, reactor: Reactor) -> None:
    async def main() -> None:
        server, client = Recorder(), Recorder()
        options = ClientTLSOptions(HOST, client_context())
        server.on_made = lambda recorder: recorder.transport.startTLS(options, False)
        client.on_made = lambda recorder: recorder.transport.startTLS(server_context(), normal=False)
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", ports.plain(server)), client)
        client.transport.write(b"hello")
        await server.got(5)
        assert server.transport.getPeerCertificate() is not None  # type: ignore[attr-defined]
        client.transport.loseConnection()
        assert type(await server.lost) is ConnectionDone
        await client.lost

    run(main)


def test_what_cannot_be_begun_changes_nothing(ports: Ports, run: Run, reactor: Reactor) -> None:
    async def main() -> None:
        server, client = Recorder(), Recorder()
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", ports.plain(server)), client)
        with pytest.raises(TypeError, match="serverOptions"):
            client.transport.startTLS(None)
        with pytest.raises(ValueError, match="optionsForClientTLS"):
            client.transport.startTLS(client_context())
        assert not client.transport.TLS
        client.transport.write(b"plain")
        await server.got(5)
        assert server.received == b"plain"
        client.transport.startTLS(ClientTLSOptions(HOST, client_context()))
        assert client.transport.TLS
        with pytest.raises(RuntimeError, match="speaks TLS already"):
            client.transport.startTLS(ClientTLSOptions(HOST, client_context()))
        client.transport.abortConnection()
        await client.lost
        await server.lost
        client.transport.write(b"x")
        server.transport.startTLS(server_context())  # it has gone: nothing happens

    run(main)


def test_a_producer_goes_on_through_the_beginning(ports: Ports, run: Run, reactor: Reactor) -> None:
    class Pieces:
        def __init__(self, transport: Any) -> None:
            self.transport = transport
            self.left = 200

        def resumeProducing(self) -> None:
            self.left -= 1
            self.transport.write(b"p" * 10_000)
            if not self.left:
                self.transport.unregisterProducer()
                self.transport.loseConnection()

        def stopProducing(self) -> None:
            raise AssertionError("it is not over")

    async def main() -> None:
        server, client = Begins(server_context()), Recorder()
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", ports.plain(server)), client)
        client.transport.write(b"tls\r\n")
        client.transport.startTLS(ClientTLSOptions(HOST, client_context()))
        client.transport.registerProducer(Pieces(client.transport), False)
        server.setRawMode = None  # type: ignore[assignment,method-assign]
        size = 0

        def count(data: bytes) -> None:
            nonlocal size
            size += len(data)

        server.dataReceived = lambda data: count(data) if server.transport.TLS else Begins.dataReceived(server, data)  # type: ignore[attr-defined,method-assign]
        assert type(await server.lost) is ConnectionDone
        assert size == 2_000_000
        await client.lost

    run(main)


def test_a_connection_that_began_is_let_go_of_without_the_garbage_collector(
    ports: Ports, run: Run, reactor: Reactor
) -> None:
    async def main() -> None:
        server, client = Recorder(), Recorder()
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", ports.plain(server)), client)
        ports.open[-1].factory.made = None
        client.transport.startTLS(ClientTLSOptions(HOST, client_context()))
        client.transport.write(b"hello")
        server.transport.startTLS(server_context())
        await server.got(5)
        client.transport.loseConnection()
        await client.lost
        await server.lost
        gone = [weakref.ref(side.transport) for side in (server, client)]
        del server, client
        turn = Deferred[None]()
        reactor.callLater(0, turn.callback, None)
        await turn
        assert [transport() for transport in gone] == [None, None]

    gc.disable()
    try:
        run(main)
    finally:
        gc.enable()


@pytest.mark.parametrize("when", ["sending fails", "it is lost"])
def test_what_was_dropped_was_not_sent(ports: Ports, run: Run, reactor: Reactor, when: str) -> None:
    """The protocol closes while the peer's reset is being told: its close_notify is not behind all that was written."""

    class Closes(Recorder):
        def stopProducing(self) -> None:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    async def main() -> None:
        server, client = Closes(), Recorder()
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", ports.plain(server)), client)
        client.transport.startTLS(ClientTLSOptions(HOST, client_context()))
        client.transport.write(b"hello")
        server.transport.startTLS(server_context())
        await server.got(5)
        turn = Deferred[None]()
        reactor.callLater(0, turn.callback, None)
        await turn
        if when == "it is lost":
            server.transport.registerProducer(server, True)
            server.transport.write(b"unsent")
            server.transport._lost(ConnectionLost())
        else:
            last: list[bytes] = []
            Instead.of(client.transport, send=lambda data: last.append(bytes(data)) or len(data))

            def refuse(*args: object) -> int:
                client.transport.write(b"good-bye")
                client.transport._flush()
                raise ConnectionResetError

            server.on_data = lambda recorder, data: recorder.transport.loseConnection()
            Instead.of(server.transport, send=refuse, recv=lambda size: last.pop() if last else b"")
            server.transport.write(b"unsent")
        assert type(await server.lost) is ConnectionLost
        if when == "sending fails":
            assert server.received == b"hellogood-bye"
        await client.lost

    run(main)


def test_another_protocol_is_put_above_the_layer(ports: Ports, run: Run, reactor: Reactor) -> None:
    async def main() -> None:
        server, other, client = Recorder(), Recorder(), Recorder()
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", ports.plain(server)), client)
        client.transport.startTLS(ClientTLSOptions(HOST, client_context()))
        client.transport.write(b"hello")
        server.transport.startTLS(server_context())
        server.transport.protocol = other
        await other.got(5)
        assert other.received == b"hello"
        client.transport.loseConnection()
        assert type(await other.lost) is ConnectionDone
        server.transport.protocol = server
        await client.lost
        assert server.reasons == []

    run(main)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_pull_producer_of_before_is_asked_again(
    ports: Ports, run: Run, reactor: Reactor, version: ssl.TLSVersion
) -> None:
    class Lines:
        def __init__(self, transport: Any) -> None:
            self.transport = transport
            self.left = [b"enough", b"more", b"tls"]

        def resumeProducing(self) -> None:
            self.transport.write(self.left.pop() + b"\r\n")
            if not self.left:
                self.transport.unregisterProducer()

        def stopProducing(self) -> None:
            raise AssertionError("it is not over")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificates.authority().issue_cert(HOST).configure_cert(context)
    context.maximum_version = version

    async def main() -> None:
        server, client = Begins(context), Recorder()
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", ports.plain(server)), client)
        client.transport.registerProducer(Lines(client.transport), False)
        client.transport.startTLS(ClientTLSOptions(HOST, client_context()))
        await server.enough
        assert server.lines == [b"tls", b"more", b"enough"]
        client.transport.loseConnection()
        assert type(await server.lost) is ConnectionDone
        await client.lost

    run(main)


def test_what_has_waited_is_handed_over_as_the_transport_does(
    ports: Ports, run: Run, reactor: Reactor, logged: Any
) -> None:
    """In the connection's own context, and what that raises ends the connection."""
    whose = ContextVar("whose", default="nobody's")
    seen: list[str] = []

    def fail(recorder: Recorder, data: bytes) -> None:
        seen.append(whose.get())
        raise KeyError("one")

    async def main() -> None:
        server, client = Recorder(), Recorder()
        server.on_made = lambda recorder: whose.set("the connection's")
        server.on_data = fail
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", ports.plain(server)), client)
        server.transport.startTLS(server_context())
        server.transport.pauseProducing()
        client.transport.startTLS(ClientTLSOptions(HOST, client_context()))
        client.transport.write(b"one")
        layer: Any = server.transport.protocol
        while not layer._incoming.pending:
            turn = Deferred[None]()
            reactor.callLater(0, turn.callback, None)
            await turn
        server.transport.resumeProducing()
        assert isinstance(await server.lost, KeyError)
        assert seen == ["the connection's"]
        await client.lost

    run(main)
    logged.take(KeyError)


@pytest.mark.parametrize("begins", [True, False])
def test_what_waits_for_the_handshake_counts_for_the_limit(
    ports: Ports, run: Run, reactor: Reactor, begins: bool
) -> None:
    async def main() -> None:
        server, client = Recorder(), Recorder()
        port = ports.plain(server) if begins else ports.secure(server)
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), client)
        client.transport.write(b"\x16")  # of a handshake record, and no more of it
        while not server.connected:
            turn = Deferred[None]()
            reactor.callLater(0, turn.callback, None)
            await turn
        if begins:
            server.transport.startTLS(server_context())
        server.transport.setWriteLimits(10, 0, maximum=100)
        server.transport.write(b"x" * 100)
        assert not server.transport.disconnecting
        server.transport.write(b"x")
        assert server.transport.disconnecting
        reason = await server.lost
        assert type(reason) is ConnectionAborted
        assert "101 bytes" in str(reason)
        await client.lost

    run(main)
