"""Services: the parts of an application that are started and stopped together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from netcore._interface import Interface

if TYPE_CHECKING:
    from netcore.defer import Deferred

__all__ = ["IProcess", "IService", "IServiceCollection"]


class IService(Interface):
    """Something that can be started and stopped, as often as one likes."""

    name: str | None
    """Unique among its siblings, or None."""
    running: bool
    """Whether it is started."""
    parent: IServiceCollection | None
    """What it belongs to."""

    def setName(self, name: str) -> None:
        """Name the service.

        Raises: RuntimeError: it has a parent already.
        """

    def setServiceParent(self, parent: Any) -> None:
        """Belong to *parent* (anything that can be adapted to `IServiceCollection`) and no longer to the one it had;
        start, if *parent* runs.

        Raises: RuntimeError: *parent* has a service of that name.
        """

    def disownServiceParent(self) -> Deferred[Any] | None:
        """Leave the parent; if running, stop.

        Returns: what stopping returned.
        Raises: RuntimeError: there is no parent.
        """
        ...

    def privilegedStartService(self) -> None:
        """What must be done before privileges are given up, such as binding a low port."""

    def startService(self) -> None:
        """Start."""

    def stopService(self) -> Deferred[Any] | None:
        """Stop.

        Returns: None, or a Deferred that fires when the service has stopped.
        """
        ...


class IServiceCollection(Interface):
    """A set of services."""

    def __iter__(self) -> Iterator[IService]:
        """The services, in the order they were added."""
        ...

    def getServiceNamed(self, name: str) -> IService:
        """The service of that name.

        Raises: KeyError: there is none.
        """
        ...

    def addService(self, service: IService) -> None:
        """Take *service* in; called by its ``setServiceParent``.

        Raises: RuntimeError: its name is taken.
        """

    def removeService(self, service: IService) -> Deferred[Any] | None:
        """Let *service* go; called by its ``disownServiceParent``.

        Returns: what stopping it returned.
        Raises: ValueError: it is not in the collection.
        """
        ...


class IProcess(Interface):
    """The operating-system process an application asks for."""

    processName: str | None
    """What the process should be called, or None."""
    uid: int | str | None
    """The user to become after ports are bound, by number or name, or None to stay."""
    gid: int | str | None
    """The group to become after ports are bound, by number or name, or None to stay."""
