"""Whether a callback holds its loop: judged from samples of the stack of the loop's thread.

Nothing is measured around callbacks. A sample says which *activation* of which callback runs: a token, that differs
between any two calls of a function. So many short callbacks in one turn are many tokens, and the same one in two
samples ran all the time between them, whatever else the processor did.

A C function that keeps the GIL (``sorted``, ``re.match``, ``json.dumps``; a run of the garbage collector too) lets
nobody look: there is no sample from before it, and the first comes when it has returned. It is known by this: whoever
looks comes much later than it wanted to, and the loop's thread has used the processor meanwhile. A process that was
stopped, a thread that waited for the processor, or for another thread's GIL, have not. What is seen then is, as a rule,
the function that called it: CPython lets others run at the end of a call. (Where the *looking* thread gets no
processor, for that long, and the loop's does, many short callbacks may be taken for one.)

Here is no thread and no clock: samples come with their times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import CodeType, FrameType

from netcore._origins import is_machinery
from netcore.defer._chain import run_on
from netcore.reactors._reactor import Reactor
from netcore.reactors._selector import DirectSelector
from netcore.reactors._threadcalls import ThreadCalls
from netcore.reactors._turns import Turns

__all__ = ["Judge", "base_of", "callback_in", "frames_above"]

_RUN_FOREVER = asyncio.BaseEventLoop.run_forever.__code__
# What runs loops that have no frames of their own (uvloop), as far as it is ours or the standard library's.
_RUNNERS = frozenset({Reactor.run.__code__, asyncio.Runner.run.__code__})
# What makes call after call in one activation, and so is no call itself.
_MAKES_CALLS: frozenset[CodeType] = frozenset(
    {
        asyncio.BaseEventLoop._run_once.__code__,  # type: ignore[attr-defined]  # typeshed
        DirectSelector._dispatch.__code__,
        ThreadCalls.drain.__code__,
        Turns._run_timers.__code__,
        run_on.__code__,
    }
)


class Judge:
    """Decides, from samples of one loop, which callback is to be reported: each once.

    Args:
        threshold: the seconds that a callback may take.
    """

    __slots__ = ("_looked", "_reported", "_since", "_token", "_used", "threshold")

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self._token: object = None
        self._since = 0.0
        self._reported = False
        self._looked = 0.0
        self._used: float | None = None

    def look(self, now: float, used: float | None) -> None:
        """Somebody looks at the time *now*, or the loop begins a turn.

        Args:
            used: how much of the processor the loop's thread has used so far, in seconds; None: that is not known.
        """
        self._looked = now
        self._used = used

    def unseen(self, asked: float, now: float, used: float | None) -> float:
        """For how many seconds at least the loop's thread has been busy since the last look, while nobody could look.

        Args:
            asked: when the next look was to be; it comes at the time *now*.
            used: as for `look`.
        """
        if used is None or self._used is None:
            return 0.0
        return max(0.0, min(now - max(asked, self._looked), used - self._used))

    def sample(self, now: float, token: object, unseen: float = 0.0) -> float | None:
        """The activation *token* (None: no callback) runs at the time *now*.

        Args:
            unseen: what `unseen` gave: for so long something ran, most likely this.
        Returns: for how long it has run at least, if that is to be reported now.
        """
        if token is None or token != self._token:
            self.clear()
            self._token = token
            self._since = now
            held = unseen
        else:
            held = now - self._since
        if self._reported or held < self.threshold:
            return None
        self._reported = True
        return held

    def clear(self) -> None:
        """Forget what ran."""
        self._token = None
        self._reported = False


def base_of(callback: FrameType) -> int:
    """The ``id`` of the frame that the loop runs in, found from the frame of a *callback* of it.

    That is asyncio's ``run_forever``, or, beneath a loop without frames, whoever called it. It lives as long as the
    loop runs, and until then its number is nobody else's.
    """
    frame = callback.f_back
    while frame is not None:
        if frame.f_code is _RUN_FOREVER:
            return id(frame)
        frame = frame.f_back
    return id(callback.f_back)


def frames_above(innermost: FrameType | None, base: int, frames: list[FrameType]) -> None:
    """Put the frames of what a loop runs into *frames*, outermost first; none, if no loop runs there.

    Args:
        innermost: of the loop's thread.
        base: what `base_of` gave, or 0 if it could not be asked yet.
    """
    while innermost is not None:
        if innermost.f_code is _RUN_FOREVER or id(innermost) == base or innermost.f_code in _RUNNERS:
            frames.reverse()
            return
        frames.append(innermost)
        innermost = innermost.f_back
    frames.clear()


def callback_in(frames: Sequence[FrameType]) -> tuple[int, int] | None:
    """Which activation of a callback stands in *frames*, what a loop runs; None if none does, as in an idle loop.

    Returns: how many of *frames* make its token, those down to the first that is not machinery; and the index of the
        first that is the callback's own.
    """
    for index, frame in enumerate(frames):
        if not is_machinery(frame.f_code.co_filename):
            return index + 1, index
    # A callback that is no Python function: machinery has called it. Unless that waits, or calls one after the other.
    if not frames or frames[-1].f_code in _MAKES_CALLS or frames[-1].f_code.co_name == "select":
        return None
    return len(frames), len(frames) - 1
