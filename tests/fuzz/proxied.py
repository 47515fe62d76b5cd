"""For the targets of the PROXY protocol: a connection that begins with some bytes, cut in every way."""

from __future__ import annotations

from random import Random
from typing import Any

from netcore.protocol import Factory, Protocol
from netcore.protocols.haproxy import HAProxyWrappingFactory, ProxyHeader
from netcore.task import Clock
from netcore.testing import StringTransport
from tests.fuzz.frame import calls, cuts

__all__ = ["Outcome", "outcome_of"]

# What the proxy said (None: nothing was accepted), the peer's address, what the protocol heard, whether it was refused.
Outcome = tuple[ProxyHeader | None, Any, bytes, bool]


class Recorder(Protocol):
    def __init__(self) -> None:
        self.heard = b""

    def dataReceived(self, data: bytes) -> None:
        assert data, "nothing is no data"
        self.heard += data


def outcome_of(random: Random, data: bytes, work_each: int) -> Outcome:
    """What comes of a connection that begins with *data*: the same, however it is cut.

    Args:
        work_each: how many calls one piece may cost at most.
    """
    outcomes = []
    for pieces in cuts(random, data):
        clock = Clock()
        factory = HAProxyWrappingFactory(Factory[Any].forProtocol(Recorder), clock=clock)
        factory.noisy = False
        factory._quiet_until = 1e9  # the log is not what is tested
        transport: Any = StringTransport()
        wrapper: Any = factory.buildProtocol(transport.getPeer())
        wrapper.makeConnection(transport)

        def feed(wrapper: Any = wrapper, pieces: list[bytes] = pieces) -> None:
            for piece in pieces:
                wrapper.dataReceived(piece)

        assert calls(feed) <= work_each * len(pieces) + 4 * len(data) + 1_000
        protocol = wrapper.wrappedProtocol
        assert transport.disconnected is bool(factory.refused)
        assert wrapper._begun is None or len(wrapper._begun) <= 16 + 65535
        waits = wrapper._begun is not None
        assert len(clock.getDelayedCalls()) == waits, "a timer while it waits, and none else"
        assert (protocol is not None) == (not waits and not transport.disconnected)
        outcomes.append(
            (wrapper.proxyHeader, wrapper.getPeer(), protocol.heard if protocol else b"", transport.disconnected)
        )
        wrapper.connectionLost(None)
        assert clock.getDelayedCalls() == []
    assert all(each == outcomes[0] for each in outcomes), outcomes
    return outcomes[0]
