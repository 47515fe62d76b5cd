"""The endpoint of a socket that was open before: inherited from a parent process, or from systemd."""

from __future__ import annotations

import os
import socket

from netcore.defer import Deferred, fail
from netcore.endpoints._listen import listening
from netcore.error import AlreadyListened
from netcore.interfaces import IListeningPort, IProtocolFactory, IReactorSocket, IStreamServerEndpoint, implementer
from netcore.systemd import _file

__all__ = ["AdoptedStreamServerEndpoint", "listening_family"]


@implementer(IStreamServerEndpoint)
class AdoptedStreamServerEndpoint:
    """A socket that listens already, by the number of its descriptor, which is given away: `listen` closes it.

    Args:
        reactor: what accepts.
        fileno: the descriptor.
        addressFamily: `socket.AF_INET`, `socket.AF_INET6` or `socket.AF_UNIX`: the socket's.
    """

    def __init__(self, reactor: IReactorSocket, fileno: int, addressFamily: int) -> None:
        self.reactor = reactor
        self.fileno = fileno
        self.addressFamily = addressFamily
        self._used = False
        self._file = _file(fileno)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} fileno={self.fileno} {socket.AddressFamily(self.addressFamily).name}>"

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Accept connections there, with protocols from *protocolFactory*; once.

        Returns: Deferred that has fired already, with the port, on a duplicate of the descriptor.
        Fails with: netcore.error.AlreadyListened: here, or by another endpoint with this descriptor.
            netcore.error.UnsupportedAddressFamily, UnsupportedSocketType, OSError: the socket is not what was said; the
            descriptor stays open.
        """
        # Its number may be another port's by now, or the loop's own: closing that would break them.
        if self._used or (self._file is not None and _file(self.fileno) != self._file):
            return fail(
                AlreadyListened(f"descriptor {self.fileno} was given away before: it may mean another file now")
            )
        return listening(self._listen, protocolFactory)

    def _listen(self, factory: IProtocolFactory) -> IListeningPort:
        port = self.reactor.adoptStreamPort(self.fileno, self.addressFamily, factory)
        self._used = True
        os.close(self.fileno)
        return port


def listening_family(fileno: int) -> socket.AddressFamily:
    """The address family of the stream socket *fileno*.

    Raises: OSError: it is open to no such socket, or the socket does not listen.
    """
    duplicate = os.dup(fileno)
    try:
        sock = socket.socket(fileno=duplicate)
    except BaseException:
        os.close(duplicate)
        raise
    with sock:
        if sock.type != socket.SOCK_STREAM or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError("it is no stream socket that listens")
        return socket.AddressFamily(sock.family)
