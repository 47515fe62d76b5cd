"""ClientService under random schedules of everything that can happen to it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from netcore.application.internet import ClientService
from netcore.application.internet._client_states import State
from netcore.defer import CancelledError, Deferred
from netcore.error import ConnectionLost, ConnectionRefusedError
from netcore.failure import Failure
from netcore.protocol import Factory, Protocol
from netcore.task import Clock
from netcore.testing import StringTransport

DELAY = 1.0
STEPS = st.lists(
    st.sampled_from(
        ["start", "stop", "wait", "wait for 1", "cancel", "build", "accept", "refuse", "lose", "prepared", "rejected"]
        + ["time"] * 3
    ),
    max_size=60,
)


class World:
    """A service on a network that obeys cancellations at once, later, or with a connection."""

    def __init__(self, obeys: str, prepares: bool, at_once: list[list[str]]) -> None:
        self.obeys = obeys
        self.at_once = at_once  # what happens within the next calls of `connect` and `prepare`
        self.clock = Clock()
        self.attempts: list[tuple[Deferred[Any], Any]] = []
        self.begun = 0
        self.starts = 0
        self.open: list[Any] = []
        self.preparing: list[Deferred[None]] = []
        self.waiters: list[tuple[Deferred[Any], list[Any]]] = []
        self.stops: list[list[Any]] = []
        factory = Factory[Any].forProtocol(Protocol)
        prepare = self.prepare if prepares else None
        self.service = ClientService(self, factory, lambda failures: DELAY, self.clock, prepare)

    # As endpoint.

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        self.begun += 1
        canceller = {"at once": None, "with a connection": self.build, "later": lambda _: None}[self.obeys]
        attempt: Deferred[Any] = Deferred(canceller)
        if self.obeys == "later":  # its canceller's failure waits for a turn
            attempt.addErrback(self.later)
        self.attempts.append((attempt, protocolFactory))
        self.happens_at_once()
        return attempt

    def happens_at_once(self) -> None:
        for step in self.at_once.pop() if self.at_once else []:
            self.do(step, check=False)

    def later(self, failure: Failure) -> Deferred[Any]:
        delayed: Deferred[Any] = Deferred(lambda _: None)
        delayed.pause()
        self.clock.callLater(DELAY / 4, delayed.unpause)
        delayed.errback(failure)
        return delayed

    def build(self, _: object = None) -> Any:
        """A connection of the last attempt."""
        protocol = self.attempts[-1][1].buildProtocol(None)
        if protocol is not None:
            transport = StringTransport()
            self.open.append((protocol, transport))
            protocol.makeConnection(transport)
        return protocol

    def prepare(self, protocol: Any) -> Deferred[None]:
        preparing: Deferred[None] = Deferred()
        self.preparing.append(preparing)
        self.happens_at_once()
        return preparing

    # What happens.

    def do(self, step: str, check: bool = True) -> None:
        unanswered = [attempt for attempt, _ in self.attempts if not attempt.called]
        unprepared = [preparing for preparing in self.preparing if not preparing.called]
        if step == "start":
            self.starts += 1
            self.service.startService()
        elif step == "stop":
            self.stops.append(outcome(self.service.stopService()))
        elif step in {"wait", "wait for 1"}:
            waiter = self.service.whenConnected(1 if step == "wait for 1" else None)
            self.waiters.append((waiter, outcome(waiter)))
        elif step == "cancel" and self.waiters:
            self.waiters[-1][0].cancel()
        elif step == "build" and unanswered and not self.open:
            self.build()
        elif step == "accept" and unanswered:
            built = self.open[-1][0] if self.open else self.build()
            if built is not None:
                unanswered[-1].callback(built)
        elif step == "refuse" and unanswered:
            unanswered[-1].errback(ConnectionRefusedError())
        elif step == "lose" and self.open:
            self.open.pop()[0].connectionLost(Failure(ConnectionLost()))
        elif step == "prepared" and unprepared:
            unprepared[-1].callback(None)
        elif step == "rejected" and unprepared:
            unprepared[-1].errback(ZeroDivisionError())
        elif step == "time":
            before = self.begun - self.starts
            self.clock.advance(DELAY / 2)
            assert self.begun - self.starts <= before + 1, "a busy loop"
        if check:
            self.check()

    def check(self) -> None:
        state = self.service._state
        assert len(self.open) <= 1, "two connections"
        assert self.service.running == (state not in {State.STOPPED, State.STOPPING})
        assert (self.service._timer is not None) == (state is State.WAITING)
        if state is State.CONNECTED:
            assert not any(found == [] for _, found in self.waiters)
            assert not self.open[-1][1].disconnecting
        if state in {State.STOPPED, State.WAITING}:
            assert self.open == []
        elif state not in {State.CONNECTING, State.PREPARING, State.CONNECTED}:
            assert all(transport.disconnecting for _, transport in self.open)
        if state is State.STOPPED:
            assert all(self.stops)


def outcome(deferred: Deferred[Any]) -> list[Any]:
    found: list[Any] = []
    deferred.addCallbacks(found.append, lambda failure: found.append(failure.value))
    return found


AT_ONCE = ["start", "stop", "wait", "build", "accept", "refuse", "lose", "prepared", "rejected"]


@given(
    STEPS,
    st.sampled_from(["at once", "with a connection", "later"]),
    st.booleans(),
    st.lists(st.lists(st.sampled_from(AT_ONCE), max_size=4), max_size=8),
)
def test_any_schedule(steps: list[str], obeys: str, prepares: bool, at_once: list[list[str]]) -> None:
    world = World(obeys, prepares, at_once)
    for step in steps:
        world.do(step)

    # It still connects, whatever has happened.
    world.at_once.clear()
    if not world.service.running:
        world.do("start")
    found = outcome(world.service.whenConnected())
    for step in ["lose", "time", "time", "time", "accept", "prepared"] * 3:
        if not found:
            world.do(step)
    assert len(found) == 1
    assert isinstance(found[0], Protocol)

    # And it stops, and leaves nothing.
    world.do("stop")
    for step in ["lose", "time", "time"]:
        world.do(step)
    assert world.service._state is State.STOPPED
    assert world.clock.getDelayedCalls() == []
    for _, outcomes in world.waiters:
        assert len(outcomes) == 1
        assert isinstance(
            outcomes[0], Protocol | CancelledError | ConnectionRefusedError | ConnectionLost | ZeroDivisionError
        )
