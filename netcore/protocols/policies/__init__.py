"""Wrappers, for any factory: what a service does with its connections besides talking.

They can be put around each other, and around TLS. `netcore.protocols.limits` has the one that defends a listener.
"""

from netcore.protocols.policies._counting import LimitConnectionsByPeer, LimitTotalConnectionsFactory
from netcore.protocols.policies._throttling import ThrottlingFactory, ThrottlingProtocol
from netcore.protocols.policies._timeouts import TimeoutFactory, TimeoutMixin, TimeoutProtocol
from netcore.protocols.policies._watching import (
    SpewingFactory,
    SpewingProtocol,
    TrafficLoggingFactory,
    TrafficLoggingProtocol,
)
from netcore.protocols.policies._wrapping import ProtocolWrapper, WrappingFactory

__all__ = [
    "LimitConnectionsByPeer",
    "LimitTotalConnectionsFactory",
    "ProtocolWrapper",
    "SpewingFactory",
    "SpewingProtocol",
    "ThrottlingFactory",
    "ThrottlingProtocol",
    "TimeoutFactory",
    "TimeoutMixin",
    "TimeoutProtocol",
    "TrafficLoggingFactory",
    "TrafficLoggingProtocol",
    "WrappingFactory",
]
