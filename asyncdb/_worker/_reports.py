"""What is told: the figures, that a call was slow, that one holds its connection for long.

Statements are named, their parameters only where ``cp_log_parameters`` asks for them: they are people's data.
"""

from __future__ import annotations

import functools
import logging
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

from asyncdb._core import Core, EntryState
from asyncdb._worker._call import Call, Slot
from asyncdb._worker._log import Log
from asyncdb.options import Options
from asyncdb.stats import Histogram, PoolStats

__all__ = ["ask_origin", "describe", "log_held", "log_slow", "take_stats"]

log = Log("asyncdb.pool")
slow_log = Log("asyncdb.slow")

OURS = "asyncdb."
LONGEST = 1000
"""Characters of a statement that are logged."""


def ask_origin() -> traceback.StackSummary:
    """The stack of whoever has called the library, without reading any source yet."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith(OURS):
        frame = frame.f_back
    summary = traceback.StackSummary.extract(traceback.walk_stack(frame), limit=16, lookup_lines=False)
    summary.reverse()
    return summary


def describe(call: Call, parameters: bool) -> str:
    """What *call* does, in one line."""
    try:
        return _describe(call, parameters)
    except Exception as error:  # from somebody's __str__ or __repr__: no reason to lose the call, or the thread
        return f"{call.task.name} of what cannot be shown ({type(error).__name__})"


def _describe(call: Call, parameters: bool) -> str:
    caller = f" of {call.options.name!r}" if call.options.name else ""
    if call.function is not None:
        function: Any = call.function
        while isinstance(function, functools.partial):
            function = function.func
        what = getattr(function, "__qualname__", None) or repr(function)
        return f"{call.task.name} {what}{caller}"
    if not call.args:
        return f"{call.task.name}{caller}"
    statement = " ".join(str(call.args[0]).split())
    if len(statement) > LONGEST:
        statement = f"{statement[:LONGEST]}..."
    rest = [*call.args[1:], *call.kwargs.values()]
    if not rest:
        return f"{call.task.name}{caller} {statement}"
    return (
        f"{call.task.name}{caller} {statement} {rest!r}"
        if parameters
        else f"{call.task.name}{caller} {statement} [...]"
    )


def log_slow(pool: str, call: Call, took: float, error: BaseException | None, parameters: bool) -> None:
    """*call* has taken longer than ``cp_slow_query``."""
    end = f", failed: {type(error).__name__}" if error is not None else ""
    slow_log.tell(logging.WARNING, "pool %s: %.3f s: %s%s", pool, took, describe(call, parameters), end)


def log_held(pool: str, slot: Slot, held: float) -> None:
    """*slot*'s connection is held by somebody for longer than ``cp_leak_after``."""
    call = slot.job
    if slot.state is EntryState.LENT:
        what, origin = "connect", slot.origin
    elif isinstance(call, Call) and call.sequence == slot.reported:
        what, origin = describe(call, False), call.origin
    else:  # between the decision and this, somebody else has got it
        what, origin = "a call that has ended meanwhile", None
    place = f". It was asked for here:\n{''.join(origin.format())}" if origin else ""
    log.tell(logging.WARNING, "pool %s: a connection has been held for %.1f s, by %s%s", pool, held, what, place)


def take_stats(
    name: str, core: Core[Slot, Call], options: Options, ended: bool, redact: Callable[[BaseException], str]
) -> PoolStats:
    """A snapshot. Under the crew's lock."""
    tally, error = core.tally, core.outage.error
    counts = {state.name.lower(): core.count(state) for state in EntryState if state < EntryState.ABANDONED}
    run_time = Histogram(tally.run_time.count())
    state = "suspended" if core.suspended else "running"
    return PoolStats(
        name=name,
        state="closed" if ended else "closing" if core.closing else state,
        max=options.max,
        min=options.min,
        total=len(core.entries),
        abandoned=len(core.strays),
        waiting=core.waiting,
        outage=None if error is None else redact(error),
        submitted=core.submitted,
        finished=run_time.count,
        failed=tally.failed,
        refused=tally.refused,
        cancelled=tally.cancelled,
        waitTimeouts=tally.wait_timeouts,
        timeouts=tally.timeouts,
        closedWaiting=tally.closed_waiting,
        loans=tally.loans,
        connected=tally.connected,
        connectFailures=tally.connect_failures,
        checks=tally.checks,
        interrupts=tally.interrupts,
        evictions=dict(tally.evictions),
        leaks=tally.leaks,
        leftOpen=tally.left_open,
        waitTime=Histogram(tally.wait_time.count()),
        runTime=run_time,
        **counts,
    )
