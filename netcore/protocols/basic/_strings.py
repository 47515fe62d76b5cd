"""Strings that come with their length: netstrings, and a length of 8, 16 or 32 bits before each."""

from __future__ import annotations

import logging
import struct
from typing import Any

from netcore._bytes import as_bytes
from netcore.protocols.basic._buffer import _Pausing

__all__ = [
    "Int8StringReceiver",
    "Int16StringReceiver",
    "Int32StringReceiver",
    "IntNStringReceiver",
    "NetstringParseError",
    "NetstringReceiver",
    "StatefulStringProtocol",
    "StringTooLongError",
]

log = logging.getLogger("netcore.protocols")


class NetstringParseError(ValueError):
    """What was received is no netstring, or too long a one."""


class StringTooLongError(AssertionError):
    """A string is too long to be sent: its length does not fit into the prefix."""


class _Strings(_Pausing):
    """What the receivers share: strings are delivered one by one, until something comes that is none."""

    MAX_LENGTH: int = 99999
    """The longest string that is accepted, in bytes."""

    _given_up = False

    def stringReceived(self, string: bytes) -> None:
        """A string arrived: override this.

        Args:
            string: without its length.
        """
        raise NotImplementedError(f"{type(self).__name__} must override stringReceived")

    def _deliver(self) -> bool:
        if self._given_up:
            self._take(len(self._buffer))  # nobody knows where it would go on
            return False
        return not self.paused and self._deliver_string()

    def _deliver_string(self) -> bool:
        """As `_deliver`."""
        raise NotImplementedError


class NetstringReceiver(_Strings):
    """Receives and sends netstrings (https://cr.yp.to/proto/netstrings.txt): a length in decimal digits, a colon, as
    many bytes, and a comma.

    What is none, such as a length with a leading zero, or one beyond `MAX_LENGTH`, closes the connection as soon as it
    shows, with the `NetstringParseError` in the log (level INFO). What came before is delivered.

    >>> from netcore.testing import StringTransport
    >>> class Echo(NetstringReceiver):
    ...     def stringReceived(self, string):
    ...         self.sendString(string)
    >>> protocol = Echo()
    >>> protocol.makeConnection(StringTransport())
    >>> protocol.dataReceived(b"5:hello,3:y")
    >>> protocol.transport.value()
    b'5:hello,'
    """

    brokenPeer: int = 0
    """1 once the peer has sent something that is no netstring."""

    def sendString(self, string: bytes) -> None:
        """Send *string* as a netstring.

        Raises: TypeError: it is not bytes-like.
        """
        string = as_bytes(string)
        self.transport.write(b"%d:%b," % (len(string), string))

    def _deliver_string(self) -> bool:
        try:
            length = self._length()
            if length is None:
                return False
            start, size = length
            end = start + size
            if len(self._buffer) <= end:
                return False
            if self._buffer[end] != b","[0]:
                raise NetstringParseError(f"a netstring of {size} bytes does not end in a comma")
        except NetstringParseError as error:
            log.info("%r closes the connection: %s", self, error)
            self.brokenPeer = 1
            self._given_up = True
            self.transport.loseConnection()
            return True
        string = bytes(self._buffer[start:end])
        self._offset = end + 1
        self.stringReceived(string)
        return True

    def _length(self) -> tuple[int, int] | None:
        """Where the next string begins, and how long it is; None: that is not all here yet.

        Raises: NetstringParseError: it can become no netstring any more.
        """
        buffer, start = self._buffer, self._offset
        longest = len(str(self.MAX_LENGTH))
        colon = buffer.find(b":", start, start + longest + 1)
        digits = bytes(buffer[start : start + longest + 1] if colon < 0 else buffer[start:colon])
        if not digits.isdigit():
            raise NetstringParseError(f"a netstring begins with its length and a colon, not with {digits[:20]!r}")
        if digits[:1] == b"0" and digits != b"0":
            raise NetstringParseError(f"the length of a netstring has a leading zero: {digits[:20]!r}")
        if len(digits) > longest or int(digits) > self.MAX_LENGTH:
            raise NetstringParseError(f"a netstring is longer than {self.MAX_LENGTH} bytes (MAX_LENGTH)")
        return None if colon < 0 else (colon + 1, int(digits))


