"""Looking up names: what a reactor asks, and what can be put in the place of its own way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from netcore._interface import Interface
from netcore.interfaces._transport import IAddress

if TYPE_CHECKING:
    from netcore.defer import Deferred

__all__ = [
    "IHostResolution",
    "IHostnameResolver",
    "IReactorPluggableNameResolver",
    "IReactorPluggableResolver",
    "IResolutionReceiver",
    "IResolverSimple",
]


class IResolverSimple(Interface):
    """Looks up one IPv4 address for a name."""

    def getHostByName(self, name: str, timeout: Sequence[int] = ()) -> Deferred[str]:
        """Look up *name*.

        Args:
            timeout: seconds, one for each try; none: as the resolver sees fit.
        Returns: Deferred firing with an address in dotted quads.
        Fails with: netcore.error.DNSLookupError.
        """
        ...


class IHostResolution(Interface):
    """A look-up under way."""

    name: str
    """What is looked up."""

    def cancel(self) -> None:
        """Stop: the receiver hears no more of it, ``resolutionComplete`` excepted, which it hears at once if it has
        not."""


class IResolutionReceiver(Interface):
    """Hears what a look-up finds."""

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """It begins; called once, before anything else."""

    def addressResolved(self, address: IAddress) -> None:
        """One address was found, an `netcore.address.IPv4Address` or `IPv6Address`; the best comes first."""

    def resolutionComplete(self) -> None:
        """That was all; called once, last. Without an address before it, the name was not found."""


class IHostnameResolver(Interface):
    """Looks up all addresses of a name."""

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """Look up *hostName*, and tell *resolutionReceiver* what is found.

        Args:
            portNumber: of the addresses that are told.
            addressTypes: which are wanted, of `netcore.address.IPv4Address` and `IPv6Address`; None: both.
            transportSemantics: "TCP" or "UDP", what the addresses are for.
        Returns: what ``resolutionBegan`` was told.
        Raises: ValueError: another *transportSemantics*, other *addressTypes*, or none.
        """
        ...


class IReactorPluggableResolver(Interface):
    """A reactor whose simple look-ups, ``reactor.resolve``, can be given to another."""

    def installResolver(self, resolver: IResolverSimple) -> IResolverSimple:
        """Have *resolver* asked for IPv4 addresses, also by ``connectTCP``.

        Returns: the one that was asked before.
        """
        ...


class IReactorPluggableNameResolver(Interface):
    """A reactor whose look-ups can be given to another."""

    @property
    def nameResolver(self) -> IHostnameResolver:
        """Who is asked. It can be wrapped, and the wrapper installed."""
        ...

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        """Have *resolver* asked.

        Returns: the one that was asked before.
        """
        ...
