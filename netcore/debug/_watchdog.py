"""The thread that looks whether callbacks hold their loops.

Ten times in the allowed time it posts a *beat* to every loop of a reactor: a call that the loop makes in its next turn.
While one is outstanding, the loop is in the turn before, and the stack of its thread is sampled; `_holding` judges.

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

from netcore._current import reactors_by_thread
from netcore._origins import Stack, place, summary, text_of
from netcore.debug._holding import Judge, base_of, callback_in, frames_above
from netcore.defer._debugging import thread_name
from netcore.failure import _is_ours

__all__ = ["Watchdog"]

logger = logging.getLogger("netcore.debug")

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
        while not self._ended.wait(self._interval):
            self._look()

    def _look(self) -> None:
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
                if known.outstanding:
                    known.look(time.monotonic())
                else:
                    known.post()
            except RuntimeError:  # closed this moment
                del watched[thread]
        self._watched = watched


class _Watched:
    """A loop that runs in *thread*.

    ``outstanding`` is cleared by the beat before it drops the samples, and looked at here after one was taken: so none
    is left behind, whichever comes first.
    """

    __slots__ = ("_base", "_judge", "_samples", "loop", "outstanding", "thread")

    def __init__(self, thread: int, loop: asyncio.AbstractEventLoop, threshold: float) -> None:
        self.thread = thread
        self.loop = loop
        self.outstanding = False
        self._base = 0
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
        self.outstanding = False
        self._judge.clear()
        samples, self._samples = self._samples, []
        for frames in samples:
            frames.clear()

    def look(self, now: float) -> None:
        """Take a sample, and report what is to be reported.

        Raises: RuntimeError: the loop is closed.
        """
        if len(self._samples) >= MOST_SAMPLES:
            return
        frames: list[FrameType] = []
        token: list[FrameType] = []
        self._samples += (frames, token)
        frames_above(sys._current_frames().get(self.thread), self._base, frames)
        found = callback_in(frames)
        if found is None:
            self._judge.sample(now, None)
        else:
            token += frames[: found[0]]
            held = self._judge.sample(now, token)
            if held is not None:
                self._report(held, _places(frames, found[1]))
        if not self.outstanding:  # the beat has come meanwhile: the next one drops these
            self._samples += (frames, token)
            self.post()

    def _report(self, held: float, places: Stack) -> None:
        file, line, function = places[0]
        logger.warning(
            "%s (%s:%d) has held the loop of thread %s for %.3f s at least; nothing else runs there. It stands at\n%s",
            function,
            file,
            line,
            thread_name(self.thread),
            held,
            text_of(places),
            extra={"heldFor": held, "heldBy": summary(places)},
        )


def _places(frames: list[FrameType], start: int) -> Stack:
    """Where those of *frames* stand, from *start* on, that are not netcore's; the first, if all are."""
    own = tuple(place(frame) for frame in frames[start:] if not _is_ours(frame.f_code.co_filename))
    return own or (place(frames[start]),)
