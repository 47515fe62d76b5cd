"""Tools to test network code without a network.

`StringTransport` stands in for one connection and keeps what a protocol writes; `connectedPair` connects two protocols
in memory and moves bytes only when told to. Neither needs a reactor.
"""

from netcore.testing._pair import IOPump, MemoryTransport, connectedPair
from netcore.testing._transport import StringTransport

__all__ = ["IOPump", "MemoryTransport", "StringTransport", "connectedPair"]
