"""The pool's options: one frozen, validated value per pool.

Invariant: an `Options` that exists is consistent. A wrong setting is refused at construction, with what to write
instead; nothing is corrected silently. The names are adbapi's ``cp_`` names with the prefix taken off.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Options"]

PREFIX = "cp_"
DEFAULT_MIN = 3


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a pool behaves.

    adbapi's own:

    Args:
        min: adbapi's lower bound; kept for a pool that shrinks. Connections are opened when calls wait for them.
        max: the most connections the pool has open.
        noisy: log connecting and closing, at level INFO. Statements and connect arguments are never logged.
        openfun: called with each new DB-API connection, in a worker thread; what it leaves open is committed.
        reconnect: accepted and ignored: a dead connection is always replaced here, before anything is sent on it.
        good_sql: the statement that checks a connection; None: the driver's own way.
        name: for log messages and the names of threads.
        reactor: the reactor to live on; None: the one found at first use (see `asyncdb.hosts`).

    asyncdb's:

    Args:
        max_waiting: the most calls that may wait for a connection; beyond it they fail with PoolOverloaded at once.
        timeout: seconds a call may wait for a connection (queue, connecting and checking together); None: for ever.
        connect_timeout: seconds one attempt to connect, or one check of a connection, may take.
        query_timeout: seconds a call may run; None: for ever.
        autocommit: let runQuery and runOperation run without a transaction where that means the same.
    Raises: TypeError or ValueError, saying what to write instead.
    """

    min: int = DEFAULT_MIN
    max: int = 5
    noisy: bool = False
    openfun: Callable[[Any], Any] | None = None
    reconnect: bool = False
    good_sql: str | None = None
    name: str | None = None
    reactor: Any = None

    max_waiting: int = 10_000
    timeout: float | None = 30.0
    connect_timeout: float = 10.0
    query_timeout: float | None = None
    autocommit: bool = True

    def __post_init__(self) -> None:
        self._check_count("min", 0)
        self._check_count("max", 1)
        self._check_count("max_waiting", 0)
        if self.min > self.max:
            raise ValueError(f"cp_min={self.min} is more than cp_max={self.max}: raise cp_max or lower cp_min")
        self._check_seconds("timeout", optional=True)
        self._check_seconds("connect_timeout", optional=False)
        self._check_seconds("query_timeout", optional=True)
        for name in ("noisy", "reconnect", "autocommit"):
            value = getattr(self, name)
            # adbapi programs write 0 and 1 here; anything else is a mistake worth hearing about.
            if value not in (True, False):
                raise TypeError(f"cp_{name} must be True or False, not {value!r}")
            object.__setattr__(self, name, bool(value))
        if self.openfun is not None and not callable(self.openfun):
            raise TypeError(f"cp_openfun must be a function of one connection, or None, not {self.openfun!r}")
        for name in ("good_sql", "name"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, str) and value.strip()):
                raise TypeError(f"cp_{name} must be a string that is not empty, or None, not {value!r}")

    def _check_count(self, name: str, least: int) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"cp_{name} must be a whole number, not {value!r}")
        if value < least:
            raise ValueError(f"cp_{name} must be {least} or more, not {value!r}")

    def _check_seconds(self, name: str, optional: bool) -> None:
        value = getattr(self, name)
        or_none = ", or None for no limit" if optional else ""
        if value is None and optional:
            return
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"cp_{name} must be a number of seconds{or_none}, not {value!r}")
        if math.isnan(value) or value <= 0 or math.isinf(value):
            raise ValueError(f"cp_{name} must be a finite number of seconds above 0{or_none}, not {value!r}")

    @classmethod
    def fromKeywords(cls, keywords: Mapping[str, Any]) -> tuple[Options, dict[str, Any]]:
        """Take the ``cp_`` options out of a pool's keyword arguments.

        Returns: the options, and the remaining keywords, which are the driver's.
        Raises: TypeError: an unknown ``cp_`` option (the nearest known one is named), or a value of a wrong type.
        Raises: ValueError: a value out of range.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        chosen: dict[str, Any] = {}
        others: dict[str, Any] = {}
        for keyword, value in keywords.items():
            if not keyword.startswith(PREFIX):
                others[keyword] = value
            elif (name := keyword.removeprefix(PREFIX)) in known:
                chosen[name] = value
            else:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
                hint = f"did you mean {PREFIX}{near[0]}?" if near else f"known: {', '.join(sorted(known))}"
                raise TypeError(f"unknown option {keyword}: {hint}")
        # The default of cp_min is no wish of the user's: cp_max=1 alone must do.
        if "min" not in chosen and type(chosen.get("max")) is int and chosen["max"] < DEFAULT_MIN:
            chosen["min"] = chosen["max"]
        return cls(**chosen), others
