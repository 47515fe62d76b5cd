"""ClientService on scripted endpoints, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from netcore.application.internet import ClientService, backoffPolicy
from netcore.application.internet._client_states import TRANSITIONS, Action, Event, State
from netcore.defer import CancelledError, Deferred, fail, succeed
from netcore.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from netcore.failure import Failure
from netcore.interfaces import IHalfCloseableProtocol, implementer
from netcore.protocol import Factory, Protocol, connectionDone
from netcore.task import Clock
from netcore.testing import StringTransport

REFUSED = None
STOPPED, CONNECTING, PREPARING, CONNECTED, CLOSING, WAITING, STOPPING, RESTARTING = State

TABLE: dict[Event, tuple[State | None, ...]] = {
    #                STOPPED     CONNECTING PREPARING  CONNECTED CLOSING   WAITING     STOPPING    RESTARTING
    Event.START:    (CONNECTING, REFUSED,   REFUSED,   REFUSED,  REFUSED,  REFUSED,    RESTARTING, REFUSED),
    Event.STOP:     (STOPPED,    STOPPING,  STOPPING,  STOPPING, STOPPING, STOPPED,    STOPPING,   STOPPING),
    Event.MADE:     (REFUSED,    PREPARING, REFUSED,   REFUSED,  REFUSED,  REFUSED,    REFUSED,    REFUSED),
    Event.FAILED:   (REFUSED,    CLOSING,   REFUSED,   REFUSED,  REFUSED,  REFUSED,    REFUSED,    REFUSED),
    Event.PREPARED: (REFUSED,    REFUSED,   CONNECTED, REFUSED,  REFUSED,  REFUSED,    REFUSED,    REFUSED),
    Event.REJECTED: (REFUSED,    REFUSED,   CLOSING,   REFUSED,  REFUSED,  REFUSED,    REFUSED,    REFUSED),
    Event.ENDED:    (REFUSED,    WAITING,   WAITING,   WAITING,  WAITING,  REFUSED,    STOPPED,    CONNECTING),
    Event.DUE:      (REFUSED,    REFUSED,   REFUSED,   REFUSED,  REFUSED,  CONNECTING, REFUSED,    REFUSED),
}  # fmt: skip
CASES = [
    pytest.param(state, event, expected, id=f"{state.name}-{event.name}")
    for event, row in TABLE.items()
    for state, expected in zip(State, row, strict=True)
]


class Talk(Protocol):
    """Notes its end."""

    reason: Failure | None = None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reason = reason


class Transport(StringTransport):
    """One connection of a `Network`."""

    def __init__(self, network: Network, protocol: Any) -> None:
        super().__init__()
        self._network = network
        self._protocol = protocol
        network.open.append(self)
        network.most_open = max(network.most_open, len(network.open))

    def end(self, reason: Failure = connectionDone) -> None:
        self._network.open.remove(self)
        self._protocol.connectionLost(reason)


class Network:
    """A client endpoint whose attempts end when the test says so."""

    def __init__(self, canceller: Callable[[Deferred[Any]], object] | None = None) -> None:
        self.canceller = canceller
        self.attempts: list[Deferred[Any]] = []
        self.factory: Any = None
        self.open: list[Transport] = []
        self.most_open = 0

    def connect(self, factory: Any) -> Deferred[Any]:
        self.factory = factory
        attempt: Deferred[Any] = Deferred(self.canceller)
        self.attempts.append(attempt)
        return attempt

    def build(self) -> Any:
        """What the transport would have, connected; None: refused."""
        protocol = self.factory.buildProtocol(None)
        if protocol is not None:
            protocol.makeConnection(Transport(self, protocol))
        return protocol

    def accept(self) -> Transport:
        self.attempts[-1].callback(self.build())
        return self.open[-1]

    def refuse(self, error: Exception | None = None) -> None:
        self.attempts[-1].errback(error or ConnectionRefusedError())


class World:
    """A service and what is around it."""

    def __init__(self, network: Any = None, **options: Any) -> None:
        self.network = Network() if network is None else network
        self.clock = Clock()
        self.built: list[Talk] = []
        self.delays: list[int] = []
        options.setdefault("retryPolicy", self.policy)
        self.service = ClientService(self.network, self.factory(), clock=self.clock, **options)

    def factory(self) -> Any:
        def make() -> Talk:
            self.built.append(Talk())
            return self.built[-1]

        factory: Factory[Any] = Factory.forProtocol(make)
        factory.noisy = False
        return factory

    def policy(self, failures: int) -> float:
        self.delays.append(failures)
        return 10.0

    def start(self) -> World:
        self.service.startService()
        return self

    @property
    def state(self) -> State:
        return self.service._state


def outcome(deferred: Deferred[Any]) -> list[Any]:
    """What it fired with, soon; of a failure, the error."""
    found: list[Any] = []
    deferred.addCallbacks(found.append, lambda failure: found.append(failure.value))
    return found


# ------------------------------------------------------------------------------------------------------------ table


@pytest.mark.parametrize(("state", "event", "expected"), CASES)
def test_every_event_in_every_state(state: State, event: Event, expected: State | None) -> None:
    service = World().service
    service._state = state
    if expected is REFUSED:
        with pytest.raises(RuntimeError, match="not possible"):
            service._move(event)
        assert service._state is state
    else:
        service._move(event)
        assert service._state is expected


def test_the_table_holds_nothing_else_and_every_action_is_used() -> None:
    assert len(TRANSITIONS) == sum(expected is not REFUSED for row in TABLE.values() for expected in row)
    assert {action for _, actions in TRANSITIONS.values() for action in actions} == set(Action)


def test_in_the_table_an_attempt_begins_where_there_is_none() -> None:
    """Only from where the last one has ended, or none has begun; and from a running one's end only over WAITING."""
    begins = {(state, event) for (state, event), (_, actions) in TRANSITIONS.items() if Action.CONNECT in actions}
    assert begins == {(STOPPED, Event.START), (WAITING, Event.DUE), (RESTARTING, Event.ENDED)}


