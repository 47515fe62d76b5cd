"""The PROXY protocol, versions 1 and 2: connections that come through a proxy, with the clients' addresses.

A proxy such as HAProxy, with ``send-proxy`` or ``send-proxy-v2``, begins each connection with a header that says from
where the client has connected, and to where: https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt.
"""

from netcore.protocols.haproxy._header import InvalidProxyHeader, ProxyHeader, ProxyTLS
from netcore.protocols.haproxy._wrapper import HAProxyProtocolWrapper, HAProxyWrappingFactory, proxyEndpoint

__all__ = [
    "HAProxyProtocolWrapper",
    "HAProxyWrappingFactory",
    "InvalidProxyHeader",
    "ProxyHeader",
    "ProxyTLS",
    "proxyEndpoint",
]
