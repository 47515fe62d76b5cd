"""Interfaces and those who implement them: what is declared is there, for zope as for type checkers (decision 0004)."""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import io
import pkgutil
import re
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from zope.interface import implementedBy
from zope.interface.interface import InterfaceClass, Method
from zope.interface.verify import verifyClass, verifyObject

import netcore
import netcore.interfaces
from netcore.address import HostnameAddress, IPv4Address, IPv6Address, UNIXAddress
from netcore.application import internet
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
from netcore.interfaces import IAddress, Interface, IService, ITransport, adapt, implementer, provides
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
from netcore.protocols.adapt import AsyncioProtocol
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
from netcore.protocols.limits import ListenerLimits
from netcore.protocols.limits._factory import LimitedFactory, Refused
from netcore.protocols.limits._limited import LimitedProtocol
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
from netcore.testing import (
    AccumulatingProtocol,
    FakeDatagramTransport,
    LineSendingProtocol,
    MemoryReactor,
    MemoryReactorClock,
    MemoryTransport,
    RaisingMemoryReactor,
    StringTransport,
    StringTransportWithDisconnection,
)
from tests.support.certificates import client_context, server_context

ROOT = Path(__file__).parents[3]


def interfaces() -> list[Any]:
    return [
        interface
        for name in netcore.interfaces.__all__
        if isinstance(interface := getattr(netcore.interfaces, name), InterfaceClass) and interface is not Interface
    ]


def implementers() -> dict[type[Any], list[Any]]:
    """Each public class of netcore that implements interfaces of netcore, and these."""
    found: dict[type[Any], list[Any]] = {}
    for module_info in pkgutil.walk_packages(netcore.__path__, "netcore."):
        if module_info.name.endswith("__main__") or module_info.name.startswith("netcore.testing.contracts."):
            continue  # what contracts talk to is theirs alone
        module = importlib.import_module(module_info.name)
        for name, value in vars(module).items():
            if isinstance(value, type) and value.__module__ == module.__name__ and not name.startswith("_"):
                implemented = [each for each in implementedBy(value) if each.__module__.startswith("netcore.")]
                if implemented:
                    found[value] = implemented
    return found


IMPLEMENTERS = implementers()
PAIRS = [(cls, interface) for cls, implemented in IMPLEMENTERS.items() for interface in implemented]

