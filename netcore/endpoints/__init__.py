"""Endpoints: where to listen or connect, as values that can be passed around, or read from a string.

The classes take a reactor and the particulars; `serverFromString` and `clientFromString` read them from a string such
as ``tcp:7979:interface=127.0.0.1``, for command lines and configuration. Nothing is opened before ``listen`` or
``connect``.
"""

from netcore.endpoints._connect import connectProtocol
from netcore.endpoints._from_string import clientFromString, serverFromString
from netcore.endpoints._process import ProcessEndpoint, StandardErrorBehavior
from netcore.endpoints._stdio import StandardIOEndpoint
from netcore.endpoints._strings import quoteStringArgument
from netcore.endpoints._tcp import TCP4ClientEndpoint, TCP4ServerEndpoint, TCP6ServerEndpoint
from netcore.endpoints._tls import SSL4ClientEndpoint, SSL4ServerEndpoint, wrapClientTLS

__all__ = [
    "ProcessEndpoint",
    "SSL4ClientEndpoint",
    "SSL4ServerEndpoint",
    "StandardErrorBehavior",
    "StandardIOEndpoint",
    "TCP4ClientEndpoint",
    "TCP4ServerEndpoint",
    "TCP6ServerEndpoint",
    "clientFromString",
    "connectProtocol",
    "quoteStringArgument",
    "serverFromString",
    "wrapClientTLS",
]
