"""The part of a reactor that has to do with UNIX stream sockets."""

from __future__ import annotations

from netcore.interfaces import IProtocolFactory
from netcore.reactors._part import Part
from netcore.transports.unix import Connector, Port

__all__ = ["Unix"]


class Unix(Part):
    """`IReactorUNIX`."""

    def listenUNIX(
        self,
        address: str | bytes,
        factory: IProtocolFactory,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: bool = False,
    ) -> Port:
        """Accept connections at the path *address*, for protocols from *factory*; on Linux, an *address* that begins
        with a NUL is an abstract name, which has no file, mode or lock.

        The socket file is removed when the port is closed by the process that opened it, unless it has been replaced:
        a daemon listens after it has forked.

        Args:
            backlog: how many connections the kernel keeps until they are accepted (listen(2)).
            mode: of the socket file, whatever the umask: who may connect, on Linux (unix(7)), is who may write to it.
            wantPID: hold the lock file ``address + ".lock"`` while listening, and replace the socket that a process
                which has ended left at *address*.
        Raises: netcore.error.CannotListenError: something is at *address* (remove it, if nobody listens there, or use
            *wantPID* from the beginning); a live process holds the lock; the path is too long, or its directory not
            there or not writable. ValueError: *address* is empty or has a NUL inside; or *wantPID* with an abstract
            name.
        """
        self._require_usable()
        listening = Port(self._whole, address, factory, backlog, mode, wantPID)
        listening.startListening()
        return listening

    def connectUNIX(
        self,
        address: str | bytes,
        factory: IProtocolFactory,
        timeout: float | None = 30,
        checkPID: bool = False,
    ) -> Connector:
        """Connect to the path, or abstract name, *address*; *factory* (a ClientFactory) hears how it goes.

        That is decided at once, unless the other side is slow in accepting: then it is tried again.

        Args:
            timeout: seconds for the whole attempt; None: any number.
            checkPID: fail with `netcore.error.BadFileError` if no live process holds the lock file of *address*.
        Raises: ValueError: *address* is empty or has a NUL inside; or *checkPID* with an abstract name.
        """
        self._require_usable()
        connector = Connector(self._whole, address, factory, timeout, checkPID)
        connector.connect()
        return connector
