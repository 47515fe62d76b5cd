"""Contracts: what an interface promises, as tests, for a reactor, a transport or an endpoint of your own.

Each contract is a class of tests for one interface. Inherit from it, say in one or two methods how to make what is to
be tested, and give it to pytest (nothing more is needed of it than that it calls ``test_...`` methods, and
``setup_method`` and ``teardown_method`` around each)::

    from netcore.testing import contracts

    class TestMyEndpoint(contracts.StreamServerEndpointContract):
        def makeServer(self):
            return MyEndpoint(self.reactor, "name")
        ...

Tests are run by the contract's `Contract.drive`, by default in a reactor of netcore's own, `ReactorContract.reactor`;
what is made for a test is made in there. An error that is logged and that the test does not expect fails it.

A failed ``assert`` explains itself if pytest is told to look into this package, in ``conftest.py``, before it is
imported: ``pytest.register_assert_rewrite("netcore.testing.contracts")``.
"""

from netcore.testing.contracts._adopted import ReactorSocketContract
from netcore.testing.contracts._connection import ConnectionContract
from netcore.testing.contracts._contract import Contract, ReactorContract
from netcore.testing.contracts._core import ReactorCoreContract, ReactorEventsContract
from netcore.testing.contracts._datagrams import ReactorMulticastContract, ReactorUDPContract
from netcore.testing.contracts._descriptors import ReactorFDSetContract
from netcore.testing.contracts._endpoints import StreamClientEndpointContract, StreamServerEndpointContract
from netcore.testing.contracts._eyeballs import HappyEyeballsContract
from netcore.testing.contracts._half_close import HalfCloseContract
from netcore.testing.contracts._names import ReactorPluggableNameResolverContract, ReactorPluggableResolverContract
from netcore.testing.contracts._processes import ProcessContract
from netcore.testing.contracts._producers import ProducerContract
from netcore.testing.contracts._stdio import StandardIOContract
from netcore.testing.contracts._stream import StreamTransportContract, TCPTransportContract
from netcore.testing.contracts._tcp import ReactorTCPContract
from netcore.testing.contracts._threads import ReactorThreadsContract
from netcore.testing.contracts._time import ReactorTimeContract
from netcore.testing.contracts._unix import ReactorUNIXContract, ReactorUNIXDatagramContract

__all__ = [
    "ConnectionContract",
    "Contract",
    "HalfCloseContract",
    "HappyEyeballsContract",
    "ProcessContract",
    "ProducerContract",
    "ReactorContract",
    "ReactorCoreContract",
    "ReactorEventsContract",
    "ReactorFDSetContract",
    "ReactorMulticastContract",
    "ReactorPluggableNameResolverContract",
    "ReactorPluggableResolverContract",
    "ReactorSocketContract",
    "ReactorTCPContract",
    "ReactorThreadsContract",
    "ReactorTimeContract",
    "ReactorUDPContract",
    "ReactorUNIXContract",
    "ReactorUNIXDatagramContract",
    "StandardIOContract",
    "StreamClientEndpointContract",
    "StreamServerEndpointContract",
    "StreamTransportContract",
    "TCPTransportContract",
]
