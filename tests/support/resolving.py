"""A receiver for tests of resolvers, and a resolver that answers when the test says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netcore.address import IPv4Address, IPv6Address
from netcore.interfaces import IAddress, IHostResolution, IResolutionReceiver, implementer


@implementer(IResolutionReceiver)
class Receiver:
    """Notes what it is told: "began", hosts, "complete"."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.addresses: list[Any] = []
        self.resolution: Any = None

    @property
    def complete(self) -> bool:
        return "complete" in self.told

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        self.told.append("began")
        self.resolution = resolutionInProgress

    def addressResolved(self, address: IAddress) -> None:
        assert isinstance(address, (IPv4Address, IPv6Address))
        self.told.append(address.host)
        self.addresses.append(address)

    def resolutionComplete(self) -> None:
        self.told.append("complete")


class ManualResolution:
    """A look-up under way, for the test to answer."""

    def __init__(self, receiver: IResolutionReceiver, name: str, port: int, semantics: Any) -> None:
        self.name = name
        self.cancelled = False
        self.error: BaseException | None = None
        self._receiver, self._port, self._semantics = receiver, port, semantics

    def find(self, *hosts: str) -> None:
        for host in hosts:
            kind = IPv6Address if ":" in host else IPv4Address
            self._receiver.addressResolved(kind(self._semantics, host, self._port))

    def end(self, error: BaseException | None = None) -> None:
        self.error = error
        self._receiver.resolutionComplete()

    def cancel(self) -> None:
        self.cancelled = True
        self._receiver.resolutionComplete()


class ManualResolver:
    """Its look-ups are in *asked*."""

    def __init__(self) -> None:
        self.asked: list[ManualResolution] = []

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> ManualResolution:
        resolution = ManualResolution(resolutionReceiver, hostName, portNumber, transportSemantics)
        self.asked.append(resolution)
        resolutionReceiver.resolutionBegan(resolution)
        return resolution
