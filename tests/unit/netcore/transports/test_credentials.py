"""What each system says of the peer of a UNIX socket, over a socket that says it."""

from __future__ import annotations

import errno
import socket
import struct
import sys
from typing import Any

import pytest

from netcore.address import PeerCredentials
from netcore.transports._credentials import peer_credentials


class Socket:
    """*answers*: what getsockopt() gives, by level and option."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    def getsockopt(self, level: int, option: int, size: int | None = None) -> Any:
        answer = self.answers[f"o{level}_{option}"]
        return answer if size is None else answer[:size]


def ask(monkeypatch: pytest.MonkeyPatch, platform: str, **answers: Any) -> PeerCredentials:
    monkeypatch.setattr(sys, "platform", platform)
    sock: Any = Socket(**answers)
    return peer_credentials(sock)


def xucred(groups: int) -> bytes:
    return struct.pack("@IIh16I", 0, 4_000_000_000, groups, 20, *[0] * 15) + b"\0" * 12


def test_linux_says_all(monkeypatch: pytest.MonkeyPatch) -> None:
    option = f"o{socket.SOL_SOCKET}_{getattr(socket, 'SO_PEERCRED', 17)}"
    monkeypatch.setattr(socket, "SO_PEERCRED", getattr(socket, "SO_PEERCRED", 17), raising=False)
    assert ask(monkeypatch, "linux", **{option: struct.pack("iII", 7, 1000, 100)}) == PeerCredentials(7, 1000, 100)
    assert ask(monkeypatch, "linux", **{option: struct.pack("iII", 0, 65534, 65534)}).pid is None


def test_macos_has_the_process_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(monkeypatch, "darwin", o0_1=xucred(1), o0_2=7) == PeerCredentials(7, 4_000_000_000, 20)


def test_freebsd_says_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(monkeypatch, "freebsd14", o0_1=xucred(1)) == PeerCredentials(None, 4_000_000_000, 20)


def test_a_peer_without_groups_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="no group"):
        ask(monkeypatch, "freebsd14", o0_1=xucred(0))


def test_other_systems_are_refused_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="sunos5") as caught:
        ask(monkeypatch, "sunos5")
    assert caught.value.errno == errno.ENOTSUP
