"""`Chain`: what a Deferred is made of, its state and the entries that wait for its result, and what runs them.

States (``_state``), and what moves between them::

    PENDING --callback/errback/cancel--> RUNNING
    RUNNING --no entries left, or paused--> FIRED with a value, FAILED with a failure
    RUNNING --a callback returned a Deferred that has no result yet--> CHAINED
    CHAINED --that Deferred has a result--> RUNNING
    FIRED, FAILED --an entry is added, or unpaused--> RUNNING

Being paused (``_paused`` > 0) is apart from the state: it only keeps FIRED and FAILED from becoming RUNNING.
``_result`` is the value in FIRED; the failure in an `Unhandled` in FAILED; the value or plain Failure in RUNNING (out
of date while an entry runs); the Deferred waited for in CHAINED; not set in PENDING.

Invariants:

- A Deferred that is FIRED and not paused has no entries left, and its ``_result`` is no failure: it may be taken at
  once, by whoever looks at two attributes: so a ``yield`` or ``await`` of it is cheap.
- Callbacks run in one loop, `run_on`, which never recurses: a Deferred or coroutine that waits for another is an
  *entry* of it, and is run after it by the same loop. 100,000 of them in a chain need no stack.
- Beside that loop stands its ordinary case, `run_one`: the only entry there is, run without a loop (−15 to −20 %).
  ``Deferred.callback`` has the most frequent entries in its own body: a function, one with positional arguments or an
  errback beside it, and a coroutine (another −10 to −15 %). tests/property compares all three with each other and with
  a model.
- Entries are kept in the cheapest form that says all: a bare callable (a callback without arguments); a tuple
  ``(callback, errback)``, or with their arguments ``(callback, errback, args, args, keywords, keywords)``, where no
  keywords are None, so that index ``failed`` is the one to call; or a `_Special`, which has `_resume`. The first is
  held inline (−39 % time, −64 bytes), those after it in cells ``[entry, next]`` from ``_more`` to ``_tail``.
- A Deferred may be fired from another thread (``reactor.callInThread(work, d.callback)``) while its own adds callbacks.
  Adding stores the entry *before* it looks at the state, and who leaves RUNNING sets the state *before* it looks for
  entries, so that one of them sees the other; and whoever finds a FIRED one with entries must `claim` it before running
  them, which one thread only can. Firing, claiming, and putting in and taking out an entry, are runs of operations
  between which CPython with a GIL does not switch threads (it may after a call and at a jump backward; there is none in
  them): no entry is lost, runs twice or gets a result that is not its own.
- No cycles. A traceback keeps frames alive, each frame keeps its caller (from Python 3.12 on, generators' frames too),
  and a frame its variables. So no function of ours that may be on the stack when a callback runs or a coroutine goes on
  still has a Failure in a variable when it returns: it would hold the traceback that holds it. Nor a Deferred that may
  hold one, or a method of one: so the failure that nobody handles is reported when the user's last reference to its
  Deferred goes. (What a nested function refers to counts as its variable, and cannot be deleted.) An errback has one:
  `raised_by_errback`.
- A failure nobody handles is held by an `Unhandled`, made only when a failure is stored (a ``__del__`` on every
  Deferred would cost 76 ns each); when it is collected still armed, it reports.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any

from netcore._current import this_thread
from netcore.defer._unhandled import Unhandled
from netcore.failure import Failure, _Special

__all__ = [
    "CHAINED",
    "FAILED",
    "FIRED",
    "PENDING",
    "RUNNING",
    "CancellingWaiter",
    "Chain",
    "Waiter",
    "caught",
    "claim",
    "raised_by_errback",
    "rest",
    "run",
    "run_on",
    "run_one",
    "take",
]

PENDING, RUNNING, CHAINED, FIRED, FAILED = range(5)  # in this order: from FIRED on there is a result to be taken


class Waiter(_Special):
    """An entry that takes the result away: a suspended coroutine, an asyncio Task's view of a Deferred, a list."""

    __slots__ = ()

    def _resume(self, source: Chain, result: Any, failed: bool) -> Chain | None:
        """Take *result*, a value or (*failed*) a Failure, from *source*, which is left with None in its ``_result``;
        what is put there instead is passed on to the next entry. Must not raise.

        Returns: a Deferred that this made RUNNING, for the caller to `run_on`, or None.
        """
        raise NotImplementedError


