"""The contracts between the parts: what a reactor offers, what a transport promises, what a protocol must answer.

Each is one declaration, read by type checkers as a `typing.Protocol` and by the running program as a zope Interface
(see `netcore._interface`). Names and semantics are those of ``twisted.internet.interfaces`` and
``twisted.application.service``; only what netcore implements is declared.
"""

from netcore._interface import Interface, adapt, implementer, provides
from netcore.interfaces._descriptor import (
    IFileDescriptor,
    IReadDescriptor,
    IReadWriteDescriptor,
    IWriteDescriptor,
)
from netcore.interfaces._endpoint import (
    IStreamClientEndpoint,
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpoint,
    IStreamServerEndpointStringParser,
)
from netcore.interfaces._network import (
    IConnector,
    IListeningPort,
    IReactorMulticast,
    IReactorSocket,
    IReactorTCP,
    IReactorUDP,
    IReactorUNIX,
    IReactorUNIXDatagram,
)
from netcore.interfaces._process import (
    IProcessProtocol,
    IProcessTransport,
    IReactorProcess,
)
from netcore.interfaces._protocol import (
    IDrainable,
    IFileDescriptorReceiver,
    IHalfCloseableProtocol,
    ILimitListener,
    ILoggingContext,
    IProtocol,
    IProtocolFactory,
)
from netcore.interfaces._reactor import (
    IDelayedCall,
    IReactorCore,
    IReactorFDSet,
    IReactorFromThreads,
    IReactorInThreads,
    IReactorThreads,
    IReactorTime,
)
from netcore.interfaces._resolver import (
    IHostnameResolver,
    IHostResolution,
    IReactorPluggableNameResolver,
    IReactorPluggableResolver,
    IResolutionReceiver,
    IResolverSimple,
)
from netcore.interfaces._service import (
    IProcess,
    IService,
    IServiceCollection,
)
from netcore.interfaces._tls import (
    IHandshakeListener,
    INegotiated,
    IReactorSSL,
    ISSLTransport,
    ITLSTransport,
)
from netcore.interfaces._transport import (
    IAddress,
    IConsumer,
    IMulticastTransport,
    IProducer,
    IPullProducer,
    IPushProducer,
    ITCPTransport,
    ITransport,
    IUDPTransport,
    IUNIXDatagramConnectedTransport,
    IUNIXDatagramTransport,
    IUNIXTransport,
)

__all__ = [
    "IAddress",
    "IConnector",
    "IConsumer",
    "IDelayedCall",
    "IDrainable",
    "IFileDescriptor",
    "IFileDescriptorReceiver",
    "IHalfCloseableProtocol",
    "IHandshakeListener",
    "IHostResolution",
    "IHostnameResolver",
    "ILimitListener",
    "IListeningPort",
    "ILoggingContext",
    "IMulticastTransport",
    "INegotiated",
    "IProcess",
    "IProcessProtocol",
    "IProcessTransport",
    "IProducer",
    "IProtocol",
    "IProtocolFactory",
    "IPullProducer",
    "IPushProducer",
    "IReactorCore",
    "IReactorFDSet",
    "IReactorFromThreads",
    "IReactorInThreads",
    "IReactorMulticast",
    "IReactorPluggableNameResolver",
    "IReactorPluggableResolver",
    "IReactorProcess",
    "IReactorSSL",
    "IReactorSocket",
    "IReactorTCP",
    "IReactorThreads",
    "IReactorTime",
    "IReactorUDP",
    "IReactorUNIX",
    "IReactorUNIXDatagram",
    "IReadDescriptor",
    "IReadWriteDescriptor",
    "IResolutionReceiver",
    "IResolverSimple",
    "ISSLTransport",
    "IService",
    "IServiceCollection",
    "IStreamClientEndpoint",
    "IStreamClientEndpointStringParserWithReactor",
    "IStreamServerEndpoint",
    "IStreamServerEndpointStringParser",
    "ITCPTransport",
    "ITLSTransport",
    "ITransport",
    "IUDPTransport",
    "IUNIXDatagramConnectedTransport",
    "IUNIXDatagramTransport",
    "IUNIXTransport",
    "IWriteDescriptor",
    "Interface",
    "adapt",
    "implementer",
    "provides",
]