PROTOCOL, ADDRESS = Protocol(), IPv4Address("TCP", "127.0.0.1", 79)
MADE = [
    IPv4Address("TCP", "127.0.0.1", 79),
    IPv6Address("TCP", "::1", 79),
    UNIXAddress("/tmp/socket"),
    HostnameAddress(b"localhost", 79),
    Protocol(),
    LineReceiver(),
    LineOnlyReceiver(),
    NetstringReceiver(),
    IntNStringReceiver(),
    Int8StringReceiver(),
    Int16StringReceiver(),
    Int32StringReceiver(),
    FileSender(),
    AsyncioProtocol(asyncio.Protocol()),
    Stream(),
    StreamFactory(),
    FileWrapper(io.BytesIO()),
    Factory[Any](),
    ServerFactory[Any](),
    ClientFactory[Any](),
    ReconnectingClientFactory[Any](),
    DatagramProtocol(),
    ConnectedDatagramProtocol(),
    ProcessProtocol(),
    StringTransport(),
    StringTransportWithDisconnection(),
    FakeDatagramTransport(),
    AccumulatingProtocol(),
    LineSendingProtocol([]),
    MemoryReactor(),
    MemoryReactorClock(),
    RaisingMemoryReactor(),
    MemoryReactor().listenTCP(79, Factory[Any]()),
    MemoryReactor().listenUDP(79, DatagramProtocol()),
    MemoryReactor().connectTCP("localhost", 79, ClientFactory[Any]()),
    MemoryTransport(PROTOCOL, ADDRESS, ADDRESS),
    TCP4ServerEndpoint(None, 79),  # type: ignore[arg-type]
    TCP6ServerEndpoint(None, 79),  # type: ignore[arg-type]
    TCP4ClientEndpoint(None, "localhost", 79),  # type: ignore[arg-type]
    TCP6ClientEndpoint(None, "localhost", 79),  # type: ignore[arg-type]
    HostnameEndpoint(None, "localhost", 79),  # type: ignore[arg-type]
    UNIXServerEndpoint(None, "/tmp/socket"),  # type: ignore[arg-type]
    UNIXClientEndpoint(None, "/tmp/socket"),  # type: ignore[arg-type]
    AdoptedStreamServerEndpoint(None, 3, socket.AF_INET),  # type: ignore[arg-type]
    SSL4ServerEndpoint(None, 443, server_context()),  # type: ignore[arg-type]
    SSL4ClientEndpoint(None, "localhost", 443, client_context()),  # type: ignore[arg-type]
    TLSMemoryBIOFactory(server_context(), False, Factory[Any]()),
    TLSMemoryBIOProtocol(TLSMemoryBIOFactory(server_context(), False, Factory[Any]()), PROTOCOL),
    WrappingFactory(Factory[Any]()),
    ProtocolWrapper(WrappingFactory(Factory[Any]()), PROTOCOL),
    LimitConnectionsByPeer(Factory[Any]()),
    LimitTotalConnectionsFactory(),
    SpewingFactory(Factory[Any]()),
    SpewingProtocol(None, PROTOCOL),
    THROTTLING := ThrottlingFactory(Factory[Any]()),
    ThrottlingProtocol(THROTTLING, PROTOCOL),
    TIMEOUT := TimeoutFactory(Factory[Any]()),
    TimeoutProtocol(TIMEOUT, PROTOCOL, None),
    TrafficLoggingFactory(Factory[Any](), ""),
    TrafficLoggingProtocol(None, PROTOCOL, None),  # type: ignore[arg-type]
    LIMITED := LimitedFactory(Factory[Any](), ListenerLimits(), Clock()),
    LimitedProtocol(LIMITED, PROTOCOL),
    Refused(LIMITED, Clock()),
    ListenerLimits().wrapEndpoint(TCP4ServerEndpoint(None, 79)),  # type: ignore[arg-type]
    HAProxyWrappingFactory(Factory[Any]()),
    HAProxyProtocolWrapper(HAProxyWrappingFactory(Factory[Any]())),
    ProcessEndpoint(None, "/bin/true"),  # type: ignore[arg-type]
    StandardIOEndpoint(None),
    Service(),
    MultiService(),
    Process(),
    Application("test"),
    internet.StreamServerEndpointService(None, None),  # type: ignore[arg-type]
    internet.ClientService(None, None),  # type: ignore[arg-type]
    internet._listening.DrainingService(None, 0),
    internet.TimerService(1, print),
    internet.CooperatorService(),
    *(internet.TCPServer(), internet.SSLServer(), internet.UNIXServer(), internet.UDPServer()),
    *(internet.MulticastServer(), internet.UNIXDatagramServer(), internet.UNIXDatagramClient()),
    *(internet.TCPClient(), internet.SSLClient(), internet.UNIXClient()),
    Clock(),
    GAIResolver(None, getThreadPool=lambda: None),  # type: ignore[arg-type,return-value]
    CachingResolver(DictResolver()),
    DictResolver(),
    SimpleResolverComplexifier(None),  # type: ignore[arg-type]
    ComplexResolverSimplifier(DictResolver()),
    ThreadedResolver(SimpleNamespace(getThreadPool=None)),  # type: ignore[arg-type]
    Resolution(None, "name.example"),  # type: ignore[arg-type]
]
# Made by a reactor or by an endpoint: tests/integration/netcore/test_interfaces.py has them.
MADE_ELSEWHERE = {
    *("Reactor", "DelayedCall", "Port", "Connector", "Connection", "SecuredConnection", "Attempt"),
    "NetcoreTransport",  # made by asyncio's loops
    *("MulticastPort", "DatagramPort", "ConnectedDatagramPort", "PTYProcess", "StandardIO"),
    *("FakeNetwork", "Host"),  # tests/unit/netcore/testing/network
}


@pytest.mark.parametrize(("cls", "interface"), PAIRS, ids=lambda value: value.__name__)
def test_every_implementer_has_what_it_declares(cls: type[Any], interface: Any) -> None:
    assert verifyClass(interface, cls)


@pytest.mark.parametrize("candidate", MADE, ids=lambda value: type(value).__name__)
def test_every_instance_has_what_its_class_declares(candidate: Any) -> None:
    for interface in IMPLEMENTERS[type(candidate)]:
        assert verifyObject(interface, candidate)


def test_no_implementer_is_forgotten() -> None:
    assert {cls.__name__ for cls in IMPLEMENTERS} - MADE_ELSEWHERE == {type(each).__name__ for each in MADE}


