"""Services: the parts of a program that are started and stopped together.

A service is stopped or running, and may be started again after it was stopped. A `MultiService` is a service made of
services: they start in the order they were added, stop in the reverse order, and one added to a running collection
starts at once. An `Application` is the outermost of them, with what it asks of the process it runs in.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from netcore._log import log_failure
from netcore._owner import ScopeOwner
from netcore.defer import Deferred, DeferredList, maybeDeferred
from netcore.failure import Failure
from netcore.interfaces import IProcess, IService, IServiceCollection, adapt, implementer

__all__ = [
    "Application",
    "IProcess",
    "IService",
    "IServiceCollection",
    "MultiService",
    "Process",
    "Service",
]

log = logging.getLogger("netcore.application")


@implementer(IService)
class Service(ScopeOwner):
    """Something that is started and stopped. Override `startService` and `stopService`, and call the inherited ones."""

    # Defaults on the class: subclasses need not call __init__.
    name: str | None = None
    """Unique among its siblings, or None. To set it call `setName`."""
    running: bool = False
    """Whether it is started."""
    parent: IServiceCollection | None = None
    """What it belongs to."""
    _end_of_owner = "its service was stopped"

    def setName(self, name: str) -> None:
        """Name the service.

        Raises: RuntimeError: it has a parent, which knows it by its old name.
        """
        if self.parent is not None:
            raise RuntimeError(f"{self!r} has a parent: name a service before adding it")
        self.name = name

    def setServiceParent(self, parent: Any) -> None:
        """Belong to *parent*, after leaving the parent it had; start, if *parent* runs.

        Args:
            parent: an `IServiceCollection`, or something that can be adapted to it, such as an `Application`.
        Raises:
            TypeError: *parent* is nothing of the kind.
            RuntimeError: *parent* has a service of that name.
        """
        collection = adapt(parent, IServiceCollection)
        if self.parent is not None:
            self.disownServiceParent()
        self.parent = collection
        try:
            collection.addService(self)
        except BaseException:
            if self not in collection:
                self.parent = None
            raise

    def disownServiceParent(self) -> Deferred[Any] | None:
        """Leave the parent, and stop if it runs.

        Returns: what stopping returned.
        Raises: RuntimeError: there is no parent.
        """
        if self.parent is None:
            raise RuntimeError(f"{self!r} has no parent")
        stopping = self.parent.removeService(self)
        self.parent = None
        return stopping

    def privilegedStartService(self) -> None:
        """Do what needs the privileges the process was started with; called before `startService`."""

    def startService(self) -> None:
        """Start."""
        self.running = True
        self._ended_because = None

    def stopService(self) -> Deferred[Any] | None:
        """Stop: cancel what runs in scopes tied to the service (`netcore.scope`).

        Returns: None, or a Deferred that fires when the service has stopped and those scopes have ended.
        """
        self.running = False
        ending = self._end_scopes()
        return DeferredList(ending, consumeErrors=True).addCallback(lambda _: None) if ending else None


@implementer(IServiceCollection)
class MultiService(Service):
    """A service made of services.

    >>> whole, part = MultiService(), Service()
    >>> part.setServiceParent(whole)
    >>> whole.startService()
    >>> part.running
    True
    """

    services: list[IService]
    """What it is made of, in the order added."""

    def __init__(self) -> None:
        self.services = []
        self._named: dict[str, IService] = {}

    def __iter__(self) -> Iterator[IService]:
        """The services, in the order they were added."""
        return iter(self.services)

    def getServiceNamed(self, name: str) -> IService:
        """The service of that name.

        Raises: KeyError: there is none.
        """
        return self._named[name]

    def addService(self, service: IService) -> None:
        """Take *service* in, and start it if this one runs. Use ``service.setServiceParent``, which calls this.

        Raises: RuntimeError: its name is taken.
        """
        if service.name is not None:
            if service.name in self._named:
                raise RuntimeError(f"{self!r} has a service called {service.name!r} already")
            self._named[service.name] = service
        self.services.append(service)
        if self.running:
            service.privilegedStartService()
            service.startService()

    def removeService(self, service: IService) -> Deferred[Any] | None:
        """Let *service* go, and stop it if either runs. Use ``service.disownServiceParent``, which calls this.

        Returns: what stopping it returned.
        Raises: ValueError: it is not one of this one's.
        """
        self.services.remove(service)
        if service.name is not None:
            del self._named[service.name]
        return service.stopService() if self.running or service.running else None

    def privilegedStartService(self) -> None:
        """Call `privilegedStartService` of each, in order."""
        super().privilegedStartService()
        for service in self.services:  # those that are added meanwhile, too
            service.privilegedStartService()

    def startService(self) -> None:
        """Start each, in order. If one raises, those after it are not started: stop this one to stop the others."""
        super().startService()
        for service in list(self.services):  # not those that are added meanwhile: addService starts them
            if service in self.services:  # nor those that are removed
                service.startService()

    def stopService(self) -> Deferred[Any]:
        """Stop each, in reverse order; a service that fails to stop is logged and does not keep the others from it.
        Scopes tied to this one are cancelled first.

        Returns: Deferred firing when all have stopped, with a list of ``(success, result or Failure)``.
        """
        own = super().stopService()
        stopping = [
            self._stop(service)
            for service in list(reversed(self.services))
            if service in self.services  # else it was removed meanwhile, and stopped for it
        ]
        stopped: Deferred[Any] = DeferredList(stopping, consumeErrors=True)
        if own is not None:
            scopes = own
            stopped.addCallback(lambda results: scopes.addCallback(lambda _: results))
        return stopped

    @staticmethod
    def _stop(service: IService) -> Deferred[Any]:
        def failed(failure: Failure) -> Failure:
            log_failure(log, failure, "%r failed to stop", service)
            return failure

        return maybeDeferred(service.stopService).addErrback(failed)


@implementer(IProcess)
class Process:
    """What an application asks of the process it runs in.

    Args:
        uid, gid: the user and group to become once ports are bound, as a number or a name; None: no other.
    Raises: ValueError: a negative number.
    """

    processName: str | None = None

    def __init__(self, uid: int | str | None = None, gid: int | str | None = None) -> None:
        for number in (uid, gid):
            if isinstance(number, int) and number < 0:
                raise ValueError(f"a uid or gid is not negative: {number}")
        self.uid = uid
        self.gid = gid


class Application(MultiService, Process):
    """The outermost service: what ``netcore run FILE`` looks for, under the name ``application``.

    It is its own `IService`, `IServiceCollection` and `IProcess`, so that ``IServiceCollection(application)`` is the
    application itself.

    Args:
        name: what it is called.
        uid, gid: the user and group to become once ports are bound, as a number or a name; None: no other.
    """

    def __init__(self, name: str, uid: int | str | None = None, gid: int | str | None = None) -> None:
        MultiService.__init__(self)
        Process.__init__(self, uid, gid)
        self.setName(name)

    def __repr__(self) -> str:
        return f"<Application {self.name!r}>"
