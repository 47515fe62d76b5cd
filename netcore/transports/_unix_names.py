"""Names of UNIX sockets, and the files that some of them have."""

from __future__ import annotations

import os
import socket
import sys

__all__ = ["SocketFile", "checked_name", "is_abstract", "shown_name"]


class SocketFile:
    """The socket file that was just made at *path*."""

    def __init__(self, path: bytes) -> None:
        self.path = path
        self._status = os.lstat(path)

    def remove(self) -> bool:
        """Returns: False if it is no longer there, but another is. Raises: OSError: it cannot be removed."""
        try:
            if not os.path.samestat(self._status, os.lstat(self.path)):
                return False
            os.unlink(self.path)
        except FileNotFoundError:
            pass  # as was wanted
        return True


def checked_name(address: str | bytes, lock_option: str | bool = False) -> bytes:
    """*address* as bytes. Raises: ValueError: it cannot be one. RuntimeError: there are no UNIX sockets here."""
    if not hasattr(socket, "AF_UNIX"):
        raise RuntimeError(f"Python has no UNIX sockets on {sys.platform}: use TCP on the loopback interface")
    name = os.fsencode(address)
    if not name:
        raise ValueError("the address of a UNIX socket is a path or an abstract name, and this is empty")
    if not is_abstract(name):
        if b"\0" in name:
            raise ValueError(f"a path has no NUL in it: {name!r}")
    elif sys.platform not in {"linux", "android"}:
        raise ValueError(f"abstract names exist on Linux only, not on {sys.platform}: {name!r}")
    elif lock_option:
        raise ValueError(f"an abstract name has no lock file, so there can be no {lock_option}: {name!r}")
    return name


def is_abstract(name: bytes) -> bool:
    return name.startswith(b"\0")


def shown_name(name: bytes) -> str:
    """An abstract name begins with "@" then, as it does where the system lists sockets."""
    return f"@{os.fsdecode(name[1:])}" if is_abstract(name) else os.fsdecode(name)
