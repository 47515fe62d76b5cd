"""Where contracts are run: on each event loop, by name; in asyncio programs; and without any loop.

A class of tests inherits one or more of these before its contract. *implementation* is what is tested, for the table in
docs/reactor.md.
"""

from __future__ import annotations

import asyncio
import logging
import selectors
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
import uvloop

from netcore.defer import Deferred, ensureDeferred, maybeDeferred
from netcore.failure import Failure
from netcore.reactors import Reactor
from netcore.reactors._names import _SELECTORS, NAMES
from netcore.task import Clock
from netcore.testing import connectedPair
from netcore.testing.network import FakeNetwork, Host

HERE = [name for name in NAMES if name not in _SELECTORS or hasattr(selectors, _SELECTORS[name])]
PROGRAMS: dict[str, Callable[[Any], Any]] = {"asyncio.run": asyncio.run, "uvloop.run": uvloop.run}
MEMORY = "no loop"
FAKE = "fake network"
WORLDS = (*NAMES, *PROGRAMS, MEMORY, FAKE)

logger = logging.getLogger("netcore.testing")


class World:
    """Base of the worlds."""

    implementation: ClassVar[str]
    world: str
    _logged: Any

    @pytest.fixture(autouse=True)
    def _know_the_guard(self, logged: Any) -> None:
        self._logged = logged

    def flushLoggedErrors(self, *kinds: type[BaseException]) -> list[BaseException]:
        """The guard would fail the test for what it expects, else."""
        self._logged.take(*kinds)
        flushed: list[BaseException] = super().flushLoggedErrors(*kinds)  # type: ignore[misc]
        return flushed


class OnLoops(World):
    """On each loop that is to be had here."""

    implementation = "Reactor"

    @pytest.fixture(autouse=True, params=HERE)
    def _world(self, request: pytest.FixtureRequest) -> None:
        self.world = request.param

    def makeReactor(self) -> Any:
        return Reactor(self.world)


class Attached(World):
    """In asyncio programs, whose loop the reactor is attached to."""

    implementation = "Reactor"
    reactor: Any

    @pytest.fixture(autouse=True, params=PROGRAMS)
    def _world(self, request: pytest.FixtureRequest) -> None:
        self.world = request.param

    def drive(self, main: Callable[[], Any]) -> Any:
        async def program() -> Any:
            self.reactor = Reactor.current()
            async with asyncio.timeout(20):
                return await maybeDeferred(main)

        return PROGRAMS[self.world](program())


class Everywhere(OnLoops, Attached):
    """On each loop, be it run by the reactor or by others."""

    @pytest.fixture(autouse=True, params=[*HERE, *PROGRAMS])
    def _world(self, request: pytest.FixtureRequest) -> None:
        self.world = request.param

    def drive(self, main: Callable[[], Any]) -> Any:
        if self.world in PROGRAMS:
            return Attached.drive(self, main)
        return super(Attached, self).drive(main)  # type: ignore[misc]


class OnFakeNetwork(World):
    """On a host of a fake network; *other* is another one."""

    implementation = "Reactor"
    reactor: Host
    other: Host
    world = FAKE

    @pytest.fixture(autouse=True)
    def _network(self) -> Iterator[None]:
        with FakeNetwork() as self.net:
            yield

    def drive(self, main: Callable[[], Any]) -> Any:
        async def program() -> Any:
            return await maybeDeferred(main)

        self.reactor, self.other = self.net.host(), self.net.host()
        try:
            return self.reactor.runUntil(program())
        finally:
            self.reactor.stop()
            self.net.advance(1)
            self.other.dispose()

    def newSocket(self, family: int) -> Any:
        return self.reactor._new_socket(family)


class InMemory(World):
    """Without a loop: time passes and bytes travel when *main* has nothing else to do."""

    reactor: Any
    world = MEMORY

    def drive(self, main: Callable[[], Any]) -> Any:
        self._turns: list[Deferred[None]] = []
        self.begin()
        results: list[Any] = []
        maybeDeferred(main).addBoth(results.append)
        while not results:
            moved = self.move()
            turns, self._turns = self._turns, []
            for turn in turns:
                turn.callback(None)
            assert moved or turns or results, "nothing moves any more, and the test waits"
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]

    def begin(self) -> None:
        """Make what is to be tested."""

    def move(self) -> bool:
        """Have something happen. Returns whether anything did."""
        raise NotImplementedError

    def turn(self) -> Deferred[None]:
        deferred = Deferred[None]()
        self._turns.append(deferred)
        return deferred


class OnClock(InMemory):
    """`Clock`, which goes on to its next call."""

    implementation = "Clock"

    def begin(self) -> None:
        self.reactor = Clock()

    def move(self) -> bool:
        calls = self.reactor.getDelayedCalls()
        if not calls:
            return False
        try:
            self.reactor.advance(max(0.0, min(call.getTime() for call in calls) - self.reactor.seconds()))
        except Exception as error:  # whoever turns a Clock hears what its calls raise
            logger.error("a call raised", exc_info=error)
        return True


class OnPump(InMemory):
    """Connections in memory."""

    implementation = "MemoryTransport"

    def begin(self) -> None:
        self._pumps: list[Any] = []

    def connect(self, server: Any, client: Any) -> Deferred[None]:
        async def connecting() -> None:
            self._pumps.append(connectedPair(server, client))

        return ensureDeferred(connecting())

    def move(self) -> bool:
        moved = False
        for pump in self._pumps:
            try:
                moved = pump.pump() or moved
            except Exception as error:  # whoever pumps hears what protocols raise
                logger.error("a protocol raised", exc_info=error)
                moved = True
        return moved
