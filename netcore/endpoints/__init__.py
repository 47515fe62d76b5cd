"""Endpoints: where to listen or connect, as values that can be passed around, or read from a string.

The classes take a reactor and the particulars; `serverFromString` and `clientFromString` read them from a string such
as ``tcp:7979:interface=127.0.0.1``, for command lines and configuration. Nothing is opened before ``listen`` or
``connect``.
"""

from netcore.endpoints._adopted import AdoptedStreamServerEndpoint
from netcore.endpoints._client_strings import clientFromString
from netcore.endpoints._connect import connectProtocol
from netcore.endpoints._process import ProcessEndpoint, StandardErrorBehavior
from netcore.endpoints._server_strings import serverFromString
from netcore.endpoints._stdio import StandardIOEndpoint
from netcore.endpoints._strings import quoteStringArgument
from netcore.endpoints._tcp import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    TCP6ClientEndpoint,
    TCP6ServerEndpoint,
)
from netcore.endpoints._tls import SSL4ClientEndpoint, SSL4ServerEndpoint, wrapClientTLS, wrapServerTLS
from netcore.endpoints._unix import UNIXClientEndpoint, UNIXServerEndpoint

__all__ = [
    "AdoptedStreamServerEndpoint",
    "HostnameEndpoint",
    "ProcessEndpoint",
    "SSL4ClientEndpoint",
    "SSL4ServerEndpoint",
    "StandardErrorBehavior",
    "StandardIOEndpoint",
    "TCP4ClientEndpoint",
    "TCP4ServerEndpoint",
    "TCP6ClientEndpoint",
    "TCP6ServerEndpoint",
    "UNIXClientEndpoint",
    "UNIXServerEndpoint",
    "clientFromString",
    "connectProtocol",
    "quoteStringArgument",
    "serverFromString",
    "wrapClientTLS",
    "wrapServerTLS",
]