# ------------------------------------------------------------------------------------------------ connecting, trying


def test_it_connects_when_started_and_gives_the_users_own_protocol() -> None:
    world = World()
    before = outcome(world.service.whenConnected())
    assert world.network.attempts == []
    world.start()
    during = outcome(world.service.whenConnected())
    transport = world.network.accept()
    assert before == during == outcome(world.service.whenConnected()) == world.built
    assert type(world.built[0]) is Talk
    assert world.built[0].transport is transport


def test_the_next_attempt_comes_after_a_delay_that_knows_how_many_failed() -> None:
    world = World().start()
    for failed in (1, 2, 3):
        world.network.refuse()
        assert world.delays[-1] == failed
        world.clock.advance(9.9)
        assert len(world.network.attempts) == failed
        world.clock.advance(0.1)
        assert len(world.network.attempts) == failed + 1
    world.network.accept().end()
    assert world.delays == [1, 2, 3, 1]  # a connection that stood is where counting begins anew


def test_a_lost_connection_is_made_anew() -> None:
    world = World().start()
    reason = Failure(ConnectionLost())
    world.network.accept().end(reason)
    assert world.built[0].reason is reason
    assert world.state is WAITING
    waiting = outcome(world.service.whenConnected())
    world.clock.advance(10)
    world.network.accept()
    assert waiting == world.built[1:]
    assert world.network.most_open == 1


def test_who_asks_while_the_protocol_hears_of_its_end_waits_for_the_next() -> None:
    world = World().start()
    asked: list[Any] = []
    transport = world.network.accept()
    world.built[0].connectionLost = lambda reason: asked.append(  # type: ignore[method-assign,assignment,misc]
        outcome(world.service.whenConnected())
    )
    transport.end()
    assert asked == [[]]
    world.clock.advance(10)
    world.network.accept()
    assert asked == [[world.built[1]]]


