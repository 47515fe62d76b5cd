"""`Reactor`: this model's event loop, a thin layer over an asyncio one (decision 0001). Its life is here;
what it offers beside that is in its parts (`_part`), one for each family of interfaces.

What holds:

* ``_life`` says what may be done (the table is in `_lifecycle`); ``_turns`` does what is to be done later, while it
  may.
* ``_open`` holds every port, connection and connector that holds a descriptor, so that shutdown and `dispose` close
  them.
* ``_blocked`` holds what lets go of each thread that waits for a result from this one; at the end all are called. Who
  waits puts it there *before* asking whether the reactor is disposed of; the end sets that *before* it looks.

KeyboardInterrupt and SystemExit raised by a callback escape `run`, as they escape asyncio's loops: `run` then ends as
if by `crash`, with signal handlers put back, and the reactor can be run again. Every other exception is logged, a
signal handler's included (`_serve`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Iterator

from netcore import _current
from netcore._log import ENDS_THE_PROGRAM, log_failure
from netcore.error import ReactorAlreadyRunning, ReactorNotRunning
from netcore.failure import Failure
from netcore.interfaces import (
    IReactorCore,
    IReactorFDSet,
    IReactorMulticast,
    IReactorPluggableNameResolver,
    IReactorPluggableResolver,
    IReactorProcess,
    IReactorSocket,
    IReactorSSL,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
    IReactorUDP,
    IReactorUNIX,
    IReactorUNIXDatagram,
    implementer,
)
from netcore.reactors import _loops, _names, _select, _selector
from netcore.reactors._calls import Calls
from netcore.reactors._datagrams import Datagrams
from netcore.reactors._descriptors import Descriptors
from netcore.reactors._events import Events
from netcore.reactors._fdset import FDSet
from netcore.reactors._lifecycle import Event, Lifecycle, State
from netcore.reactors._part import Closable
from netcore.reactors._pool import ReactorPool
from netcore.reactors._processes import Processes
from netcore.reactors._resolving import Resolving
from netcore.reactors._secure import Secure
from netcore.reactors._signals import Signals
from netcore.reactors._triggers import SystemEvents
from netcore.reactors._turns import Turns
from netcore.reactors._unix import Unix
from netcore.reactors._uvloop import UvloopWatcher
from netcore.transports._spare import Spare

__all__ = ["Reactor", "live"]

logger = logging.getLogger("netcore.reactors")

_FAILURES = 3  # that come out of a loop which does not turn in between, and then it is given up

_live: weakref.WeakSet[Reactor] = weakref.WeakSet()
_live_lock = threading.Lock()


def live() -> list[Reactor]:
    """The reactors that have not been disposed of.

    Threading: any thread.
    """
    with _live_lock:
        return list(_live)


@implementer(
    *(IReactorCore, IReactorTime, IReactorThreads, IReactorFDSet, IReactorTCP, IReactorSocket),
    *(IReactorUDP, IReactorMulticast, IReactorUNIX, IReactorUNIXDatagram, IReactorSSL),
    *(IReactorPluggableResolver, IReactorPluggableNameResolver, IReactorProcess),
)
class Reactor(Events, Calls, Descriptors, Secure, Datagrams, Unix, Resolving, Processes):
    """An event loop, with timers, threads, connections, names looked up, and child processes.

    Args:
        loop: an asyncio event loop that does not run; or the name of one to make (`install` has the names); by default
            asyncio makes one. A loop that was made here is closed by `dispose`.
    Attributes: *loop* the asyncio loop beneath; *running*, see `IReactorCore`; *threadPatience* the seconds that
        shutdown waits for the thread pool's threads.
    Raises: ReactorAlreadyRunning: *loop* runs (inside it, `Reactor.current` gives the reactor attached to it).
        netcore.error.NoSuchReactor, a ValueError: no loop of that name is to be had here. TypeError: *loop* is neither.
    Threading: belongs to the thread that runs it. Make as many as there are threads that need one. `callFromThread`
        may be called in any thread, `callInThread` and `getThreadPool` too.
    """

    loop: asyncio.AbstractEventLoop
    running: bool
    threadPatience = 5.0

    def __init__(self, loop: asyncio.AbstractEventLoop | str | None = None) -> None:
        if loop is None or isinstance(loop, str):
            self._set_up(_names.new_loop(loop), owns_loop=True)
            return
        if not isinstance(loop, asyncio.AbstractEventLoop):
            raise TypeError(f"a reactor is made on an event loop, or the name of one, not on {loop!r}")
        if loop.is_running():
            raise ReactorAlreadyRunning(f"{loop!r} runs already: inside it, use Reactor.current()")
        self._set_up(loop, owns_loop=False)

    def _set_up(self, loop: asyncio.AbstractEventLoop, owns_loop: bool) -> None:
        self.loop = loop
        self._watcher = _selector.watcher_of(loop)
        self._descriptors_below = _select.limit_of(loop)
        if self._descriptors_below < sys.maxsize:
            self._watcher = _select.Bounded(self._watcher)
        self._fdset = FDSet(self)
        self.running = False
        self._owns_loop = owns_loop
        self._life = Lifecycle()
        self._turns = Turns(loop)
        if type(self).seconds is Reactor.seconds:
            self.seconds = self._turns.timers.seconds  # type: ignore[method-assign]  # the clock itself, called often
        self._events = SystemEvents()
        self._signals = None
        self._reloading = self._reload_again = False
        self._refusing = False  # shutting down, and the connections there were are closed
        self._open: dict[Closable, None] = {}
        self._spare = Spare()
        self._blocked: set[Callable[[], object]] = set()
        self._owed = 0  # results that threads wait for, and that are not there yet; virtual time asks
        self._ended_with_loop = False  # attached, and that loop's program has ended
        self._pool = ReactorPool(self)
        self._lifeline: AsyncGenerator[None, None] | None = None
        with _live_lock:
            _live.add(self)

    @classmethod
    def _attach(cls, loop: asyncio.AbstractEventLoop) -> Reactor:
        """The reactor attached to *loop*, which runs in this thread."""
        kept = _loops.kept_by(loop)
        if isinstance(kept, Reactor) and not kept.disposed:
            return kept
        if _loops.is_ending(loop) or (isinstance(kept, Reactor) and kept._ended_with_loop):
            raise ReactorNotRunning(
                "this asyncio loop's program is ending, and its reactor has ended with it: it is too late for another"
            )
        self = cls.__new__(cls)
        self._set_up(loop, owns_loop=False)
        self._life.move(Event.ATTACH)
        self._lifeline = _loops.call_at_end(self._detach)
        _loops.let_keep(loop, self)
        self.running = True
        self._turns.begin()
        self._pool.start()
        return self

    def __repr__(self) -> str:
        loop = type(self.loop)  # uvloop's is called just Loop
        package = loop.__module__.partition(".")[0]
        return f"<{type(self).__name__} that {self._life.state.value}, over {package}.{loop.__name__}>"

    # Life.

    @classmethod
    def current(cls) -> Reactor:
        """This thread's reactor: the one that runs, or the one attached to the asyncio loop that runs (made at need).

        Raises: ReactorNotRunning: neither runs in this thread; or the asyncio loop does, but its program is ending, and
            the reactor attached to it has been disposed of.
        """
        reactor = _current.running_reactor()
        if reactor is None:
            raise ReactorNotRunning("no reactor and no asyncio loop runs in this thread")
        return reactor

    def run(self, installSignalHandlers: bool = True) -> None:
        """Fire "startup", then serve events until `stop` or `crash`. May be called again when it has returned.

        Args:
            installSignalHandlers: in the main thread, have SIGINT and SIGTERM `stop` the reactor; a SIGINT while it is
                stopping makes it `crash`; and SIGHUP fire "reload", if it has triggers. The previous handlers are put
                back.
        Raises: ReactorAlreadyRunning: it runs, it is attached, or this thread runs another loop. ReactorNotRunning: it
            was disposed of. KeyboardInterrupt, SystemExit: a callback raised it.
        """
        self._refuse_to_nest()
        self._life.move(Event.RUN)
        start = None
        try:
            reload = self._events.has("reload")
            with self._entered(), Signals(self.loop, self._on_signal, installSignalHandlers, reload) as self._signals:
                start = self.loop.call_soon(self._start)
                self._serve()
        finally:
            self._signals = None
            if start is not None:
                start.cancel()
            self._ended()

    def stop(self) -> None:
        """Fire "shutdown", from the loop; `run` returns when its triggers have finished and connections are closed.

        Raises: ReactorNotRunning: it does not run, is stopping already, or is attached to a loop that others stop.
        """
        self._life.move(Event.STOP)
        self.loop.call_soon(self._shut_down)

    def crash(self) -> None:
        """Make `run` return at the end of this turn, without "shutdown". Ports, connections and timers stay for the
        next `run`, or until `dispose`.

        Raises: ReactorNotRunning: it does not run, or is attached to a loop that others stop.
        """
        self._life.move(Event.CRASH)
        self.running = False
        self.loop.stop()

    def iterate(self, delay: float = 0) -> None:
        """Run one turn of the loop by hand, waiting *delay* seconds at most for something to happen.

        For a program that has a main loop of its own, and does not `run`. Timers that are due, descriptors that are
        ready and calls from threads are served. As in Twisted, it is no startup: *running* stays False,
        `callWhenRunning` and `callInThread` (so connecting to names too) wait for a `run`, `stop` finds nothing to
        stop, and signals mean what they did. The program's last act is `dispose`.

        On uvloop, and on a loop that others made without a selector, transports do not cut *delay* short; what they
        have to do is done meanwhile.

        Raises: ReactorAlreadyRunning: it runs already, or this is one of its callbacks; it is attached; or this thread
            runs another loop. ReactorNotRunning: it was disposed of. ValueError: *delay* is negative or NaN.
            KeyboardInterrupt, SystemExit: a callback raised it. On asyncio's loops, what a signal handler raised that
            interrupted the waiting.
        """
        if not delay >= 0:
            raise ValueError(f"a turn waits 0 or more seconds, not {delay!r}")
        self._refuse_to_nest()
        self._life.move(Event.ITERATE)
        self._refusing = False
        try:
            with self._entered():
                self._turns.begin()
                _loops.turn(self.loop, delay, self._turns)
        finally:
            self._turns.end()
            self._life.move(Event.ENDED)

    def dispose(self) -> None:
        """Give everything back: ports and connections are closed (protocols hear ``connectionLost``), timers, triggers
        and calls from threads dropped (a thread in `netcore.threads.blockingCallFromThread` hears ReactorNotRunning),
        the thread pool ended, and, if the loop was the reactor's own, asyncio tasks cancelled and run to their end,
        asynchronous generators and the default executor shut down, the loop closed.

        An attached reactor does not wait for its threads here, since it must not block the loop: they end with their
            jobs.
        Disposing twice does nothing; every other use afterwards raises.

        Raises: ReactorAlreadyRunning: it runs, or this thread runs another loop.
        """
        state = self._life.state
        if state is State.DISPOSED:
            return
        if state is State.ATTACHED:
            self._release()
            return
        if state is not State.IDLE:
            raise self._life.refusal(Event.DISPOSE)
        if asyncio._get_running_loop() is not None or self.loop.is_running():
            raise ReactorAlreadyRunning("dispose() turns the loop once more, and a loop runs in this thread already")
        try:
            if not self.loop.is_closed():
                with self._entered():
                    self.loop.run_until_complete(self._wind_up())
        finally:
            self._release()
            if self._owns_loop:
                self.loop.close()

    @property
    def disposed(self) -> bool:
        """Whether `dispose` was called (an attached reactor is disposed of when its loop's program ends)."""
        return self._life.state is State.DISPOSED

    # For the package, whose global reactor nobody disposes of.

    def _close_at_exit(self) -> None:
        """The interpreter ends: give descriptors back, without turning the loop and so without waiting for anything."""
        if self._life.state is State.IDLE:
            watcher = _selector.watcher_of(self.loop)
            if isinstance(watcher, _selector.DirectSelector | UvloopWatcher):
                watcher.let_go()  # a daemon's first process ends, the second goes on
            self._release()
            self.loop.close()

    # How it runs.

    def _require_usable(self) -> None:
        if self._life.state is State.DISPOSED:
            raise ReactorNotRunning("the reactor has been disposed of: it takes no more calls")

    def _refuse_to_nest(self) -> None:
        if self._life.state is State.IDLE and (asyncio._get_running_loop() is not None or self.loop.is_running()):
            raise ReactorAlreadyRunning("this thread, or the loop, runs already: inside it, use Reactor.current()")

    @contextlib.contextmanager
    def _entered(self) -> Iterator[None]:
        """The thread runs this reactor."""
        _current.enter(self)
        try:
            yield
        finally:
            _current.leave(self)

    def _serve(self) -> None:
        """Have the loop run until it is stopped.

        What a handler of `signal.signal` raises when it interrupts the loop's waiting comes out of asyncio's loops, as
        if it were theirs; uvloop logs it, and goes on. So it is on all of them, unless they come to no turn in between:
        then it is the loop itself that is broken.
        """
        failures = 0

        def turned() -> None:
            nonlocal failures
            failures = 0

        while True:
            try:
                self.loop.run_forever()
                return
            except ENDS_THE_PROGRAM:
                raise
            except BaseException:
                failures += 1
                if failures > _FAILURES or _loops.is_virtual(self.loop):  # nothing will ever happen there
                    raise
                log_failure(logger, Failure(), "an exception, of a signal handler most likely, has left %r", self.loop)
            if self._life.state is State.ENDING:
                return
            self._turns.resume()
            self.loop.call_soon(turned)

    def _start(self) -> None:
        """The first thing that `run` has the loop do."""
        self._refusing = False
        self._turns.begin()
        self._pool.start()
        self._events.fire("startup", first=self._started)
        # Their wake-up may have come already, and was ignored, so that "startup" is the first thing that happens.
        self._turns.thread_calls.drain()

    def _started(self) -> None:
        self._life.move(Event.STARTED)
        self.running = self._life.state is State.RUNNING

    def _shut_down(self) -> None:
        if self._life.state is State.STOPPING:  # else it crashed meanwhile
            self._events.fire("shutdown", first=self._close_down, settle=self._end_pool, done=self._stopped)

    def _close_down(self) -> None:
        self.running = False
        self._refusing = True
        self._close_all()

    def _close_all(self) -> None:
        for thing in list(self._open):
            thing._shut_down()

    def _stopped(self) -> None:
        self._close_all()  # what triggers and lost connections opened meanwhile
        self._life.move(Event.CRASH)
        self.loop.stop()

    def _ended(self) -> None:
        """`run` returns, for whatever reason."""
        self._life.move(Event.ENDED)
        self.running = False
        self._turns.end()
        self._abandon_events()
        self._pool.forget()

    def _end_pool(self, then: Callable[[], None]) -> None:
        self._pool.end(self.threadPatience, then)

    async def _wind_up(self) -> None:
        """What `dispose` needs the loop for."""
        self._events.clear()
        self._turns.hold()
        self._turns.begin()
        self._close_down()
        self._release_blocked()  # first, since they may be threads of the pool
        over = self.loop.create_future()
        self._end_pool(lambda: over.set_result(None))
        await over
        if self._owns_loop:
            await _loops.end_tasks(self.loop)

    async def _detach(self) -> None:
        """The program of the loop that the reactor is attached to ends."""
        if self._life.state is not State.ATTACHED:
            return
        self._life.move(Event.DETACH)
        self._ended_with_loop = True
        over = self.loop.create_future()

        def done() -> None:
            if not over.done():
                over.set_result(None)

        try:
            self._events.fire("shutdown", first=self._close_down, settle=self._end_pool, done=done)
            await over
        finally:
            self._release()

    def _release(self) -> None:
        """The end: nothing holds on to anything."""
        self._refusing = True
        self._close_all()
        self._life.move(Event.DISPOSE)
        self._close_all()  # what was opened because something was closed: nothing can be opened any more
        self.running = False
        self._turns.end()
        self._turns.clear()
        self._turns.close()
        self._events.clear()
        self._release_blocked()
        self._pool.abandon()
        _current.leave(self)
        with _live_lock:
            _live.discard(self)

    def _release_blocked(self) -> None:
        """No thread that waits for a result will get it."""
        for let_go in list(self._blocked):
            let_go()


_current.set_attach(Reactor._attach)
