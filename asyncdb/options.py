"""The options: one frozen, validated value for each pool, and one for what single calls may have otherwise.

Invariant: an `Options` or `CallOptions` that exists is consistent. A wrong setting is refused at construction, with
what to write instead; nothing is corrected silently. The names are adbapi's ``cp_`` names with the prefix taken off.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

__all__ = ["CallOptions", "Options", "Priority"]

PREFIX = "cp_"
DEFAULT_MIN = 3

Priority = Literal["high", "normal", "low"]
PRIORITIES: tuple[Priority, ...] = ("high", "normal", "low")
"""The lanes of the queue, in the order in which they are served."""
ISOLATIONS = ("READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
"""SQL's names (ISO/IEC 9075-2, 17.3); which of them a driver has is the dialect's to say."""

# What options were called in earlier versions, or are called elsewhere, and what to write here.
_INSTEAD = {
    "query_timeout": "cp_timeout, the deadline of the whole call, or using(timeout=) for some calls",
    "min_size": "cp_min",
    "max_size": "cp_max",
    "pool_size": "cp_max",
    "max_overflow": "cp_max, the most there may ever be",
    "recycle": "cp_max_lifetime",
    "pre_ping": "cp_check_after, the seconds at rest after which a connection is checked before it is used",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a pool behaves.

    adbapi's own:

    Args:
        min: so many connections stay when others are closed for being unused. `ConnectionPool.ready` opens them, and
            from then on lost ones are replaced unasked; until then connections are opened when calls wait for them.
        max: the most connections the pool has open.
        noisy: log connecting and closing, at level INFO. Statements and connect arguments are never logged.
        openfun: called with each new DB-API connection, in a worker thread; what it leaves open is committed.
        reconnect: accepted and ignored: a dead connection is always replaced here, before anything is sent on it.
        good_sql: the statement that checks a connection; None: the driver's own way.
        name: for log messages and the names of threads.
        reactor: the reactor to live on; None: the one found at first use (see `asyncdb.hosts`).

    Waiting:

    Args:
        timeout: seconds for a whole call: waiting, connecting, checking, its statements and its commit; None: no limit.
        wait_timeout: seconds of them that it may wait for a connection; None: no limit besides *timeout*.
        max_waiting: the most calls that may wait for a connection; beyond it they fail with PoolOverloaded at once.
        max_waiting_per_caller: the same for one caller, which is one *name* of `ConnectionPool.using`; None: no limit.
            Calls without such a name are not counted.

    Health:

    Args:
        connect_timeout: seconds one attempt to connect may take, *openfun* included.
        check_timeout: seconds a check may take, and a connection that was interrupted or given back to become clean.
        check_after: seconds at rest after which a connection is checked before it is used; None: never. Whether its
            socket says that the server has gone is looked at always.
        keepalive: seconds at rest after which a connection is checked though nobody needs it; None: never.
        max_idle: seconds after which a connection that was not needed is closed, if more than *min* are left; None:
            never.
        max_lifetime: seconds after which a connection is replaced, when it is free; None: never. Each connection's
            own limit is up to a tenth shorter, and its *max_idle* too, so that they do not all end together.
        connargs: called, in a worker thread, before each attempt to connect; returns keyword arguments for the driver's
            ``connect``, which replace those of the same names: passwords and tokens that change.
        on_outage: called in the reactor's thread with the error when connecting begins to fail, and with None when it
            works again.

    Seeing it:

    Args:
        leak_after: seconds after which a connection that is still held (by `connect`, or by a function that still
            runs) is reported, with the stack that asked for it; None: never. Taking that stack costs some 10 µs a call.
        slow_query: seconds after which a call is logged as slow, by the logger ``asyncdb.slow``, those that it waited
            for a connection not counted; None: never.
        log_parameters: log the parameters of slow statements too.
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

    timeout: float | None = None
    wait_timeout: float | None = 30.0  # HikariCP's and psycopg_pool's, too
    max_waiting: int = 10_000
    max_waiting_per_caller: int | None = None

    connect_timeout: float = 10.0
    check_timeout: float = 2.0  # a lost first segment is sent again after one second (RFC 6298, 2.1)
    check_after: float | None = 0.5  # HikariCP's aliveBypassWindow
    keepalive: float | None = None
    max_idle: float | None = 600.0  # HikariCP's and psycopg_pool's, too
    max_lifetime: float | None = 3600.0  # psycopg_pool's, too
    connargs: Callable[[], Mapping[str, Any]] | None = None
    on_outage: Callable[[BaseException | None], object] | None = None

    leak_after: float | None = None
    slow_query: float | None = None
    log_parameters: bool = False
    autocommit: bool = True

    def __post_init__(self) -> None:
        _check_count("cp_min", self.min, 0)
        _check_count("cp_max", self.max, 1)
        _check_count("cp_max_waiting", self.max_waiting, 0)
        if self.max_waiting_per_caller is not None:
            _check_count("cp_max_waiting_per_caller", self.max_waiting_per_caller, 1)
        if self.min > self.max:
            raise ValueError(f"cp_min={self.min} is more than cp_max={self.max}: raise cp_max or lower cp_min")
        for name in ("connect_timeout", "check_timeout"):
            _check_seconds(f"cp_{name}", getattr(self, name), optional=False)
        for name in (
            "timeout",
            "wait_timeout",
            "check_after",
            "keepalive",
            "max_idle",
            "max_lifetime",
            "leak_after",
            "slow_query",
        ):
            _check_seconds(f"cp_{name}", getattr(self, name), optional=True)
        for name in ("noisy", "reconnect", "autocommit", "log_parameters"):
            value = getattr(self, name)
            # adbapi programs write 0 and 1 here; anything else is a mistake worth hearing about.
            if value not in (True, False):
                raise TypeError(f"cp_{name} must be True or False, not {value!r}")
            object.__setattr__(self, name, bool(value))
        for name, what in (
            ("openfun", "one connection"),
            ("connargs", "nothing, which returns connect arguments"),
            ("on_outage", "one error, or None"),
        ):
            function = getattr(self, name)
            if function is not None and not callable(function):
                kind = type(function).__name__  # not the value, which may hold a password
                raise TypeError(f"cp_{name} must be a function of {what}, or None, not of type {kind}")
        if self.connargs is not None and is_lazy(self.connargs):
            raise TypeError(
                "cp_connargs must be a plain function, which may block, not a generator or coroutine function, of "
                "which a worker thread would run nothing. Where it must await g(): cp_connargs=lambda: asyncio.run(g())"
            )
        _check_text("cp_good_sql", self.good_sql)
        _check_text("cp_name", self.name)

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
                raise TypeError(f"unknown option {keyword}: {_hint(name, known)}")
        # The default of cp_min is no wish of the user's: cp_max=1 alone must do.
        if "min" not in chosen and type(chosen.get("max")) is int and chosen["max"] < DEFAULT_MIN:
            chosen["min"] = chosen["max"]
        return cls(**chosen), others


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """What the calls made through one view of a pool have otherwise than the pool (`ConnectionPool.using`).

    Args:
        timeout: as ``cp_timeout``; None: the pool's. ``math.inf``: no limit, whatever the pool's.
        isolation: of their transactions: one of SQL's four names; None: the connection's own.
        readonly: whether their transactions may write; None: the connection's own.
        priority: the lane of the queue: "high", "normal" or "low". Of those that wait, "high" is served first; of eight
            that are served one after another, one is from a lane that others have overtaken.
        name: of the caller, for ``cp_max_waiting_per_caller``, messages and logs.
    Raises: TypeError or ValueError, saying what to write instead.
    """

    timeout: float | None = None
    isolation: str | None = None
    readonly: bool | None = None
    priority: Priority = "normal"
    name: str | None = None

    def __post_init__(self) -> None:
        given: object = self.timeout
        if isinstance(given, bool) or not isinstance(given, (int, float, type(None))):
            raise TypeError(f"timeout must be a number of seconds, or None for the pool's, not {given!r}")
        if given is not None and not given > 0:  # nan too
            raise ValueError(f"timeout must be more than 0 seconds (math.inf for no limit), not {given!r}")
        isolation: object = self.isolation
        if isolation is not None:
            if not isinstance(isolation, str):
                raise TypeError(f"isolation must be one of {', '.join(ISOLATIONS)}, or None, not {isolation!r}")
            name = " ".join(isolation.replace("_", " ").upper().split())
            if name not in ISOLATIONS:
                raise ValueError(f"isolation must be one of {', '.join(ISOLATIONS)}, not {isolation!r}")
            object.__setattr__(self, "isolation", name)
        if self.readonly is not None:
            if self.readonly not in (True, False):
                raise TypeError(
                    f"readonly must be True, False, or None for the connection's own, not {self.readonly!r}"
                )
            object.__setattr__(self, "readonly", bool(self.readonly))
        if self.priority not in PRIORITIES:
            raise ValueError(f"priority must be one of {', '.join(PRIORITIES)}, not {self.priority!r}")
        _check_text("name", self.name)

    @property
    def plain(self) -> bool:
        """Whether a statement may run in autocommit as far as this is concerned."""
        return self.isolation is None and self.readonly is None


_LAZY = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def is_lazy(function: Callable[..., Any]) -> bool:
    """Whether calling *function* runs none of its code: it is a generator or coroutine function."""
    inner: Any = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    code = getattr(inner, "__code__", None)
    if code is None:
        code = getattr(type(inner).__call__, "__code__", None)
    return code is not None and bool(code.co_flags & _LAZY)


def _hint(name: str, known: set[str]) -> str:
    if name in _INSTEAD:
        return f"use {_INSTEAD[name]}"
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {PREFIX}{near[0]}?" if near else f"known: {', '.join(sorted(known))}"


def _check_count(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be {least} or more, not {value!r}")


def _check_seconds(name: str, value: object, optional: bool) -> None:
    or_none = ", or None for no limit" if optional else ""
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds{or_none}, not {value!r}")
    if math.isnan(value) or value <= 0 or math.isinf(value):
        raise ValueError(f"{name} must be a finite number of seconds above 0{or_none}, not {value!r}")


def _check_text(name: str, value: object) -> None:
    if value is not None and not (isinstance(value, str) and value.strip()):
        raise TypeError(f"{name} must be a string that is not empty, or None, not {value!r}")
