"""Which reactor is this thread's: a registry that reactors fill and lower layers only ask.

Library code that was given no reactor asks here *when called*, never at import: this thread's running reactor; inside a
running asyncio loop the one attached to it; else the global ``netcore.reactor``. That last one is looked up through the
package attribute, so that a test can put another in its place. (The package is reached through `sys.modules` and
`importlib`: a plain import would point from this low layer to the top.)
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from netcore.reactors import Reactor

__all__ = [
    "current_reactor",
    "enter",
    "leave",
    "loop_where",
    "reactor_of_thread",
    "reactor_where",
    "reactors_by_thread",
    "running_reactor",
    "set_attach",
    "this_thread",
    "thread_name",
]


class _Thread(threading.local):
    """This thread.

    Attributes: *reactor*, which runs in it; *number*, its `threading.get_ident`, always as the same object: a later
        thread may come to have the same number, but not this int.
    """

    reactor: Reactor | None = None

    def __init__(self) -> None:
        number = threading.get_ident()
        self.number = _numbers[number] = number


_numbers: dict[int, int] = {}  # the last thread of each identifier
this_thread = _Thread()
_by_thread: dict[int, Reactor] = {}  # thread identifier -> the reactor that runs, or is attached, there
_attach: Callable[[asyncio.AbstractEventLoop], Reactor] | None = None


def enter(reactor: Reactor) -> None:
    """*reactor* now runs this thread."""
    this_thread.reactor = reactor
    _by_thread[this_thread.number] = reactor


def leave(reactor: Reactor) -> None:
    """*reactor* runs, or is attached to, no thread any more."""
    if this_thread.reactor is reactor:
        this_thread.reactor = None
    for identifier, known in list(_by_thread.items()):
        if known is reactor:
            del _by_thread[identifier]


def set_attach(attach: Callable[[asyncio.AbstractEventLoop], Reactor]) -> None:
    """Tell how a reactor is attached to a running asyncio loop; called once, by `netcore.reactors`."""
    global _attach
    _attach = attach


def running_reactor() -> Reactor | None:
    """The reactor that runs in this thread, one attached to this thread's running asyncio loop, or None."""
    if this_thread.reactor is not None:
        return this_thread.reactor
    loop = asyncio._get_running_loop()
    if loop is None:
        return None
    if _attach is None:
        importlib.import_module("netcore.reactors")
        assert _attach is not None
    reactor = _by_thread[this_thread.number] = _attach(loop)
    return reactor


def reactor_of_thread(identifier: int) -> Reactor | None:
    """The reactor that runs in, or is attached to, the thread with that `threading.get_ident`; None if none is
    known."""
    return _by_thread.get(identifier)


def reactor_where(number: int) -> Reactor | None:
    """As `reactor_of_thread`, for a ``this_thread.number``, and never that of a later thread with the same number."""
    for known, reactor in list(_by_thread.items()):
        if known is number:
            return reactor
    return None


def loop_where(number: int) -> asyncio.AbstractEventLoop | None:
    """The loop that runs in the thread with that ``this_thread.number``; None if none is seen there.

    Of asyncio's own loops that is known by the functions which stand in that thread, of others if a reactor runs there
    or `asyncio.Runner` has started them.
    """
    reactor = reactor_where(number)
    if reactor is not None:
        return reactor.loop if reactor.loop.is_running() else None
    if _numbers.get(number) is not number:
        return None  # a later thread's
    frame = sys._current_frames().get(number)
    while frame is not None:
        if frame.f_code is _RUN_FOREVER:
            return cast("asyncio.AbstractEventLoop", frame.f_locals["self"])
        if frame.f_code is _RUNNER_RUN:
            return cast("asyncio.Runner", frame.f_locals["self"]).get_loop()
        frame = frame.f_back
    return None


_RUN_FOREVER = asyncio.BaseEventLoop.run_forever.__code__
_RUNNER_RUN = asyncio.Runner.run.__code__


def thread_name(identifier: int) -> str:
    """The name of a thread of that `threading.get_ident`. (``current_thread()`` would make up a Thread for a foreign
    one.)"""
    names = [thread.name for thread in threading.enumerate() if thread.ident == identifier]
    return names[0] if names else str(identifier)


def reactors_by_thread() -> dict[int, Reactor]:
    """The reactors that run in, or are attached to, threads, by `threading.get_ident` (a copy)."""
    return dict(_by_thread)


def current_reactor() -> Reactor:
    """The reactor to use where none was given."""
    reactor = running_reactor()
    if reactor is None:
        package: Any = importlib.import_module("netcore")
        reactor = cast("Reactor", package.reactor)
    return reactor
