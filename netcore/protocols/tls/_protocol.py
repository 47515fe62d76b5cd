"""One connection's TLS: the protocol of the transport below, and the transport of the protocol above.

What holds is at the head of `netcore.protocols.tls`.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any

from netcore._bytes import as_bytes
from netcore._owner import ScopeOwner
from netcore.error import ConnectionAborted, ConnectionDone, ConnectionLost
from netcore.failure import Failure
from netcore.interfaces import (
    IDelayedCall,
    IHandshakeListener,
    INegotiated,
    IProtocol,
    implementer,
)
from netcore.protocols._producers import AskedBefore, HeldPush
from netcore.protocols.policies._wrapping import never_connected
from netcore.ssl import Certificate

if TYPE_CHECKING:
    from netcore.interfaces import IAddress
    from netcore.protocols.tls._factory import TLSMemoryBIOFactory

__all__ = ["HIGH_WATER", "PIECE", "TLSMemoryBIOProtocol", "log_prefix"]

RECORD = 16 * 1024  # bytes that a record holds at most (RFC 8446, 5.1)
# What is encrypted at once. A memory BIO grows to the largest of it, and copies while it does.
PIECE = 8 * RECORD
# While the handshake is under way, a streaming producer is paused when more than this waits for it.
HIGH_WATER = 64 * 1024


class _State(Enum):
    HANDSHAKING = "TLS handshake"
    OPEN = "open"
    ENDING = "closing: what was written is being sent"
    ENDED = "closing: the peer was told so"
    LOST = "closed"


_HANDSHAKING, _OPEN, _ENDING, _ENDED, _LOST = _State


@implementer(IProtocol, INegotiated)
class TLSMemoryBIOProtocol(ScopeOwner):
    """One connection's TLS. What is not here is asked of the transport below (``setWriteLimits``, say).

    Args:
        factory: whose it is.
        wrappedProtocol: the protocol above.
        _connectWrapped: tell it that the connection stands.
    Attributes: *transport*, below; *wrappedProtocol*; *connected*; *disconnecting*, as of `ITransport`.
    """

    transport: Any = None
    connected = 0
    disconnecting = False

    def __init__(self, factory: TLSMemoryBIOFactory, wrappedProtocol: Any, _connectWrapped: bool = True) -> None:
        self.factory: Any = factory  # None once the connection is lost
        self.wrappedProtocol: Any = wrappedProtocol
        self._connect_wrapped = _connectWrapped
        self._state = _HANDSHAKING
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls: Any = None  # an ssl.SSLObject, from `prepare` on
        self._plain: list[bytes] = []  # written, and not encrypted yet
        self._size = 0  # of that
        self._closes_itself = False  # the peer has sent close_notify
        self._answers = 0  # bytes that TLS has said by itself since all had been sent
        self._all_was_sent = False  # before ours, as far as the transport can tell
        self._established = False
        self._receiving = False
        self._encrypting = False
        self._paused = False
        self._producer: Any = None
        self._held: HeldPush | AskedBefore | None = None  # the same, while it is not registered with the transport
        self._reason: Failure | None = None
        self._timer: IDelayedCall | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or self.transport is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.transport, name)

    def __repr__(self) -> str:
        version = self._tls.version() if self._established else None
        return f"<{version or 'TLS'}, {self._state.value}; protocol {self.wrappedProtocol!r}>"

    def logPrefix(self) -> str:
        """That of the protocol above, with a hint."""
        return f"{log_prefix(self.wrappedProtocol)} (TLS)"

    @property
    def protocol(self) -> Any:
        """The protocol above, as of any transport; may be replaced at any time."""
        return self.wrappedProtocol

    @protocol.setter
    def protocol(self, protocol: Any) -> None:
        self.wrappedProtocol = protocol

    # As the protocol of the transport below

    def makeConnection(self, transport: Any) -> None:
        """The transport stands: tell the protocol above, and begin the handshake.

        Raises: ValueError, ssl.SSLError, OSError: the context cannot be used.
        """
        factory = self.factory
        if self._tls is None:
            self.prepare()
        self.transport = transport
        self.connected = 1
        factory.registerProtocol(self)
        if factory.handshakeTimeout is not None:
            self._timer = factory.clock.callLater(factory.handshakeTimeout, self._too_slow)
        if self._connect_wrapped:
            self.wrappedProtocol.makeConnection(self)
        if self._state in (_HANDSHAKING, _ENDING):
            self._shake_hands()

    def connectionMade(self) -> None:
        """There is nothing to be done: `makeConnection` has the protocol above hear of it."""

    def prepare(self) -> None:
        """Make what encrypts and decrypts.

        Raises: ValueError, ssl.SSLError, OSError: the context cannot be used.
        """
        context, hostname = self.factory.context()
        if not self.factory.isClient:
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        elif context.check_hostname and not hostname:
            raise ValueError(
                "a client must know the name that the server's certificate has to have: give "
                "netcore.ssl.optionsForClientTLS(hostname), or a context with check_hostname = False"
            )
        else:
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=hostname)

    def dataReceived(self, data: bytes) -> None:
        """Records came, cut anywhere."""
        if self._state is _ENDED or self._state is _LOST:
            return  # nobody will read it
        self._incoming.write(data)
        if self._receiving:
            return  # below, the loop goes on
        if not self._established:
            if self._state in (_HANDSHAKING, _ENDING):
                self._shake_hands()
            return
        self._deliver()

    def connectionLost(self, reason: Failure) -> None:
        """The transport has gone."""
        told = self._reason or self._truthfully(reason)
        if told is not reason:
            self.factory.told[reason] = told
        self.factory.unregisterProtocol(self)
        self.factory = None  # which may have the protocol, and that has us
        self._state = _LOST
        self._stop_timer()
        connected, self.connected = self.connected, 0
        self._plain.clear()
        self._reason = None
        self._end_scopes()
        held, self._held, self._producer = self._held, None, None
        wrapped, self.wrappedProtocol = self.wrappedProtocol, None  # they refer to each other
        try:
            if held is not None:
                held.stopProducing()
        finally:
            if connected:
                wrapped.connectionLost(told)
            else:  # `makeConnection` has raised before it told the protocol anything
                never_connected(wrapped)
            del told, reason  # this frame may be in a traceback of theirs: see the rule in defer/_chain.py

    def _never_connected(self) -> None:
        self.factory = None
        wrapped, self.wrappedProtocol = self.wrappedProtocol, None
        never_connected(wrapped)

    def _truthfully(self, reason: Failure) -> Failure:
        if reason.check(ConnectionLost) and not reason.check(ConnectionAborted):
            # The peer has said all, or was sent all, and may have left before our close_notify came.
            return Failure(ConnectionDone()) if self._closes_itself or self._all_was_sent else reason
        if self._closes_itself or self._state is _ENDED or not reason.check(ConnectionDone):
            return reason
        if not self._established:
            return Failure(ConnectionLost("the peer closed the connection during the TLS handshake"))
        what = "without close_notify (RFC 8446, 6.1): there may have been more to come"
        return Failure(ConnectionLost(f"the peer closed the connection {what}"))

    # The handshake

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._send()
            return
        except (ssl.SSLError, ssl.CertificateError) as error:
            self._fail(error)
            return
        self._established = True
        self._stop_timer()
        if self._state is _HANDSHAKING:
            self._state = _OPEN
            if self._paused:
                self.transport.pauseProducing()
        self._send()
        if self._state is _OPEN:
            listener = IHandshakeListener(self.wrappedProtocol, None)  # type: ignore[call-arg,misc]
            if listener is not None:
                listener.handshakeCompleted()
        self._release_producer()
        self._deliver()  # and send what waits: behind that, for the peer may have closed already

    def _too_slow(self) -> None:
        self._timer = None
        waited = self.factory.handshakeTimeout
        self._abort(ConnectionAborted(f"the TLS handshake was not through after {waited:g} s"))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Receiving

    def _deliver(self) -> None:
        """Hand over what has come."""
        if self._receiving:
            return
        self._receiving = True
        tls, incoming = self._tls, self._incoming
        try:
            while not self._paused and self._state in (_OPEN, _ENDING):
                pieces = []
                wrong = None
                try:
                    while incoming.pending or tls.pending():
                        piece = tls.read(RECORD)
                        if not piece:
                            self._closes_itself = True
                            break
                        pieces.append(piece)
                except ssl.SSLWantReadError:
                    pass  # the rest of a record is to come; or there was one, but of TLS's own
                except ssl.SSLError as error:
                    wrong = error
                if pieces and self._state is _OPEN:
                    self.wrappedProtocol.dataReceived(pieces[0] if len(pieces) == 1 else b"".join(pieces))
                if wrong is not None:
                    self._fail(wrong)
                elif self._closes_itself and not self._paused:  # who has paused does not hear of the end, either
                    self._peer_closes()
                if not pieces:
                    break
        finally:
            self._receiving = False
            wrong = None  # its traceback has this frame
            if self._outgoing.pending:
                self._answer()
            if self._plain:
                self._encrypt_waiting()
            if self._state is _ENDING:
                self._end_if_all_is_sent()

    def _peer_closes(self) -> None:
        """close_notify has come, and there will be nothing behind it."""
        if self._state in (_OPEN, _ENDING):
            self.disconnecting = True
            self._stop_producer()
            self._encrypt_waiting()
            if self._state is not _ENDED:
                self._shut_down()

    # Sending

    def write(self, data: bytes) -> None:
        """Send *data*. Dropped once the connection is going.

        Raises: TypeError: *data* is not bytes-like.
        """
        if type(data) is not bytes:
            data = as_bytes(data)
        state = self._state
        if not data or not (state is _OPEN or state is _HANDSHAKING or (state is _ENDING and self._producer)):
            return
        self._plain.append(data)
        self._size += len(data)
        if self._established and (not self._receiving or self._size >= RECORD):
            self._encrypt_waiting()
        elif not self._established:
            self._wait_for_handshake()

    def _wait_for_handshake(self) -> None:
        """Keep to the limits for what waits."""
        maximum = getattr(self.transport, "_maximum", None)
        if maximum is not None and self._size > maximum:
            what = f"{self._size} bytes would wait for the TLS handshake, and at most {maximum} may (setWriteLimits)"
            self._abort(ConnectionAborted(what))
        elif self._size > HIGH_WATER and isinstance(self._held, HeldPush):
            self._held.hold(True)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send all pieces of *data*.

        Raises: TypeError: one is not bytes-like.
        """
        self.write(b"".join(data))

    def _encrypt_waiting(self) -> None:
        # Not from within itself: a producer that is paused in the middle of a long write may write more, or close.
        while self._plain and self._established and not self._encrypting and self._state not in (_LOST, _ENDED):
            plain = self._plain
            data = plain[0] if len(plain) == 1 else b"".join(plain)
            self._plain = []
            self._size = start = 0
            self._encrypting = True
            try:
                if len(data) <= PIECE:
                    self._tls.write(data)
                else:
                    view = memoryview(data)
                    for start in range(0, len(data), PIECE):
                        self._tls.write(view[start : start + PIECE])
                        self._send()
            except ssl.SSLWantReadError:  # a second handshake (TLS 1.2), and only the peer's answer can end it
                self._plain.insert(0, data[start:])
                self._size += len(data) - start
                self._send()
                return
            except ssl.SSLError as error:
                self._fail(error)
                return
            finally:
                self._encrypting = False
            self._send()
        if self._state is _ENDING:
            self._end_if_all_is_sent()

    def _answer(self) -> None:
        """Send what TLS says by itself: an answer to KeyUpdate. A peer may ask for any number of them, and read none:
        nobody above would notice."""
        waiting = getattr(self.transport, "_waiting_to_be_sent", None)
        self._answers = self._answers + self._outgoing.pending if waiting is not None and waiting() else 0
        if self._answers > HIGH_WATER:
            what = f"{self._answers} bytes of answers to the peer's KeyUpdate (RFC 8446, 4.6.3) wait"
            self._abort(ConnectionAborted(f"{what}: it asks, and does not read"))
        self._send()

    def _send(self) -> None:
        if self._outgoing.pending and self._state is not _LOST:  # a callback may have ended it
            self.transport.write(self._outgoing.read())

    def _waiting_to_be_sent(self) -> int | None:
        """How many bytes wait here, for the handshake, or below."""
        return self._and_below("_waiting_to_be_sent")

    def _not_taken(self) -> int:
        """As of the transport below, with what waits here."""
        return self._and_below("_not_taken") or 0

    def _and_below(self, what: str) -> int | None:
        below = getattr(self.transport, what, None)
        waiting: int | None = 0 if below is None else below()
        return None if waiting is None else self._size + waiting

    # The end

    def loseConnection(self) -> None:
        """Close the connection once everything written so far has been sent, and a registered producer has finished."""
        if self._state is not _HANDSHAKING and self._state is not _OPEN:
            return
        self.disconnecting = True
        self._state = _ENDING
        if not self._receiving:
            self._end_if_all_is_sent()
        if self._paused and self._state is _ENDING:  # nothing is handed over any more, but the peer may end first
            self._paused = False
            if self._established:
                self._call_soon(self._go_on)

    def loseWriteConnection(self) -> None:
        """As `loseConnection`: TLS has no half-close that peers keep to."""
        self.loseConnection()

    def abortConnection(self) -> None:
        """Close at once, dropping what was not sent; the reason is `ConnectionAborted`."""
        self._abort(ConnectionAborted())

    def _abort(self, error: Exception) -> None:
        if self._state is _LOST:
            return
        self._state = _ENDED
        self.disconnecting = True
        if self._reason is None:
            self._reason = Failure(error)
        self._plain.clear()
        self._size = 0
        self.transport.abortConnection()

    def _end_if_all_is_sent(self) -> None:
        if self._established and not self._plain and self._producer is None and not self._encrypting:
            self._shut_down()

    def _shut_down(self) -> None:
        """Say close_notify, and close."""
        self._state = _ENDED
        waiting = getattr(self.transport, "_waiting_to_be_sent", None)
        self._all_was_sent = waiting is not None and waiting() == 0
        try:
            self._tls.unwrap()
        except (ssl.SSLError, ValueError):
            pass  # as a rule that the peer's is not there yet
        self._send()
        self.transport.loseConnection()

    def _fail(self, error: Exception) -> None:
        """TLS has come to its end: tell the peer by the alert that waits, and the protocol by *error*."""
        if self._state is _LOST or self._state is _ENDED:
            return
        self._state = _ENDED
        self.disconnecting = True
        self._reason = Failure(error)
        self._stop_producer()
        self._send()
        self.transport.loseConnection()

    def _child_failed(self, failure: Failure) -> None:
        if self._state is _LOST:
            return
        if self._reason is None:
            self._reason = failure
        self.abortConnection()

    # Producers that write to us

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """From now on control *producer*: an `IPushProducer` if *streaming*, else an `IPullProducer`.

        Raises: RuntimeError: another producer is registered; unregister it first.
        """
        if self._producer is not None:
            raise RuntimeError(f"cannot register {producer!r}: {self._producer!r} is registered; unregister it first")
        if self._state is not _HANDSHAKING and self._state is not _OPEN:
            producer.stopProducing()
            return
        self._producer = producer
        if self._established:
            self.transport.registerProducer(producer, streaming)
        elif streaming:
            self._held = HeldPush(producer)
        else:
            self._held = AskedBefore(producer, True)
            producer.resumeProducing()

    def take_over_producer(self, producer: Any, streaming: bool, paused: bool) -> None:
        """As `registerProducer`, before the handshake, of one that the transport may have *paused*."""
        self._producer = producer
        self._held = HeldPush(producer, paused) if streaming else AskedBefore(producer, False)

    def unregisterProducer(self) -> None:
        """The producer has finished. A `loseConnection` that waited for it takes effect."""
        if self._producer is None:
            return
        self._producer = None
        if self._held is not None:
            self._held = None
        else:
            self.transport.unregisterProducer()
        if self._state is _ENDING and not self._receiving:
            self._end_if_all_is_sent()

    def _stop_producer(self) -> None:
        """The peer hears no more of it, and the transport is not to wait for it."""
        producer = self._producer
        if producer is not None:
            self.unregisterProducer()
            producer.stopProducing()

    def _release_producer(self) -> None:
        """The handshake is through: the transport controls the producer now."""
        held, self._held = self._held, None
        if held is None:
            return
        self.transport.registerProducer(held, isinstance(held, HeldPush))
        self._encrypt_waiting()
        if isinstance(held, HeldPush):
            held.hold(False)

    # Reading, of which we are the producer

    def pauseProducing(self) -> None:
        """Hand over nothing more. The handshake goes on."""
        if self._state in (_HANDSHAKING, _OPEN):
            self._paused = True
            if self._established:
                self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Go on."""
        if self._state in (_HANDSHAKING, _OPEN) and self._paused:
            self._paused = False
            if self._established:
                if self._closes_itself or self._incoming.pending or self._tls.pending():
                    self._call_soon(self._go_on)  # the transport may have no more but its end, which has to come behind
                else:
                    self.transport.resumeProducing()

    def _go_on(self) -> None:
        if not self._paused:
            self._deliver()
            if self._state in (_OPEN, _ENDING) and not self._paused:
                self.transport.resumeProducing()

    def _call_soon(self, callback: Callable[[], None]) -> None:
        """Call *callback*, of ours, in the next turn, as the transport calls ``dataReceived``, if it can."""
        soon = getattr(self.transport, "_call_soon", None)
        if soon is not None:
            soon(callback)
        else:
            self.factory.clock.callLater(0, self._call, callback)

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except BaseException:
            self._child_failed(Failure())
            raise

    def stopProducing(self) -> None:
        """Close the connection, as `loseConnection`."""
        self.loseConnection()

    # What is known of the peer, and of the connection below

    def getPeer(self) -> IAddress:
        """The address of the other side."""
        return self.transport.getPeer()  # type: ignore[no-any-return]

    def getHost(self) -> IAddress:
        """The address of this side."""
        return self.transport.getHost()  # type: ignore[no-any-return]

    def getTcpNoDelay(self) -> bool:
        """Whether TCP_NODELAY is set (tcp(7)), if there is a TCP connection below. (So for those that follow.)"""
        return self.transport.getTcpNoDelay()  # type: ignore[no-any-return]

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Set or clear it."""
        self.transport.setTcpNoDelay(enabled)

    def getTcpKeepAlive(self) -> bool:
        """Whether SO_KEEPALIVE is set (socket(7))."""
        return self.transport.getTcpKeepAlive()  # type: ignore[no-any-return]

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Set or clear it."""
        self.transport.setTcpKeepAlive(enabled)

    def getPeerCertificate(self) -> Certificate | None:
        """The peer's certificate; None if it has shown none, or none yet."""
        return Certificate.of_peer(self._tls) if self._established else None

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """What was agreed to be spoken (ALPN, RFC 7301); None: nothing, or not yet."""
        agreed = self._tls.selected_alpn_protocol() if self._established else None
        return None if agreed is None else agreed.encode()

    def getHandle(self) -> ssl.SSLObject | None:
        """What encrypts; None before there is a transport."""
        return self._tls  # type: ignore[no-any-return]

    def startTLS(self, contextFactory: Any, normal: bool = True) -> None:
        """Raises: RuntimeError: it speaks TLS already."""
        raise RuntimeError(f"{self!r} speaks TLS already")


def log_prefix(thing: Any) -> str:
    return str(thing.logPrefix()) if hasattr(thing, "logPrefix") else type(thing).__name__
