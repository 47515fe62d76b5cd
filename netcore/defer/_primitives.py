"""`DeferredLock`, `DeferredSemaphore`, `DeferredQueue`: who may go on, and with what, first come, first served.

Invariants:

- What waits is served in the order in which it came; nothing that comes later gets ahead of it, whoever calls.
- Handing over is one loop. A callback that releases (or puts) while it is being served only counts; the loop that
  serves it goes on. So 100,000 waiters that release one another need no stack. The next waiter then runs when the
  callbacks of this one are through, not within.
- A waiter that was cancelled is gone: it gets nothing and is in nobody's way (removing it is O(1): a scope may cancel
  100,000 at once, the youngest first).
- Nothing handed over gets lost: when an asyncio Task is cancelled after its Deferred fired, but before it went on, the
  Deferred has a result that its Task never sees. `_Waiting` notices, and gives it back: itself, not what a callback has
  made of it, who has then had it.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Generic, ParamSpec, Protocol, Self, TypeVar, cast, overload

from netcore.defer._chain import PENDING
from netcore.defer._coroutines import maybeDeferred
from netcore.defer._deferred import Deferred, succeed
from netcore.defer._errors import QueueOverflow, QueueUnderflow

__all__ = ["DeferredLock", "DeferredQueue", "DeferredSemaphore"]

T = TypeVar("T")
S = TypeVar("S")
P = ParamSpec("P")

_NOTHING: Any = object()


class _Owner(Protocol):
    """What a `_Waiting` waits at."""

    _waiting: OrderedDict[Any, None]

    def _give_back(self, waiting: Any, arrived: Any) -> None:
        """*arrived* is what has become of that which *waiting* was handed, but it reached nobody."""


class _Waiting(Deferred[T]):
    """The Deferred of one that waits for its turn."""

    __slots__ = ("_item", "_number", "_owner")

    _item: Any  # which a queue has handed over, where somebody awaits it
    _number: int  # of that item

    def __init__(self, owner: _Owner) -> None:
        super().__init__(_leave)
        self._owner = owner
        self._item = None
        owner._waiting[self] = None

    def __await__(self) -> Generator[Any, Any, T]:
        """As any Deferred; but if whoever awaits is cancelled between the hand-over and going on, it is undone."""
        if self._state != PENDING:
            return (yield from super().__await__())
        arrived = self._item = _NOTHING

        def note(result: T) -> T:
            nonlocal arrived
            arrived = result
            return result

        self.addCallback(note)
        try:
            return (yield from super().__await__())
        except BaseException:
            if arrived is not _NOTHING:
                self._owner._give_back(self, arrived)
            else:
                self._owner._waiting.pop(self, None)  # still there if the coroutine was closed, and not cancelled
            raise


def _leave(waiting: Any) -> None:
    """The canceller of each `_Waiting`."""
    waiting._owner._waiting.pop(waiting, None)


class _Tokens:
    """What lock and semaphore have in common: *limit* tokens, of which each holder has one."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tokens = limit
        self._waiting: OrderedDict[Deferred[Any], None] = OrderedDict()
        self._freed = 0  # tokens given back that the loop in `release` has not dealt out yet
        self._dealing = False

    @property
    def waiting(self) -> list[Deferred[Self]]:
        """The Deferreds of those that wait, in their order (a copy)."""
        return list(self._waiting)

    def acquire(self) -> Deferred[Self]:
        """Wait for one's turn.

        Returns: Deferred firing with this object when its turn has come: at once, if nobody has to be waited for. Call
            `release` once for each that fired. Cancelling it while it waits gives up the place in the queue.
        """
        if self._tokens:  # then nobody waits
            self._tokens -= 1
            return succeed(self)
        return _Waiting(self)

    def release(self) -> None:
        """Give back what `acquire` gave: the next in the queue has its turn, at once.

        Called by a callback that is having its turn through `release` itself, it has the next wait until that
        callback's chain is through.

        Raises: RuntimeError: it was not acquired, or was released already.
        """
        if self._tokens + self._freed >= self._limit:
            raise RuntimeError(
                f"{self!r} was released more often than acquired: call release() once for each acquire() that fired, "
                "or leave it to run() or `async with`"
            )
        self._freed += 1
        if self._dealing:
            return
        self._dealing = True
        try:
            while self._freed:
                self._freed -= 1
                while self._waiting:
                    first, _ = self._waiting.popitem(last=False)
                    if not first.called:  # else somebody fired it who should not have: it does not count
                        first.callback(self)
                        del first  # see "no cycles" in `_chain`
                        break
                else:
                    self._tokens += 1
        finally:
            self._dealing = False

    def _give_back(self, waiting: object, arrived: object) -> None:
        if arrived is self:  # else a callback has made something of it, and knows that it is the holder
            self.release()

    @overload
    def run(
        self, f: Callable[P, Deferred[S] | Coroutine[Any, Any, S]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[S]: ...

    @overload
    def run(
        self, f: Callable[P, Deferred[S] | Coroutine[Any, Any, S] | S], /, *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[S]: ...

    def run(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        """Call *f* when its turn has come, and release when it has finished, however it ends.

        Args:
            f: may return a Deferred or coroutine, which is waited for.
        Returns: Deferred firing with the result of *f*. Cancelling it gives up waiting or, later, cancels what *f*
            returned.
        Fails with: whatever *f* raises or fails with.
        """

        def finished(result: Any) -> Any:
            self.release()
            return result

        return self.acquire().addCallback(lambda _: maybeDeferred(f, *args, **kwargs).addBoth(finished))

    def __aenter__(self) -> Deferred[Self]:
        return self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.release()


class DeferredLock(_Tokens):
    """Lets one at a time go on; those that wait have their turn in the order in which they came.

    ``async with lock:`` holds it, in coroutines driven by netcore and in asyncio Tasks; a Task that is cancelled at any
    moment loses no lock.

    Attributes: *waiting*, the Deferreds of those that wait.
    Threading: for the callbacks and coroutines of one thread.
    """

    def __init__(self) -> None:
        super().__init__(1)

    @property
    def locked(self) -> bool:
        """Whether somebody holds it."""
        return not self._tokens

    def __repr__(self) -> str:
        return f"<DeferredLock, {'locked' if self.locked else 'free'}, {len(self._waiting)} waiting>"


class DeferredSemaphore(_Tokens):
    """Lets *tokens* at a time go on; those that wait have their turn in the order in which they came.

    ``async with semaphore:`` holds a token, in coroutines driven by netcore and in asyncio Tasks; a Task that is
    cancelled at any moment loses no token.

    Args:
        tokens: how many; at least 1.
    Attributes: *waiting*, the Deferreds of those that wait.
    Raises: ValueError: fewer than one token.
    Threading: for the callbacks and coroutines of one thread.
    """

    def __init__(self, tokens: int) -> None:
        if tokens < 1:
            raise ValueError(f"a DeferredSemaphore needs at least one token, not {tokens!r}: it could not be acquired")
        super().__init__(tokens)

    @property
    def tokens(self) -> int:
        """How many are free."""
        return self._tokens

    @property
    def limit(self) -> int:
        """How many there are."""
        return self._limit

    def __repr__(self) -> str:
        return f"<DeferredSemaphore, {self._tokens} of {self._limit} tokens free, {len(self._waiting)} waiting>"


class DeferredQueue(Generic[T]):
    """Items put in, and taken out in the same order; who finds it empty gets a Deferred.

    ``async for item in queue:`` takes one item after the other, in coroutines driven by netcore and in asyncio Tasks.
    It has no end of its own: cancel it, or ``break`` at an item that says so. Several at once share the items. A Task
    that is cancelled when an item was on its way to it loses none: the item goes to the next, or back to the front.

    Args:
        size: how many items may be held; None: any number.
        backlog: how many may wait for an item; None: any number.
    Attributes: *size* and *backlog*; *pending*, the items held; *waiting*, the Deferreds of those that wait.
    Raises: ValueError: a negative number.
    Threading: for the callbacks and coroutines of one thread; others use ``reactor.callFromThread(queue.put, item)``.
    """

    def __init__(self, size: int | None = None, backlog: int | None = None) -> None:
        for name, bound in (("size", size), ("backlog", backlog)):
            if bound is not None and bound < 0:
                raise ValueError(f"{name} is a number of 0 or more, or None for no bound, not {bound!r}")
        self.size = size
        self.backlog = backlog
        self._pending: deque[tuple[int, T]] = deque()  # numbered, so that what comes back comes to its place
        self._numbers = itertools.count()
        self._waiting: OrderedDict[_Waiting[T], None] = OrderedDict()
        self._dealing = False

    @property
    def pending(self) -> list[T]:
        """The items that nobody has taken yet, the first to go first (a copy)."""
        return [item for _, item in self._pending]

    @property
    def waiting(self) -> list[Deferred[T]]:
        """The Deferreds of those that wait, in their order (a copy)."""
        return list(self._waiting)

    def put(self, obj: T) -> None:
        """Hand *obj* to the first that waits, at once, or hold it.

        Called by a callback that is being handed an item by `put` itself, it has the next wait until that callback's
        chain is through. A Failure makes the ``get`` that takes it fail.

        Raises: QueueOverflow: *size* items are held. TypeError: *obj* is a Deferred.
        """
        if isinstance(obj, Deferred):
            raise TypeError("a DeferredQueue takes results, not Deferreds: deferred.addCallback(queue.put)")
        # Both hold something only while `_deal` runs; each item has its taker then, even if it does not have it yet.
        if self.size is not None and len(self._pending) - len(self._waiting) >= self.size:
            raise QueueOverflow(f"the queue holds {len(self._pending)} items, and its size is {self.size}")
        self._pending.append((next(self._numbers), obj))
        self._deal()

    def get(self) -> Deferred[T]:
        """Take an item.

        Returns: Deferred firing with the first item that nobody before has taken: at once, if one is there. Cancelling
            it while it waits gives up the place in the queue.
        Raises: QueueUnderflow: *backlog* others wait already.
        """
        if self._pending and not self._waiting:
            return succeed(self._pending.popleft()[1])
        if self.backlog is not None and len(self._waiting) - len(self._pending) >= self.backlog:
            raise QueueUnderflow(f"{len(self._waiting)} wait for an item already, and the backlog is {self.backlog}")
        return _Waiting(cast("_Owner", self))

    def _deal(self) -> None:
        if self._dealing:
            return
        self._dealing = True
        try:
            while self._pending and self._waiting:
                first, _ = self._waiting.popitem(last=False)
                if not first.called:  # as in `_Tokens.release`
                    first._number, item = self._pending.popleft()
                    if first._item is _NOTHING:
                        first._item = item
                    first.callback(item)
                    del item  # see "no cycles" in `_chain`
                del first  # the same
        finally:
            self._dealing = False

    def _give_back(self, waiting: _Waiting[T], arrived: T) -> None:
        if arrived is not waiting._item:  # as there
            return
        number = waiting._number
        place = 0  # before all, unless others that had left before it have come back, too
        while place < len(self._pending) and self._pending[place][0] < number:
            place += 1
        self._pending.insert(place, (number, arrived))
        self._deal()

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Deferred[T]:
        return self.get()

    def __repr__(self) -> str:
        return f"<DeferredQueue, {len(self._pending)} pending, {len(self._waiting)} waiting>"
