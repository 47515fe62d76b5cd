"""The plugin for pytest, loaded by its entry point. docs/testing.md is its guide, decision 0027 has its reasons.

A test is run in a reactor if it asks for the fixture ``reactor``, in whatever way (``netcore_reactor`` is the same, by
a name that nobody else has); if it is marked ``@pytest.mark.netcore``; or, with ``netcore_mode = auto``, if it is a
coroutine that is not marked for another plugin. One that is claimed by two is refused. Fixtures that are coroutines or
asynchronous generators, and ask for ``reactor``, are run in it as well.

The reactor runs while the test does, and stands still in between: what fixtures have opened before is there, and what
they close afterwards is closed before anybody looks for what was left behind. (`Reactor.crash` ends a run like that:
nothing is shut down.) Everything ends with the fixture.

pytest imports this module at each start, in environments where nobody uses it: it imports netcore only when asked.
"""

from __future__ import annotations

import functools
import gc
import inspect
import logging
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from netcore.debug import Pending
    from netcore.failure import Failure
    from netcore.reactors import Reactor
    from netcore.task import Clock
    from netcore.testing.network import FakeNetwork

MODES = ("strict", "auto")
OTHERS = ("asyncio", "anyio", "trio")  # marks of other plugins
LOGGERS = ("netcore", "asyncio")

CANCEL_GRACE = 5.0  # seconds that a test has to end when it was cancelled
TURNS = 20  # of the loop, in which what was closed last can end
CLOSING_GRACE = 1.0  # seconds for what is closing still

_END = object()


# ------------------------------------------------------------------------------------------------------------- options


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("netcore").addoption(
        "--netcore-loop",
        metavar="NAME",
        help="the event loop of the fixture `reactor`, by a name that Reactor() takes (default: the ini option)",
    )
    parser.addini("netcore_loop", "the event loop of the fixture `reactor`; by default what asyncio makes", default="")
    parser.addini("netcore_timeout", "seconds that a test in a reactor may take; 0: any number", default="120")
    parser.addini("netcore_mode", "auto: all tests that are coroutines are run in a reactor", default="strict")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "netcore(timeout=SECONDS): run the test in a reactor, as netcore's fixture does")
    if config.getini("netcore_mode") not in MODES:
        raise pytest.UsageError(f"netcore_mode is {' or '.join(MODES)}, not {config.getini('netcore_mode')!r}")
    _seconds(config.getini("netcore_timeout"), "netcore_timeout")


def _seconds(value: Any, what: str) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not seconds >= 0:
        raise pytest.UsageError(f"{what} is a number of seconds, or 0 for no limit, not {value!r}")
    return seconds


# ------------------------------------------------------------------------------------------------- which tests are ours


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give the tests that are marked, and in mode ``auto`` those that are coroutines, the fixture."""
    if isinstance(item, pytest.Function) and _is_wanted(item) and "netcore_reactor" not in item.fixturenames:
        item.fixturenames.insert(0, "netcore_reactor")


def _is_wanted(item: pytest.Function) -> bool:
    unittest = sys.modules.get("unittest")
    if unittest is not None and item.cls is not None and issubclass(item.cls, unittest.TestCase):
        return False  # unittest calls those itself
    if item.get_closest_marker("netcore") is not None:
        return True
    return item.config.getini("netcore_mode") == "auto" and _is_coroutine(item.obj) and not _is_others(item)


def _is_coroutine(function: Any) -> bool:
    """Whether it is one, or looked like one before `netcore.defer.inlineCallbacks` took it."""
    return inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(inspect.unwrap(function))


def _is_others(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(mark) is not None for mark in OTHERS)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run the test in the reactor, if it has one."""
    __tracebackhide__ = True
    reactor = pyfuncitem.stash.get(_reactor, None)
    marker = pyfuncitem.get_closest_marker("netcore")
    if reactor is None:
        return None
    timeout = _timeout_of(pyfuncitem.config) if marker is None else _timeout_in(marker, pyfuncitem.config)
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    test = pyfuncitem.obj
    given = getattr(test, "hypothesis", None)  # each of its examples is a run of its own
    if given is None:
        run_in(reactor, lambda: test(**arguments), timeout)
    else:
        inner = given.inner_test

        @functools.wraps(inner)
        def example(**drawn: Any) -> None:
            __tracebackhide__ = True
            run_in(reactor, lambda: inner(**drawn), timeout)

        given.inner_test = example
        try:
            test(**arguments)
        finally:
            given.inner_test = inner
    pyfuncitem.stash[_errors].check()
    return True


def _refuse_two(item: pytest.Item) -> None:
    """Raises: pytest's Failed: *item* is another plugin's test, and would wait for ever: the reactor would not run."""
    for mark in OTHERS:
        if item.get_closest_marker(mark) is not None:
            pytest.fail(
                f"the test is marked {mark}, by hand or by the automatic mode of that plugin, and asks for netcore's "
                "reactor too: only one can run it. Take one away; within asyncio, Reactor.current() gives a reactor",
                pytrace=False,
            )


