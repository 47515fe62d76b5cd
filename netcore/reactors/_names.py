"""The event loops a reactor can stand on, by name.

A name means that loop whatever the program's event loop policy is; no name means what asyncio makes here, which the
policy decides. asyncio's loop on epoll is given our selector, which calls transports directly (decision 0013). Nothing
is imported or opened for a loop that is not asked for. (kqueue is untried: written from the documentation of
`selectors`.)
"""

from __future__ import annotations

import asyncio
import os
import selectors

from netcore.error import NoSuchReactor
from netcore.reactors._select import SelectSelector
from netcore.reactors._selector import direct_loop

__all__ = ["NAMES", "new_loop"]

_SELECTORS = {
    "select": "SelectSelector",
    "poll": "PollSelector",
    "epoll": "EpollSelector",
    "kqueue": "KqueueSelector",
}

NAMES = ("asyncio", *_SELECTORS, "uvloop")


def new_loop(name: str | None = None) -> asyncio.AbstractEventLoop:
    """A new loop: the one called *name*; without a name, asyncio's default in this program.

    Args:
        name: one of `NAMES`. ``asyncio`` is a SelectorEventLoop with the platform's best selector, since no reactor
            can use the proactor that is the default on Windows.
    Raises: NoSuchReactor: the name is none of them, or that loop is not to be had here. Nothing has been opened.
    """
    if name is None:
        return direct_loop() if _asyncio_would_take_epoll() else asyncio.new_event_loop()
    if name == "asyncio":
        return direct_loop() if _epoll_is_best() else asyncio.SelectorEventLoop()
    if name == "uvloop":
        return _uvloop()
    if name in _SELECTORS:
        selector = _selector(name)
        return direct_loop() if name == "epoll" else asyncio.SelectorEventLoop(selector())
    raise NoSuchReactor(f"there is no reactor called {name!r}: the names are {_listed(NAMES)}")


def _epoll_is_best() -> bool:
    """Whether epoll is what asyncio's selector loop takes on this platform."""
    return getattr(selectors, "EpollSelector", None) is selectors.DefaultSelector


def _asyncio_would_take_epoll() -> bool:
    """Whether ``asyncio.new_event_loop()`` makes nothing else: the program has set no event loop policy of its own."""
    # Python 3.14 keeps the function, without a warning, under a private name; in 3.16 there are no policies.
    ask = getattr(asyncio.events, "_get_event_loop_policy", None) or getattr(asyncio, "get_event_loop_policy", None)
    return _epoll_is_best() and (ask is None or type(ask()).__module__.partition(".")[0] == "asyncio")


def _selector(name: str) -> type[selectors.BaseSelector]:
    cls: type[selectors.BaseSelector] | None = getattr(selectors, _SELECTORS[name], None)
    if cls is selectors.SelectSelector:
        return SelectSelector
    if cls is None:
        here = [each for each, selector in _SELECTORS.items() if hasattr(selectors, selector)]
        raise NoSuchReactor(f"this platform has no {name}, so there is no reactor called so: it has {_listed(here)}")
    return cls


def _uvloop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError as error:
        raise NoSuchReactor(
            f"the reactor called 'uvloop' needs the package uvloop: pip install 'netcore-asyncdb[uvloop]' ({error})"
        ) from error
    # libuv ends the process when a descriptor of its own gets the number of a standard stream that is closed.
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
    return uvloop.new_event_loop()


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if names[1:] else names[0]
