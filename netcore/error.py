"""What can go wrong with reactors, timers and connections, each as a class of its own.

Names and inheritance are Twisted's (``twisted.internet.error``), so that ``failure.check(...)`` means the same. A
connection that ends always says why with one of the `ConnectionClosed` family; one that never came about with a
`ConnectError`.
"""

from __future__ import annotations

import errno
import socket

__all__ = [
    "AlreadyCalled",
    "AlreadyCancelled",
    "AlreadyListened",
    "BadFileError",
    "BindError",
    "CannotListenError",
    "ConnectBindError",
    "ConnectError",
    "ConnectionAborted",
    "ConnectionClosed",
    "ConnectionDone",
    "ConnectionFdescWentAway",
    "ConnectionLost",
    "ConnectionRefusedError",
    "DNSLookupError",
    "FileDescriptorOverrun",
    "InvalidAddressError",
    "MessageLengthError",
    "MulticastJoinError",
    "NoProtocol",
    "NoRouteError",
    "NoSuchReactor",
    "NotConnectingError",
    "NotListeningError",
    "ProcessDone",
    "ProcessExitedAlready",
    "ProcessTerminated",
    "ReactorAlreadyInstalledError",
    "ReactorAlreadyRunning",
    "ReactorNotRunning",
    "TCPTimedOutError",
    "TimeoutError",
    "UnknownHostError",
    "UnsupportedAddressFamily",
    "UnsupportedSocketType",
    "UserError",
    "getConnectError",
]


class AlreadyCalled(ValueError):
    """The timer has fired: there is nothing left to cancel, delay or reset."""


class AlreadyCancelled(ValueError):
    """The timer was cancelled before."""


class ReactorNotRunning(RuntimeError):
    """The reactor does not run (or is stopping already)."""


class ReactorAlreadyRunning(RuntimeError):
    """The reactor runs, or its thread runs another event loop."""


class ReactorAlreadyInstalledError(AssertionError):
    """There is a global reactor already, and it cannot be exchanged: `netcore.reactors.install` comes first in a
    program."""


class NoSuchReactor(ValueError):
    """There is no reactor of that name here: nobody calls one so, its package is not installed, or this platform has
    it not."""


class NotConnectingError(RuntimeError):
    """There is no attempt to connect that could be stopped."""


class NoProtocol(Exception):
    """A client endpoint's factory returned None from ``buildProtocol``: the connection was made and closed."""


class AlreadyListened(Exception):
    """A descriptor that can be listened on once only was listened on before."""


class BindError(Exception):
    """An address could not be bound."""


class CannotListenError(BindError):
    """A port could not be opened for listening. Retrying helps only once whatever holds the address has gone.

    Attributes: *interface* and *port* as asked for (*interface* ``""``: all), *socketError* the `OSError`.
    """

    def __init__(self, interface: str, port: int | str, socketError: OSError) -> None:
        super().__init__(interface, port, socketError)
        self.interface = interface
        self.port = port
        self.socketError = socketError

    def __str__(self) -> str:
        return f"Couldn't listen on {self.interface or 'any'}:{self.port}: {self.socketError}."


class MulticastJoinError(Exception):
    """A group could not be joined or left."""


class MessageLengthError(Exception):
    """A datagram is longer than the network takes: send less at a time."""


class InvalidAddressError(ValueError):
    """An address is not of the kind that is wanted.

    Attributes: *address*, as given; *message*, what is wanted instead.
    """

    def __init__(self, address: object, message: str) -> None:
        super().__init__(address, message)
        self.address = address
        self.message = message

    def __str__(self) -> str:
        return f"{self.address!r} {self.message}"


class UnsupportedAddressFamily(Exception):
    """A socket is of a family (AF_INET and the like) that cannot be used in this way."""


class UnsupportedSocketType(Exception):
    """A socket is of a type (SOCK_STREAM and the like) that cannot be used in this way."""


class NotListeningError(RuntimeError):
    """The port does not listen."""


class ConnectError(Exception):
    """A connection could not be made. *osError* is the errno or `OSError` behind it, where there is one."""

    def __init__(self, osError: int | OSError | None = None, string: str = "") -> None:
        super().__init__(osError, string)
        self.osError = osError

    def __str__(self) -> str:
        told = self.args[1] or (str(self.osError) if self.osError is not None else "")
        what = (type(self).__doc__ or "").partition(".")[0]
        return f"{what}: {told}" if told else f"{what}."


class ConnectBindError(ConnectError):
    """The local address for an outgoing connection could not be bound."""


class UnknownHostError(ConnectError):
    """The host name could not be resolved."""


class NoRouteError(ConnectError):
    """There is no route to the host."""


class ConnectionRefusedError(ConnectError):
    """The connection was refused by the other side."""


class BadFileError(ConnectError):
    """Nobody holds the lock file of the UNIX socket: no server is there."""


class TCPTimedOutError(ConnectError):
    """The operating system gave up connecting."""


class UserError(ConnectError):
    """The attempt to connect was stopped by the application."""


class TimeoutError(UserError):
    """The connection was not made in the time allowed."""


class DNSLookupError(OSError):
    """A host name could not be looked up."""


class ConnectionClosed(Exception):
    """A connection that stood has ended; the subclass says how."""

    def __str__(self) -> str:
        what = (type(self).__doc__ or "").partition(".")[0]
        told = " ".join(str(part) for part in self.args)
        return f"{what}: {told}" if told else f"{what}."


class ConnectionDone(ConnectionClosed):
    """The connection was closed cleanly."""


class ConnectionLost(ConnectionClosed):
    """The connection to the other side was lost in a non-clean fashion."""


class ConnectionFdescWentAway(ConnectionLost):
    """The descriptor of the connection was closed behind its back, or is none that can be watched."""


class ConnectionAborted(ConnectionLost):
    """The connection was aborted on this side."""


class FileDescriptorOverrun(ConnectionLost):
    """Descriptors were left over that no byte went with. Each needs one: write it after ``sendFileDescriptor``."""


class ProcessDone(ConnectionDone):
    """The process has ended, with exit code 0.

    Attributes: *exitCode*, 0; *signal*, None; *status*, as waitpid(2) gave it.
    """

    exitCode = 0
    signal = None

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


class ProcessTerminated(ConnectionLost):
    """The process has ended with an error.

    Attributes: *exitCode*, or None if a signal ended it; the number of that *signal*, or None; *status*, as waitpid(2)
        gave it. All three are None if somebody else in this program has waited for the process, which took that away.
    """

    def __init__(self, exitCode: int | None = None, signal: int | None = None, status: int | None = None) -> None:
        if exitCode is not None:
            how = f"exit code {exitCode}"
        elif signal is not None:
            how = f"signal {signal}"
        else:
            how = "how is not known, since something else in this program has waited for it"
        super().__init__(how)
        self.exitCode = exitCode
        self.signal = signal
        self.status = status


class ProcessExitedAlready(Exception):
    """The process has ended: there is nothing left to send a signal to."""


_BY_ERRNO: dict[int, type[ConnectError]] = {
    errno.ECONNREFUSED: ConnectionRefusedError,
    errno.ENETUNREACH: NoRouteError,
    errno.EHOSTUNREACH: NoRouteError,
    errno.ETIMEDOUT: TCPTimedOutError,
}


def getConnectError(error: OSError) -> ConnectError:
    """The `ConnectError` that says what *error*, raised by connecting a socket, means."""
    if isinstance(error, socket.gaierror):
        return UnknownHostError(error, str(error))
    number = error.errno or 0
    return _BY_ERRNO.get(number, ConnectError)(error, error.strerror or str(error))