def _timeout_of(config: pytest.Config) -> float:
    return _seconds(config.getini("netcore_timeout"), "netcore_timeout")


def _timeout_in(marker: pytest.Mark, config: pytest.Config) -> float:
    if marker.args or not marker.kwargs.keys() <= {"timeout"}:
        raise pytest.UsageError(f"the mark is netcore, or netcore(timeout=SECONDS), not {marker}")
    return _seconds(marker.kwargs.get("timeout", _timeout_of(config)), "the timeout of the mark netcore")


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Run a fixture that is asynchronous in the reactor, if it asks for that."""
    function = fixturedef.func
    if not _is_asynchronous_and_ours(function, fixturedef.argnames, request):
        return (yield)
    setattr(fixturedef, "func", _in_reactor(function, request))  # noqa: B010  # it is declared final
    try:
        return (yield)
    finally:
        setattr(fixturedef, "func", function)  # noqa: B010


def _is_asynchronous_and_ours(function: Any, argnames: Sequence[str], request: pytest.FixtureRequest) -> bool:
    if not (inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)):
        return False
    if "netcore_reactor" in argnames:
        return True
    if "reactor" not in argnames:
        return False
    asked_for = request.getfixturevalue("reactor")  # which may be another's of that name
    return _reactor in request.node.stash and request.node.stash[_reactor] is asked_for


def _in_reactor(function: Any, request: pytest.FixtureRequest) -> Callable[..., Any]:
    """*function*, an asynchronous fixture, as a synchronous one."""
    reactor, timeout = request.getfixturevalue("netcore_reactor"), _timeout_of(request.config)
    if hasattr(function, "__self__") and isinstance(request.instance, type(function.__self__)):
        function = function.__func__.__get__(request.instance)  # it was bound to that of another test

    def call(**arguments: Any) -> Any:
        return run_in(reactor, lambda: function(**arguments), timeout)

    def generate(**arguments: Any) -> Iterator[Any]:
        steps = function(**arguments)

        async def step() -> Any:
            return await anext(steps, _END)

        yield run_in(reactor, step, timeout)
        if run_in(reactor, step, timeout) is not _END:
            pytest.fail(f"the fixture {request.fixturename} has yielded more than once", pytrace=False)

    return generate if inspect.isasyncgenfunction(function) else call


# --------------------------------------------------------------------------------------------------------- running them


class _Run:
    """One function that is called in a reactor, and its outcome."""

    def __init__(self, reactor: Reactor, function: Callable[[], Any], timeout: float) -> None:
        self.reactor = reactor
        self.function = function
        self.timeout = timeout
        self.timed_out = False
        self.outcome: list[Any] = []
        self.deferred: Any = None

    def run(self) -> None:
        """Call the function and wait for what it returns."""
        self.reactor.callWhenRunning(self.begin)
        # The loop's own timer: the reactor's are the test's to count.
        timer = self.reactor.loop.call_later(self.timeout, self.expire) if self.timeout else None
        try:
            self.reactor.run(installSignalHandlers=False)  # Ctrl-C ends pytest
        finally:
            if timer is not None:
                timer.cancel()

    def begin(self) -> None:
        from netcore.defer import maybeDeferred

        self.deferred = maybeDeferred(self.function)
        self.deferred.addBoth(self.end)

    def end(self, result: Any) -> None:
        self.outcome.append(result)
        self.leave()

    def leave(self) -> None:
        """Have `run` return, with everything as it is."""
        from netcore.error import ReactorNotRunning

        try:
            self.reactor.crash()
        except ReactorNotRunning:  # it was stopped, and this is the end of a test that had failed for that
            pass

    def expire(self) -> None:
        self.timed_out = True
        if self.deferred is not None:
            self.deferred.cancel()
        if not self.outcome:
            self.reactor.loop.call_later(CANCEL_GRACE, self.leave)


def run_in(reactor: Reactor, function: Callable[[], Any], timeout: float) -> Any:
    """Call *function* while *reactor* runs, and wait for its coroutine or Deferred.

    Args:
        timeout: seconds; 0: any number.
    Returns: what came of it.
    Raises: what it failed with. pytest's Failed: it took too long, or stopped the reactor.
    """
    from netcore.failure import Failure

    __tracebackhide__ = True
    run = _Run(reactor, function, timeout)
    run.run()
    if run.timed_out or not run.outcome:
        _fail(run)
    result = run.outcome[0]
    if isinstance(result, Failure):
        result.raiseException()
    return result


def _fail(run: _Run) -> NoReturn:
    """*run* has not ended by itself. Where it stood is told by the traceback of its having been cancelled."""
    from netcore.failure import Failure

    told = "the reactor was stopped before this had finished"
    if run.timed_out:
        told = f"this did not finish within {run.timeout:g} s"
        if not run.outcome:
            told += f", nor within {CANCEL_GRACE:g} s of being cancelled"
        elif isinstance(run.outcome[0], Failure):
            told += f", and was cancelled:\n{run.outcome[0].getTraceback(elideFrameworkCode=True).rstrip()}"
    pytest.fail(told, pytrace=False)


# ------------------------------------------------------------------------------------------------ what must not be lost


class Errors(logging.Handler):
    """The errors that netcore and asyncio have logged and nobody has asked for: a Deferred's unhandled failure, say, or
    what a protocol raised."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self._records.append(record)

    def flush_errors(self, *errorTypes: type[BaseException]) -> list[Failure]:
        """Take those of these types, or all if none is given.

        Returns: their Failures.
        """
        from netcore.failure import Failure

        gc.collect()  # a lost Deferred reports when it is collected
        taken = [each for each in self._records if not errorTypes or isinstance(_exception(each), errorTypes)]
        self._records = [each for each in self._records if each not in taken]
        return [getattr(each, "failure", None) or Failure(_exception(each)) for each in taken]

    def check(self) -> None:
        """Raises: pytest's Failed: there are some. They count as told then."""
        gc.collect()
        records, self._records = self._records, []
        if records:
            formatter = logging.Formatter("%(name)s: %(message)s")
            told = "\n\n".join(formatter.format(record) for record in records)
            head = "an error was" if len(records) == 1 else f"{len(records)} errors were"
            pytest.fail(f"{head} logged, and not asked for by flushLoggedErrors:\n\n{told}", pytrace=False)


