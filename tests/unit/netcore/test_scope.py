"""Scopes tied to an owner and not entered, in memory: no event loop runs here."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import netcore
from netcore import _children, defer, task
from netcore._children import TRANSITIONS, Children, Event, State
from netcore.application.internet import StreamServerEndpointService
from netcore.application.service import MultiService, Service
from netcore.defer import CancelledError, Deferred, DeferredList, NotACoroutineError, gatherResults
from netcore.error import ConnectionDone, ConnectionLost
from netcore.failure import Failure
from netcore.protocol import Factory, Protocol
from netcore.testing import StringTransport, connectedPair
from tests.support.guard import Logged


class Noting(Protocol):
    """Has a scope, and notes what happens to it."""

    def __init__(self, notes: list[Any] | None = None) -> None:
        self.notes: list[Any] = [] if notes is None else notes

    def connectionMade(self) -> None:
        self.scope = netcore.scope(self)

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008  # it is a constant
        self.notes.append(reason.value)


def service() -> Service:
    made = Service()
    made.startService()
    return made


def transport() -> StringTransport:
    return StringTransport()


def memory_transport() -> Any:
    return connectedPair(Protocol(), Protocol()).serverTransport


every_owner = pytest.mark.parametrize("make", [service, transport, memory_transport])
Make = Callable[[], Any]


def end(owner: Any) -> None:
    if isinstance(owner, Service):
        owner.stopService()
    elif isinstance(owner, StringTransport):
        owner.loseScopes()
    else:
        owner._end(Failure(ConnectionLost()))


class Child:
    """A coroutine that waits, and notes how that ended."""

    def __init__(self) -> None:
        self.waited: Deferred[Any] = Deferred()
        self.heard: list[Any] = []

    async def run(self) -> Any:
        try:
            result = await self.waited
        except BaseException as error:
            self.heard.append((type(error), *error.args))
            raise
        self.heard.append(result)
        return result


class Stubborn(Child):
    """One that takes no notice of being cancelled, the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.then: Deferred[Any] = Deferred()

    async def run(self) -> Any:
        try:
            await self.waited
        except asyncio.CancelledError:
            return await self.then


def result_of(deferred: Deferred[Any]) -> Any:
    assert deferred.called
    return deferred.result


def group_of(records: list[Any]) -> BaseExceptionGroup[Any]:
    (record,) = records
    assert isinstance(record.failure.value, BaseExceptionGroup)
    return record.failure.value


# ------------------------------------------------------------------------------------------------------------- children


@every_owner
def test_what_a_child_returns_is_its_deferreds_result(make: Make) -> None:
    scope = netcore.scope(make())
    child = Child()
    of_coroutine, of_deferred = scope.start(child.run()), scope.start(child.waited)
    at_once = scope.start(defer.succeed("there"))
    assert result_of(at_once) == "there"
    assert not of_coroutine.called
    child.waited.callback("later")
    assert [result_of(of_coroutine), result_of(of_deferred)] == ["later", None]  # a coroutine took it away before


def test_a_child_is_begun_at_once() -> None:
    notes: list[str] = []

    async def child() -> None:
        notes.append("begun")

    netcore.scope(service()).start(child())
    assert notes == ["begun"]


def test_anything_awaitable_is_a_child() -> None:
    class Awaitable:
        def __await__(self) -> Iterator[Any]:
            yield from defer.succeed(None).__await__()
            return "awaited"

    @defer.inlineCallbacks
    def generator() -> Any:
        return (yield defer.succeed("yielded"))

    scope = netcore.scope(service())
    assert result_of(scope.start(Awaitable())) == "awaited"  # type: ignore[arg-type]  # __await__ is a generator's
    assert result_of(scope.start(generator())) == "yielded"


def test_what_cannot_be_awaited_is_refused_and_nothing_is_left_behind() -> None:
    owner = service()
    with pytest.raises(NotACoroutineError, match="5 is not a coroutine"):
        netcore.scope(owner).start(5)  # type: ignore[arg-type]
    assert not owner._tied


def test_children_start_children() -> None:
    scope = netcore.scope(service())
    waited: Deferred[str] = Deferred()

    async def outer() -> Any:
        return await scope.start(inner())

    async def inner() -> str:
        return await waited

    d = scope.start(outer())
    waited.callback("through both")
    assert result_of(d) == "through both"


