"""Look-ups by the system, getaddrinfo(3), which blocks and therefore runs in threads.

The system sorts what it finds (RFC 6724) and knows the files and services that it is configured for (nsswitch.conf(5)).
It says nothing of how long an answer holds, and a call cannot be stopped: one that is cancelled goes on in its thread,
and one that still waits for a thread is not made.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from netcore.error import ReactorNotRunning
from netcore.interfaces import IAddress, IHostnameResolver, IReactorThreads, IResolutionReceiver, implementer
from netcore.resolver._question import Question
from netcore.resolver._resolution import Resolution

if TYPE_CHECKING:
    from netcore.threadpool import ThreadPool

__all__ = ["GAIResolver"]


@implementer(IHostnameResolver)
class GAIResolver:
    """Looks names up by `socket.getaddrinfo`, in threads; literal addresses are answered at once.

    Args:
        reactor: in whose thread receivers are told.
        getThreadPool: called for the pool to use; by default the reactor's own.
        getaddrinfo: called in place of `socket.getaddrinfo`.
    """

    def __init__(
        self,
        reactor: IReactorThreads,
        getThreadPool: Callable[[], ThreadPool] | None = None,
        getaddrinfo: Callable[..., Any] | None = None,
    ) -> None:
        self._reactor = reactor
        self._get_pool = getThreadPool if getThreadPool is not None else reactor.getThreadPool
        self._getaddrinfo = getaddrinfo

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> Resolution:
        """See `IHostnameResolver.resolveHostName`."""
        question = Question.of(hostName, portNumber, addressTypes, transportSemantics)
        resolution = Resolution(resolutionReceiver, hostName)
        resolution.begin()
        literal = question.literal()
        if literal is not None:
            resolution.answer(literal)
        elif not resolution.over:
            self._look_up(question, resolution)
        return resolution

    def _look_up(self, question: Question, resolution: Resolution) -> None:
        ask = self._getaddrinfo if self._getaddrinfo is not None else socket.getaddrinfo

        def in_thread() -> Any:
            # Reading a flag needs no lock: at worst a look-up is made that nobody waits for any more.
            if resolution.over:
                return []
            return question.addresses(ask(question.name, question.port, question.family, question.kind))

        def looked_up(success: bool, result: Any) -> None:
            with contextlib.suppress(ReactorNotRunning):  # disposed of meanwhile: nobody waits any more
                if success:
                    self._reactor.callFromThread(resolution.answer, result)
                else:
                    # Without its traceback: that holds the frames of the thread, and a cache may keep the error.
                    self._reactor.callFromThread(resolution.complete, result.value.with_traceback(None))

        try:
            self._get_pool().callInThreadWithCallback(looked_up, in_thread)
        except RuntimeError as error:  # the pool was stopped
            resolution.complete(error.with_traceback(None))
