"""The part of a reactor that has to do with system events: startup, shutdown, reload, and the application's own.

"reload" differs from all others (decision 0018): its triggers are called each time it is fired, and the reactor fires
it at each SIGHUP. One reload at a time: what is fired while "before" triggers are waited for is fired when they have
finished, once, however often it was.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from typing import Any

from netcore.reactors._lifecycle import Event, Lifecycle, State
from netcore.reactors._part import Part
from netcore.reactors._signals import RELOAD, Signals
from netcore.reactors._triggers import SystemEvents

__all__ = ["Events"]

logger = logging.getLogger("netcore.reactors")

# States in which callWhenRunning() calls at once.
_UP = frozenset({State.RUNNING, State.STOPPING, State.ENDING, State.ATTACHED, State.DETACHING})

_SERVING = frozenset({State.RUNNING, State.ATTACHED, State.ITERATING})


class Events(Part):
    """`IReactorCore`, as far as it is about events."""

    _life: Lifecycle
    _events: SystemEvents
    _signals: Signals | None  # while `run` is called
    _reloading: bool
    _reload_again: bool
    _next_reload: asyncio.Handle | None = None

    def fireSystemEvent(self, eventType: str) -> None:
        """Call the triggers of *eventType*, phase by phase. "shutdown" ends a running reactor, as `stop` does; "reload"
        is what a SIGHUP does."""
        if eventType == "shutdown" and self._life.state in (State.STARTING, State.RUNNING):
            self._life.move(Event.STOP)
            self._whole._shut_down()
        elif eventType == "reload":
            self._reload()
        else:
            self._events.fire(eventType)

    def addSystemEventTrigger(
        self, phase: str, eventType: str, callable: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> object:
        """Have *callable* called when *eventType* is fired, in the caller's context (contextvars): once, but for
        "reload".

        Args:
            phase: "before" (may return a Deferred or be a coroutine function, and is waited for), "during" or "after".
            eventType: "startup", "shutdown", "reload", or a name of the application's own. "reload" is fired at each
                SIGHUP while `run` handles signals, and its triggers stay until they are removed. Without any SIGHUP
                means what it did before.
        Returns: an identifier for `removeSystemEventTrigger`.
        Raises: ValueError: an unknown phase. TypeError: *callable* cannot be called.
        """
        self._require_usable()
        trigger = self._events.add(phase, eventType, callable, args, kwargs)
        self._follow_reload()
        return trigger

    def removeSystemEventTrigger(self, triggerID: Any) -> None:
        """Take back a trigger.

        Raises: ValueError: it was called or removed. TypeError: it is no trigger.
        """
        self._events.remove(triggerID)
        self._follow_reload()

    def callWhenRunning(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> object | None:
        """Call *callable* now if the reactor runs, else as soon as it does.

        Returns: None if it was called, else the identifier of the trigger.
        """
        if self._life.state in _UP:
            callable(*args, **kwargs)
            del callable, args, kwargs  # may be a Deferred's, and this frame in the traceback that its failure holds
            return None
        return self.addSystemEventTrigger("after", "startup", callable, *args, **kwargs)

    # Reloading.

    def _follow_reload(self) -> None:
        """Triggers have come or gone."""
        if self._signals is not None:
            self._signals.want_reload(self._events.has("reload"))

    def _on_signal(self, number: int) -> None:
        state = self._life.state
        if number == RELOAD:
            self._reload_if_up()
        elif state in (State.STARTING, State.RUNNING):
            self._whole.stop()
        elif state is State.STOPPING and number == signal.SIGINT:
            logger.warning("interrupted again while stopping: not waiting any longer")
            self._whole.crash()

    def _reload_if_up(self) -> None:
        """Reload, if the reactor serves; when it does, if it is starting; not any more, if it is ending."""
        state = self._life.state
        if state in _SERVING:
            self._reload()
        elif state is State.STARTING:
            self._events.add("after", "startup", self._reload, (), {})

    def _reload(self) -> None:
        if self._reloading:
            self._reload_again = True
            logger.info("asked to reload while reloading: it will be done once more")
            return
        self._reloading = True
        try:
            self._events.fire("reload", done=self._reloaded)
        except BaseException:  # KeyboardInterrupt or SystemExit, of a trigger
            self._reloading = False
            raise

    def _reloaded(self) -> None:
        self._reloading = False
        if self._reload_again:
            self._reload_again = False
            self._next_reload = self.loop.call_soon(self._reload_if_up)

    def _abandon_events(self) -> None:
        """What is being fired and waits for Deferreds goes no further."""
        self._events.abandon()
        self._reloading = self._reload_again = False
        if self._next_reload is not None:
            self._next_reload.cancel()
            self._next_reload = None