def test_ten_thousand_children_may_wait_for_each_other_in_a_row() -> None:
    scope = netcore.scope(service())
    first: Deferred[int] = Deferred()

    async def wait_for(before: Deferred[int]) -> int:
        return 1 + await before

    last = first
    for _ in range(10_000):
        last = scope.start(wait_for(last))
    first.callback(0)
    assert result_of(last) == 10_000


def test_cancelling_the_deferred_of_a_child_cancels_that_child_only(logged: Logged) -> None:
    scope = netcore.scope(service())
    one, other = Child(), Child()
    d, e = scope.start(one.run()), scope.start(other.run())
    d.cancel()
    assert one.heard == [(asyncio.CancelledError,)]
    assert isinstance(result_of(d).value, CancelledError)
    del d
    other.waited.callback("undisturbed")
    assert result_of(e) == "undisturbed"


def test_a_clock_drives_children() -> None:
    clock = task.Clock()
    scope = netcore.scope(service())

    async def child() -> float:
        await task.deferLater(clock, 2.0)
        return clock.seconds()

    d = scope.start(child())
    clock.advance(2)
    assert result_of(d) == 2.0


# --------------------------------------------------------------------------------------------------------------- errors


@every_owner
def test_when_one_fails_the_others_are_cancelled_and_one_group_is_logged(make: Make, logged: Logged) -> None:
    scope = netcore.scope(make())
    failing, other, stubborn = Child(), Child(), Stubborn()
    started = [scope.start(child.run()) for child in (failing, other, stubborn)]
    failing.waited.errback(ValueError("first"))
    assert other.heard == [(asyncio.CancelledError, "another part of its scope failed")]
    assert logged.take() == []  # not before all have ended
    stubborn.then.errback(KeyError("second"))
    group = group_of(logged.take(BaseExceptionGroup))
    assert [repr(error) for error in group.exceptions] == ["ValueError('first')", "KeyError('second')"]
    assert [type(d.result.value) for d in started] == [ValueError, CancelledError, KeyError]


def test_a_failure_is_not_reported_as_unhandled_a_second_time(logged: Logged) -> None:
    scope = netcore.scope(service())
    passed = scope.start(defer.fail(ValueError())).addCallback(print)
    passed.addCallback(print)
    del passed
    assert len(logged.take(ExceptionGroup)) == 1


def test_what_callbacks_of_a_childs_deferred_raise_is_reported_as_ever(logged: Logged) -> None:
    scope = netcore.scope(service())
    scope.start(defer.succeed(0)).addCallback(lambda zero: 1 / zero)
    (record,) = logged.take(ZeroDivisionError)
    assert record.name == "netcore.defer"


def test_an_exception_that_passes_through_several_children_is_told_once(logged: Logged) -> None:
    scope = netcore.scope(service())
    waited: Deferred[None] = Deferred()

    async def first() -> None:
        await waited

    async def second() -> None:
        await d

    d = scope.start(first())
    scope.start(second())
    waited.errback(ValueError())
    assert len(group_of(logged.take(ExceptionGroup)).exceptions) == 1


def test_a_cancellation_that_nobody_asked_for_is_an_error(logged: Logged) -> None:
    child, other = Child(), Child()
    scope = netcore.scope(service())
    scope.start(child.run())
    scope.start(other.run())
    child.waited.cancel()  # not the child
    assert [type(error) for error in group_of(logged.take()).exceptions] == [CancelledError]
    assert other.heard == [(asyncio.CancelledError, "another part of its scope failed")]


COMBINATIONS: dict[str, Callable[[list[Deferred[Any]]], Deferred[Any]]] = {
    "gatherResults": lambda waited: gatherResults(waited, consumeErrors=True),
    "DeferredList": lambda waited: DeferredList(waited, consumeErrors=True),
    "race": defer.race,
}


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_several_deferreds_as_one_child_are_cancelled_without_an_error(combination: str) -> None:
    scope = netcore.scope(service())
    waited: list[Deferred[None]] = [Deferred(), Deferred()]
    scope.start(COMBINATIONS[combination](waited))
    scope.cancel()
    assert all(each.called for each in waited)


def test_an_error_of_a_child_that_was_cancelled_is_an_error(logged: Logged) -> None:
    scope = netcore.scope(service())

    async def child() -> None:
        try:
            await Deferred[None]()
        finally:
            raise KeyError("while it cleaned up")

    scope.start(child())
    scope.cancel()
    assert [type(error) for error in group_of(logged.take()).exceptions] == [KeyError]


def test_systemexit_of_a_child_is_logged(logged: Logged) -> None:
    netcore.scope(service()).start(defer.fail(SystemExit(3)))
    group = group_of(logged.take())
    assert not isinstance(group, ExceptionGroup)
    assert [type(error) for error in group.exceptions] == [SystemExit]


