"""Who is at the other end of a UNIX socket, asked of the kernel.

Linux: unix(7), SO_PEERCRED. macOS and FreeBSD: unix(4), LOCAL_PEERCRED, and sys/un.h and sys/ucred.h for its layout;
those two are written from their documentation and untried.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys

from netcore.address import PeerCredentials

__all__ = ["peer_credentials"]

_LINUX = struct.Struct("iII")  # struct ucred: pid, uid, gid
# struct xucred: version, uid, number of groups, and 16 groups, of which the first is the effective one.
_XUCRED = struct.Struct("@IIh16I")
_SOL_LOCAL, _LOCAL_PEERCRED, _LOCAL_PEERPID = 0, 1, 2


def peer_credentials(sock: socket.socket) -> PeerCredentials:
    """Who has connected to *sock*, or whom it has connected to.

    Raises: OSError: the kernel does not say; with ENOTSUP where this platform has no way to ask.
    """
    platform: str = sys.platform
    if platform in {"linux", "android"}:
        pid, uid, gid = _LINUX.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _LINUX.size))
        return PeerCredentials(pid or None, uid, gid)  # 0: a process outside of our PID namespace
    if platform == "darwin" or platform.startswith("freebsd"):
        return _from_xucred(sock, platform)
    raise OSError(errno.ENOTSUP, f"netcore does not know how to ask for the peer's credentials on {platform}")


def _from_xucred(sock: socket.socket, platform: str) -> PeerCredentials:
    told = sock.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, 128)
    _, uid, count, *groups = _XUCRED.unpack(told[: _XUCRED.size])
    if not count:
        raise OSError(errno.EINVAL, "the kernel told no group of the peer")
    pid = sock.getsockopt(_SOL_LOCAL, _LOCAL_PEERPID) if platform == "darwin" else None
    return PeerCredentials(pid, uid, groups[0])
