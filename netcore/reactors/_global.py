"""The global reactor, ``netcore.reactor``: made once, by `install` or by whoever asks for it first.

It is an attribute of the package and nothing else, so that a test can put another in its place. Looking whether there
is one and making it are one step under ``_lock``: two threads that ask at once are given the same.
"""

from __future__ import annotations

import atexit
import os
import threading
from typing import cast

import netcore
from netcore.error import NoSuchReactor, ReactorAlreadyInstalledError
from netcore.reactors._reactor import Reactor

__all__ = ["install", "installed"]

VARIABLE = "NETCORE_REACTOR"

_lock = threading.Lock()


def install(name: str) -> Reactor:
    """Make the global ``netcore.reactor`` a reactor over the loop called *name*.

    Call it first thing in a program, before modules that say ``from netcore import reactor`` are imported. It has
    precedence over the environment variable ``NETCORE_REACTOR``, which says the same from outside.

    Args:
        name: ``asyncio`` (its own loop, with the platform's best selector), ``select``, ``poll``, ``epoll`` or
            ``kqueue`` (asyncio's with that selector), or ``uvloop``.
    Returns: the reactor.
    Raises: netcore.error.ReactorAlreadyInstalledError: there is a global reactor already. netcore.error.NoSuchReactor,
        a ValueError: the name is none of these, or that loop is not to be had here; no reactor was made.
    Threading: any thread.
    """
    with _lock:
        if "reactor" in vars(netcore):
            raise ReactorAlreadyInstalledError(
                f"the global reactor exists already: {vars(netcore)['reactor']!r}; install({name!r}) has to come first "
                "in the program, before anything says `from netcore import reactor` or asks for the current reactor"
            )
        return _publish(Reactor(name))


def installed() -> Reactor:
    """The global reactor; made now, if there is none, over the loop that ``NETCORE_REACTOR`` names or the default.

    Raises: NoSuchReactor: that variable names none that is to be had here.
    """
    with _lock:
        if "reactor" in vars(netcore):
            return cast("Reactor", vars(netcore)["reactor"])
        name = os.environ.get(VARIABLE)
        try:
            reactor = Reactor(name or None)  # set but empty is how a shell takes a variable back for one command
        except NoSuchReactor as error:
            raise NoSuchReactor(f"{VARIABLE}={name}: {error}") from None
        return _publish(reactor)


def _publish(reactor: Reactor) -> Reactor:
    netcore.reactor = reactor
    atexit.register(reactor._close_at_exit)
    return reactor