# ----------------------------------------------------------------------------------------------------------- cancelling


@every_owner
def test_cancel_ends_a_scope_quietly_and_for_good(make: Make) -> None:
    scope = netcore.scope(make())
    child = Child()
    d = scope.start(child.run())
    scope.cancel()
    assert scope.cancelled
    assert child.heard == [(asyncio.CancelledError, "its scope was cancelled")]
    assert isinstance(result_of(d).value, CancelledError)
    with pytest.raises(RuntimeError, match="it was cancelled"):
        scope.start(child.run())
    scope.cancel()  # a second time changes nothing


def test_cancel_before_anything_was_started_holds() -> None:
    scope = netcore.scope(service())
    scope.cancel()
    with pytest.raises(RuntimeError, match="it was cancelled"):
        scope.start(defer.succeed(None))


def test_a_child_that_cancels_its_own_scope_hears_of_it_at_its_next_wait() -> None:
    scope = netcore.scope(service())
    notes: list[Any] = []

    async def in_first_step() -> None:
        scope.cancel()
        notes.append("goes on")
        try:
            await Deferred[None]()
        except asyncio.CancelledError as error:
            notes.append(error.args)
            raise

    scope.start(in_first_step())
    assert notes == ["goes on", ("its scope was cancelled",)]


def test_a_child_that_cancels_its_scope_later_hears_of_it_at_its_next_wait() -> None:
    owner = service()
    scope = netcore.scope(owner)
    before, after = Child(), Child()

    async def cancels() -> None:
        await before.waited
        scope.cancel()
        await after.run()

    d = scope.start(cancels())
    other = Child()
    scope.start(other.run())
    before.waited.callback(None)
    assert other.heard == after.heard == [(asyncio.CancelledError, "its scope was cancelled")]
    assert result_of(d).check(CancelledError)
    assert not owner._tied


def test_a_child_is_cancelled_once() -> None:
    owner = service()
    scope = netcore.scope(owner)
    child = Stubborn()
    d = scope.start(child.run())
    scope.cancel()
    stopping = owner.stopService()
    assert stopping is not None
    assert not stopping.called
    assert not d.called
    child.then.callback("in its own time")
    assert stopping.called
    assert result_of(d) == "in its own time"


def test_a_deferred_with_a_canceller_is_told() -> None:
    told: list[Deferred[None]] = []
    given: Deferred[None] = Deferred(told.append)
    scope = netcore.scope(service())
    scope.start(given)
    scope.cancel()
    assert told == [given]


def test_a_child_started_too_late_is_closed() -> None:
    owner = service()
    scope = netcore.scope(owner)

    async def starts_another() -> None:
        try:
            await Deferred[None]()
        finally:
            scope.start(Child().run())  # a warning that it was never awaited would fail the test

    scope.start(starts_another())
    scope.cancel()  # and that it came too late is no error: its starter was cancelled
    assert not owner._tied


def test_a_scope_without_an_owner_must_be_entered_first() -> None:
    with pytest.raises(RuntimeError, match=r"async with netcore\.scope"):
        netcore.scope().start(Child().run())
    with pytest.raises(RuntimeError, match=r"async with netcore\.scope"):
        netcore.scope().deferToThread(print)


def test_entering_where_no_loop_runs_is_refused() -> None:
    async def enters() -> None:
        async with netcore.scope():
            raise AssertionError("not reached")

    failure = result_of(defer.ensureDeferred(enters()).addErrback(lambda failure: failure.value))
    assert isinstance(failure, RuntimeError)
    assert "without `async with`" in str(failure)


# --------------------------------------------------------------------------------------------------------------- owners


@every_owner
def test_the_owners_end_cancels_what_was_started_for_it(make: Make) -> None:
    owner = make()
    scopes = [netcore.scope(owner) for _ in range(3)]
    children = [Child() for _ in scopes]
    for scope, child in zip(scopes, children, strict=True):
        scope.start(child.run())
    end(owner)
    why = "its service was stopped" if isinstance(owner, Service) else "its connection was lost"
    assert [child.heard for child in children] == [[(asyncio.CancelledError, why)]] * 3
    for late in (scopes[0], netcore.scope(owner)):
        with pytest.raises(RuntimeError, match=why):
            late.start(children[0].run())


