"""Protocols and the factories that build them.

A factory stands for a service or a peer and lives as long as it is used; it builds one protocol for each connection. A
protocol is one connection's conversation. Its transport calls it, always in the reactor's thread, in this order:
``makeConnection`` once (which calls ``connectionMade``), ``dataReceived`` any number of times, ``connectionLost`` once.

Datagrams need no connection: their protocol is a port's, and talks with everybody who sends something there. Its port
calls ``makeConnection`` (which calls ``startProtocol``), ``datagramReceived`` any number of times, and ``doStop``
(``stopProtocol``) when it is closed; then the protocol may be given to another one.

A child process has a protocol as well: ``makeConnection``, ``childDataReceived`` and ``childConnectionLost`` for each
of its pipes, ``processExited``, and ``processEnded`` last.

Nothing here does input or output, or knows a reactor that it was not given: that is what makes a protocol testable on
`netcore.testing.StringTransport` as well as on a network. `ReconnectingClientFactory` asks for this thread's reactor
when it has to wait and has no clock.
"""

from netcore.protocol._creator import ClientCreator
from netcore.protocol._datagrams import ConnectedDatagramProtocol, DatagramProtocol
from netcore.protocol._factories import ClientFactory, Factory, ServerFactory
from netcore.protocol._file import FileWrapper
from netcore.protocol._processes import ProcessProtocol
from netcore.protocol._reconnecting import ReconnectingClientFactory
from netcore.protocol._stream import BaseProtocol, Protocol, connectionDone

__all__ = [
    "BaseProtocol",
    "ClientCreator",
    "ClientFactory",
    "ConnectedDatagramProtocol",
    "DatagramProtocol",
    "Factory",
    "FileWrapper",
    "ProcessProtocol",
    "Protocol",
    "ReconnectingClientFactory",
    "ServerFactory",
    "connectionDone",
]
