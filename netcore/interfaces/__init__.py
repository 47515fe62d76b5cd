"""The contracts between the parts: what a reactor offers, what a transport promises, what a protocol must answer.

Each is one declaration, read by type checkers as a `typing.Protocol` and by the running program as a zope Interface
(see `netcore._interface`). Names and semantics are those of ``twisted.internet.interfaces`` and
``twisted.application.service``; only what netcore implements is declared.
"""

from netcore._interface import Interface, adapt, implementer, provides
from netcore.interfaces._endpoint import IStreamClientEndpoint, IStreamServerEndpoint
from netcore.interfaces._protocol import ILoggingContext, IProtocol, IProtocolFactory
from netcore.interfaces._reactor import (
    IConnector,
    IDelayedCall,
    IListeningPort,
    IReactorCore,
    IReactorFromThreads,
    IReactorInThreads,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
)
from netcore.interfaces._service import IProcess, IService, IServiceCollection
from netcore.interfaces._transport import (
    IAddress,
    IConsumer,
    IProducer,
    IPullProducer,
    IPushProducer,
    ITCPTransport,
    ITransport,
)

__all__ = [
    "IAddress",
    "IConnector",
    "IConsumer",
    "IDelayedCall",
    "IListeningPort",
    "ILoggingContext",
    "IProcess",
    "IProducer",
    "IProtocol",
    "IProtocolFactory",
    "IPullProducer",
    "IPushProducer",
    "IReactorCore",
    "IReactorFromThreads",
    "IReactorInThreads",
    "IReactorTCP",
    "IReactorThreads",
    "IReactorTime",
    "IService",
    "IServiceCollection",
    "IStreamClientEndpoint",
    "IStreamServerEndpoint",
    "ITCPTransport",
    "ITransport",
    "Interface",
    "adapt",
    "implementer",
    "provides",
]