@every_owner
def test_ten_thousand_scopes_leave_nothing_with_their_owner(make: Make) -> None:
    owner = make()
    waited: list[Deferred[None]] = []
    for _ in range(10_000):
        waited.append(Deferred())
        netcore.scope(owner).start(waited[-1])
    assert len(owner._tied) == 10_000
    for each in waited:
        each.callback(None)
    assert not owner._tied


def test_a_scope_that_ended_keeps_nothing_alive() -> None:
    class Something:
        pass

    def use() -> tuple[list[weakref.ref[Any]], list[Deferred[None]]]:
        owner = service()
        scope = netcore.scope(owner)
        things = [Something() for _ in range(3)]

        async def child(thing: Something, waited: Deferred[None]) -> None:
            await waited

        waited: list[Deferred[None]] = [Deferred() for _ in things]
        started = [scope.start(child(*each)) for each in zip(things, waited, strict=True)]
        return [weakref.ref(each) for each in (owner, scope, *started, *things)], waited

    logging.disable(logging.ERROR)  # whoever keeps the record keeps the failure, its traceback and the frames
    gc.collect()
    gc.disable()
    try:
        left, waited = use()
        waited.pop(0).callback(None)
        waited.pop(0).errback(ValueError())  # so that the last is cancelled
        waited.clear()
        assert [reference() for reference in left] == [None] * 8
    finally:
        gc.enable()
        logging.disable(logging.NOTSET)


def test_a_protocol_that_is_not_connected_yet_cannot_have_a_scope() -> None:
    with pytest.raises(RuntimeError, match="connectionMade"):
        netcore.scope(Protocol())


@pytest.mark.parametrize("given", [5, "service", object(), Service])
def test_what_cannot_be_an_owner_is_refused(given: Any) -> None:
    with pytest.raises(TypeError, match=r"a connection .* or to a Service"):
        netcore.scope(given)


# ---------------------------------------------------------------------------------------------------------- connections


def test_children_are_cancelled_before_connectionlost() -> None:
    server = Noting()
    pair = connectedPair(server, Protocol())

    async def child() -> None:
        try:
            await Deferred[None]()
        finally:
            server.notes.append("cancelled")

    server.scope.start(child())
    pair.client.transport.loseConnection()
    pair.flush()
    assert [type(note) for note in server.notes] == [str, ConnectionDone]


def test_a_connection_is_lost_with_what_failed(logged: Logged) -> None:
    server, client = Noting(), Noting()
    pair = connectedPair(server, client)
    waited: Deferred[None] = Deferred()
    server.scope.start(waited)
    waited.errback(ValueError("unknown"))
    assert server.notes == []  # not from within a call of the protocol's
    pair.flush()
    (reason,) = server.notes
    assert repr(reason) == "ExceptionGroup('errors in a scope', [ValueError('unknown')])"
    assert [type(reason) for reason in client.notes] == [ConnectionDone]
    assert group_of(logged.take()).exceptions == reason.exceptions


def test_a_connection_is_lost_at_once_even_if_a_child_takes_its_time(logged: Logged) -> None:
    server = Noting()
    pair = connectedPair(server, Protocol())
    stubborn, failing = Stubborn(), Child()
    server.scope.start(stubborn.run())
    server.scope.start(failing.run())
    failing.waited.errback(ValueError())
    pair.flush()
    assert len(server.notes) == 1
    assert logged.take() == []
    stubborn.then.callback(None)
    assert len(logged.take(ExceptionGroup)) == 1


def test_a_connection_that_is_going_takes_children_until_it_is_lost() -> None:
    server = Noting()
    pair = connectedPair(server, Protocol())
    server.transport.loseConnection()
    child = Child()
    server.scope.start(child.run())
    pair.flush()
    assert child.heard == [(asyncio.CancelledError, "its connection was lost")]


def test_a_stringtransport_notes_what_failed(logged: Logged) -> None:
    transport = StringTransport()
    protocol = Noting()
    protocol.makeConnection(transport)
    protocol.scope.start(defer.fail(ValueError()))
    assert len(logged.take(ExceptionGroup)) == 1
    assert transport.disconnected
    assert transport.failure is not None
    assert [type(error) for error in transport.failure.value.exceptions] == [ValueError]  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------------------------------- services


def test_a_service_serves_on_when_a_child_has_failed(logged: Logged) -> None:
    scope = netcore.scope(service())
    failing, cleaning_up = Child(), Stubborn()
    scope.start(failing.run())
    scope.start(cleaning_up.run())
    failing.waited.errback(ValueError())
    child = Child()
    d = scope.start(child.run())  # while one of those before is still at work
    cleaning_up.then.callback(None)
    assert len(logged.take(ExceptionGroup)) == 1
    child.waited.callback("served")
    assert result_of(d) == "served"


