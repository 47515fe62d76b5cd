"""The thread that looks whether callbacks hold their loops.

Ten times in the allowed time it posts a *beat* to every loop of a reactor: a call that the loop makes in its next turn.
While one is outstanding, the loop is in the turn before, and the stack of its thread is sampled; `_holding` judges. So
it is when this thread comes late, because the loop's kept the GIL. What that used of the processor, its CPU clock says,
which the first beat brings along: asked for from here, the clock of a thread that has just ended would be undefined
behaviour.

A frame that is referred to when its function ends keeps its variables, and whoever drops the last reference runs their
finalisers. Those belong in the loop's thread. So frames are kept in lists only, until the beat empties those there.
(`sys._current_frames` gives the frames of all threads, whose references are dropped here at once: the time in which one
of those functions could end is that of a few instructions.)
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from types import FrameType

from netcore._current import reactors_by_thread, thread_name
from netcore._origins import Stack, place, summary, text_of
from netcore.debug._holding import Judge, base_of, callback_in, frames_above
from netcore.failure import _is_ours

__all__ = ["Watchdog"]

logger = logging.getLogger("netcore.debug")

# Of the processor time that a thread has used. macOS and Windows have none of another thread's.
_clock_of = getattr(time, "pthread_getcpuclockid", None)

SHORTEST = 0.001  # seconds from look to look
LONGEST = 3600.0
# What is kept for one beat. A turn that outlasts 200 samples, 20 times the threshold, has been reported long ago.
MOST_SAMPLES = 400  # lists, two for each


class Watchdog:
    """Reports callbacks that hold the loop of a reactor, their own or one it is attached to.

    Args:
        threshold: for how many seconds they may.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._interval = min(max(threshold / 10, SHORTEST), LONGEST)
        self._ended = threading.Event()
        self._watched: dict[int, _Watched] = {}  # by thread
        self._thread = threading.Thread(target=self._run, name="netcore-debug-watchdog", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """End soon, without being waited for: who calls this may be a handler of our own report."""
        self._ended.set()

    def _run(self) -> None:
        asked = time.monotonic() + self._interval
        while not self._ended.wait(max(0.0, asked - time.monotonic())):
            # What is done from here on lets other threads run, which may keep the GIL: that is late, too.
            before, asked = asked, time.monotonic() + self._interval
            self._look(before)

    def _look(self, asked: float) -> None:
        watched: dict[int, _Watched] = {}
        for thread, reactor in reactors_by_thread().items():
            loop = reactor.loop
            if not loop.is_running():  # it was stopped, or closed: what is outstanding there is the loop's to drop
                continue
            known = self._watched.get(thread)
            if known is None or known.loop is not loop:
                known = _Watched(thread, loop, self._threshold)
            watched[thread] = known
            try:
                known.look(time.monotonic(), asked)
            except RuntimeError:  # closed this moment
                del watched[thread]
        self._watched = watched


class _Watched:
    """A loop that runs in *thread*.

    ``outstanding`` is cleared by the beat before it drops the samples, and looked at here after one was taken: so none
    is left behind, whichever comes first.
    """

    __slots__ = ("_base", "_clock", "_judge", "_samples", "loop", "outstanding", "thread")

    def __init__(self, thread: int, loop: asyncio.AbstractEventLoop, threshold: float) -> None:
        self.thread = thread
        self.loop = loop
        self.outstanding = False
        self._base = 0
        self._clock: int | None = None
        self._judge = Judge(threshold)
        self._samples: list[list[FrameType]] = []

    def post(self) -> None:
        """Have the loop beat in its next turn.

        Raises: RuntimeError: it is closed.
        """
        self.outstanding = True
        self.loop.call_soon_threadsafe(self._beat)

    def _beat(self) -> None:
        self._base = base_of(sys._getframe())
        if self._clock is None and _clock_of is not None:
            self._clock = _clock_of(self.thread)
        self._judge.look(time.monotonic(), self._used())
        self.outstanding = False
        self._judge.clear()
        samples, self._samples = self._samples, []
        for frames in samples:
            frames.clear()

    def _used(self) -> float | None:
        """How much of the processor the thread has used, in seconds; None: that is not known."""
        try:
            return None if self._clock is None else time.clock_gettime(self._clock)
        except OSError:  # it has ended
            return None

    def look(self, now: float, asked: float) -> None:
        """Take a sample, and report what is to be reported; if there is no cause to, have the loop beat.

        Args:
            asked: when it was to be called.
        Raises: RuntimeError: the loop is closed.
        """
        used = self._used()
        unseen = self._judge.unseen(asked, now, used)
        self._judge.look(now, used)
        if not self.outstanding and unseen < self._judge.threshold:
            self.post()
            return
        if len(self._samples) >= MOST_SAMPLES:
            return
        frames: list[FrameType] = []
        token: list[FrameType] = []
        self._samples += (frames, token)
        frames_above(sys._current_frames().get(self.thread), self._base, frames)
        found = callback_in(frames)
        if found is not None:
            token += frames[: found[0]]
        held = self._judge.sample(now, None if found is None else token, unseen)
        if held is not None:
            self._report(held, () if found is None else _places(frames, found[1]), unseen >= self._judge.threshold)
        if not self.outstanding:  # the beat has come meanwhile, or none was posted: the next one drops these
            self._samples += (frames, token)
            self.post()

    def _report(self, held: float, places: Stack, unseen: bool) -> None:
        name = thread_name(self.thread)
        extra = {"heldFor": held, "heldBy": summary(places)}
        if not places:
            logger.warning(
                "The loop of thread %s was held for %.3f s at least, by a C function that let no other thread run, "
                "and so none look: it has returned, and no callback stands there any more",
                name,
                held,
                extra=extra,
            )
            return
        file, line, function = places[0]
        why = "there, nor in any other thread: that is a C function, which has just returned" if unseen else "there"
        logger.warning(
            "%s (%s:%d) has held the loop of thread %s for %.3f s at least; nothing else runs %s. It stands at\n%s",
            function,
            file,
            line,
            name,
            held,
            why,
            text_of(places),
            extra=extra,
        )


def _places(frames: list[FrameType], start: int) -> Stack:
    """Where those of *frames* stand, from *start* on, that are not netcore's; the first, if all are."""
    own = tuple(place(frame) for frame in frames[start:] if not _is_ours(frame.f_code.co_filename))
    return own or (place(frames[start]),)
