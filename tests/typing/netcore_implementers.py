"""Every implementer is assigned to its interfaces, for mypy and pyright to check; nothing here is run.

`tests/unit/netcore/test_interfaces.py` sees to it that none is missing.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from netcore._timers import DelayedCall
from netcore.address import HostnameAddress, IPv4Address, IPv6Address, UNIXAddress
from netcore.application.internet import (
    ClientService,
    CooperatorService,
    MulticastServer,
    SSLClient,
    SSLServer,
    StreamServerEndpointService,
    TCPClient,
    TCPServer,
    TimerService,
    UDPServer,
    UNIXClient,
    UNIXDatagramClient,
    UNIXDatagramServer,
    UNIXServer,
)
from netcore.application.internet._listening import DrainingService
from netcore.application.service import Application, MultiService, Process, Service
from netcore.endpoints import (
    AdoptedStreamServerEndpoint,
    HostnameEndpoint,
    ProcessEndpoint,
    SSL4ClientEndpoint,
    SSL4ServerEndpoint,
    StandardIOEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    TCP6ClientEndpoint,
    TCP6ServerEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
)
from netcore.interfaces import (
    IAddress,
    IConnector,
    IConsumer,
    IDelayedCall,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IHostnameResolver,
    IHostResolution,
    IListeningPort,
    ILoggingContext,
    IMulticastTransport,
    INegotiated,
    IProcess,
    IProcessProtocol,
    IProcessTransport,
    IProtocol,
    IProtocolFactory,
    IPullProducer,
    IPushProducer,
    IReactorCore,
    IReactorFDSet,
    IReactorFromThreads,
    IReactorInThreads,
    IReactorMulticast,
    IReactorPluggableNameResolver,
    IReactorPluggableResolver,
    IReactorProcess,
    IReactorSocket,
    IReactorSSL,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
    IReactorUDP,
    IReactorUNIX,
    IReactorUNIXDatagram,
    IResolverSimple,
    IService,
    IServiceCollection,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
    ITCPTransport,
    ITLSTransport,
    ITransport,
    IUDPTransport,
    IUNIXDatagramConnectedTransport,
    IUNIXDatagramTransport,
    IUNIXTransport,
)
from netcore.protocol import (
    ClientFactory,
    ConnectedDatagramProtocol,
    DatagramProtocol,
    Factory,
    FileWrapper,
    ProcessProtocol,
    Protocol,
    ReconnectingClientFactory,
    ServerFactory,
)
from netcore.protocols.adapt import AsyncioProtocol, NetcoreTransport
from netcore.protocols.basic import (
    FileSender,
    Int8StringReceiver,
    Int16StringReceiver,
    Int32StringReceiver,
    IntNStringReceiver,
    LineOnlyReceiver,
    LineReceiver,
    NetstringReceiver,
)
from netcore.protocols.haproxy import HAProxyProtocolWrapper, HAProxyWrappingFactory
from netcore.protocols.limits._factory import LimitedFactory, Refused
from netcore.protocols.limits._limited import LimitedProtocol
from netcore.protocols.limits._options import LimitedEndpoint
from netcore.protocols.policies import (
    LimitConnectionsByPeer,
    LimitTotalConnectionsFactory,
    ProtocolWrapper,
    SpewingFactory,
    SpewingProtocol,
    ThrottlingFactory,
    ThrottlingProtocol,
    TimeoutFactory,
    TimeoutProtocol,
    TrafficLoggingFactory,
    TrafficLoggingProtocol,
    WrappingFactory,
)
from netcore.protocols.stream import Stream, StreamFactory
from netcore.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from netcore.reactors import Reactor
from netcore.resolver import (
    CachingResolver,
    ComplexResolverSimplifier,
    DictResolver,
    GAIResolver,
    SimpleResolverComplexifier,
    ThreadedResolver,
)
from netcore.resolver._resolution import Resolution
from netcore.task import Clock
from netcore.testing import MemoryTransport, StringTransport
from netcore.testing.network import FakeNetwork, Host
from netcore.transports import udp
from netcore.transports._connection import SecuredConnection
from netcore.transports._unix_datagram import ConnectedDatagramPort, DatagramPort
from netcore.transports.tcp import Connection, Connector, Port
from netcore.transports.udp import MulticastPort

T = TypeVar("T")


class Accepts(Generic[T]):
    """``Accepts[IThing](thing)`` is an error unless *thing* is an `IThing`."""

    def __init__(self, implementer: T) -> None: ...


def made(kind: type[T]) -> T:
    """An instance of *kind*, as far as a type checker is concerned."""
    raise NotImplementedError


def check() -> None:
    """Never called."""
    Accepts[IAddress](made(IPv4Address))
    Accepts[IAddress](made(IPv6Address))
    Accepts[IAddress](made(UNIXAddress))
    Accepts[IAddress](made(HostnameAddress))

    Accepts[IProtocol](made(Protocol))
    Accepts[ILoggingContext](made(Protocol))
    Accepts[IProtocol](made(LineReceiver))
    Accepts[IPushProducer](made(LineReceiver))
    Accepts[ILoggingContext](made(LineReceiver))
    Accepts[IProtocol](made(LineOnlyReceiver))
    Accepts[ILoggingContext](made(LineOnlyReceiver))
    Accepts[IProtocol](made(NetstringReceiver))
    Accepts[IPushProducer](made(NetstringReceiver))
    Accepts[ILoggingContext](made(NetstringReceiver))
    Accepts[IProtocol](made(IntNStringReceiver))
    Accepts[IPushProducer](made(IntNStringReceiver))
    Accepts[ILoggingContext](made(IntNStringReceiver))
    Accepts[IProtocol](made(Int8StringReceiver))
    Accepts[IPushProducer](made(Int8StringReceiver))
    Accepts[ILoggingContext](made(Int8StringReceiver))
    Accepts[IProtocol](made(Int16StringReceiver))
    Accepts[IPushProducer](made(Int16StringReceiver))
    Accepts[ILoggingContext](made(Int16StringReceiver))
    Accepts[IProtocol](made(Int32StringReceiver))
    Accepts[IPushProducer](made(Int32StringReceiver))
    Accepts[ILoggingContext](made(Int32StringReceiver))
    Accepts[IPullProducer](made(FileSender))
    Accepts[IProtocol](made(AsyncioProtocol[Any]))
    Accepts[IHalfCloseableProtocol](made(AsyncioProtocol[Any]))
    Accepts[IHandshakeListener](made(AsyncioProtocol[Any]))
    Accepts[ILoggingContext](made(AsyncioProtocol[Any]))
    Accepts[ITCPTransport](made(NetcoreTransport))
    Accepts[IProtocol](made(Stream))
    Accepts[IHalfCloseableProtocol](made(Stream))
    Accepts[ILoggingContext](made(Stream))
    Accepts[IProtocolFactory](made(StreamFactory))
    Accepts[ILoggingContext](made(StreamFactory))
    Accepts[ITransport](made(FileWrapper))
    Accepts[IConsumer](made(FileWrapper))
    Accepts[IProtocolFactory](made(Factory[Any]))
    Accepts[ILoggingContext](made(Factory[Any]))
    Accepts[IProtocolFactory](made(ServerFactory[Any]))
    Accepts[ILoggingContext](made(ServerFactory[Any]))
    Accepts[IProtocolFactory](made(ClientFactory[Any]))
    Accepts[ILoggingContext](made(ClientFactory[Any]))
    Accepts[IProtocolFactory](made(ReconnectingClientFactory[Any]))
    Accepts[ILoggingContext](made(ReconnectingClientFactory[Any]))

    Accepts[ILoggingContext](made(DatagramProtocol))
    Accepts[ILoggingContext](made(ConnectedDatagramProtocol))

    Accepts[ITLSTransport](made(Connection))
    Accepts[ITCPTransport](made(StringTransport))
    Accepts[ITCPTransport](made(MemoryTransport))
    Accepts[IListeningPort](made(Port))
    Accepts[IConnector](made(Connector))
    Accepts[IListeningPort](made(udp.Port))
    Accepts[IUDPTransport](made(udp.Port))
    Accepts[IListeningPort](made(MulticastPort))
    Accepts[IUDPTransport](made(MulticastPort))
    Accepts[IMulticastTransport](made(MulticastPort))
    Accepts[IListeningPort](made(DatagramPort))
    Accepts[IUNIXDatagramTransport](made(DatagramPort))
    Accepts[IListeningPort](made(ConnectedDatagramPort))
    Accepts[IUNIXDatagramConnectedTransport](made(ConnectedDatagramPort))

    Accepts[IReactorCore](made(Reactor))
    Accepts[IReactorTime](made(Reactor))
    Accepts[IReactorThreads](made(Reactor))
    Accepts[IReactorFDSet](made(Reactor))
    Accepts[IReactorSSL](made(Reactor))
    Accepts[IReactorTCP](made(Reactor))
    Accepts[IReactorSocket](made(Reactor))
    Accepts[IReactorUDP](made(Reactor))
    Accepts[IReactorMulticast](made(Reactor))
    Accepts[IReactorUNIXDatagram](made(Reactor))
    Accepts[IReactorUNIX](made(Reactor))
    Accepts[IReactorPluggableResolver](made(Reactor))
    Accepts[IReactorPluggableNameResolver](made(Reactor))
    Accepts[IReactorProcess](made(Reactor))
    Accepts[IReactorTime](made(Clock))
    Accepts[IReactorTime](made(FakeNetwork))
    Accepts[IReactorCore](made(Host))
    Accepts[IReactorTime](made(Host))
    Accepts[IReactorThreads](made(Host))
    Accepts[IReactorTCP](made(Host))
    Accepts[IReactorSSL](made(Host))
    Accepts[IReactorPluggableResolver](made(Host))
    Accepts[IReactorPluggableNameResolver](made(Host))
    Accepts[IDelayedCall](made(DelayedCall))

    Accepts[IHostnameResolver](made(GAIResolver))
    Accepts[IHostnameResolver](made(CachingResolver))
    Accepts[IHostnameResolver](made(DictResolver))
    Accepts[IHostnameResolver](made(SimpleResolverComplexifier))
    Accepts[IResolverSimple](made(ComplexResolverSimplifier))
    Accepts[IResolverSimple](made(ThreadedResolver))
    Accepts[IHostResolution](made(Resolution))

    Accepts[IStreamServerEndpoint](made(TCP4ServerEndpoint))
    Accepts[IStreamServerEndpoint](made(TCP6ServerEndpoint))
    Accepts[IStreamClientEndpoint](made(TCP4ClientEndpoint))
    Accepts[IStreamClientEndpoint](made(TCP6ClientEndpoint))
    Accepts[IStreamClientEndpoint](made(HostnameEndpoint))
    Accepts[IStreamServerEndpoint](made(UNIXServerEndpoint))
    Accepts[IStreamClientEndpoint](made(UNIXClientEndpoint))
    Accepts[IStreamServerEndpoint](made(AdoptedStreamServerEndpoint))
    Accepts[IStreamServerEndpoint](made(SSL4ServerEndpoint))
    Accepts[IStreamClientEndpoint](made(SSL4ClientEndpoint))
    Accepts[IProtocolFactory](made(TLSMemoryBIOFactory))
    Accepts[ILoggingContext](made(TLSMemoryBIOFactory))
    Accepts[IProtocol](made(TLSMemoryBIOProtocol))
    Accepts[INegotiated](made(TLSMemoryBIOProtocol))
    Accepts[INegotiated](made(SecuredConnection))
    Accepts[ITLSTransport](made(SecuredConnection))
    Accepts[IProtocol](made(ProtocolWrapper))
    Accepts[ILoggingContext](made(ProtocolWrapper))
    Accepts[IProtocolFactory](made(WrappingFactory))
    Accepts[ILoggingContext](made(WrappingFactory))
    Accepts[IProtocolFactory](made(LimitConnectionsByPeer))
    Accepts[ILoggingContext](made(LimitConnectionsByPeer))
    Accepts[IProtocolFactory](made(LimitTotalConnectionsFactory))
    Accepts[ILoggingContext](made(LimitTotalConnectionsFactory))
    Accepts[IProtocolFactory](made(SpewingFactory))
    Accepts[ILoggingContext](made(SpewingFactory))
    Accepts[IProtocolFactory](made(ThrottlingFactory))
    Accepts[ILoggingContext](made(ThrottlingFactory))
    Accepts[IProtocolFactory](made(TimeoutFactory))
    Accepts[ILoggingContext](made(TimeoutFactory))
    Accepts[IProtocolFactory](made(TrafficLoggingFactory))
    Accepts[ILoggingContext](made(TrafficLoggingFactory))
    Accepts[IProtocol](made(SpewingProtocol))
    Accepts[ILoggingContext](made(SpewingProtocol))
    Accepts[IProtocol](made(ThrottlingProtocol))
    Accepts[ILoggingContext](made(ThrottlingProtocol))
    Accepts[IProtocol](made(TimeoutProtocol))
    Accepts[ILoggingContext](made(TimeoutProtocol))
    Accepts[IProtocol](made(TrafficLoggingProtocol))
    Accepts[ILoggingContext](made(TrafficLoggingProtocol))
    Accepts[IProtocol](made(LimitedProtocol))
    Accepts[ILoggingContext](made(LimitedProtocol))
    Accepts[IProtocol](made(Refused))
    Accepts[ILoggingContext](made(Refused))
    Accepts[IProtocolFactory](made(LimitedFactory))
    Accepts[ILoggingContext](made(LimitedFactory))
    Accepts[IStreamServerEndpoint](made(LimitedEndpoint))
    Accepts[IHandshakeListener](made(HAProxyProtocolWrapper))
    Accepts[IProtocol](made(HAProxyProtocolWrapper))
    Accepts[ILoggingContext](made(HAProxyProtocolWrapper))
    Accepts[IProtocolFactory](made(HAProxyWrappingFactory))
    Accepts[ILoggingContext](made(HAProxyWrappingFactory))
    Accepts[IStreamClientEndpoint](made(ProcessEndpoint))
    Accepts[IStreamServerEndpoint](made(StandardIOEndpoint))

    Accepts[IService](made(Service))
    Accepts[IService](made(ClientService))
    Accepts[IService](made(DrainingService))
    Accepts[IService](made(CooperatorService))
    Accepts[IService](made(MulticastServer))
    Accepts[IService](made(SSLClient))
    Accepts[IService](made(SSLServer))
    Accepts[IService](made(StreamServerEndpointService))
    Accepts[IService](made(TCPClient))
    Accepts[IService](made(TCPServer))
    Accepts[IService](made(TimerService))
    Accepts[IService](made(UDPServer))
    Accepts[IService](made(UNIXClient))
    Accepts[IService](made(UNIXDatagramClient))
    Accepts[IService](made(UNIXDatagramServer))
    Accepts[IService](made(UNIXServer))
    Accepts[IService](made(MultiService))
    Accepts[IServiceCollection](made(MultiService))
    Accepts[IProcess](made(Process))
    Accepts[IService](made(Application))
    Accepts[IServiceCollection](made(Application))
    Accepts[IProcess](made(Application))


def sub_interfaces(transport: ITCPTransport, threads: IReactorThreads) -> None:
    """What provides an interface provides those it is made of; never called."""
    Accepts[ITransport](transport)
    Accepts[IConsumer](transport)
    Accepts[IPushProducer](transport)
    Accepts[IReactorFromThreads](threads)
    Accepts[IReactorInThreads](threads)


def check_unix() -> None:
    """Of what has the same name as its like for TCP."""
    from netcore.transports.unix import Connection, Connector, Port

    Accepts[IUNIXTransport](made(Connection))
    Accepts[IConsumer](made(Connection))
    Accepts[IPushProducer](made(Connection))
    Accepts[IListeningPort](made(Port))
    Accepts[IConnector](made(Connector))


def check_testing() -> None:
    """What stands in for the rest in tests."""
    from netcore.testing import (
        AccumulatingProtocol,
        FakeDatagramTransport,
        LineSendingProtocol,
        MemoryConnector,
        MemoryPort,
        MemoryReactor,
        MemoryReactorClock,
        RaisingMemoryReactor,
        StringTransportWithDisconnection,
    )
    from netcore.testing._datagrams import MemoryDatagramPort

    Accepts[ITCPTransport](made(StringTransportWithDisconnection))
    Accepts[IUDPTransport](made(FakeDatagramTransport))
    Accepts[IUDPTransport](made(MemoryDatagramPort))
    Accepts[IListeningPort](made(MemoryDatagramPort))
    Accepts[IProtocol](made(AccumulatingProtocol))
    Accepts[ILoggingContext](made(AccumulatingProtocol))
    Accepts[IProtocol](made(LineSendingProtocol))
    Accepts[IPushProducer](made(LineSendingProtocol))
    Accepts[ILoggingContext](made(LineSendingProtocol))
    Accepts[IListeningPort](made(MemoryPort))
    Accepts[IConnector](made(MemoryConnector))
    Accepts[IReactorCore](made(MemoryReactor))
    Accepts[IReactorTCP](made(MemoryReactor))
    Accepts[IReactorSSL](made(MemoryReactor))
    Accepts[IReactorUNIX](made(MemoryReactor))
    Accepts[IReactorUDP](made(MemoryReactor))
    Accepts[IReactorSocket](made(MemoryReactor))
    Accepts[IReactorFDSet](made(MemoryReactor))
    Accepts[IReactorThreads](made(MemoryReactor))
    Accepts[IReactorPluggableNameResolver](made(MemoryReactor))
    Accepts[IReactorCore](made(MemoryReactorClock))
    Accepts[IReactorTCP](made(MemoryReactorClock))
    Accepts[IReactorSSL](made(MemoryReactorClock))
    Accepts[IReactorUNIX](made(MemoryReactorClock))
    Accepts[IReactorUDP](made(MemoryReactorClock))
    Accepts[IReactorSocket](made(MemoryReactorClock))
    Accepts[IReactorFDSet](made(MemoryReactorClock))
    Accepts[IReactorThreads](made(MemoryReactorClock))
    Accepts[IReactorPluggableNameResolver](made(MemoryReactorClock))
    Accepts[IReactorCore](made(RaisingMemoryReactor))
    Accepts[IReactorTCP](made(RaisingMemoryReactor))
    Accepts[IReactorSSL](made(RaisingMemoryReactor))
    Accepts[IReactorUNIX](made(RaisingMemoryReactor))
    Accepts[IReactorUDP](made(RaisingMemoryReactor))
    Accepts[IReactorSocket](made(RaisingMemoryReactor))
    Accepts[IReactorFDSet](made(RaisingMemoryReactor))
    Accepts[IReactorThreads](made(RaisingMemoryReactor))
    Accepts[IReactorPluggableNameResolver](made(RaisingMemoryReactor))
    Accepts[IReactorTime](made(MemoryReactorClock))


def check_processes() -> None:
    """The child processes, one of which has the name of a service's."""
    from netcore.stdio import StandardIO
    from netcore.transports import process

    Accepts[IProcessProtocol](made(ProcessProtocol))
    Accepts[IProcessTransport](made(process.Process))
    Accepts[IConsumer](made(process.Process))
    Accepts[IPushProducer](made(process.Process))
    Accepts[IProcessTransport](made(process.PTYProcess))
    Accepts[IConsumer](made(process.PTYProcess))
    Accepts[IPushProducer](made(process.PTYProcess))
    Accepts[ITransport](made(StandardIO))
    Accepts[IConsumer](made(StandardIO))
    Accepts[IPushProducer](made(StandardIO))