def test_type_checkers_see_every_implementer() -> None:
    text = (ROOT / "tests/typing/netcore_implementers.py").read_text()
    assigned = set(re.findall(r"Accepts\[(\w+)\]\(made\((?:\w+\.)?(\w+)(?:\[Any\])?\)\)", text))
    missing = {(interface.__name__, cls.__name__) for cls, interface in PAIRS} - assigned
    assert {pair for pair in missing if pair[1] != "Attempt"} == set(), "Attempt is a ClientFactory"


# ------------------------------------------------------------------------------------------ the two views of one body


def declarations() -> list[ast.ClassDef]:
    return [
        node
        for path in sorted((ROOT / "netcore/interfaces").glob("_*.py"))
        if path.name != "__init__.py"
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
    ]


@pytest.mark.parametrize("node", declarations(), ids=lambda node: node.name)
def test_every_interface_names_interface_among_its_bases(node: ast.ClassDef) -> None:
    """Type checkers take a class that inherits from a Protocol without saying Protocol again for an ordinary one."""
    assert "Interface" in {base.id for base in node.bases if isinstance(base, ast.Name)}
    assert node.name in netcore.interfaces.__all__


@pytest.mark.parametrize("node", declarations(), ids=lambda node: node.name)
def test_at_run_time_an_interface_has_what_its_body_declares(node: ast.ClassDef) -> None:
    interface: Any = getattr(netcore.interfaces, node.name)
    methods = {each.name for each in node.body if isinstance(each, ast.FunctionDef) and not each.decorator_list}
    attributes = {
        each.target.id for each in node.body if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    } | {each.name for each in node.body if isinstance(each, ast.FunctionDef) and each.decorator_list}
    declared = dict(interface.namesAndDescriptions(all=False))
    assert {name for name, described in declared.items() if isinstance(described, Method)} == methods
    assert {name for name, described in declared.items() if not isinstance(described, Method)} == attributes
    for name in methods:
        arguments = next(each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == name).args
        assert list(declared[name].positional) == [argument.arg for argument in arguments.args[1:]]


def test_there_is_an_interface_to_look_at() -> None:
    assert len(interfaces()) == len(declarations()) > 20


# ----------------------------------------------------------------------------------------------------- the machinery


class IThing(Interface):
    """For the tests below."""

    size: int

    def turn(self, angle: float, /, *, fast: bool = False) -> None:
        """Turn it."""

    @property
    def name(self) -> str:
        """What it is called."""
        raise NotImplementedError


@implementer(IThing)
class Thing:
    size = 3
    name = "thing"

    def turn(self, angle: float, /, *, fast: bool = False) -> None: ...


def test_methods_annotations_and_properties_are_declared() -> None:
    assert sorted(IThing.names()) == ["name", "size", "turn"]  # type: ignore[attr-defined]
    assert IThing["turn"].getSignatureString().startswith("(angle")  # type: ignore[index]
    assert IThing["name"].__doc__ == "What it is called."  # type: ignore[index]
    assert verifyObject(IThing, Thing())


def test_what_is_missing_is_noticed() -> None:
    @implementer(IThing)
    class Wrong:
        size = 3
        name = "wrong"

        def turn(self) -> None: ...

    with pytest.raises(Exception, match="turn"):
        verifyClass(IThing, Wrong)
    del Wrong.name
    with pytest.raises(Exception, match="name"):
        verifyObject(IThing, Wrong())


def test_provides_asks_and_adapt_converts() -> None:
    thing = Thing()
    assert provides(thing, IThing)
    assert not provides(thing, ITransport)
    assert not provides(None, IThing)
    assert adapt(thing, IThing) is thing
    with pytest.raises(TypeError):
        adapt(thing, ITransport)


def test_a_registered_adapter_is_used() -> None:
    from zope.interface import adapter, declarations, interface

    registry = adapter.AdapterRegistry()

    def look_up(iface: Any, candidate: Any) -> Any:
        make = registry.lookup1(declarations.providedBy(candidate), iface, "")
        return make(candidate) if make is not None else None

    registry.register([declarations.implementedBy(Thing)], IService, "", lambda thing: ("adapted", thing))
    thing = Thing()
    interface.adapter_hooks.append(look_up)
    try:
        assert adapt(thing, IService) == ("adapted", thing)
    finally:
        interface.adapter_hooks.remove(look_up)


def test_an_interface_is_documented_as_written() -> None:
    assert inspect.getdoc(IAddress) == inspect.cleandoc(IAddress.__doc__ or "")
    for interface in interfaces():
        assert interface.__doc__, interface
