"""Tools to test network code without a network; docs/testing.md shows them at work.

`StringTransport` stands in for one connection and keeps what a protocol writes; `connectedPair` connects two protocols
in memory and moves bytes only when told to; `MemoryReactor` keeps what it is asked for, and with `MemoryReactorClock`
time passes when told to. None of them needs an event loop. `successResultOf`, `failureResultOf` and `assertNoResult`
ask a Deferred or a coroutine what it has come to. `netcore.testing.network` has real reactors on a fake network, in
virtual time. `netcore.testing.contracts` are tests for classes of your own.

The plugin for pytest is loaded by pytest itself: the fixtures ``reactor``, ``clock`` and ``network``, and tests that
are coroutines.
"""

from netcore.testing._datagrams import FakeDatagramTransport
from netcore.testing._memory import MemoryReactor, MemoryReactorClock
from netcore.testing._pair import IOPump, MemoryTransport, connectedPair
from netcore.testing._protocols import (
    AccumulatingProtocol,
    LineSendingProtocol,
    NonStreamingProducer,
    waitUntilAllDisconnected,
)
from netcore.testing._raising import RaisingMemoryReactor
from netcore.testing._recorded import MemoryConnector, MemoryPort
from netcore.testing._results import assertNoResult, failureResultOf, successResultOf
from netcore.testing._transport import StringTransport, StringTransportWithDisconnection

__all__ = [
    "AccumulatingProtocol",
    "FakeDatagramTransport",
    "IOPump",
    "LineSendingProtocol",
    "MemoryConnector",
    "MemoryPort",
    "MemoryReactor",
    "MemoryReactorClock",
    "MemoryTransport",
    "NonStreamingProducer",
    "RaisingMemoryReactor",
    "StringTransport",
    "StringTransportWithDisconnection",
    "assertNoResult",
    "connectedPair",
    "failureResultOf",
    "successResultOf",
    "waitUntilAllDisconnected",
]
