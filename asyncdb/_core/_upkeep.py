"""How old connections may get, at rest and at all, and how often those at rest are asked whether they still live."""

from __future__ import annotations

import math
from collections.abc import Callable

from asyncdb._core._states import Entry
from asyncdb.options import Options

__all__ = ["Upkeep"]

SPREAD = 0.1
"""By which part limits are shortened at most, each connection's by another: so that those that were made together do
not end together, with the same callers waiting for all of them to be made again."""


class Upkeep:
    """What is due for a connection at rest.

    Args:
        options: the pool's.
        jitter: gives a number between 0 and 1.
    """

    __slots__ = ("_jitter", "_keepalive", "_max_idle", "_max_lifetime")

    def __init__(self, options: Options, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self._keepalive = _or_never(options.keepalive)
        self._max_idle = _or_never(options.max_idle)
        self._max_lifetime = _or_never(options.max_lifetime)

    def begin(self, entry: Entry, now: float) -> None:
        """It was made just now: give it its limits."""
        if entry.expires == math.inf:  # else it is to be replaced already
            entry.expires = now + self._max_lifetime * (1.0 - SPREAD * self._jitter())
            entry.reason = "lifetime"
        entry.idle_limit = self._max_idle * (1.0 - SPREAD * self._jitter())

    def ends(self, entry: Entry, now: float, spare: bool) -> bool:
        """Whether to close it, at rest. *spare*: there are more than there must be. Says why in ``entry.reason``."""
        if now >= entry.expires:
            return True
        if spare and now >= entry.since + entry.idle_limit:
            entry.reason = "idle"
            return True
        return False

    def wants_check(self, entry: Entry, now: float) -> bool:
        """Whether to ask it for a sign of life, at rest."""
        return now >= self._asked(entry) + self._keepalive

    def next(self, entry: Entry, spare: bool) -> float:
        """When one of the three becomes true."""
        moment = min(entry.expires, self._asked(entry) + self._keepalive)
        return min(moment, entry.since + entry.idle_limit) if spare else moment

    def _asked(self, entry: Entry) -> float:
        return max(entry.proven, entry.since)  # a suspect one is checked before its next use, keepalive or not


def _or_never(seconds: float | None) -> float:
    return math.inf if seconds is None else seconds