class CancellingWaiter(Waiter):
    """A Waiter that is its own Deferred's canceller: cancelling is passed on, and does not by itself fire the
    Deferred."""

    __slots__ = ()

    def pass_on_cancel(self, message: tuple[Any, ...]) -> Chain | bool | None:
        """Cancel what is waited for, unless it is a Deferred: that is returned, for the caller to cancel.

        Args:
            message: what a CancelledError is made with: nothing, or what an asyncio Task was cancelled with.
        Returns: that Deferred; None: it was cancelled; False: there was nothing that would have taken notice.
        """
        raise NotImplementedError

    def not_heard(self, waited_for: Chain, message: tuple[Any, ...]) -> None:
        """Nothing took notice when *waited_for*, which `pass_on_cancel` returned, was cancelled: it is for whoever
        waits for it to give up."""
        raise NotImplementedError


class Chain(_Special):
    """A state, a result and the entries that wait for it. `netcore.defer.Deferred` is this with a surface."""

    __slots__ = ("__weakref__", "_canceller", "_first", "_more", "_paused", "_result", "_state", "_tail", "_thread")

    _result: Any  # not set before there is one, nor `_tail` before there is `_more` (making one: −10 %)
    _tail: list[Any]

    def __init__(self, canceller: Callable[[Any], object] | None = None) -> None:
        self._state = PENDING
        self._first: Any = None
        self._more: list[Any] | None = None
        self._paused = 0
        self._canceller: Any = canceller
        # Which it belongs to, see `_asyncio.belongs_elsewhere` (30 ns). get_ident() takes as long, and makes an int of
        # 32 bytes each time.
        self._thread = this_thread.number

    def _add(self, entry: Any) -> None:
        if self._more is None and self._first is None:
            if self._state == FIRED and not self._paused:
                self._state = RUNNING  # as `claim`, which costs a call
                run_one(self, entry, self._result, False)
                del self, entry  # see "no cycles"
                return
            self._first = entry
        else:
            cell = [entry, None]  # before the next look: allocating may collect garbage, and that run anything
            if self._more is None:
                self._more = cell
            else:
                self._tail[1] = cell
            self._tail = cell
        if self._state >= FIRED:
            run(self)
            del self, entry

    def _resume(self, source: Chain, result: Any, failed: bool) -> Chain:
        """As an entry of *source*, which this one waited for: take its result, as a `Waiter` does."""
        self._result = result
        self._state = RUNNING
        return self


def take(deferred: Chain) -> Any:
    """Take the result away from *deferred*, which must be FIRED or FAILED and not paused; None stays in its place."""
    result = deferred._result
    deferred._result = None
    if deferred._state == FAILED:
        deferred._state = FIRED
        unhandled: Unhandled = result
        result = unhandled.failure
        unhandled.failure = None
    return result


def claim(deferred: Chain) -> bool:
    """Make *deferred* RUNNING, if it has a result and is not paused. Of several threads that try, one is told True."""
    state = deferred._state
    if state < FIRED or deferred._paused:
        return False
    deferred._state = RUNNING
    if state == FAILED:
        unhandled: Unhandled = deferred._result
        deferred._result = unhandled.failure
        unhandled.failure = None
    return True


def rest(deferred: Chain, result: Any) -> None:
    """Nothing of *deferred* can run now: it is FIRED with *result*, or FAILED, and the failure is nobody's yet."""
    if isinstance(result, Failure):
        deferred._result = Unhandled(result, deferred)
        deferred._state = FAILED
    else:
        deferred._result = result
        deferred._state = FIRED


def caught(error: BaseException) -> Failure:
    """What a callback or coroutine raised, as its result. Our own frame is left out of the traceback."""
    ours = error.__traceback__
    error.__traceback__ = ours and ours.tb_next
    return Failure(error)


def raised_by_errback(error: BaseException, given: Any) -> Failure:
    """What an errback raised, as its result: the Failure *given* to it, if it raised that one's error again, as
    `Failure.trap` does. The errback's own frame is left out of the traceback then: it has *given* in a variable, and
    would be in a cycle with it."""
    if error is not given.value:
        return caught(error)
    error.__traceback__ = given.tb
    return given  # type: ignore[no-any-return]