def test_an_endpoint_that_raises_or_answers_nonsense_has_failed() -> None:
    answers: list[Any] = [ZeroDivisionError(), None, Talk()]

    class Broken:
        def connect(self, factory: Any) -> Any:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

    world = World(Broken()).start()
    for _ in range(2):
        assert world.state is WAITING
        (error,) = outcome(world.service.whenConnected(1)) or [None]
        assert error is None
        world.clock.advance(10)
    assert answers == []
    assert world.delays == [1, 2, 3]


def test_an_endpoint_that_fails_at_once_makes_no_recursion_and_no_busy_loop() -> None:
    class Refusing:
        attempts = 0

        def connect(self, factory: Any) -> Any:
            self.attempts += 1
            return fail(ConnectionRefusedError())

    endpoint = Refusing()
    world = World(endpoint, retryPolicy=lambda failures: 0.0).start()
    assert endpoint.attempts == 1
    for _ in range(5000):
        world.clock._timers.take(world.clock.rightNow).call()  # type: ignore[union-attr]
    assert endpoint.attempts == 5001
    outcome(world.service.stopService())


def test_the_outage_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    world = World().start()
    for _ in range(10):
        world.network.refuse()
        world.clock.advance(10)
    world.network.accept()
    assert [record.levelname for record in caplog.records if record.name == "netcore.application"] == [
        "WARNING",
        "INFO",
    ]


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    caplog.clear()
    return found


