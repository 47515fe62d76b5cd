"""A whole program that is one call."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from netcore._current import current_reactor
from netcore._log import log_failure
from netcore.defer import Deferred, ensureDeferred, maybeDeferred
from netcore.error import ReactorNotRunning
from netcore.failure import Failure

if TYPE_CHECKING:
    from netcore.reactors import Reactor

__all__ = ["react"]

logger = logging.getLogger("netcore.task")


def react(
    main: Callable[..., Deferred[Any] | Coroutine[Any, Any, Any]],
    argv: Iterable[Any] = (),
    _reactor: Reactor | None = None,
) -> NoReturn:
    """Run a program: call ``main(reactor, *argv)`` in the reactor, wait for its Deferred or coroutine, stop, and exit.

    *main* is called when the reactor runs, so that asyncio libraries can be used in it from its first line.

    Args:
        _reactor: by default the global reactor.
    Raises: SystemExit, always: with the code of a SystemExit that *main* raised, 1 if it failed in another way (which
        is logged), else 0, also if the reactor was stopped before *main* had finished.
    """
    reactor = current_reactor() if _reactor is None else _reactor
    code: Any = 0
    stopping = False

    def shutting_down() -> None:
        nonlocal stopping
        stopping = True

    def begin() -> None:
        maybeDeferred(lambda: ensureDeferred(main(reactor, *argv))).addBoth(finished)

    def finished(result: Any) -> None:
        nonlocal code
        if isinstance(result, Failure):
            if isinstance(result.value, SystemExit):
                code = result.value.code
            else:
                log_failure(logger, result, "main function encountered error")
                code = 1
        if not stopping:
            try:
                reactor.stop()
            except ReactorNotRunning:  # stopped in the same turn
                pass

    reactor.addSystemEventTrigger("before", "shutdown", shutting_down)
    reactor.callWhenRunning(begin)
    reactor.run()
    sys.exit(code)
