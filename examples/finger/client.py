"""A finger client: asks a finger server, and gives back what it says, without control characters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from examples.finger.protocol import clean
from netcore.defer import Deferred
from netcore.endpoints import clientFromString, connectProtocol, quoteStringArgument
from netcore.error import ConnectionDone
from netcore.failure import Failure
from netcore.protocol import Protocol, connectionDone

__all__ = ["PORT", "NoAnswer", "Target", "finger"]

PORT = 79  # RFC 1288, 2.1
MAX_ANSWER = 1 << 20
"""The longest answer that is read, in bytes."""


class NoAnswer(Exception):
    """The server closed the connection and had said nothing."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask about whom."""

    user: str
    host: str
    port: int = PORT

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read ``[user]@host[:port]``; an IPv6 address is written in brackets.

        Raises: ValueError: it is nothing of the kind.

        >>> Target.parse("alice@localhost:7979")
        Target(user='alice', host='localhost', port=7979)
        """
        user, at, place = text.rpartition("@")
        match = re.fullmatch(r"(\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<host>[^:\[\]\s]+))(:(?P<port>[0-9]{1,5}))?", place)
        if not at or match is None or any(character in user for character in "\r\n"):
            raise ValueError(f"{text!r} is not of the form user@host[:port]")
        port = int(match["port"] or PORT)
        if not 0 < port < 65536:
            raise ValueError(f"{text!r}: a port is a number from 1 to 65535")
        return cls(user, match["six"] or match["host"], port)


class _Asking(Protocol):
    """Sends the question and collects the answer."""

    def __init__(self, question: bytes, answer: Deferred[bytes]) -> None:
        self._question = question
        self._answer = answer
        self._received = bytearray()

    def connectionMade(self) -> None:
        self.transport.write(self._question)

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        if len(self._received) > MAX_ANSWER:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._answer.called:
            return
        if reason.check(ConnectionDone) and not self._received:  # as servers do that are too busy, or end
            self._answer.errback(NoAnswer("the server closed the connection without an answer"))
        else:
            self._answer.callback(bytes(self._received) if reason.check(ConnectionDone) else reason)


async def finger(reactor: Any, target: Target, long: bool = False, patience: float = 30) -> str:
    """Ask *target*.

    Args:
        long: ask for the long form.
        patience: seconds for connecting, and for the answer.
    Returns: the answer, in lines that end in ``\\n``.
    Raises: netcore.error.ConnectError, DNSLookupError, ConnectionLost; TimeoutError; NoAnswer.
    """
    question = f"{'/W ' if long else ''}{target.user}\r\n".encode("utf-8", "surrogateescape")
    answer: Deferred[bytes] = Deferred()
    endpoint = clientFromString(reactor, f"tcp:{quoteStringArgument(target.host)}:{target.port}:timeout={patience}")
    connection = await connectProtocol(endpoint, _Asking(question, answer))
    try:
        received = await answer.addTimeout(patience, reactor)
    finally:
        connection.transport.loseConnection()
    return "".join(f"{clean(line)}\n" for line in received.decode("utf-8", "replace").splitlines())
