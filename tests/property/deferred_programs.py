"""Random programs on Deferreds, what runs them, and a model of Deferreds simple enough to be believed.

A program is data: what the cancellers of a pool of Deferreds do, and operations on these by their index. `Run` does
them with any implementation of the names in `Implementation` and notes what each callback saw. `MODEL` is such an
implementation. It recurses, keeps lists of pairs and has one way to do each thing; threads, asyncio and memory do not
concern it.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
from collections.abc import Awaitable, Callable, Generator
from typing import Any, NamedTuple

from hypothesis import strategies as st

from netcore import defer
from netcore.defer import AlreadyCalledError, CancelledError, FirstError
from netcore.failure import Failure

# ------------------------------------------------------------------------------------------------------------ programs

BASE = 4  # these are fired by operations; coroutines and lists add more to the pool

Operation = tuple[Any, ...]


class Program(NamedTuple):
    """What the cancellers of the first `BASE` Deferreds do, and what is done with all."""

    cancellers: tuple[str, ...]
    operations: tuple[Operation, ...]


def _operations(actions: st.SearchStrategy[Any]) -> st.SearchStrategy[Operation]:
    index = st.integers(0, 6)
    indices = st.lists(index, min_size=1, max_size=3).map(tuple)
    arguments = st.sampled_from(["none", "positional", "keywords", "all"])
    add = st.tuples(
        st.just("add"), index, st.sampled_from(["callback", "errback", "both", "either"]), arguments, actions
    )
    return st.one_of(
        add,
        add,
        add,
        st.tuples(st.just("fire"), index, st.integers(0, 9)),
        st.tuples(st.just("fail"), index),
        st.tuples(st.sampled_from(["pause", "unpause", "unpause", "cancel"]), index),
        st.tuples(st.just("chain"), index, index),
        st.tuples(st.just("coroutine"), indices, st.booleans(), actions),
        st.tuples(st.just("gather"), indices, st.booleans()),
        st.tuples(st.just("list"), indices, st.booleans(), st.booleans(), st.booleans()),
    )


_outcomes = st.one_of(
    st.tuples(st.just("value"), st.integers(10, 19)),
    st.tuples(st.sampled_from(["same", "raise", "failure", "none"]), st.just(0)),
    st.tuples(st.just("deferred"), st.integers(0, 6)),
)
_simple = st.tuples(st.just(()), _outcomes)
_nested = st.tuples(st.lists(_operations(_simple), max_size=2).map(tuple), _outcomes)

_cancellers = st.sampled_from(["none", "silent", "fires", "fails", "raises", "pauses", "cancels the next"])

programs = st.builds(
    Program,
    st.tuples(*[_cancellers] * BASE),
    st.lists(_operations(_nested), min_size=5, max_size=20).map(tuple),
)


# ---------------------------------------------------------------------------------------------------------- running one


class Implementation(NamedTuple):
    """What `Run` uses."""

    Deferred: Callable[..., Any]
    Failure: type[Any]
    inlineCallbacks: Callable[..., Any]
    ensureDeferred: Callable[..., Any]
    gatherResults: Callable[..., Any]
    DeferredList: Callable[..., Any]
    AlreadyCalledError: type[Exception]


NETCORE = Implementation(
    defer.Deferred,
    Failure,
    defer.inlineCallbacks,
    defer.ensureDeferred,
    defer.gatherResults,
    defer.DeferredList,
    AlreadyCalledError,
)


class Boom(Exception):
    """What programs raise."""


class Run:
    """The run of *program*: *log* is what every callback and coroutine saw, in order."""

    def __init__(self, implementation: Implementation, program: Program) -> None:
        self.make = implementation
        self.log: list[Any] = []
        self.numbers = itertools.count()
        self.pool = [self.made(index, kind) for index, kind in enumerate(program.cancellers)]
        self.pauses: dict[int, int] = {}
        for operation in program.operations:
            self.do(operation)

    def made(self, index: int, kind: str) -> Any:
        """A Deferred whose canceller does what *kind* says."""
        if kind == "none":
            return self.make.Deferred()

        def cancel(d: Any) -> None:
            self.log.append((index, "is cancelled"))
            if kind == "fires":
                d.callback("by the canceller")
            elif kind == "fails":
                d.errback(Boom("by the canceller"))
            elif kind == "raises":
                raise Boom("in the canceller")
            elif kind == "pauses":
                self.do_pause(index)
            elif kind == "cancels the next":
                self.pool[(index + 1) % BASE].cancel()

        return self.make.Deferred(cancel)

    def told(self, result: Any) -> Any:
        """*result* in words that are the same for every implementation."""
        if isinstance(result, self.make.Failure):
            return f"failure: {self.told(result.value)}"
        if isinstance(result, (list, tuple)):
            return [self.told(one) for one in result]
        if hasattr(result, "subFailure"):
            return f"first error, {result.index}: {self.told(result.subFailure)}"
        if isinstance(result, BaseException):
            return f"{type(result).__name__}({result if isinstance(result, Boom) else ''})"
        for index, deferred in enumerate(self.pool):
            if result is deferred:
                return f"deferred {index}"
        return result

    def do(self, operation: Operation) -> None:
        name, *arguments = operation
        try:
            getattr(self, f"do_{name}")(*arguments)
        except self.make.AlreadyCalledError:
            self.log.append("already called")

    def at(self, index: int) -> Any:
        return self.pool[index % len(self.pool)]

    def act(self, action: Any, result: Any) -> Any:
        operations, (outcome, argument) = action
        for operation in operations:
            self.do(operation)
        if outcome == "raise":
            raise Boom(next(self.numbers))
        if outcome == "failure":
            return self.make.Failure(Boom(next(self.numbers)))
        if outcome == "deferred":
            return self.at(argument)
        return {"value": argument, "same": result, "none": None}[outcome]

    def do_add(self, index: int, how: str, arguments: str, action: Any) -> None:
        number = next(self.numbers)

        def called(result: Any, *args: Any, **keywords: Any) -> Any:
            self.log.append((number, self.told(result), args, keywords))
            return self.act(action, result)

        d = self.at(index)
        args = (1,) if arguments in ("positional", "all") else ()
        keywords = {"k": 2} if arguments in ("keywords", "all") else {}
        if how == "either":
            d.addCallbacks(called, called, args, keywords, args[:0], {})
        else:
            {"callback": d.addCallback, "errback": d.addErrback, "both": d.addBoth}[how](called, *args, **keywords)

    def do_fire(self, index: int, value: int) -> None:
        self.pool[index % BASE].callback(value)

    def do_fail(self, index: int) -> None:
        self.pool[index % BASE].errback(Boom(next(self.numbers)))

    def do_pause(self, index: int) -> None:
        index %= len(self.pool)
        self.pauses[index] = self.pauses.get(index, 0) + 1
        self.pool[index].pause()

    def do_unpause(self, index: int) -> None:
        index %= len(self.pool)
        if self.pauses.get(index):
            self.pauses[index] -= 1
            self.pool[index].unpause()

    def do_cancel(self, index: int) -> None:
        self.at(index).cancel()

    def do_chain(self, index: int, other: int) -> None:
        self.at(index).chainDeferred(self.pool[other % BASE])

    def do_coroutine(self, indices: tuple[int, ...], generator: bool, action: Any) -> None:
        number = next(self.numbers)
        targets = [self.at(index) for index in indices]

        def gets(result: Any) -> None:
            self.log.append((number, self.told(result)))

        def end() -> Any:
            result = self.act(action, None)
            return result if action[1][0] != "deferred" else None  # that is an error, which has a test of its own

        def by_yield() -> Generator[Any, Any, Any]:
            for target in targets:
                try:
                    gets((yield target))
                except Exception as error:
                    gets(error)
            return end()

        async def by_await() -> Any:
            for target in targets:
                try:
                    gets(await target)
                except Exception as error:
                    gets(error)
            return end()

        make = self.make
        self.pool.append(make.inlineCallbacks(by_yield)() if generator else make.ensureDeferred(by_await()))

    def do_gather(self, indices: tuple[int, ...], consume: bool) -> None:
        self.pool.append(self.make.gatherResults([self.at(index) for index in indices], consume))

    def do_list(self, indices: tuple[int, ...], one_callback: bool, one_errback: bool, consume: bool) -> None:
        self.pool.append(self.make.DeferredList([self.at(i) for i in indices], one_callback, one_errback, consume))

    def states(self) -> list[Any]:
        """Of each Deferred: whether it was fired, how often it is paused, its result."""
        return [(bool(d.called), d.paused, self.told(d.result) if d.called else None) for d in self.pool]


# ----------------------------------------------------------------------------------------------------------- the model


class Model:
    """A Deferred.

    An entry is a pair of functions, for a value and for a failure. It returns the next result and, where that is not
    None, a Model that it has fired (`ready`), which goes on before the rest of the entries.
    """

    def __init__(self, canceller: Callable[[Any], object] | None = None) -> None:
        self.entries: list[tuple[Any, Any]] = []
        self.called = False
        self.running = False
        self.chained: Model | None = None
        self.value: Any = None
        self.paused = 0
        self.canceller = canceller
        self.drops_one = False

    @property
    def result(self) -> Any:
        return self.chained or self.value

    # What users call

    def addCallbacks(
        self,
        callback: Any,
        errback: Any = None,
        args: Any = (),
        keywords: Any = None,
        errback_args: Any = (),
        errback_keywords: Any = None,
    ) -> None:
        def plain(function: Any, args: Any, keywords: Any) -> Any:
            return function and (lambda result: (function(result, *args, **(keywords or {})), None))

        self.add((plain(callback, args, keywords), plain(errback, errback_args, errback_keywords)))

    def addCallback(self, function: Any, *args: Any, **keywords: Any) -> None:
        self.addCallbacks(function, None, args, keywords)

    def addErrback(self, function: Any, *args: Any, **keywords: Any) -> None:
        self.addCallbacks(None, function, (), {}, args, keywords)

    def addBoth(self, function: Any, *args: Any, **keywords: Any) -> None:
        self.addCallbacks(function, function, args, keywords, args, keywords)

    def chainDeferred(self, other: Model) -> None:
        def fire(result: Any) -> Any:
            if other.called:
                return other.callback(result), None
            return None, other.ready(result)

        self.add((fire, fire))

    def callback(self, value: Any) -> None:
        if self.called:
            if not self.drops_one:
                raise AlreadyCalledError
            self.drops_one = False
            return
        self.called = True
        self.value = value
        self.go()

    def errback(self, error: Any) -> None:
        self.callback(error if isinstance(error, Failure) else Failure(error))

    def pause(self) -> None:
        self.paused += 1

    def unpause(self) -> None:
        self.paused -= 1
        self.go()

    def cancel(self, seen: tuple[Any, ...] = ()) -> bool:
        """Returns: whether those who wait for this will hear of it."""
        if self in seen:
            return False
        if self.chained is not None:
            heard = self.chained.cancel((*seen, self))
        else:
            heard = not self.called and self.give_up((*seen, self))
        return heard and not self.paused

    def give_up(self, seen: tuple[Any, ...]) -> bool:
        canceller, self.canceller = self.canceller, None
        if canceller is None:
            self.drops_one = True
        else:
            with contextlib.suppress(Boom):
                canceller(self)
        if not self.called:
            self.errback(CancelledError())
        return True

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self)

    # How it goes

    def add(self, entry: tuple[Any, Any]) -> None:
        self.entries.append(entry)
        self.go()

    def at_rest(self) -> bool:
        return self.called and not self.running and not self.paused and self.chained is None

    def take(self) -> Any:
        value, self.value = self.value, None
        return value

    def ready(self, value: Any) -> Model:
        """Have *value* as result, to `go` a moment later."""
        self.called, self.chained, self.value = True, None, value
        return self

    def go(self) -> None:
        if not self.at_rest():
            return
        self.running = True
        while True:
            if isinstance(self.value, Model):
                inner = self.value
                if inner is self:
                    self.value = Failure(TypeError())
                elif inner.at_rest():
                    self.value = inner.take()
                else:
                    self.chained = inner
                    inner.entries.append((lambda result: (None, self.ready(result)),) * 2)
                    break
            if self.paused or not self.entries:
                break
            following = None
            function = self.entries.pop(0)[isinstance(self.value, Failure)]
            if function is not None:
                try:
                    self.value, following = function(self.value)
                except BaseException as error:
                    self.value = Failure(error)
            if following is not None:
                self.running = bool(self.entries)  # with nothing left to do, it rests meanwhile
                following.go()
                if not self.running and (self.paused or not self.at_rest()):
                    return
                self.running = True
        self.running = False


class ModelCoroutine(Model):
    """The Deferred of a coroutine or generator."""

    def __init__(self, generator: Any) -> None:
        super().__init__()
        self.generator = generator
        self.waits_for: Any = None
        self.step(None)
        self.go()

    def step(self, result: Any) -> Any:
        """Go on with *result*. Returns: what an entry does."""
        self.waits_for = None
        while True:
            try:
                if isinstance(result, Failure):
                    waits_for = self.generator.throw(result.value)
                else:
                    waits_for = self.generator.send(result)
            except StopIteration as stop:
                return None, self.ready(stop.value)
            except BaseException as error:
                return None, self.ready(Failure(error))
            if not waits_for.at_rest():
                break
            if inspect.iscoroutine(self.generator) and not isinstance(waits_for.value, Failure):
                result = waits_for.value  # stays, for others to await
            else:
                result = waits_for.take()
        self.waits_for = waits_for

        def arrived(result: Any) -> Any:
            if self.waits_for is not waits_for:  # it has given up
                return None if _says_cancelled(result) else result, None
            return self.step(result)

        waits_for.entries.append((arrived, arrived))
        return None, None

    def give_up(self, seen: tuple[Any, ...]) -> bool:
        waits_for = self.waits_for
        if waits_for is None:
            return False
        if not waits_for.cancel(seen) and self.waits_for is waits_for:
            _, ended = self.step(Failure(CancelledError()))
            if ended is not None:
                ended.go()
        return True


def _says_cancelled(result: Any) -> bool:
    while isinstance(result, Failure) and isinstance(result.value, FirstError):
        result = result.value.subFailure
    return isinstance(result, Failure) and isinstance(result.value, CancelledError)


class ModelList(Model):
    def __init__(
        self, deferreds: list[Model], one_callback: bool = False, one_errback: bool = False, consume: bool = False
    ) -> None:
        super().__init__()
        self.deferreds = deferreds
        self.one_callback, self.one_errback, self.consume = one_callback, one_errback, consume
        self.results: list[Any] = [None] * len(deferreds)
        self.missing = len(deferreds)
        for index, deferred in enumerate(deferreds):
            deferred.add((lambda result, index=index: self.one_fired(index, result),) * 2)

    def one_fired(self, index: int, result: Any) -> Any:
        failed = isinstance(result, Failure)
        self.results[index] = (not failed, result)
        self.missing -= 1
        passed_on = None if failed and self.consume else result
        if self.called:
            return passed_on, None
        if failed and self.one_errback:
            return passed_on, self.ready(Failure(FirstError(result, index)))
        if not failed and self.one_callback:
            return passed_on, self.ready((result, index))
        return passed_on, None if self.missing else self.ready(self.finished())

    def finished(self) -> Any:
        return self.results

    def give_up(self, seen: tuple[Any, ...]) -> bool:
        heard = False
        for deferred in self.deferreds:
            heard = deferred.cancel(seen) or heard
        return heard


class ModelGathered(ModelList):
    def __init__(self, deferreds: list[Model], consume: bool) -> None:
        super().__init__(deferreds, one_errback=True, consume=consume)

    def finished(self) -> Any:
        return [result for _, result in self.results]


def _inline(function: Callable[[], Any]) -> Callable[[], Model]:
    return lambda: ModelCoroutine(function())


def _ensure(coroutine: Awaitable[Any]) -> Model:
    return ModelCoroutine(coroutine)


MODEL = Implementation(Model, Failure, _inline, _ensure, ModelGathered, ModelList, AlreadyCalledError)