_passed = pytest.StashKey[bool]()
_errors = pytest.StashKey[Errors]()
_reactor = pytest.StashKey[Any]()


def _exception(record: logging.LogRecord) -> BaseException:
    assert record.exc_info
    assert record.exc_info[1] is not None
    return record.exc_info[1]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note which tests have passed. The others, those among them that Ctrl-C has ended, are not judged once more by
    their fixtures."""
    report = yield
    if report.when == "call" and report.passed:
        item.stash[_passed] = True
    return report


def _left_behind(reactor: Reactor) -> list[Pending]:
    """Timers, transports and tasks, when what was closed last has had the time to end."""
    from netcore.debug._pending import _tasks, _timers, _transports

    deadline = time.monotonic() + CLOSING_GRACE
    turns = 0
    while left := [*_timers(reactor), *_transports(reactor), *_tasks(reactor)]:
        closing = any(getattr(thing, "disconnecting", False) for thing in reactor._open)
        if turns >= TURNS and not (closing and time.monotonic() < deadline):
            break
        reactor.iterate(0 if turns < TURNS else 0.02)
        turns += 1
    return left


# ------------------------------------------------------------------------------------------------------------ fixtures


@pytest.fixture
def _netcore_errors(request: pytest.FixtureRequest) -> Iterator[Errors]:
    errors = request.node.stash[_errors] = Errors()
    for name in LOGGERS:
        logging.getLogger(name).addHandler(errors)
    try:
        yield errors
        if request.node.stash.get(_passed, False):
            errors.check()
    finally:
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(errors)


@pytest.fixture
def flushLoggedErrors(_netcore_errors: Errors) -> Callable[..., list[Failure]]:
    """Claims errors that were logged: ``[failure] = flushLoggedErrors(ZeroDivisionError)``."""
    return _netcore_errors.flush_errors


@pytest.fixture
def netcore_reactor(request: pytest.FixtureRequest, _netcore_errors: Errors) -> Iterator[Reactor]:
    """A reactor of the test's own, which runs while the test does."""
    from netcore.reactors import Reactor

    _refuse_two(request.node)
    config = request.config
    reactor = Reactor(config.getoption("--netcore-loop") or config.getini("netcore_loop") or None)
    left: list[Pending] = []
    request.node.stash[_reactor] = reactor
    try:
        yield reactor
        if not reactor.disposed and request.node.stash.get(_passed, False):
            left = _left_behind(reactor)
    finally:
        reactor.dispose()
    if left:
        told = "\n".join(str(each) for each in left)
        pytest.fail(f"the test left behind, in its reactor:\n{told}", pytrace=False)


@pytest.fixture
def reactor(netcore_reactor: Reactor) -> Reactor:
    """A reactor of the test's own, which runs while the test does."""
    return netcore_reactor


@pytest.fixture
def clock() -> Clock:
    """Time that passes when the test says so: a `netcore.task.Clock`."""
    from netcore.task import Clock

    return Clock()


@pytest.fixture
def network(_netcore_errors: Errors) -> Iterator[FakeNetwork]:
    """A network in memory and in virtual time: a `netcore.testing.network.FakeNetwork`."""
    from netcore.testing.network import FakeNetwork

    with FakeNetwork() as network:
        yield network
