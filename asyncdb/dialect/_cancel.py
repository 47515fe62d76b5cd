"""Cancelling a statement on a psycopg2 connection without keeping the interpreter from other threads.

psycopg2's ``connection.cancel()`` calls libpq's ``PQcancel`` with the interpreter lock held, and ``PQcancel`` waits for
the server with no limit. Here the same function is called through ctypes, which gives the lock away. It is looked up in
psycopg2's own extension module, so that it is the very libpq whose connection it is given. Where there is none to be
found there (a psycopg2 linked statically, Windows), psycopg2's method has to do.

What ``PQcancel`` needs of the connection (the address, the process, its key) is copied when the connection is made: the
copy outlives it, so that a cancel cannot meet a connection that is being closed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any
from weakref import finalize

__all__ = ["Canceller"]

_ERROR_SIZE = 256  # "should be 256 bytes": https://www.postgresql.org/docs/current/libpq-cancel.html


class Canceller:
    """Call it to have the server end what runs on *connection*.

    Raises: the driver's OperationalError: the server was not reached.
    Threading: any thread; blocks until the server has passed the word on, or for as long as the network does.
    """

    __slots__ = ("__weakref__", "_error", "_handle", "_library")

    def __init__(self, library: Any, error: type[Exception], connection: Any) -> None:
        self._library = library
        self._error = error
        self._handle = library.PQgetCancel(connection.pgconn_ptr)
        if not self._handle:
            raise error("libpq has nothing to cancel this connection by")
        finalize(self, library.PQfreeCancel, self._handle).atexit = False

    def __call__(self) -> None:
        message = ctypes.create_string_buffer(_ERROR_SIZE)
        if not self._library.PQcancel(self._handle, message, _ERROR_SIZE):
            raise self._error(message.value.decode(errors="replace").strip())

    @classmethod
    def maker(cls, dbapi: Any) -> Callable[[Any], Callable[[], None]] | None:
        """Makes one for a connection of the psycopg2 module *dbapi*. None: its libpq is not to be had."""
        try:
            library = ctypes.CDLL(dbapi._psycopg.__file__)
            library.PQgetCancel.argtypes, library.PQgetCancel.restype = [ctypes.c_void_p], ctypes.c_void_p
            library.PQcancel.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
            library.PQfreeCancel.argtypes, library.PQfreeCancel.restype = [ctypes.c_void_p], None
        except (AttributeError, OSError):
            return None
        error: type[Exception] = dbapi.OperationalError
        return lambda connection: cls(library, error, connection)
