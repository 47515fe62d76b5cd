"""Services that listen, connect, or do something again and again, while they run.

`StreamServerEndpointService` and `ClientService` work on any endpoint; the services that are called after a kind of
network call the reactor's methods for that.
"""

from netcore.application.internet._backoff import backoffPolicy
from netcore.application.internet._client import ClientService
from netcore.application.internet._listening import StreamServerEndpointService
from netcore.application.internet._reactor_services import (
    MulticastServer,
    SSLClient,
    SSLServer,
    TCPClient,
    TCPServer,
    UDPServer,
    UNIXClient,
    UNIXDatagramClient,
    UNIXDatagramServer,
    UNIXServer,
)
from netcore.application.internet._recurring import CooperatorService, TimerService

__all__ = [
    "ClientService",
    "CooperatorService",
    "MulticastServer",
    "SSLClient",
    "SSLServer",
    "StreamServerEndpointService",
    "TCPClient",
    "TCPServer",
    "TimerService",
    "UDPServer",
    "UNIXClient",
    "UNIXDatagramClient",
    "UNIXDatagramServer",
    "UNIXServer",
    "backoffPolicy",
]