def test_a_service_that_is_started_again_takes_children_again() -> None:
    owner = service()
    scope = netcore.scope(owner)
    owner.stopService()
    owner.startService()
    assert result_of(scope.start(defer.succeed("again"))) == "again"


def test_what_was_started_before_the_service_is_cancelled_by_its_end() -> None:
    owner = Service()
    child = Child()
    netcore.scope(owner).start(child.run())
    owner.startService()
    owner.stopService()
    assert child.heard == [(asyncio.CancelledError, "its service was stopped")]


def test_stopping_with_nothing_to_wait_for_returns_none() -> None:
    owner = service()
    assert owner.stopService() is None
    owner.startService()
    scope = netcore.scope(owner)
    scope.start(defer.succeed(None))
    scope.start(Child().run())  # which is cancelled at once
    assert owner.stopService() is None


def test_stopping_waits_for_children() -> None:
    owner = service()
    stubborn = [Stubborn(), Stubborn()]
    for each in stubborn:
        netcore.scope(owner).start(each.run())
    stopping = owner.stopService()
    assert stopping is not None
    stubborn[0].then.callback(None)
    assert not stopping.called
    stubborn[1].then.callback(None)
    assert result_of(stopping) is None


def test_giving_up_waiting_for_the_end_disturbs_nobody() -> None:
    owner = service()
    stubborn = Stubborn()
    d = netcore.scope(owner).start(stubborn.run())
    stopping = owner.stopService()
    assert stopping is not None
    stopping.addErrback(lambda failure: failure.trap(CancelledError))
    stopping.cancel()
    stubborn.then.callback("undisturbed")
    assert result_of(d) == "undisturbed"


def test_a_child_may_stop_its_own_service() -> None:
    owner = service()

    async def stops() -> None:
        stopping = owner.stopService()
        assert stopping is not None
        await stopping

    d = netcore.scope(owner).start(stops())
    assert isinstance(result_of(d).value, CancelledError)
    assert not owner._tied


def test_a_multiservice_waits_for_its_own_scopes_and_for_those_of_its_parts() -> None:
    whole, part = MultiService(), Service()
    part.setServiceParent(whole)
    whole.startService()
    stubborn = [Stubborn(), Stubborn()]
    netcore.scope(whole).start(stubborn[0].run())
    netcore.scope(part).start(stubborn[1].run())
    stopped: list[Any] = []
    whole.stopService().addCallback(stopped.append)
    stubborn[1].then.callback(None)
    assert stopped == []
    stubborn[0].then.callback(None)
    assert stopped == [[(True, None)]]


@pytest.mark.parametrize("listening", [False, True])
def test_a_listening_service_waits_for_its_port_and_its_scopes(listening: bool) -> None:
    closed: Deferred[None] = Deferred()

    class Port:
        def stopListening(self) -> Deferred[None]:
            return closed

    class Endpoint:
        def listen(self, factory: object) -> Deferred[Any]:
            return defer.succeed(Port())

    endpoint: Any = Endpoint()
    owner = StreamServerEndpointService(endpoint, Factory())
    if listening:
        owner.startService()
    stubborn = Stubborn()
    netcore.scope(owner).start(stubborn.run())
    stopped: list[Any] = []
    stopping = owner.stopService()
    assert stopping is not None
    stopping.addBoth(stopped.append)
    closed.callback(None)
    assert stopped == []
    stubborn.then.callback(None)
    assert stopped == [None]


# ------------------------------------------------------------------------------------------------------------ lifecycle


OPEN, CANCELLING, ENDED = State
TABLE = {
    #              OPEN        CANCELLING  ENDED
    Event.CANCEL: (CANCELLING, CANCELLING, ENDED),
    Event.END:    (ENDED,      ENDED,      None),
}  # fmt: skip


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("event", list(Event))
def test_every_event_in_every_state(event: Event, state: State) -> None:
    expected = TABLE[event][list(State).index(state)]
    assert TRANSITIONS.get((state, event)) is expected
    listener: Any = netcore.scope(service())
    children = Children(listener, None)
    children.state = state
    if expected is None:
        with pytest.raises(RuntimeError, match=state.value):
            children._move(event)
        assert children.state is state
    else:
        children._move(event)
        assert children.state is expected


def test_jobs_are_told_by_their_functions_names() -> None:
    assert repr(_children.Job(len, (), {})) == repr(len)
