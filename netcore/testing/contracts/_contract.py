"""What all contracts have in common: how a test is run, and what becomes of errors that were logged.

Nothing of pytest is imported here: it collects classes and methods by their names, and calls `setup_method` and
`teardown_method` by theirs.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

from netcore.defer import Deferred, maybeDeferred
from netcore.failure import Failure
from netcore.interfaces import provides
from netcore.reactors import Reactor
from netcore.task import deferLater

__all__ = ["Caught", "Contract", "ReactorContract", "driven", "fails", "raises"]

C = TypeVar("C", bound="Contract")


class Caught:
    """What `raises` and `fails` caught; *value*, the exception."""

    value: Any = None


@contextmanager
def raises(*kinds: type[BaseException]) -> Iterator[Caught]:
    """What is done inside raises one of *kinds*, or the test fails."""
    caught = Caught()
    try:
        yield caught
    except kinds as error:
        caught.value = error
    else:
        raise AssertionError(f"nothing was raised: one of {_names(kinds)} should have been")


async def fails(deferred: Awaitable[Any], *kinds: type[BaseException]) -> Any:
    """*deferred* fails with one of *kinds*, or the test does.

    Returns: the exception.
    """
    try:
        result = await deferred
    except kinds as error:
        return error
    raise AssertionError(f"there was a result, {result!r}, and no failure with one of {_names(kinds)}")


def _names(kinds: tuple[type[BaseException], ...]) -> str:
    return ", ".join(kind.__name__ for kind in kinds)


def driven(test: Callable[[C], Awaitable[None]]) -> Callable[[C], None]:
    """A test that is an ``async def``, as one that pytest can call: it is run by the contract's `Contract.drive`."""

    def run(self: C) -> None:
        self.drive(lambda: test(self))

    # Not functools.wraps(): pytest would look at the function behind, and wait for it to be awaited.
    run.__name__, run.__qualname__, run.__doc__ = test.__name__, test.__qualname__, test.__doc__
    run.__module__ = test.__module__
    return run


class _Errors(logging.Handler):
    """The exceptions in the records of level ERROR and above."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self.errors.append(record.exc_info[1])


class Contract:
    """The base of contracts. A test fails if an error was logged in it that it did not expect.

    Attributes: *interface*, what is promised; *deadline*, the seconds after which a test is given up.
    """

    interface: ClassVar[Any]
    deadline: ClassVar[float] = 20.0

    def setup_method(self) -> None:
        """Begin a test; pytest calls it. Who overrides it calls it."""
        self._errors = _Errors()
        logging.getLogger().addHandler(self._errors)

    def teardown_method(self) -> None:
        """End a test; pytest calls it. Who overrides it calls it."""
        logging.getLogger().removeHandler(self._errors)
        unexpected, self._errors.errors = self._errors.errors, []
        if unexpected:
            raise AssertionError(f"logged, and not expected: {unexpected!r}") from unexpected[0]

    def drive(self, main: Callable[[], Any]) -> Any:
        """Call *main* where what is tested works, and let time pass until its result is there.

        Args:
            main: returns a result, an awaitable or a Deferred.
        Returns: the result.
        Raises: what *main* raised, or its Deferred failed with.
        """
        raise NotImplementedError

    def turn(self) -> Deferred[None]:
        """A Deferred that fires when whatever is due now has been done."""
        raise NotImplementedError

    async def settle(self) -> None:
        """Give what must not happen every chance to happen."""
        for _ in range(10):
            await self.turn()

    def flushLoggedErrors(self, *kinds: type[BaseException]) -> list[BaseException]:
        """Expect errors to have been logged; override it if they are not logged by `logging`.

        Args:
            kinds: of exceptions; none: all.
        Returns: those there were, and they are forgotten.
        """
        errors = [error for error in self._errors.errors if not kinds or isinstance(error, kinds)]
        self._errors.errors = [error for error in self._errors.errors if error not in errors]
        return errors


class ReactorContract(Contract):
    """The base of contracts for reactors, and for what works on one.

    Attributes: *reactor*, the one that `drive` runs, while it does.
    """

    reactor: Any = None

    def makeReactor(self) -> Any:
        """A new reactor, that does not run. Override it; by default it is one of netcore's."""
        return Reactor()

    def disposeReactor(self, reactor: Any) -> None:
        """Have *reactor*, that does not run, give everything back."""
        reactor.dispose()

    def runReactor(self, reactor: Any) -> None:
        """Run *reactor*, until it is stopped."""
        reactor.run()

    def setup_method(self) -> None:
        """Begin a test."""
        super().setup_method()
        self._made: list[Any] = []

    def teardown_method(self) -> None:
        """End a test: the reactors it made are disposed of."""
        try:
            while self._made:
                self.disposeReactor(self._made.pop())
        finally:
            super().teardown_method()

    def newReactor(self) -> Any:
        """A reactor that is disposed of at the end of the test."""
        self._made.append(self.makeReactor())
        return self._made[-1]

    def drive(self, main: Callable[[], Any]) -> Any:
        """Run a new reactor, call *main* in it, and stop it when the result is there."""
        reactor = self.reactor = self.newReactor()
        results: list[Any] = []

        def end(result: Any) -> None:
            results.append(result)
            reactor.stop()

        begin = Deferred[None]()
        begin.addCallback(lambda _: maybeDeferred(main)).addTimeout(self.deadline, reactor).addBoth(end)
        reactor.callWhenRunning(begin.callback, None)
        self.runReactor(reactor)
        assert len(results) == 1, "the reactor was stopped before the test had come to its end"
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]

    def turn(self) -> Deferred[None]:
        """A Deferred that fires in the reactor's next turn."""
        return deferLater(self.reactor, 0)

    def test_it_declares_the_interface(self) -> None:
        """What it offers can be found out by asking (``providedBy``)."""
        self.drive(self.declares)

    async def declares(self) -> None:
        """What is tested provides the interface."""
        assert provides(self.reactor, self.interface), f"{self.reactor!r} does not declare {self.interface.__name__}"