def run(current: Chain) -> None:
    """Run the entries of *current*, if it has a result and is not paused, and then of all that waited for it."""
    if claim(current):
        run_on(current)
        del current  # see "no cycles"


def run_one(current: Chain, entry: Any, result: Any, failed: bool) -> None:
    """As `run_on` where *entry*, which was taken out, is the only one of *current*, and *result* no Deferred."""
    following: Chain | None = None
    function: Any
    try:
        kind = entry.__class__
        if kind is FunctionType or kind is MethodType:  # an isinstance that says no costs 25 ns, this 8
            if not failed:
                result = entry(result)
        elif kind is tuple:
            function = entry[failed]
            if function is None:
                pass
            elif len(entry) == 2:
                result = function(result)
            elif entry[4 + failed]:
                result = function(result, *entry[2 + failed], **entry[4 + failed])
            else:
                result = function(result, *entry[2 + failed])
        elif isinstance(entry, _Special):
            current._result = None
            following = entry._resume(current, result, failed)  # type: ignore[attr-defined]  # a Waiter or Chain
            result = current._result
        elif not failed:
            result = entry(result)
    except BaseException as error:  # whatever a callback raises is its result, SystemExit included
        result = raised_by_errback(error, result) if failed else caught(error)
    current._result = result
    if result is not None and isinstance(result, _Special):
        result = None  # see "no cycles"
        run_on(current, following)
    else:
        current._state = FIRED
        if (current._first is not None or current._more is not None) and claim(current):
            run_on(current, following)
        elif following is not None:
            run_on(following)
    function = None
    del current, entry, following


def run_on(current: Chain, following: Chain | None = None) -> None:
    """Run the entries of *current*, and then of all that waited for it.

    Args:
        current: is RUNNING: the caller has fired or claimed it.
        following: another one that is RUNNING and comes first.
    """
    inner: Any
    entry: Any
    function: Any
    held: list[Chain] = []  # RUNNING, with entries left, when those that wait for them have run
    if following is not None:
        rest(current, current._result)
        if (current._first is not None or current._more is not None) and claim(current):
            held.append(current)
        current = following
    while True:
        result = current._result
        following = None
        chained = False
        while True:
            failed = False
            if result is not None and isinstance(result, _Special):
                if isinstance(result, Failure):
                    failed = True
                elif isinstance(result, Chain):
                    inner = result
                    if inner is current:
                        result = Failure(TypeError("a callback returned the Deferred it was attached to"))
                        failed = True
                    elif inner._state >= FIRED and not inner._paused:
                        failed = inner._state == FAILED
                        result = take(inner)
                    else:
                        current._result = inner
                        current._state = CHAINED
                        chained = True
                        inner._add(current)  # another thread may have fired it: from here on *current* is not ours
                        break
            if current._paused:
                break
            entry = current._first
            if entry is not None:
                current._first = None
            else:
                cell = current._more
                if cell is None:
                    break
                entry = cell[0]
                current._more = cell[1]
                cell[0] = None  # ``_tail`` may keep the cell
            try:  # as in `run_one`
                kind = entry.__class__
                if kind is FunctionType or kind is MethodType:
                    if not failed:
                        result = entry(result)
                elif kind is tuple:
                    function = entry[failed]
                    if function is None:
                        pass
                    elif len(entry) == 2:
                        result = function(result)
                    else:
                        result = function(result, *entry[2 + failed], **(entry[4 + failed] or {}))
                elif isinstance(entry, _Special):
                    current._result = None
                    following = entry._resume(current, result, failed)  # type: ignore[attr-defined]
                    result = current._result
                    if following is not None:
                        break
                elif not failed:
                    result = entry(result)
            except BaseException as error:
                result = raised_by_errback(error, result) if failed else caught(error)
        if not chained:
            rest(current, result)
            if (current._first is not None or current._more is not None) and claim(current):
                # They are left because something that waited comes first, or were added by another thread just now.
                held.append(current)
        result = inner = entry = function = cell = None  # see "no cycles"
        if following is not None:
            current = following
        elif held:
            current = held.pop()
        else:
            del current, following
            return