class IntNStringReceiver(_Strings):
    """Receives and sends strings with their length before them, as an integer of a fixed size: the base of those below,
    and of others like them."""

    structFormat: str
    """How the length is packed (`struct`)."""
    prefixLength: int
    """How many bytes that takes."""

    def sendString(self, string: bytes) -> None:
        """Send *string*, after its length.

        Raises: StringTooLongError: that is too long. TypeError: it is not bytes-like.
        """
        string = as_bytes(string)
        if len(string) >= 1 << (8 * self.prefixLength):
            raise StringTooLongError(
                f"{len(string)} bytes are too many: a length of {self.prefixLength} bytes says "
                f"{(1 << (8 * self.prefixLength)) - 1} at most"
            )
        self.transport.write(struct.pack(self.structFormat, len(string)) + string)

    def lengthLimitExceeded(self, length: int) -> None:
        """The peer sends a string that is longer than `MAX_LENGTH` (or, if *structFormat* has a sign, shorter than
        nothing): closes the connection, unless overridden.

        Nothing is delivered any more afterwards: the string is not, and nobody knows what follows it. But if this makes
        `MAX_LENGTH` large enough, the string is received as any other.

        Args:
            length: of the string.
        """
        self.transport.loseConnection()

    def _deliver_string(self) -> bool:
        start = self._offset + self.prefixLength
        if len(self._buffer) < start:
            return False
        size: int = struct.unpack_from(self.structFormat, self._buffer, self._offset)[0]
        if not 0 <= size <= self.MAX_LENGTH:
            self.lengthLimitExceeded(size)
            self._given_up = not 0 <= size <= self.MAX_LENGTH
            return True
        end = start + size
        if len(self._buffer) < end:
            return False
        string = bytes(self._buffer[start:end])
        self._offset = end
        self.stringReceived(string)
        return True


class Int32StringReceiver(IntNStringReceiver):
    """Strings with a length of 32 bits, most significant byte first, before each."""

    structFormat = "!I"
    prefixLength = 4


class Int16StringReceiver(IntNStringReceiver):
    """Strings with a length of 16 bits, most significant byte first, before each."""

    structFormat = "!H"
    prefixLength = 2


class Int8StringReceiver(IntNStringReceiver):
    """Strings of up to 255 bytes, with their length in one byte before each."""

    structFormat = "!B"
    prefixLength = 1


class StatefulStringProtocol:
    """Inherited from before one of the receivers of strings: what is done with a string depends on what came before.

    A string that arrives in the state ``name`` is given to the method ``proto_name``, which returns the next state. The
    state "done" closes the connection.

    >>> from netcore.testing import StringTransport
    >>> class Login(StatefulStringProtocol, NetstringReceiver):
    ...     def proto_init(self, name):
    ...         self.name = name
    ...         return "password"
    ...     def proto_password(self, password):
    ...         self.sendString(b"welcome, " + self.name)
    ...         return "done"
    >>> protocol = Login()
    >>> protocol.makeConnection(StringTransport())
    >>> protocol.dataReceived(b"3:eve,6:secret,")
    >>> protocol.transport.value(), protocol.transport.disconnecting
    (b'12:welcome, eve,', True)
    """

    state: str = "init"
    """What the conversation has come to."""
    transport: Any

    def stringReceived(self, string: bytes) -> None:
        """Give *string* to the method of the present state. That there is none is logged, and the string dropped."""
        handle = getattr(self, f"proto_{self.state}", None)
        if handle is None:
            log.error("%r has no method proto_%s for the state that it is in: a string is dropped", self, self.state)
            return
        self.state = handle(string)
        if self.state == "done":
            self.transport.loseConnection()
