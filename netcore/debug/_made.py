"""Where timers, jobs, ports, connections and descriptors of the application's were asked for.

A delayed call and a job of a thread pool hold the keyword arguments of what they call, in a dict that is theirs alone.
While debugging is on, that is a dict that has the record with it: it is gone when the call is, and there is no registry
of them. Ports, connections, connectors and descriptors are few, and have one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from threading import get_ident
from typing import Any

from netcore import threadpool
from netcore._origins import Made, Origins, Patches, jobs
from netcore._timers import TimerQueue
from netcore.reactors._fdset import FDSet, Kind, Watched
from netcore.threadpool import ThreadPool
from netcore.transports._datagram_port import DatagramSocket
from netcore.transports._process_base import ProcessTransport
from netcore.transports._stream import StreamTransport
from netcore.transports._stream_connector import StreamConnector
from netcore.transports._stream_port import StreamPort

__all__ = ["PATCHES", "forget", "made_of", "made_with", "running_in"]


class _Arguments(dict[str, Any]):
    """Keyword arguments, with where the call was asked for."""

    __slots__ = ("made",)

    def __init__(self, arguments: dict[str, Any]) -> None:
        super().__init__(arguments)
        self.made = Made()

    def __bool__(self) -> bool:
        return True  # it is something to keep, even if there are none


_transports: Origins[Made] = Origins()


def made_with(arguments: dict[str, Any] | None) -> Made | None:
    """Where the call that has *arguments* was asked for, if that is known."""
    return arguments.made if isinstance(arguments, _Arguments) else None


def running_in(thread: int | None) -> Made | None:
    """Where the job was asked for that runs in *thread*, if that is known."""
    return None if thread is None else jobs.get(thread)


def made_of(transport: Any) -> Made | None:
    """Where *transport*, a port, connection or connector, was made, if that is known; an accepted connection's is its
    port's. For a reader or writer, ask of the context it was added in, which is its own."""
    return _transports.get(transport)


def forget() -> None:
    """Debugging is off."""
    _transports.clear()
    jobs.clear()


def _timer(original: Callable[..., Any]) -> Callable[..., Any]:
    def add(self: TimerQueue, delay: float, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return original(self, delay, func, args, _Arguments(kwargs))

    return add


def _job(original: Callable[..., None]) -> Callable[..., None]:
    def _submit(self: ThreadPool, job: Any) -> None:
        context, on_result, func, args, kwargs = job
        original(self, (context, on_result, func, args, _Arguments(kwargs)))

    return _submit


def _perform(original: Callable[..., None]) -> Callable[..., None]:
    def _perform(on_result: Any, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        made = made_with(kwargs)
        if made is not None:
            jobs[get_ident()] = made
        try:
            original(on_result, func, args, kwargs)
        finally:
            jobs.pop(get_ident(), None)
            del on_result, func, args, kwargs  # as in the original

    return _perform


def _port(original: Callable[..., None]) -> Callable[..., None]:
    def startListening(self: StreamPort | DatagramSocket) -> None:
        _transports.put(self, Made())
        original(self)

    return startListening


def _connector(original: Callable[..., None]) -> Callable[..., None]:
    def connect(self: StreamConnector) -> None:
        _transports.put(self, Made())
        original(self)

    return connect


def _connection(original: Callable[..., None]) -> Callable[..., None]:
    def start(self: StreamTransport) -> None:
        made = Made()
        maker = _maker_of(self)
        known = None if maker is None else _transports.get(maker)
        if known is not None:  # the loop has called, and knows nothing of who asked for it
            made.stack = known.stack
        _transports.put(self, made)
        original(self)

    return start


def _process(original: Callable[..., None]) -> Callable[..., None]:
    def _runs(self: ProcessTransport, pid: int) -> None:
        _transports.put(self, Made())
        original(self, pid)

    return _runs


def _descriptor(original: Callable[..., None]) -> Callable[..., None]:
    def _watch(self: FDSet, watched: Watched, kind: Kind, context: Context) -> None:
        original(self, watched, kind, context)
        if _transports.get(context) is None:  # else it has come back, with another descriptor
            _transports.put(context, Made())

    return _watch


def _maker_of(connection: StreamTransport) -> Any:
    """The connector that made *connection*, or the port that accepted it."""
    connector = getattr(connection._on_lost, "__self__", None)
    if isinstance(connector, StreamConnector):
        return connector
    host: Any = getattr(connection, "_host", None)
    ports = [thing for thing in connection._reactor._open if isinstance(thing, StreamPort) and thing._host is not None]
    return next((port for port in ports if _place(port._host) == _place(host)), None)


def _place(address: Any) -> Any:
    """A port's number, since one may be listened on at all of the machine's addresses; or an address without one."""
    return getattr(address, "port", address)


PATCHES = Patches(
    [
        (TimerQueue, "add", _timer),
        (ThreadPool, "_submit", _job),
        (threadpool, "_perform", _perform),
        (StreamPort, "startListening", _port),
        (DatagramSocket, "startListening", _port),
        (StreamConnector, "connect", _connector),
        (StreamTransport, "start", _connection),
        (ProcessTransport, "_runs", _process),
        (FDSet, "_watch", _descriptor),
    ]
)