def test_each_kind_of_failure_is_logged_once_in_an_outage_and_again_in_the_next(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World().start()
    for error in [ConnectionRefusedError(), ConnectionLost(), ConnectionRefusedError(), ConnectionLost()]:
        world.network.refuse(error)
        world.clock.advance(10)
    refused, lost = told(caplog)
    assert refused.startswith(f"no connection to {world.network!r}: ConnectionRefusedError: ")
    assert "ConnectionLost" in lost
    outcome(world.service.stopService())
    world.start()
    world.network.refuse()
    assert told(caplog) == [refused]
    outcome(world.service.stopService())


def test_a_failure_that_is_a_mistake_in_the_program_is_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def log_in(protocol: Any) -> None:
        protocol.transprot.write(b"hello")

    world = World(prepareConnection=log_in).start()
    world.network.accept().end()
    (record,) = caplog.records
    assert "AttributeError" in record.getMessage()
    assert "in log_in" in caplog.text
    world.clock.advance(10)
    caplog.clear()
    world.network.refuse()
    (record,) = caplog.records
    assert record.exc_info is None


@pytest.mark.parametrize("answer", [-1.0, float("nan"), float("inf"), "soon", None])
def test_a_policy_that_makes_no_sense_is_logged_and_the_default_holds(answer: Any, logged: Any) -> None:
    world = World(retryPolicy=lambda failures: answer).start()
    world.network.refuse()
    logged.take(ValueError if isinstance(answer, float) else TypeError)
    (call,) = world.clock.getDelayedCalls()
    assert 1.5 <= call.getTime() <= 2.5
    call.cancel()


def test_a_policy_that_raises_is_logged_and_the_default_holds(logged: Any) -> None:
    world = World(retryPolicy=lambda failures: 1 // 0).start()
    world.network.refuse()
    logged.take(ZeroDivisionError)
    world.clock.advance(2.5)
    assert len(world.network.attempts) == 2


def test_attempts_are_made_in_the_context_of_start() -> None:
    who: ContextVar[str] = ContextVar("who", default="nobody")
    seen: list[str] = []

    class Noting(Network):
        def connect(self, factory: Any) -> Deferred[Any]:
            seen.append(who.get())
            return super().connect(factory)

    world = World(Noting(), prepareConnection=lambda protocol: seen.append(who.get()))
    token = who.set("me")
    world.start()
    who.reset(token)
    world.network.accept().end()
    world.clock.advance(10)
    assert seen == ["me", "me", "me"]


def test_what_a_protocol_provides_reaches_the_transport() -> None:
    @implementer(IHalfCloseableProtocol)
    class Half(Protocol):
        def readConnectionLost(self) -> None:
            pass

        def writeConnectionLost(self) -> None:
            pass

    network = Network()
    factory: Factory[Any] = Factory.forProtocol(Half)
    service = ClientService(network, factory, clock=Clock())
    service.startService()
    assert IHalfCloseableProtocol.providedBy(network.build())  # type: ignore[attr-defined]
    assert network.factory.protocol is Half
    assert repr(network.factory) == repr(factory)


# --------------------------------------------------------------------------------------------------------- waiting


def test_a_waiter_may_wait_for_so_many_failures_and_no_more() -> None:
    world = World().start()
    one, two, any_number = (outcome(world.service.whenConnected(times)) for times in (1, 2, None))
    world.network.refuse()
    assert isinstance(one[0], ConnectionRefusedError)
    assert two == []
    world.clock.advance(10)
    late = outcome(world.service.whenConnected(2))
    world.network.refuse()
    assert isinstance(two[0], ConnectionRefusedError)
    world.clock.advance(10)
    world.network.accept()
    assert any_number == late == world.built


@pytest.mark.parametrize("times", [0, -1])
def test_no_failures_at_all_are_not_to_be_waited_for(times: int) -> None:
    with pytest.raises(ValueError, match="1 or more"):
        World().service.whenConnected(times)


def test_cancelling_a_waiter_ends_the_wait_and_nothing_else() -> None:
    world = World().start()
    given_up = world.service.whenConnected()
    stays = outcome(world.service.whenConnected())
    found = outcome(given_up)
    given_up.cancel()
    assert isinstance(found[0], CancelledError)
    assert world.service._waiters.keys() != {}
    world.network.accept()
    assert stays == world.built


def test_one_that_is_given_its_connection_may_cancel_another() -> None:
    world = World().start()
    first, second = world.service.whenConnected(), world.service.whenConnected()
    first.addCallback(lambda _: second.cancel())
    found = outcome(second)
    world.network.accept()
    assert isinstance(found[0], CancelledError)
    assert world.state is CONNECTED


def test_what_is_no_function_is_refused() -> None:
    for name in ("retryPolicy", "prepareConnection"):
        with pytest.raises(TypeError, match=f"{name} is a function"):
            World(**{name: 3})


# ------------------------------------------------------------------------------------------------------- preparing


def test_a_connection_is_given_when_it_is_prepared() -> None:
    preparing: Deferred[None] = Deferred()
    asked: list[Any] = []

    def prepare(protocol: Any) -> Deferred[None]:
        asked.append(protocol)
        return preparing

    world = World(prepareConnection=prepare).start()
    waiting = outcome(world.service.whenConnected())
    world.network.accept()
    assert asked == world.built
    assert waiting == []
    preparing.callback(None)
    assert waiting == world.built


def test_prepare_may_be_a_coroutine_function() -> None:
    async def prepare(protocol: Any) -> None:
        await succeed(None)

    world = World(prepareConnection=prepare).start()
    world.network.accept()
    assert world.state is CONNECTED


def test_a_connection_that_cannot_be_prepared_is_closed_and_counts_as_a_failure() -> None:
    world = World(prepareConnection=lambda protocol: 1 // 0).start()
    once, twice = (outcome(world.service.whenConnected(times)) for times in (1, 2))
    transport = world.network.accept()
    assert isinstance(once[0], ZeroDivisionError)
    assert twice == []
    assert transport.disconnecting
    world.clock.advance(100)
    assert len(world.network.attempts) == 1  # while the old one stands
    transport.end()
    assert world.delays == [1]
    world.clock.advance(10)
    world.network.accept()
    assert isinstance(twice[0], ZeroDivisionError)
    assert world.network.most_open == 1


def test_losing_the_connection_while_it_is_prepared_is_a_failure_and_cancels_that() -> None:
    preparing: Deferred[None] = Deferred()
    world = World(prepareConnection=lambda protocol: preparing).start()
    waiting = outcome(world.service.whenConnected(1))
    world.network.accept().end(Failure(ConnectionLost()))
    assert isinstance(waiting[0], ConnectionLost)
    assert preparing.called
    assert world.delays == [1]


@pytest.mark.parametrize("answer", [None, ZeroDivisionError()])
def test_what_a_lost_connection_makes_of_the_preparation(answer: Any) -> None:
    """Its success comes too late; its own failure tells more than the loss."""
    preparing: Deferred[None] = Deferred()
    world = World(prepareConnection=lambda protocol: preparing).start()
    waiting = outcome(world.service.whenConnected(1))
    transport = world.network.accept()
    world.built[0].connectionLost = lambda reason: (  # type: ignore[method-assign,assignment,misc]
        preparing.callback(None) if answer is None else preparing.errback(answer)
    )
    transport.end()
    assert isinstance(waiting[0], ConnectionDone if answer is None else ZeroDivisionError)
    assert world.state is WAITING
    assert world.delays == [1]


def test_a_service_that_is_stopped_while_preparation_hangs_closes_and_cancels() -> None:
    preparing: Deferred[None] = Deferred()
    world = World(prepareConnection=lambda protocol: preparing).start()
    waiting = outcome(world.service.whenConnected())
    transport = world.network.accept()
    stopped = outcome(world.service.stopService())
    assert preparing.called
    assert isinstance(waiting[0], CancelledError)
    assert transport.disconnecting
    assert stopped == []
    transport.end()
    assert stopped == [None]


def test_a_preparation_that_does_not_obey_keeps_nobody_waiting() -> None:
    inner: Deferred[None] = Deferred()

    async def prepare(protocol: Any) -> None:
        try:
            await Deferred()
        except CancelledError:
            await inner

    world = World(prepareConnection=prepare).start()
    transport = world.network.accept()
    stopped = outcome(world.service.stopService())
    transport.end()
    assert stopped == [None]
    inner.callback(None)
    assert world.state is STOPPED


def test_a_connection_may_be_lost_while_prepare_is_being_called() -> None:
    world: World
    preparing: Deferred[None] = Deferred()

    def prepare(protocol: Any) -> Deferred[None]:
        world.network.open[0].end()
        return preparing

    world = World(prepareConnection=prepare).start()
    waiting = outcome(world.service.whenConnected(1))
    world.network.attempts[0].callback(world.network.build())
    assert preparing.called
    assert isinstance(waiting[0], ConnectionDone)
    assert world.state is WAITING


def test_what_happened_before_the_service_heard_that_it_was_stopped_means_nothing() -> None:
    """Within `connect`: the connection stands, and its protocol stops the service."""
    world: World

    class AtOnce(Network):
        def connect(self, factory: Any) -> Deferred[Any]:
            attempt = super().connect(factory)
            attempt.callback(self.build())
            return attempt

    class Stopping(Talk):
        def connectionMade(self) -> None:
            stopped.append(outcome(world.service.stopService()))

    stopped: list[Any] = []
    network = AtOnce()
    world = World(network)
    world.service._factory = Factory.forProtocol(Stopping)
    world.start()
    (transport,) = network.open
    assert transport.disconnecting
    assert world.state is STOPPING
    transport.end()
    assert stopped == [[None]]


def test_the_service_may_be_stopped_by_prepare_itself() -> None:
    stopped: list[Any] = []
    world: World

    def prepare(protocol: Any) -> Deferred[None]:
        stopped.append(outcome(world.service.stopService()))
        return Deferred()

    world = World(prepareConnection=prepare).start()
    world.network.accept().end()
    assert stopped == [[None]]
    assert world.state is STOPPED


# ---------------------------------------------------------------------------------------------- stopping, restarting


def test_stopping_waits_until_the_connection_has_gone() -> None:
    world = World().start()
    transport = world.network.accept()
    stopped = [outcome(world.service.stopService()) for _ in range(2)]
    waiting = outcome(world.service.whenConnected())
    assert transport.disconnecting
    assert not world.service.running
    assert stopped == [[], []]
    assert waiting == []
    transport.end()
    assert stopped == [[None], [None]]
    assert isinstance(waiting[0], CancelledError)
    assert isinstance(outcome(world.service.whenConnected())[0], CancelledError)
    assert world.clock.getDelayedCalls() == []


@pytest.mark.parametrize("rejected", [False, True])
def test_a_transport_that_raises_when_it_is_closed_is_waited_for_all_the_same(rejected: bool, logged: Any) -> None:
    class Lost(Transport):
        def loseConnection(self) -> None:
            self.end()
            raise ZeroDivisionError

    class Raising(Network):
        def build(self) -> Any:
            protocol = self.factory.buildProtocol(None)
            protocol.makeConnection(Lost(self, protocol))
            return protocol

    world = World(Raising(), prepareConnection=lambda _: fail(ConnectionLost()) if rejected else None).start()
    world.network.attempts[-1].callback(world.network.build())
    if rejected:
        assert world.state is WAITING
    assert outcome(world.service.stopService()) == [None]
    logged.take(ZeroDivisionError)


def test_stopping_cancels_the_attempt() -> None:
    world = World().start()
    waiting = outcome(world.service.whenConnected())
    assert outcome(world.service.stopService()) == [None]
    assert isinstance(waiting[0], CancelledError)
    assert world.network.attempts[0].called


def test_stopping_ends_the_wait_for_the_next_attempt() -> None:
    world = World().start()
    world.network.refuse()
    waiting = outcome(world.service.whenConnected())
    assert outcome(world.service.stopService()) == [None]
    assert isinstance(waiting[0], CancelledError)
    assert world.clock.getDelayedCalls() == []


def test_a_service_whose_timer_others_have_cancelled_stops() -> None:
    world = World().start()
    world.network.refuse()
    for call in world.clock.getDelayedCalls():  # as a reactor does that is disposed of
        call.cancel()
    assert outcome(world.service.stopService()) == [None]


def test_a_service_that_never_ran_has_stopped_and_disappoints_those_who_wait() -> None:
    world = World()
    waiting = outcome(world.service.whenConnected())
    assert outcome(world.service.stopService()) == [None]
    assert isinstance(waiting[0], CancelledError)
    world.start()
    again = outcome(world.service.whenConnected())
    world.network.accept()
    assert again == world.built


@pytest.mark.parametrize("fails", [True, False])
def test_an_attempt_that_is_slow_to_end_is_waited_for(fails: bool) -> None:
    inner: Deferred[None] = Deferred(lambda _: None)

    class Slow(Network):
        def connect(self, factory: Any) -> Deferred[Any]:
            super().connect(factory)

            async def attempt() -> None:
                try:
                    await Deferred()
                except CancelledError:
                    await inner
                    if fails:
                        raise

            return Deferred.fromCoroutine(attempt())

    world = World(Slow()).start()
    stopped = outcome(world.service.stopService())
    assert stopped == []
    world.start()
    assert len(world.network.attempts) == 1
    inner.callback(None)
    assert stopped == [None]
    assert len(world.network.attempts) == 2


def test_an_attempt_that_succeeds_when_it_is_cancelled_is_closed() -> None:
    network = Network(lambda attempt: attempt.callback(network.build()))
    world = World(network).start()
    stopped = outcome(world.service.stopService())
    assert world.built == []  # its factory builds no protocol any more
    assert stopped == [None]


def test_a_protocol_that_is_connected_after_the_attempt_was_cancelled_is_closed_unheard() -> None:
    world = World().start()
    late = world.network.factory.buildProtocol(None)
    assert outcome(world.service.stopService()) == [None]
    transport = Transport(world.network, late)
    late.makeConnection(transport)
    late.dataReceived(b"hello")
    assert transport.disconnecting
    assert not world.built[0].connected
    world.start()
    transport.end()
    assert world.built[0].reason is None
    world.network.accept()
    assert world.state is CONNECTED


def test_a_connection_that_stands_when_its_attempt_fails_or_is_cancelled_is_waited_for() -> None:
    for end in ("refuse", "stop"):
        world = World().start()
        world.network.build()
        (transport,) = world.network.open
        stopped: list[Any] = []
        if end == "refuse":
            world.network.refuse()
            assert world.state is CLOSING
        else:
            stopped = outcome(world.service.stopService())
        assert transport.disconnecting
        assert world.clock.getDelayedCalls() == []
        assert stopped == []
        transport.end()
        if end == "stop":
            assert stopped == [None]
        else:
            assert outcome(world.service.stopService()) == [None]


def test_a_connection_that_is_lost_before_the_endpoint_answers_is_a_failure() -> None:
    world = World().start()
    waiting = outcome(world.service.whenConnected(1))
    protocol = world.network.build()
    world.network.open[0].end()
    assert world.state is CONNECTING
    world.network.attempts[0].callback(protocol)
    assert isinstance(waiting[0], ConnectionLost)
    assert world.state is WAITING


def test_an_endpoint_may_wrap_the_protocol_in_its_turn() -> None:
    world = World().start()
    world.network.build()
    wrapped = Talk()
    world.network.attempts[0].callback(wrapped)
    assert outcome(world.service.whenConnected()) == [wrapped]
    world.network.open[0].end()
    assert world.state is WAITING


def test_started_while_it_stops_it_connects_when_the_old_connection_has_gone() -> None:
    world = World().start()
    transport = world.network.accept()
    stopped = outcome(world.service.stopService())
    world.start()
    assert world.service.running
    assert len(world.network.attempts) == 1
    waiting = outcome(world.service.whenConnected())
    transport.end()
    assert stopped == [None]
    assert len(world.network.attempts) == 2
    world.network.accept()
    assert waiting == world.built[1:]
    assert world.network.most_open == 1


def test_stopped_while_it_restarts_it_stays_stopped() -> None:
    world = World().start()
    transport = world.network.accept()
    first = outcome(world.service.stopService())
    world.start()
    waiting = outcome(world.service.whenConnected())
    second = outcome(world.service.stopService())
    assert isinstance(waiting[0], CancelledError)
    transport.end()
    assert first == second == [None]
    assert len(world.network.attempts) == 1


def test_it_may_be_started_by_who_hears_that_it_has_stopped_and_the_other_way_round() -> None:
    world = World()
    rounds: list[str] = []

    def connected(_: object) -> None:
        rounds.append("connected")
        world.service.stopService().addCallback(lambda _: stopped())
        if len(rounds) < 6:
            world.network.open[-1].end()

    def stopped() -> None:
        rounds.append("stopped")
        world.start()
        outcome(world.service.whenConnected().addCallback(connected))

    stopped()
    for attempt in world.network.attempts:  # which grow meanwhile
        attempt.callback(world.network.build())
        if len(world.network.attempts) > 3:
            break
    assert rounds == ["stopped", "connected"] * 3
    assert world.network.most_open == 1
    outcome(world.service.stopService())


def test_starting_a_running_one_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    world = World().start().start()
    assert len(world.network.attempts) == 1
    assert "though it runs" in caplog.text


def test_a_protocol_whose_end_raises_is_still_noticed() -> None:
    def broken(reason: object = None) -> None:
        raise ZeroDivisionError

    world = World().start()
    transport = world.network.accept()
    world.built[0].connectionLost = broken  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        transport.end()
    assert world.state is WAITING


# ------------------------------------------------------------------------------------------------------- the policy


def test_the_delays_grow_and_are_bounded() -> None:
    wait = backoffPolicy(jitter=lambda: 0.0)
    assert [wait(failures) for failures in (1, 2, 3)] == [1.5, 2.25, 3.375]
    assert wait(12) == wait(10**6) == 60.0
    assert backoffPolicy(initialDelay=0, jitter=lambda: 0.5)(10**6) == 0.5


def test_the_default_has_jitter() -> None:
    wait = backoffPolicy()
    assert len({wait(1) for _ in range(20)}) > 1


@pytest.mark.parametrize(
    "options",
    [{"initialDelay": -1}, {"maxDelay": float("nan")}, {"maxDelay": float("inf")}, {"factor": 0.5}],
)
def test_a_policy_that_cannot_be_is_refused(options: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        backoffPolicy(**options)
